"""The screens of usage: feeds are set up, files checked, read and withdrawn, and months priced; no file is kept."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.urls import reverse

from billing.admin.usage import told
from billing.background import jobs
from billing.models import (
    AuditEvent,
    Charge,
    Import,
    Job,
    PricedMonth,
    RateSchedule,
    Source,
    UsageFeed,
    UsageFile,
    UsageSubsidy,
)
from billing.usage import readers
from tests.build import NOW, a_pi, a_policy, a_project, a_source

from .plain import PLAIN
from .test_bringing import DAY, FEBRUARY, JANUARY, a_schedule, job

pytestmark = pytest.mark.django_db

READ = "admin:billing_usagefile_read"
SECRET = "Write my thesis for me"


@pytest.fixture(autouse=True)
def _here(tmp_path, settings, monkeypatch):
    settings.VAR_DIR, settings.MEDIA_ROOT = tmp_path / "var", tmp_path / "media"
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "sent")
    (tmp_path / "sent").mkdir()
    monkeypatch.setitem(readers.KINDS, "plain", PLAIN)


@pytest.fixture
def feed(cast):
    a_policy()
    a_project(pi=a_pi(), default_fund_org="BIO-001")
    a_schedule([{"up_to": "1000", "price": "0.10"}, {"price": "0.05"}])
    source = a_source("hpc", kind="internal", import_mode="snapshot")
    return UsageFeed.objects.create(name="tiger", source=source, kind="plain", schedule="hpc")


@pytest.fixture
def rex(client, cast, feed):
    client.force_login(cast.reviewer)
    return client


def lines(*rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


JOBS = lines(job(1, JANUARY, 10, 20), job(2, JANUARY + DAY, 1, 50))


def sent(feed, *contents, check=False):
    files = [SimpleUploadedFile(f"jobs-{number}.txt", content) for number, content in enumerate(contents)]
    return {"feed": feed.pk, "files": files, "_check" if check else "_read": "1"}


def read(client, feed, *contents):
    """Read files on the page, and have the worker price them; return the job."""
    answer = client.post(reverse(READ), sent(feed, *contents))
    assert answer.status_code == 302, answer.context["form"].errors
    return worked()


def worked():
    found = Job.objects.latest("pk")
    jobs.run(found.pk)
    found.refresh_from_db()
    return found


def page_of(client, name, subject, *args):
    return client.get(reverse(f"admin:billing_{name}", args=[subject.pk, *args])).content.decode()


def everything_below(*folders):
    return [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]


# Files


def test_a_file_is_read_on_the_page_and_priced_by_the_worker(rex, feed, cast):
    answer = rex.post(reverse(READ), sent(feed, JOBS))
    found = Job.objects.get()
    # The job knows ids alone.
    file = UsageFile.objects.get()
    assert found.arguments == {"feed": feed.pk, "files": [file.pk]}
    assert answer.url == reverse("admin:billing_job_change", args=[found.pk])
    assert (file.records, file.read_by, file.read_by_name) == (2, cast.reviewer, "rex")
    assert not Charge.objects.exists()
    worked()
    assert Charge.objects.count() == 2
    page = page_of(rex, "job_change", found)
    imported = Import.objects.get()
    assert "tiger, January 2025: 2 charges by hpc v1." in page
    assert "cpu: 250 core-hours = " in page
    assert reverse("admin:billing_import_change", args=[imported.pk]) in page
    assert "jobs-0.txt" in page


def test_charges_that_are_held_are_the_next_step(rex, feed):
    read(rex, feed, lines(job(1, JANUARY, 10, 20, account="nobody-knows")))
    imported = Import.objects.get()
    held = Charge.objects.held().filter(imported_in=imported).count()
    assert held
    page = page_of(rex, "job_change", Job.objects.get())
    url = f"{reverse('admin:billing_heldcharge_changelist')}?imported_in__id__exact={imported.pk}"
    assert f'href="{url}">{held} held: review it' in page


def test_a_check_says_what_would_come_of_files_and_keeps_nothing(rex, feed):
    page = rex.post(reverse(READ), sent(feed, JOBS + lines(job(3, JANUARY, 1, 0)), check=True)).content.decode()
    assert "No cores: 1" in page
    assert "Adds 2 charges: +" in page
    assert "Nothing was kept or priced." in page
    assert not UsageFile.objects.exists()
    assert not Job.objects.exists()
    assert not Import.objects.filter(state=Import.State.APPLIED).exists()


def test_a_check_of_very_much_usage_prices_nothing(rex, feed, monkeypatch):
    monkeypatch.setattr("billing.admin.usage.reading.MOST_PRICED", 1)
    page = rex.post(reverse(READ), sent(feed, JOBS, check=True)).content.decode()
    assert "The worker would price January 2025." in page
    assert "Adds 2 charges" not in page


def test_a_check_says_which_month_cannot_be_priced_and_where_that_is_mended(client, feed, cast):
    UsageFeed.objects.update(schedule="")
    client.force_login(cast.finance)
    page = client.post(reverse(READ), sent(feed, JOBS, check=True)).content.decode()
    assert "January 2025: The usage feed tiger names no rate schedule." in page
    assert f"{reverse('admin:billing_usagefeed_changelist')}?q=tiger" in page


def test_a_file_that_cannot_be_read_is_refused_with_its_line_and_so_are_the_others(rex, feed):
    answer = rex.post(reverse(READ), sent(feed, JOBS, b"1,2\n"))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "jobs-1.txt, line 1: Seven fields are needed." in page
    assert not UsageFile.objects.exists()
    assert not Job.objects.exists()


def test_a_file_that_was_read_before_changes_nothing(rex, feed):
    read(rex, feed, JOBS)
    answer = rex.post(reverse(READ), sent(feed, JOBS), follow=True)
    assert "was read before, as usage file" in answer.content.decode()
    assert (UsageFile.objects.count(), Job.objects.count()) == (1, 1)


def test_a_month_that_cannot_be_priced_fails_its_job_and_is_priced_when_it_is_retried(rex, feed):
    UsageFeed.objects.update(schedule="")
    failed = read(rex, feed, JOBS)
    assert failed.state == Job.State.FAILED
    assert "names no rate schedule" in failed.message
    assert UsageFile.objects.count() == 1
    UsageFeed.objects.update(schedule="hpc")
    rex.post(reverse("admin:billing_job_retry", args=[failed.pk]))
    assert worked().state == Job.State.DONE
    assert Charge.objects.count() == 2


@pytest.mark.parametrize("in_memory", [True, False], ids=["small", "large"])
@pytest.mark.parametrize("content", [lines(job(1, JANUARY, 10, 20)) + b"# ", b""], ids=["refused", "read"])
@pytest.mark.parametrize("check", [True, False], ids=["check", "read"])
def test_no_file_of_usage_is_kept_as_it_came(rex, feed, settings, tmp_path, monkeypatch, in_memory, content, check):
    """Nothing of a prompt is left below any folder, nor in the database, whatever became of the file."""
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 2**20 if in_memory else 0
    sought = SECRET.encode()
    row = lines((f"{1}", JANUARY, JANUARY + 60, "genomics", "ada", "batch", 0)) + content
    whole = row + (sought if content else b"")
    spooled = []
    monkeypatch.setattr(
        TemporaryUploadedFile, "temporary_file_path", lambda self: spooled.append(self.file.name) or self.file.name
    )
    rex.post(reverse(READ), sent(feed, whole, check=check))
    assert bool(spooled) != in_memory
    left = everything_below(tmp_path)
    assert not [path for path in left if sought in path.read_bytes() or whole in path.read_bytes()]
    assert not everything_below(tmp_path / "sent", tmp_path / "media" / "incoming")
    assert not Job.objects.filter(arguments__icontains="thesis").exists()


def test_an_upload_that_a_form_refuses_is_deleted_too(rex, feed, settings, tmp_path):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    answer = rex.post(reverse(READ), {**sent(feed, SECRET.encode()), "feed": "77"})
    assert answer.status_code == 200
    assert answer.context["form"].errors["feed"]
    assert not everything_below(tmp_path / "sent", tmp_path / "media")


def test_who_may_not_take_usage_neither_sees_the_page_nor_the_button(client, feed, cast):
    client.force_login(cast.viewer)
    assert client.get(reverse(READ)).status_code == 403
    assert client.post(reverse(READ), sent(feed, JOBS)).status_code == 403
    for name in ("import", "usagefile"):
        assert reverse(READ) not in client.get(reverse(f"admin:billing_{name}_changelist")).content.decode()


def test_the_page_of_a_file_says_what_became_of_its_lines(rex, feed):
    read(rex, feed, JOBS + lines(job(3, JANUARY, 1, 0)))
    file = UsageFile.objects.get()
    page = page_of(rex, "usagefile_change", file)
    for said in (
        "2 records",
        "No cores",
        "250 core-hours (cpu_seconds)",
        file.original_sha256,
        "January 2025",
        "by <bdi>rex",
    ):
        assert said in page, said
    listed = rex.get(reverse("admin:billing_usagefile_changelist"), {"q": file.original_sha256[:20]}).content.decode()
    assert "jobs-0.txt" in listed


def test_a_withdrawn_file_says_first_which_months_are_priced_again(rex, feed):
    read(rex, feed, lines(job(1, JANUARY, 10, 20)))
    read(rex, feed, lines(job(2, JANUARY, 1, 50), job(3, FEBRUARY, 1, 50)))
    file = UsageFile.objects.latest("pk")
    url = reverse("admin:billing_usagefile_withdraw", args=[file.pk])
    assert "January 2025 and February 2025" in rex.get(url).content.decode()
    assert rex.post(url, {"reason": ""}).status_code == 200
    rex.post(url, {"reason": "The clock was wrong"})
    assert worked().state == Job.State.DONE
    assert Charge.objects.live().count() == 1
    page = page_of(rex, "usagefile_change", file)
    assert "The clock was wrong" in page
    # It counts no longer, so it cannot be withdrawn again.
    assert rex.get(url).status_code == 302


# Months


def test_a_priced_month_adds_up_and_leads_to_its_import_and_files(rex, feed):
    read(rex, feed, JOBS)
    priced = PricedMonth.objects.get()
    page = page_of(rex, "pricedmonth_change", priced)
    for said in ("Delivered", "= charged", reverse("admin:billing_import_change", args=[priced.imported_id])):
        assert said in page, said
    assert reverse("admin:billing_usagefile_change", args=[UsageFile.objects.get().pk]) in page
    listed = rex.get(reverse("admin:billing_pricedmonth_changelist")).content.decode()
    assert "cpu: 250 core-hours = " in listed


def test_a_priced_month_begins_with_its_money_and_leaves_out_rates_without_use(rex, feed):
    """250 core-hours at 0.10, of which 100 are free, and half of the rest is taken off, up to 5.00."""
    given = {"valid_from": "2025-01-01", "reason": "For newcomers"}
    UsageSubsidy.objects.create(code="half", name="Half off", percent=50, cap=5, fund_org="CTR-9", **given)
    schedule = RateSchedule.objects.get()
    gpu = schedule.content["rates"][0] | {"code": "gpu", "when": {"queue": ["gpu"]}}
    cpu = schedule.content["rates"][0] | {"when": {"queue": ["batch"]}}
    RateSchedule.objects.create(
        name="hpc", version=2, state="released", valid_from="2025-01-01", content={"rates": [cpu, gpu]}, created_at=NOW
    )
    read(rex, feed, JOBS)
    page = rex.get(reverse("admin:billing_pricedmonth_change", args=[PricedMonth.objects.get().pk]))
    (sight,) = page.context["sights"]
    assert [(part.sign, part.label, str(part.shown)) for part in sight.parts] == [
        ("", "List price", "25.00"),
        ("−", "Free", "10.00"),
        ("−", "Subsidies", "5.00"),
        ("=", "Billed", "10.00"),
    ]
    assert sight.difference == 0
    text = page.content.decode()
    assert "100 within the free amount" in text
    assert "Rates without use: gpu." in text
    assert "Free amount of cpu: 10.00 USD." in text
    assert "</a>: 5.00 USD, paid by CTR-9." in text
    # Who had it, and what is left of the cap.
    assert page.context["granted"] == [{"subsidy": "half", "owner": "ada@u.edu", "amount": "5.00", "left": "0.00"}]


def test_cents_of_a_priced_month_add_up_in_sight(rex, feed):
    """A third of 24.00 less than the list price: what is between list price and billed takes up the parts of a cent."""
    UsageSubsidy.objects.create(code="third", name="A third", percent="33.3", valid_from="2025-01-01", reason="Trial")
    read(rex, feed, lines(job(1, JANUARY, 1, 333), job(2, JANUARY, 7, 1)))
    context = rex.get(reverse("admin:billing_pricedmonth_change", args=[PricedMonth.objects.get().pk])).context
    (sight,) = context["sights"]
    listed, *less, billed = (part.shown for part in sight.parts)
    assert listed - sum(less) == billed
    assert sight.difference == 0
    # The sentences below say the same cents.
    said = re.findall(r"([\d.]+) USD", " ".join(context["drawn"]))
    assert [str(part) for part in less] == said


def test_readings_of_what_is_there_are_not_told_as_if_they_were_there_together(rex, feed, monkeypatch):
    read(rex, feed, JOBS)
    file = UsageFile.objects.get()
    assert told.totals_lines(file)[0] == "250 core-hours (cpu_seconds)"
    shape = told.taking.shape_of(feed)
    monkeypatch.setattr(told.taking, "shape_of", lambda feed: replace(shape, are_levels=True))
    assert told.totals_lines(file)[0] == "250 core-hours (cpu_seconds) in all readings added up"
    file.totals = {"cpu_seconds": 0}
    assert told.totals_lines(file) == []


def test_a_month_is_priced_again_by_the_rates_as_they_are_now(rex, feed):
    read(rex, feed, JOBS)
    first = PricedMonth.objects.get()
    a_schedule([{"price": "1"}], version=2)
    rex.post(reverse("admin:billing_pricedmonth_again", args=[first.pk]))
    assert worked().arguments == {"feed": feed.pk, "period": "2025-01"}
    latest = PricedMonth.objects.latest("pk")
    assert latest.schedule.version == 2
    page = page_of(rex, "pricedmonth_change", first)
    assert "Replaced" in page
    assert reverse("admin:billing_pricedmonth_change", args=[latest.pk]) in page
    url = reverse("admin:billing_pricedmonth_changelist")
    for pricing, count in (("latest", 1), ("replaced", 1), ("", 2)):
        assert rex.get(url, {"pricing": pricing} if pricing else {}).context["cl"].result_count == count


def test_a_month_that_was_never_priced_is_priced_from_the_page_of_its_feed(rex, feed):
    UsageFeed.objects.update(schedule="")
    read(rex, feed, JOBS)
    UsageFeed.objects.update(schedule="hpc")
    url = reverse("admin:billing_usagefeed_price", args=[feed.pk])
    assert "January 2025" in rex.get(url).content.decode()
    rex.post(url, {"month": "2025-01"})
    assert worked().state == Job.State.DONE
    assert Charge.objects.count() == 2


# Feeds


@pytest.fixture
def fay(client, cast, feed):
    client.force_login(cast.finance)
    return client


def form_of(feed=None, **values):
    given = {"name": "puma", "kind": "slurm", "settings": "", "time_zone": "UTC", "is_active": "on"}
    return given | values


def test_a_feed_is_added_and_changed_by_the_verbs_that_commands_call(fay, cast, feed):
    source = a_source("storage", kind="internal", import_mode="snapshot")
    assert fay.get(reverse("admin:billing_usagefeed_add")).context["adminform"].form["settings"].value() == "{}"
    answer = fay.post(reverse("admin:billing_usagefeed_add"), form_of(source=source.pk, schedule="hpc"))
    assert answer.status_code == 302, answer.context["errors"]
    puma = UsageFeed.objects.get(name="puma")
    fay.post(
        reverse("admin:billing_usagefeed_change", args=[puma.pk]),
        form_of(source=source.pk, schedule="hpc", display_name="Puma", settings='{"tags": {"queue": "account"}}'),
    )
    puma.refresh_from_db()
    assert (puma.display_name, puma.settings) == ("Puma", {"tags": {"queue": "account"}})
    told = AuditEvent.objects.filter(object_type="usagefeed", object_id=str(puma.pk)).order_by("pk")
    assert list(told.values_list("action", "actor_name")) == [
        ("usage_feed.added", "fay"),
        ("usage_feed.changed", "fay"),
    ]
    assert set(told[1].after) == {"display_name", "settings"}


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"settings": '{"a": 1,\n x}'}, "settings", "line 2, column 2"),
        ({"settings": "[]"}, "settings", "A JSON object in braces is expected"),
        ({"settings": '{"a": NaN}'}, "settings", "is not one that JSON knows"),
        ({"settings": '{"a": 1e999}'}, "settings", "is not one that JSON knows"),
        ({"settings": '{"a": "\\u0000"}'}, "settings", "cannot be stored"),
        ({"settings": '{"\\ud800": 1}'}, "settings", "cannot be stored"),
        ({"settings": "[" * 100_000}, "settings", "not JSON"),
        ({"settings": '{"no_such_setting": 1}'}, "settings", "no_such_setting"),
        ({"settings": '{"tags": {"x": "nowhere"}}'}, "settings", "says the column"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "is no time zone"),
        ({"schedule": "nothing"}, "schedule", "not one of the available choices"),
        ({"kind": "nothing"}, "kind", "not one of the available choices"),
        ({"name": "tiger"}, "name", "already exists"),
        ({"name": "Not A Name"}, "name", ""),
    ],
    ids=lambda each: str(each)[:30],
)
def test_a_feed_that_could_not_be_read_or_priced_is_refused_by_field(fay, feed, values, field, said):
    source = a_source("storage", kind="internal", import_mode="snapshot")
    answer = fay.post(reverse("admin:billing_usagefeed_add"), form_of(source=source.pk, **values))
    assert answer.status_code == 200
    assert said in " ".join(answer.context["adminform"].form.errors[field])
    assert UsageFeed.objects.count() == 1


def test_a_source_that_does_not_import_snapshots_is_refused(fay, feed):
    source = a_source(
        "storage",
        kind="internal",
        import_mode=next(mode for mode in Source.ImportMode if mode != Source.ImportMode.SNAPSHOT),
    )
    answer = fay.post(reverse("admin:billing_usagefeed_add"), form_of(source=source.pk))
    assert "set the source to snapshot" in " ".join(answer.context["adminform"].form.errors["source"])


def test_the_page_of_a_feed_shows_its_settings_months_and_files(fay, rex, feed, cast):
    read(rex, feed, JOBS)
    fay.force_login(cast.finance)
    UsageFeed.objects.update(settings={"tags": {"queue": "queue"}}, kind="plain")
    page = page_of(fay, "usagefeed_change", feed)
    for said in (
        "January 2025",
        "jobs-0.txt",
        json.dumps({"tags": {"queue": "queue"}}, indent=2).replace('"', "&quot;"),
    ):
        assert said in page, said
    listed = fay.get(reverse("admin:billing_usagefeed_changelist")).content.decode()
    assert "January 2025" in listed
    # What it was read from is not taken away from below its charges.
    assert fay.post(reverse("admin:billing_usagefeed_delete", args=[feed.pk]), {"post": "yes"}).status_code == 403


def test_a_viewer_reads_a_feed_and_changes_nothing(client, feed, cast):
    client.force_login(cast.viewer)
    assert "tiger" in page_of(client, "usagefeed_change", feed)
    url = reverse("admin:billing_usagefeed_change", args=[feed.pk])
    assert client.post(url, form_of(source=feed.source_id)).status_code == 403
