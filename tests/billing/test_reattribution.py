"""Re-applying rules to a month: what it changes, what it leaves alone, and its three doors."""

import datetime
import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing import charging, review
from billing.models import AttributionRule, AuditEvent, BillingPeriod, Charge, Flag, Person, ReviewDecision
from billing.months.closing import PeriodClosed
from billing.review import reattribution
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = pytest.mark.django_db


def reapply(**options):
    return reattribution.reapply(
        **{"period": build.a_period("2025-01"), "actor": build.SOMEBODY, "now": build.NOW} | options
    )


def a_rule(**fields):
    values = {"source": build.a_source(), "service": "*", "pi": build.a_pi(), "project": build.a_project()}
    return AttributionRule.objects.create(**values | {"fund_org": "BIO-001"} | fields)


def everything():
    """Return all that re-applying may write."""
    return [list(model.objects.order_by("pk").values()) for model in (Charge, Flag, ReviewDecision, AuditEvent)]


@pytest.fixture
def held(tmp_path):
    """Three charges without tags, held; and one with tags, clear."""
    delivered(tmp_path, [*(a_row(tags=NO_TAGS, ResourceId=f"i-{number}") for number in range(3)), a_row("5")])
    return Charge.objects.held()


def test_a_new_rule_attributes_and_clears_what_was_held(held):
    rule = a_rule()
    done = reapply()
    assert (done.looked_at, done.changed, done.cleared, done.held) == (4, 3, 3, 0)
    assert done.resolved == {"missing_fund_org": 3, "missing_pi": 3, "missing_project": 3}
    assert [(move.pi_before, move.pi_after, move.count, move.billed) for move in done.moves] == [
        ("", "ada@u.edu", 3, {"USD": Decimal(300)})
    ]
    for charge in Charge.objects.exclude(billed_cost=5):
        assert (charge.state, charge.pi.email, charge.project.code) == ("clear", "ada@u.edu", "genomics")
        assert charge.deciders == f"rule {rule.pk} (PI, project, fund/org)"
        assert all(charge.flags.values_list("is_resolved", flat=True))


def test_a_dry_run_writes_nothing_and_says_the_same(held):
    a_rule(pi=build.a_pi("new@u.edu"))
    before = everything()
    planned = reapply(dry_run=True)
    assert everything() == before
    done = reapply(expected=planned.digest)
    assert done.digest == planned.digest
    assert done.as_data() | {"dry_run": True} == planned.as_data()
    assert everything() != before


def test_applied_again_nothing_changes_and_nothing_is_recorded(held):
    a_rule()
    reapply()
    before = everything()
    assert reapply().is_idle
    assert everything() == before


def test_what_was_shown_and_is_no_longer_so_is_not_done(held):
    rule = a_rule()
    shown = reapply(dry_run=True)
    rule.fund_org = "OTHER"
    rule.save()
    before = everything()
    with pytest.raises(reattribution.PreviewOutdated, match="Look at it again"):
        reapply(expected=shown.digest)
    assert everything() == before


@pytest.mark.parametrize("verb", ["approve", "reattribute", "reject", "undone"])
def test_a_decision_is_never_touched(held, verb):
    charge = held.first()
    acting = {"charges": [charge.pk], "actor": build.SOMEBODY, "now": build.NOW}
    if verb in ("reattribute", "approve"):
        reassignment = review.Reassignment(pi="bob@u.edu", project="p", fund_org="F")
        review.reattribute(create=True, reassignment=reassignment, approve=verb == "approve", **acting)
    else:
        review.reject(provider_credits=True, reason="test", **acting)
    if verb == "undone":
        review.undo(**acting)
    before = Charge.objects.filter(pk=charge.pk).values().get()
    a_rule(overrides_tags=True)
    done = reapply()
    assert Charge.objects.filter(pk=charge.pk).values().get() == before
    # Rejected and approved charges are not even asked for.
    assert done.decided == (verb in ("reattribute", "undone"))
    assert done.changed == 3


def test_a_clear_charge_is_held_when_something_speaks_against_it_now(held):
    Person.objects.filter(email="ada@u.edu").update(active_until=datetime.date(2025, 1, 1))
    done = reapply()
    charge = Charge.objects.get(billed_cost=5)
    assert (done.held, done.raised, charge.state) == (1, {"pi_inactive": 1}, "held")
    assert charge.flags.get().detail == "ada@u.edu until Jan 1, 2025"


def test_a_charge_held_for_more_than_who_pays_stays_held(tmp_path):
    build.a_policy(flag_patterns=["gpu"])
    delivered(tmp_path, [a_row(tags=NO_TAGS, ServiceName="GPU hours")])
    a_rule()
    done = reapply()
    charge = Charge.objects.get()
    assert (done.changed, done.cleared, charge.state, charge.pi.email) == (1, 0, "held", "ada@u.edu")
    assert list(charge.flags.filter(is_resolved=False).values_list("code", flat=True)) == ["pattern_match"]


