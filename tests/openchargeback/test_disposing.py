"""Disposing of what is past its retention: what goes, what is held back and why, and what is said of it afterwards."""

import datetime
import io
import json
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from billing import audit, disposals, proof, safeguards, tracing
from billing.errors import ReasonMissing
from billing.files import documents, received
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Disposal,
    DisposedFile,
    FundingSource,
    ImportedFile,
    LegalHold,
    Person,
    PricedMonth,
    Project,
    StoredFile,
)
from billing.models.standing import KeptForEver
from billing.months import closing
from billing.proof import verifying
from billing.replay.recording import NotReplayable
from billing.replay.replaying import replay
from billing.setup import holds
from journals import posting
from openchargeback import backups, disposing, system
from openchargeback.disposing import running
from statements import emails, issuing
from statements.models import Email, Statement
from tests import build, standing
from tests.billing.deliveries import a_row, delivered
from tests.billing.usage.conftest import tiger  # noqa: F401 (a fixture)
from tests.billing.usage.test_bringing import JANUARY, job, jobs
from tests.build import NOW, SOMEBODY
from tests.stories.stage import command as staged

pytestmark = pytest.mark.django_db

DOING = {"actor": SOMEBODY, "now": NOW}
# January 2025 is in fiscal year 2025, which ended on Jun 30, 2025: seven years later it may go.
LATER = datetime.datetime(2032, 7, 1, 12, tzinfo=datetime.UTC)
AFTER = {"actor": SOMEBODY, "now": LATER}
BOB = {"pi_email": "bob@u.edu", "project_id": "lasers", "fund_org": "GEO-2"}


@standing.fixture
def january(folder):
    """A finalized month of Ada's and Bob's, with statements that were e-mailed."""
    build.a_policy(requires_ledger_answer=False)
    build.a_source("aws", recovery_fund_org="RC-1", recovery_account="4900", debit_account="6500")
    rows = [a_row("10.00", ResourceId="i-1"), a_row("20.00", ResourceId="i-2", tags=BOB)]
    delivered(folder, rows)
    period = build.a_period()
    issuing.generate(period=period, **DOING)
    emails.send(period=period, **DOING)
    posting.export(period=period, format="gl", submit=True, **DOING)
    closing.close(period=period, **DOING)
    issuing.generate(period=period, **DOING)
    closing.finalize(period=period, **DOING)
    period.refresh_from_db()
    return period


def held_on(**subject):
    return holds.place(hold=LegalHold(reason="Case 12", **subject), **DOING)


def plan(before=2026, now=LATER):
    return disposing.plan(before=before, now=now)


def dispose(before=2026, **options):
    return disposing.dispose(before=before, **{**AFTER, **options})


def going(of=None):
    return sorted({str(each.kind) for each in (of or plan()).items})


def whys(of=None):
    return {str(each.kind): each.why for each in (of or plan()).held_back}


ALL = ["charges", "email", "received", "statement"]


def command(*arguments):
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


# What goes ------------------------------------------------------------------------------------------------------------


def test_files_charges_and_emails_of_a_past_year_go_and_everything_about_money_stays(january):
    money = [*Charge.objects.order_by("pk").values(), *Statement.objects.order_by("pk").values()]
    paths = [each.path for each in StoredFile.objects.all()] + [each.message_path for each in Email.objects.all()]
    planned = plan()
    assert (going(planned), planned.held_back) == (ALL, ())
    done = dispose()
    assert done.disposal.completed_at == LATER
    assert not any(received.size_at(each) or documents.size(each) for each in paths)
    assert [*Charge.objects.order_by("pk").values(), *Statement.objects.order_by("pk").values()] == money
    assert Statement.objects.exclude(charges_sha256="").count() == 2
    # What went is on record with the hash it had, an e-mail too, of which none was recorded before.
    assert {each.name for each in DisposedFile.objects.all()} == {each.name for each in planned.items}
    assert all(len(each.sha256) == 64 and each.months == ["2025-01"] for each in DisposedFile.objects.all())
    # And there is nothing left to do.
    assert dispose().disposal is None


def test_a_dry_run_says_just_what_would_go_and_changes_nothing(january):
    before = AuditEvent.objects.count()
    planned = [each.name for each in plan().items]
    assert AuditEvent.objects.count() == before
    assert [each.name for each in plan().items] == planned
    assert all(documents.exists(each.name) for each in plan().items if each.kind not in DisposedFile.STORED)
    done = dispose()
    assert sorted(done.disposal.files.values_list("name", flat=True)) == sorted(planned)


