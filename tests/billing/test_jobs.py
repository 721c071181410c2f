"""Background jobs: asked for once, done once, never kept while the queue is away, left running by nobody."""

import datetime
import os
import signal
import threading
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from billing.background import heartbeat, jobs, working
from billing.files import received
from billing.importing import abandoned, ingestion
from billing.models import (
    AttributionRule,
    AtWork,
    AuditEvent,
    BillingPeriod,
    Charge,
    Import,
    Job,
    Source,
    StoredFile,
    Worker,
)
from billing.months import checklist, closing
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered
from tests.stories.stage import command

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}
# Of now: what waits for a week is given up.
TODAY = {"actor": build.SOMEBODY, "now": timezone.now()}
KIND = Job.Kind.SEND


@pytest.fixture(autouse=True)
def var_dir(tmp_path, settings):
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture
def worker(monkeypatch):
    """What would be handed to the worker; `worker()` has it done."""
    waiting = []
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: waiting.append(pk))
    return lambda: [jobs.run(waiting.pop(0)) for _ in list(waiting)]


@pytest.fixture
def cast():
    return build.the_cast()


def a_running_job(**fields):
    values = {"kind": KIND, "state": Job.State.RUNNING, "created_at": build.NOW, "started_at": timezone.now()}
    return Job.objects.create(**values | fields)


def test_of_one_subject_only_one_job_is_unfinished():
    first = jobs.enqueue(kind=KIND, subject="2025-01", arguments={}, **BY)
    assert jobs.enqueue(kind=KIND, subject="2025-01", arguments={}, **BY) == first
    assert jobs.enqueue(kind=KIND, subject="2025-02", arguments={}, **BY) != first
    Job.objects.filter(pk=first.pk).update(state=Job.State.FAILED, finished_at=build.NOW)
    assert jobs.enqueue(kind=KIND, subject="2025-01", arguments={}, **BY) != first


