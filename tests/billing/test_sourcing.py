"""Sources: set up by command and admin alike, with their accounting and their last import."""

import datetime
import json

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing import charging, doors
from billing.models import AuditEvent, ImportTotal, Source
from billing.models.sources import UnknownSource
from billing.setup import sourcing
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_pi, a_source, an_import

pytestmark = pytest.mark.django_db

WHO = {"actor": SOMEBODY, "now": NOW}
BARE = {"recovery_fund_org": "", "recovery_account": "", "debit_account": ""}
FEBRUARY = datetime.date(2025, 2, 1)


def run_json(*words, capsys):
    capsys.readouterr()
    call_command(*words, "--json")
    return json.loads(capsys.readouterr().out)


def an_applied_import(source, period, at):
    delivery = an_import(source, applied_at=at)
    ImportTotal.objects.create(
        imported_in=delivery,
        period=a_period(period),
        currency="USD",
        rows=1,
        **{f"{cost}_exact": "1" for cost in ("billed", "effective", "list", "contracted")},
        **{f"{cost}_stored": 1 for cost in ("billed", "effective", "list", "contracted")},
    )
    return delivery


def through_engine(source, cast, client):
    sourcing.change(
        source=source,
        fields={"recovery_fund_org": "RC-9", "recovery_account": "4901", "debit_account": "6501"},
        **WHO,
    )


def through_command(source, cast, client):
    call_command(
        "sources",
        "set",
        source.name,
        "--recovery-fund-org=RC-9",
        "--recovery-account=4901",
        "--debit-account=6501",
    )


def through_admin(source, cast, client):
    client.force_login(cast.finance)
    client.post(
        reverse("admin:billing_source_change", args=[source.pk]),
        {
            "display_name": source.display_name,
            "kind": source.kind,
            "is_active": "on",
            "file_name_patterns": source.file_name_patterns,
            "import_mode": source.import_mode,
            "grain": source.grain,
            "is_journaled": "on",
            "recovery_fund_org": "RC-9",
            "recovery_account": "4901",
            "debit_account": "6501",
            "measure_changes-TOTAL_FORMS": "0",
            "measure_changes-INITIAL_FORMS": "0",
        },
    )


@pytest.mark.parametrize("door", [through_engine, through_command, through_admin])
def test_every_door_sets_the_same_fields_and_records_the_same_event(door, cast, client):
    source = a_source("hpc", **BARE)

    door(source, cast, client)

    source.refresh_from_db()
    assert (source.recovery_fund_org, source.recovery_account, source.debit_account) == ("RC-9", "4901", "6501")
    assert (source.display_name, source.import_mode) == ("HPC", "snapshot")
    event = AuditEvent.objects.get(action="source.changed")
    assert event.before == BARE
    assert event.after == {"recovery_fund_org": "RC-9", "recovery_account": "4901", "debit_account": "6501"}
    assert event.object_label == "hpc"


def test_setting_what_is_set_already_changes_and_records_nothing():
    source = a_source()

    changed = sourcing.change(source=source, fields={"recovery_account": "4900"}, **WHO)

    assert changed.after == {}
    assert not AuditEvent.objects.exists()


def test_a_change_of_nothing_or_of_no_field_is_refused():
    with pytest.raises(sourcing.NothingToChange, match="Name what to set of aws") as refused:
        sourcing.change(source=a_source(), fields={}, **WHO)
    assert doors.as_command(refused.value.then) == "manage.py sources set aws --help"
    with pytest.raises(sourcing.UnknownField, match="no name to set"):
        sourcing.change(source=a_source(), fields={"name": "other"}, **WHO)


def test_a_value_that_a_field_refuses_is_refused():
    with pytest.raises(ValidationError):
        sourcing.change(source=a_source(), fields={"import_mode": "sometimes"}, **WHO)


def test_a_source_is_added_with_what_it_still_needs(capsys):
    said = run_json(
        "sources", "add", "tape", "--patterns=tape,ltfs", "--import-mode=append", "--measure=effective", capsys=capsys
    )

    assert said["patterns"] == ["tape", "ltfs"]
    assert said["missing"] == ["recovery fund/org", "recovery account code", "debit account code"]
    source = Source.objects.get(name="tape")
    assert (source.import_mode, source.cost_measure) == ("append", "effective")
    assert AuditEvent.objects.get(action="source.added").after["import_mode"] == "append"


