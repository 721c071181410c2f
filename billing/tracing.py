"""Why this number: from a line of a document to the row of a file it comes from, and back. Reads, never writes."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Model, Q

from . import attribution, charging
from .charging import Making
from .errors import BillingError
from .importing import delivered
from .importing.delivered import Delivered
from .models import (
    BillingPeriod,
    BillingReference,
    Charge,
    Entry,
    EntryLine,
    Flag,
    Import,
    ImportedFile,
    PayerLine,
    Policy,
    ReviewDecision,
    StoredFile,
)
from .models.charges import ChargeQuerySet
from .money import ZERO, named, plain
from .texts import number_in, shown

PAGE = 50
# Lines of documents looked up at once.
BATCH = 500

REFERENCE = re.compile(r"([1-9]\d{3}-(?:0[1-9]|1[0-2]))-(\d{4,18})$", re.ASCII)
CHARGE = re.compile(r"\d+$")
FILE_LINE = re.compile(r"([0-9a-fA-F]{6,64})(?::(.+))?:(\d{1,18})$", re.ASCII)

NOTATIONS = (
    "Name a line of a statement (2026-01-0007:3) or journal (J2026-01-1:12), a reference, a payer key, the number "
    "of a charge, or a file by its SHA-256 and a line (3fa94c:17)."
)


class NothingFound(BillingError):
    """What was to be traced does not exist, or is no name of anything."""


@dataclass(frozen=True)
class DocumentLine:
    """A line of a statement or a journal: what it says of a payer line.

    `amount` is what it charges: the total charged, or debit less credit. `stands` tells whether it is in force.
    `subject` is the document, for a link to its page.
    """

    kind: str
    number: str
    line: int
    state: str
    stands: bool
    payer_key: str
    period: BillingPeriod
    text: str
    amount: Decimal
    currency: str
    subject: Model
    # The recovery side of a journal's pairs says the same with the other sign.
    is_payer: bool = True

    @property
    def name(self) -> str:
        """As it can be traced: `2026-01-0007-2:3`."""
        return f"{self.number}:{self.line}"

    def as_data(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "line": self.name,
            "state": self.state,
            "stands": self.stands,
            "text": self.text,
            "amount": self.amount,
            "currency": self.currency,
        }


@dataclass(frozen=True)
class Document:
    """A statement or a journal with its lines."""

    kind: str
    number: str
    state: str
    lines: tuple[DocumentLine, ...]
    subject: Model


@dataclass(frozen=True)
class Provider:
    """How an app further on finds its documents: by what people call them, and by the payer lines they hold.

    `find(what)` returns the document of that number, or None where it is no number of its own.
    `holding(period, keys)` returns its lines of those payer lines, those in force first.
    """

    find: Callable[[str], Document | None]
    holding: Callable[[BillingPeriod, Sequence[str]], list[DocumentLine]]


_providers: dict[str, Provider] = {}


def register_documents(name: str, provider: Provider) -> None:
    """Have documents of an app found and shown; a second one of the same name replaces it."""
    _providers[name] = provider


def steps_of(making: Making, *, key: str, home: str) -> list[str]:
    """Say in sentences how the exact sum of a group became the cents of the payer line of this key."""
    charges = "1 charge" if making.count == 1 else f"{making.count:,} charges"
    steps = [f"{charges} {'costs' if making.count == 1 else 'add up to'} {named(making.charged_sum, making.currency)}."]
    if making.rate != 1 or making.currency != home:
        steps.append(
            f"At {making.rate.normalize():f} {home} for one {making.currency} that is {named(making.converted, home)}."
        )
    if making.rounding:
        steps.append(
            f"Rounded once, halves away from zero: {named(making.cents, home)}; "
            f"{plain(making.rounding, home)} is the rounding."
        )
    else:
        steps.append(f"That is {named(making.cents, home)}, with nothing to round.")
    mine = next((share for share in making.shares if share.key == key), None)
    if making.split:
        shares = "; ".join(
            f"{share.fund_org} {share.percent.normalize():f}% = {plain(share.charged, home)}"
            for share in making.shares
            if share.percent is not None
        )
        steps.append(f"Split {making.split} shares the cents, the largest remainders first: {shares}.")
    if making.is_shared and mine and not mine.is_subsidy:
        whole = sum((share.measure for share in making.shares if share.measure and not share.is_subsidy), ZERO)
        steps.append(
            f"Shared by what the source charged each of {len(making.shares):,}: {plain(mine.measure or ZERO, home)} of "
            f"{named(whole, home)} makes {named(making.charged, home)}."
        )
    if mine and mine.is_subsidy:
        steps.append(
            f"The source's subsidy fund pays what the users do not: contracted "
            f"{named(making.contracted_sum, making.currency)} less what is charged = {named(making.charged, home)}."
        )
    return steps


@dataclass(frozen=True)
class TracedCharge:
    """A charge with all that is known of how it came here and why it is paid by whom it is."""

    charge: Charge
    counted: Decimal | None
    flags: tuple[Flag, ...]
    decisions: tuple[ReviewDecision, ...]
    imported: Import
    file: ImportedFile | None
    line: int
    told: str
    tags: dict[str, tuple[str, str]]

    @property
    def status(self) -> str:
        """Whether it is charged, and if not, why."""
        if self.charge.withdrawn_in_id:
            return f"withdrawn by import {self.charge.withdrawn_in_id}"
        return str(Charge.State(self.charge.state).label).lower()

    @property
    def who_pays(self) -> str:
        """What said who pays: tags, a rule, a decision, with its name where it has one."""
        by = str(Charge.AttributedBy(self.charge.attributed_by).label)
        named = [self.charge.deciders] if self.charge.deciders else []
        if self.charge.attributed_by not in Charge.SETTLED:
            named += [f"tag {key} = {value}" for key, value in self.tags.values()]
        return f"{by}: {'; '.join(named)}" if named else by

    def as_data(self) -> dict[str, Any]:
        charge = self.charge
        return {
            "charge": charge.pk,
            "status": self.status,
            "billed": charge.billed_cost,
            "counted": self.counted,
            "currency": charge.currency,
            "resource": charge.resource,
            "service": charge.service_name,
            "period": str(charge.period),
            "charged_in": str(charge.charged_in),
            "attributed_by": charge.attributed_by,
            "deciders": charge.deciders,
            "tags": [{"field": name, "tag": key, "value": value} for name, (key, value) in self.tags.items()],
            "flags": [{"code": flag.code, "detail": flag.detail, "resolved": flag.is_resolved} for flag in self.flags],
            "decisions": [
                {
                    "action": each.action,
                    "reason": each.reason,
                    "note": each.note,
                    "by": each.decided_by_name,
                    "at": each.decided_at,
                }
                for each in self.decisions
            ],
            "import": self.imported.pk,
            "imported_at": self.imported.applied_at or self.imported.created_at,
            "imported_by": self.imported.created_by_name,
            "file": self.file.name if self.file else None,
            "sha256": self.file.file.sha256 if self.file else None,
            "member": self.file.member if self.file else None,
            "line": self.line,
            "rows": charge.row_count,
            "told": self.told,
        }

    def as_text(self) -> str:
        charge = self.charge
        money = plain(charge.billed_cost if self.counted is None else self.counted, charge.currency)
        said_of = f"{charge.service_name} {charge.resource}".strip()
        lines = [
            f"charge {charge.pk}: {money} {charge.currency}, {self.status}"
            + (f", {shown(said_of)}" if said_of else ""),
            f"  who pays: {self.who_pays or 'nobody said'}",
        ]
        for flag in self.flags:
            answered = ", answered" if flag.is_resolved else ""
            lines.append(f"  reason to look{answered}: {flag.code}{f' ({shown(flag.detail)})' if flag.detail else ''}")
        for each in self.decisions:
            why = shown(" – ".join(filter(None, (each.reason, each.note))))
            lines.append(
                f"  {each.action} by {each.decided_by_name} on {each.decided_at:%Y-%m-%d %H:%M}"
                + (f": {why}" * bool(why))
            )
        origin = self.file
        lines.append(
            f"  import {self.imported.pk} of {self.imported.applied_at or self.imported.created_at:%Y-%m-%d %H:%M} by "
            f"{self.imported.created_by_name or 'nobody named'}"
        )
        if origin:
            lines.append(f"  {shown(origin.name)}, line {self.line:,}, SHA-256 {origin.file.sha256}")
        if self.told:
            lines.append(f"  {self.told}")
        return "\n".join(lines)


def _entry_data(line: EntryLine) -> dict[str, Any]:
    entry = line.entry
    return {
        "entry": entry.pk,
        "kind": entry.kind,
        "amount": line.amount,
        "charged_in": str(entry.charged_in),
        "reason": entry.reason,
        "by": entry.entered_by_name,
        "at": entry.entered_at,
        "decided_by": entry.decided_by_name,
    }


def _entry_text(line: EntryLine) -> str:
    entry = line.entry
    approved = f", approved by {entry.decided_by_name}" if entry.needs_second_person and entry.decided_by_name else ""
    return (
        f"{entry} in {entry.charged_in}: {named(line.amount, entry.currency)}, {entry.get_kind_display().lower()} by "
        f"{entry.entered_by_name} on {entry.entered_at:%Y-%m-%d}{approved}: {' '.join(entry.reason.split())}"
    )


@dataclass(frozen=True)
class TracedLine:
    """A payer line: where it is printed, and the groups of charges, or the entries, that its cents come from.

    `line` is None where charging made it no more (`key` and `period` are what a document keeps).
    """

    key: str
    period: BillingPeriod
    line: PayerLine | None
    documents: tuple[DocumentLine, ...]
    makings: tuple[Making, ...] = ()
    entered: tuple[EntryLine, ...] = ()
    corrected_by: tuple[EntryLine, ...] = ()
    problem: str = ""

    @property
    def computed(self) -> Decimal:
        """What its charges and entries make of it as they stand."""
        return sum((each.charged for each in self.makings), ZERO) + sum((each.amount for each in self.entered), ZERO)

    @property
    def is_current(self) -> bool:
        return self.line is not None and self.line.charged == self.computed

    @property
    def charge_count(self) -> int:
        return sum(making.count for making in self.makings)

    @property
    def steps(self) -> list[list[str]]:
        """How the cents came about, in sentences, group by group."""
        home = self.line.currency if self.line else ""
        return [steps_of(making, key=self.key, home=home) for making in self.makings]

    def as_data(self) -> dict[str, Any]:
        line = self.line
        return {
            "key": self.key,
            "period": str(self.period),
            "reference": line.reference.text if line else None,
            "kind": line.kind if line else None,
            "pi": line.pi.email if line and line.pi else None,
            "project": line.project.code if line and line.project else None,
            "fund_org": line.fund_org if line else None,
            "source": line.source.name if line else None,
            "service": line.service_name if line else None,
            "charged": line.charged if line else None,
            "currency": line.currency if line else None,
            "computed": self.computed if self.makings or self.entered else None,
            "makings": [
                {
                    "charges": making.count,
                    "sum": making.charged_sum,
                    "currency": making.currency,
                    "rate": making.rate,
                    "converted": making.converted,
                    "cents": making.cents,
                    "rounding": making.rounding,
                    "split": making.split,
                    "shares": [
                        {
                            "key": share.key,
                            "fund_org": share.fund_org,
                            "percent": share.percent,
                            "measure": share.measure,
                            "charged": share.charged,
                        }
                        for share in making.shares
                    ],
                    "charged": making.charged,
                }
                for making in self.makings
            ],
            "entries": [_entry_data(each) for each in self.entered],
            "corrected_by": [_entry_data(each) for each in self.corrected_by],
            "documents": [each.as_data() for each in self.documents],
        }

    def as_text(self) -> str:
        line = self.line
        if line is None:
            lines = [f"payer line {shown(self.key)} of {self.period}: {self.problem}"]
        else:
            owner = " ".join(
                filter(None, (line.pi.email if line.pi else "the center", line.project.code if line.project else ""))
            )
            lines = [
                f"payer line of {self.period}, reference {line.reference.text}: {named(line.charged, line.currency)}, "
                f"{line.get_kind_display().lower()}",
                f"  {owner}, {line.fund_org}, {line.source.name} {shown(line.service_name)}".rstrip(),
                f"  key {shown(self.key)}",
            ]
        lines += [f"  {sentence}" for steps in self.steps for sentence in steps]
        lines += [f"  {_entry_text(each)}" for each in self.entered]
        lines += [f"  corrected by {_entry_text(each)}" for each in self.corrected_by]
        if (self.makings or self.entered) and not self.is_current:
            home = Policy.objects.current().currency
            lines.append(f"  Its charges come to {plain(self.computed, home)} now: generate brings it up to date.")
        lines += [
            f"  {each.kind} {each.name}, {each.state.lower()}: {named(each.amount, each.currency)}, {each.text}"
            for each in self.documents
        ]
        return "\n".join(lines)

    def charges(self) -> ChargeQuerySet:
        """Return all its charges, each with what counts of it as `counted`; the costliest groups do not matter."""
        found = [making.charges for making in self.makings]
        return found[0].union(*found[1:]) if len(found) > 1 else found[0] if found else Charge.objects.none()


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
    delivered: Delivered | None = None
    related: tuple[tuple[str, Charge], ...] = ()
    notes: list[str] = field(default_factory=list)

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
            parts.append(f"Page {self.page} of {self.pages}: {self.charge_count:,} charges.")
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
    (`:3` behind it), a payer key, a charge by its number, or a line of a stored file by the first
    digits of its SHA-256 (`3fa94c:17`, with the member of an archive between: `3fa94c:costs.csv:17`).
    A line leads to its charges, `per_page` of them at a time; a charge leads to its row and to its lines.

    Raises NothingFound.
    """
    what = what.strip()
    for found in (_of_document, _of_charge, _of_key, _of_reference, _of_file):
        if traced := found(what, page, per_page):
            return traced
    raise NothingFound(f"There is no “{what}”. {NOTATIONS}" if what else NOTATIONS)


