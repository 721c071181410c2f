"""The list of statements and the page of each: sums of all that is filtered, states, choice, export, history."""

import csv
import io
import re
from decimal import Decimal

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from openpyxl import load_workbook

from billing.background import jobs
from billing.models import AuditEvent, Charge, Job, Person
from statements import emails, issuing
from statements.admin.statements import StatementAdmin
from statements.emails import outbox
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

LIST, SEND = "admin:statements_statement_changelist", "admin:statements_statement_send"
BY = {"actor": SOMEBODY, "now": NOW}
GENOMICS, PROTEINS, LASERS = "2025-01-0001-1", "2025-01-0002-1", "2025-01-0003-1"


@pytest.fixture
def issued(cast):
    """Two statements of Ada's and one of Bob's: list 160, discount 20, subsidy 70, charged 70."""
    build.a_charge("10.00", pi="ada@u.edu", project="genomics", list_cost=Decimal(100), contracted_cost=Decimal(80))
    build.a_charge("20.00", pi="ada@u.edu", project="proteins")
    build.a_charge("40.00", pi="bob@u.edu", project="lasers")
    issuing.generate(period=build.a_period(), **BY)


@pytest.fixture
def worker(monkeypatch, django_capture_on_commit_callbacks):
    """Have jobs done at once; what is sent within."""
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: jobs.run(pk))
    return lambda: django_capture_on_commit_callbacks(execute=True)


def look(client, query="?period=2025-01"):
    return client.get(reverse(LIST) + query)


