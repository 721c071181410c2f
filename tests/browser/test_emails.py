"""An e-mail as its PI reads it, on the narrowest phone, in both themes; and staff who write its words and test them."""

import datetime
from decimal import Decimal

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By

from billing.models import Charge, Policy
from billing.months import closing
from statements import emails
from statements.models import Email
from tests import build
from tests.build import NOW, SOMEBODY
from tests.smtp import mail_server

from .pages import color, cut, devices, session, violations, widen
from .steps import press

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LATER = NOW + datetime.timedelta(hours=2)
LONG = "a-very-long-name-of-a-project-of-a-collaboration-between-many-institutes-0001"


@pytest.fixture
def server(settings):
    with mail_server() as running:
        running.configure(settings)
        yield running


@pytest.fixture
def mailed(server):
    """A month with a revised statement, a new one of a long name and a large amount, and charges in review."""
    build.a_policy(
        institution="Larkspur University",
        department="Research Computing",
        contact_email="billing@larkspur.example",
        statement_footer="One\nTwo",
    )
    charge = build.a_charge("7162.88", service_name="GPU", list_cost=Decimal("10703.40"))
    emails.issue_and_send(period=build.a_period(), send_now=True, actor=SOMEBODY, now=NOW)
    Charge.objects.filter(pk=charge.pk).update(billed_cost="7042.88", effective_cost="7042.88")
    build.a_charge("99999999.99", project=LONG, fund_org="GRANT-2025-000000000000123456789-ABCDEFGH")
    build.a_charge("763.08", flags=("pattern_match",))
    closing.start_review(period=build.a_period(), until=datetime.date(2025, 2, 14), actor=SOMEBODY, now=NOW)
    emails.issue_and_send(period=build.a_period(), send_now=True, actor=SOMEBODY, now=LATER)
    return server.mailbox[-1]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_e_mail_is_read_at_320_px_in_both_themes(browser, mailed, tmp_path, theme):
    page = tmp_path / "mail.html"
    page.write_text(mailed.html, encoding="utf-8")
    with devices(browser):
        widen(browser, 320)
        color(browser, theme)
        browser.get(page.as_uri())
        assert cut(browser) == []
        assert violations(browser) == []
        background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(244, 247, 246)" if theme == "light" else "rgb(13, 20, 19)")


def test_words_are_written_previewed_tested_and_saved(browser, live_server, mailed, server, cast):
    with devices(browser):
        widen(browser, 1440)
        session(browser, live_server, cast.finance)
        browser.get(live_server.url + reverse("admin:billing_policy_changelist"))
        press(browser, By.LINK_TEXT, "E-mail texts")
        browser.find_element(By.NAME, "html").send_keys("<body><h1>Hello {{ pi }}</h1></body>")
        press(browser, By.NAME, "_try")
        # The frame shows it, and nothing in it runs.
        frame = browser.find_element(By.CSS_SELECTOR, "iframe.letter-frame")
        browser.switch_to.frame(frame)
        assert browser.find_element(By.TAG_NAME, "h1").text == "Hello ada@u.edu"
        browser.switch_to.default_content()
        press(browser, By.NAME, "_test")
        assert f"A test was sent to {cast.finance.email}." in browser.find_element(By.CLASS_NAME, "messagelist").text
        assert "Hello ada@u.edu" in server.to(cast.finance.email)[0].html
        press(browser, By.NAME, "_make")
        assert "e-mails have these words from now" in browser.find_element(By.CLASS_NAME, "messagelist").text
    assert Policy.objects.current().email_html == "<body><h1>Hello {{ pi }}</h1></body>"


def test_the_message_as_it_was_sent_is_read_on_its_page(browser, live_server, mailed, cast):
    session(browser, live_server, cast.viewer)
    browser.get(live_server.url + reverse("admin:statements_email_changelist"))
    press(browser, By.LINK_TEXT, f"#{Email.objects.latest('pk').pk}")
    press(browser, By.LINK_TEXT, "Read it as it was sent")
    browser.switch_to.frame(browser.find_element(By.CSS_SELECTOR, "iframe.letter-frame"))
    assert "$7,042.88" in browser.find_element(By.TAG_NAME, "main").text
    assert browser.find_element(By.PARTIAL_LINK_TEXT, "View statement").is_displayed()
    browser.switch_to.default_content()
