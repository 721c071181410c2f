"""Rules learned from reassignments: what reassigned charges have in common decides what comes next."""

import re
from decimal import Decimal
from html import unescape

import pytest
from django.urls import reverse
from django.utils.html import strip_tags

from billing import review
from billing.models import AttributionRule, BillingPeriod, Charge
from billing.review import learning
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}
OLD = {"pi_email": "ada@u.edu", "project_id": "old-lab", "fund_org": "BIO-001"}
ADD = "admin:billing_attributionrule_add"


def of(month, row):
    """Put a row of January into another month."""
    return {
        **row,
        "BillingPeriodStart": f"2025-{month:02}-01T00:00:00Z",
        "BillingPeriodEnd": f"2025-{month + 1:02}-01T00:00:00Z",
        "ChargePeriodStart": f"2025-{month:02}-05T00:00:00Z",
        "ChargePeriodEnd": f"2025-{month:02}-06T00:00:00Z",
    }


def the_nineteen():
    """Return rows of one project's tag over several services and resources."""
    services = ("Compute", "Storage", "Network")
    return [a_row("10.00", tags=OLD, ServiceName=services[n % 3], ResourceId=f"r-{n}") for n in range(19)]


def the_others():
    return [a_row("5.00", ResourceId=f"o-{n}", ServiceName="Compute") for n in range(4)]


def correct(charges, **correction):
    return review.reattribute(charges=charges, reassignment=review.Reassignment(**correction), create=True, **BY)


def learned(charges):
    rule = learning.rule_from(charges)
    rule.save()
    return rule


def conditions(rule):
    return {name: getattr(rule, name) for name in (*learning.PATTERNS, "tag_value") if getattr(rule, name)}


@pytest.fixture
def nineteen(tmp_path):
    delivered(tmp_path, [*the_nineteen(), *the_others()])
    return Charge.objects.live().filter(project__code="old-lab")


def test_next_months_rows_of_the_same_tag_go_to_the_new_project_by_the_rule(nineteen, tmp_path):
    done = correct(nineteen, project="new-lab")
    rule = learned(learning.corrected_by(done.gesture))
    assert (rule.source.name, rule.project.code, rule.overrides_tags) == ("aws", "new-lab", True)
    assert conditions(rule) == {"tag_key": "project_id", "tag_value": "old-lab"}
    delivered(tmp_path, [of(2, row) for row in (*the_nineteen(), *the_others())], "aws_2025-02.csv")
    february = Charge.objects.live().filter(charged_in__month="2025-02-01")
    went = february.filter(project__code="new-lab")
    assert (went.count(), february.filter(project__code="genomics").count()) == (19, 4)
    assert all(f"rule {rule.pk} (" in deciders for deciders in went.values_list("deciders", flat=True))


def test_one_charge_among_others_of_its_tag_makes_a_rule_of_its_resource(nineteen, tmp_path):
    one = nineteen.get(resource__resource_id="r-7")
    done = correct([one.pk], project="new-lab")
    rule = learned(learning.corrected_by(done.gesture))
    assert conditions(rule) == {"resource": "r-7"}
    assert rule.overrides_tags
    delivered(tmp_path, [of(2, row) for row in the_nineteen()], "aws_2025-02.csv")
    february = Charge.objects.live().filter(charged_in__month="2025-02-01")
    assert [charge.resource_id for charge in february.filter(project__code="new-lab")] == ["r-7"]


def test_a_rule_of_untagged_charges_does_not_override_tags_and_takes_what_tells_them_apart(tmp_path):
    mine = [a_row(tags=NO_TAGS, SubAccountId="lab[7]", ResourceId=f"i-{n}") for n in range(3)]
    theirs = [a_row(tags=NO_TAGS, SubAccountId="lab8", ResourceId=f"j-{n}") for n in range(3)]
    delivered(tmp_path, [*mine, *theirs])
    chosen = Charge.objects.filter(account__sub_account_id="lab[7]")
    correct(chosen, pi="bob@u.edu", project="p", fund_org="F")
    rule = learned(chosen)
    assert conditions(rule) == {"sub_account": "lab[[]7]"}
    assert not rule.overrides_tags
    assert (rule.pi.email, rule.project.code, rule.fund_org) == ("bob@u.edu", "p", "F")
    assert "Made from the correction of 3 charges." in rule.note


