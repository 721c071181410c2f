"""Real journeys in a browser: signing in, uploading, closing a month, and a console without complaints."""

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from billing.background import working
from billing.models import BillingPeriod, Job
from tests import build

from .steps import complaints, enter, press, sign_in, until, without_script

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_on_a_phone_a_button_opens_the_navigation(browser, live_server):
    build.the_cast()
    build.a_charge(flags=("missing_pi",))
    sign_in(browser, live_server, "root")
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        for name in ("admin:index", "admin:billing_import_upload", "admin:billing_heldcharge_changelist"):
            browser.get(live_server.url + reverse(name))
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, name
            menu = browser.find_element(By.ID, "nav-sidebar")
            assert not menu.is_displayed()
            browser.find_element(By.CSS_SELECTOR, ".menu-btn").click()
            assert menu.is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_of_a_form_is_cut_off_on_a_phone(browser, live_server):
    build.the_cast()
    sign_in(browser, live_server, "root")
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        browser.get(live_server.url + reverse("admin:billing_attributionrule_add"))
        room = "const rows = [...document.querySelectorAll('.form-row')]; return [rows.length, rows.filter("
        rows, cut = browser.execute_script(room + "row => row.scrollWidth > row.clientWidth).length]")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert rows > 5
    assert cut == 0


def test_a_reviewer_uploads_a_file_and_reads_how_it_goes(browser, live_server, tmp_path):
    build.the_cast()
    build.a_source("aws")
    file = tmp_path / "aws_2025-01.csv"
    file.write_text("BilledCost\n1\n")
    sign_in(browser, live_server, "rex")
    press(browser, By.LINK_TEXT, "Import files")
    browser.find_element(By.NAME, "files").send_keys(str(file))
    until(browser, lambda: "Guessed from the file name" in browser.page_source)
    assert browser.find_element(By.ID, "import-files").text == "Import 1 file"
    browser.find_element(By.ID, "import-files").click()
    until(browser, lambda: Job.objects.filter(arguments__dry_run=False).exists())
    job = Job.objects.get(arguments__dry_run=False)
    until(browser, lambda: f"/job/{job.pk}/" in browser.current_url)
    mark = working.begin(f"job-{job.pk}")
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING, done=40, total=100, message="Matching rows")
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, "#job-lead .running-line").text == "Matching rows")
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.DONE, message="1 row imported.", result={"rows": 1}, finished_at=build.NOW
    )
    mark.release()
    # The page says so by itself when the job is over.
    until(browser, lambda: "1 row imported." in browser.page_source)
    assert complaints(browser) == []


def test_finance_closes_a_month_by_the_keyboard(browser, live_server):
    build.the_cast()
    charge = build.a_charge()
    sign_in(browser, live_server, "fay")
    browser.get(live_server.url + reverse("admin:billing_billingperiod_change", args=[charge.period_id]))
    enter(browser, By.LINK_TEXT, "Close period…")
    browser.find_element(By.NAME, "leave").send_keys(Keys.SPACE)
    enter(browser, By.CSS_SELECTOR, "input[value='Close period']")
    until(browser, lambda: "January 2025 is closed" in browser.page_source)
    assert BillingPeriod.objects.get().status == "closed"
    current = browser.find_element(By.CSS_SELECTOR, ".steps [aria-current=step]")
    assert "Closed" in current.text


def test_light_or_dark_follows_the_device_until_somebody_chooses(browser, live_server):
    def device(scheme):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )

    def shown():
        return browser.execute_script("return document.documentElement.getAttribute('data-theme')")

    device("dark")
    browser.get(live_server.url + reverse("login"))
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert shown() == "dark"
    device("light")
    # The page hears of it in its own time.
    until(browser, lambda: shown() == "light")
    browser.find_element(By.CSS_SELECTOR, "[data-color-mode-toggle]").click()
    assert shown() == "dark"
    browser.refresh()
    assert shown() == "dark"
    browser.execute_script("localStorage.clear()")


def test_the_frame_works_without_script(browser, live_server):
    """On a phone: the navigation opens, the month is changed, and something is looked for."""
    build.the_cast()
    build.a_charge()
    build.a_charge(period="2025-02")
    sign_in(browser, live_server, "vera")
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    without_script(browser)
    try:
        browser.get(live_server.url + reverse("admin:index"))
        assert not browser.find_elements(By.CSS_SELECTOR, "[data-color-mode-toggle]:not([hidden])")
        browser.find_element(By.CSS_SELECTOR, ".period summary").click()
        press(browser, By.CSS_SELECTOR, ".period a[href$='2025-02']")
        assert "February 2025" in browser.find_element(By.CSS_SELECTOR, ".period summary").text
        browser.find_element(By.CSS_SELECTOR, ".menu-btn").click()
        press(browser, By.LINK_TEXT, "Charges")
        assert "?period=2025-02" in browser.current_url
        # A row is a card here: its amount is in sight.
        amount = browser.find_element(By.CSS_SELECTOR, "#result_list .amount")
        assert amount.is_displayed()
        assert amount.rect["x"] + amount.rect["width"] <= 390
        browser.find_element(By.CSS_SELECTOR, ".filter-menu summary").click()
        Select(browser.find_element(By.NAME, "state__exact")).select_by_visible_text("Held for review")
        press(browser, By.CSS_SELECTOR, ".filter-menu [type=submit]")
        assert "Nothing here matches." in browser.find_element(By.ID, "content-main").text
        enter(browser, By.CSS_SELECTOR, ".top .search input", "ada")
        assert "People" in browser.find_element(By.CSS_SELECTOR, ".hits").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
