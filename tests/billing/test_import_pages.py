"""The page of an import: what it comes to, what is held, what it changed, its files as received; and trying again."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing import importing, review
from billing.background import jobs
from billing.files.received import local_copy
from billing.importing import NotRepeatable, NotWithdrawable
from billing.models import AuditEvent, Charge, Import, ImportedFile, Job
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": timezone.now()}
UNTAGGED = {"Tags": ""}


@pytest.fixture(autouse=True)
def var_dir(tmp_path, settings):
    settings.VAR_DIR = tmp_path / "var"
    settings.MEDIA_ROOT = tmp_path / "media"


def url_of(imported, name="change", *args):
    return reverse(f"admin:billing_import_{name}", args=[imported.pk, *args])


def page_of(client, imported, tab=""):
    return client.get(f"{url_of(imported)}?tab={tab}" if tab else url_of(imported)).content.decode()


def a_failed(tmp_path):
    with pytest.raises(importing.ImportRefused):
        delivered(tmp_path, [a_row("y"), a_row("x", ResourceId="b")])
    return Import.objects.latest("pk")


def test_the_page_leads_with_the_amount_and_what_is_held_with_the_next_step(client, cast, tmp_path):
    imported = delivered(tmp_path, [a_row("1234.50", **UNTAGGED), a_row("2", ResourceId="b")]).imported
    client.force_login(cast.reviewer)
    page = page_of(client, imported)
    held = Charge.objects.held().count()
    assert held
    assert '<p class="big"><span class="amount" title="">1,236.50 USD</span></p>' in page
    url = f"{reverse('admin:billing_heldcharge_changelist')}?imported_in__id__exact={imported.pk}"
    assert f'Next: <a href="{url}">{held} held: review' in page
    # Once they are decided there is nothing to do.
    for charge in Charge.objects.held():
        review.reject(
            provider_credits=True, charges=Charge.objects.filter(pk=charge.pk), reason="other", note="No.", **BY
        )
    page = page_of(client, imported)
    assert "Nothing that it brought is held." in page
    assert "Next:" not in page


def test_what_is_held_is_told_by_reason_with_money(client, cast):
    charge = build.a_charge("100.00", flags=("missing_pi", "pattern_match"))
    build.a_charge("7.00", flags=("pattern_match",), imported_in=charge.imported_in)
    build.a_charge("900.00", flags=("pattern_match",))
    imported = charge.imported_in
    Import.objects.filter(pk=imported.pk).update(flagged=2)
    client.force_login(cast.viewer)
    context = client.get(f"{url_of(imported)}?tab=held").context
    assert [(each["label"], each["number"], each["billed"]) for each in context["reasons"]] == [
        ("Matches a pattern", 2, [("USD", 107)]),
        ("No PI", 1, [("USD", 100)]),
    ]
    assert context["held"] == [("USD", 2, 107)]
    # A viewer reads it, and is not asked to review.
    page = page_of(client, imported, "held")
    assert "107.00 USD" in page
    assert "review them" not in page
    assert "Withdraw" not in page
    assert "another source" not in page


def test_the_difference_to_the_last_import_is_told_by_service_and_pi_the_largest_first(client, cast, tmp_path):
    rows = [a_row("10", ResourceId=each, ServiceName=service) for each, service in (("a", "VM"), ("b", "Disk"))]
    first = delivered(tmp_path, [*rows, a_row("5", ResourceId="c", ServiceName="Disk")]).imported
    changed = [rows[0] | {"BilledCost": "12"}, rows[1], a_row("9", ResourceId="d", ServiceName="Disk")]
    second = delivered(tmp_path, [*changed, a_row("5", ResourceId="c", ServiceName="Disk")], name="again.csv").imported
    client.force_login(cast.viewer)
    context = client.get(url_of(second)).context
    moved = [(each.name, each.currency, each.before, each.now, each.delta) for each in context["by_service"]]
    assert moved == [("Disk", "USD", 0, 9, 9), ("VM", "USD", 10, 12, 2)]
    assert sum(each.delta for each in context["by_pi"]) == 11
    assert context["before"] == first
    brought = client.get(context["brought_url"]).context["cl"].result_list
    assert {each.imported_in_id for each in brought} == {second.pk}
    displaced = client.get(context["displaced_url"] or context["brought_url"])
    assert displaced.status_code == 200
    # Of the first everything is new, and nothing of that is a difference.
    assert "by_service" not in client.get(url_of(first)).context


def test_errors_lead_the_page_of_what_failed_and_are_counted_by_column(client, cast, tmp_path):
    imported = a_failed(tmp_path)
    client.force_login(cast.reviewer)
    context = client.get(url_of(imported)).context
    assert context["tab"] == "errors"
    page = page_of(client, imported)
    assert "8 problems: 2 in BilledCost, 2 in EffectiveCost," in page
    assert f'Next: <a href="{url_of(imported, "again")}">Try again…</a>' in page
    client.force_login(cast.viewer)
    assert "Try again" not in page_of(client, imported)


def test_a_file_is_handed_over_as_it_was_received_and_the_audit_log_says_so(client, cast, tmp_path):
    imported = delivered(tmp_path, [a_row()]).imported
    used = imported.imported_files.get()
    client.force_login(cast.viewer)
    assert url_of(imported, "file", 1) in page_of(client, imported, "file")
    answer = client.get(url_of(imported, "file", 1))
    assert b"".join(answer.streaming_content) == (tmp_path / used.name).read_bytes()
    assert f'attachment; filename="{used.name}"' in answer["Content-Disposition"]
    event = AuditEvent.objects.get(action="import.downloaded")
    assert (event.actor, event.after) == (cast.viewer, {"file": used.name, "sha256": used.file.sha256})
    assert client.get(url_of(imported, "file", 2)).status_code == 404
    assert "Downloaded" in page_of(client, imported, "history")


def test_without_the_permission_there_is_no_file(client, cast, tmp_path):
    imported = delivered(tmp_path, [a_row()]).imported
    cast.viewer.groups.get().permissions.remove(*_permissions("view_storedfile"))
    client.force_login(cast.viewer)
    assert client.get(url_of(imported, "file", 1)).status_code == 403
    assert url_of(imported, "file", 1) not in page_of(client, imported, "file")
    assert not AuditEvent.objects.filter(action="import.downloaded").exists()


def _permissions(name):
    from django.contrib.auth.models import Permission

    return Permission.objects.filter(codename=name)


def test_a_file_that_is_gone_is_said(client, cast, tmp_path):
    imported = delivered(tmp_path, [a_row()]).imported
    used = imported.imported_files.get()
    used.file.path = "received/00/gone"
    used.file.save()
    client.force_login(cast.viewer)
    page = client.get(url_of(imported, "file", 1), follow=True).content.decode()
    assert "is no longer there" in page


@pytest.mark.parametrize("tab", ["", "held", "file", "history"])
def test_the_page_asks_as_much_of_many_charges_as_of_few(client, cast, tmp_path, tab):
    def queries(imported):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(f"{url_of(imported)}?tab={tab}").status_code == 200
        return len(asked)

    client.force_login(cast.reviewer)
    counts = []
    for number in (2, 4):
        delivered(
            tmp_path, [a_row("1", ResourceId=f"{each}", ServiceName=f"S{each}", **UNTAGGED) for each in range(number)]
        )
        rows = [a_row("2", ResourceId=f"{each}", ServiceName=f"S{each}", **UNTAGGED) for each in range(number)]
        counts.append(queries(delivered(tmp_path, rows, name=f"{number}.csv").imported))
    assert counts[0] == counts[1]
    assert counts[0] <= 25


def again(imported, source="hpc", period="2025-01"):
    return importing.import_again(imported=imported, source=build.a_source(source), period=period, **BY)


def test_a_failed_import_is_tried_again_from_its_kept_file_as_of_another_source(client, cast, tmp_path):
    imported = a_failed(tmp_path)
    used = imported.imported_files.get()
    hpc = build.a_source("hpc")
    client.force_login(cast.reviewer)
    url = url_of(imported, "again")
    assert "Nothing of import" in client.get(url).content.decode()
    answer = client.post(url, {"source": hpc.pk, "period": "2025-02"})
    job = Job.objects.get()
    assert answer.url == reverse("admin:billing_job_change", args=[job.pk])
    (wanted,) = job.arguments["imports"]
    assert (wanted["files"], wanted["source"], wanted["period"]) == ([used.file_id], "hpc", "2025-02")
    jobs.run(job.pk)
    assert Import.objects.latest("pk").source == hpc
    event = AuditEvent.objects.get(action="import.repeated")
    assert event.after == {"source": "hpc", "period": "2025-02", "job": job.pk}


def test_a_period_that_is_none_is_refused_when_trying_again(client, cast, tmp_path):
    imported = a_failed(tmp_path)
    client.force_login(cast.reviewer)
    answer = client.post(url_of(imported, "again"), {"source": imported.source_id, "period": "January"})
    assert "is not a billing period" in answer.content.decode()
    assert not Job.objects.exists()


def test_an_import_of_the_wrong_source_is_withdrawn_and_imported_as_the_right_one(client, cast, tmp_path):
    imported = delivered(tmp_path, [a_row("12.50")]).imported
    hpc = build.a_source("hpc")
    client.force_login(cast.reviewer)
    page = client.get(url_of(imported, "move")).content.decode()
    assert f"If they fit, import {imported.pk} is withdrawn: its 1 row (12.50 USD) leave their months" in page
    client.post(url_of(imported, "move"), {"source": hpc.pk, "period": "2025-01"})
    assert state_of(imported) == Import.State.APPLIED
    jobs.run(Job.objects.get().pk)
    assert state_of(imported) == Import.State.WITHDRAWN
    assert [(each.source, each.billed_cost) for each in Charge.objects.live()] == [(hpc, 12.50)]
    # Who runs a job that broke off once more withdraws nothing else.
    Job.objects.update(state=Job.State.QUEUED, finished_at=None)
    jobs.run(Job.objects.get().pk)
    assert [(each.source, each.billed_cost) for each in Charge.objects.live()] == [(hpc, 12.50)]


def state_of(imported):
    return Import.objects.get(pk=imported.pk).state


def test_what_is_refused_as_another_source_stays_where_it_is(tmp_path):
    imported = delivered(tmp_path, [a_row("12.50")]).imported
    job = again(imported)
    local_copy(imported.imported_files.get().file).write_text("nothing of a bill\n")
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert Import.objects.latest("pk") == imported
    assert state_of(imported) == Import.State.APPLIED
    assert Charge.objects.live().get().billed_cost == 12.50


def test_what_came_after_an_import_before_the_worker_moved_it_keeps_it_where_it_is(tmp_path):
    imported = delivered(tmp_path, [a_row("12.50")]).imported
    job = again(imported)
    delivered(tmp_path, [a_row("13.00")], name="later.csv")
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "Withdraw the latest first" in str(job.result) + job.message
    assert Charge.objects.live().get().billed_cost == 13


def test_a_file_whose_accounts_the_first_source_alone_knows_may_move(tmp_path):
    """That its rows are like those of the source it was taken to by mistake is no reason to refuse it."""
    imported = delivered(tmp_path, [a_row("12.50", BillingAccountId="111")]).imported
    delivered(
        tmp_path,
        [a_row("3", BillingAccountId="222", BillingPeriodStart="2024-12-01")],
        name="hpc.csv",
        source=build.a_source("hpc"),
    )
    jobs.run(again(imported).pk)
    assert state_of(imported) == Import.State.WITHDRAWN
    assert Charge.objects.live().filter(source__name="hpc").count() == 2


def test_what_came_after_an_import_keeps_it_where_it_is(tmp_path):
    imported = delivered(tmp_path, [a_row("12.50")]).imported
    delivered(tmp_path, [a_row("13.00")], name="later.csv")
    with pytest.raises(NotWithdrawable):
        again(imported)
    # All or nothing: no job was asked for, and nothing was withdrawn.
    assert not Job.objects.exists()
    assert Charge.objects.live().get().billed_cost == 13


def test_the_same_source_and_period_is_no_other(tmp_path):
    imported = delivered(tmp_path, [a_row("12.50")]).imported
    with pytest.raises(NotRepeatable, match="Choose another source or period"):
        importing.import_again(imported=imported, source=imported.source, period=imported.expected_period, **BY)
    assert Charge.objects.live().exists()


def test_what_waits_is_decided_first_and_what_has_no_file_is_uploaded(tmp_path):
    waiting = build.an_import(state=Import.State.DEFERRED, applied_at=None)
    with pytest.raises(NotRepeatable, match="Choose the files again"):
        again(waiting)
    imported = delivered(tmp_path, [a_row()]).imported
    ImportedFile.objects.update(imported_in=waiting)
    Import.objects.filter(pk=waiting.pk).update(state=Import.State.DEFERRED)
    with pytest.raises(NotRepeatable, match="is waiting. Decide about it"):
        again(waiting)
    assert imported.pk


def test_who_asks_twice_gets_one_job(tmp_path):
    imported = a_failed(tmp_path)
    assert again(imported) == again(imported)
    assert Job.objects.count() == 1


LIST = reverse("admin:billing_import_changelist")


def test_the_list_says_what_it_comes_to_and_how_many_are_of_each_state(client, cast, tmp_path):
    delivered(tmp_path, [a_row("1000.50"), a_row("2", ResourceId="b")])
    delivered(tmp_path, [a_row("7")], name="hpc.csv", source=build.a_source("hpc"))
    a_failed(tmp_path)
    client.force_login(cast.viewer)
    page = client.get(LIST)
    assert "3 imports, 3 rows. Files that are applied come to" in page.content.decode()
    assert "1,009.50 USD" in page.content.decode()
    assert [(each.label, each.count, each.sums) for each in page.context["cl"].state_chips] == [
        ("All", 3, {}),
        ("Applied", 2, {"USD": Decimal("1009.50")}),
        ("Failed", 1, {}),
    ]
    # The address says how it is narrowed, and the states count within that.
    failed = page.context["cl"].state_chips[2].url
    cl = client.get(LIST + failed).context["cl"]
    assert [each.state for each in cl.result_list] == ["failed"]
    assert [each.count for each in cl.state_chips] == [3, 2, 1]
    assert "come to" not in client.get(LIST + failed).content.decode()
    hpc = Import.objects.get(source__name="hpc").source_id
    cl = client.get(f"{LIST}?source__id__exact={hpc}").context["cl"]
    assert [(each.label, each.count) for each in cl.state_chips] == [("All", 1), ("Applied", 1)]
    assert "Import files" not in page.content.decode().partition("object-tools")[2].partition("</ul>")[0]


def test_the_list_shows_what_runs_until_it_is_over(client, cast):
    job = jobs.enqueue(kind=Job.Kind.IMPORT, arguments={}, **BY)
    client.force_login(cast.viewer)
    page = client.get(LIST).content.decode()
    assert reverse("admin:billing_job_change", args=[job.pk]) in page
    assert "data-busy" in page
    Job.objects.update(state=Job.State.DONE, finished_at=build.NOW)
    assert "data-busy" not in client.get(LIST).content.decode()


def test_the_list_asks_as_much_of_many_imports_as_of_few(client, cast, tmp_path):
    def queries():
        with CaptureQueriesContext(connection) as asked:
            assert client.get(LIST).status_code == 200
        return len(asked)

    client.force_login(cast.reviewer)
    client.get(LIST)
    counts = []
    for number in range(4):
        delivered(tmp_path, [a_row(f"{number + 1}")], name=f"{number}.csv")
        counts.append(queries())
    assert counts[1] == counts[3]
    assert counts[3] <= 25