def test_several_conditions_are_taken_only_where_one_does_not_do(tmp_path):
    delivered(
        tmp_path,
        [
            a_row(tags=NO_TAGS, SubAccountId="lab7", ServiceName="Storage", ResourceId="a"),
            a_row(tags=NO_TAGS, SubAccountId="lab7", ServiceName="Storage", ResourceId="b"),
            a_row(tags=NO_TAGS, SubAccountId="lab7", ServiceName="Compute", ResourceId="c"),
            a_row(tags=NO_TAGS, SubAccountId="lab8", ServiceName="Storage", ResourceId="d"),
        ],
    )
    chosen = Charge.objects.filter(resource__resource_id__in=("a", "b"))
    correct(chosen, pi="bob@u.edu", fund_org="F")
    assert conditions(learning.rule_from(chosen)) == {"sub_account": "lab7", "service": "Storage"}


def test_a_tag_is_shared_whatever_prefix_its_source_puts_before_it(tmp_path):
    build.a_policy(tag_prefixes=["user:"])
    old = {"pi_email": "ada@u.edu", "Project_ID": "old-lab", "fund_org": "BIO-001"}
    delivered(tmp_path, [a_row(tags={f"user:{key}": value for key, value in old.items()}), *the_others()])
    delivered(tmp_path, [a_row(tags=old)], "hpc.csv", source=build.a_source("hpc"))
    chosen = Charge.objects.filter(project__code="old-lab")
    assert chosen.count() == 2
    correct(chosen, project="new-lab")
    rule = learned(Charge.objects.filter(project__code="new-lab"))
    assert rule.source is None
    assert (rule.tag_key.lower(), rule.tag_value) == ("project_id", "old-lab")
    rule.delete()
    rule.pk = None
    assert [month.changed for month in learning.foresee(rule)] == [2]


def test_a_rule_speaks_before_the_rule_that_said_otherwise(tmp_path):
    build.a_source()
    earlier = AttributionRule.objects.create(
        service="Compute", project=build.a_project("old-lab"), pi=build.a_pi(), fund_org="B", overrides_tags=True
    )
    delivered(tmp_path, [a_row(ResourceId="a"), a_row(ServiceName="Storage", ResourceId="b")])
    chosen = Charge.objects.filter(resource__resource_id="a")
    correct(chosen, project="new-lab")
    rule = learned(chosen)
    assert rule.priority < earlier.priority
    delivered(tmp_path, [of(2, a_row(ResourceId="a"))], "aws_2025-02.csv")
    assert Charge.objects.get(charged_in__month="2025-02-01").project.code == "new-lab"


def test_charges_without_a_reassignment_or_with_different_payers_make_no_rule(nineteen):
    with pytest.raises(learning.NotCorrected):
        learning.rule_from(nineteen)
    one, two = nineteen[:2]
    correct([one.pk], pi="bob@u.edu", project="a", fund_org="F")
    correct([two.pk], pi="cleo@u.edu", project="b", fund_org="G")
    with pytest.raises(learning.NothingInCommon):
        learning.rule_from(Charge.objects.filter(pk__in=(one.pk, two.pk)))


def test_charges_with_nothing_in_common_make_no_rule_for_everything_but_each_makes_one_of_its_own(
    nineteen, client, cast
):
    other = Charge.objects.live().exclude(project__code="old-lab").first()
    chosen = [nineteen.get(resource__resource_id="r-1").pk, other.pk]
    done = correct(chosen, project="new-lab")
    with pytest.raises(learning.NothingInCommon, match="Choose charges that are alike"):
        learning.rule_from(learning.corrected_by(done.gesture))
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:billing_charge_change", args=[chosen[0]]))
    form = client.get(page.context["rule_url"])
    assert form.context["adminform"].form["resource"].value() == "r-1"
    assert "what 1 corrected charge has in common" in form.content.decode()
    told = client.get(reverse(ADD) + f"?gesture={done.gesture}", follow=True)
    assert "Choose charges that are alike" in told.content.decode()


