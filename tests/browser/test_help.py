"""From a screen to its help, by a search to another place, and back from a page that is not there."""

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests import build

from .steps import complaints, enter, press, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def waits_for(browser, part):
    WebDriverWait(browser, 10).until(lambda _: part in browser.current_url)


def test_finance_finds_how_to_start_the_worker_and_looks_for_something_else(browser, live_server):
    build.the_cast()
    sign_in(browser, live_server, "fay")
    press(browser, By.LINK_TEXT, "How to start it")
    waits_for(browser, "/help/operations/#the-worker")
    # The heading is in sight, below what stays at the top.
    below = (
        "const bar = document.querySelector('.top').getBoundingClientRect();"
        "return document.getElementById('the-worker').getBoundingClientRect().top - bar.bottom"
    )
    assert 0 <= browser.execute_script(below) < 400
    enter(browser, By.ID, "help-words", "exceptions")
    waits_for(browser, "q=exceptions")
    press(browser, By.LINK_TEXT, "Exceptions")
    waits_for(browser, "/help/admin-guide/#exceptions")
    assert complaints(browser) == []


def test_a_pi_reads_her_help_and_comes_back_from_a_page_that_is_not_there(browser, live_server, settings):
    settings.DEBUG = False
    build.the_cast()
    sign_in(browser, live_server, "ada")
    press(browser, By.LINK_TEXT, "Help")
    waits_for(browser, "/help/user-guide/portal/#home")
    assert "Total charged" in browser.find_element(By.CSS_SELECTOR, ".help-text").text
    assert complaints(browser) == []
    browser.get(live_server.url + "/statements/nowhere/")
    shown = browser.find_element(By.CSS_SELECTOR, ".error-reference code").text
    assert len(shown) == 9
    press(browser, By.LINK_TEXT, "Back to my statements")
    waits_for(browser, reverse("portal:statements"))


@pytest.mark.parametrize("width", [390, 1440])
def test_help_and_the_system_page_fit_their_width(browser, live_server, width):
    build.the_cast()
    sign_in(browser, live_server, "root")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for url in (
            "/help/",
            "/help/user-guide/commands/",
            "/help/security/roles/",
            "/help/?q=import",
            "/admin/system/",
        ):
            browser.get(live_server.url + url)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, url
            assert complaints(browser) == [], url
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
