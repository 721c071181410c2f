"""Shared costs: what is nobody's own is borne, to the cent, by all whom its source charged."""

import datetime
import html
import re
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import charging, corrections, review
from billing.attribution import Attributor
from billing.charging import NothingToShareOver
from billing.models import AttributionRule, Charge, ExchangeRate, PayerLine, Policy, Source
from billing.money import to_cents
from billing.readers.tags import tags_of
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = pytest.mark.django_db

Kind = PayerLine.Kind


def charge_it(period="2025-01"):
    return charging.make_payer_lines(period=build.a_period(period), actor=build.SOMEBODY, now=build.NOW)


def a_shared_charge(billed, name="AWS Support", **fields):
    fields = {"attributed_by": "rule", "deciders": "rule 1 (shared)", "resource_id": ""} | fields
    return build.a_charge(billed, pi=None, project=None, fund_org="", shared_as=name, **fields)


def three_pis(period="2025-01", **fields):
    build.a_charge("100.00", pi="ada@u.edu", project="genomics", fund_org="BIO-001", period=period, **fields)
    build.a_charge("50.00", pi="bob@u.edu", project="climate", fund_org="GEO-002", period=period, **fields)
    build.a_charge("50.01", pi="cyd@u.edu", project="neuro", fund_org="MED-003", period=period, **fields)


def shares(name="AWS Support", period="2025-01", **only):
    lines = PayerLine.objects.filter(service_name=name, period=build.a_period(period), shared_total__isnull=False)
    return {line.pi.email if line.pi else "the center": line.charged for line in lines.filter(**only).order_by("key")}


def test_a_fee_is_shared_in_proportion_to_what_each_was_charged():
    three_pis()
    a_shared_charge("33.33")
    charged = charge_it()
    # 33.33 × 100/200.01 = 16.6641…, × 50/200.01 = 8.33208…, × 50.01/200.01 = 8.33375…: 16 + 8 + 8 and the cents
    # .66 + .33 + .33 are 33.32; the last goes to the largest remainder, 0.416 of a cent.
    assert shares() == {
        "ada@u.edu": Decimal("16.67"),
        "bob@u.edu": Decimal("8.33"),
        "cyd@u.edu": Decimal("8.33"),
    }
    assert charged.charged == Decimal("233.34")
    line = PayerLine.objects.get(kind=Kind.SHARED, pi__email="ada@u.edu")
    assert (line.project.code, line.fund_org, line.source.name) == ("genomics", "BIO-001", "aws")
    assert (line.natural_account, line.shared_total, line.charge_count) == ("6500", Decimal("33.33"), 1)
    assert line.key == "2025-01|shared|ada@u.edu|genomics|BIO-001|aws|6500|AWS Support|USD"


def test_what_has_one_name_is_rounded_once_whatever_services_it_is_of():
    three_pis()
    for service in ("EC2", "S3", "RDS"):
        a_shared_charge("0.004", "Tax", service_name=service, charge_category="Tax")
    charge_it()
    # 0.012 is one cent, and the largest part of it is Ada's.
    assert shares("Tax") == {"ada@u.edu": Decimal("0.01")}
    assert PayerLine.objects.get(service_name="Tax").rounding == Decimal("0.002")


def test_less_than_a_cent_is_still_accounted_for():
    three_pis()
    a_shared_charge("0.004")
    charged = charge_it()
    assert shares() == {"ada@u.edu": Decimal("0.00")}
    assert charged.rounding == Decimal("0.004")


def test_a_credit_is_shared_as_a_cost_is_with_its_sign():
    three_pis()
    a_shared_charge("-33.33", "Enterprise credit", charge_category="Credit")
    charge_it()
    assert shares("Enterprise credit") == {
        "ada@u.edu": Decimal("-16.67"),
        "bob@u.edu": Decimal("-8.33"),
        "cyd@u.edu": Decimal("-8.33"),
    }


def test_who_was_charged_nothing_or_credited_bears_nothing():
    build.a_charge("10.00", pi="ada@u.edu")
    build.a_charge("-20.00", pi="bob@u.edu")
    build.a_charge("0.00", pi="cyd@u.edu")
    a_shared_charge("3.00")
    charge_it()
    assert shares() == {"ada@u.edu": Decimal("3.00")}


