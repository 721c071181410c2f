"""Who pays: tags before rules before the project before the cloud account before the source's defaults."""

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.attribution import Attributor, reference_of
from billing.importing.converting import Converter
from billing.models import AttributionRule, Charge, CloudAccount, PersonAlias, Policy
from billing.readers.batches import Batch
from billing.readers.columns import TEXTS
from billing.readers.tags import tags_of
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = pytest.mark.django_db


def a_rule(**fields):
    for name, make in (("pi", build.a_pi), ("project", build.a_project)):
        if isinstance(fields.get(name), str):
            fields[name] = make(fields[name])
    return AttributionRule.objects.create(source=fields.pop("source", build.a_source()), **fields)


def an_account(account_id="123", **fields):
    return CloudAccount.objects.create(source=build.a_source(), account_id=account_id, **fields)


def who_pays(tags="", day=15, **columns):
    """Return the attribution of one row, asked as an import asks."""
    attributor = Attributor(source=build.a_source(), policy=Policy.objects.current())
    texts = {column: [columns.get(column, "")] for column in TEXTS}
    places = attributor.places(texts, [datetime.datetime(2025, 1, day, tzinfo=datetime.UTC)])
    return attributor.attribute(tags_of(tags), *(places or ()))


def test_a_rule_says_who_pays_where_tags_are_silent():
    rule = a_rule(sub_account="123", pi="ada@u.edu", project="genomics", fund_org="BIO-001")
    found = who_pays(SubAccountId="123")
    assert (found.pi_email, found.project_code, found.fund_org) == ("ada@u.edu", "genomics", "BIO-001")
    assert (found.attributed_by, found.deciders) == ("rule", f"rule {rule.pk} (PI, project, fund/org)")
    assert who_pays(SubAccountId="124").pi_email == ""


def test_tags_win_over_rules_and_rules_fill_what_they_leave_empty():
    rule = a_rule(service="Compute", pi="ada@u.edu", fund_org="BIO-001", cost_center="C1")
    found = who_pays('{"pi_email": "bob@u.edu", "cost_center": "C9"}', ServiceName="compute")
    assert (found.pi_email, found.fund_org, found.cost_center) == ("bob@u.edu", "BIO-001", "C9")
    assert (found.attributed_by, found.deciders) == ("tag", f"rule {rule.pk} (fund/org)")


def test_a_rule_that_overrides_holds_in_place_of_tags():
    a_rule(service="Compute", pi="ada@u.edu", overrides_tags=True)
    found = who_pays('{"pi_email": "bob@u.edu", "fund_org": "F"}', ServiceName="Compute")
    assert (found.pi_email, found.fund_org, found.attributed_by) == ("ada@u.edu", "F", "rule")


def test_a_rule_that_overrides_answers_what_a_tag_said_wrongly():
    rule = a_rule(service="Compute", pi="ada@u.edu", overrides_tags=True)
    tags = '{"pi_email": "nobody"}'
    assert who_pays(tags, ServiceName="Compute").problem == ""
    rule.overrides_tags = False
    rule.save()
    assert "not an e-mail address" in who_pays(tags, ServiceName="Compute").problem


def test_the_lowest_priority_number_speaks_first_and_then_the_older_rule():
    a_rule(service="*", pi="late@u.edu", fund_org="LATE", cost_center="C3", priority=200)
    first = a_rule(service="*", pi="ada@u.edu", priority=10)
    second = a_rule(service="*", pi="bob@u.edu", fund_org="SECOND", priority=10)
    found = who_pays(ServiceName="Compute")
    assert (found.pi_email, found.fund_org, found.cost_center) == ("ada@u.edu", "SECOND", "C3")
    assert found.deciders.startswith(f"rule {first.pk} (PI); rule {second.pk} (fund/org); ")


def test_a_rule_that_overrides_tags_does_not_override_a_rule_before_it():
    a_rule(service="*", fund_org="FIRST", priority=1)
    a_rule(service="*", fund_org="SECOND", priority=2, overrides_tags=True)
    assert who_pays('{"fund_org": ""}', ServiceName="Compute").fund_org == "FIRST"
    assert who_pays('{"fund_org": "TAG"}', ServiceName="Compute").fund_org == "SECOND"


def test_a_dated_rule_goes_by_the_day_of_service():
    a_rule(service="*", pi="old@u.edu", valid_until=datetime.date(2025, 1, 14))
    a_rule(service="*", pi="new@u.edu", valid_from=datetime.date(2025, 1, 15))
    assert who_pays(ServiceName="Compute", day=14).pi_email == "old@u.edu"
    assert who_pays(ServiceName="Compute", day=15).pi_email == "new@u.edu"


