"""A month of the FastAPI version, run here again as far as it got there: imported, decided, closed, sent, journaled."""

import datetime
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from billing.audit import Actor
from billing.errors import BillingError
from billing.importing import ImportRefused, ingest
from billing.models import BillingPeriod, Charge, Import, ImportedFile, Source
from billing.models.periods import parse_month
from billing.money import rounded
from billing.months import closing
from billing.progress import Progress
from billing.texts import long_date
from journals import posting
from journals.models import JournalLine
from statements import emails, issuing

from . import deciding, focus_files
from .reading import LegacyDatabase, LegacyExport, LegacyPeriod, LegacyStatement, NotLegacy

OPEN, FINALIZED = "open", "finalized"
STATUSES = (OPEN, "closed", FINALIZED)


@dataclass
class SourceMonth:
    """What a source had in a month there: charges and money by what became of them."""

    source: str
    charges: dict[str, int] = field(default_factory=dict)
    billed: dict[str, Decimal] = field(default_factory=dict)
    # What was charged, by PI and fund/org.
    owed: dict[tuple[str, str], Decimal] = field(default_factory=dict)


@dataclass
class Month:
    """What became of a month. `status` is as it was there; `is_new` is whether it takes changes here yet."""

    period: str
    status: str
    is_new: bool = True
    sources: list[SourceMonth] = field(default_factory=list)
    decided: deciding.Decided = field(default_factory=deciding.Decided)
    carried: int = 0
    statements: int = 0
    sent: int = 0
    journal: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def billed(self) -> Decimal:
        """What was charged there: neither held nor rejected."""
        charged = (each.billed.get(state, Decimal(0)) for each in self.sources for state in ("clear", "approved"))
        return sum(charged, Decimal(0))

    @property
    def charges(self) -> int:
        return sum(sum(each.charges.values()) for each in self.sources)


@dataclass(frozen=True)
class Bringing:
    """What bringing a month needs: where it comes from, how its rows say who pays, who acts, and where files go."""

    legacy: LegacyDatabase
    # Its sources by the ids that stand for each of them there.
    sources: Mapping[str, tuple[Source, tuple[int, ...]]]
    currency: str
    tags: dict[str, str]
    folder: Path
    actor: Actor
    now: datetime.datetime
    progress: Progress


def look_at(legacy: LegacyDatabase, period: LegacyPeriod, sources: Mapping[str, Sequence[int]], currency: str) -> Month:
    """Return what a month holds there. Raises NotLegacy for a month or a state that is none."""
    try:
        parse_month(period.month)
    except (BillingError, ValueError) as error:
        raise NotLegacy(f"Its table billing_periods has a month that is none: {period.month}.") from error
    if period.status not in STATUSES:
        raise NotLegacy(f"Its month {period.month} is “{period.status}”, which is no state of a month there.")
    month = Month(period.month, period.status)
    there = set(legacy.sources_of(period))
    for name, ids in sources.items():
        if not there & set(ids):
            continue
        charges: dict[str, int] = defaultdict(int)
        billed: dict[str, Decimal] = defaultdict(Decimal)
        owed: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for each in legacy.charges(period, ids):
            charges[each.state] += 1
            amount = focus_files.exact(each.billed_cost)
            billed[each.state] += amount
            if each.state in ("clear", "approved"):
                owed[each.pi_email.lower(), each.fund_org] += amount
        month.sources.append(SourceMonth(name, dict(charges), dict(billed), dict(owed)))
    if unknown := there - set(itertools.chain.from_iterable(sources.values())):
        month.notes.append(f"Charges of sources that are gone ({len(unknown)}) were not brought over.")
    if lost := legacy.lost(period):
        amount = sum((amount for _, amount in lost), Decimal(0))
        month.notes.append(
            f"Its review log tells of charges that are gone: {len(lost):,}, {rounded(amount, currency)} together."
        )
    return month