def test_another_source_is_not_asked():
    build.a_charge("10.00", pi="ada@u.edu")
    build.a_charge("90.00", pi="bob@u.edu", source="gcp")
    a_shared_charge("3.00")
    charge_it()
    assert shares() == {"ada@u.edu": Decimal("3.00")}


def test_fund_orgs_of_a_split_bear_their_parts():
    build.a_charge("100.00", fund_org="", payer_split=build.a_split({"A": "75", "B": "25"}))
    a_shared_charge("10.00")
    charge_it()
    lines = PayerLine.objects.filter(kind=Kind.SHARED).order_by("fund_org")
    assert [(line.fund_org, line.charged) for line in lines] == [("A", Decimal("7.50")), ("B", Decimal("2.50"))]


def test_the_center_bears_its_part_of_what_is_charged_to_it():
    build.a_policy(center_fund_org="CENTER")
    build.a_charge("75.00", pi="ada@u.edu")
    build.a_charge("25.00", pi="bob@u.edu", state=Charge.State.CHARGED_TO_CENTER)
    a_shared_charge("4.00")
    charge_it()
    assert shares() == {"the center": Decimal("1.00"), "ada@u.edu": Decimal("3.00")}
    center = PayerLine.objects.get(pi__isnull=True, shared_total__isnull=False)
    assert (center.kind, center.fund_org) == (Kind.CHARGED_TO_CENTER, "CENTER")


def test_a_shared_cost_charged_to_the_center_is_its_alone():
    build.a_policy(center_fund_org="CENTER")
    build.a_charge("75.00")
    a_shared_charge("4.00", state=Charge.State.CHARGED_TO_CENTER, service_name="Support")
    charge_it()
    assert not PayerLine.objects.filter(shared_total__isnull=False)
    line = PayerLine.objects.get(kind=Kind.CHARGED_TO_CENTER)
    assert (line.service_name, line.fund_org, line.charged) == ("Support", "CENTER", Decimal("4.00"))


def test_shared_costs_do_not_measure_each_other():
    three_pis()
    a_shared_charge("33.33")
    alone = (charge_it(), shares())[1]
    a_shared_charge("1000.00", "Tax")
    charge_it()
    assert shares() == alone
    assert sum(shares("Tax").values()) == Decimal("1000.00")


def test_list_and_contracted_are_shared_too_and_a_subsidy_is_funded():
    build.a_source("aws", subsidy_fund_org="SUBSIDY")
    build.a_charge("60.00", pi="ada@u.edu")
    build.a_charge("40.00", pi="bob@u.edu")
    a_shared_charge("5.00", list_cost=Decimal("20.00"), contracted_cost=Decimal("10.00"))
    charge_it()
    lines = PayerLine.objects.filter(kind=Kind.SHARED).order_by("key")
    assert [(line.list_cost, line.contracted_cost, line.charged) for line in lines] == [
        (Decimal("12.00"), Decimal("6.00"), Decimal("3.00")),
        (Decimal("8.00"), Decimal("4.00"), Decimal("2.00")),
    ]
    funded = PayerLine.objects.filter(kind=Kind.SUBSIDY, service_name="AWS Support").order_by("pi__email")
    assert [(line.pi.email, line.charged) for line in funded] == [
        ("ada@u.edu", Decimal("3.00")),
        ("bob@u.edu", Decimal("2.00")),
    ]


def test_a_foreign_currency_is_converted_before_it_is_shared():
    ExchangeRate.objects.create(period=build.a_period(), currency="EUR", rate=Decimal("1.1"))
    three_pis()
    a_shared_charge("30.30", currency="EUR")
    charge_it()
    assert sum(shares().values()) == Decimal("33.33")
    assert set(PayerLine.objects.values_list("currency", flat=True)) == {"USD"}


def test_a_second_run_changes_nothing():
    three_pis()
    a_shared_charge("33.33")
    charge_it()
    again = charge_it()
    assert (again.created, again.changed, again.deleted) == (0, 0, 0)


