"""Statements: figures, revisions, zero revisions, dry runs, and what a finalized month refuses."""

import datetime
import hashlib
import threading
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.errors import ReasonMissing
from billing.models import AuditEvent, BillingReference, Charge, FundingSource, PayerLine, Person, Project, Source
from billing.months import checklist, closing
from statements import issuing
from statements.document import Figures
from statements.issuing import pdfs, snapshots
from statements.models import Statement, StatementLine
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db


def generate(month="2025-01", **options):
    return issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW, **options)


def rows():
    return [model.objects.count() for model in (Statement, StatementLine, PayerLine, BillingReference, AuditEvent)]


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_statement_shows_list_price_discount_subsidy_and_what_is_due():
    build.a_charge("40.00", list_cost=Decimal("100"), contracted_cost=Decimal("80"))
    (issued,) = generate().statements
    assert issued.figures == Figures(Decimal("100"), Decimal("80"), Decimal("40"))
    assert (issued.figures.discount, issued.figures.subsidy) == (Decimal("20"), Decimal("40"))
    statement = Statement.objects.get()
    assert (statement.discount, statement.subsidy, statement.charged) == (Decimal(20), Decimal(40), Decimal(40))
    assert statement.number == "2025-01-0001-1"


def test_there_is_one_statement_per_pi_and_project():
    build.a_charge(project="genomics")
    build.a_charge(project="proteins")
    build.a_charge(pi="bob@u.edu", project="genomics")
    assert [(each.pi, each.project) for each in generate().statements] == [
        ("ada@u.edu", "genomics"),
        ("ada@u.edu", "proteins"),
        ("bob@u.edu", "genomics"),
    ]


def test_a_charge_without_a_project_has_a_statement_too():
    build.a_charge(project=None)
    (issued,) = generate().statements
    assert issued.project == ""
    assert issuing.document_of(Statement.objects.get()).project == "No project"


def test_held_charges_are_on_no_statement_and_are_told():
    build.a_charge("10.00")
    build.a_charge("7.50", flags=("pattern_match",))
    generated = generate()
    assert generated.figures.charged == Decimal(10)
    assert (generated.held.count, generated.held.billed) == (1, Decimal("7.5"))


def test_a_second_run_issues_nothing_new():
    build.a_charge()
    first = generate()
    second = generate()
    assert (first.issued, second.issued, second.unchanged) == (1, 0, 1)
    assert [each.number for each in second.statements] == [each.number for each in first.statements]
    assert Statement.objects.count() == 1


def test_a_change_makes_a_revision_that_replaces_the_one_before():
    build.a_charge("10.00")
    generate()
    build.a_charge("5.00")
    generated = generate()
    assert (generated.issued, generated.superseded) == (1, 1)
    old, new = Statement.objects.order_by("revision")
    assert (old.state, old.superseded_by, old.superseded_at) == ("superseded", new, NOW)
    assert (new.state, new.number, new.charged) == ("issued", "2025-01-0001-2", Decimal(15))
    assert issuing.document_of(new).replaces == "2025-01-0001-1"
    assert old.charged == Decimal(10)


def test_only_the_owner_whose_charges_changed_gets_a_revision():
    build.a_charge(pi="ada@u.edu")
    build.a_charge(pi="bob@u.edu")
    generate()
    build.a_charge(pi="bob@u.edu")
    generated = generate()
    assert [(each.pi, each.is_new) for each in generated.statements] == [("ada@u.edu", False), ("bob@u.edu", True)]


@pytest.mark.parametrize(
    "change",
    [
        lambda: Charge.objects.update(billed_cost="100.01"),
        lambda: Charge.objects.update(fund_org="BIO-002"),
        lambda: Person.objects.update(email="ada.lovelace@u.edu"),
        lambda: Project.objects.update(code="engines"),
        lambda: build.resaid(Charge.objects.all(), service_name="Storage"),
        lambda: build.resaid(Charge.objects.all(), resource_name="a better name"),
        lambda: Source.objects.update(is_journaled=False),
    ],
    ids=["figure", "payer", "PI's address", "project's code", "service", "resource", "not to the ledger"],
)
def test_a_change_of_figures_payers_or_what_is_charged_makes_a_revision(change):
    build.a_policy()
    build.a_charge()
    generate()
    assert generate().issued == 0
    change()
    assert generate().issued == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda: Person.objects.update(name="Countess Lovelace", department=build.a_department("MATH")),
        lambda: Project.objects.update(name="Engines"),
        lambda: FundingSource.objects.update(name="Start-up funds"),
        lambda: Source.objects.update(display_name="Amazon Web Services"),
        lambda: build.a_policy(statement_footer="Thank you.", contact_phone="555-0100"),
    ],
    ids=["PI's name", "project's name", "fund's name", "source's name", "letterhead"],
)
def test_a_corrected_name_or_letterhead_makes_no_revision_and_is_on_the_next(change):
    build.a_policy()
    build.a_fund("BIO-001", name="Startup fnds")
    charge = build.a_charge(fund_org="BIO-001")
    generate()
    before = Statement.objects.get().document
    change()
    assert generate().issued == 0
    Charge.objects.filter(pk=charge.pk).update(billed_cost="99.00")
    assert generate().issued == 1
    after = Statement.objects.live().get()
    assert (after.document, after.lines.get().source_label) != (before, "AWS")