def test_the_command_prints_it_and_does_it(january, settings):
    settings.RETENTION_YEARS = 0
    dry = json.loads(command("dispose", "--before", "fy2026", "--dry-run", "--json"))
    assert not Disposal.objects.exists()
    said = command("dispose", "--before", "2026", "--dry-run")
    assert "Would be removed" in said
    assert "Nothing was changed." in said
    done = json.loads(command("dispose", "--before", "2026", "--json"))
    assert done["removed"] == dry["removed"]
    assert sorted(dry["files"]) == sorted(DisposedFile.objects.values_list("name", flat=True))
    assert done["certificate"]["text"].startswith("CERTIFICATE OF DISPOSAL ")
    assert "Nothing before FY2026 can be removed." in command("dispose", "--before", "2026")
    with pytest.raises(CommandError, match="is not a fiscal year"):
        command("dispose", "--before", "soon")


def test_a_year_that_has_to_be_kept_is_refused_with_the_day_from_which_it_need_not(january):
    with pytest.raises(disposing.TooEarly, match=r"FY2025 ended on Jun 30, 2025.*7 years.*until Jun 30, 2032"):
        plan(now=LATER - datetime.timedelta(days=1))


def test_months_that_are_not_past_or_not_finalized_stay(january, tmp_path):
    assert plan(before=2025, now=LATER).items == ()
    february = {"BillingPeriodStart": "2025-02-01T00:00:00Z", "BillingPeriodEnd": "2025-03-01T00:00:00Z"}
    delivered(tmp_path, [a_row("5.00", **february)], name="aws_2025-02.csv")
    assert whys() == {"received": "February 2025 is not finalized"}


def test_a_file_that_is_also_of_a_month_that_is_kept_stays(january, tmp_path):
    july = {"BillingPeriodStart": "2025-07-01T00:00:00Z", "BillingPeriodEnd": "2025-08-01T00:00:00Z"}
    february = {"BillingPeriodStart": "2025-02-01T00:00:00Z", "BillingPeriodEnd": "2025-03-01T00:00:00Z"}
    delivered(tmp_path, [a_row("5.00", **february), a_row("6.00", **july)], name="aws_both.csv")
    assert whys() == {"received": "it is also of July 2025, which is kept"}


def test_a_file_of_a_charge_that_was_carried_over_to_a_month_that_is_kept_stays(tmp_path):
    build.a_policy()
    build.a_period("2025-07")
    delivered(tmp_path, [a_row("5.00"), a_row("6.00", ResourceId="i-2", tags={})])
    issuing.generate(period=build.a_period(), **DOING)
    closing.carry_over(period=build.a_period(), reason="A question is open.", **DOING)
    closing.close(period=build.a_period(), **DOING)
    build.shut("2025-01", "finalized")
    assert whys()["received"] == "it is also of July 2025, which is kept"


# What is held back ----------------------------------------------------------------------------------------------------


def test_a_hold_on_a_pi_keeps_hers_and_the_files_that_she_is_in(january):
    held_on(pi=Person.objects.get(email="ada@u.edu"))
    found = plan()
    assert sorted(whys(found)) == ALL
    assert all("on PI ada@u.edu" in each.why for each in found.held_back)
    # Bob's own go.
    assert going(found) == ["charges", "email", "statement"]
    dispose()
    left = Statement.objects.get(pi__email="ada@u.edu")
    assert documents.exists(issuing.charges_name_of(left))


@pytest.mark.parametrize(
    "subject",
    [
        lambda: {"project": Project.objects.get(code="genomics")},
        lambda: {"fund": build.a_fund("bio-001")},
        lambda: {"pi": Person.objects.get(email="ada@u.edu")},
    ],
)
def test_each_kind_of_hold_keeps_what_it_is_on(january, subject):
    held_on(**subject())
    assert sorted({str(each.kind) for each in plan().held_back}) == ALL


def test_a_hold_on_a_month_keeps_all_of_it(january):
    held_on(period=january)
    assert plan().items == ()
    assert all("on month January 2025" in each for each in whys().values())


def test_a_lifted_hold_keeps_nothing(january):
    hold = held_on(period=january)
    holds.lift(hold=hold, reason="Settled", **DOING)
    assert going() == ALL
    with pytest.raises(holds.HoldRefused, match="lifted by"):
        holds.lift(hold=hold, reason="Again", **DOING)
    placed, lifted = AuditEvent.objects.filter(object_type="legalhold").order_by("pk")
    assert (placed.action, placed.note, lifted.action, lifted.note) == (
        *("legal_hold.placed", "Case 12"),
        *("legal_hold.lifted", "Settled"),
    )


