"""The page of a resource: a virtual machine that is renamed, moves to another project and costs three PIs something."""

import datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import resources
from billing.models import Charge, ResourceText, Source
from tests import build

pytestmark = pytest.mark.django_db

AZURE = "/subscriptions/4F0A1B2C-0000-0000-0000-000000000001/resourceGroups/Lab/providers/Microsoft.Compute/vm-1"
VM = {"resource_id": AZURE, "resource_name": "vm-1", "resource_type": "Virtual machine", "region_id": "westus"}
RENAMED = VM | {"resource_id": AZURE.lower(), "resource_name": "analysis-node"}


@pytest.fixture
def machine():
    """January under one name, February under another and in other letters; March held, rejected and the center's."""
    build.a_policy(center_fund_org="RC-000")
    prices = {"list_cost": Decimal("120"), "contracted_cost": Decimal("110")}
    build.a_charge("100.123456", source="azure", provider_name="Microsoft", **prices, **VM)
    build.a_charge("0.000001", source="azure", list_cost=None, contracted_cost=None, service_name="Disk", **VM)
    split = build.a_split({"CHEM-2": "60", "BIO-001": "40"})
    moved = {"pi": "mary@u.edu", "project": "reef", "fund_org": "", "payer_split": split}
    build.a_charge("50", source="azure", period="2025-02", **moved, **RENAMED)
    build.a_charge("7", source="azure", period="2025-03", flags=("pattern_match",), **RENAMED)
    build.a_charge("3", source="azure", period="2025-03", state=Charge.State.REJECTED, **RENAMED)
    build.a_charge("2", source="azure", period="2025-03", state=Charge.State.CHARGED_TO_CENTER, **RENAMED)
    # What is not its: replaced rows, another machine, and the same id in another source.
    build.a_charge("999", source="azure", withdrawn_in=build.an_import(build.a_source("azure")), **VM)
    build.a_charge("998", source="azure", resource_id="i-2", resource_name="analysis-node")
    build.a_charge("997", source="other", **VM)
    return ResourceText.objects.get(resource_name="vm-1")


def history(text, source="azure"):
    return resources.history_of(source=Source.objects.get(name=source), text=text)


def address(text, source="azure"):
    return reverse("admin:billing_charge_resource", args=[source, text.pk])


def test_a_renamed_resource_is_one_with_all_its_names_and_payers(machine):
    found = history(machine)
    january, february, march = (datetime.date(2025, month, 1) for month in (1, 2, 3))
    assert found.name == "analysis-node"
    assert [(each.text.resource_name, each.first, each.last, each.charges) for each in found.namings] == [
        ("analysis-node", february, march, 4),
        ("vm-1", january, january, 2),
    ]
    assert (found.providers, found.services) == (["Microsoft"], ["Compute", "Disk"])
    assert [(row.month, row.pi_email, row.project, row.state, row.figures.charged) for row in found.rows] == [
        (march, "ada@u.edu", "genomics", "charged_to_center", 2),
        (march, "ada@u.edu", "genomics", "held", 7),
        (march, "ada@u.edu", "genomics", "rejected", 3),
        (february, "mary@u.edu", "reef", "clear", 50),
        (january, "ada@u.edu", "genomics", "clear", Decimal("100.123456")),
        (january, "ada@u.edu", "genomics", "clear", Decimal("0.000001")),
    ]
    # List 120, contracted 110; without prices there is no discount. What nobody pays is in no total.
    (total,) = found.totals().values()
    assert (total.charges, total.list_cost, total.charged) == (4, Decimal("172.000001"), Decimal("152.123457"))
    assert (total.discount, total.subsidy) == (10, Decimal("9.876544"))
    assert found.totals(charged=False)["USD"].charged == 10
    # By any of its texts it is the same.
    assert history(ResourceText.objects.get(resource_name="analysis-node", resource_id=AZURE.lower())) == found


def test_the_same_id_in_another_source_is_another_resource(machine):
    assert [row.figures.charged for row in history(machine, "other").rows] == [997]
    build.a_source("third")
    assert history(machine, "third") is None


def test_currencies_are_never_added(machine):
    build.a_charge("5", source="azure", currency="EUR", **VM)
    assert {currency: sums.charged for currency, sums in history(machine).totals().items()} == {
        "EUR": Decimal("5"),
        "USD": Decimal("152.123457"),
    }


