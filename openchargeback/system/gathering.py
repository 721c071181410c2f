"""What there is to know of this installation, gathered for a page or a command: each fact with its state."""

import datetime
import platform
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import django
from django import db
from django.conf import settings
from django.core.checks import run_checks
from django.db import connection
from django.db.models import Count, Min, Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from billing import mail_test_mode, safeguards, schema
from billing.audit import anchors, verifications
from billing.background import heartbeat, jobs
from billing.errors import BillingError
from billing.files import StorageAway, documents
from billing.models import AuditEvent, Disposal, Job, StoredFile
from billing.texts import long_moment
from statements import emails

from .. import backups
from .components import packages

State = Literal["ok", "warn", "bad", ""]
# After so long the audit log should have been verified again, and a backup made.
VERIFIED_WITHIN = datetime.timedelta(days=7)
BACKED_UP_WITHIN = datetime.timedelta(days=2)
NAMED = 5


@dataclass(frozen=True)
class Fact:
    """One thing that is so: `code` names it for programs, `help` is a page and heading of the documentation."""

    code: str
    label: str
    value: str
    state: State = ""
    help: str = ""


@dataclass(frozen=True)
class Group:
    """The facts about one part of the installation."""

    code: str
    title: str
    facts: tuple[Fact, ...]


def gather(*, now: datetime.datetime) -> list[Group]:
    """Look at every part of the installation. It reads, and changes nothing; it takes a dozen short queries."""
    parts: tuple[tuple[str, str, Callable[[datetime.datetime], list[Fact]]], ...] = (
        ("program", "Program", _program),
        ("database", "Database", _database),
        ("worker", "Background work", _work),
        ("mail", "E-mail", _mail),
        ("storage", "Files", _storage),
        ("safeguards", "Safeguards and audit log", _trust),
    )
    return [Group(code, title, tuple(_looked_at(title, facts, now))) for code, title, facts in parts]


def _looked_at(title: str, facts: Callable[[datetime.datetime], list[Fact]], now: datetime.datetime) -> list[Fact]:
    """Return the facts of a part, or that they cannot be read: the other parts are still told."""
    try:
        return facts(now)
    except (db.Error, OSError) as error:
        said = f"cannot be looked at: {str(error).strip()}"
        return [Fact("unreadable", title, said, "bad", "operations#when-the-database-or-the-disk-is-out-of-order")]


def _program(now: datetime.datetime) -> list[Fact]:
    found = packages()
    changed = [each for each in found if not each.is_as_pinned]
    named = ", ".join(f"{each.name} {each.version or 'missing'} (pinned: {each.pinned})" for each in changed[:NAMED])
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return [
        Fact("version", "Version", settings.VERSION),
        Fact("python", "Python", platform.python_version()),
        Fact("django", "Django", django.get_version()),
        Fact("address", "Address", settings.SITE_URL),
        Fact("time_zone", "Time zone", settings.TIME_ZONE),
        Fact("debug", "Debug mode", "on: for one machine only", "warn", "getting-started#configure")
        if settings.DEBUG
        else Fact("debug", "Debug mode", "off", "ok"),
        Fact("packages", "Packages", f"not as pinned: {named}{more}", "warn", "security/supply-chain")
        if changed
        else Fact("packages", "Packages", f"{len(found)}, all as pinned", "ok"),
        _settings(),
    ]


def _settings() -> Fact:
    """Ask Django's checks of a deployment, which need no database; in debug mode the others."""
    found = [each for each in run_checks(include_deployment_checks=not settings.DEBUG) if not each.is_silenced()]
    if not found:
        return Fact("settings", "Settings", "nothing to mend", "ok")
    state: State = "bad" if any(each.is_serious() for each in found) else "warn"
    return Fact("settings", "Settings", " ".join(str(each.msg) for each in found), state, "getting-started#configure")