def test_a_charge_held_by_hand_without_a_reason_stays_held(held):
    Flag.objects.filter(charge=held.first()).delete()
    charge = held.first()
    a_rule()
    reapply()
    charge.refresh_from_db()
    assert (charge.state, charge.pi.email) == ("held", "ada@u.edu")


def test_a_rule_taken_away_takes_back_what_it_said(held):
    rule = a_rule()
    reapply()
    rule.delete()
    done = reapply()
    assert (done.changed, done.cleared, done.held) == (3, 0, 3)
    assert set(Charge.objects.exclude(billed_cost=5).values_list("state", "pi", "attributed_by", "deciders")) == {
        ("held", None, "", "")
    }
    assert Flag.objects.filter(is_resolved=False).count() == 9


def test_another_source_and_another_month_are_left_alone(held, tmp_path):
    other = build.a_charge(source="gcp", pi=None, project=None, fund_org="", flags=("missing_pi",))
    late = build.a_charge(period="2025-02", pi=None, flags=("missing_pi",))
    a_rule(source=None)
    done = reapply(source=build.a_source())
    assert (done.looked_at, done.source) == (4, "aws")
    for charge in (other, late):
        charge.refresh_from_db()
        assert charge.pi is None


def test_a_project_of_a_rule_brings_its_split(held):
    split = build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    a_rule(fund_org="")
    done = reapply()
    assert done.cleared == 3
    assert set(Charge.objects.exclude(billed_cost=5).values_list("payer_split", "state")) == {(split.pk, "clear")}


def test_a_closed_month_takes_no_rules(held):
    a_rule()
    BillingPeriod.objects.update(status="closed", closed_at=build.NOW)
    for dry_run in (True, False):
        with pytest.raises(PeriodClosed, match="takes no changes"):
            reapply(dry_run=dry_run)


def test_every_change_is_in_the_audit_log_with_before_and_after(held):
    a_rule()
    reapply()
    events = AuditEvent.objects.filter(action="charge.attribution_reapplied")
    assert {event.object_id for event in events} == {
        str(pk) for pk in Charge.objects.exclude(billed_cost=5).values_list("pk", flat=True)
    }
    event = events.first()
    assert (event.before["pi"], event.after["pi"]) == ("", "ada@u.edu")
    assert (event.before["state"], event.after["state"]) == ("held", "clear")
    told = AuditEvent.objects.get(action="period.attribution_reapplied")
    assert told.after["changed"] == 3
    assert told.gesture == event.gesture


def by_engine(client, cast):
    reapply()


def by_command(client, cast):
    call_command("attribute", "-p", "2025-01", stdout=StringIO())


def by_admin(client, cast):
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_billingperiod_reapply", args=[BillingPeriod.objects.get().pk])
    form = client.get(url).context["form"]
    assert client.post(url, {"expected": form["expected"].value(), "source": ""}).status_code == 302


@pytest.mark.parametrize("door", [by_engine, by_command, by_admin])
def test_engine_command_and_admin_do_the_same(held, client, cast, door):
    rule = a_rule()
    door(client, cast)
    charges = Charge.objects.order_by("line_number").values_list("state", "pi__email", "fund_org", "deciders")
    by_rule = ("clear", "ada@u.edu", "BIO-001", f"rule {rule.pk} (PI, project, fund/org)")
    assert list(charges) == [by_rule] * 3 + [("clear", "ada@u.edu", "BIO-001", "")]
    events = AuditEvent.objects.filter(action__contains="reapplied").order_by("pk")
    assert list(events.values_list("action", flat=True)) == [
        *["charge.attribution_reapplied"] * 3,
        "period.attribution_reapplied",
    ]