def test_a_rule_may_look_at_a_tag_that_names_nobody():
    a_rule(tag_key="Lab", tag_value="smith*", pi="ada@u.edu")
    assert who_pays('{"user:LAB ": "Smith-West"}').pi_email == "ada@u.edu"
    assert who_pays('{"lab": "jones"}').pi_email == ""


def test_a_rule_of_another_source_or_switched_off_says_nothing():
    a_rule(source=build.a_source("gcp"), service="*", pi="ada@u.edu")
    a_rule(service="*", pi="ada@u.edu", is_active=False)
    assert who_pays(ServiceName="Compute").pi_email == ""
    a_rule(source=None, service="*", pi="bob@u.edu")
    assert who_pays(ServiceName="Compute").pi_email == "bob@u.edu"


def test_a_project_from_a_rule_brings_its_owner_and_fund():
    project = build.a_project("genomics", pi=build.a_pi("ada@u.edu"), default_fund_org="GEN-1")
    rule = a_rule(resource="i-*", project=project)
    found = who_pays(ResourceId="i-7")
    assert (found.pi_email, found.fund_org, found.attributed_by) == ("ada@u.edu", "GEN-1", "project")
    assert found.deciders == f"rule {rule.pk} (project)"


def test_an_account_owns_what_neither_tags_nor_rules_nor_projects_say():
    an_account(default_pi=build.a_pi("ada@u.edu"), default_project=build.a_project(), default_fund_org="ACC-1")
    found = who_pays(SubAccountId=" 123 ")
    assert (found.pi_email, found.project_code, found.fund_org) == ("ada@u.edu", "genomics", "ACC-1")
    assert (found.attributed_by, found.deciders) == ("account", "account 123 (fund/org, PI, project)")
    a_rule(service="*", pi="bob@u.edu", fund_org="RULE")
    found = who_pays(SubAccountId="123", ServiceName="Compute")
    assert (found.pi_email, found.project_code, found.fund_org) == ("bob@u.edu", "", "RULE")


def test_a_billing_account_speaks_where_the_sub_account_does_not():
    an_account("payer", default_pi=build.a_pi("center@u.edu"))
    an_account("lab", default_pi=build.a_pi("ada@u.edu"))
    assert who_pays(SubAccountId="LAB", BillingAccountId="payer").pi_email == "ada@u.edu"
    assert who_pays(SubAccountId="unknown", BillingAccountId="payer").pi_email == "center@u.edu"


def test_the_source_comes_last():
    source = build.a_source(default_pi=build.a_pi("center@u.edu"), overflow_fund_org="OVER")
    an_account(default_pi=build.a_pi("ada@u.edu"))
    found = who_pays(SubAccountId="123")
    assert (found.pi_email, found.fund_org, found.attributed_by) == ("ada@u.edu", "OVER", "account")
    found = who_pays(SubAccountId="9")
    assert (found.pi_email, found.fund_org, found.attributed_by) == ("center@u.edu", "OVER", "default")
    assert source.overflow_fund_org == "OVER"


def test_an_alias_leads_rules_and_accounts_to_the_pi():
    ada = build.a_pi("ada@u.edu")
    old = build.a_pi("lovelace@cs.u.edu")
    PersonAlias.objects.create(person=ada, email=old.email)
    a_rule(service="*", pi=old)
    an_account(default_pi=old)
    assert who_pays(ServiceName="Compute").pi_email == "ada@u.edu"
    assert who_pays(SubAccountId="123").pi_email == "ada@u.edu"


def test_a_pi_who_left_is_flagged_whoever_names_them(tmp_path):
    build.a_pi("ada@u.edu", active_until=datetime.date(2025, 1, 4))
    a_rule(service="Compute", pi="ada@u.edu", project="genomics", fund_org="BIO-001")
    delivered(
        tmp_path,
        [a_row(tags=NO_TAGS), a_row(tags=NO_TAGS, ChargePeriodStart="2025-01-03", ChargePeriodEnd="2025-01-04")],
    )
    assert {(charge.state, *charge.flags.values_list("code", flat=True)) for charge in Charge.objects.all()} == {
        ("held", "pi_inactive"),
        ("clear",),
    }


