"""What a disposal would remove, file by file, and what holds back the rest; nothing is changed here."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from billing.errors import BillingError
from billing.files import documents, received
from billing.fiscal_years import label_of
from billing.models import (
    BillingPeriod,
    Charge,
    DisposedFile,
    Import,
    ImportOverlap,
    ImportTotal,
    Policy,
    PricedMonth,
    StoredFile,
    UsageFile,
)
from billing.texts import iso_month, long_date
from statements import issuing
from statements.models import Email, Statement

from .bars import Bars, Owners

Kind = DisposedFile.Kind
Months = dict[int, set[datetime.date]]
MISSING = "its file is missing already, and was not disposed of"
WAITS = "it waits for a decision or is being sent"


class TooEarly(BillingError):
    """A fiscal year whose detail has to be kept for longer."""


@dataclass(frozen=True)
class Item:
    """A file that is past its schedule. With `why`, it is held back for that."""

    kind: Kind
    name: str
    months: tuple[datetime.date, ...]
    size: int
    # Recorded when it was stored or made; "" where it was not, and is to be taken before it goes.
    sha256: str = ""
    why: str = ""

    @property
    def month(self) -> str:
        return iso_month(self.months[0])


@dataclass(frozen=True)
class Line:
    """Files of one kind and month together, and why they are held back."""

    kind: str
    month: str
    files: int
    size: int
    why: str = ""

    @property
    def label(self) -> str:
        return str(Kind(self.kind).label)

    def as_data(self) -> dict[str, object]:
        told: dict[str, object] = {"kind": self.kind, "month": self.month, "files": self.files, "bytes": self.size}
        return told | ({"why": self.why} if self.why else {})


@dataclass(frozen=True)
class Plan:
    """What a disposal removes and holds back. `years` is how long detail is kept at least."""

    before: int
    first_kept: datetime.date
    years: int
    items: tuple[Item, ...]
    held_back: tuple[Item, ...]


def plan(*, before: int, now: datetime.datetime) -> Plan:
    """Return what is past its schedule of the fiscal years before one. Raises TooEarly."""
    start = Policy.objects.current().fiscal_year_start
    today = timezone.localdate(now)
    first_kept = datetime.date(before, 1, 1) if start == 1 else datetime.date(before - 1, start, 1)
    years = settings.RETENTION_YEARS
    may_from = first_kept.replace(year=first_kept.year + years)
    if may_from > today:
        last = first_kept - datetime.timedelta(days=1)
        raise TooEarly(
            f"{label_of(before - 1)} ended on {long_date(last)}. Its detail is kept for {years} years from then "
            f"(RETENTION_YEARS), until {long_date(may_from - datetime.timedelta(days=1))}."
        )
    bars = Bars(today=today, first_kept=first_kept)
    gone = set(DisposedFile.objects.values_list("name", flat=True))
    found = [
        each
        for each in (*_stored(bars, first_kept), *_of_statements(bars, first_kept), *_emails(bars, first_kept))
        if each.name not in gone
    ]
    found.sort(key=lambda each: (each.months, each.kind, each.name))
    return Plan(
        before=before,
        first_kept=first_kept,
        years=years,
        items=tuple(each for each in found if not each.why),
        held_back=tuple(each for each in found if each.why),
    )


def summed(items: Iterable[Item]) -> list[Line]:
    """Return items together by kind, month and why, in that order."""
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for each in items:
        of = sums[str(each.kind), each.month, each.why]
        of[0] += 1
        of[1] += each.size
    return [Line(kind, month, files, size, why) for (kind, month, why), (files, size) in sorted(sums.items())]


# Files as received, and what usage is kept in ---------------------------------------------------------------------


def _stored(bars: Bars, first_kept: datetime.date) -> Iterator[Item]:
    """Yield the stored files of which a month is past: in a file are the charges of many, so it goes or stays whole."""
    months, unknown, waits = _months_of_imports()
    of_usage = _months_of_usage(months)
    for stored in StoredFile.objects.order_by("pk"):
        of = tuple(sorted(months.get(stored.pk, ())))
        if not of or of[0] >= first_kept:
            continue
        is_usage = stored.pk in of_usage
        why = bars.of_shared(of, may_have_anybody=is_usage or stored.pk in unknown)
        if stored.pk in waits:
            why.append("an import of it waits or is at work")
        size = received.size_at(stored.path)
        if size is None and not why:
            why.append(MISSING)
        kind = Kind.USAGE if is_usage else Kind.RECEIVED
        yield Item(kind, stored.path, of, size or 0, stored.sha256, "; ".join(why))


def _months_of_imports() -> tuple[Months, set[int], set[int]]:
    """Return the months of each stored file that was imported; those nothing was read of; and those that wait."""
    of_import: dict[int, set[datetime.date]] = defaultdict(set)
    for path, model in (
        ("period__month", ImportTotal),
        ("period__month", ImportOverlap),
        ("borne_by__month", ImportOverlap),
    ):
        for number, month in model.objects.order_by().values_list("imported_in", path).distinct():
            of_import[number].add(month)
    # Carried over, or booked late: few, for which there is an index.
    moved = Charge.objects.exclude(charged_in=F("period")).order_by()
    for number, month in moved.values_list("imported_in", "charged_in__month").distinct():
        of_import[number].add(month)
    months: Months = defaultdict(set)
    unknown, waits = set(), set()
    busy = (*Import.UNFINISHED, Import.State.DEFERRED)
    rows = Import.objects.exclude(files=None).order_by("pk")
    for number, state, created_at, booked_in, stored in rows.values_list(
        "pk", "state", "created_at", "booked_in__month", "files"
    ):
        own = of_import.get(number, set()) | ({booked_in} if booked_in else set())
        if not own:
            # It was refused, or brought nothing: it is of the month in which it came.
            own = {timezone.localdate(created_at).replace(day=1)}
            unknown.add(stored)
        months[stored] |= own
        if state in busy:
            waits.add(stored)
    return months, unknown, waits


def _months_of_usage(months: Months) -> set[int]:
    """Add the months of what usage is kept in, and return which stored files that are."""
    found = set()
    for file in UsageFile.objects.select_related("feed").prefetch_related("months__period"):
        found.add(file.records_file_id)
        own = {each.period.month for each in file.months.all()}
        zone = ZoneInfo(file.feed.time_zone)
        for at in filter(None, (file.first, file.last)):
            own.add(at.astimezone(zone).date().replace(day=1))
        months[file.records_file_id] |= own or {timezone.localdate(file.read_at).replace(day=1)}
    rows = PricedMonth.objects.values_list("period__month", "payers_file", "workings_file", "focus_file")
    for month, payers, workings, focus in rows:
        for stored in filter(None, (payers, workings, focus)):
            months[stored].add(month)
        found |= {payers, workings} - {None}
    return found


# Documents --------------------------------------------------------------------------------------------------------


def _of_statements(bars: Bars, first_kept: datetime.date) -> Iterator[Item]:
    """Yield the charges of statements, and their PDFs, which have these attached. What they say is in the database."""
    old = Statement.objects.filter(period__month__lt=first_kept).exclude(charges_sha256="").order_by("pk")
    for statement in old.select_related("period").prefetch_related("lines"):
        why = "; ".join(_bars_of(bars, statement.period, [statement]))
        name, months = issuing.charges_name_of(statement), (statement.period.month,)
        size = documents.size(name)
        if size is None and not why:
            why = MISSING
        yield Item(Kind.CHARGES, name, months, size or 0, statement.charges_sha256, why)
        pdf = documents.size(statement.pdf_path) if statement.pdf_path else None
        if pdf is not None:
            yield Item(Kind.STATEMENT, statement.pdf_path, months, pdf, statement.pdf_sha256, why)


def _emails(bars: Bars, first_kept: datetime.date) -> Iterator[Item]:
    """Yield the messages that are kept as they were sent."""
    waiting = (*Email.TO_SEND, Email.State.CLAIMED, Email.State.UNCERTAIN)
    old = Email.objects.filter(period__month__lt=first_kept).exclude(message_path="").order_by("pk")
    for email in old.select_related("period").prefetch_related("statements__lines"):
        size = documents.size(email.message_path)
        if size is None:
            continue
        why = _bars_of(bars, email.period, email.statements.all(), pi=email.pi_id)
        if email.state in waiting:
            why.append(WAITS)
        yield Item(Kind.EMAIL, email.message_path, (email.period.month,), size, why="; ".join(why))


def _bars_of(bars: Bars, period: BillingPeriod, of: Iterable[Statement], *, pi: int | None = None) -> list[str]:
    owners = Owners(pis={pi} if pi else set())
    for statement in of:
        for fund_org in {line.fund_org for line in statement.lines.all()} or {""}:
            owners.add(statement.pi_id, statement.project_id, fund_org)
    return bars.of_months([period.month]) + bars.of_owners(owners)