def test_a_hold_has_a_reason_and_one_subject(january):
    with pytest.raises(ReasonMissing):
        holds.place(hold=LegalHold(reason=" ", period=january), **DOING)
    with pytest.raises(ValidationError, match="Choose one of PI, project, fund/org and month"):
        holds.place(hold=LegalHold(reason="x", period=january, pi=Person.objects.first()), **DOING)
    with pytest.raises(ReasonMissing):
        holds.lift(hold=held_on(period=january), reason="", **DOING)


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (None, "award BIO-001 has no final financial report on record"),
        # 2 CFR 200.334: three years from its submission, that day counted.
        (datetime.date(2029, 7, 1), "award BIO-001 is kept until Jul 1, 2032 (2 CFR 200.334)"),
        (datetime.date(2029, 6, 30), ""),
    ],
)
def test_an_award_is_kept_until_three_years_after_its_final_financial_report(january, report, why):
    build.a_fund("BIO-001", is_sponsored=True, final_report_date=report)
    found = whys()
    assert found == (dict.fromkeys(ALL, why) if why else {})


def test_a_fund_that_is_no_award_waits_for_no_report_but_its_own_closeout_date_counts(january):
    fund = build.a_fund("BIO-001")
    assert going() == ALL
    FundingSource.objects.filter(pk=fund.pk).update(final_report_date=datetime.date(2031, 1, 1))
    assert set(whys().values()) == {"award BIO-001 is kept until Jan 1, 2034 (2 CFR 200.334)"}


def test_an_email_that_waits_for_a_decision_and_a_file_that_is_lost_are_not_called_removed(january):
    email = Email.objects.order_by("pk").first()
    Email.objects.filter(pk=email.pk).update(state=Email.State.UNCERTAIN)
    received.remove(StoredFile.objects.get().path)
    assert whys() == {
        "email": "it waits for a decision or is being sent",
        "received": "its file is missing already, and was not disposed of",
    }


def test_a_refused_file_goes_with_the_month_it_came_in_unless_somebody_is_on_hold(tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(ImportRefused):
        ingest(paths=[bad], source=build.a_source("aws"), **DOING)
    assert going() == ["received"]
    held_on(pi=build.a_pi("stranger@u.edu"))
    assert "cannot be told" in whys()["received"]


# What is said afterwards ----------------------------------------------------------------------------------------------


def test_proof_files_replay_and_trace_say_it_and_nothing_fails(january):
    done = dispose()
    said = f"disposed of on Jul 1, 2032 under certificate {done.disposal.pk}"
    proved = proof.prove(BillingPeriod.objects.get())
    assert proved.reconciles, proved.problems()
    assert said in proved.disposed[0]
    assert said in proved.as_data()["disposed"][0]
    assert said in command("proof", "-p", "2025-01")
    found = verifying.verify()
    assert (found.altered, found.disposed > 0) == ([], True)
    assert "more were disposed of" in command("verify_files")
    with pytest.raises(NotReplayable, match=said):
        replay(period=january)
    charge = Charge.objects.order_by("pk").first()
    traced = tracing.trace(f"charge {charge.pk}")
    assert said in traced.delivered.problem
    assert said in traced.charges[0].as_text()
    assert traced.charges[0].as_data()["disposed"] == said
    with pytest.raises(CommandError, match=said):
        command("trace", f"{StoredFile.objects.get().sha256[:12]}:2")


def test_pages_say_it_too(january, admin_client):
    done = dispose()
    said = f"disposed of on Jul 1, 2032 under certificate {done.disposal.pk}"
    statement, email = Statement.objects.first(), Email.objects.first()
    for url in (
        reverse("admin:billing_billingperiod_proof", args=[january.pk]),
        reverse("admin:statements_email_message", args=[email.pk]),
        reverse("admin:statements_statement_charges", args=[statement.pk]),
        reverse("admin:billing_import_file", args=[ImportedFile.objects.get().imported_in_id, 1]),
    ):
        assert said in admin_client.get(url, follow=True).content.decode(), url
    # The statement itself is drawn from what is kept, without the file of its charges.
    assert issuing.pdf_of(statement).startswith(b"%PDF")
    assert not documents.exists(issuing.charges_name_of(statement))


def test_the_audit_log_has_the_decision_and_the_certificate(january, django_capture_on_commit_callbacks):
    # The head of the log is noted after each commit.
    with django_capture_on_commit_callbacks(execute=True):
        disposal = dispose().disposal
    decided, completed = AuditEvent.objects.filter(object_type="disposal").order_by("pk")
    assert (decided.action, completed.action) == ("disposal.decided", "disposal.completed")
    assert completed.after["sha256"] == disposal.sha256
    assert audit.verify(anchor=None).is_whole
    assert f"Certificate {disposal.pk} of Jul 1, 2032" in command("verify_audit")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE billing_disposal SET certificate = 'Nothing was removed.'", "Its text is not the one that was hashed"),
        ("UPDATE billing_disposal SET sha256 = 'x'", "Its text is not the one that was hashed"),
        ("DELETE FROM billing_disposedfile WHERE kind = 'email'", "Its files are not those that the audit log knows"),
    ],
)
def test_a_certificate_that_was_bent_is_named(january, django_capture_on_commit_callbacks, change, problem):
    with django_capture_on_commit_callbacks(execute=True):
        dispose()
    with build.safeguards_down(), connection.cursor() as cursor:
        cursor.execute(change)
    assert problem in str(disposals.verify()[0])
    with pytest.raises(CommandError, match="certificates of disposal are not as they were written"):
        command("verify_audit")


