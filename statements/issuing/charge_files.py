"""charges.csv: the charges behind a statement, written when it is issued and never again otherwise."""

import csv
import datetime
import hashlib
import io
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing import charging, quantities
from billing.charging import ChargePart, Whole
from billing.errors import BillingError
from billing.files import disposed, documents
from billing.files.disposed import DisposedOf
from billing.models import BillingPeriod, PayerLine
from billing.models.policy import TAG_FIELDS, reference_labels
from billing.money import plain
from billing.proof import About
from billing.proof.verifying import Kept
from billing.quantities import Usage
from billing.readers.values import Memo
from billing.sheets import guarded
from billing.texts import long_dates

from .. import sheets
from ..document import CHARGES
from ..models import Statement, StatementLine
from .documents import for_what, share_of
from .snapshots import usage_of

log = logging.getLogger(__name__)

NAME = CHARGES
# A statement of more charges has a row for each resource in their place: a spreadsheet opens it, and a PDF holds it.
MOST_ROWS = 20_000
# Charges read at once, of whole PIs.
READ_AT_ONCE = 50_000
# Lines that are made of charges of their own: a share of a shared cost is not, nor is what staff entered.
ITEMIZED = (PayerLine.Kind.CHARGE, PayerLine.Kind.LATE)

HEADINGS = (
    *("Statement", "Line", "Charge", "Service from", "Service until", "Source", "Provider", "Service"),
    *("Resource id", "Resource", "SKU", "Usage", "Unit", "List price", "Contracted price", "Charged", "Currency"),
    "Fund/org",
)
HEADINGS_AFTER_REFERENCES = ("Share", "Note")


@dataclass(frozen=True)
class ChargeRow:
    """A row of charges.csv as a page shows it; `charge` is empty where it stands for more or less than one charge."""

    charge: str
    # By the calendar of UTC, which FOCUS is in.
    dates: str
    provider: str
    resource_id: str
    resource: str
    sku: str
    used: str
    list_cost: Decimal
    contracted_cost: Decimal
    charged: Decimal
    references: tuple[str, ...]
    share: str
    note: str


class ChargesLost(BillingError):
    """The file of a statement's charges is gone or altered, and its charges have changed since."""


class ChargesDisposedOf(ChargesLost):
    """The file of a statement's charges was disposed of, and is not made again."""


def charges_csv_of(statement: Statement) -> bytes:
    """Return charges.csv of a statement, byte for byte as it was when the statement was issued.

    A file that is gone or altered is written again if its charges are still those, which its hash tells.
    Raises ChargesLost.
    """
    name = name_of(statement)
    try:
        kept = documents.read(name)
        if hashlib.sha256(kept).hexdigest() == statement.charges_sha256:
            return kept
    except DisposedOf as error:
        raise ChargesDisposedOf(f"{NAME} of statement {statement.number} was {disposed.said(name)}.") from error
    except FileNotFoundError:
        pass
    place = documents.place(name)
    log.error("%s is not the file that was written: it is made again for statement %s.", place, statement.number)
    lines = list(statement.lines.all())
    for line in lines:
        line.statement = statement
    try:
        ((_, data),) = written(statement.period, [(statement, lines)])
    except (BillingError, ValueError):
        data = b""
    if hashlib.sha256(data).hexdigest() != statement.charges_sha256:
        raise ChargesLost(
            f"{NAME} of statement {statement.number} is not there as it was issued, and its charges have changed "
            f"since. Put {place} back from a backup."
        )
    _write(statement, data)
    return data


def charges_of_line(statement: Statement, number: int) -> list[ChargeRow]:
    """Return the rows of charges.csv that a line of a statement adds up. Raises ChargesLost."""
    text = charges_csv_of(statement).decode("utf-8-sig")
    return [_read(row) for row in itertools.islice(csv.reader(io.StringIO(text)), 1, None) if row[1] == str(number)]


