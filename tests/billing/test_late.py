"""Late deliveries: a closed month keeps its charges; what changes since is booked in an open one."""

import datetime
import json
import zipfile
from decimal import Decimal

import pytest

from billing import charging, doors, money
from billing import review as reviewing
from billing.audit import Actor
from billing.errors import ReasonMissing
from billing.importing import booking, comparing, ingestion, late, outcomes, rereading, withdrawing
from billing.models import AuditEvent, BillingPeriod, Charge, Flag, Import, ImportTotal, PayerLine, Source
from billing.months import closing
from tests import build
from tests.billing.deliveries import NO_TAGS, a_file, a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}


def close(month="2025-01"):
    closing.close(period=BillingPeriod.objects.named(month), **BY)


def book(result, into="2025-03"):
    return booking.book(imported=result.deferred, into=build.a_period(into), **BY)


def lines(month="2025-03"):
    """Make a month's payer lines; return (kind, for month, fund/org, charged)."""
    charging.make_payer_lines(period=BillingPeriod.objects.named(month), **BY)
    return sorted(
        (line.kind, line.for_period.iso_month, line.fund_org, money.plain(line.charged))
        for line in PayerLine.objects.filter(period__month=BillingPeriod.objects.named(month).month)
    )


def standing(month="2025-01"):
    """Return what the deliveries of a month say by now, and what all its rows come to, wherever borne."""
    of = Charge.objects.live().filter(period=BillingPeriod.objects.named(month))
    said = sorted(of.standing().values_list("billed_cost", flat=True))
    assert sum(said) == sum(of.values_list("billed_cost", flat=True))
    return [money.plain(amount) for amount in said]


def january(*rows, folder, month="2025-01", **options):
    return delivered(folder, list(rows), f"aws_{month}.csv", **options)


def of_february(billed="5", **columns):
    return a_row(
        billed,
        BillingPeriodStart="2025-02-01T00:00:00Z",
        BillingPeriodEnd="2025-03-01T00:00:00Z",
        ChargePeriodStart="2025-02-05T00:00:00Z",
        ChargePeriodEnd="2025-02-06T00:00:00Z",
        **columns,
    )


def test_a_delivery_for_a_closed_month_waits_and_changes_nothing(tmp_path):
    january(a_row("10000"), folder=tmp_path)
    lines("2025-01")
    close()
    before = list(Charge.objects.values())
    result = january(a_row("9800"), folder=tmp_path)
    assert (result.state, result.deferred_periods) == ("deferred", ("2025-01",))
    assert list(Charge.objects.values()) == before
    found = result.deferred.difference["2025-01"]["USD"]
    assert (found["charged"], found["booked"], found["delta"]) == ("10000.00", "0.00", "-200.00")
    assert doors.as_command(result.next_steps[0]) == f"manage.py imports book {result.deferred.pk} --to MONTH"
    assert AuditEvent.objects.filter(action="import.deferred").count() == 1


def test_cumulative_restatements_book_what_each_adds(tmp_path):
    january(a_row("10000"), folder=tmp_path)
    lines("2025-01")
    close()
    first = book(january(a_row("9800"), folder=tmp_path), "2025-02")
    assert lines("2025-02") == [("late", "2025-01", "BIO-001", "-200.00")]
    assert (first.charged, first.taken_back, first.held) == (1, 1, 0)
    booked = AuditEvent.objects.get(action="import.booked")
    assert booked.after["sha256"] == [Import.objects.get(pk=first.number).files.get().sha256]
    again = january(a_row("9850"), folder=tmp_path)
    found = again.deferred.difference["2025-01"]["USD"]
    assert (found["charged"], found["booked"], found["delta"]) == ("10000.00", "-200.00", "50.00")
    book(again, "2025-03")
    assert lines("2025-03") == [("late", "2025-01", "BIO-001", "50.00")]
    assert lines("2025-02") == [("late", "2025-01", "BIO-001", "-200.00")]
    assert standing() == ["9850.00"]