def test_an_import_follows_rules_and_remembers_which(tmp_path):
    rule = a_rule(resource="i-2*", pi="ada@u.edu", project="genomics", fund_org="BIO-001")
    an_account("acct-1", default_pi=build.a_pi("owner@u.edu"), default_project=build.a_project("home"))
    rows = [a_row(), *(a_row(tags=NO_TAGS, ResourceId=f"i-{number}") for number in (1, 2, 21))]
    delivered(tmp_path, rows)
    assert list(Charge.objects.order_by("line_number").values_list("pi__email", "attributed_by", "deciders")) == [
        ("ada@u.edu", "tag", ""),
        ("owner@u.edu", "account", "account acct-1 (PI, project)"),
        ("ada@u.edu", "rule", f"rule {rule.pk} (PI, project, fund/org)"),
        ("ada@u.edu", "rule", f"rule {rule.pk} (PI, project, fund/org)"),
    ]


def test_a_rule_never_beats_a_decision_in_the_next_delivery(tmp_path):
    from billing import review

    delivered(tmp_path, [a_row(tags=NO_TAGS)])
    reassignment = review.Reassignment(pi="bob@u.edu", project="p", fund_org="F")
    review.reattribute(
        create=True,
        charges=Charge.objects.all(),
        reassignment=reassignment,
        approve=True,
        actor=build.SOMEBODY,
        now=build.NOW,
    )
    a_rule(service="*", pi="ada@u.edu", fund_org="RULE", overrides_tags=True)
    delivered(tmp_path, [a_row("100.00", tags={"x": "y"})], name="aws_2025-01_again.csv")
    charge = Charge.objects.live().get()
    assert (charge.pi.email, charge.fund_org, charge.attributed_by) == ("bob@u.edu", "F", "decision")


def a_converter():
    policy = Policy.objects.current()
    return Converter(
        attributor=Attributor(source=build.a_source(), policy=policy), reference=reference_of(policy), currency="USD"
    )


def keys_after(rows):
    converter = a_converter()
    columns = {column: [row.get(column, "") for row in rows] for column in rows[0]}
    batch = Batch(columns=columns, lines=list(range(2, len(rows) + 2)), bytes_read=0)
    assert converter.convert(batch, file_name="a.csv", file_number=1) is not None
    return set(converter._attributed)


def test_without_rules_attributions_are_looked_up_by_tags_alone():
    rows = [a_row(ResourceId=f"i-{number}") for number in range(50)]
    assert keys_after(rows) == {(rows[0]["Tags"], 0)}


def test_with_rules_rows_in_the_same_place_are_looked_up_once():
    a_rule(resource="*-1*", pi="ada@u.edu")
    a_rule(service="*", fund_org="F", valid_from=datetime.date(2025, 1, 10))
    rows = [
        a_row(ResourceId=f"i-{number}", ChargePeriodStart=f"2025-01-{number % 28 + 1:02}", ChargePeriodEnd="")
        for number in range(500)
    ]
    # Of the tags there is one; the resource fits or not, and the day is before or after.
    assert len(keys_after(rows)) == 4