def test_what_a_rule_would_have_decided_is_counted_for_this_and_last_month(nineteen, tmp_path):
    delivered(tmp_path, [of(2, row) for row in the_nineteen()[:5]], "aws_2025-02.csv")
    february = BillingPeriod.objects.get(month="2025-02-01")
    done = correct(Charge.objects.filter(charged_in=february), project="new-lab")
    rule = learning.rule_from(learning.corrected_by(done.gesture))
    this, last = learning.foresee(rule, month=february)
    assert (this.period.iso_month, this.fits, this.changed, this.decided) == ("2025-02", 5, 5, 5)
    assert (last.period.iso_month, last.fits, last.changed, last.decided) == ("2025-01", 19, 19, 0)
    assert last.billed == {"USD": Decimal("190.00")}
    move = last.shown[0]
    assert str(move.before) == "ada@u.edu, old-lab, BIO-001"
    assert str(move.after) == "ada@u.edu, new-lab, BIO-001"
    rule.overrides_tags = False
    assert [(month.fits, month.changed) for month in learning.foresee(rule, month=february)] == [(5, 0), (19, 0)]


def test_the_form_shows_what_the_rule_would_have_decided_and_again_once_it_was_edited(nineteen, client, cast):
    client.force_login(cast.reviewer)
    ids = list(nineteen.values_list("pk", flat=True))
    build.a_project("new-lab")
    chosen = {"action": "correct", "_selected_action": ids, "select_across": "0"}
    url = reverse("admin:billing_charge_changelist")
    told = client.post(url, {**chosen, "confirmed": "19", "project": "new-lab", "note": ""}, follow=True)
    assert "Make a rule of this" in told.content.decode()
    # From one charge's page, the rule is of all that were corrected with it.
    page = client.get(reverse("admin:billing_charge_change", args=[ids[0]]))
    shown = client.get(page.context["rule_url"])
    text = shown.content.decode()
    assert "Filled in with what 19 corrected charges have in common." in text
    assert "What this rule would have decided" in text
    assert "190.00 USD" in text
    form = shown.context["adminform"].form
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    posted = {name: value for name, value in data.items() if value not in (None, False, "")}
    edited = client.post(page.context["rule_url"], {**posted, "tag_value": "old-*", "overrides_tags": ""})
    text = edited.content.decode()
    assert "Nothing is saved yet" in text
    assert "changes who pays for none" in text
    assert not AttributionRule.objects.exists()
    again = {**posted, "seen": edited.context["adminform"].form["seen"].value(), "tag_value": "old-*"}
    again.pop("overrides_tags")
    saved = client.post(page.context["rule_url"], again)
    assert saved.status_code == 302
    assert AttributionRule.objects.get().tag_value == "old-*"


def test_a_selection_of_corrected_charges_makes_a_rule_from_the_list(nineteen, client, cast):
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_charge_changelist")
    ids = list(nineteen.values_list("pk", flat=True))
    none = client.post(url, {"action": "make_rule", "_selected_action": ids}, follow=True)
    assert "None of these charges was corrected" in none.content.decode()
    correct(ids[:3], project="new-lab")
    correct(ids[3:], project="new-lab")
    form = client.post(url, {"action": "make_rule", "_selected_action": ids}, follow=True)
    assert form.context["adminform"].form["tag_value"].value() == "old-lab"
    assert "what 19 corrected charges have in common" in form.content.decode()
    for strange in ("1-99999999999999", "x", "-", "²", "1-2-3", f"{ids[0]}-{10**30}"):
        assert client.get(reverse(ADD), {"charges": strange}).status_code in (200, 302)
    client.force_login(cast.viewer)
    assert client.get(reverse(ADD) + f"?charges={ids[0]}").status_code == 403


