"""The totals of months: kept by whatever changes a charge, exact at any size, checked by the proof."""

import contextlib
import datetime
import re
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import proof, review
from billing.errors import BillingError
from billing.fields import AmountSum
from billing.importing import withdrawing
from billing.models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    CostMeasureChange,
    Import,
    MonthTotal,
    Person,
    Product,
    Source,
    totalling,
)
from billing.models.month_totals import HALVES, KEY
from billing.models.periods import PeriodClosed
from billing.months import closing
from billing.proof import recounting
from tests import build, totals
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

ACTING: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
MOST = Decimal("92233720368.54775807")


def billed(**narrowed) -> dict[str, tuple[int, Decimal]]:
    return MonthTotal.objects.filter(**narrowed).billed_by_currency()


def test_a_charge_counts_in_its_month_under_all_that_tells_it_apart():
    charge = build.a_charge("12.50", service_name="EC2", state="clear")
    row = MonthTotal.objects.get()
    assert {name: getattr(row, name) for name in KEY if name != "prices"} == {
        "charged_in_id": charge.charged_in_id,
        "source_id": charge.source_id,
        "period_id": charge.period_id,
        "state": "clear",
        "pi_id": charge.pi_id,
        "project_id": charge.project_id,
        "fund_org": "BIO-001",
        "service_name": "EC2",
        "currency": "USD",
    }
    assert (row.charges, row.billed_high, row.billed_low) == (1, 0, 1_250_000_000)


def test_sums_hold_more_than_64_bits_and_less_than_nothing():
    for amount in (MOST, MOST, MOST, Decimal("0.00000001")):
        build.a_charge(str(amount))
    assert billed() == {"USD": (4, 3 * MOST + Decimal("0.00000001"))}
    for amount in (-MOST, -MOST, -MOST, -MOST, -MOST):
        build.a_charge(str(amount), source="gcp")
    assert billed(source__name="gcp") == {"USD": (5, -5 * MOST)}
    assert billed() == {"USD": (9, -2 * MOST + Decimal("0.00000001"))}


def test_sums_are_by_currency_and_leave_out_what_came_to_nothing():
    charge = build.a_charge("5.00")
    build.a_charge("7.00", currency="EUR")
    Charge.objects.filter(pk=charge.pk).update(currency="CHF")
    assert billed() == {"CHF": (1, 5), "EUR": (1, 7)}


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "held"},
        {"state": Charge.State.REJECTED},
        {"pi": None},
        {"pi_id": None, "project": None},
        {"fund_org": "CHEM-7", "product": lambda: Product.of({"service_name": "S3"})},
        {"currency": "EUR"},
        {"billed_cost": Decimal("3.33")},
        {"list_cost": None, "contracted_cost": Decimal(0)},
        {"effective_cost": None},
        {"fund_org": F("currency")},
        {"billed_cost": F("list_cost") - F("contracted_cost")},
        {"cost_center": "C-1", "attributed_by": "decision"},
    ],
    ids=", ".join,
)
def test_an_update_counts_charges_where_they_belong_then(fields):
    for amount in ("1.10", "2.20", "-3.30"):
        build.a_charge(amount)
    build.a_charge("9.00", pi="mallory@u.edu")
    values = {name: value() if callable(value) else value for name, value in fields.items()}
    Charge.objects.filter(pi__email="ada@u.edu").update(**values)
    totals.require_kept()
    Charge.objects.filter(pk__in=[]).update(state="held")
    totals.require_kept()


def test_an_update_by_what_belongs_to_a_charge_counts_each_once():
    charge = build.a_charge(flags=("pattern_match", "missing_project"))
    assert Charge.objects.filter(flags__is_resolved=False).update(state="approved") == 1
    assert billed(state="approved") == {"USD": (1, Decimal(100))}
    assert Charge.objects.filter(charged_in__month=charge.charged_in.month).distinct().update(fund_org="X") == 1


