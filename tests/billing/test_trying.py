"""A change of the policy tried against a month: what it would hold, with money, and what it would no longer hold."""

from decimal import Decimal

import pytest

from billing import review
from billing.models import Charge, Flag, Policy
from billing.models.dimensions import ResourceText
from billing.setup import policies, trying
from billing.setup.trying import flag_patterns
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db


def tried(**changes) -> trying.Trial:
    present = Policy.objects.current()
    return trying.try_change(
        present=present, changed=policies.changed_from(present, changes), period=build.a_period("2025-01")
    )


def flags(patterns: list[str], present: list[str] | None = None) -> trying.Effect:
    build.a_policy(flag_patterns=present or [])
    return tried(flag_patterns=patterns).effects["flag_patterns"]


def test_a_new_pattern_would_hold_what_it_matches_with_money_by_currency():
    build.a_charge("10.10", service_name="GPU hours")
    build.a_charge("20.05", resource_name="big-gpu-1", state=Charge.State.APPROVED)
    build.a_charge("5", charge_description="A gpu for a day", currency="EUR")
    build.a_charge("99", resource_id="cpu-1")
    build.a_charge("7", service_name="GPU hours", period="2025-02")
    found = flags(["gpu"])
    assert (found.held.charges, found.held.billed) == (3, {"USD": Decimal("30.15"), "EUR": Decimal(5)})
    assert (found.approved.charges, found.approved.billed) == (1, {"USD": Decimal("20.05")})
    assert [str(each.billed_cost.normalize()) for each in found.examples] == ["20.05", "10.1", "5"]
    assert [(line.name, line.charges.charges, line.approved.charges) for line in found.lines] == [("gpu", 3, 1)]


def test_what_is_held_or_decided_otherwise_is_told_apart():
    build.a_charge(service_name="GPU", flags=("missing_pi",))
    build.a_charge(service_name="GPU", state=Charge.State.REJECTED)
    build.a_charge(service_name="GPU", state=Charge.State.CHARGED_TO_CENTER)
    found = flags(["gpu"])
    assert (found.held.charges, found.decided, found.held_already, found.approved.charges) == (2, 2, 1, 0)


def test_what_a_pattern_of_now_matches_is_not_new():
    build.a_charge("1", service_name="GPU hours", resource_name="a100")
    build.a_charge("2", service_name="Storage", resource_name="a100")
    found = flags(["gpu", "a100"], present=["gpu"])
    assert found.held.billed == {"USD": Decimal(2)}
    # A line is what this pattern adds to those of now.
    assert [(line.name, line.charges.charges) for line in found.lines] == [("a100", 1)]


def test_two_new_patterns_count_a_charge_once_together_and_each_by_itself():
    build.a_charge("1", service_name="GPU hours", resource_name="a100")
    build.a_charge("2", service_name="GPU hours")
    found = flags(["gpu", "a100"])
    assert found.held.charges == 2
    assert {line.name: line.charges.charges for line in found.lines} == {"gpu": 2, "a100": 1}


def test_a_pattern_that_is_taken_out_frees_what_it_alone_held():
    build.a_charge("1", service_name="GPU", flags=("pattern_match",))
    build.a_charge("2", service_name="GPU", flags=("pattern_match", "missing_project"))
    build.a_charge("4", service_name="GPU A100", flags=("pattern_match",))
    answered = build.a_charge("8", service_name="GPU", flags=("pattern_match", "missing_project"))
    Flag.objects.filter(charge=answered, code="missing_project").update(is_resolved=True)
    found = flags(["a100"], present=["gpu", "a100"])
    assert (found.freed.charges, found.freed.billed) == (2, {"USD": Decimal(9)})
    assert (found.held.charges, found.held_already) == (0, 0)
    assert [(line.name, line.is_removed, line.charges.charges) for line in found.lines] == [("gpu", True, 2)]


def test_a_pattern_written_otherwise_changes_nothing():
    build.a_charge(service_name="GPU", flags=("pattern_match",))
    found = flags(["g.u"], present=["gpu"])
    assert (found.held.charges, found.freed.charges) == (0, 0)


def test_what_a_trial_says_is_what_an_import_does(tmp_path):
    rows = [
        a_row("1.25", ResourceId="i-1", ServiceName="Amazon SageMaker"),
        a_row("2", ResourceId="i-gpu", ResourceName="Ünïcode gpu"),
        a_row("4", ResourceId="i-3", ChargeDescription="p4d GPU"),
        a_row("8", ResourceId="i-4"),
    ]
    patterns = ["^amazon sage", r"\bGPU$", "(a+)+$"]
    delivered(tmp_path, rows)
    foreseen = tried(flag_patterns=patterns).effects["flag_patterns"]
    Charge.objects.all().delete()
    build.a_policy(flag_patterns=patterns)
    delivered(tmp_path, [row | {"ChargePeriodEnd": "2025-01-05T12:00:00Z"} for row in rows])
    held = Charge.objects.held().of_month(build.a_period("2025-01"))
    assert foreseen.held.charges == held.count() == 3
    assert foreseen.held.billed == {"USD": sum(charge.billed_cost for charge in held)}