def holding(period: BillingPeriod, keys: Sequence[str]) -> list[DocumentLine]:
    """Return the lines of all documents of a month that are of these payer lines, those in force first."""
    found = [line for name in sorted(_providers) for line in _providers[name].holding(period, keys)]
    return sorted(found, key=lambda line: not line.stands)


def line_of(period: BillingPeriod, key: str) -> TracedLine:
    """Return a payer line with where it is printed and what it is made of."""
    line = (
        PayerLine.objects.select_related("period", "for_period", "pi", "project", "source", "reference__period")
        .filter(period=period, key=key)
        .first()
    )
    documents = tuple(holding(period, [key]))
    corrected = tuple(
        EntryLine.objects.select_related("entry__charged_in")
        .filter(corrects_period=period, corrects_key=key)
        .exclude(entry__state=Entry.State.REJECTED)
        .order_by("entry", "number")
    )
    if line is None:
        problem = (
            "No charge makes this payer line any more: what it was made of is charged otherwise now, or withdrawn."
        )
        return TracedLine(key, period, None, documents, corrected_by=corrected, problem=problem)
    if line.kind in PayerLine.ENTERED:
        return TracedLine(
            key, period, line, documents, entered=tuple(charging.entries_of(line)), corrected_by=corrected
        )
    try:
        makings = tuple(charging.makings_of(line))
    except BillingError as error:
        return TracedLine(key, period, line, documents, corrected_by=corrected, problem=str(error))
    return TracedLine(key, period, line, documents, makings, corrected_by=corrected)