def test_withdrawn_charges_count_no_more_and_revived_ones_again():
    charge, other = build.a_charge("10.00"), build.a_charge("4.00")
    for gone in (build.an_import(), build.an_import().pk):
        Charge.objects.filter(pk=charge.pk).update(
            **{"withdrawn_in_id" if isinstance(gone, int) else "withdrawn_in": gone}
        )
        assert billed() == {"USD": (1, 4)}
        # Withdrawn by another, and moved while withdrawn: it does not count before it lives again.
        Charge.objects.filter(pk=charge.pk).update(withdrawn_in=build.an_import())
        Charge.objects.filter(pk=charge.pk).update(state="held")
        Charge.objects.filter(pk=charge.pk).update(withdrawn_in=None)
        assert billed() == {"USD": (2, 14)}
    assert billed(state="held") == {"USD": (1, 10)}
    assert other.pk


def test_a_saved_and_a_deleted_charge_count_as_they_are():
    charge = build.a_charge("10.00")
    charge.billed_cost, charge.state = Decimal("11.00"), "held"
    charge.save()
    assert billed(state="held") == {"USD": (1, 11)}
    charge.state = "approved"
    charge.save(update_fields=["state"])
    charge.note = ""
    charge.save(update_fields=["cost_center"])
    assert billed() == billed(state="approved") == {"USD": (1, 11)}
    charge.delete()
    build.a_charge("1.00")
    Charge.objects.all().delete()
    assert billed() == {}


def test_many_charges_made_or_changed_at_once_count():
    first = build.a_charge("1.00")
    fields = {
        field.attname: getattr(first, field.attname) for field in Charge._meta.concrete_fields if field.name != "id"
    }
    made = Charge.objects.bulk_create([Charge(**fields | {"billed_cost": Decimal(number)}) for number in range(2, 5)])
    assert billed() == {"USD": (4, 10)}
    for charge, state in zip(made, ("held", "approved", "rejected"), strict=True):
        charge.state = state
    Charge.objects.bulk_update(made, ["state"])
    assert {row["state"]: row["number"] for row in MonthTotal.objects.summed("state")} == dict.fromkeys(
        ("clear", "held", "approved", "rejected"), 1
    )
    with pytest.raises(NotImplementedError):
        Charge.objects.bulk_create(made, ignore_conflicts=True)


def test_what_is_rolled_back_was_never_counted():
    charge = build.a_charge("1.00", flags=("pattern_match",))
    before = totals.of_months()

    def fails(*args, **options):
        raise RuntimeError("the power is gone")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("billing.review.act.insert", fails)
        with pytest.raises(RuntimeError, match="the power is gone"):
            review.approve(charges=[charge.pk], **ACTING)
    assert totals.of_months() == before


def test_a_decision_about_one_charge_looks_at_no_other(django_assert_num_queries):
    charge, other = build.a_charge("4.00"), build.a_charge("5.00")
    selection = Charge.objects.filter(pk=charge.pk)
    (group,) = totalling.groups_of(selection)
    assert group.sums == [1, *[400_000_000] * 4]
    # A savepoint and its end; whether months are shut; the group, the change, what is added, and its number.
    locks = 1 if connection.vendor == "postgresql" else 0
    with django_assert_num_queries(7 + locks):
        selection.update(state="held")
    assert other.pk


def test_rows_of_one_key_are_folded_and_those_that_come_to_nothing_go(monkeypatch):
    monkeypatch.setattr(totalling, "FOLDED_EVERY", 10)
    charge = build.a_charge("1.00")
    build.a_charge("2.00")
    for state in ("held", "approved") * 20:
        Charge.objects.filter(pk=charge.pk).update(state=state)
        totals.require_kept()
    assert MonthTotal.objects.count() < 15
    totalling.fold([charge.charged_in_id])
    assert set(totals.rows_by_key().values()) == {1}
    assert billed() == {"USD": (2, 3)}
    assert not MonthTotal.objects.filter(charges=0).exists()