def test_a_month_that_moves_on_with_equal_figures_makes_no_revision():
    build.a_charge()
    period = build.a_period()
    generate()
    closing.start_review(period=period, until=datetime.date(2025, 2, 14), actor=SOMEBODY, now=NOW)
    assert generate().issued == 0
    closing.start_review(period=period, until=datetime.date(2025, 2, 21), actor=SOMEBODY, now=NOW)
    assert generate().issued == 0
    closing.close(period=period, actor=SOMEBODY, now=NOW)
    assert (generate().issued, issuing.changes_of(build.a_period())) == (0, 0)
    assert Statement.objects.get().number == "2025-01-0001-1"


def test_a_statement_keeps_the_names_it_was_issued_with():
    build.a_charge()
    Person.objects.update(name="Ada Lovelace")
    generate()
    Person.objects.update(name="Somebody else")
    assert issuing.document_of(Statement.objects.get()).pi_name == "Ada Lovelace"


def test_a_vanished_owner_gets_one_revision_of_zero():
    charge = build.a_charge("10.00", project="genomics")
    build.a_charge("10.00", project="proteins")
    generate()
    charge.project = build.a_project("proteins")
    charge.save()
    moved = generate()
    by_project = {each.project: each for each in moved.statements}
    assert by_project["genomics"].figures.charged == 0
    assert by_project["genomics"].number == "2025-01-0001-2"
    assert by_project["proteins"].figures.charged == Decimal(20)
    assert moved.figures.charged == Decimal(20)
    assert generate().issued == 0
    assert Statement.objects.filter(project__code="genomics").count() == 2


def test_an_owner_who_comes_back_after_zero_gets_the_next_revision():
    charge = build.a_charge("10.00")
    generate()
    Charge.objects.filter(pk=charge.pk).update(state=Charge.State.REJECTED)
    generate()
    Charge.objects.filter(pk=charge.pk).update(state=Charge.State.CLEAR)
    (issued,) = generate().statements
    assert (issued.number, issued.figures.charged) == ("2025-01-0001-3", Decimal(10))


def test_the_policy_can_leave_out_statements_of_nothing_but_never_a_subsidized_one():
    build.a_policy(issues_zero_statements=False)
    build.a_charge("0.00", pi="nothing@u.edu", list_cost=Decimal(0), contracted_cost=Decimal(0))
    build.a_charge("0.00", pi="subsidized@u.edu", list_cost=Decimal(50), contracted_cost=Decimal(50))
    (issued,) = generate().statements
    assert issued.pi == "subsidized@u.edu"
    assert issued.figures.subsidy_percent == "100%"


def test_by_default_a_statement_of_nothing_is_issued():
    build.a_charge("0.00", list_cost=Decimal(0), contracted_cost=Decimal(0))
    assert len(generate().statements) == 1


def test_a_dry_run_writes_no_row_and_no_file(settings):
    build.a_charge("10.00")
    before, there = rows(), files(settings.VAR_DIR)
    generated = generate(dry_run=True)
    assert (rows(), files(settings.VAR_DIR)) == (before, there)
    (would,) = generated.statements
    assert (would.number, would.is_new, would.figures.charged, would.pdf) == ("", True, Decimal(10), "")


def test_a_dry_run_foretells_the_run():
    build.a_charge("10.00")
    generate()
    build.a_charge("5.00")
    build.a_charge("3.00", project="proteins", flags=("missing_pi",))
    foretold = generate(dry_run=True)
    done = generate()
    assert [(each.number, each.figures, each.is_new) for each in foretold.statements] == [
        (each.number, each.figures, each.is_new) for each in done.statements
    ]
    assert (foretold.issued, foretold.superseded, foretold.held) == (done.issued, done.superseded, done.held)


