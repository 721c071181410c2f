"""Jobs that import several files: what each came to is told while the rest runs, and a check that finds problems."""

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.background import jobs
from billing.files import received
from billing.importing import planning
from billing.models import Job
from billing.progress import unwatched
from tests import build
from tests.test_pages import CONTENT

pytestmark = pytest.mark.django_db

# Of now: what waits for a week is given up.
BY = {"actor": build.SOMEBODY, "now": timezone.now()}


@pytest.fixture(autouse=True)
def var_dir(tmp_path, settings):
    settings.VAR_DIR = tmp_path / "var"


def a_job(*files, dry_run=False):
    """Make a job of files, each as (source, content)."""
    imports = []
    for source, content in files:
        build.a_source(source)
        stored = received.store_chunks([CONTENT.format(content).encode()], now=BY["now"])
        name = f"{source}_2025-01.csv"
        imports.append({"files": [stored.pk], "names": [name], "source": source, "period": "2025-01"})
    arguments = {name: [one for each in imports for one in each[name]] for name in ("files", "names")}
    arguments |= {"imports": imports, "dry_run": dry_run}
    return jobs.enqueue(kind=Job.Kind.IMPORT, arguments=arguments, **BY)


def test_what_is_imported_already_is_told_while_the_rest_runs(client, cast, monkeypatch):
    job = a_job(("aws", "1.50"), ("hpc", "2"))
    seen = []
    ingest = planning.ingest

    def watched(**given):
        seen.append((Job.objects.get(pk=job.pk).result or {}).get("imports", []))
        return ingest(**given)

    monkeypatch.setattr(planning, "ingest", watched)
    planning.run_job(job=job, arguments=job.arguments, progress=unwatched, **BY)
    assert [[each["files"] for each in imports] for imports in seen] == [[], [["aws_2025-01.csv"]]]
    # The page shows it, and that the rest runs.
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert "1 of 2 imports done" in page
    assert "Added 1 charge: +1.50 USD." in page
    assert "data-busy" in page


def test_a_job_that_breaks_off_keeps_what_it_told_of_the_parts_that_were_done(monkeypatch):
    job = a_job(("aws", "1.50"), ("hpc", "2"))
    ingest = planning.ingest

    def breaks(**given):
        if given["source"].name == "hpc":
            raise RuntimeError
        return ingest(**given)

    monkeypatch.setattr(planning, "ingest", breaks)
    with pytest.raises(RuntimeError):
        jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert [each["files"] for each in job.result["imports"]] == [["aws_2025-01.csv"]]


@pytest.mark.parametrize("others", [(), (("hpc", "2"),)])
def test_a_check_that_finds_a_problem_has_not_failed(client, cast, others):
    job = a_job(("aws", '"1.204,50"'), *others, dry_run=True)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert "Line 2, column BilledCost: “1.204,50” is formatted for people" in page
    assert "Check of files" in page
    assert "data-busy" not in page


def test_what_is_held_is_the_next_step_and_leads_to_those_of_this_import(client, cast):
    job = a_job(("aws", "1.50"))
    jobs.run(job.pk)
    job.refresh_from_db()
    client.force_login(cast.reviewer)
    url = f"{reverse('admin:billing_heldcharge_changelist')}?imported_in__id__exact={job.result['import']}"
    page = client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
    assert f'href="{url}">1 held: review it</a>' in page
    build.a_charge(flags=("missing_pi",))
    assert [each.imported_in_id for each in client.get(url).context["cl"].result_list] == [job.result["import"]]
    # Who may only look is not asked to review.
    client.force_login(cast.viewer)
    assert "review it" not in client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()