def test_restatements_booked_in_one_month_add_up_there(tmp_path):
    january(a_row("10000"), folder=tmp_path)
    close()
    book(january(a_row("9800"), folder=tmp_path))
    book(january(a_row("9850"), folder=tmp_path))
    assert lines() == [("late", "2025-01", "BIO-001", "-150.00")]


def test_each_late_change_is_linked_to_its_charge_and_its_month(tmp_path):
    january(a_row("10000"), folder=tmp_path)
    close()
    original = Charge.objects.get()
    result = january(a_row("9800"), folder=tmp_path)
    book(result)
    back, now = Charge.objects.filter(is_late=True).order_by("billed_cost")
    assert (back.reverses, back.billed_cost, back.list_cost) == (original, Decimal(-10000), Decimal(-10000))
    assert (now.replaces, now.billed_cost, now.line_number) == (original, Decimal(9800), 2)
    assert {each.period.iso_month for each in (back, now)} == {"2025-01"}
    assert {each.charged_in.iso_month for each in (back, now)} == {"2025-03"}
    assert {each.imported_in for each in (back, now)} == {result.deferred}


def test_a_charge_that_is_gone_is_taken_back(tmp_path):
    january(a_row("10"), a_row("7.25", ResourceId="i-2"), a_row("1", ResourceId="i-3"), folder=tmp_path)
    close()
    book(january(a_row("10"), a_row("1", ResourceId="i-3"), folder=tmp_path))
    assert lines() == [("late", "2025-01", "BIO-001", "-7.25")]


