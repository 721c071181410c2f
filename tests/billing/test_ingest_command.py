"""manage.py ingest and imports: the same engine, exit codes and JSON."""

import io
import json
import pathlib

import pytest
from django.core import management
from django.core.management.base import CommandError

from billing.audit import Actor
from billing.background import jobs
from billing.files import received
from billing.models import AuditEvent, Charge, Import, Job, MonthTotal, Source
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
        "files": ["aws_2025-01.csv"],
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
        "unread": [],
        "rules": {},
        "new_pis": [{"pi": "ada@u.edu", "charges": 1, "billed": {"USD": "1.50"}, "known": None}],
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
        "warnings": [],
        "errors": [],
    }


def test_the_command_tells_a_person_what_came_of_it_and_what_is_next(tmp_path):
    build.a_source("aws")
    said = run("ingest", a_file(tmp_path, [a_row("1.5", tags={})]))
    assert "1 row of aws for January 2025" in said
    assert "review list" in said
    again = run("ingest", tmp_path / "aws_2025-01.csv")
    assert "1 row held for review" in again
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
    for model in (Charge, AuditEvent, MonthTotal):
        emptied(model)

    path = a_file(tmp_path, rows)
    run("ingest", path, "-s", "aws")
    assert snapshot() == by_engine
    for model in (Charge, AuditEvent, MonthTotal):
        emptied(model)

    stored = received.store(path=a_file(tmp_path, rows), now=build.NOW)
    job = Job.objects.create(
        kind=Job.Kind.IMPORT,
        created_at=build.NOW,
        arguments={
            "files": [stored.pk],
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


def test_a_refused_job_says_why_with_every_error(tmp_path):
    build.a_source("aws")
    stored = received.store(path=a_file(tmp_path, [a_row("x")]), now=build.NOW)
    job = Job.objects.create(
        kind=Job.Kind.IMPORT,
        created_at=build.NOW,
        arguments={"files": [stored.pk], "names": ["aws_2025-01.csv"]},
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
        "asked_again": 0,
    }
    with pytest.raises(CommandError, match="no import 999"):
        run("imports", "show", 999)


def emptied(model):
    """Delete every row of a table, the audit log's too, past all safeguards."""
    with build.safeguards_down():
        model._base_manager.all().delete()


# Several files at once ---------------------------------------------------------------------------

SAMPLES = pathlib.Path(__file__).parents[2].parent / "shared" / "samples" / "openchargeback"


def refused(*arguments):
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        management.call_command(*map(str, arguments), stdout=out)
    return str(error.value), out.getvalue()


def test_each_of_several_files_goes_by_its_own_name(tmp_path):
    for name in ("aws", "azure", "hpc"):
        build.a_source(name)
    names = ("aws_2025-01.csv", "hpc_2025-02.csv", "azure_2025-03.csv")
    files = [a_file(tmp_path, [a_row("1", BillingPeriodStart="")], name) for name in names]
    data = json.loads(run("ingest", *files, "--json"))
    assert [(each["files"], each["source"], each["state"]) for each in data["imports"]] == [
        (["aws_2025-01.csv"], "aws", "applied"),
        (["hpc_2025-02.csv"], "hpc", "applied"),
        (["azure_2025-03.csv"], "azure", "applied"),
    ]
    assert list(Import.objects.order_by("id").values_list("expected_period", flat=True)) == [
        "2025-01",
        "2025-02",
        "2025-03",
    ]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not here")
def test_the_three_january_samples_are_imported_by_one_call():
    management.call_command("initialize", stdout=io.StringIO())
    files = [SAMPLES / f"{name}_2025-01.csv" for name in ("aws", "hpc", "azure")]
    said = run("ingest", *files)
    assert "BilledCost 20,227" not in said
    assert set(Charge.objects.values_list("source__name", flat=True)) == {"aws", "hpc", "azure"}
    assert Import.objects.filter(state="applied").count() == 3


def test_one_bad_file_stops_no_other_and_the_command_fails(tmp_path):
    build.a_source("aws")
    build.a_source("hpc")
    good = a_file(tmp_path, [a_row("1")], "aws_2025-01.csv")
    bad = a_file(tmp_path, [a_row("x")], "hpc_2025-01.csv")
    strange = a_file(tmp_path, [a_row("1")], "nobody_2025-01.csv")
    error, out = refused("ingest", good, bad, strange)
    assert error == "1 of 3 imports done. Refused: hpc_2025-01.csv, nobody_2025-01.csv."
    assert "“x” is not a number" in out
    assert "Next: manage.py ingest FILE… -s SOURCE" in out
    assert list(Charge.objects.values_list("source__name", flat=True)) == ["aws"]
    _, told = refused("ingest", good, bad, "--json")
    assert [each["state"] for each in json.loads(told)["imports"]] == ["applied", "failed"]
    assert json.loads(told)["imports"][1]["errors"][0]["line"] == 2


def test_files_of_the_same_source_and_month_are_parts_of_one_import(tmp_path):
    build.a_source("aws")
    names = ("aws_2025-01_1.csv", "aws_2025-01_2.csv", "aws_2025-02.csv")
    files = [
        a_file(tmp_path, [a_row("1", ResourceId=name, BillingPeriodStart=f"{name[4:11]}-01")], name) for name in names
    ]
    data = json.loads(run("ingest", *files, "--json"))
    assert [each["files"] for each in data["imports"]] == [list(names[:2]), [names[2]]]
    assert data["imports"][0]["rows"] == 2


def test_a_manifest_and_the_files_it_names_are_one_import(tmp_path):
    build.a_source("aws")
    part = a_file(tmp_path, [a_row("1")], "part-0.csv")
    other = a_file(tmp_path, [a_row("2", ResourceId="i-2")], "part-1.csv")
    manifest = tmp_path / "aws-Manifest.json"
    manifest.write_text(json.dumps({"dataFiles": ["x/part-0.csv", "x/part-1.csv"]}))
    data = json.loads(run("ingest", part, manifest, other, "--json"))
    assert [each["rows"] for each in data["imports"]] == [2]


def test_a_named_source_wins_over_the_files_name_with_a_warning(tmp_path):
    build.a_source("aws")
    build.a_source("azure")
    said = run("ingest", a_file(tmp_path, [a_row("1")], "azure_2025-01.csv"), "-s", "AWS", "-p", "2025-02")
    assert "Warning: The name azure_2025-01.csv fits the source azure. It is imported for aws, as chosen." in said
    assert "Warning: The names of the files say January 2025, and February 2025 is expected." in said
    assert Charge.objects.get().source.name == "aws"


@pytest.mark.parametrize(
    "columns",
    [
        {"BillingAccountId": "acct-9"},
        {"BillingAccountId": "", "ProviderName": "Microsoft"},
    ],
)
def test_content_of_another_account_or_provider_asks_for_force(tmp_path, columns):
    build.a_source("aws")
    run("ingest", a_file(tmp_path, [a_row("1", ProviderName="AWS")]))
    other = a_file(tmp_path, [a_row("2", ResourceId="i-2", **columns)])
    error, _ = refused("ingest", other)
    assert "This looks like another source's file" in error
    assert "manage.py ingest FILE… -s aws --force" in error
    assert "--replace" not in error
    # Not even when told to replace.
    assert "looks like another source's file" in refused("ingest", other, "--replace")[0]
    run("ingest", other, "--force", "--replace")
    assert Import.objects.filter(state="applied").count() == 2


def test_the_source_that_a_strange_file_is_like_is_named(tmp_path):
    for name, account in (("aws", "acct-1"), ("azure", "acct-2")):
        build.a_source(name)
        run("ingest", a_file(tmp_path, [a_row("1", BillingAccountId=account)], f"{name}_2025-01.csv"))
    wrong = a_file(tmp_path, [a_row("1", BillingAccountId="acct-2")], "aws_2025-01.csv")
    assert "Its rows are like those of azure." in refused("ingest", wrong)[0]


@pytest.mark.parametrize("told", [(), ("--dry-run",)])
def test_a_file_that_shares_nothing_with_what_is_there_is_never_told_to_replace(tmp_path, told):
    build.a_source("hpc")
    bare = {"BillingAccountId": "", "ServiceName": "HPC Cluster"}
    run("ingest", a_file(tmp_path, [a_row("1", **bare)], "hpc_2025-01.csv"))
    storage = a_file(tmp_path, [a_row("2", ResourceId="vol", **bare | {"ServiceName": "Disks"})], "storage.csv")
    error, _ = refused("ingest", storage, "-s", "hpc", *told)
    assert "This looks like another source's file: none of its rows is like what is there." in error
    assert "--replace" not in error


def test_a_file_of_the_same_services_that_lacks_most_may_replace(tmp_path):
    build.a_source("aws")
    run("ingest", a_file(tmp_path, [a_row("1"), a_row("2", ResourceId="i-2"), a_row("3", ResourceId="i-3")]))
    error, _ = refused("ingest", a_file(tmp_path, [a_row("1")]))
    assert "2 of 3 charges of account acct-1 are not in the file and would be removed" in error
    assert f"manage.py imports apply {Import.objects.get(state='deferred').pk} --keep" in error


def test_a_first_file_whose_name_and_rows_are_another_sources_asks_for_force(tmp_path):
    build.a_source("aws")
    build.a_source("azure")
    azure = a_file(tmp_path, [a_row("1")], "azure_2025-01.csv")
    run("ingest", azure)
    assert "its name and its rows are like those of azure" in refused("ingest", azure, "-s", "aws")[0]


def test_a_new_source_needs_its_name_and_nothing_more(tmp_path):
    run("sources", "add", "microscopy")
    run("ingest", a_file(tmp_path, [a_row("1")], "microscopy_2025-01.csv"))
    assert Source.objects.get(charges__isnull=False).name == "microscopy"


def test_an_unknown_source_says_how_it_is_added(tmp_path):
    error, _ = refused("ingest", a_file(tmp_path, [a_row("1")]), "-s", "Microscopy")
    assert error == "There is no source “Microscopy”. None exists yet. Next: `manage.py sources add microscopy`."
