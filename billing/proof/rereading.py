"""Charges against the files they came from: stored files are read again, and compared line by line."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import combinations, islice
from typing import Any

from django.db.models import Q, Sum, prefetch_related_objects

from .. import importing
from ..errors import BillingError
from ..fields import AmountSum, from_units, to_units
from ..importing.charge_hashes import content_hash_of
from ..models import DIMENSION_MODELS, BillingPeriod, Charge, Dimension, Import, ImportOverlap, ImportTotal, Source
from ..models.charges import ChargeQuerySet
from ..money import ZERO, plain
from ..readers.dimensions import FIELDS
from ..readers.facts import month_number
from .equations import Equation
from .findings import About, Finding
from .proving import Proof
from .texts import SaidHashes, altered_texts, found_altered

# More than these are counted, not named.
MOST = 20
# So many charges that were edited are looked up in their files; of more, which takes memory, only their number is said.
SUSPECTS = 1_000
# Among so many rows two are tried together; among more, one.
PAIRED = 2_000
# Charges looked at together.
CHUNK = 5_000

CHECKED = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")


def of_delivered(proof: Proof, equation: Equation) -> list[Finding]:
    """Name the charges or lines because of which what was delivered differs from what became of it."""
    period = proof.period
    source = Source.objects.get(name=equation.source)
    told = Q(scope_totals__period=period) | Q(booked_in=period) | Q(overlaps__borne_by=period)
    imports = list(Import.objects.filter(told, source=source, state=Import.State.APPLIED).distinct().order_by("id"))
    found: list[Finding] = []
    for imported in imports:
        for month, made, said in _scopes_off(imported, equation.currency):
            found += _rows_of(imported, month, equation.currency) or [
                Finding(
                    "import",
                    f"Import {imported.pk}",
                    f"its charges of {equation.currency} are {made[0]:,} rows over "
                    f"{plain(made[1], equation.currency)} billed; its file said {said[0]:,} over "
                    f"{plain(said[1], equation.currency)}.",
                    About("billing.import", imported.pk),
                )
            ]
    found += _strangers(proof, source, equation, imports)
    return found or _amounting_to(proof, source, equation)


def _scopes_off(imported: Import, currency: str) -> Iterator[tuple[int, tuple[int, Decimal], tuple[int, Decimal]]]:
    """Yield the months in which an import's charges are not what its file brought: month, made, said."""
    said: dict[int, list[Any]] = defaultdict(lambda: [0, ZERO, ZERO])
    for total in ImportTotal.objects.filter(imported_in=imported, currency=currency):
        _add(said[total.period_id], total.rows, total.billed_stored, total.effective_stored)
    overlaps = ImportOverlap.objects.filter(imported_in=imported, currency=currency, kind=ImportOverlap.Kind.AGAIN)
    for overlap in overlaps:
        _add(said[overlap.period_id], -overlap.rows, -overlap.billed, -overlap.effective)
    made: dict[int, list[Any]] = defaultdict(lambda: [0, ZERO, ZERO])
    for month, rows, billed, effective in (
        Charge.objects.filter(imported_in=imported, currency=currency, reverses__isnull=True)
        .order_by()
        .values_list("period")
        .annotate(rows=Sum("row_count"), billed=AmountSum("billed_cost"), effective=AmountSum("effective_cost"))
    ):
        _add(made[month], rows, billed, effective or ZERO)
    for month in sorted({*said, *made}):
        if said[month] != made[month]:
            yield month, (made[month][0], made[month][1]), (said[month][0], said[month][1])


def _add(sums: list[Any], *more: object) -> None:
    for place, value in enumerate(more):
        sums[place] += value


def _rows_of(imported: Import, month: int, currency: str) -> list[Finding]:
    """Name the charges of an import that are not as its file has them; empty where nothing is found."""
    charges = Charge.objects.filter(
        imported_in=imported, period=month, currency=currency, reverses__isnull=True
    ).order_by("pk")
    try:
        return _against_file(imported, charges, month, currency)
    except (BillingError, OSError):
        # The file cannot be read any more: a row that was edited still gives itself away.
        return _by_hash(charges)