def test_a_dry_run_after_a_run_finds_nothing_to_do():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    build.a_charge("10.01")
    generate()
    assert generate(dry_run=True).issued == 0
    assert issuing.changes_of(build.a_period()) == 0


def test_one_project_on_two_funds_has_a_section_for_each():
    build.a_charge("100.00", fund_org="BIO-001")
    build.a_charge("900.00", fund_org="CHEM-002")
    generate()
    document = issuing.document_of(Statement.objects.get())
    assert [(section.fund_org, section.figures.charged) for section in document.sections] == [
        ("BIO-001", Decimal(100)),
        ("CHEM-002", Decimal(900)),
    ]
    assert document.figures.charged == Decimal(1000)


def test_what_is_printed_adds_up_to_what_is_printed():
    for number in range(103):
        build.a_charge("0.325", resource_id=f"i-{number:03d}", list_cost=Decimal("0.3333"))
    generate()
    document = issuing.document_of(Statement.objects.get())
    (section,) = document.sections
    (line,) = section.lines
    assert len(line.resources) == 103
    assert Figures.total(resource.figures for resource in line.resources) == line.figures
    assert Figures.total(each.figures for each in section.lines) == section.figures == document.figures
    assert document.figures.charged == Decimal("33.48")


def test_the_small_rest_of_very_many_resources_is_one_sum(monkeypatch):
    monkeypatch.setattr(snapshots, "MOST_RESOURCES", 3)
    for cents in range(1, 8):
        build.a_charge(f"0.0{cents}", resource_id=f"i-{cents}")
    generate()
    resources = issuing.document_of(Statement.objects.get()).sections[0].lines[0].resources
    assert [(each.resource_id, each.further) for each in resources] == [("i-7", 0), ("i-6", 0), ("i-5", 0), ("", 4)]
    assert sum(each.figures.charged for each in resources) == Decimal("0.28")


def test_a_split_project_names_every_payer():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    build.a_charge("10.0125")
    (issued,) = generate().statements
    assert (issued.fund_orgs, issued.figures.charged) == (("A", "B"), Decimal("10.01"))


def test_charges_to_the_center_are_on_no_statement():
    build.a_policy(center_fund_org="CENTER")
    build.a_charge("10.00", state=Charge.State.CHARGED_TO_CENTER)
    assert generate().statements == ()


def test_a_statement_keeps_the_day_until_which_it_was_first_to_be_asked():
    charge = build.a_charge()
    period = build.a_period()
    closing.start_review(period=period, until=datetime.date(2025, 2, 14), actor=SOMEBODY, now=NOW)
    generate()
    assert Statement.objects.get().month_state == "In review: questions until Feb 14, 2025"
    later = datetime.date(2025, 2, 21)
    closing.start_review(period=period, until=later, actor=SOMEBODY, now=NOW)
    generate()
    assert issuing.document_of(Statement.objects.get()).review_until == datetime.date(2025, 2, 14)
    # A revision prints the day as it is by then.
    Charge.objects.filter(pk=charge.pk).update(billed_cost="1.00")
    generate()
    assert issuing.document_of(Statement.objects.live().get()).review_until == later
    closing.close(period=period, actor=SOMEBODY, now=NOW)
    assert Statement.objects.live().get().month_state == "Month closed"


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_finalized_month_refuses(dry_run):
    build.a_charge()
    build.a_period().__class__.objects.update(status="finalized", closed_at=NOW, finalized_at=NOW)
    with pytest.raises(issuing.StatementsFrozen, match="January 2025 is finalized"):
        generate(dry_run=dry_run)


def test_issuing_and_superseding_are_in_the_audit_log():
    build.a_charge()
    generate()
    build.a_charge()
    generate()
    actions = list(
        AuditEvent.objects.filter(action__startswith="statement.").order_by("id").values_list("action", "object_label")
    )
    assert actions == [
        ("statement.issued", "2025-01-0001-1"),
        ("statement.superseded", "2025-01-0001-1"),
        ("statement.issued", "2025-01-0001-2"),
    ]


def test_a_void_statement_is_followed_by_the_next_revision():
    build.a_charge()
    generate()
    issuing.void(statement=Statement.objects.get(), reason="Wrong logo", actor=SOMEBODY, now=NOW)
    assert not Statement.objects.live().exists()
    (issued,) = generate().statements
    assert issued.number == "2025-01-0001-2"
    assert AuditEvent.objects.get(action="statement.voided").note == "Wrong logo"


