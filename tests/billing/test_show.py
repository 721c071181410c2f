"""What one PI used, as the command shows it."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from billing import charging
from billing.models import PersonAlias, Source
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_pi, a_source

pytestmark = pytest.mark.django_db


def show(*arguments):
    out = io.StringIO()
    call_command("show", *arguments, stdout=out)
    return out.getvalue()


def shown(*arguments):
    return json.loads(show(*arguments, "--json"))


def test_a_pis_charges_are_summed_by_project_and_source():
    a_charge("10.00", list_cost="20", contracted_cost="15")
    a_charge("5.00125", list_cost="20", contracted_cost="15")
    a_charge("7.00", source="hpc", project="physics")
    a_charge("1000.00", pi="mallory@u.edu")
    data = shown("ada@u.edu", "-p", "2025-01")
    assert (data["pi"], data["period"]) == ("ada@u.edu", "2025-01")
    assert [(row["project"], row["source"], row["charges"]) for row in data["projects"]] == [
        ("genomics", "aws", 2),
        ("physics", "hpc", 1),
    ]
    row = data["projects"][0]
    assert (row["list"], row["discount"], row["subsidy"], row["billed"]) == ("40.00", "10.00", "14.99875", "15.00125")
    assert data["billed"] == {"USD": "22.00125"}


def test_held_charges_are_counted_apart():
    a_charge("10.00")
    a_charge("99.00", flags=("pattern_match",))
    a_charge("5.00", state="rejected")
    a_charge("6.00", state="charged_to_center")
    [row] = shown("ada@u.edu")["projects"]
    assert (row["charges"], row["billed"]) == (1, "10.00")
    assert (row["held"], row["held_billed"], row["rejected"], row["charged_to_center"]) == (1, "99.00", 1, 1)
    assert "10.00 USD billed; 1 held, 99.00 USD billed." in show("ada@u.edu")


def test_a_month_is_asked_for_or_all_come_the_newest_first():
    a_charge("1.00")
    a_charge("2.00", period="2025-02")
    assert [row["period"] for row in shown("ada@u.edu")["projects"]] == ["2025-02", "2025-01"]
    assert [row["billed"] for row in shown("ada@u.edu", "-p", "2025-01")["projects"]] == ["1.00"]


def test_no_list_price_is_no_discount_and_a_free_service_is_all_subsidy():
    a_charge("10.00", list_cost="0", contracted_cost=None)
    a_charge("0.00", list_cost="30", contracted_cost="30", source="hpc")
    rows = {row["source"]: row for row in shown("ada@u.edu")["projects"]}
    assert (rows["aws"]["list"], rows["aws"]["discount"], rows["aws"]["subsidy"]) == ("10.00", "0.00", "0.00")
    assert (rows["hpc"]["list"], rows["hpc"]["discount"], rows["hpc"]["subsidy"]) == ("30.00", "0.00", "30.00")


def test_a_source_charged_by_effective_cost_is_shown_by_it():
    a_source("aws", cost_measure=Source.Measure.EFFECTIVE)
    a_charge("0.00", effective_cost="8", contracted_cost="8", list_cost="10")
    [row] = shown("ada@u.edu")["projects"]
    assert (row["billed"], row["discount"], row["subsidy"]) == ("8.00", "2.00", "0.00")


def test_currencies_are_never_added():
    a_charge("1.00")
    a_charge("2.00", currency="EUR")
    assert shown("ada@u.edu")["billed"] == {"EUR": "2.00", "USD": "1.00"}


def test_an_alias_shows_its_pi():
    PersonAlias.objects.create(person=a_pi(), email="a.lovelace@u.edu")
    a_charge("1.00")
    assert shown(" A.Lovelace@u.edu")["pi"] == "ada@u.edu"


def test_an_unknown_pi_is_an_error_with_those_like_it():
    a_pi("ada@u.edu")
    a_pi("zebra@other.org")
    with pytest.raises(CommandError, match=r"There is no PI “adaa@u.edu”. Did you mean ada@u.edu\?"):
        show("adaa@u.edu")


def test_a_pi_without_charges_and_an_unknown_period_say_so():
    a_pi("ada@u.edu")
    a_charge("1.00", pi="mallory@u.edu")
    assert show("ada@u.edu", "-p", "2025-01") == "ada@u.edu has no charges in January 2025.\n"
    with pytest.raises(CommandError, match="These exist: 2025-01"):
        show("ada@u.edu", "-p", "2024-01")


def test_shares_of_shared_costs_are_told_beside_what_is_ones_own():
    a_charge("10.00")
    a_charge("10.00", pi="bob@u.edu")
    a_charge("3.01", pi=None, project=None, fund_org="", shared_as="Support")
    charging.make_payer_lines(period=a_period(), actor=SOMEBODY, now=NOW)
    data = shown("ada@u.edu", "-p", "2025-01")
    assert data["billed"] == {"USD": "10.00"}
    [share] = data["shares"]
    assert (share["period"], share["project"], share["source"], share["name"]) == (
        "2025-01",
        "genomics",
        "aws",
        "Support",
    )
    assert (share["charged"], data["shared"]) == ("1.51", {"USD": "1.51"})
    assert "1.51 USD charged for shared costs" in show("ada@u.edu")
    a_period("2025-02")
    assert "Support" not in show("ada@u.edu", "-p", "2025-02")


def test_a_free_internal_service_is_subsidy_as_on_the_statement():
    a_source("hpc", kind=Source.Kind.INTERNAL)
    a_charge("0.00", source="hpc", list_cost="800", contracted_cost=None)
    a_charge("0.00", source="aws", list_cost="800", contracted_cost=None)
    rows = {row["source"]: row for row in shown("ada@u.edu")["projects"]}
    assert (rows["hpc"]["list"], rows["hpc"]["discount"], rows["hpc"]["subsidy"]) == ("800.00", "0.00", "800.00")
    assert (rows["aws"]["list"], rows["aws"]["discount"], rows["aws"]["subsidy"]) == ("800.00", "800.00", "0.00")
