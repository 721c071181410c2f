"""A whole month by the people who do it: imported, reviewed, issued, sent, closed, journaled, and read by the PI."""

import urllib.request

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from billing.models import BillingPeriod, Charge, Job
from journals.models import Journal
from statements.models import Statement
from tests import build
from tests.smtp import mail_server
from tests.test_pages import UPLOAD

from .steps import complaints, press, sign_in, unseen, until, without_script, work

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WHO = '"{""pi_email"":""ada@u.edu"",""project_id"":""genomics"",""fund_org"":""BIO-001""}"'
ROWS = f"""BilledCost,ListCost,ContractedCost,BillingPeriodStart,ChargePeriodStart,ResourceId,ServiceName,Tags
120.00,150.00,120.00,2025-01-01,2025-01-02,node-1,CPU hours,{WHO}
30.50,30.50,30.50,2025-01-01,2025-01-03,node-2,GPU hours,{WHO}
"""


class Month:
    """The pages of one month in a browser, with the worker's part done between them."""

    def __init__(self, browser, live_server, has_script):
        self.browser, self.server, self.has_script = browser, live_server, has_script
        self.clicks = 0

    def open(self, address):
        self.browser.get(self.server.url + address)

    def board(self):
        self.open(reverse("admin:index") + "?period=2025-01")

    def comes(self, name):
        """Have somebody else sit down at the screen."""
        self.browser.delete_all_cookies()
        sign_in(self.browser, self.server, name)
        self.clicks = 0

    def click(self, how, what):
        press(self.browser, how, what)
        self.clicks += 1

    def next(self):
        """Press the one button of the month; return what it said."""
        said = self.browser.find_element(By.CSS_SELECTOR, "#close .next .button.default").text
        self.click(By.CSS_SELECTOR, "#close .next .button.default")
        return said

    def confirm(self):
        """Press the button of a page that asks."""
        self.click(By.CSS_SELECTOR, "main form[method=post] .default, main form[method=post] .primary")

    def work(self):
        """Have the worker do what waits, while nobody looks."""
        if not self.has_script:
            work()
            return
        with unseen(self.browser):
            work()

    @property
    def text(self):
        return self.browser.find_element(By.TAG_NAME, "main").text


@pytest.fixture
def month(browser, live_server, request, settings):
    """An institution whose source, projects and mail server are set up."""
    build.the_cast()
    build.a_policy(own_domains=["u.edu"], flag_patterns=["gpu"])
    build.a_source("hpc", recovery_fund_org="RC-001", recovery_account="4100", debit_account="6500")
    if not request.param:
        without_script(browser)
    with mail_server() as server:
        server.configure(settings)
        yield Month(browser, live_server, request.param), server
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("month", [True, False], ids=["with script", "without script"], indirect=True)
def test_a_month_from_its_file_to_the_ledger_and_to_the_pi(month, tmp_path):
    here, mailed = month
    browser = here.browser
    file = tmp_path / "hpc_2025-01.csv"
    file.write_text(ROWS)

    # The reviewer imports, and decides what is held.
    here.comes("rex")
    here.open(UPLOAD)
    browser.find_element(By.NAME, "files").send_keys(str(file))
    if here.has_script:
        until(browser, lambda: Job.objects.exists())
        here.work()
        until(browser, lambda: "Ready" in browser.find_element(By.TAG_NAME, "main").text)
        browser.find_element(By.ID, "import-files").click()
        until(browser, lambda: "/job/" in browser.current_url)
    else:
        here.click(By.CSS_SELECTOR, "input[value=Upload]")
        here.work()
        here.click(By.ID, "check-again")
        here.click(By.ID, "import-files")
    here.work()
    if not here.has_script:
        here.click(By.LINK_TEXT, "Refresh")
    until(browser, lambda: browser.find_elements(By.LINK_TEXT, "1 held: review it"))
    here.click(By.LINK_TEXT, "1 held: review it")
    assert "GPU hours" in here.text
    here.open(reverse("admin:billing_heldcharge_changelist") + "?period=2025-01")
    browser.find_element(By.NAME, "group").click()
    # A script brings the queue up to date in its place.
    browser.find_element(By.CSS_SELECTOR, ".bulk [value=approve]").click()
    until(browser, lambda: "1 charge approved" in here.text)
    assert not Charge.objects.held().exists()

    # Issued and sent from the month's own page: two clicks each.
    here.board()
    here.clicks = 0
    assert here.next() == "Issue 1 statement"
    here.confirm()
    here.work()
    here.board()
    assert here.next() == "Send 1 statement"
    here.confirm()
    here.work()
    assert here.clicks <= 4
    statement = Statement.objects.get()
    assert statement.state == Statement.State.SENT
    assert [mail.recipients for mail in mailed.mailbox] == [("ada@u.edu",)]

    # Finance closes, and answers for the ledger.
    here.comes("fay")
    here.board()
    assert here.next() == "Close the month"
    here.confirm()
    if formats := browser.find_elements(By.CSS_SELECTOR, "select[name=format]"):
        Select(formats[0]).select_by_value("gl")
    here.confirm()
    here.work()
    if "/journal/" not in browser.current_url or "/export/" in browser.current_url:
        here.board()
        here.next()
    here.confirm()
    number = browser.find_element(By.NAME, "document_number")
    number.send_keys("GL-77")
    here.confirm()
    here.confirm()
    assert BillingPeriod.objects.get().status == "finalized", here.text
    assert "nothing is left to do" in here.text
    assert "Journaled to the cent" in here.text
    assert here.clicks <= 8
    assert Journal.objects.get().document_number == "GL-77"

    # Who may only look is offered nothing to do.
    here.comes("vera")
    here.board()
    assert "nothing is left to do" in here.text
    assert not browser.find_elements(By.CSS_SELECTOR, "#close .next .button.default")

    # And the PI reads what she owes, and takes it home.
    here.comes("ada")
    here.open(reverse("portal:statements"))
    here.click(By.PARTIAL_LINK_TEXT, statement.reference.text)
    assert "150.50" in here.text
    href = browser.find_element(By.PARTIAL_LINK_TEXT, "PDF").get_attribute("href")
    session = browser.get_cookie("sessionid")["value"]
    asked = urllib.request.Request(href, headers={"Cookie": f"sessionid={session}"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.read(5) == b"%PDF-"
    assert complaints(browser) == []
