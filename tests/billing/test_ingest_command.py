"""manage.py ingest and imports: the same engine, exit codes and JSON."""

import io
import json

import pytest
from django.core import management
from django.core.management.base import CommandError

from billing import jobs
from billing.audit import Actor
from billing.models import AuditEvent, Charge, Import, Job
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = io.StringIO()
    management.call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


def test_the_command_says_in_json_what_came_of_a_delivery(tmp_path):
    build.a_source("aws")
    path = a_file(tmp_path, [a_row("1.5"), a_row("2", tags={})])
    data = json.loads(run("ingest", path, "--json"))
    imported = Import.objects.get()
    assert data == {
        "import": imported.pk,
        "state": "applied",
        "source": "aws",
        "periods": ["2025-01"],
        "rows": 2,
        "new": 2,
        "changed": 0,
        "unchanged": 0,
        "withdrawn": 0,
        "unseen": 0,
        "flagged": 1,
        "flags": {"missing_fund_org": 1, "missing_pi": 1, "missing_project": 1},
        "totals": {
            "USD": {"BilledCost": "3.50", "EffectiveCost": "3.50", "ListCost": "3.50", "ContractedCost": "3.50"}
        },
        "rules": {},
        "stored": {
            "USD": {"BilledCost": "3.50", "EffectiveCost": "3.50", "ListCost": "3.50", "ContractedCost": "3.50"}
        },
        "difference": {
            "2025-01": {
                "USD": {
                    "measure": "BilledCost",
                    "delta": "3.50",
                    "billed_delta": "3.50",
                    "new": {"rows": 2, "amount": "3.50", "billed": "3.50"},
                    "changed": {
                        "rows": 0,
                        "old": "0.00",
                        "new": "0.00",
                        "delta": "0.00",
                        "billed_old": "0.00",
                        "billed_new": "0.00",
                        "billed_delta": "0.00",
                    },
                    "gone": {"rows": 0, "amount": "0.00", "billed": "0.00"},
                    "unchanged": {"rows": 0, "amount": "0.00", "billed": "0.00"},
                    "movers": [],
                }
            }
        },
        "deferred": None,
        "seen_before": [],
        "errors": [],
    }


def test_the_command_tells_a_person_what_came_of_it_and_what_is_next(tmp_path):
    build.a_source("aws")
    said = run("ingest", a_file(tmp_path, [a_row("1.5", tags={})]))
    assert "1 row of aws for 2025-01" in said
    assert "review list" in said
    again = run("ingest", tmp_path / "aws_2025-01.csv")
    assert "1 row with reasons for a look" in again
    assert "review list" not in again


def test_engine_and_command_and_job_make_the_same_charges_and_events(tmp_path):
    def snapshot():
        return (
            sorted(Charge.objects.live().values_list("source__name", "billed_cost", "state", "pi__email")),
            # Who was learned by the first import is known to the next.
            sorted(AuditEvent.objects.exclude(action__endswith=".learned").values_list("action", flat=True)),
        )

    rows = [a_row("1.5"), a_row("2", tags={})]
    source = build.a_source("aws")
    build.a_period("2025-01")
    delivered(tmp_path, rows)
    by_engine = snapshot()
    for model in (Charge, AuditEvent):
        emptied(model)

    path = a_file(tmp_path, rows)
    run("ingest", path, "-s", "aws")
    assert snapshot() == by_engine
    for model in (Charge, AuditEvent):
        emptied(model)

    incoming = tmp_path / "incoming" / "1"
    incoming.mkdir(parents=True)
    job = Job.objects.create(
        kind=Job.Kind.IMPORT,
        created_at=build.NOW,
        arguments={
            "paths": [str(a_file(incoming, rows, "001"))],
            "names": ["aws_2025-01.csv"],
            "source": source.name,
            "period": "",
            "dry_run": False,
            "replace": False,
        },
    )
    assert jobs.run(job.pk) == "done"
    assert jobs.run(job.pk) == "claimed already"
    job.refresh_from_db()
    assert (job.state, job.result["rows"], job.result["new"]) == ("done", 2, 2)
    assert snapshot() == by_engine
    assert not incoming.exists()


def test_a_refused_job_says_why_with_every_error(tmp_path):
    build.a_source("aws")
    job = Job.objects.create(
        kind=Job.Kind.IMPORT,
        created_at=build.NOW,
        arguments={"paths": [str(a_file(tmp_path, [a_row("x")]))], "names": ["aws_2025-01.csv"]},
    )
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["errors"][0]["line"]) == ("failed", 2)
    assert "“x” is not a number" in job.message


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("aws_missing.csv", None, "no such file"),
        ("aws_empty.csv", "", "empty"),
        ("aws_header.csv", "BillingPeriodStart,ChargePeriodStart,BilledCost\n", "no rows"),
        ("aws_other.csv", "a,b\n1,2\n", "not a FOCUS file: it lacks the columns"),
    ],
)
def test_bad_input_is_refused_with_exit_code_1_and_only_the_attempt_is_kept(tmp_path, name, content, says):
    build.a_source("aws")
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(CommandError, match=says) as refused:
        run("ingest", path)
    assert refused.value.returncode == 1
    assert (Import.objects.get().state, Charge.objects.count()) == ("failed", 0)


def test_an_empty_folder_is_refused(tmp_path):
    build.a_source("aws")
    with pytest.raises(CommandError, match="holds no data files"):
        run("ingest", tmp_path, "-s", "aws")


def test_an_unknown_source_lists_those_there_are(tmp_path):
    build.a_source("aws")
    with pytest.raises(CommandError, match="These exist: aws"):
        run("ingest", a_file(tmp_path, [a_row()]), "-s", "nonsense")


def test_a_nonsense_period_is_refused(tmp_path):
    build.a_source("aws")
    with pytest.raises(CommandError, match="not a billing period"):
        run("ingest", a_file(tmp_path, [a_row()]), "-p", "January")


def test_who_acts_is_named_or_the_system(tmp_path, cast):
    build.a_source("aws")
    run("ingest", a_file(tmp_path, [a_row()]), "--as", "rex")
    assert set(AuditEvent.objects.filter(action__startswith="import").values_list("actor_name", "via")) == {
        ("rex", "command")
    }
    assert Actor.from_command().name.startswith("system (")
    with pytest.raises(CommandError, match="no user “nobody”"):
        run("ingest", a_file(tmp_path, [a_row()]), "--as", "nobody")


def test_imports_are_listed_shown_and_taken_back(tmp_path):
    result = delivered(tmp_path, [a_row("5")])
    number = result.imported.pk
    assert "aws" in run("imports", "list")
    assert json.loads(run("imports", "show", number, "--json"))["totals"]["USD"]["BilledCost"] == "5.00"
    assert json.loads(run("imports", "withdraw", number, "--json")) == {
        "import": number,
        "withdrawn": 1,
        "revived": 0,
    }
    with pytest.raises(CommandError, match="no import 999"):
        run("imports", "show", 999)


def emptied(model):
    """Delete every row of a table, the audit trail's too, past all walls."""
    with build.walls_down():
        model._base_manager.all().delete()
