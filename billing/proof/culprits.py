"""Where a proof does not come out: the smallest set of rows responsible that can be found."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import combinations
from typing import Any

from django.db.models import Q, Sum
from django.urls import reverse

from .. import charging, importing
from ..errors import BillingError
from ..fields import AmountSum, from_units, to_units
from ..importing.converting import content_hash_of
from ..models import BillingPeriod, Charge, Import, ImportOverlap, ImportTotal, PayerLine, Source
from ..models.charges import ChargeQuerySet
from ..money import ZERO, plain
from ..readers.understanding import FACTS, month_number, stamp_of
from .equations import JOURNALED, STATED, Equation, Finding, Proof, Side

# More than these are counted, not named.
MOST = 20
# Among so many rows two are tried together; among more, one.
PAIRED = 2_000

CHECKED = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")


def culprits(proof: Proof) -> list[Finding]:
    """Return the rows responsible for what does not hold: charges, control totals, payer lines, lines of other books.

    Each import's charges are held against what its file said when it was applied; where they differ, its stored
    file is read again and compared line by line. Payer lines are computed again and compared by payer, and so are
    the lines of statements and journals. What cannot be found so is looked for among the rows that amount to
    the difference by themselves. Reads much; call it only where a proof does not come out.
    """
    found: list[Finding] = []
    for equation in proof.off:
        if equation.code == "delivered":
            found += _of_delivered(proof, equation)
    off = {equation.code for equation in proof.off}
    bent = {each.kind for each in (*proof.broken, *proof.tampered)}
    if "charged" in off or bent & {"payer lines", "seal of charges"}:
        found += _of_payer_lines(proof)
    if "seal of said" in bent:
        found += edited(proof.period)
    if "seal of payer lines" in bent:
        found += _not_as_keyed(proof)
    for code, side in proof.sides.items():
        if code in off or side.broken:
            found += _of_side(proof, side)
    unique = list({(each.kind, each.name, each.text): each for each in found}.values())
    return unique


# Charges ----------------------------------------------------------------------------------------


def _of_delivered(proof: Proof, equation: Equation) -> list[Finding]:
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
                    reverse("admin:billing_import_change", args=[imported.pk]),
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


def _add(sums: list[Any], *more: Any) -> None:
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
                    reverse("admin:billing_import_change", args=[imported.pk]),
                )
            )
    return found


def _by_hash(charges: ChargeQuerySet) -> list[Finding]:
    found = []
    for charge in charges.iterator(chunk_size=5_000):
        if content_hash_of(charge) != bytes(charge.content_hash):
            billed = plain(charge.billed_cost, charge.currency)
            found.append(_charge(charge.pk, f"{billed} billed is not what was delivered."))
    return found


def edited(period: BillingPeriod) -> list[Finding]:
    """Name the charges of a month that do not say any more what was delivered, and what they say instead.

    What each charge says is hashed again, as it was when it was delivered. Where the hash is another, the line of its
    stored file tells what was changed; what both say alike has more decimals in the file
    than an amount keeps. Rows that take a charge back are made here, from the charge.
    """
    months = BillingPeriod.objects.in_bulk()
    charges = Charge.objects.in_month(period).filter(reverses__isnull=True).order_by("pk")
    suspects: dict[int, dict[importing.Place, Charge]] = defaultdict(dict)
    doubles = []
    for charge in charges.iterator(chunk_size=5_000):
        charge.period = months[charge.period_id]
        if content_hash_of(charge) == bytes(charge.content_hash):
            continue
        place = (charge.file_number, charge.line_number)
        if place in suspects[charge.imported_in_id]:
            doubles.append(charge)
        suspects[charge.imported_in_id][place] = charge
    found = [_charge(each.pk, f"stands for {_line(each.file_number, each.line_number)} twice.") for each in doubles]
    for pk, of_import in suspects.items():
        found += _not_as_delivered(Import.objects.select_related("source").get(pk=pk), of_import)
    return found


def _not_as_delivered(imported: Import, charges: dict[importing.Place, Charge]) -> list[Finding]:
    try:
        facts = importing.facts_of(imported, charges.keys())
    except (BillingError, OSError):
        # The file cannot be read any more: that it was edited still shows.
        return [_charge(charge.pk, "it does not say any more what was delivered.") for charge in charges.values()]
    found = []
    for place, charge in charges.items():
        if place not in facts:
            found.append(_charge(charge.pk, f"{_line(*place)} of its file has no such row."))
            continue
        for name, now in _said_by(charge).items():
            if now != facts[place][name]:
                column = name.replace("_", " ")
                told = f"its {column} is “{_shown(name, now)}”; {_line(*place)} of its file says "
                found.append(_charge(charge.pk, f"{told}“{_shown(name, facts[place][name])}”."))
    return found


def _said_by(charge: Charge) -> dict[str, Any]:
    """Return what a charge says as a line of its file would say it."""
    values = {name: getattr(charge, name) for name in FACTS if name not in ("content_hash", "identity_hash")}
    for name in CHECKED:
        values[name] = None if values[name] is None else to_units(values[name])
    for name in ("charge_period_start", "charge_period_end"):
        values[name] = stamp_of(values[name])
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
    return Finding("charge", f"Charge {pk}", text, reverse("admin:billing_charge_change", args=[pk]))


def _line(file_number: int, line: int) -> str:
    return f"line {line}" + (f" of file {file_number}" if file_number > 1 else "")


# Payer lines and other books --------------------------------------------------------------------


def _of_payer_lines(proof: Proof) -> list[Finding]:
    """Name the payer lines that are not what charging makes of the charges; else those that other books deny."""
    stored = {
        line.key: line
        for line in PayerLine.objects.filter(period=proof.period).select_related("source", "pi", "project")
    }
    computed: dict[str, PayerLine] | None = None
    with contextlib.suppress(BillingError):
        computed = {line.key: line for line in charging.compute(proof.period)}
    found = []
    if computed is not None:
        for key in sorted({*stored, *computed}):
            one, other = stored.get(key), computed.get(key)
            if one is None and other is not None:
                found.append(
                    _payer_line(
                        other, f"{plain(other.charged, other.currency)} is to be charged, and there is no line."
                    )
                )
            elif one is not None and other is None:
                charged = plain(one.charged, one.currency)
                found.append(_payer_line(one, f"{charged} is charged, and no charges make it."))
            elif one is not None and other is not None:
                before = (one.charged, one.rounding, one.list_cost, one.contracted_cost)
                if before != (other.charged, other.rounding, other.list_cost, other.contracted_cost):
                    stands, made = (
                        f"{plain(line.charged, line.currency)} (rounding {plain(line.rounding, line.currency)})"
                        for line in (one, other)
                    )
                    found.append(_payer_line(one, f"{stands}; its charges make {made}."))
    return found


def _not_as_keyed(proof: Proof) -> list[Finding]:
    """Name the payer lines of a fund/org or natural account that is not in their key."""
    found = []
    for line in PayerLine.objects.filter(period=proof.period).select_related("source", "pi", "project", "period"):
        for value in (line.fund_org, line.natural_account):
            if f"{charging.SEPARATOR}{charging.escaped(value)}{charging.SEPARATOR}" not in line.key:
                found.append(_payer_line(line, f"“{value}” is not in its key, {line.key}."))
    return found


def _payer_line(line: PayerLine, text: str) -> Finding:
    parts = (
        line.pi.email if line.pi else "the center",
        line.project.code if line.project else "",
        line.fund_org,
        line.source.label,
        line.service_name,
        line.get_kind_display(),
    )
    name = f"Payer line {line.pk or '(missing)'}: {', '.join(part for part in parts if part)}"
    if line.pk:
        return Finding("payer line", name, text, reverse("admin:billing_payerline_change", args=[line.pk]))
    return Finding("payer line", name, text, f"{reverse('admin:billing_payerline_changelist')}?period={line.period}")


def _of_side(proof: Proof, side: Side) -> list[Finding]:
    """Name the lines of statements or journals that differ from the payer lines."""
    lines = {line.key: line for line in proof.lines}
    names = dict(Source.objects.values_list("pk", "name"))
    journaled = set(Source.objects.filter(is_journaled=True).values_list("pk", flat=True))
    found = []
    for key in sorted({*lines, *side.lines}):
        line, other = lines.get(key), side.lines.get(key)
        if line is not None and other is None:
            is_wanted = (
                line.kind in PayerLine.CHARGED and line.pi_id if side.code == STATED else line.source_id in journaled
            )
            if not (side.code in (STATED, JOURNALED) and is_wanted and line.charged):
                continue
        charged = line.charged if line else ZERO
        there = other.amount if other else ZERO
        if charged != there:
            name, url = side.find(key)
            source = names[line.source_id] if line else (other.source if other else "")
            found.append(
                Finding(
                    f"{side.code} line",
                    name,
                    f"{plain(there, proof.currency)}, where the payer line ({source}) has "
                    f"{plain(charged, proof.currency)}.",
                    url,
                )
            )
    return found
