"""What journeys take their steps by; each waits for what it leads to, so that the next one meets the new page."""

import contextlib

from django.urls import reverse
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from billing.background import jobs
from billing.models import Job

SECONDS = 15


def until(browser, is_so):
    """Wait until something is so; what is replaced between its being found and read is looked for again.

    Chromium says of such an element that it is stale, or else that its node is of no document.
    """
    return WebDriverWait(browser, SECONDS, poll_frequency=0.05, ignored_exceptions=[WebDriverException]).until(
        lambda _: is_so()
    )


@contextlib.contextmanager
def leaving(browser):
    """Do what leads to another page, and wait until the one that stands here is gone."""
    page = browser.find_element(By.TAG_NAME, "html")
    yield
    # While one page gives way to the other, the browser may refuse to say which stands there.
    waiting = WebDriverWait(browser, SECONDS, poll_frequency=0.05, ignored_exceptions=[WebDriverException])
    waiting.until(lambda _: browser.find_element(By.TAG_NAME, "html") != page)


def press(browser, by, what):
    """Press a button or link, and wait for the page that it leads to."""
    with leaving(browser):
        browser.find_element(by, what).click()


def enter(browser, by, what, text=""):
    """Type into a field and send its form by Enter, and wait for the page that it leads to."""
    with leaving(browser):
        browser.find_element(by, what).send_keys(text + Keys.ENTER)


def sign_in(browser, live_server, name):
    browser.get(live_server.url + reverse("login"))
    browser.find_element(By.NAME, "username").send_keys(name)
    enter(browser, By.NAME, "password", "open sesame")
    assert "login" not in browser.current_url


def without_script(browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})


def complaints(browser):
    """Return what the console says against the page: refused by the policy, broken scripts, missing files."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


HIDE = """
Object.defineProperty(document, "hidden", {value: arguments[0], configurable: true});
document.dispatchEvent(new Event("visibilitychange"));
"""
ASKED = "return performance.getEntriesByType('resource').filter(each => each.initiatorType === 'fetch').length"


@contextlib.contextmanager
def unseen(browser):
    """Have the page rest, as if it were in another tab: SQLite in memory refuses to be read while it is written."""
    browser.execute_script(HIDE, True)
    asked = -1
    while asked != (asked := browser.execute_script(ASKED)):
        browser.execute_async_script("setTimeout(arguments[0], 1000)")
    yield
    browser.execute_script(HIDE, False)


def work():
    """Have what waits done, as the worker would."""
    for job in Job.objects.filter(state=Job.State.QUEUED).order_by("pk"):
        jobs.run(job.pk)


def work_unseen(browser):
    with unseen(browser):
        work()
