"""The last week of a month as four people live it: a reviewer, finance, a PI and her delegate.

After each act: the dashboard's next step, the statement list, the mailboxes (a real mail server), the journal.

Ada's genomics pays from BIO-001, her imaging from IMG-7. Grace looks after imaging alone, and gets its statements.
Mary's reef pays from SEA-1. What the cloud calls Bedrock waits for a reviewer.

    ada genomics   EC2        100.00, of 120.00 list
    ada imaging    EC2         60.00
    mary reef      EC2         40.00
    ada genomics   Bedrock    500.00 + 200.00 + 50.00 + 13.08 = 763.08, held

    Monday     imported: 963.08 billed, four charges of it held
    Tuesday    what is clear is stated and mailed: 100.00, 60.00, 40.00 = 200.00
    Wednesday  the four are approved: genomics is 863.08, which no statement says yet
    Thursday   genomics is revised, 100.00 → 863.08, and Ada alone is written to
    Friday     in review, closed: no revision and no e-mail; submitted, posted, finalized
"""

import datetime
import html
import re
from decimal import Decimal

import pytest
from django.core.management import CommandError
from django.test import Client
from django.utils import timezone

from billing.background import heartbeat, jobs
from billing.models import BillingPeriod, Charge, Job, Membership, Person
from journals.models import Journal
from statements.models import Statement
from tests import build
from tests.smtp import mail_server

from .stage import command, row, tags, write

pytestmark = pytest.mark.django_db

MONTH = "2025-01"
BEDROCK = ("500.00", "200.00", "50.00", "13.08")
ADA, MARY, GRACE = "ada@u.edu", "mary@u.edu", "grace@u.edu"


class Desk:
    """What one person sees of the month in the browser."""

    def __init__(self, user):
        self.client = Client()
        self.client.force_login(user)

    def text(self, url, **query):
        """Return what a page says, without its tags, on one line."""
        answer = self.client.get(url, query, follow=True)
        assert answer.status_code == 200, (url, answer.status_code)
        return plain_text(answer.content.decode())

    def next_step(self):
        """Return what the dashboard says is next, and the button it offers this person, if any."""
        page = self.client.get("/admin/", {"period": MONTH}).content.decode()
        block = re.search(r'<div class="next">(.*?)</div>', page, re.DOTALL)[1]
        button = re.search(r'<a class="button default" href="([^"]+)">(.*?)</a>', block, re.DOTALL)
        said = plain_text(re.sub(r"<a class=.*?</a>", "", block, flags=re.DOTALL)).removeprefix("Next: ")
        return said, html.unescape(button[1]) if button else ""

    def press(self, url, **data):
        """Post a form of the page and return what the page after it says."""
        answer = self.client.post(url, data, follow=True)
        assert answer.status_code == 200, (url, answer.status_code)
        return plain_text(answer.content.decode())


def plain_text(page):
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def checked():
    """Return the month's checklist by code: its states, and the code of what is next."""
    shown = command("periods", "show", MONTH)
    return {item["code"]: item["state"] for item in shown["items"]}, shown["next"]


def in_force():
    """Return the statements in force: project, revision, state, total charged."""
    live = Statement.objects.live().order_by("project__code")
    found = live.values_list("project__code", "revision", "state", "charged")
    return [(code, revision, state, f"{charged:.2f}") for code, revision, state, charged in found]


@pytest.fixture
def institution(cast, tmp_path, settings):
    build.a_policy(
        center_fund_org="RC-000", own_domains=["u.edu"], flag_patterns=["Bedrock"], contact_email="research@u.edu"
    )
    build.a_source("aws", recovery_fund_org="RC-100", recovery_account="4900", debit_account="6500")
    ada = Person.objects.get(email=ADA)
    imaging = build.a_project("imaging", pi=ada)
    build.a_project("genomics", pi=ada)
    build.a_project("reef", pi=build.a_pi(MARY, name="Mary Anning"))
    # Grace is Ada's delegate for imaging and nothing else.
    Membership.objects.filter(user=cast.delegate).update(project=imaging, receives_statements=True)
    rows = [
        row("100.00", ListCost="120.00"),
        row("60.00", ResourceId="i-2", Tags=tags(project="imaging", fund="IMG-7")),
        row("40.00", ResourceId="i-3", Tags=tags(MARY, "reef", "SEA-1")),
        *(row(each, ServiceName="Bedrock", ResourceId=f"model-{each}") for each in BEDROCK),
    ]
    return write(tmp_path / "aws_2025-01.csv", rows)