def test_the_database_refuses_to_change_any_of_it(january):
    hold = held_on(pi=Person.objects.get(email="bob@u.edu"))
    holds.lift(hold=hold, reason="Settled", **DOING)
    dispose()
    standing = held_on(period=january)
    for statement, said in (
        (f"UPDATE billing_legalhold SET reason = 'none' WHERE id = {standing.pk}", "a legal hold is lifted, never edi"),
        (f"UPDATE billing_legalhold SET lifted_because = 'x' WHERE id = {hold.pk}", "a legal hold is lifted once"),
        ("DELETE FROM billing_legalhold", "a legal hold is lifted, never deleted"),
        ("UPDATE billing_disposal SET before = 2020", "a disposal is decided once|a certificate of disposal is locked"),
        ("UPDATE billing_disposal SET certificate = 'x'", "a certificate of disposal is locked"),
        ("DELETE FROM billing_disposal", "a certificate of disposal is kept"),
        ("UPDATE billing_disposedfile SET size = 0", "what was disposed of is kept on record"),
        ("DELETE FROM billing_disposedfile", "what was disposed of is kept on record"),
    ):
        with pytest.raises(IntegrityError, match=said), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(KeptForEver):
        DisposedFile.objects.all().delete()
    with pytest.raises(IntegrityError, match="is locked, with its files"), transaction.atomic():
        DisposedFile.objects.create(disposal=Disposal.objects.get(), kind="email", name="x", sha256="x", size=1)
    assert safeguards.missing() == []


def test_what_was_disposed_of_is_not_received_again(january, tmp_path):
    dispose()
    rows = [a_row("10.00", ResourceId="i-1"), a_row("20.00", ResourceId="i-2", tags=BOB)]
    with pytest.raises(ImportRefused, match="received before. It was disposed of on"):
        delivered(tmp_path, rows)


def test_the_certificate_lists_what_went_and_what_was_held_back_and_why(january, admin_client):
    held_on(pi=Person.objects.get(email="ada@u.edu"))
    disposal = dispose().disposal
    text = disposal.certificate
    for part in (
        "Institution: Example University",
        "at least 7 years after the end of the fiscal year",
        "First month kept: July 2025",
        "E-mails as sent              2025-01        1 file",
        "on PI ada@u.edu",
        *(each.sha256 for each in disposal.files.all()),
    ):
        assert part in text, part
    # Nobody's address is in it but that of who is on hold.
    assert "bob@u.edu" not in text
    page = admin_client.get(reverse("admin:billing_disposal_change", args=[disposal.pk])).content.decode()
    assert "CERTIFICATE OF DISPOSAL" in page
    handed = admin_client.get(reverse("admin:billing_disposal_certificate", args=[disposal.pk]))
    assert handed.content.decode() == text


# Whole, once, by one --------------------------------------------------------------------------------------------------


def facts():
    return {fact.code: fact for group in system.gather(now=NOW) for fact in group.facts}


def test_a_killed_run_is_finished_by_the_next(january, monkeypatch):
    real, removed = running._remove, []

    def dies(file):
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(file.name)
        real(file)

    monkeypatch.setattr(running, "_remove", dies)
    with pytest.raises(KeyboardInterrupt):
        dispose()
    monkeypatch.setattr(running, "_remove", real)
    disposal = Disposal.objects.get()
    assert disposal.completed_at is None
    assert "not completed" in str(disposals.verify()[0])
    assert facts()["disposals"].state == "warn"
    # While it waits nothing is lost: the proof says what is gone, and no hold pretends to keep it.
    assert proof.prove(BillingPeriod.objects.get()).reconciles
    with pytest.raises(holds.HoldRefused, match="is being removed"):
        held_on(period=january)
    done = dispose()
    assert ([each.pk for each in done.finished], done.disposal) == ([disposal.pk], None)
    assert "disposals" not in facts()
    assert not any(documents.exists(each.name) for each in DisposedFile.objects.all())
    assert disposals.verify()[0].problem == ""


