"""A dispute in a browser: from the question on a phone to the corrected statement, without script where it is asked."""

import datetime

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from billing.models import Charge, Correction, Question
from billing.months import closing
from statements import issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

from . import steps
from .pages import cut, devices, session, widen
from .test_accessible import faults_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BY = {"actor": SOMEBODY, "now": NOW}


def press(browser, text):
    """Press the link or button of this text, and wait for the page that it leads to."""
    path = f"//main//*[self::a or self::button][contains(normalize-space(), '{text}')]|//main//input[@value='{text}']"
    steps.press(browser, By.XPATH, path)


def said(browser):
    return " ".join(browser.find_element(By.TAG_NAME, "main").text.split())


def without_faults(browser):
    """Ask of the page all that is asked of every page; those of the portal fit 320 px."""
    found = faults_of(browser)
    if "/admin/" not in browser.current_url:
        widen(browser, 320)
        found += [f"320 px: {each}" for each in cut(browser)]
    assert not found, f"{browser.current_url}\n" + "\n".join(found)


@pytest.fixture
def january(cast):
    build.a_policy(contact_email="help@u.edu")
    build.a_charge("40.00", resource_name="login-node")
    build.a_charge("2.00", resource_name="gpu-14")
    build.a_fund("GIFT-2", name="Gift for genomes").projects.add(build.a_project("genomics"))
    issuing.generate(period=build.a_period(), **BY)
    return build.a_period()


def test_a_dispute_from_the_question_to_the_corrected_statement(browser, live_server, cast, january):
    statement = Statement.objects.get()
    with devices(browser):
        # Ada asks on her phone, from the line.
        session(browser, live_server, cast.pi)
        widen(browser, 320)
        browser.get(live_server.url + reverse("portal:statement", args=[statement.number]))
        press(browser, "Ask about this line")
        without_faults(browser)
        browser.find_element(By.TAG_NAME, "summary")
        Select(browser.find_element(By.NAME, "reason")).select_by_value("usage")
        browser.find_element(By.NAME, "text").send_keys("gpu-14 was down on January 5.")
        press(browser, "Send question")
        question = Question.objects.get()
        assert "2 charges are not charged until it is answered" in said(browser)
        without_faults(browser)
        browser.get(live_server.url + reverse("portal:questions"))
        without_faults(browser)

        # Her delegate reads it and adds something; a stranger finds nothing.
        session(browser, live_server, cast.delegate)
        browser.get(live_server.url + reverse("portal:question", args=[question.pk]))
        browser.find_element(By.NAME, "text").send_keys("The node is back since January 9.")
        press(browser, "Send message")
        assert "The node is back" in said(browser)
        session(browser, live_server, cast.stranger)
        browser.get(live_server.url + reverse("portal:question", args=[question.pk]))
        assert "not found" in browser.page_source.lower() or "404" in browser.page_source
        assert "gpu-14" not in browser.page_source
        # The console says by itself that it was not found.
        browser.get_log("browser")

        # A reviewer asks back; the month closes meanwhile, and the line posts.
        session(browser, live_server, cast.reviewer)
        browser.get(live_server.url + reverse("admin:billing_question_changelist"))
        without_faults(browser)
        press(browser, f"Question {question.pk}")
        without_faults(browser)
        press(browser, "Reply…")
        without_faults(browser)
        browser.find_element(By.NAME, "text").send_keys("We are looking at it.")
        press(browser, "Send reply")
        closing.close(period=january, **BY)
        assert set(Charge.objects.values_list("state", flat=True)) == {"clear"}
        build.a_period("2025-02")

        # The correction is filled in from the question.
        browser.get(live_server.url + reverse("admin:billing_question_change", args=[question.pk]))
        press(browser, "Enter a correction…")
        without_faults(browser)
        assert browser.find_element(By.NAME, "which").get_attribute("value") == question.line
        browser.find_element(By.NAME, "amount").send_keys("2.00")
        browser.find_element(By.NAME, "printed_text").send_keys("The failed node gpu-14 is no longer charged.")
        press(browser, "Preview")
        press(browser, "Enter it")
        correction = Correction.objects.get()
        assert f"question {question.pk}" in said(browser)

        # Ada reads the answer, and her next statement has the correction.
        issuing.generate(period=correction.charged_in, **BY)
        session(browser, live_server, cast.pi)
        browser.get(live_server.url + reverse("portal:question", args=[question.pk]))
        assert "Corrected" in said(browser)
        assert "The failed node gpu-14 is no longer charged. It is on your next statement of February 2025." in said(
            browser
        )
        corrected = Statement.objects.get(period=correction.charged_in)
        browser.get(live_server.url + reverse("portal:statement", args=[corrected.number]))
        assert "The failed node gpu-14 is no longer charged." in said(browser)
        assert corrected.charged == -2


def test_a_proposal_is_asked_for_without_script_and_applied_in_one_click(browser, live_server, cast, january):
    closing.start_review(period=january, until=datetime.date(2999, 1, 1), **BY)
    statement = Statement.objects.get()
    with devices(browser):
        session(browser, live_server, cast.pi)
        widen(browser, 390)
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            browser.get(live_server.url + reverse("portal:ask", args=[statement.number, 1]))
            Select(browser.find_element(By.NAME, "reason")).select_by_value("fund")
            browser.find_element(By.NAME, "text").send_keys("The gift pays for genomes.")
            browser.find_element(By.CSS_SELECTOR, ".ask-form summary").click()
            browser.find_element(By.CSS_SELECTOR, ".share input").send_keys("100")
            press(browser, "Send question")
        finally:
            browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        question = Question.objects.get()
        assert question.proposed == {"GIFT-2": "100"}
        session(browser, live_server, cast.reviewer)
        widen(browser, 1440)
        browser.get(live_server.url + reverse("admin:billing_question_change", args=[question.pk]))
        without_faults(browser)
        press(browser, "Apply as proposed")
        assert set(Charge.objects.values_list("fund_org", flat=True)) == {"GIFT-2"}
        assert "Charged as proposed" in said(browser)