@pytest.fixture
def post(settings):
    """The mail server of the institution, which the program sends through."""
    with mail_server() as server:
        server.configure(settings)
        yield server


def got(post):
    """Return how many e-mails each of the three has had."""
    return tuple(len(post.to(each)) for each in (ADA, GRACE, MARY))


def test_the_last_week_of_a_month(cast, institution, post, tmp_path):
    reviewer, finance = Desk(cast.reviewer), Desk(cast.finance)
    pi, delegate = Desk(cast.pi), Desk(cast.delegate)
    heartbeat.beat()
    file = tmp_path / "journal.csv"

    # Monday. Rex imports the file. Four charges are held, and the dashboard sends him to them.
    imported = command("ingest", institution, "--as", "rex")
    assert (imported["new"], imported["flagged"]) == (7, 4)
    said, url = reviewer.next_step()
    assert "4 charges" in said
    assert "763.08" in said
    assert "/heldcharge/" in url
    assert checked()[1] == "held"
    # Nobody closes a month over them, and nobody was written to.
    with pytest.raises(CommandError, match=r"763\.08"):
        command("periods", "close", MONTH)
    assert got(post) == (0, 0, 0)
    assert in_force() == []

    # Tuesday. What is clear goes out; that 763.08 is held is still what is next.
    command("generate", "-p", MONTH, "--send", "--as", "rex")
    assert in_force() == [
        ("genomics", 1, "sent", "100.00"),
        ("imaging", 1, "sent", "60.00"),
        ("reef", 1, "sent", "40.00"),
    ]
    # Ada has one e-mail with both of hers, Grace the one of imaging, Mary hers.
    assert got(post) == (1, 1, 1)
    (to_ada,) = post.to(ADA)
    assert len([name for name in to_ada.attachments if name.endswith(".pdf")]) == 2
    assert "160.00" in to_ada.text
    (to_grace,) = post.to(GRACE)
    assert "60.00" in to_grace.text
    assert "160.00" not in to_grace.text
    assert "genomics" not in to_grace.text
    assert checked()[1] == "held"
    # Ada sees both in the portal, Grace one, and neither is told that the month is final.
    assert "100.00" in pi.text("/")
    assert "60.00" in pi.text("/")
    seen = delegate.text("/")
    assert "60.00" in seen
    assert "100.00" not in seen

    # Wednesday. Rex approves the four. What was sent says less than Ada is charged, and the dashboard says so.
    ids = Charge.objects.held().values_list("pk", flat=True)
    command("review", "approve", "--id", *ids, "--note", "Ordered by the lab", "--as", "rex")
    states, following = checked()
    assert (states["held"], states["statements"], states["journal"]) == ("done", "open", "open")
    assert following == "statements"
    said, url = reviewer.next_step()
    assert "1 statement to revise" in said
    assert "763.08" in said
    assert url.startswith("/admin/statements/statement/generate/")
    # Nothing that is outdated goes out by itself: no e-mail, whoever asks.
    command("send_statements", "-p", MONTH, "--as", "rex")
    assert got(post) == (1, 1, 1)
    # Fay drafts and would submit; the draft holds today's charges, not those that were stated.
    command("export_journal", "-p", MONTH, "-f", "gl", "-o", file, "--as", "fay")
    draft = Journal.objects.get()
    assert (draft.state, draft.debits) == ("draft", Decimal("963.08"))
    marked = tmp_path / "journal-DRAFT.csv"
    assert all(",DRAFT," in line for line in marked.read_text(encoding="utf-8-sig").splitlines()[1:])

    # Thursday. One statement is revised. It is not sent until somebody sends it.
    command("generate", "-p", MONTH, "--as", "rex")
    assert in_force() == [
        ("genomics", 2, "issued", "863.08"),
        ("imaging", 1, "sent", "60.00"),
        ("reef", 1, "sent", "40.00"),
    ]
    assert checked()[1] == "sent"
    said, url = reviewer.next_step()
    assert "1 statement" in said
    assert "863.08" in said
    page = reviewer.text(url)
    assert "863.08" in page
    assert ADA in page
    assert GRACE not in page
    # Rex presses Send; the worker does it.
    reviewer.press("/admin/statements/statement/send/", period="2025-01-01", confirm="yes")
    work_off()
    assert got(post) == (2, 1, 1)
    revised = post.to(ADA)[-1]
    assert revised.subject.startswith("Revised: ")
    assert "863.08" in revised.text
    assert "was 100.00" in revised.text.replace("USD ", "").replace("$", "")
    # What she is charged for the month is 863.08 + 60.00, and no other total is called that.
    assert "923.08" in revised.text
    assert {each[2] for each in in_force()} == {"sent"}
    # Both revisions are on the list, and only the new one is in force.
    page = reviewer.text("/admin/statements/statement/", period=MONTH, state="all")
    assert "Superseded" in page
    assert "863.08" in page
    assert checked()[1] == "close"

    # Friday. In review until next week, then closed: nothing changed, so nobody hears of it again.
    until = timezone.localdate() + datetime.timedelta(days=5)
    command("periods", "review", MONTH, "--until", until, "--as", "rex")
    command("generate", "-p", MONTH, "--send", "--as", "rex")
    assert "questions until" in pi.text("/").casefold()
    assert checked()[1] == "close"
    said, url = reviewer.next_step()
    # Closing is for finance: Rex is told who can.
    assert "finance" in said
    assert url == ""
    said, url = finance.next_step()
    assert url == f"/admin/billing/billingperiod/{period().pk}/close/?walk=on"
    command("periods", "close", MONTH, "--notes", "All questions answered", "--as", "fay")
    command("generate", "-p", MONTH, "--send", "--as", "fay")
    assert [each[1] for each in in_force()] == [2, 1, 1]
    assert got(post) == (2, 1, 1)
    assert "All questions answered" in finance.text(f"/admin/billing/billingperiod/{period().pk}/change/")

    # The draft of Wednesday is what is to be journaled, and Fay submits it from the button she is offered.
    assert checked()[1] == "submitted"
    said, url = finance.next_step()
    assert "963.08" in said
    assert str(draft) in said
    assert "finance" in reviewer.next_step()[0]
    submitted = command("export_journal", "-p", MONTH, "-f", "gl", "-o", file, "--submit", "--as", "fay")
    assert (submitted["number"], submitted["debits"], submitted["credits"]) == (draft.number, "963.08", "963.08")
    assert "DRAFT" not in file.read_text(encoding="utf-8-sig")
    assert checked()[1] == "answered"
    assert "finalized" not in finance.next_step()[0]
    with pytest.raises(CommandError, match="answer"):
        command("periods", "finalize", MONTH, "--as", "fay")
    command("journals", "post", MONTH, "--document", "GL-4711", "--as", "fay")
    assert checked()[1] == "finalize"
    command("periods", "finalize", MONTH, "--notes", "January is done", "--as", "fay")
    assert checked()[1] is None
    assert "nothing is left to do" in finance.next_step()[0]
    assert "final" in pi.text("/").casefold()
    assert got(post) == (2, 1, 1)


def period():
    return BillingPeriod.objects.get(month=f"{MONTH}-01")


def work_off():
    """Do what waits for the worker, in its order, as the worker does."""
    for pk in list(Job.objects.filter(state=Job.State.QUEUED).order_by("pk").values_list("pk", flat=True)):
        jobs.run(pk)
    assert not Job.objects.filter(state=Job.State.FAILED).exists()