def test_a_changed_charge_counts_by_the_difference_alone(tmp_path):
    """What left and what came are alike in all but the amount: one row says both."""
    delivered(tmp_path, [a_row("10.00")])
    delivered(tmp_path, [a_row("12.50")])
    first, second = (totalling.of_halves(row.billed_high, row.billed_low) for row in MonthTotal.objects.order_by("pk"))
    assert (first, second) == (1_000_000_000, 250_000_000)
    assert billed() == {"USD": (1, Decimal("12.50"))}


def test_a_closed_month_has_one_row_for_each_key_and_keeps_it():
    charge = build.a_charge()
    Charge.objects.filter(pk=charge.pk).update(fund_org="CHEM-7")
    closing.close(period=charge.charged_in, **ACTING)
    row = MonthTotal.objects.get()
    with pytest.raises(PeriodClosed, match="its month totals are locked"):
        MonthTotal.objects.filter(pk=row.pk).update(charges=2)
    with pytest.raises(PeriodClosed):
        row.delete()
    with pytest.raises(PeriodClosed):
        MonthTotal.objects.bulk_create([row])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_monthtotal SET charges = 2",
        "DELETE FROM billing_monthtotal",
        f"INSERT INTO billing_monthtotal ({', '.join((*KEY, 'charges', *HALVES))}) "
        f"SELECT {', '.join((*KEY, 'charges', *HALVES))} FROM billing_monthtotal",
    ],
)
def test_the_database_refuses_to_change_the_totals_of_a_closed_month(statement):
    build.a_charge()
    build.shut()
    with pytest.raises(IntegrityError, match="the totals of its charges are locked"), connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_pi_whose_charges_all_went_to_others_can_go():
    charge = build.a_charge(pi="wrong@u.edu")
    Charge.objects.filter(pk=charge.pk).update(pi=build.a_pi("right@u.edu"))
    Person.objects.get(email="wrong@u.edu").delete()
    assert list(MonthTotal.objects.summed("pi__email")) == [{"pi__email": "right@u.edu", "number": 1, "billed": 100}]


# Against the rule of statements -----------------------------------------------------------------------------

COSTS = st.sampled_from([None, Decimal(0), Decimal("3.10"), Decimal("-2.00000001"), Decimal(7)])
CHARGES = st.lists(
    st.tuples(
        st.sampled_from(["aws", "hpc"]),
        st.sampled_from(["2025-01", "2025-02"]),
        st.sampled_from([Decimal(0), Decimal(4), Decimal("-1.5")]),
        COSTS,
        COSTS,
        COSTS,
        st.sampled_from(["clear", "held", "rejected"]),
    ),
    max_size=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    charges=CHARGES, kind=st.sampled_from(["provider", "internal"]), measure=st.sampled_from(["billed", "effective"])
)
def test_prices_are_those_that_statements_count(db, charges, kind, measure):
    Charge.objects.all().delete()
    CostMeasureChange.objects.all().delete()
    for name in ("aws", "hpc"):
        build.a_source(name)
    Source.objects.filter(name="aws").update(kind=kind, cost_measure=measure)
    changed = {"from_month": datetime.date(2025, 2, 1), "measure": "effective" if measure == "billed" else "billed"}
    CostMeasureChange.objects.create(source=Source.objects.get(name="hpc"), **changed)
    build.a_period("2025-03")
    for source, month, cost, listed, contracted, effective, state in charges:
        amounts = {"list_cost": listed, "contracted_cost": contracted, "effective_cost": effective}
        # Delivered for one month and charged in another.
        into = build.a_period("2025-03") if state == "held" else build.a_period(month)
        build.a_charge(str(cost), source=source, period=month, state=state, charged_in=into, **amounts)
    by = ("source__name", "charged_in__month", "state")
    rows = (
        Charge.objects.live()
        .order_by()
        .with_prices(estimates=True)
        .values_list(*by)
        .annotate(listed=AmountSum("exact_list"), contracted=AmountSum("exact_contracted"))
        .annotate(charged=AmountSum("exact_charged"), billed=AmountSum("billed_cost"))
    )
    wanted = {row[:3]: row[3:] for row in rows}
    found = {
        key: (sums.listed, sums.contracted, sums.charged, sums.billed)
        for key, sums in MonthTotal.objects.priced(*by).items()
    }
    assert found == wanted