def test_a_cost_that_somebody_is_charged_later_moves_the_shares():
    three_pis()
    a_shared_charge("33.33")
    charge_it()
    build.a_charge("200.01", pi="dee@u.edu")
    charge_it()
    assert shares() == {
        "ada@u.edu": Decimal("8.33"),
        "bob@u.edu": Decimal("4.17"),
        "cyd@u.edu": Decimal("4.17"),
        "dee@u.edu": Decimal("16.66"),
    }


def test_where_nobody_was_charged_the_error_says_which_source_and_month_and_what_to_do():
    build.a_charge("10.00", source="gcp")
    a_shared_charge("3.00")
    with pytest.raises(NothingToShareOver) as refused:
        charge_it()
    for part in ("1 shared cost goes", "aws in January 2025", "default PI", "charge them to the center", "reattribute"):
        assert part in str(refused.value)
    assert not PayerLine.objects.exists()


def test_a_shared_cost_of_zero_needs_nobody():
    a_shared_charge("0.00")
    assert charge_it().lines == 0


def test_where_nobody_was_charged_the_sources_default_pi_and_overflow_fund_bear_it():
    build.a_source("aws", default_pi=build.a_pi("core@u.edu"), overflow_fund_org="OVERFLOW")
    a_shared_charge("3.00")
    charge_it()
    line = PayerLine.objects.get()
    assert (line.kind, line.pi.email, line.fund_org, line.charged) == (
        Kind.SHARED,
        "core@u.edu",
        "OVERFLOW",
        Decimal("3.00"),
    )


def test_what_is_carried_over_goes_over_what_its_own_month_charged():
    three_pis("2025-01")
    charge_it("2025-01")
    build.a_charge("999.00", pi="eve@u.edu", period="2025-02")
    fee = a_shared_charge("33.33")
    Charge.objects.filter(pk=fee.pk).update(charged_in=build.a_period("2025-02"))
    charge_it("2025-02")
    assert shares(period="2025-02") == {
        "ada@u.edu": Decimal("16.67"),
        "bob@u.edu": Decimal("8.33"),
        "cyd@u.edu": Decimal("8.33"),
    }
    assert {line.for_period.iso_month for line in PayerLine.objects.filter(kind=Kind.SHARED)} == {"2025-01"}


def test_a_month_that_was_never_charged_is_named():
    build.a_charge("999.00", period="2025-02")
    fee = a_shared_charge("33.33")
    Charge.objects.filter(pk=fee.pk).update(charged_in=build.a_period("2025-02"))
    with pytest.raises(NothingToShareOver, match="aws in January 2025"):
        charge_it("2025-02")


def test_no_resources_stand_below_a_share():
    three_pis()
    a_shared_charge("33.33", resource_id="fee-1")
    charge_it()
    lines = list(PayerLine.objects.select_related("pi", "project", "source"))
    below = charging.resources_of(build.a_period(), lines)
    assert {line.kind for line in lines if below[line.key]} == {Kind.CHARGE}
    assert not any(share.resource_id == "fee-1" for found in below.values() for share in found)


def test_the_database_keeps_a_shared_cost_nobodys_own():
    charge = a_shared_charge("3.00")
    with pytest.raises(IntegrityError), transaction.atomic():
        Charge.objects.filter(pk=charge.pk).update(fund_org="BIO-001")
    with pytest.raises(IntegrityError), transaction.atomic():
        Charge.objects.filter(pk=charge.pk).update(pi=build.a_pi())


amounts = st.decimals(min_value=0, max_value=5_000, places=2)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(amounts, min_size=1, max_size=6).filter(any),
    st.decimals(min_value=Decimal("-9999"), max_value=Decimal("9999"), places=6),
    st.randoms(use_true_random=False),
)
def test_shares_sum_to_the_cost_keep_its_sign_and_do_not_depend_on_the_order(charged, cost, random):
    people = [f"p{number}@u.edu" for number in range(len(charged))]
    found = []
    for _ in range(2):
        with transaction.atomic():
            own = list(zip(people, charged, strict=True))
            random.shuffle(own)
            for email, billed in own:
                build.a_charge(str(billed), pi=email)
            a_shared_charge(str(cost))
            charge_it()
            found.append(shares())
            transaction.set_rollback(True)
    first, second = found
    assert first == second
    assert sum(first.values(), Decimal(0)) == to_cents(cost, "USD")
    assert all(share * cost >= 0 for share in first.values())
    whole = sum(charged)
    for email, billed in zip(people, charged, strict=True):
        assert abs(first.get(email, Decimal(0)) - to_cents(cost, "USD") * billed / whole) < Decimal("0.01")


