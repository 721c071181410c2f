"""The portal as people use it: a PI on a phone, a delegate of ten PIs, and one who is removed while signed in."""

import base64
import datetime
import io
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

from billing.models import Membership, Person, Project
from statements import emails, issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.smtp import mail_server

from .pages import color, cut, devices, session, violations, widen
from .steps import press, until
from .test_journeys import complaints, without_script

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LONG = "NSF-2026-" + "X" * 55
TEN_MILLIONS = "12345678.90"


def issue(*months):
    for month in months:
        issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)


@pytest.fixture
def ten_pis(transactional_db):
    """Ada and nine others, each with two months of statements, all of whom Grace is a delegate of."""
    cast = build.the_cast()
    build.a_policy(institution="Larkspur University Research Computing", contact_email="rc-billing@larkspur.example")
    for number in range(10):
        address = f"pi{number}@u.edu" if number else "ada@u.edu"
        pi = build.a_pi(address, name="" if number == 9 else f"Professor Doctor Maximiliane von Hohenlohe {number}")
        if number:
            Membership.objects.create(person=pi, user=cast.delegate, valid_from=datetime.date(2024, 1, 1))
        for month, amount in (("2025-01", "1000.00"), ("2025-02", TEN_MILLIONS)):
            build.a_charge(
                amount,
                pi=address,
                project=f"ocean-{number}-" + "g" * 40,
                period=month,
                fund_org=LONG if number == 0 else "BIO-001",
                list_cost=Decimal(amount) * 2,
                contracted_cost=Decimal(amount) * 2,
                resource_name="node-" + "y" * 60,
                consumed_quantity=Decimal(amount),
                consumed_unit="core-hours",
            )
    build.a_charge("99999999.99", period="2025-03")
    build.a_fund(LONG, name="Ocean award", budget=Decimal(99999999), valid_until=datetime.date(2027, 6, 30))
    build.a_fund("BIO-001", valid_until=timezone.localdate() + datetime.timedelta(days=30))
    issue("2025-01", "2025-02")
    return cast


def says(browser, text):
    """Wait until the page says it; without script a click may return before the next page is there."""
    until(browser, lambda: text in browser.find_element(By.TAG_NAME, "main").text)