def _read(row: Sequence[str]) -> ChargeRow:
    _, _, charge, start, end, _, provider, _, resource_id, resource, sku, quantity, unit, *rest = row
    listed, contracted, charged, _, _, *references, share, note = rest
    dates, used = "", ""
    if start:
        # The end is exclusive.
        last = datetime.datetime.fromisoformat(end) - datetime.timedelta(seconds=1)
        first = datetime.datetime.fromisoformat(start)
        dates = long_dates(first.date(), max(first, last).date())
    if quantity:
        pairs = zip(quantity.split("; "), unit.split("; ", quantity.count("; ")), strict=False)
        used = quantities.told(Usage(Decimal(amount), of) for amount, of in pairs)
    amounts = (Decimal(listed), Decimal(contracted), Decimal(charged))
    return ChargeRow(
        charge, dates, provider, resource_id, resource, sku, used, *amounts, tuple(references), share, note
    )


def keep(period: BillingPeriod, issued: Sequence[tuple[Statement, Sequence[StatementLine]]]) -> None:
    """Write charges.csv of statements that are being issued, and set its hash (unsaved)."""
    for statement, data in written(period, issued):
        _write(statement, data)
        statement.charges_sha256 = hashlib.sha256(data).hexdigest()


def kept_charge_files(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the files of charges that were written: other than PDFs they cannot always be made again."""
    written = Statement.objects.exclude(charges_sha256="").select_related("period").order_by("pk")
    for statement in written if period is None else written.filter(period=period):
        about, place = About("statements.statement", statement.pk), documents.place(name_of(statement))
        yield Kept(f"{NAME} of statement {statement.number}", place, statement.charges_sha256, about)


def name_of(statement: Statement) -> str:
    """Return the name of its document."""
    return f"statements/{statement.period.iso_month}/{statement.number}-{NAME}"


def is_summed(lines: Sequence[StatementLine]) -> bool:
    """Tell whether charges.csv of a statement with these lines has a row for each resource, not each charge."""
    return sum(line.charge_count for line in lines if line.kind in ITEMIZED) > MOST_ROWS


def _write(statement: Statement, data: bytes) -> None:
    documents.write(name_of(statement), data)


def written(
    period: BillingPeriod, issued: Sequence[tuple[Statement, Sequence[StatementLine]]]
) -> Iterator[tuple[Statement, bytes]]:
    """Yield statements with their charges.csv; the charges of some PIs are read at once."""
    by_pi: dict[int, list[tuple[Statement, Sequence[StatementLine]]]] = {}
    for statement, lines in issued:
        by_pi.setdefault(statement.pi_id, []).append((statement, lines))
    batch: list[tuple[Statement, Sequence[StatementLine]]] = []
    size = 0
    for of_pi in by_pi.values():
        of_its_own = sum(
            line.charge_count for _, lines in of_pi for line in lines if line.kind in ITEMIZED and not is_summed(lines)
        )
        if batch and size + of_its_own > READ_AT_ONCE:
            yield from _of_batch(period, batch)
            batch, size = [], 0
        batch += of_pi
        size += of_its_own
    yield from _of_batch(period, batch)


def _of_batch(
    period: BillingPeriod, batch: Sequence[tuple[Statement, Sequence[StatementLine]]]
) -> Iterator[tuple[Statement, bytes]]:
    wanted = {
        line.payer_key: Whole(line.list_cost, line.contracted_cost, line.charged, statement.currency)
        for statement, lines in batch
        if not is_summed(lines)
        for line in lines
        if line.kind in ITEMIZED
    }
    owners = {statement.pi_id for statement, _ in batch}
    besides = [(statement.pi_id, statement.project_id) for statement, lines in batch if is_summed(lines)]
    items = charging.itemized(period, wanted, owners=owners, besides=besides) if wanted else {}
    for statement, lines in batch:
        yield statement, _as_csv(statement, lines, items)


Row = Sequence[str | int]


def _as_csv(statement: Statement, lines: Sequence[StatementLine], items: Mapping[str, Sequence[ChargePart]]) -> bytes:
    """Return charges.csv (UTF-8, with the mark by which Excel knows it); no text of it can become a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    labels = statement.document.get("reference_labels", reference_labels(TAG_FIELDS))
    writer.writerow([*HEADINGS, *map(guarded, labels), *HEADINGS_AFTER_REFERENCES])
    sums_up = is_summed(lines)
    for line in lines:
        if (own := items.get(line.payer_key)) is not None:
            writer.writerows(_rows_of_charges(statement, line, own))
        else:
            for row in _rows(statement, line, sums_up=sums_up):
                writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in row])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


