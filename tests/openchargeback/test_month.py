"""The month's own page: its money, the close by one button, what moved, what failed; and the months side by side."""

import csv
import io
import random
import re
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import charts, failures, movements, review, trends
from billing.models import AuditEvent, BillingPeriod, Charge, Job, Project
from billing.money import to_cents
from journals.models import Journal
from openchargeback import demo, reference
from openchargeback.roles import sync_roles
from statements import emails, issuing
from statements.models import Email
from tests import build
from tests.billing.deliveries import a_row, delivered
from tests.smtp import mail_server

pytestmark = pytest.mark.django_db

INDEX, TRENDS = reverse("admin:index"), reverse("admin:trends")
BY = {"actor": build.SOMEBODY, "now": build.NOW}


def january():
    return BillingPeriod.objects.get(month="2025-01-01")


def board_of(client, month="2025-01"):
    return client.get(INDEX, {"period": month}).context["board"]


class Walker:
    """Somebody in front of the month, whose clicks are counted; what they type is not."""

    def __init__(self, client, user):
        self.client, self.clicks = client, 0
        client.force_login(user)
        self.page = client.get(INDEX, {"period": "2025-01"})

    @property
    def text(self):
        return self.page.content.decode()

    @property
    def path(self):
        return self.page.request["PATH_INFO"]

    @property
    def button(self):
        found = re.search(r'<a class="button default" href="([^"]+)">(.*?)</a>', self.text, re.DOTALL)
        return (unescape(found[1]), unescape(found[2])) if found else ("", "")

    def press(self):
        """Press the one button of the month."""
        self.clicks += 1
        self.page = self.client.get(self.button[0])
        assert self.page.status_code == 200

    def confirm(self, **typed):
        """Press the button of the page that asks, with what the form holds by itself and what is typed in."""
        forms = re.findall(r'<form method="post"(?![^>]*logout)(.*?)</form>', self.text, re.DOTALL)
        # Not one that only looks, or sends a test.
        form = [each for each in forms if 'name="look"' not in each][-1]
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
        action = re.match(r'[^>]*action="([^"]+)"', form)
        if 'name="leave"' in form:
            # A tick is a click, too.
            self.clicks += 1
            hidden["leave"] = "on"
        self.clicks += 1
        here = f"{self.path}?{self.page.request['QUERY_STRING']}"
        chosen = {"format": "gl"} if 'name="format"' in form else {}
        url = unescape(action[1]) if action else here
        self.page = self.client.post(url, chosen | hidden | typed, follow=True)
        assert self.page.status_code == 200


# The close by one button


@pytest.fixture
def ready(cast, settings, tmp_path):
    """A month whose statements are issued and sent, so that it can be closed."""
    build.a_policy(own_domains=["u.edu"])
    imaging = {"pi_email": "ada@u.edu", "project_id": "imaging", "fund_org": "BIO-001"}
    delivered(tmp_path, [a_row("100.00"), a_row("23.45", ResourceId="i-2", tags=imaging)])
    with mail_server() as server:
        server.configure(settings)
        issuing.generate(period=build.a_period(), **BY)
        emails.send(period=january(), **BY)
        yield cast


def test_finance_closes_a_month_from_the_board_in_at_most_seven_clicks(ready, client):
    fay = Walker(client, ready.finance)
    assert fay.button[1] == "Close the month"
    fay.press()
    assert fay.path == reverse("admin:billing_billingperiod_close", args=[january().pk])
    fay.confirm()
    # Each step leads to the page that asks for the next, and says what was done.
    assert "January 2025 is closed" in fay.text
    assert fay.path == reverse("admin:journals_journal_export")
    fay.confirm()
    journal = Journal.objects.get()
    assert fay.path == reverse("admin:journals_journal_submit", args=[journal.pk])
    fay.confirm()
    assert fay.path == reverse("admin:journals_journal_posted", args=[journal.pk])
    fay.confirm(document_number="GL-1")
    assert fay.path == reverse("admin:billing_billingperiod_finalize", args=[january().pk])
    fay.confirm()
    assert january().status == "finalized", fay.text
    assert fay.path == INDEX
    assert "nothing is left to do" in fay.text
    assert "Journaled to the cent" in fay.text
    assert fay.clicks <= 7