@pytest.mark.parametrize(("name", "said"), [("aws", "exists already"), ("Bad Name", "lower-case")])
def test_a_source_needs_a_name_of_its_own(name, said):
    a_source("aws")

    with pytest.raises(CommandError, match=said):
        call_command("sources", "add", name)


def test_a_showback_source_needs_no_accounting(capsys):
    a_source("hpc", **BARE)

    said = run_json("sources", "set", "hpc", "--showback", capsys=capsys)

    assert (said["journaled"], said["missing"]) == (False, [])
    assert run_json("sources", "set", "hpc", "--journaled", capsys=capsys)["journaled"] is True


def test_a_default_pi_is_named_by_address_and_cleared_by_an_empty_one(capsys):
    a_pi("ada@u.edu")
    a_source("hpc")

    assert run_json("sources", "set", "hpc", "--default-pi= ADA@u.edu", capsys=capsys)["default_pi"] == "ada@u.edu"
    assert AuditEvent.objects.get(action="source.changed").after == {"default_pi": "ada@u.edu"}
    assert run_json("sources", "set", "hpc", "--default-pi=", capsys=capsys)["default_pi"] is None
    with pytest.raises(CommandError, match="no PI with the address nobody@u.edu"):
        call_command("sources", "set", "hpc", "--default-pi=nobody@u.edu")


def test_an_unknown_source_lists_what_exists():
    a_source("aws")

    with pytest.raises(CommandError, match="no source “azure”. These exist: aws"):
        call_command("sources", "set", "azure", "--showback")


@pytest.mark.parametrize("name", ["aws", "AWS", " Aws ", "amazon web services"])
def test_a_source_is_found_by_its_name_or_display_name_in_any_case(name):
    source = a_source("aws", display_name="Amazon Web Services")

    assert Source.objects.named(name) == source


def test_a_display_name_that_two_sources_have_names_neither():
    a_source("aws", display_name="Cloud")
    a_source("gcp", display_name="Cloud")

    with pytest.raises(UnknownSource, match="no source “Cloud”"):
        Source.objects.named("Cloud")


def test_an_unknown_source_names_those_like_it_and_how_one_is_added():
    a_source("azure")

    with pytest.raises(CommandError, match=r"Did you mean azure\? .*Next: `manage\.py sources add azuer`"):
        call_command("sources", "set", "Azuer", "--showback")


def test_a_new_source_recognizes_its_name_in_file_names(client, cast):
    call_command("sources", "add", "imaging-core")
    assert Source.objects.for_file_name("imaging_core_2025-01.csv").name == "imaging-core"
    client.force_login(cast.finance)
    client.post(
        reverse("admin:billing_source_add"),
        {"name": "sequencer", "kind": "internal", "import_mode": "merge", "grain": "line", "cost_measure": "billed"},
    )
    assert Source.objects.get(name="sequencer").patterns == ["sequencer"]


def test_a_name_that_fits_two_sources_alike_fits_neither():
    a_source("aws")
    a_source("gcp")

    assert Source.objects.for_file_name("aws_gcp_2025-01.csv") is None


def test_a_measure_changes_from_a_month_on(capsys):
    source = a_source("aws")

    said = run_json("sources", "set", "aws", "--measure=effective", "--from=2025-02", capsys=capsys)

    assert said["measure_changes"] == [{"from": "2025-02", "measure": "effective"}]
    assert source.measure_in(datetime.date(2025, 1, 1)) == "billed"
    assert source.measure_in(FEBRUARY) == "effective"
    event = AuditEvent.objects.get(action="source.measure_changed")
    assert (event.before, event.after) == ({"measure": "billed"}, {"measure": "effective", "from": "2025-02"})


@pytest.mark.parametrize("words", [["--measure=effective"], ["--from=2025-02"]])
def test_a_measure_and_its_month_go_together(words):
    a_source("aws")

    with pytest.raises(CommandError, match="--measure needs --from") as refused:
        call_command("sources", "set", "aws", *words)
    assert refused.value.returncode == 2


def test_what_a_source_is_set_to_is_said_in_words(capsys):
    a_source("aws")
    call_command("sources", "set", "aws", "--showback", "--debit-account", "7480")
    assert "charged back: yes → no" in capsys.readouterr().out


def test_a_measure_does_not_change_for_a_month_that_is_charged():
    a_charge("1.00", period="2025-02")
    charging.make_payer_lines(period=a_period("2025-02"), **WHO)

    for month in (datetime.date(2025, 1, 1), FEBRUARY):
        with pytest.raises(sourcing.MeasureInUse, match="February 2025 is charged already"):
            sourcing.change_measure(source=a_source(), measure="effective", from_month=month, **WHO)
    sourcing.change_measure(source=a_source(), measure="effective", from_month=datetime.date(2025, 3, 1), **WHO)