def _against_file(imported: Import, charges: ChargeQuerySet, month: int, currency: str) -> list[Finding]:
    there: dict[tuple[int, int], tuple[Any, ...]] = {}
    found: list[Finding] = []
    for pk, file_number, line, content, *amounts in charges.values_list(
        "pk", "file_number", "line_number", "content_hash", *CHECKED
    ).iterator(chunk_size=5_000):
        if (file_number, line) in there:
            again = f"stands for {_line(file_number, line)} a second time, over {plain(amounts[0], currency)}."
            found.append(_charge(pk, again))
        else:
            there[file_number, line] = (pk, bytes(content), amounts)
    number = month_number(BillingPeriod.objects.get(pk=month).month)
    # What the file only said again is a charge of an earlier import.
    missing: dict[bytes, list[tuple[int, int, Decimal]]] = defaultdict(list)
    for row in importing.reread(imported):
        if row.month != number or row.currency != currency:
            continue
        amounts = [None if units is None else from_units(units) for units in row.units]
        known = there.pop((row.file_number, row.line_number), None)
        if known is None:
            missing[row.content_hash].append((row.file_number, row.line_number, amounts[0] or ZERO))
        elif known[2] != amounts:
            was, wants = _different(known[2], amounts, currency)
            found.append(
                _charge(known[0], f"{was}; {_line(row.file_number, row.line_number)} of its file says {wants}.")
            )
        elif known[1] != row.content_hash:
            found.append(_charge(known[0], "its content hash is not that of its line."))
    for pk, _, amounts in there.values():
        found.append(_charge(pk, f"{plain(amounts[0], currency)} billed stands in no line of its file."))
    found += _vanished(imported, missing, currency)
    return found


def _vanished(imported: Import, missing: dict[bytes, list[tuple[int, int, Decimal]]], currency: str) -> list[Finding]:
    """Name the lines that became no charge, less those an earlier import's charges say already."""
    again: Counter[bytes] = Counter()
    hashes = sorted(missing)
    for start in range(0, len(hashes), 500):
        others = Charge.objects.filter(source=imported.source_id, content_hash__in=hashes[start : start + 500])
        again.update(
            bytes(each) for each in others.exclude(imported_in=imported).values_list("content_hash", flat=True)
        )
    found = []
    for content, lines in missing.items():
        for file_number, line, amount in lines[again[content] :]:
            found.append(
                Finding(
                    "line",
                    f"{_line(file_number, line).capitalize()} of import {imported.pk}",
                    f"{plain(amount, currency)} billed, and there is no charge of it.",
                    About("billing.import", imported.pk),
                )
            )
    return found


def _by_hash(charges: ChargeQuerySet) -> list[Finding]:
    return [
        _charge(charge.pk, f"{plain(charge.billed_cost, charge.currency)} billed is not what was delivered.")
        for charge, is_same in _held_against_hash(charges)
        if not is_same
    ]


def edited(period: BillingPeriod) -> list[Finding]:
    """Name the charges of a month that do not say any more what was delivered, and what they say instead.

    What each charge says is hashed again, as it was when it was delivered. Where the hash is another, the line of its
    stored file tells what was changed; what both say alike has more decimals in the file
    than an amount keeps. Rows that take a charge back are made here, from the charge. A text that many charges share is
    named by itself first, where it is not what it was stored as. Of more than 1,000 charges the first are named.
    """
    charges = Charge.objects.in_month(period).filter(reverses__isnull=True).order_by("pk")
    suspects: dict[int, dict[importing.Place, Charge]] = defaultdict(dict)
    doubles = []
    named = more = 0
    for charge, is_same in _held_against_hash(charges):
        if is_same:
            continue
        if named == SUSPECTS:
            more += 1
            continue
        named += 1
        place = (charge.file_number, charge.line_number)
        if place in suspects[charge.imported_in_id]:
            doubles.append(charge)
        suspects[charge.imported_in_id][place] = charge
    found = found_altered(altered_texts(charges), charges)
    found += [_charge(each.pk, f"stands for {_line(each.file_number, each.line_number)} twice.") for each in doubles]
    for pk, of_import in suspects.items():
        found += _not_as_delivered(Import.objects.select_related("source").get(pk=pk), of_import)
    if more:
        name = "1 more charge" if more == 1 else f"{more:,} more charges"
        found.append(Finding("charge", name, "not named here. What they say is not what was delivered."))
    return found