# Of many charges most texts and moments are the same.
_safe = Memo(guarded)
_moment = Memo(lambda at: at.astimezone(datetime.UTC).isoformat())
_share = Memo(lambda percent: f"{quantities.plain(percent)}%")


def _rows_of_charges(statement: Statement, line: StatementLine, items: Sequence[ChargePart]) -> Iterator[Row]:
    """Yield a row for each charge of a line. Their amounts are in whole cents, with the decimals of the currency."""
    number, at, note = statement.number, line.number, guarded(for_what(line))
    source, service, fund_org = guarded(line.source_label), guarded(line.service_name), guarded(line.fund_org)
    currency, safe, moment = statement.currency, _safe, _moment
    for item in items:
        yield (
            number,
            at,
            item.charge,
            moment[item.start],
            moment[item.end],
            source,
            safe[item.provider],
            service,
            safe[item.resource_id],
            safe[item.resource_name],
            safe[item.sku],
            item.quantity or "",
            safe[item.unit],
            f"{item.list_cost:f}",
            f"{item.contracted_cost:f}",
            f"{item.charged:f}",
            currency,
            fund_org,
            safe[item.reference_1],
            safe[item.reference_2],
            _share[item.percent],
            note,
        )


def _rows(statement: Statement, line: StatementLine, *, sums_up: bool) -> Iterator[Row]:
    """Yield the rows of a line that is not told by charges: its resources or corrections, or the line itself."""
    currency, note = statement.currency, for_what(line)
    about, of_line = (statement.number, line.number), (line.source_label, "", line.what)
    after = (currency, line.fund_org, line.reference_1, line.reference_2)
    if not line.resources:
        figures = _amounts((line.list_cost, line.contracted_cost, line.charged), currency)
        yield (*about, "", "", "", *of_line, "", "", "", "", "", *figures, *after, share_of(line), note)
    for each in line.resources:
        amounts = _amounts([Decimal(each[name]) for name in ("list", "contracted", "charged")], currency)
        if line.kind in PayerLine.ENTERED:
            yield (*about, each["id"], "", "", *of_line, "", "", "", "", "", *amounts, *after, "", each["name"])
            continue
        usage = usage_of(each["usage"])
        quantity, unit = sheets.used(usage)
        name = f"{each['further']} further resources" if each.get("further") else each["name"]
        told = ". ".join(filter(None, (note, _summed(statement, each["count"])))) if sums_up else note
        yield (
            *(*about, "", "", "", *of_line, each["id"], name, ""),
            *(quantity if isinstance(quantity, str) else quantities.plain(quantity), unit),
            *(*amounts, *after, sheets.shares(usage), told),
        )


def _summed(statement: Statement, count: int) -> str:
    """Say that a row stands for many charges, and where the statement is."""
    url = statement.document.get("portal_url", "")
    charges = "1 charge" if count == 1 else f"{count:,} charges"
    return f"Sum of {charges}." + (f" The statement: {url}" if url else "")


def _amounts(amounts: Sequence[Decimal], currency: str) -> tuple[str, ...]:
    return tuple(plain(amount, currency) for amount in amounts)