def _database(now: datetime.datetime) -> list[Fact]:
    of = settings.DATABASES["default"]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            kind, version, place = "SQLite", sqlite3.sqlite_version, str(of["NAME"])
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            size = cursor.fetchone()[0]
        else:
            cursor.execute("SELECT current_setting('server_version'), pg_database_size(current_database())")
            version, size = cursor.fetchone()
            kind, place = "PostgreSQL", f"{of['NAME']} on {of['HOST'] or 'this machine'}"
    return [
        Fact("kind", "Kind", f"{kind} {version}"),
        Fact("place", "Place", place),
        Fact("size", "Size", filesizeformat(size)),
        _tables(),
    ]


def _tables() -> Fact:
    help = "operations#upgrading"
    try:
        lacking = schema.lacking()
    except BillingError as error:
        return Fact("tables", "Tables", str(error), "bad", help)
    if lacking:
        return Fact("tables", "Tables", f"not up to date: {len(lacking)} migrations are missing", "bad", help)
    return Fact("tables", "Tables", "up to date", "ok")


def _work(now: datetime.datetime) -> list[Fact]:
    queue = Job.objects.values("state").order_by("state").annotate(number=Count("pk"), oldest=Min("created_at"))
    by_state = {each["state"]: each for each in queue}
    waiting = by_state.get(Job.State.QUEUED)
    said = [f"{by_state[state]['number']:,} {label.lower()}" for state, label in Job.State.choices if state in by_state]
    since = f", the oldest since {_told(waiting['oldest'])}" if waiting else ""
    is_kept = jobs.is_kept_from_queue()
    broker = "Redis" if settings.Q_CLUSTER.get("redis") else "a table of the database"
    return [
        *_workers(now),
        Fact("queue", "Queue", f"{broker}: it cannot be reached, and jobs are kept", "bad", "operations#jobs")
        if is_kept
        else Fact("queue", "Queue", broker, "ok"),
        Fact("jobs", "Jobs", f"{', '.join(said)}{since}" if said else "none so far"),
    ]


def _workers(now: datetime.datetime) -> list[Fact]:
    seen = heartbeat.workers()
    alive = [each for each in seen if each.is_alive]
    help = "operations#the-worker"
    if not alive:
        last = f"none for a minute or longer; the last was seen {_told(seen[0].seen_at)}" if seen else "none so far"
        return [Fact("worker", "Worker", last, "bad", help)]
    return [
        Fact("worker", "Worker", "1 is running" if len(alive) == 1 else f"{len(alive)} are running", "ok"),
        *(
            Fact(
                "worker_seen",
                each.name,
                f"since {_told(each.begun_at) if each.begun_at else 'an unknown time'}, "
                f"last seen {max(0, int((now - each.seen_at).total_seconds()))} seconds ago",
            )
            for each in alive
        ),
    ]


def _mail(now: datetime.datetime) -> list[Fact]:
    if emails.writes_files():
        said = f"not sent: each e-mail is a file in {settings.EMAIL_FILE_PATH}"
        return [Fact("mode", "Sending e-mail", said, "warn", "admin-guide/email#without-a-mail-server")]
    # Never with the user and password of the address.
    kind = settings.EMAIL_BACKEND.removesuffix(".EmailBackend").rpartition(".")[2]
    test = mail_test_mode.test_address()
    kind = "smtp" if test else kind
    server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}" if kind == "smtp" else kind
    safe = " over TLS" if settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL else ""
    return [
        Fact("mode", "Sending e-mail", f"sent by {server}{safe}", "ok"),
        *([Fact("test", "Test mode", f"all to {test}", "warn", "admin-guide/email#test-mode")] if test else []),
        Fact("from", "From", settings.DEFAULT_FROM_EMAIL),
    ]