def test_voiding_needs_a_reason_and_a_statement_in_force():
    build.a_charge()
    generate()
    statement = Statement.objects.get()
    with pytest.raises(ReasonMissing):
        issuing.void(statement=statement, reason=" ", actor=SOMEBODY, now=NOW)
    issuing.void(statement=statement, reason="Twice", actor=SOMEBODY, now=NOW)
    with pytest.raises(issuing.NotLive, match="void already"):
        issuing.void(statement=statement, reason="Twice", actor=SOMEBODY, now=NOW)


def test_the_database_allows_one_statement_in_force_per_owner():
    build.a_charge()
    generate()
    statement = Statement.objects.get()
    statement.pk, statement.number, statement.revision = None, "2025-01-0001-9", 9
    with pytest.raises(IntegrityError), transaction.atomic():
        Statement.objects.bulk_create([statement])


def test_each_pdf_lies_where_the_result_says_with_the_hash_that_is_kept(settings):
    build.a_charge()
    (issued,) = generate().statements
    statement = Statement.objects.get()
    path = settings.VAR_DIR / "statements" / "2025-01" / "2025-01-0001-1.pdf"
    assert issued.pdf == str(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == statement.pdf_sha256
    assert path.read_bytes().startswith(b"%PDF")
    assert files(path.parent) == [path.with_name("2025-01-0001-1-charges.csv"), path]


def test_a_missing_pdf_is_drawn_again_with_the_same_bytes(settings):
    build.a_charge()
    (issued,) = generate().statements
    path = settings.VAR_DIR / "statements" / "2025-01" / "2025-01-0001-1.pdf"
    first = path.read_bytes()
    path.unlink()
    again = generate()
    assert (again.issued, again.drawn) == (0, 1)
    assert path.read_bytes() == first
    assert not AuditEvent.objects.filter(action="statement.redrawn").exists()


def test_drawing_goes_on_where_a_crash_cut_it_off(monkeypatch):
    for pi in ("a@u.edu", "b@u.edu", "c@u.edu"):
        build.a_charge(pi=pi)
    monkeypatch.setattr(pdfs, "DRAWN_AT_ONCE", 1)
    drawn = []
    draw = pdfs.draw

    def breaks_off(document, attachments):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(document.number)
        return draw(document, attachments)

    monkeypatch.setattr(pdfs, "draw", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        generate()
    monkeypatch.setattr(pdfs, "draw", draw)
    assert Statement.objects.count() == 3
    again = generate()
    assert (again.issued, again.drawn) == (0, 1)
    assert all((each.pdf_path and each.pdf_sha256) for each in Statement.objects.all())


def test_a_file_that_differs_from_its_hash_after_redrawing_is_told():
    build.a_charge()
    (issued,) = generate().statements
    Statement.objects.update(pdf_sha256="0" * 64, pdf_path="")
    generate()
    event = AuditEvent.objects.get(action="statement.redrawn")
    assert event.before == {"sha256": "0" * 64}


def test_queries_do_not_grow_with_the_number_of_statements():
    def queries(month, owners):
        for number in range(owners):
            build.a_charge(pi=f"pi{number}@u.edu", period=month)
        with CaptureQueriesContext(connection) as captured:
            generate(month)
        return len(captured)

    queries("2024-12", 1)
    assert queries("2025-01", 5) == queries("2025-02", 10)


def test_statements_come_in_the_order_of_their_numbers():
    for pi in ("zoe@u.edu", "bob@u.edu"):
        build.a_charge(pi=pi)
    generate()
    build.a_charge(pi="al@u.edu")
    assert [each.number[-6:-2] for each in generate().statements] == ["0001", "0002", "0003"]


def test_the_close_asks_for_statements_that_are_current():
    build.a_charge()
    period = build.a_period()
    closing.close(period=period, actor=SOMEBODY, now=NOW)
    period.refresh_from_db()
    (item,) = checklist.of(period, only=["statements"]).keeping_from("finalize")
    assert (item.text, item.count) == ("1 statement to issue: +100.00 USD.", 1)
    assert item.then.name == "issue_statements"
    generate()
    assert not checklist.of(period, only=["statements"]).keeping_from("finalize")


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_issue_each_statement_once():
    build.a_charge()
    errors = []

    def run():
        try:
            generate()
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if connection.vendor == "postgresql":
        assert errors == []
    assert Statement.objects.count() == 1