# Decisions


def test_a_shared_cost_held_for_another_reason_is_approved_without_pi_and_fund():
    three_pis()
    fee = a_shared_charge("33.33", flags=("pattern_match",))
    assert review.approve(charges=[fee.pk], actor=build.SOMEBODY, now=build.NOW).count == 1
    charge_it()
    assert sum(shares().values()) == Decimal("33.33")


def test_a_decision_makes_a_shared_cost_somebodys_own_and_undo_shares_it_again():
    three_pis()
    fee = a_shared_charge("33.33")
    reassignment = review.Reassignment(pi="ada@u.edu", project="genomics", fund_org="BIO-001")
    review.reattribute(create=True, charges=[fee.pk], reassignment=reassignment, actor=build.SOMEBODY, now=build.NOW)
    fee.refresh_from_db()
    assert (fee.shared_as, fee.pi.email, fee.state) == ("", "ada@u.edu", Charge.State.CLEAR)
    charge_it()
    assert not shares()
    review.undo(charges=[fee.pk], actor=build.SOMEBODY, now=build.NOW)
    fee.refresh_from_db()
    assert (fee.shared_as, fee.pi, fee.fund_org, fee.state) == ("AWS Support", None, "", Charge.State.CLEAR)
    charge_it()
    assert sum(shares().values()) == Decimal("33.33")


def test_a_natural_account_may_be_corrected_and_the_cost_stays_shared():
    three_pis()
    fee = a_shared_charge("33.33")
    reassignment = review.Reassignment(natural_account="7100")
    review.reattribute(create=True, charges=[fee.pk], reassignment=reassignment, actor=build.SOMEBODY, now=build.NOW)
    charge_it()
    assert set(PayerLine.objects.filter(kind=Kind.SHARED).values_list("natural_account", flat=True)) == {"7100"}
    assert Source.objects.get().debit_account == "6500"


# Pages


def test_a_charges_page_says_that_it_is_shared_by_which_rule_and_the_list_finds_it(client):
    cast = build.the_cast()
    client.force_login(cast.admin)
    rule = AttributionRule.objects.create(source=build.a_source(), service="Support", shared_as="AWS Support")
    fee = a_shared_charge("33.33", deciders=f"rule {rule.pk} (shared)")
    nobodys = build.a_charge("1.00", pi=None, project=None, fund_org="", flags=("missing_pi",))
    page = client.get(reverse("admin:billing_charge_change", args=[fee.pk])).content.decode()
    assert "over all whom AWS charged in January 2025" in page
    assert reverse("admin:billing_attributionrule_change", args=[rule.pk]) in page
    assert "nobody yet" not in page
    listed = reverse("admin:billing_charge_changelist")
    for payer, expected in (("shared", [fee]), ("no-pi", [nobodys]), ("no-fund", [nobodys])):
        assert list(client.get(listed, {"payer": payer}).context["cl"].queryset) == expected
    assert "as AWS Support" in client.get(listed).content.decode()