def charges_with_past(charges: Iterable[Charge]) -> tuple[TracedCharge, ...]:
    """Return charges with their flags, decisions, imports and places in files; the same few queries for any number."""
    listed = list(charges)
    ids = [charge.pk for charge in listed]
    flags: dict[int, list[Flag]] = defaultdict(list)
    for flag in Flag.objects.filter(charge__in=ids).order_by("is_resolved", "pk"):
        flags[flag.charge_id].append(flag)
    decisions: dict[int, list[ReviewDecision]] = defaultdict(list)
    for decision in ReviewDecision.objects.filter(charge__in=ids).order_by("pk"):
        decisions[decision.charge_id].append(decision)
    # A row that takes another back stands in no file; the other does.
    reversed_charges = Charge.objects.in_bulk({charge.reverses_id for charge in listed if charge.reverses_id})
    origins = {charge.pk: reversed_charges.get(charge.reverses_id or 0, charge) for charge in listed}
    imports = Import.objects.in_bulk({charge.imported_in_id for charge in (*listed, *origins.values())})
    files = {
        (file.imported_in_id, file.number): file
        for file in ImportedFile.objects.select_related("file").filter(imported_in__in=imports)
    }
    policy = Policy.objects.current()
    found = []
    for charge in listed:
        origin = origins[charge.pk]
        found.append(
            TracedCharge(
                charge=charge,
                counted=getattr(charge, "counted", None),
                flags=tuple(flags[charge.pk]),
                decisions=tuple(decisions[charge.pk]),
                imported=imports[charge.imported_in_id],
                file=files.get((origin.imported_in_id, origin.file_number)),
                line=origin.line_number,
                told=delivered.told_of(charge, origin),
                tags=attribution.tags_used(charge.tags, policy),
            )
        )
    return tuple(found)


