"""What changed since a month was finalized: against its frozen proof, figure by figure and seal by seal."""

import hashlib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..models import BillingPeriod, FrozenProof
from ..money import ZERO
from . import seals, verifying
from .equations import JOURNALED, TITLES, exact_text
from .findings import Finding

if TYPE_CHECKING:
    from .proving import Proof


def found_since(then: Mapping[str, object], proof: "Proof") -> list[Finding]:
    """Compare a proof with the one its month was finalized with; `then` is the data of the frozen one."""
    period, frozen, recorded = proof.period, proof.month.frozen, proof.month.sealing
    if frozen is None:
        if period.status == BillingPeriod.Status.FINALIZED and recorded:
            return [Finding("frozen proof", f"Frozen reconciliation of {period}", "it is gone.")]
        return []
    found = [Finding("file", each.what, each.text, each.about) for each in verifying.received_of(period)]
    if period.status != BillingPeriod.Status.FINALIZED:
        told = f"it was finalized, and is {period.get_status_display().lower()} now. No step leads there."
        found.append(Finding("period", f"Billing period {period}", told))
    found += _of_frozen(frozen, recorded or {}, period)
    found += _of_figures(then, proof)
    found += _of_seals(then, proof)
    return found


def _of_frozen(frozen: FrozenProof, recorded: Mapping[str, str], period: BillingPeriod) -> Iterable[Finding]:
    """Hold the bytes of the frozen proof against its hashes, and these against the audit log."""
    for what, data, told in (
        ("JSON", frozen.text.encode(), frozen.json_sha256),
        ("PDF", bytes(frozen.pdf), frozen.pdf_sha256),
    ):
        if not hashlib.sha256(data).hexdigest() == told == recorded.get(f"{what.lower()}_sha256", told):
            name = f"Frozen reconciliation of {period}"
            yield Finding("frozen proof", name, f"its {what} is not the one that was frozen.")


def _of_figures(then: Mapping[str, Any], proof: "Proof") -> Iterable[Finding]:
    now = {each.scope: each for each in proof.equations}
    # The ledger may answer after a month is finalized: a rejected journal is replaced by another.
    answered = {
        code
        for code, fingerprint in then.get("fingerprints", {}).items()
        if code in proof.sides and proof.sides[code].fingerprint != fingerprint and code == JOURNALED
    }
    said = {(each["code"], each["source"], each["currency"], each["of_currency"]): each for each in then["equations"]}
    for scope in sorted({*said, *now}):
        if scope[0] in answered:
            continue
        before = _figures(said[scope]) if scope in said else {}
        after = _figures(now[scope].as_data()) if scope in now else {}
        told = " and ".join(filter(None, (scope[1], scope[3] or scope[2])))
        for code in sorted({*before, *after}):
            if before.get(code) != after.get(code):
                yield Finding(
                    "figure",
                    f"{TITLES[scope[0]]} ({told})",
                    f"“{code}” was {before.get(code, 'not there')} when {proof.period} was finalized, and is "
                    f"{after.get(code, 'not there')} now.",
                )


def _of_seals(then: Mapping[str, Any], proof: "Proof") -> Iterable[Finding]:
    # The ledger's answers bring journals, and change none that is there.
    broken = seals.broken(then.get("seals", {}), proof.seals(), growing=frozenset({JOURNALED}))
    # Looked up only where a seal is broken.
    lines = proof.line_seals() if broken else {}
    for kind, what, how in broken:
        told = f"{how} since {proof.period} was finalized."
        before_lines = then.get("line_seals", {}).get(kind, {}).get(what)
        if how == "changed" and before_lines is not None:
            which = seals.broken_lines(before_lines, lines.get(kind, {}).get(what, {}))
            told += f" {which[0].upper()}{which[1:]}." if which else " Its lines are as they were."
        yield Finding(f"seal of {kind}", seals.LABELS[kind].format(what), told)


def _figures(equation: Mapping[str, Any]) -> dict[str, str]:
    """Return a frozen equation's figures by what they are, those of one kind added up."""
    sums: dict[str, list[Any]] = {}
    for term in (*equation["left"], *equation["right"]):
        if term["code"].startswith("carried_out"):
            # What was carried out may be carried on.
            term = term | {"code": "carried_out", "label": "Carried out"}
        known = sums.setdefault(term["code"], [term["label"], ZERO, 0])
        known[1] += Decimal(term["amount"])
        known[2] += term["count"]
    return {
        code: f"{exact_text(amount, equation['currency'])} ({count:,})" for code, (_, amount, count) in sums.items()
    }