def words(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def page_of(client, statement, tab=""):
    query = f"?tab={tab}" if tab else ""
    return client.get(reverse("admin:statements_statement_change", args=[statement.pk]) + query)


def chips(client, query="?period=2025-01"):
    found = look(client, query).context["cl"].state_chips
    return {each.label: (each.count, each.sums) for each in found}


def numbers(response):
    return [each.number for each in response.context["cl"].result_list]


def one(number):
    return Statement.objects.get(number=number)


def test_the_title_says_what_all_that_is_filtered_comes_to_and_not_the_page(client, issued, cast, monkeypatch):
    monkeypatch.setattr(StatementAdmin, "list_per_page", 1)
    client.force_login(cast.viewer)
    page = look(client)
    assert len(page.context["cl"].result_list) == 1
    assert "3 statements: list 160.00 − discount 20.00 − subsidy 70.00 = charged 70.00 USD" in words(page)
    narrowed = words(look(client, "?period=2025-01&pi=ada@u.edu"))
    assert "2 statements: list 120.00 − discount 20.00 − subsidy 70.00 = charged 30.00 USD" in narrowed


def test_corrections_are_a_term_of_their_own(client, cast):
    charge = build.a_charge("40.00")
    issuing.generate(period=build.a_period(), **BY)
    build.a_correction(charge, amount=Decimal("15.00"))
    build.a_charge("7.00", period="2025-02")
    issuing.generate(period=build.a_period("2025-02"), **BY)
    client.force_login(cast.viewer)
    said = "list 7.00 − discount 0.00 − subsidy 0.00 + corrections -15.00 = charged -8.00 USD"
    assert said in words(look(client, "?period=2025-02"))


def test_currencies_are_never_added_together(client, issued, cast):
    with build.safeguards_down():
        Statement.objects.filter(number=LASERS).update(currency="EUR")
    client.force_login(cast.viewer)
    said = words(look(client))
    assert "charged 30.00 USD" in said
    assert "charged 40.00 EUR" in said
    assert chips(client)["In force"] == (3, {"EUR": Decimal(40), "USD": Decimal(30)})


def test_states_are_chips_with_number_and_money_and_each_is_a_filter(client, issued, cast):
    emails.send(period=build.a_period(), chosen=[GENOMICS], **BY)
    Email.objects.create(
        period=build.a_period(), pi=one(LASERS).pi, recipient="bob@u.edu", state="failed", created_at=NOW
    ).statements.add(one(LASERS))
    build.a_charge("5.00", pi="ada@u.edu", project="proteins")
    client.force_login(cast.viewer)
    usd = lambda text: {"USD": Decimal(text)}  # noqa: E731
    assert chips(client) == {
        "In force": (3, usd("70.00")),
        "To send": (2, usd("60.00")),
        "Outdated": (1, usd("20.00")),
        "E-mail not delivered": (1, usd("40.00")),
        "Sent": (1, usd("10.00")),
    }
    for state, found in {
        "": [GENOMICS, PROTEINS, LASERS],
        "issued": [PROTEINS, LASERS],
        "outdated": [PROTEINS],
        "trouble": [LASERS],
        "sent": [GENOMICS],
        "void": [],
    }.items():
        page = look(client, f"?period=2025-01&state={state}" if state else "?period=2025-01")
        assert numbers(page) == found, state
        assert sum(each.count for each in page.context["cl"].comes_to.values()) == len(found), state
    # Other filters hold within the states.
    assert chips(client, "?period=2025-01&pi=bob@u.edu")["To send"] == (1, usd("40.00"))


def test_what_is_out_of_force_is_shown_where_it_is_asked_for(client, issued, cast):
    build.a_charge("5.00", pi="ada@u.edu", project="proteins")
    issuing.generate(period=build.a_period(), **BY)
    issuing.void(statement=one(LASERS), reason="Wrong", **BY)
    client.force_login(cast.viewer)
    assert numbers(look(client)) == [GENOMICS, "2025-01-0002-2"]
    assert chips(client)["Superseded or void"][0] == 2
    assert numbers(look(client, "?period=2025-01&state=out")) == [PROTEINS, LASERS]
    assert len(numbers(look(client, "?period=2025-01&state=all"))) == 4


def test_what_is_only_a_file_is_a_state_of_its_own(client, issued, cast, settings):
    settings.EMAIL_BACKEND = outbox.FILE_BACKEND
    emails.send(period=build.a_period(), chosen=[LASERS], **BY)
    client.force_login(cast.viewer)
    assert chips(client)["Only written to file"] == (1, {"USD": Decimal(40)})
    assert numbers(look(client, "?period=2025-01&state=written")) == [LASERS]


def test_filters_are_chips_that_can_be_removed_and_combined(client, issued, cast):
    client.force_login(cast.viewer)
    for query, found in {
        "fund=BIO-001": 3,
        "fund=CHEM-2": 0,
        "project=lasers": 1,
        "source=aws": 3,
        "charged=credit": 0,
        "pi=bob@u.edu&charged=more": 1,
    }.items():
        assert len(numbers(look(client, f"?period=2025-01&{query}"))) == found, query
    page = look(client, "?period=2025-01&pi=bob@u.edu&state=issued")
    assert [(each.title, each.value) for each in page.context["cl"].chips] == [
        ("billing period", "January 2025"),
        ("state", "To send"),
        ("PI", "bob@u.edu"),
    ]
    assert look(client, "?period=2025-01&pi=").url.endswith("?period=2025-01")
    # What is no state, and what is no month, is no error.
    assert look(client, "?period=never&state=nothing").status_code == 200


def test_the_export_holds_exactly_what_is_filtered(client, issued, cast):
    client.force_login(cast.viewer)
    address = reverse("admin:statements_statement_export") + "?period=2025-01&pi=ada@u.edu"
    answer = client.post(address, {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert [(row["statement"], row["pi"], row["fund_orgs"]) for row in rows] == [
        (GENOMICS, "ada@u.edu", "BIO-001"),
        (PROTEINS, "ada@u.edu", "BIO-001"),
    ]
    amounts = [rows[0][name] for name in ("list_price", "provider_discount", "subsidy", "corrections", "total_charged")]
    assert amounts == ["100.00", "20.00", "70.00", "0.00", "10.00"]
    answer = client.post(address, {"format": "xlsx"})
    sheet = load_workbook(io.BytesIO(b"".join(answer.streaming_content))).active
    charged = [row[0].value for row in sheet.iter_rows(min_row=2, min_col=14, max_col=14)]
    assert charged == [10, 20]
    event = AuditEvent.objects.filter(action="statement.list_exported").latest("pk")
    assert event.after == {"statements": 2, "format": "xlsx", "filters": "period=2025-01&pi=ada%40u.edu"}
    assert client.get(address).status_code == 405
    client.force_login(cast.pi)
    assert client.post(address, {"format": "csv"}).status_code in (302, 403)


def test_many_statements_are_exported_by_the_worker_for_who_asked(client, issued, cast, monkeypatch):
    monkeypatch.setattr(jobs, "LARGE", 1)
    client.force_login(cast.viewer)
    answer = client.post(
        reverse("admin:statements_statement_export") + "?period=2025-01&pi=ada@u.edu", {"format": "xlsx"}
    )
    job = Job.objects.get(kind=Job.Kind.STATEMENTS)
    assert answer.url == reverse("admin:billing_job_change", args=[job.pk])
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.message == "2 statements exported. The file is kept for 24 hours."
    assert "Go to these statements" in client.get(answer.url).content.decode()
    download = reverse("admin:billing_job_download", args=[job.pk])
    sheet = load_workbook(io.BytesIO(b"".join(client.get(download).streaming_content))).active
    assert [row[0] for row in sheet.iter_rows(min_row=2, values_only=True)] == [GENOMICS, PROTEINS]
    client.force_login(cast.admin)
    assert client.get(download).status_code == 404


def select(client, *chosen):
    keys = [one(number).pk for number in chosen]
    return client.post(reverse(LIST) + "?state=all", {"action": "send_selected", "_selected_action": keys})


def fields_of(page):
    """Return what the form that sends holds."""
    form = page.content.decode().split('<form method="post"')
    form = next(each for each in form if 'class="default"' in each).split("</form>")[0]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(value)
    return found


def test_some_are_selected_looked_at_and_sent_once(client, issued, cast, worker):
    """Rex ticks two of three; the page says who gets what in which words, and one click sends both, once."""
    emails.send(period=build.a_period(), chosen=[LASERS], **BY)
    client.force_login(cast.reviewer)
    page = select(client, GENOMICS, PROTEINS, LASERS)
    said = words(page)
    assert "January 2025: 1 e-mail with 2 statements, total charged 30.00 USD" in said
    assert "1 e-mail brings several statements of one PI" in said
    assert "nobody is in copy (Cc)" in said
    assert "It was sent on Feb 3, 2025" in said
    assert "Research computing statement for January 2025: $30.00 charged" in said
    assert "Dear Ada Lovelace" in said
    assert f"statement-{GENOMICS}.pdf" in said
    assert 'value="Send 2 statements"' in page.content.decode()
    assert not Job.objects.exists()
    fields = fields_of(page)
    assert (fields["statement"], fields["period"]) == ([GENOMICS, PROTEINS, LASERS], ["2025-01-01"])
    with worker():
        first = client.post(reverse(SEND), fields)
        again = client.post(reverse(SEND), fields)
    assert (first.url, Job.objects.count()) == (again.url, 1)
    assert [each.to for each in mail.outbox] == [["bob@u.edu"], ["ada@u.edu"]]
    assert Job.objects.get().arguments["statements"] == [GENOMICS, PROTEINS, LASERS]
    queued = AuditEvent.objects.get(action="job.queued")
    assert (queued.actor_name, queued.after["statements"]) == ("rex", [GENOMICS, PROTEINS, LASERS])
    # Whoever opens the page anew and sends again sends nothing.
    with worker():
        client.post(reverse(SEND), {"period": "2025-01-01", "chosen": "on", "statement": [GENOMICS]})
    assert len(mail.outbox) == 2


def test_each_message_can_be_read_before_it_is_sent(client, issued, cast):
    client.force_login(cast.reviewer)
    chosen = {"look": "on", "chosen": "on", "statement": [GENOMICS, LASERS]}
    assert client.post(reverse(SEND), chosen).context["shown"].recipient == "ada@u.edu"
    page = client.post(reverse(SEND), chosen | {"letter": "1"})
    assert page.context["shown"].recipient == "bob@u.edu"
    assert "total charged $40.00" in page.context["letter"].letter.text
    # What is no number of a message is the first one.
    assert client.post(reverse(SEND), chosen | {"letter": "77"}).context["shown"].recipient == "ada@u.edu"
    assert client.get(reverse(SEND) + "?period=2025-01&letter=1").context["shown"].recipient == "bob@u.edu"
    assert not Job.objects.exists()


def test_a_choice_of_nothing_or_of_two_months_sends_nothing(client, issued, cast, worker):
    build.a_charge("7.00", period="2025-02")
    issuing.generate(period=build.a_period("2025-02"), **BY)
    client.force_login(cast.reviewer)
    with worker():
        answer = client.post(reverse(SEND), {"period": "2025-01-01", "chosen": "on"}, follow=True)
    assert "No statement of this month waits to be sent" in words(answer)
    answer = select(client, GENOMICS, "2025-02-0001-1")
    assert answer.status_code == 302
    assert "of 2 months" in words(client.get(answer.url))
    assert (Job.objects.count(), mail.outbox) == (0, [])


def test_outdated_statements_of_a_choice_go_only_when_ticked(client, issued, cast, worker):
    build.a_charge("5.00", pi="bob@u.edu", project="lasers")
    client.force_login(cast.reviewer)
    assert "Nothing to send." in words(client.get(f"{reverse(SEND)}?statement={LASERS}"))
    page = client.post(reverse(SEND), {"look": "on", "chosen": "on", "statement": [LASERS], "outdated": "on"})
    assert 'value="Send 1 statement"' in page.content.decode()
    with worker():
        client.post(reverse(SEND), fields_of(page))
    assert [each.to for each in mail.outbox] == [["bob@u.edu"]]


def test_a_viewer_sees_no_button_and_no_tick_and_sends_nothing(client, issued, cast):
    client.force_login(cast.viewer)
    page = look(client).content.decode()
    for button in ("Send selected", "Send e-mails", "Issue statements", "_selected_action"):
        assert button not in page
    record = page_of(client, one(LASERS))
    for button in ("Send", "Void", "Issue the"):
        assert f">{button}" not in record.content.decode(), button
    assert "Correct…" not in page_of(client, one(LASERS), "lines").content.decode()
    select(client, LASERS)
    for method in (client.get, client.post):
        assert method(reverse(SEND), {"statement": LASERS, "period": "2025-01-01"}).status_code == 403
    assert (Job.objects.count(), mail.outbox) == (0, [])


def test_the_page_leads_with_the_amount_and_what_is_next(client, issued, cast, worker):
    """Rex opens a statement, sends it, and the page says so; a charge comes, and it says what to do."""
    client.force_login(cast.reviewer)
    page = page_of(client, one(LASERS))
    assert "40.00 USD It is issued and not e-mailed yet. Next: Send it…" in words(page)
    assert "list price 40.00 − provider discount 0.00 − subsidy 0.00 = total charged 40.00 USD" in words(page)
    send = page.context["standing"].url
    with worker():
        client.post(reverse(SEND), fields_of(client.get(send)))
    assert [each.to for each in mail.outbox] == [["bob@u.edu"]]
    assert "It was e-mailed to bob@u.edu on" in words(page_of(client, one(LASERS)))
    build.a_charge("2.50", pi="bob@u.edu", project="lasers")
    page = page_of(client, one(LASERS))
    assert "It would come to $42.50 now (+$2.50). Next: Issue the statements of January 2025…" in words(page)
    assert page.context["standing"].url == reverse("admin:statements_statement_generate") + "?period=2025-01"
    issuing.generate(period=build.a_period(), **BY)
    old = page_of(client, one(LASERS))
    assert "It was replaced on Feb 3, 2025. Statement 2025-01-0003-2" in words(old)
    assert ">Send" not in old.content.decode()


def test_an_e_mail_that_was_not_delivered_holds_a_statement_up_and_is_linked(client, issued, cast):
    mailed = Email.objects.create(
        period=build.a_period(),
        pi=one(LASERS).pi,
        recipient="bob@u.edu",
        state="failed",
        error="mailbox full",
        created_at=NOW,
    )
    mailed.statements.add(one(LASERS))
    client.force_login(cast.reviewer)
    page = page_of(client, one(LASERS))
    assert "Its e-mail to bob@u.edu was not sent: mailbox full Next: Look at the e-mail" in words(page)
    assert page.context["standing"].url == reverse("admin:statements_email_change", args=[mailed.pk])


def test_the_document_is_shown_as_the_pi_reads_it(client, issued, cast):
    client.force_login(cast.viewer)
    said = words(page_of(client, one(GENOMICS)))
    client.force_login(cast.pi)
    hers = words(client.get(reverse("portal:statement", args=[GENOMICS])))
    body = hers[hers.index("Charged to fund/org") : hers.index("Questions about this statement?")]
    # Only she has the pages of the charges behind a line, and asks; staff have the charges themselves.
    assert re.sub(r" (Charges behind|Ask about) this line : Compute", "", body) in said


def test_the_lines_add_up_to_the_total_with_corrections_apart(client, cast):
    charge = build.a_charge("40.00", list_cost=Decimal(100), contracted_cost=Decimal(80))
    issuing.generate(period=build.a_period(), **BY)
    build.a_correction(charge, amount=Decimal("15.00"))
    build.a_charge("7.00", period="2025-02")
    issuing.generate(period=build.a_period("2025-02"), **BY)
    statement = Statement.objects.get(period__month="2025-02-01")
    client.force_login(cast.reviewer)
    page = page_of(client, statement, "lines")
    total = page.context["total"]
    assert (total.list_cost, total.contracted_cost, total.charged) == (
        statement.list_cost,
        statement.contracted_cost,
        statement.charged,
    )
    groups = page.context["groups"]
    assert [(each.label, each.figures.charged) for each in groups] == [
        ("This month: February 2025", Decimal("7.00")),
        ("Corrections to earlier months", Decimal("-15.00")),
    ]
    for row in (row for group in groups for row in group.rows):
        assert client.get(row["why_url"]).status_code == 200
        assert client.get(row["correct_url"]).status_code == 200


def test_the_history_says_what_changed_from_revision_to_revision(client, issued, cast):
    """The first is sent; lines come, change and go: each revision says so line by line, and what became of it."""
    emails.send(period=build.a_period(), chosen=[LASERS], **BY)
    charge = build.a_charge("3.00", pi="bob@u.edu", project="lasers", service_name="Storage")
    issuing.generate(period=build.a_period(), **BY)
    Charge.objects.filter(pk=charge.pk).update(state="rejected")
    build.a_charge("1.00", pi="bob@u.edu", project="lasers")
    build.a_charge("6.00", pi="bob@u.edu", project="lasers", service_name="Network")
    issuing.generate(period=build.a_period(), **BY)
    latest = Statement.objects.get(reference=one(LASERS).reference, state="issued")
    issuing.void(statement=latest, reason="Wrong month", **BY)
    client.force_login(cast.viewer)
    client.get(reverse("admin:statements_statement_pdf", args=[latest.pk])).getvalue()
    page = page_of(client, latest, "history")
    third, second, first = page.context["revisions"]
    changed = {each.what: (each.before, each.after) for each in third.changes.lines}
    assert changed == {
        "Compute, BIO-001": (Decimal(40), Decimal(41)),
        "Network, BIO-001": (None, Decimal(6)),
        "Storage, BIO-001": (Decimal(3), None),
    }
    assert [each.changes.difference for each in (third, second)] == [Decimal(4), Decimal(3)]
    assert first.changes is None
    assert sum(each.difference for each in third.changes.lines) == third.changes.difference
    said = words(page)
    for told in (
        "2. Network, BIO-001 New line – 6.00 + 6.00",
        "Storage, BIO-001 No longer charged 3.00 – -3.00",
        "Total charged 43.00 47.00 + 4.00",
        "E-mail to bob@u.edu , PI Sent",
        "Downloaded by vera of the staff, PDF",
        "Voided by somebody",
        "Wrong month",
        "Issued by somebody",
    ):
        assert told in said, told


def test_a_revision_that_is_about_somebody_else_says_so(client, issued, cast):
    Person.objects.filter(email="bob@u.edu").update(email="robert@u.edu")
    issuing.generate(period=build.a_period(), **BY)
    latest = Statement.objects.get(reference=one(LASERS).reference, state="issued")
    client.force_login(cast.viewer)
    assert "PI: robert@u.edu, was bob@u.edu" in words(page_of(client, latest, "history"))


def queries(client, *urls):
    counts = []
    for url in urls:
        # What the first look keeps of a month is not asked again.
        client.get(url)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        # What is kept and who works lies in files on SQLite, and in tables of their own on PostgreSQL.
        asked = [query["sql"] for query in captured]
        counts.append(sum("billing_kept" not in sql and "billing_worker" not in sql for sql in asked))
    return counts


def test_every_page_takes_as_many_queries_for_many_rows_as_for_few_and_at_most_25(client, cast):
    client.force_login(cast.admin)
    found = []
    for number in range(2):
        for each in range(4):
            build.a_charge(pi=f"pi{number}{each}@u.edu")
            # The statement that is looked at gets another line, and another revision.
            build.a_charge("1.00", pi="pi00@u.edu", service_name=f"Service {number}{each}")
        issuing.generate(period=build.a_period(), **BY)
        if not number:
            # What the pages show of revisions is there the first time, too.
            emails.send(period=build.a_period(), chosen=["2025-01-0001-1"], **BY)
            build.a_charge("1.00", pi="pi00@u.edu", service_name="One more")
            issuing.generate(period=build.a_period(), **BY)
        emails.send(period=build.a_period(), chosen=[f"2025-01-000{number + 3}-1"], **BY)
        shown = Statement.objects.live().get(pi__email="pi00@u.edu")
        # One of them is not current.
        build.a_charge("1.00", pi="pi02@u.edu")
        record = reverse("admin:statements_statement_change", args=[shown.pk])
        month = reverse(LIST) + "?period=2025-01"
        several = "&".join(f"statement={each.number}" for each in Statement.objects.live().exclude(state="sent"))
        urls = [month, f"{month}&state=all", f"{month}&state=outdated", record, f"{record}?tab=lines"]
        urls += [f"{record}?tab=history", f"{reverse(SEND)}?period=2025-01", f"{reverse(SEND)}?{several}"]
        names = ("list", "all", "outdated", "document", "lines", "history", "send", "chosen")
        found.append(dict(zip(names, queries(client, *urls), strict=True)))
    assert found[0] == found[1]
    assert {name: count for name, count in found[1].items() if count > 25} == {}


def test_a_state_keeps_what_else_the_list_is_narrowed_by(client, issued, cast):
    client.force_login(cast.viewer)
    chosen = look(client, "?period=2025-01&pi=bob@u.edu").context["cl"].state_chips
    (to_send,) = (each for each in chosen if each.label == "To send")
    page = look(client, to_send.url)
    assert numbers(page) == [LASERS]
    assert [each.label for each in page.context["cl"].state_chips if each.is_current] == ["To send"]
    assert page.context["cl"].get_filters_params().keys() == {"period", "pi", "state"}
