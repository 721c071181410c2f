"""What a delivery changes: rows and money, told before and after, to the last digit."""

import json
import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from billing import review
from billing.audit import Actor
from billing.background import jobs
from billing.files import received
from billing.importing import planning
from billing.models import Charge, CostMeasureChange, Import, Job, Source
from billing.months import closing
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = pytest.mark.django_db

BEFORE = [
    a_row("100", ResourceId="i-1"),
    a_row("20.5", ResourceId="i-2"),
    a_row("7", ResourceId="i-3", ResourceName="old-vm"),
    a_row("1", ResourceId="i-4"),
    a_row("1", ResourceId="i-5"),
]
AFTER = [
    a_row("90.00000001", ResourceId="i-1"),
    a_row("20.5", ResourceId="i-2"),
    a_row("3.25", ResourceId="i-6", ServiceName="Storage"),
    a_row("1", ResourceId="i-4"),
    a_row("1", ResourceId="i-5"),
]
# 90.00000001 + 3.25 − 100 − 7
MOVED = {
    "measure": "BilledCost",
    "delta": "-13.74999999",
    "billed_delta": "-13.74999999",
    "new": {"rows": 1, "amount": "3.25", "billed": "3.25"},
    "changed": {
        "rows": 1,
        "old": "100.00",
        "new": "90.00000001",
        "delta": "-9.99999999",
        "billed_old": "100.00",
        "billed_new": "90.00000001",
        "billed_delta": "-9.99999999",
    },
    "gone": {"rows": 1, "amount": "7.00", "billed": "7.00"},
    "unchanged": {"rows": 3, "amount": "22.50", "billed": "22.50"},
    "movers": [
        {"service": "Compute", "resource": "i-1", "old": "100.00", "new": "90.00000001", "delta": "-9.99999999"},
        {"service": "Compute", "resource": "old-vm", "old": "7.00", "new": "0.00", "delta": "-7.00"},
        {"service": "Storage", "resource": "i-6", "old": "0.00", "new": "3.25", "delta": "3.25"},
    ],
}


def test_a_redelivery_says_what_is_new_changed_gone_and_unchanged(tmp_path):
    delivered(tmp_path, BEFORE)
    result = delivered(tmp_path, AFTER)
    assert result.difference == {"2025-01": {"USD": MOVED}}
    assert Import.objects.latest("pk").difference == result.difference


def test_a_dry_run_says_the_same_and_changes_nothing(tmp_path):
    delivered(tmp_path, BEFORE)
    path = a_file(tmp_path, AFTER)
    out = StringIO()
    call_command("ingest", path, "--dry-run", "--json", stdout=out)
    assert json.loads(out.getvalue())["difference"] == {"2025-01": {"USD": MOVED}}
    assert Charge.objects.live().count() == 5
    out = StringIO()
    call_command("ingest", path, "--dry-run", stdout=out)
    text = out.getvalue()
    assert "January 2025, BilledCost in USD: -13.74999999" in text
    assert "100.00 → 90.00000001 (-9.99999999)" in text
    assert "-7.00  Compute old-vm: 7.00 → 0.00" in text


def test_a_first_delivery_is_all_new_and_names_no_movers(tmp_path):
    found = delivered(tmp_path, BEFORE).difference["2025-01"]["USD"]
    assert found["new"] == {"rows": 5, "amount": "129.50", "billed": "129.50"}
    assert (found["unchanged"]["rows"], found["gone"]["rows"], found["movers"]) == (0, 0, [])


def test_the_same_file_again_moves_nothing(tmp_path):
    delivered(tmp_path, BEFORE)
    found = delivered(tmp_path, BEFORE).difference["2025-01"]["USD"]
    assert found["unchanged"] == {"rows": 5, "amount": "129.50", "billed": "129.50"}
    assert (found["delta"], found["movers"]) == ("0.00", [])


def test_money_is_told_by_the_cost_that_is_charged_and_as_billed(tmp_path):
    source = build.a_source("aws")
    CostMeasureChange.objects.create(source=source, from_month=build.a_period().month, measure=Source.Measure.EFFECTIVE)
    delivered(tmp_path, [a_row("10", EffectiveCost="8")])
    found = delivered(tmp_path, [a_row("11", EffectiveCost="7")], replace=True).difference["2025-01"]["USD"]
    assert found["measure"] == "EffectiveCost"
    assert (found["changed"]["old"], found["changed"]["new"], found["delta"]) == ("8.00", "7.00", "-1.00")
    assert (found["changed"]["billed_delta"], found["billed_delta"]) == ("1.00", "1.00")