def test_a_file_that_cannot_be_removed_is_named_and_the_rest_waits(january, monkeypatch):
    def refuses(file):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(running, "_remove", refuses)
    with pytest.raises(disposing.NotDisposed, match="cannot be removed: Permission denied"):
        dispose()
    assert Disposal.objects.get().completed_at is None


def test_a_run_that_fails_while_deciding_leaves_nothing(january, monkeypatch):
    monkeypatch.setattr(running, "digest_of", lambda hashes: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dispose()
    assert not Disposal.objects.exists()
    assert going() == ALL


def test_two_at_once_are_refused(january, monkeypatch):
    def again(**options):
        with pytest.raises(disposing.DisposingAlready, match="another process"):
            dispose()
        return real(**options)

    real = running._decide
    monkeypatch.setattr(running, "_decide", again)
    assert dispose().disposal


# Backup ---------------------------------------------------------------------------------------------------------------


def test_a_backup_lacks_nothing_of_what_was_disposed_of(january, tmp_path_factory):
    dispose()
    made = backups.back_up(tmp_path_factory.mktemp("backups") / "there", **AFTER)
    assert made.manifest.lacking == ()
    names = {each.name for each in made.manifest.files}
    assert not any(Path(each.name).name in name for each in DisposedFile.objects.all() for name in names)


# The screens ----------------------------------------------------------------------------------------------------------


def test_finance_places_and_lifts_a_hold_and_a_reviewer_does_not_see_it(january, cast, client):
    add = reverse("admin:billing_legalhold_add")
    client.force_login(cast.reviewer)
    assert client.get(add).status_code == 403
    client.force_login(cast.finance)
    assert "Choose one" in client.get(add).content.decode()
    both = {"period": january.pk, "pi": Person.objects.first().pk, "reason": "Case 12"}
    assert "Choose one of PI, project, fund/org and month" in client.post(add, both).content.decode()
    client.post(add, {"period": january.pk, "reason": "Case 12"})
    hold = LegalHold.objects.get()
    assert (hold.placed_by_name, hold.told) == (cast.finance.username, "month January 2025")
    assert "Case 12" in client.get(reverse("admin:billing_legalhold_changelist")).content.decode()
    client.post(reverse("admin:billing_legalhold_lift", args=[hold.pk]), {"reason": "Settled"})
    hold.refresh_from_db()
    assert hold.lifted_because == "Settled"
    client.force_login(cast.reviewer)
    assert client.get(reverse("admin:billing_legalhold_changelist")).status_code == 403


# Usage ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def used(request, tmp_path):
    """A finalized month of a cluster, whose usage was read, priced and imported."""
    request.getfixturevalue("tiger")
    staged("usage", jobs(tmp_path / "a.txt", job(1, JANUARY, 10, 200)), "-f", "tiger")
    issuing.generate(period=build.a_period(), **DOING)
    return build.shut("2025-01", "finalized")


def test_what_usage_is_kept_in_goes_and_units_and_prices_stay(used):
    priced = PricedMonth.objects.values().get()
    assert going() == ["charges", "received", "statement", "usage"]
    done = dispose()
    # Its records, who paid for whom, and how each row came about.
    assert done.disposal.files.filter(kind="usage").count() == 3
    assert PricedMonth.objects.values().get() == priced
    proved = proof.prove(used)
    assert (proved.reconciles, len(proved.units)) == (True, 1), proved.problems()
    said = f"disposed of on Jul 1, 2032 under certificate {done.disposal.pk}"
    with pytest.raises(NotReplayable, match=said):
        replay(period=used)
    traced = tracing.trace(f"charge {Charge.objects.get().pk}")
    assert said in traced.charges[0].as_text()


def test_any_hold_on_somebody_keeps_all_usage_for_free_usage_names_nobody(used):
    held_on(pi=build.a_pi("stranger@u.edu"))
    assert "cannot be told whose" in whys()["usage"]


def test_the_day_of_a_disposal_is_that_of_the_site(settings):
    settings.TIME_ZONE = "America/Los_Angeles"
    decided = datetime.datetime(2026, 12, 1, 3, tzinfo=datetime.UTC)
    assert Disposal(pk=1, decided_at=decided).said == "disposed of on Nov 30, 2026 under certificate 1"