def _storage(now: datetime.datetime) -> list[Fact]:
    kept: dict[str, Any] = StoredFile.objects.aggregate(number=Count("pk"), size=Sum("size"))
    number = "1 file" if kept["number"] == 1 else f"{kept['number']:,} files"
    usage = shutil.disk_usage(settings.VAR_DIR)
    # Room for one upload as large as they may be.
    is_enough = usage.free >= settings.MAX_UPLOAD_BYTES
    help = "" if is_enough else "operations#when-the-database-or-the-disk-is-out-of-order"
    return [
        *_bucket(),
        Fact("folder", "Folder", str(settings.VAR_DIR)),
        Fact(
            "free",
            "Free space",
            f"{filesizeformat(usage.free)} of {filesizeformat(usage.total)}"
            + ("" if is_enough else f": less than the largest upload, {filesizeformat(settings.MAX_UPLOAD_BYTES)}"),
            "ok" if is_enough else "warn",
            help,
        ),
        Fact("received", "Files received", f"{number}, {filesizeformat(kept['size'] or 0)}"),
        _backup(now),
        *_disposals(),
    ]


def _disposals() -> list[Fact]:
    left = [str(each.pk) for each in Disposal.objects.filter(completed_at__isnull=True).order_by("pk")]
    if not left:
        return []
    said = f"{', '.join(left)} not completed: it is running, or was broken off and has to be run again"
    return [Fact("disposals", "Disposals", said, "warn", "operations/retention#when-it-is-broken-off")]


def _backup(now: datetime.datetime) -> Fact:
    label, help = "Last backup", "operations/backup"
    last = backups.last_made()
    if last is None:
        return Fact("backup", label, "none was made by this program", "warn", help)
    state: State = "ok" if now - last <= BACKED_UP_WITHIN else "warn"
    return Fact("backup", label, _told(last), state, help if state == "warn" else "")


def _bucket() -> list[Fact]:
    if not (there := documents.bucket()):
        return []
    help = "operations/object-storage"
    try:
        refuses_twice = there.try_out()
    except StorageAway as error:
        return [Fact("bucket", "Object storage", f"{there.told()}: {error.strerror}", "bad", f"{help}#when-it-fails")]
    if not refuses_twice:
        said = f"{there.told()}: written and read, but a name that is taken is written over"
        return [Fact("bucket", "Object storage", said, "warn", f"{help}#what-it-must-be-able-to-do")]
    return [Fact("bucket", "Object storage", f"{there.told()}, written and read", "ok")]


def _trust(now: datetime.datetime) -> list[Fact]:
    lacking, wanted = safeguards.missing(connection), len(safeguards.triggers(connection))
    return [
        Fact(
            "safeguards",
            "Safeguards",
            f"{len(lacking)} of {wanted} are not in place: {safeguards.listed(lacking)}",
            "bad",
            "operations#database-safeguards",
        )
        if lacking
        else Fact("safeguards", "Safeguards", f"all {wanted} in place", "ok"),
        _head(),
        _verification(now),
    ]


def _head() -> Fact:
    """Hold the last event against the head that was noted last, outside the database."""
    label, help = "Head of the audit log", "security/audit-log#verifying"
    event = AuditEvent.objects.order_by("-pk").first()
    if event is None:
        return Fact("audit_head", label, "no event so far")
    notes = anchors.read(anchors.default_path())
    if notes is None or not notes.anchors:
        return Fact("audit_head", label, f"not noted in {anchors.default_path()}", "warn", help)
    last = notes.anchors[-1]
    if last.hash != event.hash:
        # It may lag by a moment; a cut or rewritten log never agrees.
        said = f"the last event is not the one noted on {last.when}: verify the log"
        return Fact("audit_head", label, said, "warn", help)
    return Fact("audit_head", label, f"event {last.events:,}, as noted on {last.when}", "ok")


def _verification(now: datetime.datetime) -> Fact:
    label, help = "Audit log verified", "security/audit-log#verifying"
    last = verifications.last()
    if last is None:
        return Fact("audit_verified", label, "not yet on this machine", "warn", help)
    if not last.is_whole:
        return Fact("audit_verified", label, f"{_told(last.at)}: not as it was written", "bad", help)
    state: State = "ok" if now - last.at <= VERIFIED_WITHIN else "warn"
    said = f"{_told(last.at)}: whole, {last.events:,} events"
    return Fact("audit_verified", label, said, state, help if state == "warn" else "")


def _told(at: datetime.datetime) -> str:
    return long_moment(timezone.localtime(at))