def test_each_month_and_currency_is_told_by_itself(tmp_path):
    february = {
        "BillingPeriodStart": "2025-02-01T00:00:00Z",
        "BillingPeriodEnd": "2025-03-01T00:00:00Z",
        "ChargePeriodStart": "2025-02-05T00:00:00Z",
        "ChargePeriodEnd": "2025-02-06T00:00:00Z",
    }
    rows = [a_row("1"), a_row("2", ResourceId="i-2", BillingCurrency="EUR"), a_row("4", **february)]
    delivered(tmp_path, rows, "aws_2025-Q1.csv")
    rows = [a_row("1"), a_row("3", ResourceId="i-2", BillingCurrency="EUR"), a_row("5", **february)]
    found = delivered(tmp_path, rows, "aws_2025-Q1.csv").difference
    deltas = {(month, currency): each["delta"] for month, of in found.items() for currency, each in of.items()}
    assert deltas == {("2025-01", "USD"): "0.00", ("2025-01", "EUR"): "1.00", ("2025-02", "USD"): "1.00"}


def test_only_the_ten_largest_movers_are_named(tmp_path):
    delivered(tmp_path, [a_row("1", ResourceId=f"i-{number:02}") for number in range(12)])
    rows = [a_row(str(number + 1), ResourceId=f"i-{number:02}") for number in range(12)]
    movers = delivered(tmp_path, rows).difference["2025-01"]["USD"]["movers"]
    assert [mover["resource"] for mover in movers] == [f"i-{number:02}" for number in range(11, 1, -1)]


def test_an_amount_is_compared_with_what_the_charge_says_now(tmp_path):
    delivered(tmp_path, [a_row("10")])
    review.reject(
        provider_credits=True,
        charges=Charge.objects.all(),
        reason="other",
        note="no",
        actor=build.SOMEBODY,
        now=build.NOW,
    )
    found = delivered(tmp_path, [a_row("12")]).difference["2025-01"]["USD"]
    assert (found["changed"]["old"], found["changed"]["new"]) == ("10.00", "12.00")


def test_the_pages_of_an_import_and_of_a_job_show_it(client, cast, tmp_path):
    delivered(tmp_path, BEFORE)
    result = delivered(tmp_path, AFTER)
    client.force_login(cast.viewer)
    text = client.get(reverse("admin:billing_import_change", args=[result.imported.pk])).content.decode()
    assert "What moved most" in text
    assert "old-vm" in text
    # What is gone takes its amount with it, so that the differences add up to the heading.
    (gone,) = re.findall(r'<th scope="row">Removed</th>(.*?)</tr>', text)
    assert re.findall(r">(-?[\d.]+|–)<", gone) == ["1", "7.00", "–", "-7.00"]
    assert 'title="-13.74999999"' in text
    job = Job.objects.create(
        kind=Job.Kind.IMPORT, state=Job.State.DONE, created_at=build.NOW, finished_at=build.NOW, result=result.as_data()
    )
    text = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert "old-vm" in text
    # What is gone takes its amount with it, so that the differences add up to the heading.
    (gone,) = re.findall(r'<th scope="row">Removed</th>(.*?)</tr>', text)
    assert re.findall(r">(-?[\d.]+|–)<", gone) == ["1", "7.00", "–", "-7.00"]


def test_a_deferred_delivery_is_booked_from_its_page_by_whom_it_should(client, cast, tmp_path):
    delivered(tmp_path, BEFORE)
    closing.close(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    waiting = delivered(tmp_path, AFTER).deferred
    march = build.a_period("2025-03")
    url = reverse("admin:billing_import_book", args=[waiting.pk])
    client.force_login(cast.viewer)
    assert client.get(url).status_code == 403
    client.force_login(cast.reviewer)
    page = client.get(url).content.decode()
    assert "old-vm" in page
    assert "March 2025" in page
    assert ">January 2025</option>" not in page
    response = client.post(url, {"into": march.pk}, follow=True)
    assert f"Import {waiting.pk} is booked in March 2025" in response.content.decode()
    waiting.refresh_from_db()
    assert (waiting.state, waiting.booked_in) == ("applied", march)
    assert Charge.objects.filter(charged_in=march, is_late=True).count() == 4


def test_a_deferred_delivery_is_dismissed_from_its_page_with_a_reason(client, cast, tmp_path):
    delivered(tmp_path, BEFORE)
    closing.close(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    waiting = delivered(tmp_path, AFTER).deferred
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_import_dismiss", args=[waiting.pk])
    assert "required" in client.post(url, {"reason": ""}).content.decode()
    client.post(url, {"reason": "A mistake of theirs"})
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == ("dismissed", "A mistake of theirs")


def test_an_upload_for_a_closed_month_ends_well_and_says_where_it_waits(tmp_path, settings):
    settings.VAR_DIR = tmp_path
    delivered(tmp_path, BEFORE)
    closing.close(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    stored = received.store(path=a_file(tmp_path, AFTER, "upload.csv"), now=build.NOW)
    job = jobs.enqueue(
        kind=Job.Kind.IMPORT,
        arguments={"files": [stored.pk], "names": ["aws_2025-01.csv"], "source": "aws"},
        actor=Actor(name="rex", via="test"),
        now=build.NOW,
    )
    result = planning.run_job(
        job=job, arguments=job.arguments, actor=build.SOMEBODY, now=build.NOW, progress=lambda *_: None
    )
    assert result["deferred"]["periods"] == ["2025-01"]
    assert result["state"] == "deferred"