def test_a_late_change_goes_to_the_payers_charged_then_whatever_the_tags_say_now(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    moved = {"pi_email": "mallory@u.edu", "project_id": "other", "fund_org": "CHEM-2"}
    book(january(a_row("90", tags=moved), folder=tmp_path))
    assert lines() == [("late", "2025-01", "BIO-001", "-10.00")]


def test_a_late_change_goes_to_the_shares_that_paid_then(tmp_path):
    split = build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    january(a_row("100"), folder=tmp_path)
    assert lines("2025-01") == [("charge", "2025-01", "A", "60.00"), ("charge", "2025-01", "B", "40.00")]
    close()
    split.valid_until = BillingPeriod.objects.named("2025-01").month
    split.save()
    build.a_split({"C": "100"}, project=split.project, valid_from=split.valid_until)
    book(january(a_row("89.99"), folder=tmp_path))
    # 10.01 back: 60 % are 6.006, 40 % are 4.004; the cent goes to the larger remainder.
    assert lines() == [("late", "2025-01", "A", "-6.01"), ("late", "2025-01", "B", "-4.00")]


def test_a_late_change_goes_to_the_defaults_that_paid_then(tmp_path):
    source = build.a_source("aws", default_pi=build.a_pi(), overflow_fund_org="OVER-1")
    result = january(a_row("100", tags=NO_TAGS), folder=tmp_path)
    Charge.objects.update(state=Charge.State.APPROVED)
    assert result.flagged == 1
    assert lines("2025-01") == [("charge", "2025-01", "OVER-1", "100.00")]
    close()
    source.default_pi, source.overflow_fund_org, source.debit_account = build.a_pi("mallory@u.edu"), "OVER-2", "7000"
    source.save()
    book(january(a_row("80", tags=NO_TAGS), folder=tmp_path, source=source))
    assert lines() == [("late", "2025-01", "OVER-1", "-20.00")]
    line = PayerLine.objects.get(kind="late")
    assert (line.pi.email, line.natural_account) == ("ada@u.edu", "6500")


def test_what_nobody_paid_then_nobody_pays_late(tmp_path):
    january(a_row("100"), folder=tmp_path)
    Charge.objects.update(state=Charge.State.REJECTED)
    close()
    book(january(a_row("90"), folder=tmp_path))
    assert lines() == []
    assert standing() == ["90.00"]


def test_what_was_charged_to_the_center_is_charged_to_it_late(tmp_path):
    build.a_policy(center_fund_org="RC-000")
    january(a_row("100"), folder=tmp_path)
    Charge.objects.update(state=Charge.State.CHARGED_TO_CENTER)
    close()
    book(january(a_row("90"), folder=tmp_path))
    assert lines() == [("charged_to_center", "2025-01", "RC-000", "-10.00")]


def test_a_new_row_goes_by_its_own_attribution(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    chem = {"pi_email": "mallory@u.edu", "project_id": "chem", "fund_org": "CHEM-2"}
    book(january(a_row("100"), a_row("3.5", ResourceId="i-2", tags=chem), folder=tmp_path))
    assert lines() == [("late", "2025-01", "CHEM-2", "3.50")]


def test_a_new_row_without_a_payer_is_held_in_the_month_that_bears_it(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    booked = book(january(a_row("100"), a_row("3.5", ResourceId="i-2", tags=NO_TAGS), folder=tmp_path))
    held = Charge.objects.held().get()
    assert (booked.held, held.charged_in.iso_month, held.period.iso_month) == (1, "2025-03", "2025-01")
    assert {flag.code for flag in held.flags.all()} == {"missing_pi", "missing_project", "missing_fund_org"}
    assert lines() == []


def test_what_is_held_is_withdrawn_when_it_changes_again(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    new = {"ResourceId": "i-2", "tags": NO_TAGS}
    book(january(a_row("100"), a_row("3.5", **new), folder=tmp_path))
    book(january(a_row("100"), a_row("4.5", **new), folder=tmp_path))
    assert [charge.billed_cost for charge in Charge.objects.held()] == [Decimal("4.5")]
    assert standing() == ["4.50", "100.00"]


def test_what_another_month_holds_has_to_be_decided_first(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    new = {"ResourceId": "i-2", "tags": NO_TAGS}
    book(january(a_row("100"), a_row("3.5", **new), folder=tmp_path), "2025-02")
    again = january(a_row("100"), a_row("4.5", **new), folder=tmp_path)
    with pytest.raises(late.NotBookable, match="1 in February 2025"):
        book(again, "2025-03")


def test_a_change_of_words_books_no_money(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    booked = book(january(a_row("100", ChargeDescription="Now with words"), folder=tmp_path))
    assert (booked.charged, booked.taken_back) == (1, 1)
    assert lines() == []
    assert january(a_row("100", ChargeDescription="Now with words"), folder=tmp_path).state == "applied"


def test_the_same_delivery_after_booking_is_no_change(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    book(january(a_row("90"), folder=tmp_path))
    again = january(a_row("90"), folder=tmp_path)
    assert (again.state, again.counts.unchanged, again.deferred) == ("applied", 1, None)


def test_open_months_of_a_delivery_are_applied_at_once_and_the_rest_waits(tmp_path):
    january(a_row("100"), of_february("5"), folder=tmp_path, month="2025-Q1")
    close()
    result = january(
        a_row("90"), of_february("6"), of_february("2", ResourceId="i-9"), folder=tmp_path, month="2025-Q1"
    )
    rest = result.deferred
    assert (result.imported.state, rest.state, rest.rest_of) == ("applied", "deferred", result.imported)
    assert (result.imported.rows, result.imported.changed, result.imported.new) == (2, 1, 1)
    assert (rest.rows, rest.changed, rest.new) == (1, 1, 0)
    assert standing("2025-02") == ["2.00", "6.00"]
    assert standing("2025-01") == ["100.00"]
    assert [total.period.iso_month for total in ImportTotal.objects.filter(imported_in=rest)] == ["2025-01"]
    book(result)
    assert lines() == [("late", "2025-01", "BIO-001", "-10.00")]
    assert standing("2025-02") == ["2.00", "6.00"]


def test_a_newer_delivery_takes_the_place_of_one_that_waits(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    old = january(a_row("90"), folder=tmp_path)
    new = january(a_row("95"), folder=tmp_path)
    old.deferred.refresh_from_db()
    assert (old.deferred.state, old.deferred.superseded_by) == ("superseded", new.deferred)
    with pytest.raises(late.NotDeferred, match=f"Import {new.deferred.pk} took its place"):
        book(old)
    book(new)
    assert lines() == [("late", "2025-01", "BIO-001", "-5.00")]


def test_a_delivery_that_says_what_was_charged_takes_back_the_one_that_waits(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    old = january(a_row("90"), folder=tmp_path)
    assert january(a_row("100"), folder=tmp_path).state == "applied"
    old.deferred.refresh_from_db()
    assert old.deferred.state == "superseded"


def test_another_account_takes_no_ones_place(tmp_path):
    both = [a_row("100"), a_row("50", BillingAccountId="acct-2", ResourceId="i-2")]
    delivered(tmp_path, both[:1], "aws_a_2025-01.csv")
    delivered(tmp_path, both[1:], "aws_b_2025-01.csv", force=True)
    close()
    first = delivered(tmp_path, [a_row("90")], "aws_a_2025-01.csv")
    delivered(tmp_path, [a_row("40", BillingAccountId="acct-2", ResourceId="i-2")], "aws_b_2025-01.csv")
    first.deferred.refresh_from_db()
    assert first.deferred.state == "deferred"


def test_files_that_add_up_wait_and_are_booked_one_by_one(tmp_path):
    source = build.a_source("hpc", import_mode=Source.ImportMode.APPEND)
    delivered(tmp_path, [a_row("1")], "hpc_1_2025-01.csv", source=source)
    close()
    second = delivered(tmp_path, [a_row("2")], "hpc_2_2025-01.csv", source=source)
    third = delivered(tmp_path, [a_row("4")], "hpc_3_2025-01.csv", source=source)
    assert (second.deferred.state, third.deferred.state) == ("deferred", "deferred")
    with pytest.raises(late.NotBookable, match=f"Import {second.deferred.pk}"):
        book(third)
    book(second)
    book(third)
    assert lines() == [("late", "2025-01", "BIO-001", "6.00")]
    again = delivered(tmp_path, [a_row("2")], "hpc_2_2025-01.csv", source=source)
    assert again.seen_before


@pytest.mark.parametrize("grain", ["line", "month"])
def test_chunks_without_rows_wait_and_are_booked_with_the_others(tmp_path, grain):
    build.a_source("aws", grain=grain)
    january(a_row("10"), folder=tmp_path)
    close()
    now = a_folder(tmp_path, [a_row("12")], name="aws_2025-01_again")
    header = (now / "part-1.csv").read_text().partition("\n")[0]
    for name in ("part-2.csv", "part-3.csv"):
        (now / name).write_text(f"{header}\n")
    keys = [path.name for path in sorted(now.iterdir())]
    (now / "aws-Manifest.json").write_text(json.dumps({"dataFiles": keys}))
    result = ingestion.ingest(paths=[now], source=build.a_source("aws"), **BY)
    assert (book(result).charged, standing()) == (1, ["12.00"])


def test_a_dismissed_delivery_is_not_booked_and_the_same_files_do_not_ask_again(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    result = january(a_row("90"), folder=tmp_path)
    with pytest.raises(ReasonMissing):
        late.dismiss(imported=result.deferred, reason=" ", **BY)
    late.dismiss(imported=result.deferred, reason="A mistake of theirs", **BY)
    with pytest.raises(late.NotDeferred):
        book(result)
    again = january(a_row("90"), folder=tmp_path)
    assert again.state == "dismissed"
    assert "A mistake of theirs" in again.as_text()
    assert january(a_row("80"), folder=tmp_path).state == "deferred"
    assert AuditEvent.objects.get(action="import.dismissed", note="A mistake of theirs")


def test_late_changes_are_booked_in_a_month_that_takes_changes_only(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    result = january(a_row("90"), folder=tmp_path)
    with pytest.raises(closing.PeriodClosed, match="January 2025 is closed"):
        book(result, "2025-01")
    assert Charge.objects.count() == 1


def test_a_month_that_was_reopened_takes_the_file_itself(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    result = january(a_row("90"), folder=tmp_path)
    closing.reopen(period=BillingPeriod.objects.named("2025-01"), reason="again", **BY)
    with pytest.raises(late.NotBookable, match="January 2025 takes changes: import .* is applied there"):
        book(result)
    assert january(a_row("90"), folder=tmp_path).state == "applied"
    result.deferred.refresh_from_db()
    assert result.deferred.state == "superseded"


def test_withdrawing_what_was_booked_leaves_what_was_there_before(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    result = january(a_row("90"), a_row("7", ResourceId="i-2"), folder=tmp_path)
    book(result)
    assert lines() == [("late", "2025-01", "BIO-001", "-3.00")]
    done = withdrawing.withdraw(imported=result.deferred, **BY)
    assert (done.withdrawn, lines(), standing()) == (3, [], ["100.00"])
    book(january(a_row("90"), folder=tmp_path))
    assert lines() == [("late", "2025-01", "BIO-001", "-10.00")]


def test_a_month_that_bears_a_late_change_and_is_closed_keeps_it(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    result = january(a_row("90"), folder=tmp_path)
    book(result, "2025-02")
    close("2025-02")
    with pytest.raises(closing.PeriodClosed):
        withdrawing.withdraw(imported=result.deferred, **BY)
    closing.reopen(period=BillingPeriod.objects.named("2025-01"), reason="again", **BY)
    with pytest.raises(outcomes.ImportRefused, match="February 2025 is closed"):
        january(a_row("80"), folder=tmp_path)


def test_a_dry_run_says_what_would_wait_and_keeps_nothing(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    result = january(a_row("90"), folder=tmp_path, dry_run=True)
    assert (result.state, result.deferred_periods, Import.objects.count()) == ("dry run", ("2025-01",), 1)
    assert "would wait" in result.as_text()
    assert result.as_data()["deferred"] == {"import": None, "state": "dry run", "periods": ["2025-01"]}


def a_folder(tmp_path, *files, name):
    folder = tmp_path / name
    folder.mkdir()
    for number, rows in enumerate(files, start=1):
        a_file(folder, rows, f"part-{number}.csv")
    return folder


@pytest.mark.parametrize("form", ["folder", "manifest", "zip"])
def test_a_delivery_of_several_files_waits_and_is_booked_whole(tmp_path, form):
    source = build.a_source("aws")
    first, second = [a_row("10", ResourceId="a")], [a_row("20", ResourceId="b")]
    ingestion.ingest(paths=[a_folder(tmp_path, first, second, name="aws_2025-01")], **BY)
    close()
    now = a_folder(tmp_path, [a_row("9", ResourceId="a")], [a_row("23", ResourceId="b")], name="aws_2025-01_again")
    if form == "manifest":
        keys = [f"s3://bucket/x/{path.name}" for path in sorted(now.iterdir())]
        (now / "aws-Manifest.json").write_text(json.dumps({"dataFiles": keys}))
        # A file that the manifest does not name is no part of it.
        a_file(now, [a_row("999", ResourceId="c")], "stale.csv")
    elif form == "zip":
        with zipfile.ZipFile(tmp_path / "aws_2025-01_again.zip", "w") as archive:
            for path in sorted(now.iterdir()):
                archive.write(path, path.name)
        now = tmp_path / "aws_2025-01_again.zip"
    result = ingestion.ingest(paths=[now], source=source, **BY)
    # What is booked is what was stored, whatever became of the folder since.
    for path in [now] if now.is_file() else now.iterdir():
        path.unlink()
    booked = book(result)
    assert (booked.charged, booked.taken_back) == (2, 2)
    assert standing() == ["9.00", "23.00"]
    assert lines() == [("late", "2025-01", "BIO-001", "2.00")]
    assert [each.name.rpartition("/")[2] for each in result.deferred.imported_files.order_by("number")] == [
        "part-1.csv",
        "part-2.csv",
    ]


def test_the_sum_booked_is_what_is_delivered_less_what_was_charged(tmp_path):
    rows = [a_row(f"{number}.333333", ResourceId=f"i-{number}") for number in range(1, 8)]
    january(*rows, folder=tmp_path)
    close()
    for month, amounts in (("2025-02", "1 2 30 4.5 5 6 7.77"), ("2025-03", "1.333333 2 3 4 5 0 0"), ("2025-04", "9 9")):
        given = [a_row(amount, ResourceId=f"i-{number}") for number, amount in enumerate(amounts.split(), start=1)]
        charged = sum(Charge.objects.live().values_list("billed_cost", flat=True))
        result = january(*given, folder=tmp_path, replace=True)
        book(result, month)
        booked = sum(
            Charge.objects.live()
            .filter(charged_in__month=build.a_period(month).month)
            .values_list("billed_cost", flat=True)
        )
        assert booked == sum(Decimal(amount) for amount in amounts.split()) - charged


def test_a_carried_charge_that_its_provider_changes_is_replaced_where_it_waits(tmp_path):
    january(a_row("12.50", tags=NO_TAGS), a_row("7", ResourceId="other"), folder=tmp_path)
    closing.close(period=BillingPeriod.objects.named("2025-01"), carry_held=True, **BY)
    result = january(a_row("13", tags=NO_TAGS), a_row("7", ResourceId="other"), folder=tmp_path)
    assert result.state == "deferred"
    booked = book(result, into="2025-02")
    assert (booked.charged, booked.taken_back, booked.held) == (1, 0, 1)
    (held,) = Charge.objects.held()
    assert (held.charged_in.iso_month, money.plain(held.billed_cost)) == ("2025-02", "13.00")
    assert standing() == ["7.00", "13.00"]


def review(month="2025-01"):
    until = build.NOW.date()
    return closing.start_review(period=BillingPeriod.objects.named(month), until=until, **BY)


def apply(result):
    return ingestion.apply_deferred(imported=result.deferred, **BY)


def test_a_delivery_for_a_month_in_review_waits_until_somebody_applies_it(tmp_path):
    january(a_row("100"), folder=tmp_path)
    charge = Charge.objects.get()
    review()
    result = january(a_row("120"), a_row("5", ResourceId="i-2"), folder=tmp_path)
    assert (result.state, result.deferred_periods) == ("deferred", ("2025-01",))
    assert f"January 2025 is in review: import {result.deferred.pk} is deferred" in result.as_text()
    assert doors.as_command(result.next_steps[0]) == f"manage.py imports apply {result.deferred.pk}"
    assert list(Charge.objects.live()) == [charge]
    with pytest.raises(late.NotBookable, match="import .* is applied there"):
        book(result)
    applied = apply(result)
    assert (applied.state, applied.counts.new, applied.counts.changed) == ("applied", 1, 1)
    assert sorted(standing()) == ["120.00", "5.00"]
    assert not Charge.objects.filter(is_late=True).exists()
    assert Charge.objects.live().get(replaces=charge).charged_in == charge.charged_in
    result.deferred.refresh_from_db()
    assert (result.deferred.state, result.deferred.booked_in, result.deferred.changed) == ("applied", None, 1)
    assert ImportTotal.objects.get(imported_in=result.deferred).billed_exact == "125.00"
    assert AuditEvent.objects.filter(action="import.applied").latest("id").before == {"state": "deferred"}
    with pytest.raises(late.NotDeferred):
        apply(result)
    # And it is taken back like any other.
    withdrawing.withdraw(imported=result.deferred, **BY)
    assert standing() == ["100.00"]


def test_a_first_delivery_for_a_month_in_review_waits_too(tmp_path):
    build.a_period("2025-01")
    review()
    result = january(a_row("100"), folder=tmp_path)
    assert (result.state, Charge.objects.count()) == ("deferred", 0)
    assert (apply(result).counts.new, standing()) == (1, ["100.00"])


def test_a_delivery_waits_for_a_month_in_review_while_its_open_month_takes_it(tmp_path):
    build.a_period("2025-01")
    review()
    result = january(a_row("100"), of_february("5"), folder=tmp_path, month="2025-Q1")
    assert (result.state, result.deferred_periods) == ("applied", ("2025-01",))
    assert standing("2025-02") == ["5.00"]
    apply(result)
    assert (standing(), standing("2025-02")) == (["100.00"], ["5.00"])
    totals = ImportTotal.objects.order_by("imported_in_id")
    assert [(each.imported_in, each.period.iso_month) for each in totals] == [
        (result.imported, "2025-02"),
        (result.deferred, "2025-01"),
    ]


def test_what_waits_for_months_in_review_and_closed_is_applied_to_the_one_and_waits_for_the_other(tmp_path):
    january(a_row("100"), of_february("5"), folder=tmp_path, month="2025-Q1")
    close()
    review("2025-02")
    result = january(a_row("110"), of_february("6"), folder=tmp_path, month="2025-Q1")
    assert (result.state, result.deferred_periods) == ("deferred", ("2025-01", "2025-02"))
    applied = apply(result)
    assert (applied.state, applied.deferred_periods) == ("applied", ("2025-01",))
    assert (standing(), standing("2025-02")) == (["100.00"], ["6.00"])
    rest = Import.objects.get(rest_of=result.deferred)
    assert rest.state == "deferred"
    booking.book(imported=rest, into=BillingPeriod.objects.named("2025-02"), **BY)
    assert standing() == ["110.00"]


def test_of_a_file_that_adds_up_each_month_is_charged_when_it_can_be(tmp_path):
    """One file, three months: open, in review and closed. What waits twice is the rest of a rest."""
    source = build.a_source("hpc", import_mode=Source.ImportMode.APPEND)
    for month in ("2025-01", "2025-02", "2025-03"):
        build.a_period(month)
    close()
    review("2025-02")
    march = {"BillingPeriodStart": "2025-03-01T00:00:00Z", "BillingPeriodEnd": "2025-04-01T00:00:00Z"}
    rows = [a_row("1"), of_february("2"), a_row("4", **march)]
    result = delivered(tmp_path, rows, "hpc_2025-Q1.csv", source=source)
    assert (result.state, result.deferred_periods) == ("applied", ("2025-01", "2025-02"))
    applied = apply(result)
    assert (applied.state, applied.deferred_periods) == ("applied", ("2025-01",))
    rest = Import.objects.get(rest_of=result.deferred)
    booked = booking.book(imported=rest, into=BillingPeriod.objects.named("2025-03"), **BY)
    assert booked.charged == 1
    assert [standing(month) for month in ("2025-01", "2025-02", "2025-03")] == [["1.00"], ["2.00"], ["4.00"]]
    for imported in (result.imported, result.deferred, rest):
        assert len(rereading.reread(Import.objects.get(pk=imported.pk))) == 3
    again = delivered(tmp_path, rows, "hpc_2025-Q1.csv", source=source)
    assert again.seen_before


def test_nothing_is_applied_to_a_closed_month(tmp_path):
    january(a_row("100"), folder=tmp_path)
    close()
    result = january(a_row("120"), folder=tmp_path)
    with pytest.raises(late.NotApplicable, match="January 2025 is closed"):
        apply(result)


def test_what_waited_in_the_review_is_booked_once_the_month_is_closed(tmp_path):
    january(a_row("100"), folder=tmp_path)
    review()
    result = january(a_row("120"), folder=tmp_path)
    close()
    book(result, into="2025-02")
    assert standing() == ["120.00"]


def test_an_import_whose_month_is_put_in_review_while_it_is_read_waits(tmp_path, monkeypatch):
    january(a_row("100"), folder=tmp_path)
    measure = comparing.measure

    def meanwhile(*compared, **options):
        found = measure(*compared, **options)
        review()
        return found

    monkeypatch.setattr(comparing, "measure", meanwhile)
    assert january(a_row("120"), folder=tmp_path).state == Import.State.DEFERRED
    assert standing() == ["100.00"]


# A fund/org that is over by the month that bears the late change


def of_march(last_posting="2025-03-30"):
    """The award was open in January and February, and takes no posting of March any more."""
    return build.a_fund("BIO-001", is_sponsored=True, last_posting_date=datetime.date.fromisoformat(last_posting))


@pytest.mark.parametrize("now_billed", ["10200", "9800"], ids=["an increase", "a credit"])
def test_a_late_change_of_an_award_past_its_last_posting_date_waits(tmp_path, now_billed):
    """What takes the charge back waits with what replaces it: nothing is posted until somebody decides."""
    january(a_row("10000"), folder=tmp_path)
    close()
    of_march()
    booked = book(january(a_row(now_billed), folder=tmp_path))
    assert (booked.charged, booked.taken_back, booked.held) == (1, 1, 2)
    assert lines() == []
    held = Charge.objects.held()
    # It stays with the award that paid.
    assert set(held.values_list("charged_in__month", "fund_org")) == {(datetime.date(2025, 3, 1), "BIO-001")}
    assert set(Flag.objects.values_list("code", "detail")) == {
        ("fund_closed", "BIO-001 takes no postings after Mar 30, 2025")
    }
    assert standing() == [f"{now_billed}.00"]
    assert AuditEvent.objects.filter(action="charge.held").count() == 2


def test_a_credit_alone_waits_as_well(tmp_path):
    january(a_row("10"), a_row("7.25", ResourceId="i-2"), a_row("1", ResourceId="i-3"), folder=tmp_path)
    close()
    of_march()
    book(january(a_row("10"), a_row("1", ResourceId="i-3"), folder=tmp_path))
    assert lines() == []
    assert [money.plain(charge.billed_cost) for charge in Charge.objects.held()] == ["-7.25"]


def test_a_late_change_of_nothing_but_words_does_not_wait(tmp_path):
    january(a_row("10"), folder=tmp_path)
    close()
    of_march()
    book(january(a_row("10", ChargeDescription="Other words"), folder=tmp_path))
    assert not Charge.objects.held().exists()


def test_the_last_day_of_the_month_that_bears_it_is_early_enough(tmp_path):
    january(a_row("10000"), folder=tmp_path)
    close()
    of_march("2025-03-31")
    book(january(a_row("9800"), folder=tmp_path))
    assert lines() == [("late", "2025-01", "BIO-001", "-200.00")]


def test_finance_decides_who_gets_a_late_change_of_an_award_that_is_over(tmp_path):
    cast = build.the_cast()
    january(a_row("10000"), folder=tmp_path)
    close()
    of_march()
    build.a_fund("BIO-002")
    book(january(a_row("9800"), folder=tmp_path))
    reassignment = reviewing.Reassignment(fund_org="BIO-002")

    def correct(user):
        actor = Actor.from_user(user)
        held = Charge.objects.held()
        return reviewing.reattribute(charges=held, reassignment=reassignment, approve=True, actor=actor, now=build.NOW)

    decided = correct(cast.reviewer)
    assert (decided.count, decided.skipped) == (
        0,
        {"a late change of a fund/org that is over: finance decides who gets it": 2},
    )
    assert correct(cast.finance).count == 2
    assert lines() == [("late", "2025-01", "BIO-002", "-200.00")]


def test_a_new_row_of_a_closed_month_is_held_if_its_fund_takes_no_posting_any_more(tmp_path):
    january(a_row("10"), folder=tmp_path)
    close()
    of_march()
    book(january(a_row("10"), a_row("5", ResourceId="i-2"), folder=tmp_path))
    assert [money.plain(charge.billed_cost) for charge in Charge.objects.held()] == ["5.00"]
    assert list(Flag.objects.values_list("code", flat=True)) == ["fund_closed"]


def test_what_waits_for_an_award_that_is_over_changes_once_more(tmp_path):
    january(a_row("10000"), folder=tmp_path)
    close()
    of_march()
    book(january(a_row("9800"), folder=tmp_path))
    book(january(a_row("9850"), folder=tmp_path))
    assert standing() == ["9850.00"]
    assert sorted(money.plain(each.billed_cost) for each in Charge.objects.held()) == ["-10000.00", "9850.00"]