def test_the_database_refuses_a_second_unfinished_job_of_one_subject():
    Job.objects.create(kind=KIND, subject="x", created_at=build.NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(kind=KIND, subject="x", created_at=build.NOW)


def test_jobs_without_a_subject_stand_side_by_side():
    assert jobs.enqueue(kind=KIND, arguments={}, **BY) != jobs.enqueue(kind=KIND, arguments={}, **BY)


def test_a_job_whose_worker_is_gone_ends_as_failed_for_whoever_looks(client, cast):
    job = a_running_job()
    # What a killed process leaves: its mark, which nobody holds.
    working.begin(f"job-{job.pk}").release()
    client.force_login(cast.viewer)
    # The Month page tells the same, also where it is asked for what runs alone.
    assert "No background job is running." in client.get(f"{reverse('admin:index')}?part=running").content.decode()
    shown = client.get(reverse("admin:billing_job_change", args=[job.pk])).context
    assert (shown["original"].state, shown["told"]) == ("failed", jobs.LEFT)
    event = AuditEvent.objects.get(action="job.failed")
    assert (event.actor_name, event.object_id, event.note) == ("system", str(job.pk), jobs.LEFT)


def test_a_job_at_work_is_left_alone():
    job = a_running_job()
    mark = working.begin(f"job-{job.pk}")
    assert jobs.close_abandoned(now=timezone.now()) == 0
    # However long it takes.
    assert jobs.close_abandoned(now=timezone.now() + datetime.timedelta(hours=9)) == 0
    assert jobs.run(job.pk) == "claimed already"
    working.end(mark)


def test_a_job_without_any_sign_of_its_worker_is_over():
    job = a_running_job()
    assert jobs.close_abandoned(now=timezone.now()) == 1
    job.refresh_from_db()
    assert (job.state, job.message) == ("failed", jobs.LEFT)


def elsewhere(job, *, seen_ago):
    """Let a worker of another machine have said so long ago that it does a job."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_atwork (name, host, seen_at) VALUES (%s, 'another', clock_timestamp() - %s)",
            [f"job-{job.pk}", seen_ago],
        )


on_postgresql = pytest.mark.skipif(
    "postgres" not in settings.DATABASES["default"]["ENGINE"], reason="SQLite serves one machine, where locks tell"
)


@on_postgresql
def test_a_job_of_another_machine_is_over_when_its_worker_was_silent_for_less_than_two_minutes():
    alive, gone = a_running_job(), a_running_job()
    elsewhere(alive, seen_ago=datetime.timedelta(seconds=60))
    elsewhere(gone, seen_ago=datetime.timedelta(seconds=110))
    assert jobs.close_abandoned(now=timezone.now()) == 1
    assert set(Job.objects.values_list("pk", "state")) == {(alive.pk, "running"), (gone.pk, "failed")}
    # What is left of the dead one goes with it.
    left = AtWork.objects.filter(name__in=[f"job-{alive.pk}", f"job-{gone.pk}"])
    assert [each.name for each in left] == [f"job-{alive.pk}"]


@on_postgresql
@pytest.mark.parametrize("clock", [-datetime.timedelta(hours=3), datetime.timedelta(hours=3)], ids=["slow", "fast"])
def test_the_clock_of_whoever_looks_does_not_matter(clock):
    a_job = a_running_job()
    elsewhere(a_job, seen_ago=datetime.timedelta(seconds=5))
    assert jobs.close_abandoned(now=timezone.now() + clock) == 0


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_long_job_lives_as_long_as_its_heart_beats():
    job = a_running_job()
    mark = working.begin(f"job-{job.pk}")
    # Seen from another machine, which has no lock to ask.
    mark.path.rename(mark.path.with_suffix(".elsewhere"))
    for _ in range(3):
        # Nearly as long as would make it one of the dead, again and again: longer than two minutes altogether.
        AtWork.objects.update(seen_at=F("seen_at") - datetime.timedelta(seconds=80))
        assert jobs.close_abandoned(now=timezone.now()) == 0
        working.beat()
    AtWork.objects.update(seen_at=F("seen_at") - datetime.timedelta(seconds=100))
    assert jobs.close_abandoned(now=timezone.now()) == 1
    mark.release()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_living_process_of_this_machine_is_believed_by_its_lock():
    """Its database may be too busy to be told."""
    job = a_running_job()
    mark = working.begin(f"job-{job.pk}")
    AtWork.objects.update(seen_at=build.NOW)
    assert jobs.close_abandoned(now=timezone.now()) == 0
    working.end(mark)


@on_postgresql
def test_the_heart_beats_beside_a_transaction_and_stops_with_the_work():
    with transaction.atomic():
        mark = working.begin("job-1")
        assert AtWork.objects.filter(name="job-1").exists()
        transaction.set_rollback(True)
    assert AtWork.objects.filter(name="job-1").exists()
    assert "heart" in {thread.name for thread in threading.enumerate()}
    working.end(mark)
    assert not AtWork.objects.filter(name="job-1").exists()
    assert working._heart.beside is None


def test_a_job_that_is_delivered_again_after_its_worker_died_is_not_done_twice(monkeypatch):
    done = []
    monkeypatch.setitem(jobs.kinds._works, KIND, lambda **_: done.append(1) or {"message": "sent"})
    job = Job.objects.create(kind=KIND, created_at=timezone.now())
    assert jobs.run(job.pk) == "done"
    dead = a_running_job()
    working.begin(f"job-{dead.pk}").release()
    assert jobs.run(dead.pk) == "claimed already"
    dead.refresh_from_db()
    assert (dead.state, done) == ("failed", [1])
    assert not list((settings.VAR_DIR / "working").iterdir())


def test_a_job_that_no_worker_takes_ends_after_a_week():
    job = Job.objects.create(kind=KIND, created_at=build.NOW)
    assert jobs.close_abandoned(now=build.NOW + datetime.timedelta(days=6)) == 0
    assert jobs.close_abandoned(now=build.NOW + datetime.timedelta(days=8)) == 1
    assert jobs.close_abandoned(now=build.NOW + datetime.timedelta(days=8)) == 0
    assert AuditEvent.objects.filter(action="job.failed").get().note == jobs.NEVER_TAKEN
    assert jobs.run(job.pk) == "claimed already"


# The queue is away -----------------------------------------------------------------------------------


@pytest.fixture
def away(monkeypatch):
    """A queue that cannot be reached until `away.clear()`; what it takes afterwards is in `away.taken`."""

    class Queue:
        def __init__(self):
            self.is_away, self.taken = True, []

        def __call__(self, task, number):
            if self.is_away:
                raise ConnectionError("Connection refused")
            self.taken.append((task, number))

        def clear(self):
            self.is_away = False

    queue = Queue()
    monkeypatch.setattr(jobs.queue, "async_task", queue)
    return queue


def asked(django_capture_on_commit_callbacks, **more):
    with django_capture_on_commit_callbacks(execute=True):
        return jobs.enqueue(**{"kind": KIND, "arguments": {}, **BY} | more)


def test_what_the_queue_cannot_take_is_kept_and_handed_over_later(away, django_capture_on_commit_callbacks):
    job = asked(django_capture_on_commit_callbacks)
    job.refresh_from_db()
    assert (job.state, job.handed_at, jobs.told(job)) == ("queued", None, jobs.KEPT)
    assert jobs.hand_over_kept() is False
    away.clear()
    assert jobs.hand_over_kept() is True
    job.refresh_from_db()
    assert away.taken == [("billing.tasks.run_job", job.pk)]
    assert job.handed_at is not None
    # Once is enough.
    assert jobs.hand_over_kept() is True
    assert len(away.taken) == 1


def test_whoever_asks_next_hands_over_what_was_kept(away, django_capture_on_commit_callbacks):
    first = asked(django_capture_on_commit_callbacks, subject="a")
    away.clear()
    # Who asks for the same again gets the same, and has it handed over.
    assert asked(django_capture_on_commit_callbacks, subject="a") == first
    second = asked(django_capture_on_commit_callbacks, subject="b")
    assert [number for _, number in away.taken] == [first.pk, second.pk]


def test_a_job_handed_over_twice_is_done_once(monkeypatch):
    done = []
    monkeypatch.setitem(jobs.kinds._works, KIND, lambda **_: done.append(1) or {})
    job = jobs.enqueue(kind=KIND, arguments={}, **BY)
    assert [jobs.run(job.pk), jobs.run(job.pk)] == ["done", "claimed already"]
    assert done == [1]


def test_what_a_restarted_queue_has_lost_is_handed_over_again(away):
    away.clear()
    heartbeat.beat()
    minute = datetime.timedelta(minutes=1)
    job = Job.objects.create(kind=KIND, created_at=timezone.now(), handed_at=timezone.now() - minute)
    running = a_running_job()
    assert jobs.hand_over_kept()
    # It may well be waiting for the one that runs.
    assert away.taken == []
    Job.objects.filter(pk=running.pk).update(state=Job.State.DONE, finished_at=timezone.now())
    assert jobs.hand_over_kept()
    assert jobs.hand_over_kept()
    assert away.taken == [("billing.tasks.run_job", job.pk)]


def test_what_the_queue_has_is_not_lost_while_nobody_works(away, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    Worker.objects.all().delete()
    away.clear()
    hour = datetime.timedelta(hours=1)
    job = Job.objects.create(kind=KIND, created_at=timezone.now() - hour, handed_at=timezone.now() - hour)
    assert jobs.hand_over_kept()
    assert away.taken == []
    heartbeat.beat()
    assert jobs.hand_over_kept()
    assert away.taken == [("billing.tasks.run_job", job.pk)]


@pytest.mark.parametrize("error", [InterfaceError("the connection is closed"), RuntimeError()])
def test_a_heart_goes_on_whatever_keeps_it_from_a_beat(monkeypatch, error):
    heart = working._Heart()
    heart.names.add("job-1")
    say = Mock(side_effect=error)
    monkeypatch.setattr(heart, "_say", say)
    heart._beat(Mock(wait=Mock(side_effect=[False, False, True])))
    assert say.call_count == 2


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "nonsense://127.0.0.1", "not an address"])
def test_a_queue_under_a_wrong_address_keeps_nobody_from_asking(
    url, client, cast, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(Conf, "ORM", None)
    monkeypatch.setattr(Conf, "REDIS", url)
    build.a_charge()
    client.force_login(cast.reviewer)
    url = reverse("admin:statements_statement_generate")
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(url, {"period": "2025-01-01"})
    job = Job.objects.get()
    assert (answer.status_code, answer.url) == (302, reverse("admin:billing_job_change", args=[job.pk]))
    page = client.get(answer.url).content.decode()
    assert "the queue cannot be reached" in page
    assert "It starts by itself when the queue is back" in page
    assert "the queue cannot be reached" in client.get(reverse("admin:billing_job_changelist")).content.decode()
    Job.objects.update(created_at=timezone.now() - datetime.timedelta(minutes=1))
    # And every page that queues work says so, those of other things, too.
    heartbeat.beat()
    assert "The queue of background jobs cannot be reached." in client.get(reverse("admin:index")).content.decode()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_queue_whose_table_is_locked_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(jobs.queue, "PATIENCE", datetime.timedelta(milliseconds=200))
    elsewhere = connection.copy()
    try:
        elsewhere.set_autocommit(False)
        with elsewhere.cursor() as cursor:
            cursor.execute("LOCK TABLE django_q_ormq IN ACCESS EXCLUSIVE MODE")
        job = jobs.enqueue(kind=KIND, arguments={}, **TODAY)
        job.refresh_from_db()
        assert job.handed_at is None
        elsewhere.rollback()
    finally:
        elsewhere.close()
    assert jobs.hand_over_kept()
    job.refresh_from_db()
    assert job.handed_at is not None
    assert OrmQ.objects.count() == 1


def test_there_is_one_door_to_the_queue():
    root = Path(jobs.__file__).resolve().parents[3]
    doors = {
        str(path.relative_to(root))
        for app in ("billing", "statements", "journals", "openchargeback")
        for path in (root / app).rglob("*.py")
        if "async_task" in path.read_text(encoding="utf-8")
    }
    assert doors == {"billing/background/jobs/queue.py"}


def test_a_page_of_a_large_month_does_without_a_queue_that_is_away(away, monkeypatch):
    heartbeat.beat()
    monkeypatch.setattr(checklist, "LARGE", 0)
    build.a_charge()
    items = checklist.of(build.a_period(), waits=False).items
    assert not [item for item in items if item.state == checklist.State.CHECKING]


# Changing one's mind ---------------------------------------------------------------------------------


def act(door, verb, job, client):
    """Cancel or retry a job through one of the doors, as the reviewer; return what the person is told."""
    if door == "command":
        out = StringIO()
        try:
            call_command("jobs", verb, str(job.pk), "--as", "rex", stdout=out)
        except CommandError as error:
            return str(error)
        return out.getvalue()
    if door == "page":
        answer = client.post(reverse(f"admin:billing_job_{verb}", args=[job.pk]), follow=True)
    else:
        sent = {"action": f"{verb}_selected", "_selected_action": [job.pk]}
        answer = client.post(reverse("admin:billing_job_changelist"), sent, follow=True)
    return answer.content.decode()


DOORS = pytest.mark.parametrize("door", ["command", "page", "list"])


@DOORS
def test_a_waiting_job_is_canceled_and_never_done(door, client, cast, monkeypatch):
    monkeypatch.setitem(jobs.kinds._works, KIND, lambda **_: pytest.fail("it was canceled"))
    client.force_login(cast.reviewer)
    job = jobs.enqueue(kind=KIND, subject="x", arguments={}, **TODAY)
    assert "cancel" in act(door, "cancel", job, client)
    job.refresh_from_db()
    assert (job.state, job.message, job.is_over) == ("canceled", "Canceled by rex.", True)
    assert jobs.run(job.pk) == "claimed already"
    event = AuditEvent.objects.get(action="job.canceled")
    assert (event.actor_name, event.object_id) == ("rex", str(job.pk))
    # What it was about may be asked for again.
    assert jobs.enqueue(kind=KIND, subject="x", arguments={}, **BY) != job


@DOORS
def test_a_job_that_is_over_is_not_canceled(door, client, cast):
    client.force_login(cast.reviewer)
    job = Job.objects.create(kind=KIND, state="done", message="3 sent", created_at=build.NOW, finished_at=build.NOW)
    assert ("not possible" if door == "page" else "nothing to cancel") in act(door, "cancel", job, client)
    job.refresh_from_db()
    assert (job.state, job.message) == ("done", "3 sent")
    assert not AuditEvent.objects.filter(action__startswith="job.").exists()


@DOORS
@pytest.mark.parametrize("state", ["failed", "canceled"])
def test_what_failed_is_retried_once_in_the_name_of_who_asks(state, door, client, cast):
    client.force_login(cast.reviewer)
    job = Job.objects.create(
        kind=KIND,
        state=state,
        arguments={"period": 7},
        subject="x",
        created_at=build.NOW,
        finished_at=build.NOW,
        created_by=cast.finance,
    )
    act(door, "retry", job, client)
    again = Job.objects.get(retry_of=job)
    assert (again.state, again.arguments, again.subject, again.created_by) == (
        *("queued", {"period": 7}, "x"),
        cast.reviewer,
    )
    event = AuditEvent.objects.get(action="job.retried")
    assert (event.actor_name, event.object_id, event.after) == ("rex", str(job.pk), {"kind": KIND, "job": again.pk})
    told = act(door, "retry", job, client)
    assert ("not possible" if door == "page" else f"retried already, as job {again.pk}") in told
    assert Job.objects.count() == 2


def test_what_is_done_is_not_retried():
    job = Job.objects.create(kind=KIND, state="done", created_at=build.NOW, finished_at=build.NOW)
    with pytest.raises(jobs.NotRetried, match="Only what failed or was canceled"):
        jobs.retry(job=job, **BY)


@pytest.mark.parametrize("verb", [jobs.cancel, jobs.retry])
def test_work_that_one_may_not_ask_for_is_neither_canceled_nor_retried(verb, cast, monkeypatch):
    monkeypatch.setitem(jobs.kinds._permissions, KIND, "billing.close_period")
    state = "queued" if verb is jobs.cancel else "failed"
    job = Job.objects.create(kind=KIND, state=state, created_at=timezone.now(), finished_at=build.NOW)
    actor = build.Actor.from_user(cast.reviewer)
    with pytest.raises(jobs.NotAllowed, match="takes a role that rex does not have"):
        verb(job=job, actor=actor, now=build.NOW)
    assert Job.objects.get().state == state


def test_a_running_job_that_is_stuck_is_interrupted(cast, monkeypatch):
    """Such as one that waits for a mail server: nothing but a signal reaches it."""
    monkeypatch.setattr(jobs.cancellation, "LOOK", 0.05)
    undone = []

    def stuck(*, job, **_):
        said = jobs.cancel(job=job, actor=build.Actor.from_user(cast.reviewer), now=timezone.now())
        assert "asked to end it" in said
        assert jobs.told(Job.objects.get()) == "rex canceled it: the worker is ending it."
        with transaction.atomic():
            Source.objects.create(name="half-done")
            try:
                # The look of the worker into the database, which the test's own transaction hides from it.
                os.kill(os.getpid(), signal.SIGUSR1)
                threading.Event().wait(60)
            finally:
                undone.append(True)

    monkeypatch.setitem(jobs.kinds._works, KIND, stuck)
    job = jobs.enqueue(kind=KIND, arguments={}, **BY)
    assert jobs.run(job.pk) == "done"
    job.refresh_from_db()
    assert (job.state, job.message) == (
        "canceled",
        "Canceled by rex while it ran. What it finished before stays done.",
    )
    assert undone
    assert not Source.objects.filter(name="half-done").exists()
    actions = list(AuditEvent.objects.filter(object_type="job").order_by("pk").values_list("action", flat=True))
    assert actions == ["job.queued", "job.cancel_asked", "job.canceled"]


def test_a_canceled_job_whose_worker_dies_is_canceled():
    job = a_running_job(cancel_asked_at=build.NOW, cancel_asked_by="rex")
    assert jobs.close_abandoned(now=timezone.now()) == 1
    job.refresh_from_db()
    assert (job.state, "Canceled by rex" in job.message) == ("canceled", True)


def test_commands_list_show_and_check_jobs():
    job = jobs.enqueue(kind=KIND, subject="x", arguments={"period": 7}, **TODAY)
    dead = a_running_job()
    listed = command("jobs", "list")["jobs"]
    assert [(each["job"], each["state"]) for each in listed] == [(dead.pk, "failed"), (job.pk, "queued")]
    assert command("jobs", "show", job.pk)["arguments"] == {"period": 7}
    with pytest.raises(CommandError, match="There is no job 999"):
        command("jobs", "show", 999)


def test_cron_is_told_of_what_was_left_and_that_nobody_works(away):
    a_running_job()
    build.an_import(state="received", applied_at=None)
    with pytest.raises(CommandError) as refused:
        call_command("jobs", "check", stdout=StringIO())
    assert "1 job and 1 import have failed" in str(refused.value)
    assert "No background worker runs" in str(refused.value)
    heartbeat.beat()
    away.clear()
    assert command("jobs", "check") == {
        "jobs_closed": 0,
        "imports_closed": 0,
        "waiting": 0,
        "worker_alive": True,
        "queue_answers": True,
    }


# A database that goes away ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_how_a_job_ended_is_said_when_the_database_is_back(monkeypatch):
    monkeypatch.setattr(jobs.running, "ATTEMPTS", (0.0, 0.0, 0.0))
    write, attempts = jobs.running._write_end, []

    def refuse_twice(*given, **named):
        attempts.append(1)
        if len(attempts) < 3:
            raise OperationalError("the connection is closed")
        write(*given, **named)

    def fail(**_):
        monkeypatch.setattr(jobs.running, "_write_end", refuse_twice)
        raise OperationalError("terminating connection due to administrator command")

    monkeypatch.setitem(jobs.kinds._works, KIND, fail)
    job = jobs.enqueue(kind=KIND, arguments={}, **BY)
    with pytest.raises(OperationalError):
        jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.message, len(attempts)) == ("failed", jobs.DATABASE_AWAY, 3)
    assert not list((settings.VAR_DIR / "working").iterdir())


def test_where_that_cannot_be_said_the_next_look_closes_it(monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(jobs.running, "_write_end", refuse)
    monkeypatch.setitem(jobs.kinds._works, KIND, lambda **_: {})
    job = jobs.enqueue(kind=KIND, arguments={}, **BY)
    with pytest.raises(OperationalError):
        jobs.run(job.pk)
    assert Job.objects.get().state == "running"
    assert jobs.close_abandoned(now=timezone.now()) == 1
    assert Job.objects.get(pk=job.pk).state == "failed"


# Uploads ---------------------------------------------------------------------------------------------


def an_upload(content=b"BilledCost\n"):
    return received.store_chunks([content], now=build.NOW)


def test_uploads_that_nothing_came_of_are_cleared_after_a_week(tmp_path):
    nobodys, awaited = an_upload(b"one"), an_upload(b"two")
    delivered(tmp_path, [a_row()])
    imported = StoredFile.objects.exclude(pk__in=[nobodys.pk, awaited.pk]).get()
    Job.objects.create(kind=Job.Kind.IMPORT, created_at=timezone.now(), arguments={"files": [awaited.pk]})
    place = received.local_copy(nobodys)
    abandoned.close_broken_off(actor=build.SOMEBODY, now=build.NOW + datetime.timedelta(days=6))
    assert StoredFile.objects.count() == 3
    with transaction.atomic():
        abandoned.close_broken_off(actor=build.SOMEBODY, now=build.NOW + datetime.timedelta(days=8))
    assert set(StoredFile.objects.all()) == {awaited, imported}
    assert place.exists() is False or not StoredFile.objects.filter(pk=nobodys.pk).exists()
    assert received.local_copy(imported).exists()


def test_an_upload_that_comes_again_is_kept_for_another_week():
    stored = an_upload()
    received.store_chunks([b"BilledCost\n"], now=build.NOW + datetime.timedelta(days=5))
    assert received.clear_unused(files=[], now=build.NOW + datetime.timedelta(days=8)) == 0
    assert StoredFile.objects.get() == stored


# What takes longer than a page may -------------------------------------------------------------------


@pytest.fixture
def deferred(tmp_path):
    """A delivery that changes January, which is closed; March is open."""
    delivered(tmp_path, [a_row("100")])
    closing.close(period=BillingPeriod.objects.named("2025-01"), **BY)
    build.a_period("2025-03")
    return delivered(tmp_path, [a_row("98")]).deferred


def test_a_large_delivery_is_booked_in_the_background_and_once(
    deferred, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.admin)
    url = reverse("admin:billing_import_book", args=[deferred.pk])
    march = BillingPeriod.objects.named("2025-03")
    with django_capture_on_commit_callbacks(execute=True):
        pages = [client.post(url, {"into": march.pk}).url for _ in range(2)]
    job = Job.objects.get()
    assert pages == [reverse("admin:billing_job_change", args=[job.pk])] * 2
    assert worker() == ["done"]
    deferred.refresh_from_db()
    assert (deferred.state, deferred.booked_in) == (Import.State.APPLIED, march)
    page = client.get(pages[0]).content.decode()
    assert "is booked in March 2025" in page
    assert reverse("admin:billing_import_change", args=[deferred.pk]) in page
    # Asked for once more it is refused at once, without a job.
    client.post(url, {"into": march.pk})
    assert Job.objects.count() == 1


def test_a_booking_that_is_refused_says_why_on_its_job(
    deferred, client, cast, worker, django_capture_on_commit_callbacks
):
    march = BillingPeriod.objects.named("2025-03")
    with django_capture_on_commit_callbacks(execute=True):
        ingestion.decide_later(imported=deferred, into=march, **BY)
    closing.close(period=march, **BY)
    worker()
    job = Job.objects.get()
    assert (job.state, "March 2025" in job.message) == ("failed", True)
    deferred.refresh_from_db()
    assert deferred.state == Import.State.DEFERRED


def test_a_large_delivery_for_a_month_in_review_is_applied_in_the_background(
    tmp_path, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    delivered(tmp_path, [a_row("100")])
    january = BillingPeriod.objects.named("2025-01")
    closing.start_review(period=january, until=datetime.date(2025, 2, 20), **BY)
    waiting = delivered(tmp_path, [a_row("98")]).deferred
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.admin)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("admin:billing_import_apply", args=[waiting.pk]))
    assert (Job.objects.get().kind, worker()) == ("apply", ["done"])
    assert Charge.objects.live().get().billed_cost == 98


def test_rules_are_re_applied_to_a_large_month_in_the_background(
    tmp_path, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    delivered(tmp_path, [a_row(tags=NO_TAGS)])
    AttributionRule.objects.create(service="*", pi=build.a_pi(), project=build.a_project(), fund_org="BIO-001")
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_billingperiod_reapply", args=[BillingPeriod.objects.get().pk])
    assert "Work out what would change" in client.get(url).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        preview = client.post(url, {"source": "", "expected": ""}).url
    worker()
    assert Charge.objects.get().state == "held"
    assert f"{url}?job={Job.objects.get().pk}" in client.get(preview).content.decode()
    page = client.get(f"{url}?job={Job.objects.get().pk}")
    assert page.context["shown"].changed == 1
    assert "ada@u.edu" in page.content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        sent = {"source": "", "expected": page.context["form"]["expected"].value()}
        job_url = client.post(url, sent).url
    worker()
    charge = Charge.objects.get()
    assert (charge.state, charge.pi.email) == ("clear", "ada@u.edu")
    assert "1 attributed anew" in client.get(job_url).content.decode()


def test_what_changed_since_the_preview_is_not_applied(
    tmp_path, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    delivered(tmp_path, [a_row(tags=NO_TAGS)])
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_billingperiod_reapply", args=[BillingPeriod.objects.get().pk])
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url, {"source": "", "expected": "another digest"})
    worker()
    job = Job.objects.get()
    assert (job.state, "Look at it again" in job.message) == ("failed", True)