# The proof ------------------------------------------------------------------------------------------------------


def problems() -> list[str]:
    return proof.prove(BillingPeriod.objects.get()).problems()


def test_the_proof_says_which_totals_are_not_what_the_charges_come_to():
    build.a_charge("12.50")
    MonthTotal.objects.update(charges=2, billed_low=F("billed_low") + 100_000_000)
    (told,) = problems()
    assert told == (
        "Totals of January 2025: they are not what the charges come to. aws, clear, ada@u.edu, genomics, BIO-001, "
        "Compute: 2 charges instead of 1; billed cost 13.50 instead of 12.50 USD. Count the month again, unless a "
        "charge was altered."
    )
    recounting.recount(period=BillingPeriod.objects.get(), **ACTING)


def test_a_charge_that_is_altered_past_the_program_gives_itself_away():
    charge = build.a_charge("12.50")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE billing_charge SET pi_id = NULL WHERE id = %s", [charge.pk])
    (told,) = problems()
    for part in ("1 charge instead of 0", "0 charges instead of 1", "no PI"):
        assert part in told
    recounted = recounting.recount(period=charge.charged_in, **ACTING)
    assert str(recounted) == "The totals of January 2025 were wrong for 2 groups of charges, and are right now."
    assert not problems()


def test_rows_that_are_gone_or_too_many_are_found_and_no_more_than_a_few_are_named():
    for number in range(8):
        build.a_charge(service_name=f"S{number}")
    assert not problems()
    MonthTotal.objects.filter(service_name__gte="S1").delete()
    (told,) = problems()
    assert told.count("0 charges instead of 1") == 5
    assert "And 2 more." in told
    recounting.recount(period=BillingPeriod.objects.get(), **ACTING)
    assert not problems()
    assert (
        str(recounting.recount(period=BillingPeriod.objects.get(), **ACTING))
        == "The totals of January 2025 were right."
    )


def test_a_closed_month_is_not_counted_again():
    charge = build.a_charge()
    with pytest.raises(PeriodClosed, match="Reopen it"):
        recounting.recount(period=build.shut(), **ACTING)
    assert charge.pk


# Whatever happens ------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["import", "approve", "reject", "center", "reassign", "undo", "withdraw", "carry", "move", "fold"]
        ),
        st.integers(0, 7),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
)


def do(step: str, number: int, other: int, folder) -> None:
    """Take one step, if it can be taken: about the charge or the import of this number."""
    charges = list(Charge.objects.live().order_by("pk"))
    one = [charges[number % len(charges)].pk] if charges else []
    if step == "import":
        rows = [
            a_row(
                f"{line + number}.{other}5",
                ResourceId=f"i-{line}",
                tags={"pi_email": "ada@u.edu", "fund_org": "BIO-001"} if (line + other) % 3 else {},
            )
            for line in range(number)
        ]
        if rows:
            delivered(folder, rows, replace=True)
    elif step in ("approve", "reject", "center"):
        verb: Any = {"approve": review.approve, "reject": review.reject, "center": review.charge_to_center}[step]
        told = {"reason": "other", "note": "x", "provider_credits": True} if step == "reject" else {}
        verb(charges=one, **told, **ACTING)
    elif step == "reassign":
        to = review.Reassignment(pi=("ada@u.edu", "grace@u.edu")[other % 2], fund_org=f"F-{other}")
        review.reattribute(charges=one, reassignment=to, approve=bool(other % 2), **ACTING)
    elif step == "undo":
        review.undo(charges=one, **ACTING)
    elif step == "fold":
        totalling.fold(BillingPeriod.objects.values_list("pk", flat=True))
    else:
        period = BillingPeriod.objects.filter(month=datetime.date(2025, 1, 1)).first()
        if step == "withdraw" and (imported := Import.objects.filter(state="applied").order_by("-pk").first()):
            withdrawing.withdraw(imported=imported, **ACTING)
        elif step == "carry" and period:
            closing.carry_over(period=period, **ACTING)
        elif step == "move" and one:
            Charge.objects.filter(pk__in=one).update(project=build.a_project(f"p-{other}"))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_after_any_steps_totals_are_what_the_charges_come_to(db, tmp_path, steps):
    with transaction.atomic():
        for step, number, other in steps:
            with contextlib.suppress(BillingError):
                do(step, number, other, tmp_path)
            totals.require_kept()
        transaction.set_rollback(True)