def test_issuing_and_sending_lead_back_to_the_month_while_a_job_does_them(cast, client):
    build.a_policy()
    build.a_charge()
    build.a_charge(project="imaging")
    rex = Walker(client, cast.reviewer)
    assert rex.button[1] == "Issue 2 statements"
    rex.press()
    rex.confirm()
    assert rex.path == INDEX
    assert Job.objects.get().kind == Job.Kind.GENERATE
    assert 'class="job-line"' in rex.text
    issuing.generate(period=january(), **BY)
    rex.page = client.get(INDEX)
    assert rex.button[1] == "Send 2 statements"
    rex.press()
    rex.confirm()
    assert rex.path == INDEX
    assert Job.objects.first().kind == Job.Kind.SEND


def test_the_walk_stops_where_the_next_step_is_for_somebody_else_and_goes_on_later(ready, client):
    walk = Walker(client, ready.finance)
    walk.press()
    walk.confirm()
    # Fay goes home: the month is as she left it, with the next step ready.
    assert 'class="closelink"' in walk.text
    assert f'href="{INDEX}?period=2025-01" class="closelink"' in walk.text
    vera = Walker(client, ready.viewer)
    assert vera.button == ("", "")
    assert "For admin, finance or reviewer." in vera.text
    again = Walker(client, ready.finance)
    assert again.button[1] == "Draft the journal"


def test_a_step_that_one_begins_at_its_own_place_ends_there(ready, client):
    client.force_login(ready.finance)
    url = reverse("admin:billing_billingperiod_close", args=[january().pk])
    done = client.post(url, {"notes": ""})
    assert done.url == reverse("admin:billing_billingperiod_change", args=[january().pk])


def test_what_is_held_comes_first_and_finance_may_carry_it_over_on_the_way(cast, client):
    build.a_charge("10.00", flags=("missing_pi",))
    build.a_charge("20.00", flags=("missing_pi", "pattern_match"))
    fay = Walker(client, cast.finance)
    assert fay.button[1] == "Review 2 charges"
    assert fay.button[0] == f"{reverse('admin:billing_heldcharge_changelist')}?period=2025-01"
    carry = reverse("admin:billing_billingperiod_carry", args=[january().pk])
    assert f'href="{carry}?walk=on"' in fay.text
    done = client.post(f"{carry}?walk=on", follow=True)
    # Nothing keeps the month from its close any more.
    assert done.request["PATH_INFO"] == reverse("admin:billing_billingperiod_close", args=[january().pk])


# The figures


def test_the_figures_of_the_sample_institution_add_up(db, client):
    sync_roles(actor=build.SOMEBODY, now=build.NOW)
    reference.load_reference(actor=build.SOMEBODY, now=build.NOW)
    demo.run(actor=build.SOMEBODY, now=build.NOW.replace(year=2026, month=3))
    client.force_login(build.a_user("fay9", "finance"))
    for month in ("2026-01", "2026-02"):
        board = board_of(client, month)
        assert {sight.code for sight in board.sights} == {"price", "delivered"}
        add_up(board)
        # Before corrections and shares, the charts say what statements say.
        assert board.charted[0].trend.totals[-1] > 0
    assert board.moved.rows
    assert sum(reason.count for reason in board.reasons) >= board.held > 0
    assert all(reason.billed for reason in board.reasons)