def test_a_measure_does_not_change_for_a_month_that_is_closed():
    a_period("2025-02", status="closed", closed_at=NOW)

    with pytest.raises(sourcing.MeasureInUse, match="February 2025 is closed"):
        sourcing.change_measure(source=a_source(), measure="effective", from_month=FEBRUARY, **WHO)


def test_a_measure_reaches_no_further_than_the_next_change():
    a_period("2025-04", status="closed", closed_at=NOW)
    source = a_source()
    source.measure_changes.create(from_month=datetime.date(2025, 3, 1), measure="billed")

    sourcing.change_measure(source=source, measure="effective", from_month=FEBRUARY, **WHO)

    assert source.measure_in(datetime.date(2025, 4, 1)) == "billed"


def test_a_second_change_for_the_same_month_takes_the_place_of_the_first():
    source = a_source()

    for measure in ("effective", "billed"):
        sourcing.change_measure(source=source, measure=measure, from_month=FEBRUARY, **WHO)

    assert source.measure_changes.get().measure == "billed"


def test_the_admin_refuses_a_measure_for_a_charged_month(cast, client):
    a_charge("1.00")
    charging.make_payer_lines(period=a_period(), **WHO)
    source = a_source()
    client.force_login(cast.finance)
    form = {
        "display_name": "AWS",
        "kind": source.kind,
        "is_active": "on",
        "file_name_patterns": "aws",
        "import_mode": source.import_mode,
        "grain": source.grain,
        "is_journaled": "on",
        "debit_account": source.debit_account,
        "recovery_fund_org": source.recovery_fund_org,
        "recovery_account": source.recovery_account,
        "measure_changes-TOTAL_FORMS": "1",
        "measure_changes-INITIAL_FORMS": "0",
        "measure_changes-0-source": source.pk,
        "measure_changes-0-measure": "effective",
    }
    url = reverse("admin:billing_source_change", args=[source.pk])

    refused = client.post(url, form | {"measure_changes-0-from_month": "2025-01-01"})
    assert "January 2025 is charged already" in refused.content.decode()
    assert not source.measure_changes.exists()

    client.post(url, form | {"measure_changes-0-from_month": "2025-02-01"})
    assert source.measure_changes.get().from_month == FEBRUARY
    assert AuditEvent.objects.get(action="source.measure_changed").actor_name == "fay"


def test_the_list_shows_whose_accounting_is_complete(cast, client, capsys):
    a_source("aws")
    a_source("hpc", **BARE)
    a_source("lab", is_journaled=False)
    client.force_login(cast.viewer)

    page = client.get(reverse("admin:billing_source_changelist")).content.decode()
    assert "missing: recovery fund/org, recovery account code, debit account code" in page
    only = client.get(reverse("admin:billing_source_changelist"), {"accounting": "incomplete"}).content.decode()
    assert "HPC" in only
    assert "AWS" not in only
    call_command("sources", "list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "incomplete" in line] == ["hpc"]


def test_sync_status_says_when_each_source_was_heard_from_last(capsys):
    aws = a_source("aws")
    a_source("hpc")
    an_applied_import(aws, "2025-01", NOW - datetime.timedelta(days=9))
    newest = an_applied_import(aws, "2025-01", NOW - datetime.timedelta(days=2))
    an_applied_import(aws, "2024-12", NOW - datetime.timedelta(days=30))
    an_import(aws, state="failed", applied_at=None)

    states = [(each.source, each.period, each.days_ago) for each in sourcing.sync_status(now=NOW)]

    assert states == [("aws", "2025-01", 2), ("aws", "2024-12", 30), ("hpc", "", None)]
    said = run_json("sources", "sync-status", capsys=capsys)["sources"]
    assert said[0]["import"] == newest.pk
    assert said[2] == {"source": "hpc", "period": None, "import": None, "applied_at": None, "days_ago": None}


def test_a_source_with_charges_cannot_be_deleted(cast, client):
    source = a_charge("1.00").source
    client.force_login(cast.admin)

    assert client.post(reverse("admin:billing_source_delete", args=[source.pk]), {"post": "yes"}).status_code == 403
    assert Source.objects.filter(pk=source.pk).exists()