def test_the_command_shows_what_would_change(held):
    a_rule()
    out = StringIO()
    call_command("attribute", "-p", "2025-01", "--dry-run", stdout=out)
    shown = out.getvalue()
    assert "Dry run, nothing was changed. January 2025: 4 charges looked at, 3 would be attributed anew" in shown
    assert "no PI → ada@u.edu: 3 charges, 300.00 USD" in shown
    assert Charge.objects.held().count() == 3
    out = StringIO()
    call_command("attribute", "-p", "2025-01", "--source", "aws", "--json", stdout=out)
    data = json.loads(out.getvalue())
    assert data["moves"] == [{"from": "", "to": "ada@u.edu", "count": 3, "billed": {"USD": "300.00"}}]
    assert len(data["examples"]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"), [(["-p", "2024-12"], "2024-12"), (["-p", "2025-01", "-s", "no"], "no source")]
)
def test_the_command_says_what_is_not_there(held, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("attribute", *arguments)


def test_the_page_is_for_those_who_review_and_for_open_months(held, client, cast):
    period = BillingPeriod.objects.get()
    url = reverse("admin:billing_billingperiod_reapply", args=[period.pk])
    page = reverse("admin:billing_billingperiod_change", args=[period.pk])
    client.force_login(cast.viewer)
    assert client.get(url).status_code == 403
    assert "Re-apply rules" not in client.get(page).content.decode()
    client.force_login(cast.reviewer)
    assert "Re-apply rules" in client.get(page).content.decode()
    assert "Nothing changes" in client.get(url).content.decode()
    BillingPeriod.objects.update(status="closed", closed_at=build.NOW)
    assert "takes no changes" in client.get(url, follow=True).content.decode()


def test_the_page_shows_again_what_changed_meanwhile(held, client, cast):
    rule = a_rule()
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_billingperiod_reapply", args=[BillingPeriod.objects.get().pk])
    shown = client.get(url)
    assert "ada@u.edu" in shown.content.decode()
    rule.fund_org = "OTHER"
    rule.save()
    again = client.post(url, {"expected": shown.context["form"]["expected"].value(), "source": ""})
    assert "Look at it again" in again.content.decode()
    assert Charge.objects.held().count() == 3


def test_a_corrected_charge_offers_a_rule_and_shows_who_decided(held, client, cast):
    charge = held.first()
    client.force_login(cast.reviewer)
    page = reverse("admin:billing_charge_change", args=[charge.pk])
    assert "Make a rule of this" not in client.get(page).content.decode()
    build.resaid([charge], sub_account_id="lab[7]")
    reassignment = review.Reassignment(pi="bob@u.edu", project="p", fund_org="F")
    review.reattribute(create=True, charges=[charge.pk], reassignment=reassignment, actor=build.SOMEBODY, now=build.NOW)
    shown = client.get(page)
    assert "Make a rule of this" in shown.content.decode()
    form = client.get(shown.context["rule_url"]).context["adminform"].form
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    assert (data["sub_account"], data["service"], data["fund_org"]) == ("lab[[]7]", "", "F")
    posted = {name: value for name, value in data.items() if value not in (None, False)}
    response = client.post(reverse("admin:billing_attributionrule_add"), posted)
    assert response.status_code == 302, response.context["errors"]
    rule = AttributionRule.objects.get()
    assert (rule.source.name, rule.pi.email, rule.project.code) == ("aws", "bob@u.edu", "p")
    assert AuditEvent.objects.get(action="attribution_rule.added").after["sub_account"] == "lab[[]7]"
    build.resaid(Charge.objects.all(), sub_account_id="LAB[7]")
    reapply()
    other = Charge.objects.exclude(pk=charge.pk).exclude(billed_cost=5).first()
    assert other.pi.email == "bob@u.edu"
    shown = client.get(reverse("admin:billing_charge_change", args=[other.pk])).content.decode()
    assert f"rule {rule.pk} (PI, project, fund/org)" in shown
    assert reverse("admin:billing_attributionrule_change", args=[rule.pk]) in shown


def test_saving_takes_a_bounded_number_of_statements(held, django_assert_max_num_queries):
    a_rule()
    first = Charge.objects.held().first()
    copies = []
    for number in range(2_000):
        first.pk, first.line_number = None, 100 + number
        copies.append(Charge(**{each.attname: getattr(first, each.attname) for each in Charge._meta.concrete_fields}))
    Charge.objects.bulk_create(copies)
    # Three updates of up to 900 charges each, and what every run reads.
    with django_assert_max_num_queries(68):
        assert reapply().changed == 2_003


# Shared costs


def test_a_rule_makes_held_charges_shared_and_without_it_they_are_held_again(held):
    rule = a_rule(pi=None, project=None, fund_org="", shared_as="Support")
    done = reapply()
    assert (done.changed, done.cleared, done.shared, done.unshared) == (3, 3, 3, 0)
    assert [(move.pi_before, move.pi_after) for move in done.moves] == [("", "shared as Support")]
    assert "3 shared and 0 shared no longer" in done.as_text()
    assert list(Charge.objects.exclude(billed_cost=5).values_list("shared_as", "pi", "state").distinct()) == [
        ("Support", None, "clear")
    ]
    assert Charge.objects.get(billed_cost=5).shared_as == ""
    assert reapply().is_idle
    AttributionRule.objects.filter(pk=rule.pk).update(is_active=False)
    planned = reapply(dry_run=True)
    assert (planned.shared, planned.unshared, planned.held) == (0, 3, 3)
    reapply()
    assert Charge.objects.held().count() == 3
    assert not Charge.objects.shared()


def test_a_charge_that_becomes_shared_leaves_the_split_of_its_project(tmp_path):
    build.a_split({"A": "60", "B": "40"}, project=build.a_project("genomics"))
    delivered(tmp_path, [a_row("10", tags={"pi_email": "ada@u.edu", "project_id": "genomics"}, ChargeCategory="Tax")])
    a_rule(pi=None, project=None, fund_org="", charge_category="Tax", shared_as="Tax", overrides_tags=True)
    charging.stamp_project_splits(build.a_period())
    assert Charge.objects.get().payer_split
    reapply()
    charge = Charge.objects.get()
    assert (charge.shared_as, charge.payer_split, charge.project, charge.state) == ("Tax", None, None, "clear")