def add_up(board):
    for sight in board.sights:
        left, right = (
            sum((-part.shown if part.sign == "−" else part.shown for part in side), Decimal(0))
            for side in (sight.left, sight.right)
        )
        assert left == right, sight
    for each in board.charted:
        trend = each.trend
        assert [sum(amounts) for _, amounts, _ in trend.rows] == list(trend.totals)
        assert sum(series.total for series in trend.series) == trend.total
    assert len({each.trend.totals for each in board.charted}) <= 1
    if board.moved:
        assert sum(row.now for row in board.moved.rows) == board.moved.now_total == board.charted[0].trend.totals[-1]
        assert sum(row.before for row in board.moved.rows) == board.moved.before_total
        assert sum(row.change for row in board.moved.rows) == board.moved.change


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_of_a_random_month_add_up(cast, client, seed):
    dice = random.Random(seed)
    for _ in range(25):
        amount = Decimal(dice.randint(-(10**9), 10**10)).scaleb(-8)
        build.a_charge(
            f"{amount}",
            period=dice.choice(["2024-12", "2025-01"]),
            pi=dice.choice(["ada@u.edu", "b@u.edu", "c@u.edu", None]),
            project=dice.choice(["genomics", "reef", None]),
            source=dice.choice(["aws", "hpc"]),
            service_name=dice.choice(["Compute", "Storage", ""]),
            currency=dice.choice(["USD", "USD", "JPY"]),
            list_cost=amount * 2,
            flags=dice.choice([(), (), (), ("missing_pi",)]),
        )
    client.force_login(cast.viewer)
    board = board_of(client)
    add_up(board)
    for by in trends.BY:
        for currency in ("USD", "JPY"):
            months = trends.months_until(january(), 12, BillingPeriod.objects.all())
            found = trends.trend(months, by, currency=currency)
            paid = [
                sum(
                    Charge.objects.in_month(month)
                    .filter(currency=currency)
                    .exclude(state="held")
                    .values_list("billed_cost", flat=True),
                    Decimal(0),
                )
                for month in months
            ]
            assert list(found.totals) == [to_cents(amount, currency) for amount in paid]


def test_what_moved_names_the_service_and_the_resources_behind_it(cast):
    for month, amounts in (("2025-01", ("10", "5")), ("2025-02", ("90", "5"))):
        for number, amount in enumerate(amounts):
            build.a_charge(amount, period=month, resource_id=f"node-{number}", resource_name=f"node {number}")
        build.a_charge("3", period=month, service_name="Storage")
        build.a_charge("1", period=month, pi="b@u.edu")
    now, before = BillingPeriod.objects.get(month="2025-02-01"), january()
    totals = trends.Totals()
    moved = movements.movements(now, before, currency="USD", totals=totals)
    ada, rest = moved.rows
    assert (ada.label, ada.before, ada.now, ada.change) == ("Ada Lovelace", 18, 98, 80)
    assert (ada.cell.service, ada.cell.project, ada.cell.change) == ("Compute", "genomics", 80)
    assert [(each.name, each.change) for each in ada.resources] == [("node 0", 80)]
    assert (rest.is_rest, rest.label, rest.change) == (True, "1 other PI", 0)
    # Kept until a charge changes.
    build.a_charge("500", period="2025-02", pi="b@u.edu")
    assert movements.movements(now, before, currency="USD", totals=trends.Totals()).rows[0].label == "b@u.edu"


def test_many_charges_are_not_looked_through_for_resources(cast, monkeypatch):
    monkeypatch.setattr(movements, "LOOKED_THROUGH", 1)
    build.a_charge("10", period="2025-01")
    build.a_charge("90", period="2025-02")
    now = BillingPeriod.objects.get(month="2025-02-01")
    (ada,) = movements.movements(now, january(), currency="USD", totals=trends.Totals()).rows
    assert (ada.change, ada.resources) == (80, ())


def test_a_closed_month_is_kept_and_counts_anew_when_it_is_open_again(cast, django_assert_num_queries):
    build.a_charge("10")
    period = build.shut("2025-01")
    assert trends.trend([period], "source").totals == (10,)
    with django_assert_num_queries(3):
        trends.Totals().read(("source", [period]))
    BillingPeriod.objects.filter(pk=period.pk).update(status="open", closed_at=None)
    build.a_charge("5")
    assert trends.trend([january()], "source").totals == (15,)


# What it costs


