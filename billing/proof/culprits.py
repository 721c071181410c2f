"""Where a proof does not reconcile: the smallest set of rows responsible that can be found."""

import contextlib

from .. import charging
from ..errors import BillingError
from ..models import PayerLine
from ..money import ZERO, plain
from . import rereading
from .findings import About, Finding
from .proving import Proof
from .sides import Side, is_wanted


def culprits(proof: Proof) -> list[Finding]:
    """Return the rows responsible for what does not hold: charges, control totals, payer lines, lines of other books.

    Each import's charges are held against what its file said when it was applied; where they differ, its stored
    file is read again and compared line by line. Payer lines are computed again and compared by payer, and so are
    the lines of statements and journals. What cannot be found so is looked for among the rows that amount to
    the difference by themselves. Reads much; call it only where a proof does not reconcile.
    """
    found: list[Finding] = []
    for equation in proof.off:
        if equation.code == "delivered":
            found += rereading.of_delivered(proof, equation)
    off = {equation.code for equation in proof.off}
    suspect = {each.kind for each in (*proof.broken, *proof.tampered)}
    if "charged" in off or suspect & {"payer lines", "seal of charges"}:
        found += _of_payer_lines(proof)
    if "seal of said" in suspect:
        found += rereading.edited(proof.period)
    if "seal of payer lines" in suspect:
        found += _not_as_keyed(proof)
    for code, side in proof.sides.items():
        if code in off or side.broken:
            found += _of_side(proof, side)
    unique = list({(each.kind, each.name, each.text): each for each in found}.values())
    return unique


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
    where = {} if line.pk else {"period": line.period.iso_month}
    return Finding("payer line", name, text, About("billing.payerline", line.pk, where))


def _of_side(proof: Proof, side: Side) -> list[Finding]:
    """Name the lines of statements or journals that differ from the payer lines."""
    lines = {line.key: line for line in proof.lines}
    sources = proof.month.sources
    found = []
    for key in sorted({*lines, *side.lines}):
        line, other = lines.get(key), side.lines.get(key)
        if line and not other and not (line.charged and is_wanted(line, side.code, sources.get(line.source_id))):
            continue
        charged = line.charged if line else ZERO
        there = other.amount if other else ZERO
        if charged != there:
            name, about = side.find(key)
            source = sources[line.source_id].name if line else (other.source if other else "")
            found.append(
                Finding(
                    f"{side.code} line",
                    name,
                    f"{plain(there, proof.currency)}, where the payer line ({source}) has "
                    f"{plain(charged, proof.currency)}.",
                    about,
                )
            )
    return found