def try_out(period: LegacyPeriod, month: Month, having: Bringing) -> None:
    """Read the month's rows as an import would, and store nothing. Raises ImportRefused."""
    here = closing.ensure_period(month=parse_month(period.month), actor=having.actor, now=having.now)
    if not here.takes_changes:
        month.is_new = False
        return
    for each in month.sources:
        _ingest(period, here, each.source, having, is_dry_run=True)


def bring(period: LegacyPeriod, month: Month, having: Bringing) -> None:
    """Run a month as far as it got there; what this program has closed already stays as it is.

    1. Each source's charges are imported from a file of their own, and stand as they were decided there.
    2. A month that was shut is closed; what still waits is carried over to the next month that is open.
    3. Its statements are issued, and are sent where that version sent them: nothing is mailed.
    4. Where a journal was exported, what the month comes to is a posted one: nothing posts twice.
    5. A month that was finalized is, where nothing keeps it from that.

    Raises ImportRefused.
    """
    here = closing.ensure_period(month=parse_month(period.month), actor=having.actor, now=having.now)
    month.is_new = here.takes_changes
    if here.takes_changes:
        for each in month.sources:
            _bring_source(period, here, month, each.source, having)
        if period.status != OPEN:
            _close(period, here, month, having)
    # From here on each step asks what there is: a run that was stopped is taken up by the next.
    statements, exports = having.legacy.statements(period), having.legacy.exports(period)
    is_shut = here.status == BillingPeriod.Status.CLOSED and period.status != OPEN
    if statements and (is_shut or exports) and not here.statements.exists():
        _issue(here, month, statements, having)
    if (exports or (is_shut and period.status == FINALIZED)) and not here.journals.exists():
        _adopt(period, here, month, exports, having)
    if is_shut and period.status == FINALIZED:
        _finalize(period, here, month, having)


def _bring_source(period: LegacyPeriod, here: BillingPeriod, month: Month, name: str, having: Bringing) -> None:
    """Import what a source charged in a month, and have it stand as it was decided there."""
    source, ids = having.sources[name]
    having.progress(0, 0, f"{source.label}, {period.month}")
    _ingest(period, here, name, having, is_dry_run=False)
    done = deciding.decide(
        period=here,
        source=source,
        file_name=focus_files.name_of(source, here),
        charges=having.legacy.charges(period, ids),
        is_shut=period.status != OPEN,
        actor=having.actor,
        now=having.now,
    )
    _add(month.decided, done)


def _ingest(period: LegacyPeriod, here: BillingPeriod, name: str, having: Bringing, *, is_dry_run: bool) -> None:
    source, ids = having.sources[name]
    path = having.folder / focus_files.name_of(source, here)
    charges = having.legacy.charges(period, ids)
    focus_files.write(path, charges, period=here, currency=having.currency, tags=having.tags)
    if _stands(source, path):
        path.unlink()
        return
    try:
        ingest(
            paths=[path],
            source=source,
            period=here.iso_month,
            dry_run=is_dry_run,
            actor=having.actor,
            now=having.now,
            progress=having.progress,
        )
    except ImportRefused as refused:
        told = f"{source.name}, {period.month}: what is there cannot be imported. Mend it there, and run this again."
        raise NotLegacy(f"{told}\n{refused}") from refused
    finally:
        path.unlink(missing_ok=True)


def _stands(source: Source, path: Path) -> bool:
    """Tell whether the last import from here says just what a file says: then there is nothing to bring."""
    applied = ImportedFile.objects.filter(
        name=path.name, imported_in__source=source, imported_in__state=Import.State.APPLIED
    )
    last = applied.order_by("-imported_in").select_related("file").first()
    with path.open("rb") as file:
        return last is not None and last.file.sha256 == hashlib.file_digest(file, "sha256").hexdigest()