def test_a_charge_that_is_nobodys_offers_a_rule_that_shares_such_costs(client):
    cast = build.the_cast()
    client.force_login(cast.admin)
    charge = build.a_charge(
        "1.00",
        pi=None,
        project=None,
        fund_org="",
        flags=("missing_pi",),
        service_name="AWS Support [Business]",
        charge_category="Tax",
    )
    page = client.get(reverse("admin:billing_charge_change", args=[charge.pk])).content.decode()
    url = html.unescape(re.search(r'href="([^"]*attributionrule/add/\?[^"]*)"', page)[1])
    form = client.get(url).context["adminform"].form
    assert (form.initial["shared_as"], form.initial["charge_category"]) == ("AWS Support [Business]", "Tax")
    data = {name: form.initial.get(name) or "" for name in form.fields} | {"is_active": "on", "priority": "100"}
    # What it would have decided is shown first.
    asked = client.post(url, data)
    assert asked.context["foreseen"]
    data["seen"] = asked.context["adminform"].form.data["seen"]
    assert client.post(url, data).status_code == 302
    rule = AttributionRule.objects.get()
    found = Attributor(source=rule.source, policy=Policy.objects.current())
    [place] = found.places(
        {"ServiceName": [charge.service_name], "ChargeCategory": ["Tax"]}, [charge.charge_period_start]
    )
    assert found.attribute(tags_of(""), place).shared_as == "AWS Support [Business]"
    client.force_login(cast.viewer)
    assert (
        "attributionrule/add"
        not in client.get(reverse("admin:billing_charge_change", args=[charge.pk])).content.decode()
    )


def test_the_form_refuses_a_payer_beside_a_shared_cost(client):
    client.force_login(build.the_cast().admin)
    data = {"source": build.a_source().pk, "shared_as": "Tax", "fund_org": "F", "priority": "100"}
    page = client.post(reverse("admin:billing_attributionrule_add"), data).content.decode()
    assert "name no PI, project or fund/org beside it" in page
    assert not AttributionRule.objects.exists()


def test_a_correction_takes_back_a_share_on_the_days_of_what_was_shared():
    three_pis()
    a_shared_charge("33.33", service_name="Support fee")
    build.a_charge("1.00", service_name="AWS Support", charge_period_end=build.NOW)
    charge_it()
    line = PayerLine.objects.get(kind=Kind.SHARED, pi__email="bob@u.edu")
    first = datetime.date(2025, 1, 1)
    assert corrections.service_days(line) == (first, first)


# Deliveries


def test_a_shared_cost_that_was_approved_stays_shared_and_approved_when_its_amount_moves_a_little(tmp_path):
    build.a_policy(flag_patterns=["support"], amount_tolerance=Decimal("1.00"))
    rule = AttributionRule.objects.create(source=build.a_source(), service="Support", shared_as="AWS Support")
    fee = {"tags": NO_TAGS, "ServiceName": "Support", "ResourceId": ""}
    delivered(tmp_path, [a_row("100"), a_row("33.33", **fee)])
    held = Charge.objects.held().get()
    assert (held.shared_as, [flag.code for flag in held.flags.all()]) == ("AWS Support", ["pattern_match"])
    review.approve(charges=[held.pk], actor=build.SOMEBODY, now=build.NOW)
    # What the rules of today say does not matter to what people decided.
    AttributionRule.objects.filter(pk=rule.pk).update(is_active=False)
    delivered(tmp_path, [a_row("100"), a_row("33.50", **fee)])
    replaced = Charge.objects.live().get(product__service_name="Support")
    assert (replaced.shared_as, replaced.state, replaced.attributed_by) == ("AWS Support", "approved", "decision")
    charge_it()
    assert shares() == {"ada@u.edu": Decimal("33.50")}


def test_a_source_kept_by_month_shares_by_description_too(tmp_path):
    source = build.a_source("aws", grain=Source.Grain.MONTH)
    AttributionRule.objects.create(source=source, charge_description="*support*", shared_as="Support")
    days = [
        {"ChargePeriodStart": f"2025-01-{day:02}T00:00:00Z", "ChargePeriodEnd": f"2025-01-{day + 1:02}T00:00:00Z"}
        for day in (5, 6)
    ]
    fees = [a_row("1.50", tags=NO_TAGS, ResourceId="", ChargeDescription="Support fee", **day) for day in days]
    delivered(tmp_path, [*(a_row("50.00", ChargeDescription="Usage", **day) for day in days), *fees])
    shared = Charge.objects.shared().get()
    assert (shared.row_count, shared.state) == (2, "clear")
    charge_it()
    assert shares("Support") == {"ada@u.edu": Decimal("3.00")}
