"""What can be asked for, by what people write, and the answer."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Q

from .. import charging
from ..errors import BillingError
from ..importing import origins
from ..importing.origins import Origin
from ..models import BillingPeriod, BillingReference, Charge, ImportedFile, PayerLine, StoredFile
from ..money import named
from ..texts import number_in, shown
from .charges import WITH_PAST, TracedCharge, charges_with_past
from .documents import Document, DocumentLine, document_of, holding
from .lines import TracedLine, line_of

PAGE = 50

REFERENCE = re.compile(r"([1-9]\d{3}-(?:0[1-9]|1[0-2]))-(\d{4,18})$", re.ASCII)
CHARGE = re.compile(r"\d+$")
FILE_LINE = re.compile(r"([0-9a-fA-F]{6,64})(?::(.+))?:(\d{1,18})$", re.ASCII)

NOTATIONS = (
    "Name a line of a statement (2026-01-0007:3), of a journal (J2026-01-1:12) or of its file (J2026-01-1#7), a "
    "reference, a payer key, the number of a charge, or a file by its SHA-256 and a line (3fa94c:17)."
)


class NothingFound(BillingError):
    """What was to be traced does not exist, or is no name of anything."""


@dataclass
class Traced:
    """What came of asking for one thing; what does not apply is empty.

    `choices` are the lines of a document, a reference or a key of several months, to ask for one by one.
    `charges` is a page of the payer line's, or the charge asked for, or those of a line of a file.
    """

    what: str
    title: str
    asked: DocumentLine | None = None
    document: Document | None = None
    choices: tuple[tuple[str, str, Decimal, str], ...] = ()
    lines: tuple[TracedLine, ...] = ()
    charges: tuple[TracedCharge, ...] = ()
    charge_count: int = 0
    page: int = 1
    pages: int = 1
    delivered: Origin | None = None
    related: tuple[tuple[str, Charge], ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def paged(self) -> str:
        """What its pages are of: charges, or the records of usage of one charge."""
        if self.charge_count == 1 and self.charges and self.charges[0].usage:
            return f"{self.charges[0].usage.record_count:,} records of usage"
        return f"{self.charge_count:,} charges"

    def as_data(self) -> dict[str, Any]:
        """The trace as --json prints it."""
        row = self.delivered
        return {
            "what": self.what,
            "title": self.title,
            "asked": self.asked.as_data() if self.asked else None,
            "choices": [
                {"what": what, "text": text, "amount": amount, "currency": currency}
                for what, text, amount, currency in self.choices
            ],
            "payer_lines": [line.as_data() for line in self.lines],
            "charges": [charge.as_data() for charge in self.charges],
            "charge_count": self.charge_count,
            "page": self.page,
            "pages": self.pages,
            "row": [{"column": column, "value": value} for column, value in row.row] if row else None,
            "row_problem": row.problem if row else None,
            "related": [{"how": how, "charge": charge.pk} for how, charge in self.related],
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """The trace for a person, top down."""
        parts = [self.title]
        if self.asked:
            asked = self.asked
            parts[0] += f" ({asked.state.lower()}): {named(asked.amount, asked.currency)}, {asked.text}"
        parts += [
            f"  {what}  {named(amount, currency)}  {shown(text)}" for what, text, amount, currency in self.choices
        ]
        parts += self.notes
        parts += [line.as_text() for line in self.lines]
        parts += [charge.as_text() for charge in self.charges]
        if self.pages > 1:
            parts.append(f"Page {self.page} of {self.pages}: {self.paged}.")
        parts += [f"  {how} charge {charge.pk}" for how, charge in self.related]
        if self.delivered and self.delivered.row:
            parts.append("The row as received:")
            parts += [f"  {column}: {shown(value)}" for column, value in self.delivered.row if value]
        elif self.delivered:
            parts.append(f"The row as received cannot be shown: {self.delivered.problem}")
        return "\n".join(parts)


def trace(what: str, *, page: int = 1, per_page: int = PAGE) -> Traced:
    """Follow a number both ways.

    `what` names a statement (2026-01-0007 or 2026-01-0007-2) or journal (J2026-01-1) or a line of one
    (`:3` behind it), a line of a journal's file (J2026-01-1#7), a payer key, a charge by its number, or
    a line of a stored file by the first digits of its SHA-256 (`3fa94c:17`, with the member of an
    archive between: `3fa94c:costs.csv:17`). A line leads to its charges, `per_page` of them at a time;
    a charge leads to its row and to its lines.

    Raises NothingFound.
    """
    what = what.strip()
    for found in (_of_document, _of_charge, _of_key, _of_reference, _of_file):
        if traced := found(what, page, per_page):
            return traced
    raise NothingFound(f"There is no “{what}”. {NOTATIONS}" if what else NOTATIONS)


def _of_document(what: str, page: int, per_page: int) -> Traced | None:
    name, colon, text = what.rpartition(":")
    number = number_in(text) if colon else None
    is_line = number is not None
    document = document_of(name if is_line else what)
    if document is None:
        return None
    if not is_line:
        return Traced(
            what,
            f"{document.kind.capitalize()} {document.number}",
            document=document,
            choices=tuple((line.name, line.text, line.amount, line.currency) for line in document.lines),
        )
    asked = next((line for line in document.lines if line.line == number), None)
    if asked is None:
        raise NothingFound(
            f"{document.kind.capitalize()} {document.number} has {len(document.lines)} lines, no {number}."
        )
    traced = _of_line(what, asked.period, asked.payer_key, page, per_page)
    traced.title = f"Line {asked.line} of {asked.kind} {asked.number}"
    traced.asked, traced.document = asked, document
    if not asked.stands:
        traced.notes.insert(0, f"{document.kind.capitalize()} {document.number} is {document.state.lower()}.")
    return traced


def _of_line(what: str, period: BillingPeriod, key: str, page: int, per_page: int) -> Traced:
    line = line_of(period, key)
    count = line.charge_count
    pages = max(1, -(-count // per_page))
    page = min(max(page, 1), pages)
    charges = line.charges().order_by("id")[(page - 1) * per_page : page * per_page]
    return Traced(
        what,
        "Payer line",
        lines=(line,),
        charges=charges_with_past(charges),
        charge_count=count,
        page=page,
        pages=pages,
        notes=[line.problem] if line.problem else [],
    )


def _of_key(what: str, page: int, per_page: int) -> Traced | None:
    if charging.SEPARATOR not in what:
        return None
    month, at, key = what.partition("@")
    if not (at and re.fullmatch(r"\d{4}-\d{2}", month)):
        month, key = "", what
    lines = PayerLine.objects.select_related("period").filter(key=key).order_by("period__month")
    found = [line for line in lines if not month or line.period.iso_month == month]
    if not found:
        raise NothingFound(f"There is no payer line of this key: {what}.")
    if len(found) == 1:
        return _of_line(what, found[0].period, key, page, per_page)
    return Traced(
        what,
        "Payer lines of several months",
        choices=tuple(
            (f"{line.period.iso_month}@{key}", f"in {line.period}", line.charged, line.currency) for line in found
        ),
    )


def _of_reference(what: str, page: int, per_page: int) -> Traced | None:
    """Return the payer lines of a reference that no statement stands for (the center's, or not issued yet)."""
    name, colon, number = what.partition(":")
    match = REFERENCE.fullmatch(name)
    if not match:
        return None
    reference = BillingReference.objects.filter(period__month=f"{match[1]}-01", number=int(match[2])).first()
    if reference is None:
        return None
    lines = list(PayerLine.objects.select_related("period").filter(reference=reference).order_by("key"))
    if colon:
        raise NothingFound(
            f"{name} has no statement, and so no lines by number. Ask for {name}, then for a line of it."
        )
    return Traced(
        what,
        f"Reference {name}",
        choices=tuple(
            (
                f"{line.period.iso_month}@{line.key}",
                f"{line.get_kind_display()}: {line.fund_org}",
                line.charged,
                line.currency,
            )
            for line in lines
        ),
    )


def _of_charge(what: str, page: int, per_page: int) -> Traced | None:
    number = what.removeprefix("charge ").strip()
    if not CHARGE.fullmatch(number) or len(number) > 18:
        return None
    charge = Charge.objects.select_related(*WITH_PAST, "replaces", "reverses").filter(pk=int(number)).first()
    if charge is None:
        raise NothingFound(f"There is no charge {number}.")
    (traced,) = charges_with_past([charge], with_records=True, page=page)
    keys = charging.keys_of(charge)
    notes = [] if keys else [f"Nobody is charged for it: it is {traced.status}."]
    printed: dict[str, list[DocumentLine]] = defaultdict(list)
    for each in holding(charge.charged_in, keys):
        printed[each.payer_key].append(each)
    lines = [
        TracedLine(line.key, line.period, line, tuple(printed[line.key]))
        for line in PayerLine.objects.select_related(
            "period", "for_period", "pi", "project", "source", "reference__period"
        )
        .filter(period=charge.charged_in, key__in=keys)
        .order_by("key")
    ]
    if keys and not lines:
        notes.append("No payer line stands for it yet: the next run of statements makes them.")
    return Traced(
        what,
        f"Charge {charge.pk}",
        lines=tuple(lines),
        charges=(traced,),
        charge_count=1,
        page=traced.usage.page if traced.usage else 1,
        pages=traced.usage.pages if traced.usage else 1,
        delivered=origins.row_of(charge),
        related=_related(charge),
        notes=notes,
    )


def _related(charge: Charge) -> tuple[tuple[str, Charge], ...]:
    found: list[tuple[str, Charge]] = []
    if charge.replaces:
        found.append(("replaces", charge.replaces))
    if charge.reverses:
        found.append(("reverses", charge.reverses))
    later = Charge.objects.filter(Q(replaces=charge.pk) | Q(reverses=charge.pk)).order_by("pk")
    found += [("replaced by" if each.replaces_id == charge.pk else "reversed by", each) for each in later]
    return tuple(found)


def _of_file(what: str, page: int, per_page: int) -> Traced | None:
    match = FILE_LINE.fullmatch(what)
    if not match:
        return None
    prefix, member, line = match[1].lower(), match[2] or "", int(match[3])
    stored = _stored(prefix)
    uses = _uses(stored, prefix, member, line)
    of = Q(pk__in=())
    for use in uses:
        of |= Q(imported_in=use.imported_in_id, file_number=use.number)
    charges = list(Charge.objects.select_related(*WITH_PAST).filter(of, line_number=line).order_by("id"))
    row = origins.read(uses[-1], line)
    if row.problem:
        raise NothingFound(row.problem)
    notes = []
    if not charges:
        numbers = ", ".join(str(use.imported_in_id) for use in uses)
        notes.append(
            f"No charge was made of this line (import {numbers}): it repeats a charge of an earlier "
            "import, or it was added up with others, or its import was not applied."
        )
    return Traced(
        what,
        f"Line {line} of file {stored.sha256[:12]}",
        charges=charges_with_past(charges),
        charge_count=len(charges),
        delivered=row,
        notes=notes,
    )


def _stored(prefix: str) -> StoredFile:
    """Return the stored file whose SHA-256 begins so; raises NothingFound for none or several."""
    stored = list(StoredFile.objects.filter(sha256__startswith=prefix)[:2])
    if not stored:
        raise NothingFound(f"No stored file's SHA-256 begins with {prefix}.")
    if len(stored) > 1:
        raise NothingFound(f"Several stored files' SHA-256 begin with {prefix}: write more of it.")
    return stored[0]


def _uses(stored: StoredFile, prefix: str, member: str, line: int) -> list[ImportedFile]:
    """Return where imports read a file, or a member of it; raises NothingFound where a member has to be named."""
    uses = ImportedFile.objects.select_related("file", "imported_in").filter(file=stored)
    if member:
        uses = uses.filter(member=member)
    found = list(uses.order_by("imported_in", "number"))
    if not found:
        raise NothingFound(f"No import has {f'a member {member} of ' if member else ''}the file {prefix}.")
    if len({use.member for use in found}) > 1:
        members = ", ".join(sorted({use.member for use in found})[:10])
        raise NothingFound(f"The file is an archive: write {prefix}:MEMBER:{line}. Its members are {members}.")
    return found