def _close(period: LegacyPeriod, here: BillingPeriod, month: Month, having: Bringing) -> None:
    month.carried = Charge.objects.in_month(here).held().count()
    said = [f"Closed in the FastAPI version{_when(period.closed_at, period.closed_by)}.", period.notes]
    closing.close(
        period=here,
        carry_held=bool(month.carried),
        notes=" ".join(part for part in said if part),
        actor=having.actor,
        now=having.now,
    )
    here.refresh_from_db()


def _issue(here: BillingPeriod, month: Month, theirs: Sequence[LegacyStatement], having: Bringing) -> None:
    """Issue the month's statements, note those that were sent, and say where a total is another than there."""
    issuing.generate(period=here, actor=having.actor, now=having.now, progress=having.progress)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    sent: dict[str, datetime.datetime] = {}
    for each in theirs:
        totals[each.pi_email.lower()] += each.total
        if each.sent_at:
            sent[each.pi_email.lower()] = max(each.sent_at, sent.get(each.pi_email.lower(), each.sent_at))
    ours: dict[str, Decimal] = defaultdict(Decimal)
    by_pi = defaultdict(list)
    for statement in here.statements.live().select_related("pi"):
        month.statements += 1
        ours[statement.pi.email] += statement.charged
        by_pi[statement.pi.email].append(statement)
    for email, at in sent.items():
        month.sent += emails.note_sent(
            statements=by_pi.get(email, ()),
            at=at,
            note="Sent by the FastAPI version.",
            actor=having.actor,
            now=having.now,
        )
    for email in sorted(totals.keys() | ours.keys()):
        there, here_now = totals.get(email, Decimal(0)), ours.get(email, Decimal(0))
        if abs(there - here_now) >= Decimal("0.005"):
            month.notes.append(
                f"The statement of {email} said {rounded(there, having.currency)} there, "
                f"and says {rounded(here_now, having.currency)} here."
            )


def _adopt(
    period: LegacyPeriod, here: BillingPeriod, month: Month, exports: Sequence[LegacyExport], having: Bringing
) -> None:
    last = exports[-1] if exports else None
    file_name = last.file_name.rpartition("/")[2] if last else ""
    by = f" by {last.by}" if last and last.by else ""
    told = f"exported as {file_name or 'a journal'}{by}" if last else "finalized, which it calls sent to accounting"
    journal = posting.adopt(
        period=here,
        document_number=(file_name or f"FastAPI {period.month}")[:64],
        posted_at=(last and last.at) or having.now,
        note=f"It was {told} in the FastAPI version.",
        actor=having.actor,
        now=having.now,
    )
    if journal is None:
        return
    month.journal = journal.number
    payers = journal.lines.filter(side=JournalLine.Side.PAYER)
    net = sum((line.debit - line.credit for line in payers), Decimal(0))
    if last and abs(last.total - net) >= Decimal("0.005"):
        month.notes.append(
            f"The journal exported last said {rounded(last.total, having.currency)} there, "
            f"and {journal} is {rounded(net, having.currency)}."
        )


def _finalize(period: LegacyPeriod, here: BillingPeriod, month: Month, having: Bringing) -> None:
    note = f"Finalized in the FastAPI version{_when(period.finalized_at, period.finalized_by)}."
    try:
        closing.finalize(period=here, notes=note, actor=having.actor, now=having.now)
    except closing.NotReadyToFinalize as error:
        month.notes.append(f"It stays closed: {error}")


def _when(at: str, by: str) -> str:
    try:
        on = f" on {long_date(datetime.datetime.fromisoformat(at))}"
    except ValueError:
        on = ""
    return f"{on}{f' by {by}' if by else ''}"


def _add(total: deciding.Decided, done: deciding.Decided) -> None:
    total.approved += done.approved
    total.rejected += done.rejected
    total.held += done.held
    total.unknown += done.unknown
    for reason, count in done.waiting.items():
        total.waiting[reason] = total.waiting.get(reason, 0) + count