def _held_against_hash(charges: ChargeQuerySet) -> Iterator[tuple[Charge, bool]]:
    """Yield charges, and whether each says what it said when it was delivered."""
    months = BillingPeriod.objects.in_bulk()
    hashes = SaidHashes()
    rows = charges.iterator(chunk_size=CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        for charge, said in zip(chunk, hashes.of(chunk), strict=True):
            charge.period = months[charge.period_id]
            is_whole = len(said) == len(FIELDS)
            yield charge, is_whole and content_hash_of(charge, said) == bytes(charge.content_hash)


def _not_as_delivered(imported: Import, charges: dict[importing.Place, Charge]) -> list[Finding]:
    try:
        facts = importing.facts_of(imported, charges.keys())
    except (BillingError, OSError):
        # The file cannot be read any more: that it was edited still shows.
        return [_charge(charge.pk, "it does not say any more what was delivered.") for charge in charges.values()]
    found = []
    prefetch_related_objects(list(charges.values()), *FIELDS)
    for place, charge in charges.items():
        if lost := [model for model in DIMENSION_MODELS if not _has(charge, model)]:
            told = ", ".join(str(model._meta.verbose_name) for model in lost)
            found.append(_charge(charge.pk, f"the {told} of it is gone."))
            continue
        if place not in facts:
            found.append(_charge(charge.pk, f"{_line(*place)} of its file has no such row."))
            continue
        said = {name: value for name, value in facts[place].items() if name not in ("content_hash", "identity_hash")}
        for name, now in _said_by(charge, said).items():
            if now != said[name]:
                column = name.replace("_", " ")
                told = f"its {column} is “{_shown(name, now)}”; {_line(*place)} of its file says "
                found.append(_charge(charge.pk, f"{told}“{_shown(name, said[name])}”."))
    return found


def _has(charge: Charge, model: type[Dimension]) -> bool:
    try:
        getattr(charge, model.NAME)
    except model.DoesNotExist:
        return False
    return True


def _said_by(charge: Charge, names: Iterable[str]) -> dict[str, Any]:
    """Return what a charge says in some fields as a line of its file would say it."""
    values = {name: getattr(charge, name) for name in names}
    for name in CHECKED:
        values[name] = None if values[name] is None else to_units(values[name])
    return values


def _shown(name: str, value: Any) -> str:
    text = plain(from_units(value)) if name in CHECKED and value is not None else str(value or "")
    return f"{text[:80]}…" if len(text) > 81 else text


def _strangers(proof: Proof, source: Source, equation: Equation, imports: Iterable[Import]) -> list[Finding]:
    """Name charges of the month that no applied import brought."""
    known = [each.pk for each in imports]
    odd = (
        Charge.objects.in_month(proof.period)
        .filter(source=source, currency=equation.currency)
        .exclude(imported_in__in=known)
        .exclude(~Q(period=proof.period), is_late=False)
        .order_by("pk")
    )
    money = equation.currency
    return [
        _charge(
            pk, f"{plain(billed, money)} billed comes from import {number}, which brought nothing to {proof.period}."
        )
        for pk, billed, number in odd.values_list("pk", "billed_cost", "imported_in_id")[: MOST + 1]
    ]


def _amounting_to(proof: Proof, source: Source, equation: Equation) -> list[Finding]:
    """As a last resort, name one or two charges that amount to the difference by themselves."""
    wanted = -equation.difference
    if not wanted:
        return []
    charges = Charge.objects.in_month(proof.period).filter(source=source, currency=equation.currency)
    alone = list(charges.filter(billed_cost__in=(wanted, -wanted)).values_list("pk", "billed_cost")[:MOST])
    money = equation.currency
    if alone:
        return [_charge(pk, f"{plain(amount, money)} billed is just the difference.") for pk, amount in alone]
    rows = list(charges.values_list("pk", "billed_cost")[: PAIRED + 1])
    if len(rows) <= PAIRED:
        for (one, first), (other, second) in combinations(rows, 2):
            if first + second == wanted:
                return [
                    _charge(one, f"{plain(first, money)} billed and charge {other} make the difference."),
                    _charge(other, f"{plain(second, money)} billed and charge {one} make the difference."),
                ]
    return []


def _different(there: list[Any], wanted: list[Any], currency: str) -> tuple[str, str]:
    """Say the amounts that differ, as they are and as they should be."""
    names = [name for name, one, other in zip(CHECKED, there, wanted, strict=True) if one != other]
    of = {name: (one, other) for name, one, other in zip(CHECKED, there, wanted, strict=True)}

    def say(place: int) -> str:
        return ", ".join(
            f"{name.replace('_', ' ')} {'nothing' if of[name][place] is None else plain(of[name][place], currency)}"
            for name in names
        )

    return say(0), say(1)


def _charge(pk: int, text: str) -> Finding:
    return Finding("charge", f"Charge {pk}", text, About("billing.charge", pk))


def _line(file_number: int, line: int) -> str:
    return f"line {line}" + (f" of file {file_number}" if file_number > 1 else "")