def test_a_search_that_takes_too_long_ends_and_says_so():
    for number in range(3 * flag_patterns.STRIDE):
        ResourceText.of({"resource_id": f"i-{number}"})
    first = build.a_charge()
    build.resaid([first], resource_id="i-0")
    Charge.objects.bulk_create(_copies(first, 600))
    ticks = iter(range(0, 100_000, 10))
    present = Policy.objects.current()
    found = flag_patterns.effect(
        present=present,
        changed=policies.changed_from(present, {"flag_patterns": ["i-1"]}),
        period=build.a_period("2025-01"),
        clock=lambda: next(ticks),
    )
    assert "longer than 5 seconds" in found.problem
    assert found.held.charges == 0


def _copies(charge: Charge, number: int) -> list[Charge]:
    texts = ResourceText.objects.order_by("pk")[:number]
    fields = {
        field.attname: getattr(charge, field.attname) for field in Charge._meta.concrete_fields if field.name != "id"
    }
    return [
        Charge(**fields | {"resource_key": text.pk, "line_number": place, "identity_hash": place.to_bytes(16, "big")})
        for place, text in enumerate(texts, 1_000)
    ]


def test_more_texts_than_a_query_names_are_counted_all_the_same(monkeypatch):
    for number in range(5):
        build.a_charge("1", resource_id=f"gpu-{number}", service_name="Compute")
    few = flags(["gpu-", "Compute"])
    monkeypatch.setattr("billing.setup.trying.flag_patterns.NAMED", 2)
    many = tried(flag_patterns=["gpu-", "Compute"]).effects["flag_patterns"]
    assert few.held == many.held
    assert many.held.charges == 5


def test_a_trial_asks_as_often_however_many_charges_there_are(django_assert_max_num_queries):
    build.a_policy(flag_patterns=["old"], fund_org_patterns=["B.*"], own_domains=["u.edu"])
    asked = []
    for twice in (0, 1):
        for number in range(3):
            build.a_charge(resource_id=f"gpu-{number}-{twice}", fund_org=f"BIO-{number}{twice}")
            build.a_charge(resource_id=f"old-{number}-{twice}", fund_org="?", flags=("pattern_match",))
        with django_assert_max_num_queries(29) as queries:
            tried(flag_patterns=["gpu"], fund_org_patterns=["X.*"], own_domains=["x.edu"], fund_org_segments="(?P<f>.)")
        asked.append(len(queries.captured_queries))
    assert asked[0] == asked[1]


def funds(patterns: list[str], present: list[str] | None = None) -> trying.Effect:
    build.a_policy(fund_org_patterns=present or [])
    return tried(fund_org_patterns=patterns).effects["fund_org_patterns"]


def test_fund_orgs_that_fit_no_pattern_would_be_held():
    build.a_charge("1", fund_org="BIO-001")
    build.a_charge("2", fund_org="bio 2", state=Charge.State.APPROVED)
    build.a_charge("4", fund_org="", project=None)
    build.a_charge("8", fund_org="CHEM-1", flags=("missing_project",))
    found = funds(["BIO-[0-9]{3}", "PHYS-.*"])
    assert (found.held.charges, found.held.billed, found.approved.charges) == (1, {"USD": Decimal(2)}, 1)
    assert found.held_already == 1
    assert found.fitting == [("BIO-[0-9]{3}", 1), ("PHYS-.*", 0)]
    assert [(line.name, line.charges.charges) for line in found.lines] == [("bio 2", 1)]
    assert [each.fund_org for each in found.examples] == ["bio 2"]


def test_fund_orgs_that_fit_now_are_free():
    build.a_charge("1", fund_org="CHEM-1", flags=("invalid_fund_org",))
    build.a_charge("2", fund_org="CHEM-1", flags=("invalid_fund_org", "missing_pi"))
    build.a_charge("4", fund_org="?", flags=("invalid_fund_org",))
    found = funds(["BIO-.*", "CHEM-.*"], present=["BIO-.*"])
    assert (found.freed.charges, found.freed.billed, found.held.charges) == (1, {"USD": Decimal(1)}, 0)