# What is asked for -------------------------------------------------------------------------------


def _of_document(what: str, page: int, per_page: int) -> Traced | None:
    name, colon, text = what.rpartition(":")
    number = number_in(text) if colon else None
    is_line = number is not None
    document = _document(name if is_line else what)
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


def _document(number: str) -> Document | None:
    return next(
        (document for name in sorted(_providers) if (document := _providers[name].find(number)) is not None), None
    )


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
    found = [line for line in lines if not month or str(line.period) == month]
    if not found:
        raise NothingFound(f"There is no payer line of this key: {what}.")
    if len(found) == 1:
        return _of_line(what, found[0].period, key, page, per_page)
    return Traced(
        what,
        "Payer lines of several months",
        choices=tuple((f"{line.period}@{key}", f"in {line.period}", line.charged, line.currency) for line in found),
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
            (f"{line.period}@{line.key}", f"{line.get_kind_display()}: {line.fund_org}", line.charged, line.currency)
            for line in lines
        ),
    )


def _of_charge(what: str, page: int, per_page: int) -> Traced | None:
    number = what.removeprefix("charge ").strip()
    if not CHARGE.fullmatch(number) or len(number) > 18:
        return None
    charge = (
        Charge.objects.select_related("charged_in", "period", "source", "pi", "project", "replaces", "reverses")
        .filter(pk=int(number))
        .first()
    )
    if charge is None:
        raise NothingFound(f"There is no charge {number}.")
    (traced,) = charges_with_past([charge])
    keys = charging.keys_of(charge)
    notes = [] if keys else [f"Nobody is charged for it: it is {traced.status}."]
    lines = [
        TracedLine(line.key, line.period, line, tuple(holding(line.period, [line.key])))
        for line in PayerLine.objects.select_related(
            "period", "for_period", "pi", "project", "source", "reference__period"
        )
        .filter(period=charge.charged_in, key__in=keys)
        .order_by("key")
    ]
    if keys and not lines:
        notes.append("No payer line stands for it yet: generate makes them.")
    return Traced(
        what,
        f"Charge {charge.pk}",
        lines=tuple(lines),
        charges=(traced,),
        charge_count=1,
        delivered=delivered.row_of(charge),
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
    stored = list(StoredFile.objects.filter(sha256__startswith=prefix)[:2])
    if not stored:
        raise NothingFound(f"No stored file's SHA-256 begins with {prefix}.")
    if len(stored) > 1:
        raise NothingFound(f"Several stored files' SHA-256 begin with {prefix}: write more of it.")
    uses = ImportedFile.objects.select_related("file", "imported_in").filter(file=stored[0])
    if member:
        uses = uses.filter(member=member)
    of = Q(pk__in=())
    listed = list(uses.order_by("imported_in", "number"))
    if not listed:
        raise NothingFound(f"No import has {f'a member {member} of ' if member else ''}the file {prefix}.")
    if len({use.member for use in listed}) > 1:
        members = ", ".join(sorted({use.member for use in listed})[:10])
        raise NothingFound(f"The file is an archive: write {prefix}:MEMBER:{line}. Its members are {members}.")
    for use in listed:
        of |= Q(imported_in=use.imported_in_id, file_number=use.number)
    charges = list(
        Charge.objects.select_related("charged_in", "period", "source", "pi", "project")
        .filter(of, line_number=line)
        .order_by("id")
    )
    row: Any = delivered.read(listed[-1], line)
    notes = []
    if not charges and not row.problem:
        numbers = ", ".join(str(use.imported_in_id) for use in listed)
        notes.append(
            f"No charge was made of this line (import {numbers}): it repeats a charge of an earlier "
            "import, or it was added up with others, or its import was not applied."
        )
    elif row.problem:
        raise NothingFound(row.problem)
    name = stored[0].sha256[:12]
    return Traced(
        what,
        f"Line {line} of file {name}",
        charges=charges_with_past(charges),
        charge_count=len(charges),
        delivered=row,
        notes=notes,
    )