@pytest.mark.parametrize("url", [f"{INDEX}?period=2025-02", f"{TRENDS}?by=pi&period=2025-02"])
def test_the_pages_ask_as_often_for_twice_as_much_and_at_most_25_times(cast, client, url):
    client.force_login(cast.finance)

    def fill(first, last):
        for number in range(first, last):
            for month in ("2025-01", "2025-02"):
                build.a_charge(
                    f"{number * 7}.25",
                    pi=f"pi{number}@u.edu",
                    project=f"p{number}",
                    period=month,
                    service_name=f"Service {number}",
                    flags=("missing_pi",) if number % 3 == 0 else (),
                )

    def asked():
        client.get(url)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        # What is kept lies in files on SQLite, and in a table of its own on PostgreSQL.
        besides = re.compile(r'^PRAGMA|^SET LOCAL|"?billing_kept"?|^(RELEASE )?SAVEPOINT')
        return len([query for query in captured if not besides.search(query["sql"])])

    fill(1, 8)
    few = asked()
    fill(8, 15)
    assert asked() == few
    assert few <= 25


# Failures


def a_failed_job(**fields):
    return Job.objects.create(
        kind="import",
        state="failed",
        message="The disk is full.",
        created_at=build.NOW,
        finished_at=build.NOW,
        **fields,
    )


def test_a_failure_is_dismissed_once_and_recorded(cast, client):
    job = a_failed_job()
    client.force_login(cast.finance)
    page = client.get(INDEX).content.decode()
    assert "The disk is full." in page
    assert f'value="job:{job.pk}"' in page
    done = client.post(reverse("admin:dismiss"), {"failure": f"job:{job.pk}"}, follow=True)
    assert "1 failure is dismissed." in done.content.decode()
    assert "The disk is full." not in done.content.decode()
    event = AuditEvent.objects.get(action=failures.ACTION)
    assert (event.object_type, event.object_id, event.actor_name) == ("job", str(job.pk), "fay")
    again = client.post(reverse("admin:dismiss"), {"failure": f"job:{job.pk}"}, follow=True)
    assert "This is dismissed already, or it did not fail." in again.content.decode()
    for nonsense in ("", "job:x", "what:1", "emails:soon", "emails:2031-01"):
        assert (
            "There is no failure"
            in client.post(reverse("admin:dismiss"), {"failure": nonsense}, follow=True).content.decode()
        )


def test_who_could_not_do_it_again_sees_the_failure_and_cannot_dismiss_it(cast, client):
    job = a_failed_job()
    client.force_login(cast.viewer)
    page = client.get(INDEX).content.decode()
    assert "The disk is full." in page
    assert "Dismiss" not in page
    assert client.post(reverse("admin:dismiss"), {"failure": f"job:{job.pk}"}).status_code == 403
    assert not AuditEvent.objects.filter(action=failures.ACTION).exists()


def test_an_email_that_fails_again_after_it_was_dismissed_is_shown_again(cast, client):
    build.a_charge()
    issuing.generate(period=january(), **BY)
    emails.send(period=january(), **BY)
    Email.objects.update(state="failed", claimed_at=build.NOW)
    client.force_login(cast.finance)
    assert [each.key for each in board_of(client).failures] == ["emails:2025-01"]
    client.post(reverse("admin:dismiss"), {"failure": "emails:2025-01"})
    assert board_of(client).failures == []
    at = AuditEvent.objects.get(action=failures.ACTION).at
    Email.objects.update(claimed_at=at.replace(year=at.year + 1))
    assert [each.what for each in board_of(client).failures] == ["1 e-mail"]


# Who sees what


@pytest.mark.parametrize("role", ["viewer", "reviewer", "finance", "admin"])
def test_each_role_sees_the_month_and_its_button_only_with_the_right(cast, client, role):
    build.a_charge(flags=("missing_pi",))
    build.a_charge("40", period="2024-12")
    walker = Walker(client, getattr(cast, role))
    assert bool(walker.button[0]) == (role != "viewer")
    for said in (
        "Close January 2025",
        "Held for review",
        "Biggest changes from December 2024",
        "Charged by source",
        "Top PIs",
    ):
        assert said in walker.text, said
    if role == "viewer":
        assert "For admin, finance or reviewer." in walker.text


def test_without_a_month_the_page_says_how_the_first_begins(cast, client):
    client.force_login(cast.reviewer)
    page = client.get(INDEX).content.decode()
    assert "The first file opens its billing period." in page
    assert client.get(TRENDS).status_code == 200