# Where they are shown --------------------------------------------------------------------------------------------


# What somebody is charged, of nothing but held charges.
NOTHING = "list 7.00 − discount 0.00 − subsidy 0.00 = charged 0.00 EUR"
FIVE = "list 5.00 − discount 0.00 − subsidy 0.00 = charged 0.00 USD"
SIXTY = "list 60.00 − discount 0.00 − subsidy 0.00 = charged 60.00"


@pytest.mark.parametrize(
    ("model", "narrowed", "told"),
    [
        ("charge", {"period": "2025-01"}, f"3 charges in force: {NOTHING} + held or rejected 7.00 EUR; {SIXTY} USD"),
        (
            "charge",
            {"standing": "live", "state__exact": "held"},
            f"2 charges in force: {NOTHING} + held or rejected 7.00 EUR; {FIVE} + held or rejected 5.00 USD",
        ),
        (
            "charge",
            {"period": "2025-01", "amount_from": "20"},
            "1 charge in force: list 50.00 − discount 0.00 − subsidy 0.00 = charged 50.00 USD",
        ),
        ("charge", {"standing": "withdrawn"}, "1 charge"),
        ("charge", {"project__id__exact": "9" * 30}, ""),
        ("heldcharge", {"view": "list"}, "2 charges, billed 7.00 EUR, 5.00 USD"),
        ("heldcharge", {"period": "2025-02", "view": "list"}, "1 charge, billed 5.00 USD"),
    ],
    ids=str,
)
def test_a_list_says_what_it_comes_to_where_the_totals_know(client, cast, model, narrowed, told):
    build.a_charge("10.00")
    build.a_charge("50.00", pi="mallory@u.edu", project=None)
    build.a_charge("7.00", currency="EUR", flags=("pattern_match",))
    build.a_charge("5.00", period="2025-02", flags=("pattern_match",))
    Charge.objects.filter(pk=build.a_charge("4.00").pk).update(withdrawn_in=build.an_import())
    client.force_login(cast.viewer)
    page = client.get(reverse(f"admin:billing_{model}_changelist"), narrowed, follow=True).content.decode()
    found = re.search(r'<p class="sub"[^>]*>(.*?)( <span class="related">|</p>)', page, re.DOTALL)
    said = " ".join(re.sub("<[^>]*>", "", found[1]).split()) if found else ""
    assert said.removesuffix(" · Show in groups") == told


def test_the_same_recount_through_the_command_and_the_page(client, cast):
    charge = build.a_charge()
    for count_again in (
        lambda: call_command("periods", "recount", "2025-01", stdout=StringIO()),
        lambda: client.post(reverse("admin:billing_billingperiod_recount", args=[charge.charged_in_id])),
    ):
        MonthTotal.objects.update(charges=5)
        client.force_login(cast.finance)
        count_again()
        totals.require_kept()
    assert AuditEvent.objects.filter(action="period.recounted").count() == 2


def test_counting_again_is_offered_where_the_reconciliation_found_the_totals_wrong(client, cast):
    charge = build.a_charge()
    client.force_login(cast.finance)
    recount = reverse("admin:billing_billingperiod_recount", args=[charge.charged_in_id])
    month = reverse("admin:billing_billingperiod_change", args=[charge.charged_in_id])
    proof = reverse("admin:billing_billingperiod_proof", args=[charge.charged_in_id])
    assert recount not in client.get(month).content.decode()
    assert recount not in client.get(proof).content.decode()
    MonthTotal.objects.update(charges=5)
    assert recount in client.get(proof).content.decode()
    client.force_login(cast.viewer)
    assert recount not in client.get(proof).content.decode()
    client.force_login(cast.finance)
    client.post(recount)
