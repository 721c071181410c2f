"""A reviewer empties the queue: by keyboard alone, and without script by its forms."""

import time

import pytest
from django.urls import reverse
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from billing.models import AttributionRule, Charge, ReviewDecision
from tests import build

from .steps import complaints, press, sign_in, until, without_script

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

QUEUE = reverse("admin:billing_heldcharge_changelist") + "?period=2025-01"
# Until the next charge is in focus.
NEXT_ROW_SECONDS = 0.15


def keys(browser, *pressed):
    for key in pressed:
        ActionChains(browser).send_keys(key).perform()


def focus(browser):
    """Return the charge or group in focus."""
    return browser.execute_script(
        "const item = document.activeElement.closest('[data-item]');"
        "return item && (item.dataset.charge || item.closest('.group').dataset.key)"
    )


def settled(browser):
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, "#review[aria-busy]"))


def said(browser):
    return browser.execute_script("return document.querySelector('#review-said').textContent")


def test_a_reviewer_empties_the_queue_by_keyboard(browser, live_server):
    build.the_cast()
    build.a_project("physics", pi=build.a_pi("grace@u.edu"))
    before = {"pi": "grace@u.edu", "project": "physics", "fund_org": "PHY-1", "resource_id": "i-7"}
    build.a_charge(period="2024-12", **before)
    lost = build.a_charge("7.00", flags=("missing_pi",), pi=None, project=None, fund_org="", resource_id="i-7")
    ended = build.a_charge("5.00", flags=("fund_not_valid",))
    single = [build.a_charge("12.34", flags=("missing_project",), project=None) for _ in range(3)]
    grouped = [build.a_charge("100.00", flags=("pattern_match",)) for _ in range(20)]
    sign_in(browser, live_server, "rex")
    browser.get(live_server.url + QUEUE)
    browser.execute_script("window.stays = true")

    # The keys are listed, and do nothing while the list of them is open or one types.
    keys(browser, "?")
    assert browser.find_element(By.ID, "review-keys").is_displayed()
    keys(browser, Keys.ESCAPE, "/", "a", "x")
    assert browser.find_element(By.ID, "searchbar").get_attribute("value") == "ax"
    browser.execute_script("document.activeElement.blur()")
    assert ReviewDecision.objects.count() == 0

    # The fund is over: approval is refused in words, on the group and on the charge.
    keys(browser, "j", "a")
    assert "Cannot be approved as it is" in said(browser)
    keys(browser, "j", "a")
    assert focus(browser) == str(ended.pk)
    assert "exception" in said(browser)

    # The suggestion is accepted, and the next charge is in focus at once.
    keys(browser, "j", "j")
    assert focus(browser) == str(lost.pk)
    keys(browser, "s")
    settled(browser)
    lost.refresh_from_db()
    assert (lost.state, lost.pi.email) == ("approved", "grace@u.edu")

    # One charge is approved, undone, and approved again.
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, f"[data-charge='{lost.pk}']"))
    newest = max(each.pk for each in single)
    while focus(browser) != str(newest):
        keys(browser, "j")
    began = time.perf_counter()
    keys(browser, "a")
    following = focus(browser)
    took = time.perf_counter() - began
    assert following not in (None, str(newest))
    assert took < NEXT_ROW_SECONDS, took
    settled(browser)
    assert Charge.objects.get(pk=newest).state == "approved"
    assert focus(browser) == following
    keys(browser, "u")
    settled(browser)
    assert Charge.objects.get(pk=newest).state == "held"

    # Two are selected, with their money, and approved together; the third one with its group.
    while focus(browser) != str(newest):
        keys(browser, "k")
    keys(browser, "x", "j", "x")
    assert browser.find_element(By.CSS_SELECTOR, "[data-selected]").text == "2 charges selected, 24.68 USD"
    keys(browser, "a")
    settled(browser)
    assert Charge.objects.filter(pk__in=[each.pk for each in single], state="approved").count() == 2

    # Twenty are approved in two keys: move to the group, approve it.
    key = browser.find_element(By.CSS_SELECTOR, "[data-key^='pattern_match']").get_attribute("data-key")
    while focus(browser) != key:
        keys(browser, "j")
    keys(browser, "a")
    settled(browser)
    assert Charge.objects.filter(pk__in=[each.pk for each in grouped], state="approved").count() == 20
    assert "20 charges approved" in said(browser)
    assert browser.execute_script("return window.stays") is True
    assert complaints(browser) == []

    # A correction asks on a page of its own.
    while focus(browser) != str(ended.pk):
        keys(browser, "k")
    keys(browser, "c")
    until(browser, lambda: browser.find_elements(By.NAME, "fund_org"))
    assert "Correct 1 charge" in browser.find_element(By.TAG_NAME, "h1").text


def test_a_queue_is_decided_without_script(browser, live_server):
    build.the_cast()
    grouped = [build.a_charge("100.00", flags=("pattern_match",)) for _ in range(20)]
    sign_in(browser, live_server, "rex")
    without_script(browser)
    try:
        browser.get(live_server.url + QUEUE)
        ids = {"pk__in": [each.pk for each in grouped]}
        # Twenty in two clicks: the whole group, approve.
        browser.find_element(By.NAME, "group").click()
        press(browser, By.CSS_SELECTOR, ".bulk [value=approve]")
        until(browser, lambda: "20 charges approved" in browser.find_element(By.CLASS_NAME, "messagelist").text)
        assert Charge.objects.filter(**ids, state="approved").count() == 20
        press(browser, By.CSS_SELECTOR, ".messagelist button")
        until(browser, lambda: "20 charges undone" in browser.find_element(By.CLASS_NAME, "messagelist").text)
        assert Charge.objects.filter(**ids, state="held").count() == 20
        # Enter in a tick box decides nothing.
        browser.find_element(By.NAME, "group").send_keys(Keys.ENTER)
        time.sleep(0.3)
        assert Charge.objects.filter(**ids, state="held").count() == 20
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_thirty_charges_are_moved_and_the_rule_is_made_in_five_clicks(browser, live_server):
    build.the_cast()
    build.a_pi("hopper@u.edu")
    build.a_charge("1.00", resource_name="other")
    for _ in range(30):
        build.a_charge(
            "2.00",
            flags=("missing_pi",),
            pi=None,
            project=None,
            fund_org="",
            sub_account_id="4471",
            resource_name="lab",
        )
    sign_in(browser, live_server, "rex")
    clicks = []

    def click(how, what):
        browser.find_element(how, what).click()
        clicks.append(what)

    browser.get(live_server.url + QUEUE)
    click(By.CSS_SELECTOR, ".group-head [data-step=correct]")
    browser.find_element(By.NAME, "pi").send_keys("hopper@u.edu")
    browser.find_element(By.NAME, "fund_org").send_keys("PHY-1")
    click(By.CSS_SELECTOR, "input[value='Correct 30 charges']")
    until(browser, lambda: "30 charges reattributed and approved" in browser.find_element(By.TAG_NAME, "main").text)
    click(By.LINK_TEXT, "Make a rule of this")
    click(By.NAME, "_save")
    until(browser, lambda: AttributionRule.objects.exists())
    rule = AttributionRule.objects.get()
    assert (rule.pi.email, rule.fund_org, rule.sub_account) == ("hopper@u.edu", "PHY-1", "4471")
    assert Charge.objects.filter(pi=rule.pi, state="approved").count() == 30
    assert len(clicks) <= 5