def pages_of(statement):
    names = ("home", "statements", "projects", "trends", "funds", "downloads", "delegates")
    return [
        *(reverse(f"portal:{name}") for name in names),
        reverse("portal:statement", args=[statement.number]),
        reverse("portal:line", args=[statement.number, 1]),
        reverse("portal:project", args=[statement.project_id]),
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_fits_from_320_px_on_for_a_delegate_of_ten_pis(browser, live_server, ten_pis, theme):
    """With amounts of 10 million, long names and codes, in both themes, for everybody."""
    statement = Statement.objects.live().filter(pi__email="ada@u.edu").latest("period__month")
    with devices(browser):
        session(browser, live_server, ten_pis.delegate)
        color(browser, theme)
        found = {}
        for url in pages_of(statement):
            browser.get(live_server.url + url)
            wrong = violations(browser)
            for width in (1440, 390, 320):
                widen(browser, width)
                wrong += [f"{width} px: {each}" for each in cut(browser)]
            broken = "return [...document.querySelectorAll('.number')].filter(each => each.getClientRects().length > 1)"
            wrong += [f"320 px: over two lines: {each.text}" for each in browser.execute_script(broken)]
            if wrong := wrong + complaints(browser):
                found[url] = wrong
    assert not found, "\n".join(f"{url}\n  " + "\n  ".join(wrong) for url, wrong in found.items())


def test_a_pi_on_a_phone_reads_why_it_changed_and_goes_on_to_the_charges(browser, live_server, ten_pis):
    with devices(browser):
        session(browser, live_server, ten_pis.pi)
        widen(browser, 390, 844)
        browser.get(live_server.url + "/")
        assert browser.find_element(By.TAG_NAME, "h1").text == "February 2025"
        total = browser.find_element(By.CSS_SELECTOR, ".big-sum")
        assert total.text == "12,345,678.90 USD"
        assert "1,000 → 12,345,678.9 core-hours" in browser.find_element(By.CSS_SELECTOR, ".why").text
        browser.find_element(By.CSS_SELECTOR, ".why a").click()
        WebDriverWait(browser, 10).until(lambda _: "Statement 2025-02-" in browser.title)
        browser.find_element(By.CSS_SELECTOR, "details:not(.menu) summary").click()
        browser.find_element(By.PARTIAL_LINK_TEXT, "Charges behind this line").click()
        WebDriverWait(browser, 10).until(lambda _: "Charges behind line 1" in browser.page_source)


def test_a_pi_names_a_delegate_without_script_and_removes_her_while_she_looks(browser, live_server, ten_pis, client):
    joanna = build.a_user("joanna", "delegate")
    client.force_login(joanna)
    number = Statement.objects.live().filter(pi__email="ada@u.edu").latest("period__month").number
    hers = reverse("portal:statement", args=[number])
    with devices(browser):
        session(browser, live_server, ten_pis.pi)
        widen(browser, 390, 844)
        without_script(browser)
        try:
            browser.get(live_server.url + reverse("portal:delegates"))
            browser.find_element(By.NAME, "who").send_keys("nobody@u.edu")
            browser.find_element(By.CSS_SELECTOR, "section form [type=submit]").click()
            says(browser, "has no account here yet")
            browser.get(live_server.url + reverse("portal:delegates"))
            browser.find_element(By.NAME, "who").send_keys("joanna@u.edu")
            Select(browser.find_element(By.NAME, "may")).select_by_value("act")
            browser.find_element(By.CSS_SELECTOR, "section form [type=submit]").click()
            says(browser, "joanna@u.edu is your delegate from today.")
            assert client.get(hers).status_code == 200
            row = next(
                each for each in browser.find_elements(By.CSS_SELECTOR, "tbody tr") if "joanna@u.edu" in each.text
            )
            row.find_element(By.PARTIAL_LINK_TEXT, "Remove").click()
            says(browser, "at once")
            browser.find_element(By.CSS_SELECTOR, "main [type=submit]").click()
            says(browser, "is not your delegate any more")
        finally:
            browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert client.get(hers).status_code == 404
    assert not Membership.objects.filter(user=joanna, person=Person.objects.get(email="ada@u.edu")).exists()
    assert Project.objects.exists()


def test_a_removed_delegate_has_nothing_left_in_an_open_session_a_program_or_the_next_mail(
    browser, live_server, settings, client
):
    cast = build.the_cast()
    Membership.objects.update(receives_statements=True, may_act=True)
    for month, amount in (("2025-01", "4321.09"), ("2025-02", "8765.43")):
        build.a_charge(amount, period=month, resource_name="sequencer")
        issue(month)
    number = Statement.objects.get(period__month="2025-01-01").number
    statement = reverse("portal:statement", args=[number])
    names = ("home", "statements", "projects", "trends", "funds", "questions", "delegates", "downloads")
    secrets = ("4,321.09", "8,765.43", "genomics", "sequencer", "ada@u.edu")

    def program(address):
        return Client().get(f"/api/v1/{address}", headers={"authorization": f"Bearer {token}"})

    token = build.a_token(cast.delegate, now=timezone.now())
    held = Membership.objects.get(user=cast.delegate)
    with mail_server() as server, devices(browser):
        server.configure(settings)
        emails.send(period=build.a_period("2025-01"), actor=SOMEBODY, now=NOW)
        assert server.to("grace@u.edu")
        assert len(program("statements").json()["data"]) == 2
        session(browser, live_server, cast.delegate)
        widen(browser, 390, 844)
        browser.get(live_server.url + statement)
        assert "4,321.09" in browser.page_source
        found = violations(browser)

        client.force_login(cast.pi)
        asked = reverse("portal:remove_delegate", args=[held.pk])
        assert client.post(asked).status_code == 302

        # The page is still open, and every link of it leads to nothing.
        press(browser, By.PARTIAL_LINK_TEXT, "Ask about this line")
        assert "4,321.09" not in browser.page_source
        found += violations(browser) + cut(browser)
        for address in (statement, *(reverse(f"portal:{name}") for name in names)):
            browser.get(live_server.url + address)
            assert not [each for each in secrets if each in browser.page_source], address
            found += [f"{address}: {each}" for each in (*violations(browser), *cut(browser))]
        own = type(client)()
        own.force_login(cast.delegate)
        files = ("pdf", "csv", "xlsx", "charges")
        assert {own.get(reverse(f"portal:{name}", args=[number])).status_code for name in files} == {404}

        # Her program has a token that is good, of somebody who may see nothing.
        assert [program(name).json()["data"] for name in ("statements", "lines", "charges", "usage")] == [[]] * 4
        assert program(f"statements/{number}").status_code == 404

        server.mailbox.clear()
        emails.send(period=build.a_period("2025-02"), actor=SOMEBODY, now=timezone.now())
        assert [each.recipients for each in server.mailbox] == [("ada@u.edu",)]
    assert not found, "\n".join(found)


def test_the_guide_for_pis_prints_on_one_page(browser, live_server):
    cast = build.the_cast()
    session(browser, live_server, cast.pi)
    browser.get(f"{live_server.url}/help/user-guide/for-pis/")
    printed = PdfReader(io.BytesIO(base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])))
    assert len(printed.pages) == 1
    text = printed.pages[0].extract_text()
    assert "Your research computing statement, on one page" in text
    # What is for the screen alone is not printed.
    assert "On this page" not in text