def test_the_page_says_who_paid_month_by_month_and_leads_to_the_charges(machine, client, cast):
    client.force_login(cast.viewer)
    response = client.get(address(machine))
    page = response.content.decode()
    for told in (
        *(
            "analysis-node",
            "vm-1",
            "Virtual machine",
            "westus",
            "Microsoft",
            "January 2025",
            "February 2025 to March 2025",
        ),
        *("100.123456", "152.123457", "BIO-001=40; CHEM-2=60", "reef", "the center", "Held for review", "Rejected"),
        "A statement rounds each of its lines to cents",
    ):
        assert told in page, told
    # Links to the list show just the charges of a row's month.
    by_month = {row["paid"].month: row["charges_url"] for row in response.context["rows"]}
    for month, billed in ((1, {"100.123456", "0.000001"}), (2, {"50"}), (3, {"7", "3", "2"})):
        listed = client.get(by_month[datetime.date(2025, month, 1)]).context["cl"].result_list
        assert {charge.billed_cost for charge in listed} == set(map(Decimal, billed))
    assert "resource=" in response.context["charges_url"]
    assert len(client.get(response.context["charges_url"]).context["cl"].result_list) == 6


def test_charges_lead_to_their_resource(machine, client, cast):
    client.force_login(cast.viewer)
    charge = Charge.objects.filter(resource=machine, source__name="azure").first()
    own = address(machine)
    assert f'href="{own}"' in client.get(reverse("admin:billing_charge_changelist")).content.decode()
    assert f'href="{own}"' in client.get(reverse("admin:billing_charge_change", args=[charge.pk])).content.decode()
    assert f'href="{own}"' in client.get(reverse("admin:billing_charge_why"), {"what": charge.pk}).content.decode()


def test_rows_without_a_resource_have_no_page_and_no_link(client, cast):
    charge = build.a_charge(resource_id="", resource_name="")
    client.force_login(cast.viewer)
    assert client.get(address(charge.resource, "aws")).status_code == 404
    for page in (reverse("admin:billing_charge_changelist"), reverse("admin:billing_charge_change", args=[charge.pk])):
        assert "/charge/resource/" not in client.get(page).content.decode()


@pytest.mark.parametrize(("source", "number"), [("azure", 10**6), ("azure", 10**30), ("nowhere", 1), ("third", 1)])
def test_a_resource_that_is_not_there_is_not_found(machine, client, cast, source, number):
    build.a_source("third")
    client.force_login(cast.viewer)
    number = machine.pk if number == 1 else number
    assert client.get(reverse("admin:billing_charge_resource", args=[source, number])).status_code == 404


@pytest.mark.parametrize("value", ["x", "0", "9" * 30, "-1"])
def test_a_list_of_a_resource_that_is_not_there_is_empty(machine, client, cast, value):
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_charge_changelist"), {"resource": value})
    assert list(page.context["cl"].result_list) == []


def test_the_page_takes_as_many_queries_for_many_rows_as_for_few(machine, client, cast):
    client.force_login(cast.viewer)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address(machine)).status_code == 200
        return len(captured)

    queries()
    few = queries()
    for number in range(12):
        split = build.a_split({f"A-{number}": "50", f"B-{number}": "50"})
        payer = {"pi": f"pi{number}@u.edu", "project": f"p{number}", "fund_org": "", "payer_split": split}
        build.a_charge(
            "1", source="azure", period=f"2024-{number + 1:02}", **payer, **VM | {"resource_name": f"n-{number}"}
        )
    assert queries() == few


def test_of_very_many_rows_the_newest_are_shown_and_all_are_added_up(machine, client, cast, monkeypatch):
    monkeypatch.setattr("billing.admin.charges.resource.MOST", 2)
    client.force_login(cast.viewer)
    page = client.get(address(machine)).content.decode()
    assert "4 older rows not shown" in page
    assert "152.123457" in page


def test_the_list_says_which_resource_it_is_of(machine, client, cast):
    client.force_login(cast.viewer)
    url = client.get(address(machine)).context["charges_url"]
    assert parse_qs(urlsplit(url).query)["resource"] == [str(machine.pk)]
    assert "resource" in {chip.title for chip in client.get(url).context["cl"].chips}
    assert client.get(reverse("admin:billing_charge_changelist")).context["cl"].chips == []
