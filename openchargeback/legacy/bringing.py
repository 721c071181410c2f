"""An installation of the FastAPI version brought over: its settings, people, sources and accounts, then its months."""

import contextlib
import datetime
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from billing import audit
from billing.audit import Actor
from billing.currencies import refusal
from billing.models import Import, Policy, Source
from billing.progress import Progress, unwatched
from billing.setup import policies, sourcing

from . import accounts, configuring, months
from .configuring import Configuration
from .reading import LegacyDatabase, NotLegacy, opened


@dataclass(frozen=True)
class Brought:
    """What was brought over, or would be by a dry run."""

    is_dry_run: bool
    currency: str
    policy: tuple[str, ...]
    sources: tuple[str, ...]
    accounts: accounts.Accounts
    months: tuple[months.Month, ...]
    notes: tuple[str, ...]


def bring(
    *,
    database: Path,
    configuration: Path | None,
    currency: str = "",
    is_dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Brought:
    """Bring over an installation. A second run finds all of it here, and changes nothing.

    Its months are run one after the other, the earliest first; each step of one is whole or not at all, and a run that
    is stopped is taken up by the next. A dry run reads every row as an import would, and stores nothing.

    Raises NotLegacy for files that are none of that version's, or hold what cannot be imported.
    """
    settled = configuring.read(configuration)
    currency = currency.strip().upper() or settled.currency
    if problem := refusal(currency) if currency else "Its currency is a sign that several have.":
        raise NotLegacy(f"{problem} Name the currency of its amounts, such as USD.")
    with (
        opened(database) as legacy,
        tempfile.TemporaryDirectory(prefix="from-fastapi-", dir=settings.FILE_UPLOAD_TEMP_DIR) as folder,
    ):
        there = _sources_of(legacy, settled)
        found = [(period, months.look_at(legacy, period, there.ids, currency)) for period in legacy.periods()]
        with transaction.atomic() if is_dry_run else contextlib.nullcontext():
            changes, sources, added = _set_up(legacy, settled, there, currency, actor=actor, now=now)
            having = months.Bringing(
                legacy=legacy,
                sources=sources,
                currency=currency,
                tags=settled.tags,
                folder=Path(folder),
                actor=actor,
                now=now,
                progress=progress,
            )
            for number, (period, month) in enumerate(found):
                progress(number, len(found), period.month)
                (months.try_out if is_dry_run else months.bring)(period, month, having)
            if is_dry_run:
                transaction.set_rollback(True)
        notes = (*settled.notes, *_left_behind(legacy))
    return Brought(
        is_dry_run=is_dry_run,
        currency=currency,
        policy=changes,
        sources=tuple(sources),
        accounts=added,
        months=tuple(month for _, month in found),
        notes=notes,
    )


@dataclass(frozen=True)
class _Named:
    """The sources there by the name of their source here: their ids, what they are called, and their settings."""

    ids: Mapping[str, tuple[int, ...]]
    labels: Mapping[str, str]
    settings: Mapping[str, configuring.SourceSettings]


def _sources_of(legacy: LegacyDatabase, settled: Configuration) -> _Named:
    """Return its sources by their names here. Two there whose names are the same here are one."""
    ids: dict[str, list[int]] = defaultdict(list)
    labels: dict[str, str] = {}
    for pk, (name, label) in legacy.sources().items():
        own = named(name)
        ids[own].append(pk)
        labels.setdefault(own, label or name)
    known = {named(each.name): each for each in settled.sources}
    for own, each in known.items():
        if each.fund_org or each.account_code:
            ids.setdefault(own, [])
            labels.setdefault(own, each.name)
    return _Named({own: tuple(pks) for own, pks in ids.items()}, labels, known)


def named(name: str) -> str:
    """Return the name of a source here: `azure_local` for “Azure Local”."""
    own = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_-")
    if not own:
        raise NotLegacy(f"Its source “{name}” has a name of no letters and digits. Name it otherwise there.")
    return own[:64]


def _set_up(
    legacy: LegacyDatabase,
    settled: Configuration,
    there: _Named,
    currency: str,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> tuple[tuple[str, ...], dict[str, tuple[Source, tuple[int, ...]]], accounts.Accounts]:
    """Set the policy, sources and accounts. What somebody set here already stays: once files were imported, all of it.

    Returns what changed of the policy, the sources with the ids that stand for them there, and the accounts.
    """
    is_fresh = not Import.objects.exists()
    with audit.gesture(actor=actor, now=now) as gesture:
        policy = Policy.objects.current()
        changes = configuring.changed_by(settled, policy, currency) if is_fresh else {}
        if changes:
            policies.change_policy(changes=changes, actor=actor, now=now)
        elif policy.currency != currency:
            raise NotLegacy(
                f"Its amounts are in {currency}, and this installation charges in {policy.currency}. "
                "Bring it over to an installation of its own."
            )
        sources = {
            own: (_source(own, there, is_fresh=is_fresh, actor=actor, now=now), ids) for own, ids in there.ids.items()
        }
        added = accounts.add((*legacy.users(), *settled.users), gesture=gesture)
    return tuple(changes), sources, added


def _source(own: str, there: _Named, *, is_fresh: bool, actor: Actor, now: datetime.datetime) -> Source:
    """Return a source, added where there is none; of a fresh one, what is empty is filled in."""
    fields = {"display_name": there.labels[own]}
    if settings_there := there.settings.get(own):
        fields |= {
            "file_name_patterns": settings_there.pattern,
            "recovery_fund_org": settings_there.fund_org,
            "recovery_account": settings_there.account_code,
            "debit_account": settings_there.account_code,
        }
    fields = {name: value for name, value in fields.items() if value}
    source = Source.objects.filter(name=own).first()
    if source is None:
        return sourcing.add(name=own, fields=fields, actor=actor, now=now)
    lacking = {name: value for name, value in fields.items() if not getattr(source, name)}
    if is_fresh and lacking:
        return sourcing.change(source=source, fields=lacking, actor=actor, now=now).source
    return source


def _left_behind(legacy: LegacyDatabase) -> list[str]:
    """Say what is kept there and has no place here."""
    notes = []
    for table, what in (("imports", "imports"), ("email_logs", "e-mails")):
        if count := legacy.count(table):
            notes.append(f"Its list of {what} stays there ({count:,}): keep the file.")
    notes.append("Rows that it refused, such as those without a PI, were never stored: providers' files have them.")
    return notes