def test_each_fund_org_of_a_split_counts():
    project = build.a_project()
    split = build.a_split({"BIO-001": "60", "odd": "40"}, project=project)
    build.a_charge("10", payer_split=split, fund_org="")
    build.a_charge("1", fund_org="BIO-001")
    found = funds(["BIO-.*"])
    assert (found.held.charges, found.held.billed) == (1, {"USD": Decimal(10)})
    assert [line.name for line in found.lines if line.charges.charges] == ["odd"]
    assert len(found.examples) == 1


def test_segments_say_which_fund_orgs_a_journal_could_not_split():
    build.a_charge(fund_org="BIO-001")
    build.a_charge(fund_org="bio")
    build.a_charge(fund_org="nobody-pays", state=Charge.State.REJECTED)
    found = tried(fund_org_segments="(?P<fund>[A-Z]+)-(?P<org>[0-9]+)").segments
    assert (found.fits, found.others) == (1, ("bio",))


def test_other_domains_hold_the_pis_outside_them():
    build.a_policy(own_domains=["u.edu", "hospital.org"])
    build.a_charge("1", pi="ada@u.edu")
    build.a_charge("2", pi="eve@hospital.org", state=Charge.State.APPROVED)
    build.a_charge("4", pi="eve@hospital.org", attributed_by=Charge.AttributedBy.CHARGED)
    found = tried(own_domains=["u.edu"]).effects["own_domains"]
    assert (found.held.charges, found.held.billed, found.approved.charges) == (1, {"USD": Decimal(2)}, 1)
    assert [(line.name, line.charges.charges) for line in found.lines] == [("eve@hospital.org", 1)]


def test_a_fund_on_the_list_vouches_for_a_pi_whom_no_domain_knows():
    build.a_policy(own_domains=["u.edu", "hospital.org"])
    build.a_fund("BIO-001")
    build.a_charge("1", pi="eve@hospital.org", fund_org="BIO-001")
    build.a_charge("2", pi="eve@hospital.org", fund_org="BIO-002")
    found = tried(own_domains=["u.edu"]).effects["own_domains"]
    assert found.held.billed == {"USD": Decimal(2)}


def test_more_domains_release_whom_they_know():
    build.a_policy(own_domains=["u.edu"])
    build.a_charge("1", pi="eve@hospital.org", flags=("unknown_pi",))
    build.a_charge("2", pi="eve@hospital.org", flags=("unknown_pi", "missing_project"))
    found = tried(own_domains=["u.edu", "hospital.org"]).effects["own_domains"]
    assert (found.freed.charges, found.freed.billed) == (1, {"USD": Decimal(1)})
    # It is what saving does.
    policies.change_policy(changes={"own_domains": ["u.edu", "hospital.org"]}, actor=build.SOMEBODY, now=build.NOW)
    assert Charge.objects.held().count() == 1


def test_nothing_is_tried_of_settings_that_stay():
    build.a_policy(flag_patterns=["gpu"])
    build.a_charge(service_name="GPU")
    found = tried(institution="Elsewhere")
    assert (found.effects, found.segments) == ({}, None)


def test_another_tolerance_is_tried_on_approvals_whose_amount_moved(tmp_path):
    build.a_policy(flag_patterns=["gpu"], amount_tolerance=Decimal(5))
    rows = {"small": "10.00", "middle": "20.00", "large": "40.00", "fresh": "7.00"}
    delivered(tmp_path, [a_row(cost, ResourceId=name, ServiceName="GPU") for name, cost in rows.items()])
    decided = Charge.objects.exclude(resource__resource_id="fresh")
    review.approve(charges=decided, note="", actor=build.SOMEBODY, now=build.NOW)
    moved = {"small": "11.00", "middle": "24.00", "large": "48.00", "fresh": "9.00"}
    newer = [a_row(cost, ResourceId=name, ServiceName="GPU") for name, cost in moved.items()]
    delivered(tmp_path, newer, "aws_2025-01_b.csv")
    # 48.00 moved by 8.00 and is held, as is what nobody had decided about.
    assert Charge.objects.held().count() == 2

    def names(effect):
        return [str(charge.resource.resource_id) for charge in effect.examples]

    stricter = tried(amount_tolerance=Decimal(1)).effects["amount_tolerance"]
    # What moved by the tolerance itself stays.
    assert (names(stricter), stricter.held.billed, stricter.approved.charges) == (["middle"], {"USD": Decimal(24)}, 1)
    wider = tried(amount_tolerance=Decimal(10)).effects["amount_tolerance"]
    assert (wider.held.charges, wider.freed.charges, wider.freed.billed) == (0, 1, {"USD": Decimal(48)})
    assert tried(amount_tolerance=Decimal(4)).effects["amount_tolerance"].held.charges == 0
