"""What a change of the policy would do to the charges of a month: worked out before it is saved, and nothing changes.

What holds a charge is asked of the code that imports ask: the search for patterns, and the checks of who pays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...models import BillingPeriod, Policy
from . import flag_patterns, fund_orgs, own_domains, tolerance
from .effects import Effect, Line, Segments, Tally

__all__ = ["Effect", "Line", "Segments", "TRIED", "Tally", "Trial", "try_change"]

SEGMENTS = "fund_org_segments"
TRIED = frozenset({"own_domains", "flag_patterns", "amount_tolerance", "fund_org_patterns", SEGMENTS})


@dataclass(frozen=True)
class Trial:
    """What a change does to a month, by the setting: only those that change, and that a month can tell of."""

    period: BillingPeriod
    effects: Mapping[str, Effect] = field(default_factory=dict)
    segments: Segments | None = None


def try_change(*, present: Policy, changed: Policy, period: BillingPeriod) -> Trial:
    """Return what the changed policy would hold of a month that the present one does not, and the reverse.

    `changed` is not saved, and its patterns are ones that can be used. Each distinct text of the month is looked at
    once, whatever its charges number.
    """
    different = {name for name in TRIED if getattr(present, name) != getattr(changed, name)}
    both: dict[str, Any] = {"present": present, "changed": changed, "period": period}
    effects: dict[str, Effect] = {}
    if "own_domains" in different:
        effects["own_domains"] = own_domains.effect(**both)
    if "flag_patterns" in different:
        effects["flag_patterns"] = flag_patterns.effect(**both)
    if "amount_tolerance" in different:
        effects["amount_tolerance"] = tolerance.effect(**both)
    is_split = SEGMENTS in different and bool(changed.fund_org_segments)
    paid = fund_orgs.paid_in(period) if is_split or "fund_org_patterns" in different else []
    if "fund_org_patterns" in different:
        effects["fund_org_patterns"] = fund_orgs.effect(**both, paid=paid)
    return Trial(period, effects, fund_orgs.segments(changed.fund_org_segments, paid) if is_split else None)