def test_a_fund_that_is_not_on_the_loaded_list_is_said_to_be_none_where_a_rule_names_it(client, cast):
    build.a_fund("BIO-001")
    client.force_login(cast.reviewer)
    posted = {"service": "X", "fund_org": "BIO-01", "priority": "100", "is_active": "on"}
    done = client.post(reverse(ADD), posted, follow=True)
    assert "Fund/org “BIO-01” is not on the list of fund/orgs. Did you mean BIO-001?" in done.content.decode()
    assert "held for review" in done.content.decode()


def seen_before_saving(client, charge, **sent):
    """Return the page of a correction after *Show what changes*, with its text on one line."""
    page = client.post(reverse("admin:billing_charge_correct", args=[charge.pk]), {"note": "", **sent, "_show": "1"})
    return page, " ".join(strip_tags(page.content.decode()).split())


def test_a_correction_shows_what_a_rule_made_of_it_would_also_fit_in_open_months(nineteen, client, cast, tmp_path):
    february = [of(2, row) for row in the_nineteen()[:5]]
    delivered(tmp_path, [*february, {**february[1], "BilledCost": "2.50", "ListCost": "3"}], "aws_2025-02.csv")
    build.a_project("new-lab")
    client.force_login(cast.reviewer)
    charge = nineteen.get(resource__resource_id="r-1", charged_in__month="2025-01-01")
    page, text = seen_before_saving(client, charge, project="new-lab")
    assert "Once this is saved, you can make a rule of it: AWS, resource r-1 → ada@u.edu, new-lab, BIO-001." in text
    assert (
        "It also fits 2 charges of February 2025, 12.50 USD. It would have changed who pays for 2 of them: 12.50 USD."
    ) in text
    assert "It fits no other charge of January 2025." in text
    # The link lists just these.
    (url,) = re.findall(r'href="([^"]*charges=[^"]*)"', page.content.decode())
    listed = client.get(unescape(url))
    found = {row.pk for row in listed.context["cl"].result_list}
    fitting = set(
        nineteen.filter(charged_in__month="2025-02-01", resource__resource_id="r-1").values_list("pk", flat=True)
    )
    assert found == fitting
    assert len(fitting) == 2
    # Nothing is saved, and what is saved makes that rule.
    assert not AttributionRule.objects.exists()
    assert Charge.objects.get(pk=charge.pk).project.code == "old-lab"
    rule = learning.rule_from(learning.corrected_by(correct([charge.pk], project="new-lab").gesture))
    assert conditions(rule) == {"resource": "r-1"}


def test_a_correction_that_makes_no_rule_says_why_and_a_new_name_makes_none_yet(nineteen, client, cast):
    client.force_login(cast.reviewer)
    charge = nineteen.first()
    _, text = seen_before_saving(client, charge, project="brand-new", create="project:brand-new")
    assert "Project brand-new would be created" in text
    assert "As a rule" not in text
    stored = nineteen.get(resource__resource_id="r-1")
    chosen = [stored.pk, Charge.objects.exclude(project__code="old-lab").first().pk]
    build.a_project("new-lab")
    sent = {"action": "correct", "_selected_action": chosen, "confirmed": 2, "project": "new-lab", "_show": "1"}
    page = client.post(reverse("admin:billing_charge_changelist"), sent)
    text = " ".join(strip_tags(page.content.decode()).split())
    assert "This correction makes no rule. These charges share nothing that tells them from others." in text


def test_whoever_may_make_no_rule_is_shown_none(nineteen, client, cast):
    build.a_project("new-lab")
    cast.reviewer.user_permissions.clear()
    client.force_login(cast.reviewer)
    _, text = seen_before_saving(client, nineteen.first(), project="new-lab")
    assert "As a rule" in text
    for group in cast.reviewer.groups.all():
        group.permissions.remove(*group.permissions.filter(codename="add_attributionrule"))
    _, text = seen_before_saving(client, nineteen.first(), project="new-lab")
    assert "Before and after" in text
    assert "As a rule" not in text
