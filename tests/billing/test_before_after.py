"""A correction shown before it is made: the totals of each PI concerned, before and after."""

import re
from decimal import Decimal
from html import unescape

import pytest
from django.urls import reverse

from billing import review
from billing.models import Charge, MonthTotal, Person, Project
from billing.review.before_after import before_and_after
from tests import build

pytestmark = pytest.mark.django_db


def shown(charges, *, approve: bool = True, **payer):
    return before_and_after(
        Charge.objects.filter(pk__in=[each.pk for each in charges]),
        reassignment=review.Reassignment(**payer).checked(),
        approve=approve,
        actor=build.SOMEBODY,
        now=build.NOW,
    )


def totals() -> dict[tuple[str, str], Decimal]:
    rows = MonthTotal.objects.filter(state__in=Charge.CHARGED_TO_OWNER, pi__isnull=False).summed("pi", "currency")
    people = Person.objects.in_bulk()
    return {(people[row["pi"]].display_name, row["currency"]): row["billed"] for row in rows}


def test_what_is_shown_is_what_the_correction_makes():
    stays = build.a_charge("10", pi="ada@u.edu")
    held = [build.a_charge("2.50", pi="ada@u.edu", flags=("missing_project",)) for _ in range(3)]
    clear = build.a_charge("4", pi="ada@u.edu")
    build.a_charge("1", pi="bob@u.edu", currency="EUR")
    build.a_charge("7", pi="bob@u.edu")
    found = shown([*held, clear], pi="bob@u.edu")
    assert [(row.name, row.currency, row.before, row.after) for row in found.payers] == [
        ("ada@u.edu", "USD", Decimal(14), Decimal(10)),
        ("bob@u.edu", "USD", Decimal(7), Decimal("18.5")),
    ]
    assert [(row.name, row.before, row.after) for row in found.states] == [
        ("Charged", Decimal(21), Decimal("28.5")),
        ("Held for review", Decimal("7.5"), Decimal(0)),
    ]
    assert found.moved == 4
    # Nothing was saved, and the act does just that.
    assert Charge.objects.held().count() == 3
    review.reattribute(
        charges=[each.pk for each in [*held, clear]],
        reassignment=review.Reassignment(pi="bob@u.edu"),
        approve=True,
        actor=build.SOMEBODY,
        now=build.NOW,
    )
    after = totals()
    assert {(row.name, row.currency): row.after for row in found.payers}.items() <= after.items()
    assert stays.pi.display_name == "ada@u.edu"


def test_what_would_be_created_is_named_and_not_created():
    held = build.a_charge("2", pi=None, project=None, flags=("missing_pi", "missing_project"))
    found = shown([held], pi="new@u.edu", project="new-lab", fund_org="BIO-001")
    assert found.created == ("PI new@u.edu", "Project new-lab")
    assert [(row.name, row.before, row.after) for row in found.payers] == [("new@u.edu", Decimal(0), Decimal(2))]
    assert not Person.objects.filter(email="new@u.edu").exists()
    assert not Project.objects.filter(code="new-lab").exists()


def test_a_split_of_its_own_is_not_created():
    held = build.a_charge("2", flags=("missing_project",))
    found = shown([held], shares=(("A", Decimal(60)), ("B", Decimal(40))))
    assert found.moved == 1
    assert not held.payer_split_id


def test_what_stays_as_it_is_has_its_reason():
    rejected = build.a_charge("2", state=Charge.State.REJECTED)
    found = shown([rejected, build.a_charge("3")], pi="bob@u.edu")
    assert (found.moved, list(found.skipped.values())) == (1, [1])


def test_an_exchange_within_a_pi_changes_no_total():
    charge = build.a_charge("3", pi="ada@u.edu")
    found = shown([charge], fund_org="BIO-002")
    assert [(row.before, row.after, row.change) for row in found.payers] == [(Decimal(3), Decimal(3), Decimal(0))]
    assert found.states == ()


def test_very_many_charges_are_not_tried_for_a_page(monkeypatch):
    monkeypatch.setattr("billing.background.jobs.LARGE", 1)
    assert shown([build.a_charge("3"), build.a_charge("4")], pi="bob@u.edu") is None


def words(page) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())


@pytest.mark.parametrize("number", [1, 2])
def test_the_page_shows_it_and_saves_nothing_until_its_button_is_pressed(client, cast, number):
    charges = [build.a_charge("5", pi="mallory@u.edu", flags=("missing_project",)) for _ in range(number)]
    client.force_login(cast.reviewer)
    address = reverse("admin:billing_charge_changelist")
    data = {"action": "correct", "_selected_action": [each.pk for each in charges], "confirmed": number}
    data |= {"pi": "ada@u.edu", "project": "brand-new", "approve": "on", "create": "project:brand-new"}
    page = client.post(address, data | {"_show": "1"})
    said = words(page)
    assert "Before and after" in said
    assert "Project brand-new would be created" in said
    assert f"Ada Lovelace January 2025 0.00 USD {5 * number}.00 USD + {5 * number}.00" in said
    assert ", create Project brand-new" in page.content.decode()
    assert Charge.objects.held().count() == number
    client.post(address, data)
    assert Charge.objects.held().count() == 0
    assert Project.objects.filter(code="brand-new").exists()


def test_the_page_of_one_charge_shows_it_too(client, cast):
    charge = build.a_charge("5", pi="mallory@u.edu", flags=("missing_project",))
    client.force_login(cast.reviewer)
    page = client.post(
        reverse("admin:billing_charge_correct", args=[charge.pk]), {"pi": "ada@u.edu", "approve": "on", "_show": "1"}
    )
    assert "Ada Lovelace January 2025 0.00 USD 5.00 USD + 5.00" in words(page)
    assert Charge.objects.held().count() == 1


def test_each_field_of_a_correction_shows_what_is_there_now(client, cast):
    held = build.a_charge("5", pi=None, project=None, fund_org="", flags=("missing_pi",))
    split = build.a_split({"BIO-001": "60", "CHEM-2": "40"}, project=build.a_project("genomics"))
    shared = build.a_charge("5", pi="ada@u.edu", project="genomics", fund_org="", payer_split=split)
    client.force_login(cast.reviewer)

    def current(charge):
        form = client.get(reverse("admin:billing_charge_correct", args=[charge.pk])).context["form"]
        return {name: form.fields[name].current for name in ("pi", "project", "fund_org", "split", "natural_account")}

    nothing = {"pi": "none", "project": "none", "fund_org": "none", "split": "none", "natural_account": "none"}
    assert current(held) == nothing
    assert current(shared) == nothing | {"pi": "ada@u.edu", "project": "genomics", "split": "BIO-001=60; CHEM-2=40"}
    page = client.get(reverse("admin:billing_charge_correct", args=[shared.pk])).content.decode()
    assert page.count('<p class="current"><span class="visually-hidden">Now: </span>') == 6


def test_showing_what_changes_asks_as_often_however_many_charges(client, cast, django_assert_max_num_queries):
    client.force_login(cast.reviewer)
    asked = []
    for number in (2, 4):
        alike = {"pi": "mallory@u.edu", "flags": ("missing_project",), "resource_name": f"vm-{number}"}
        charges = [build.a_charge("5", **alike) for _ in range(number)]
        data = {"action": "correct", "_selected_action": [each.pk for each in charges], "confirmed": number}
        with django_assert_max_num_queries(105) as queries:
            client.post(reverse("admin:billing_charge_changelist"), data | {"pi": "ada@u.edu", "_show": "1"})
        asked.append(len(queries.captured_queries))
    assert asked[0] == asked[1]
