"""Choosing records by typing: by keyboard, with the mouse, several of them, in new rows and pop-ups, without script."""

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from billing.models import FundingSource, Membership, Person, Project
from openchargeback.admin_site import ChoicesView
from tests import build

from .pages import session, violations
from .steps import complaints, press, until, without_script

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def options(browser, pane=".combobox-pane:popover-open"):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0] + ' [role=option]')].map(each => each.textContent)", pane
    )


def offered(browser, *names):
    until(browser, lambda: options(browser) == [*names])


def said(browser, text):
    until(
        browser,
        lambda: text in browser.find_element(By.CSS_SELECTOR, ".combobox [role=status]").get_property("textContent"),
    )


def a_project(browser, live_server, user):
    """Open the form of a project, and return the field of its PI."""
    session(browser, live_server, user)
    project = build.a_project("genomics")
    browser.get(live_server.url + reverse("admin:billing_project_change", args=[project.pk]))
    return browser.find_element(By.ID, "id_pi-search")


def test_a_pi_is_chosen_by_the_keyboard_and_taken_away_again(browser, live_server):
    cast = build.the_cast()
    field = a_project(browser, live_server, cast.reviewer)
    assert field.get_attribute("aria-expanded") == "false"
    field.send_keys("ada")
    offered(browser, "Ada Lovelace <ada@u.edu>")
    said(browser, "1 found.")
    assert field.get_attribute("aria-expanded") == "true"
    first = browser.find_element(By.ID, field.get_attribute("aria-activedescendant"))
    assert first.get_attribute("role") == "option"
    assert violations(browser) == []
    field.send_keys(Keys.ENTER)
    said(browser, "Ada Lovelace <ada@u.edu> chosen.")
    assert field.get_attribute("value") == "Ada Lovelace <ada@u.edu>"
    assert field.get_attribute("aria-expanded") == "false"
    # What is beside the field follows what is chosen.
    press(browser, By.NAME, "_continue")
    assert Project.objects.get().pi.email == "ada@u.edu"
    browser.find_element(By.CSS_SELECTOR, ".field-pi .combobox-clear").click()
    assert browser.switch_to.active_element.get_attribute("id") == "id_pi-search"
    press(browser, By.NAME, "_continue")
    assert complaints(browser) == []


def test_all_of_them_are_offered_and_escape_leaves_what_was_chosen(browser, live_server):
    cast = build.the_cast()
    for number in range(25):
        build.a_pi(f"p{number:02}@u.edu", name=f"Person {number:02}")
    build.a_project("genomics", pi=Person.objects.get(email="ada@u.edu"))
    field = a_project(browser, live_server, cast.reviewer)
    field.send_keys(Keys.ARROW_DOWN)
    said(browser, "20 or more found.")
    field.send_keys(Keys.ARROW_UP)
    # At the end, the next ones are fetched.
    until(browser, lambda: len(options(browser)) == 27)
    field.send_keys("zzz")
    said(browser, "Nothing matches")
    field.send_keys(Keys.ESCAPE)
    assert field.get_attribute("value") == "Ada Lovelace <ada@u.edu>"
    # Words that nothing was chosen for are dropped, too.
    field.send_keys("zzz", Keys.TAB)
    assert field.get_attribute("value") == "Ada Lovelace <ada@u.edu>"


def test_a_list_that_cannot_be_had_says_so(browser, live_server, monkeypatch):
    cast = build.the_cast()
    field = a_project(browser, live_server, cast.reviewer)
    monkeypatch.setattr(ChoicesView, "has_perm", lambda *_, **__: False)
    field.send_keys("ada")
    said(browser, "You may not search this list.")
    assert "You may not search" in browser.find_element(By.CSS_SELECTOR, ".combobox-pane:popover-open").text
    field.send_keys(Keys.ESCAPE)
    browser.delete_all_cookies()
    field.send_keys("ada")
    said(browser, "You are signed out.")


def test_several_projects_of_a_fund_are_chosen_and_removed(browser, live_server):
    cast = build.the_cast()
    build.a_project("genomics")
    build.a_project("climate")
    fund = build.a_fund()
    session(browser, live_server, cast.finance)
    browser.get(live_server.url + reverse("admin:billing_fundingsource_change", args=[fund.pk]))
    field = browser.find_element(By.ID, "id_projects-search")
    for code in ("genom", "clim"):
        field.send_keys(code)
        until(browser, lambda code=code: len(options(browser)) == 1 and code in options(browser)[0])
        field.send_keys(Keys.ENTER)
    chosen = browser.find_elements(By.CSS_SELECTOR, ".combobox-chosen li")
    assert len(chosen) == 2
    chosen[0].find_element(By.TAG_NAME, "button").click()
    press(browser, By.NAME, "_save")
    assert FundingSource.objects.get(pk=fund.pk).projects.get().code == "climate"


def test_a_delegate_is_chosen_in_a_new_row(browser, live_server):
    cast = build.the_cast()
    bob = build.a_pi("bob@u.edu", name="Bob")
    session(browser, live_server, cast.reviewer)
    browser.get(live_server.url + reverse("admin:billing_person_change", args=[bob.pk]))
    browser.find_element(By.CSS_SELECTOR, "#memberships-group .add-row a").click()
    field = browser.find_element(By.ID, "id_memberships-0-user-search")
    assert field.get_attribute("aria-label")
    field.send_keys("grace")
    offered(browser, "grace")
    browser.find_element(By.CSS_SELECTOR, ".combobox-pane:popover-open [role=option]").click()
    browser.find_element(By.NAME, "memberships-0-valid_from").send_keys("2025-01-01")
    press(browser, By.NAME, "_save")
    assert Membership.objects.get(person=bob).user == cast.delegate


def test_a_pi_that_a_pop_up_adds_is_chosen(browser, live_server):
    cast = build.the_cast()
    field = a_project(browser, live_server, cast.reviewer)
    page = browser.current_window_handle
    browser.find_element(By.ID, "add_id_pi").click()
    until(browser, lambda: len(browser.window_handles) == 2)
    browser.switch_to.window(browser.window_handles[-1])
    browser.find_element(By.NAME, "email").send_keys("new@u.edu")
    browser.find_element(By.NAME, "_save").click()
    until(browser, lambda: len(browser.window_handles) == 1)
    browser.switch_to.window(page)
    until(browser, lambda: field.get_attribute("value").endswith("new@u.edu"))
    press(browser, By.NAME, "_save")
    assert Project.objects.get().pi.email == "new@u.edu"


def test_without_script_a_pi_is_named(browser, live_server):
    cast = build.the_cast()
    project = build.a_project("genomics")
    session(browser, live_server, cast.reviewer)
    without_script(browser)
    try:
        browser.get(live_server.url + reverse("admin:billing_project_change", args=[project.pk]))
        browser.find_element(By.NAME, "pi-typed").send_keys("u.edu")
        press(browser, By.NAME, "_save")
        assert "matches more than one" in browser.find_element(By.CSS_SELECTOR, ".field-pi .errorlist").text
        field = browser.find_element(By.NAME, "pi-typed")
        assert field.get_attribute("value") == "u.edu"
        field.clear()
        field.send_keys("lovelace")
        press(browser, By.NAME, "_save")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert Project.objects.get().pi.email == "ada@u.edu"