def test_rules_and_accounts_take_no_query_per_row():
    a_rule(service="*", pi="ada@u.edu")
    an_account(default_pi=build.a_pi("ada@u.edu"))
    attributor = Attributor(source=build.a_source(), policy=Policy.objects.current())
    texts = {column: ["x"] * 10 for column in TEXTS}
    with CaptureQueriesContext(connection) as captured:
        places = attributor.places(texts, [build.NOW] * 10)
        for place in places:
            attributor.attribute(tags_of(""), place)
    assert not captured.captured_queries


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"source": None, "fund_org": "F"}, "Say what the rule is for"),
        ({"service": "*"}, "Say what the rule sets"),
        ({"tag_value": "x", "fund_org": "F"}, "Name the tag"),
        (
            {"fund_org": "F", "valid_from": datetime.date(2025, 2, 1), "valid_until": datetime.date(2025, 1, 1)},
            "The last day is before the first",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_in_words_and_by_the_database(fields, said):
    rule = AttributionRule(**{"source": build.a_source()} | fields)
    with pytest.raises(ValidationError, match=said):
        rule.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        AttributionRule.objects.bulk_create([rule])


def test_an_account_has_one_owner_and_needs_one():
    an_account(default_fund_org="F")
    twin = CloudAccount(source=build.a_source(), account_id="123", default_fund_org="G")
    with pytest.raises(ValidationError, match="has an account with this id already"):
        twin.full_clean()
    with pytest.raises(ValidationError, match="Say who owns the account"):
        CloudAccount(source=build.a_source(), account_id="9").full_clean()


# Shared costs


def test_a_rule_shares_what_nobody_is_named_for():
    rule = a_rule(service="AWS Support*", shared_as="AWS Support", natural_account="7100")
    found = who_pays(ServiceName="AWS Support (Business)")
    assert (found.shared_as, found.pi_email, found.project_code, found.fund_org) == ("AWS Support", "", "", "")
    assert (found.attributed_by, found.deciders) == ("rule", f"rule {rule.pk} (account code, shared)")
    assert found.natural_account == "7100"


@pytest.mark.parametrize("named", ['{"pi_email": "bob@u.edu"}', '{"project_id": "p"}', '{"fund_org": "F"}'])
def test_what_tags_name_somebody_for_is_shared_by_a_rule_that_overrides_only(named):
    rule = a_rule(charge_category="Tax", shared_as="Tax")
    assert who_pays(named, ChargeCategory="Tax").shared_as == ""
    AttributionRule.objects.filter(pk=rule.pk).update(overrides_tags=True)
    found = who_pays(named, ChargeCategory="Tax")
    assert (found.shared_as, found.pi_email, found.project_code, found.fund_org) == ("Tax", "", "", "")


def test_the_rule_that_speaks_first_says_whether_a_cost_is_shared():
    a_rule(service="S3", pi="ada@u.edu", priority=1)
    a_rule(service="*", shared_as="Everything", overrides_tags=True, priority=2)
    a_rule(service="*", pi="bob@u.edu", fund_org="F", overrides_tags=True, priority=3)
    assert (who_pays(ServiceName="S3").pi_email, who_pays(ServiceName="S3").shared_as) == ("ada@u.edu", "")
    found = who_pays(ServiceName="EC2")
    assert (found.shared_as, found.pi_email, found.fund_org) == ("Everything", "", "")


def test_neither_the_account_nor_the_sources_defaults_take_a_shared_cost():
    build.a_source(default_pi=build.a_pi("core@u.edu"), overflow_fund_org="OVER")
    an_account("123", default_pi=build.a_pi("bob@u.edu"), default_fund_org="F")
    a_rule(charge_category="Tax", shared_as="Tax")
    found = who_pays(SubAccountId="123", ChargeCategory="Tax")
    assert (found.shared_as, found.pi_email, found.fund_org) == ("Tax", "", "")


@pytest.mark.parametrize(
    ("condition", "column", "fits", "fails"),
    [
        ("charge_category", "ChargeCategory", "Credit", "Usage"),
        ("charge_description", "ChargeDescription", "Enterprise support fee", "Hourly usage"),
        ("commitment_status", "CommitmentDiscountStatus", "Unused", "Used"),
    ],
)
def test_category_description_and_commitment_are_conditions(condition, column, fits, fails):
    a_rule(**{condition: f"{fits[:3].lower()}*{fits[-3:]}"}, shared_as="Shared")
    assert who_pays(**{column: fits}).shared_as == "Shared"
    assert who_pays(**{column: fails}).shared_as == ""
    assert who_pays().shared_as == ""


def test_a_wrong_tag_does_not_matter_where_a_rule_shares_in_its_place():
    a_rule(charge_category="Tax", shared_as="Tax", overrides_tags=True)
    assert who_pays('{"pi_email": "nobody"}', ChargeCategory="Tax").problem == ""
    assert who_pays('{"pi_email": "nobody"}', ChargeCategory="Usage").problem


def test_a_rule_that_shares_names_no_payer():
    for payer in ({"pi": build.a_pi()}, {"project": build.a_project()}, {"fund_org": "F"}):
        rule = AttributionRule(source=build.a_source(), shared_as="Tax", **payer)
        with pytest.raises(ValidationError, match="name no PI, project or fund/org"):
            rule.validate_constraints()
        with pytest.raises(IntegrityError), transaction.atomic():
            rule.save()


def test_an_import_shares_what_a_rule_says_and_holds_nothing_for_it(tmp_path):
    a_rule(charge_category="Tax", shared_as="Tax")
    delivered(tmp_path, [a_row("100"), a_row("8.25", tags=NO_TAGS, ChargeCategory="Tax", ResourceId="")])
    tax = Charge.objects.shared().get()
    assert (tax.state, tax.shared_as, tax.pi, tax.attributed_by) == ("clear", "Tax", None, "rule")
    assert not tax.flags.exists()