# Trends


def test_trends_show_what_is_chosen_and_give_it_out_as_a_file(cast, client):
    for number, month in enumerate(("2024-11", "2024-12", "2025-01")):
        build.a_charge(f"{100 + number}.10", period=month, list_cost=Decimal(200), contracted_cost=Decimal(150))
        build.a_charge("5", period=month, project="=cmd", pi="b@u.edu")
    client.force_login(cast.viewer)
    page = client.get(TRENDS, {"by": "project", "show": "subsidy", "months": "24", "period": "2025-01"})
    text = page.content.decode()
    assert "Subsidy by project, November 2024 to January 2025" in text
    trend = page.context["asked"].trend
    assert [(each.label, each.total) for each in trend.series] == [("genomics", Decimal("146.70")), ("=cmd", 0)]
    project = reverse("admin:billing_project_change", args=[Project.objects.get(code="genomics").pk])
    assert f'href="{project}"' in text
    file = client.get(f"{TRENDS}{page.context['asked'].csv_url}")
    assert file["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"))))
    assert rows[0] == ["Project", "2024-11", "2024-12", "2025-01", "Total", "Currency"]
    assert rows[1] == ["genomics", "49.90", "48.90", "47.90", "146.70", "USD"]
    assert rows[2][0] == "'=cmd"
    assert rows[-1] == ["Total", "49.90", "48.90", "47.90", "146.70", "USD"]


@pytest.mark.parametrize("by", trends.BY)
@pytest.mark.parametrize("show", trends.MEASURES)
def test_every_choice_of_the_trends_opens(cast, client, by, show):
    build.a_charge()
    build.a_charge("7", currency="EUR", pi=None, project=None, service_name="", fund_org="")
    client.force_login(cast.viewer)
    for currency in ("", "EUR", "XXX"):
        page = client.get(TRENDS, {"by": by, "show": show, "months": "36", "currency": currency})
        assert page.status_code == 200
        assert page.context["asked"].trend.currency == ("EUR" if currency == "EUR" else "USD")


def test_the_trends_say_what_they_leave_out(cast, client):
    build.a_charge("30")
    build.a_charge("12.50", flags=("pattern_match",))
    client.force_login(cast.viewer)
    text = client.get(TRENDS).content.decode()
    assert "1 charge of" in text
    assert "waits for review" in text
    review.approve(charges=Charge.objects.held(), note="Seen", **BY)
    assert "waits for review" not in client.get(TRENDS).content.decode()


# The charts


def test_bars_stack_up_from_zero_and_credits_hang_below_it():
    chart = charts.stacked([(Decimal(30), Decimal(50), Decimal(-20)), (Decimal(0), Decimal(100), Decimal(0))])
    assert [tick.text for tick in chart.ticks] == ["150", "100", "50", "0", "-50"]
    first, second, credit, last = chart.segments
    # 2 units an amount of 1; 0 lies at 300.
    assert (first.y, first.height) == ("240.00", "60.00")
    assert (second.y, second.height) == ("140.00", "100.00")
    assert (credit.y, credit.height) == ("300.00", "40.00")
    assert (last.series, last.y) == (2, "100.00")


@pytest.mark.parametrize(
    ("amounts", "top", "bottom"),
    [
        (["0"], "4", "0"),
        (["0.0000001"], "0.0000001", "0"),
        (["86972.68"], "100k", "0"),
        (["999999999.99"], "1B", "0"),
        (["-40"], "0", "-40"),
        (["10", "-1000"], "1k", "-1k"),
    ],
)
def test_the_lines_across_are_round_and_one_is_zero(amounts, top, bottom):
    chart = charts.stacked([[Decimal(each)] for each in amounts])
    assert (chart.ticks[0].text, chart.ticks[-1].text) == (top, bottom)
    assert "0" in [tick.text for tick in chart.ticks]
    assert all(Decimal(each.y) >= 0 and Decimal(each.y) + Decimal(each.height) <= 400 for each in chart.segments)
