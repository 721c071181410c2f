"""Decisions: approve, reject, charge to center, reattribute, split and undo. Facts stay as delivered."""

import datetime
from collections.abc import Iterable, Mapping
from decimal import Decimal

from django.db.models import Exists, OuterRef, QuerySet

from .. import audit
from ..attribution import naming
from ..audit import Actor
from ..clocks import Clocks
from ..errors import MissingCenterFundOrg, ReasonMissing
from ..models import Charge, Flag, Person, Policy, ReviewDecision, Source
from .act import Act
from .outcome import Decided
from .reassignment import Reassignment
from .shares import BadSplit

Action = ReviewDecision.Action
State = Charge.State


def approve(
    *, charges: "QuerySet[Charge] | Iterable[int]", note: str = "", actor: Actor, now: datetime.datetime
) -> Decided:
    """Approve held charges: their PI or fund/orgs pay them.

    Skips, with the reason, charges without PI or fund/org, with flags that only a reassignment can
    answer, that are not held, or of closed periods. Raises UnknownCharge for ids that do not exist.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        act = Act(charges, gesture=gesture)
        for charge in act.charges.values():
            act.decide(charge, State.APPROVED, note=note)
        return act.save(Action.APPROVE)


def reject(
    *,
    charges: "QuerySet[Charge] | Iterable[int]",
    reason: str,
    note: str = "",
    provider_credits: bool | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Decided:
    """Reject charges that nobody should pay; `reason` is a ReviewDecision.Reason, “other” needs a note.

    Whoever rejects what an outside provider bills says whether the provider will credit it. Where it will not, the
    center is charged. Not said, such charges are skipped. Charges of internal services are rejected either way.

    Raises ReasonMissing, MissingCenterFundOrg where the center is to be charged, and UnknownCharge; skips as `approve`
    does.
    """
    check_reason(reason, note)
    with audit.gesture(actor=actor, now=now) as gesture:
        act = Act(charges, gesture=gesture)
        for charge in act.charges.values():
            act.decide(charge, State.REJECTED, reason=reason, note=note, provider_credits=provider_credits)
        to_center = Action.CHARGE_TO_CENTER in act.actions
        if to_center:
            require_center_fund_org()
        if act.actions == {Action.CHARGE_TO_CENTER}:
            return act.save(Action.CHARGE_TO_CENTER)
        return act.save(
            Action.REJECT, also="charged to center instead where a provider bills them" if to_center else ""
        )


def are_billed(charges: "QuerySet[Charge]") -> bool:
    """Tell whether an outside provider bills any of these charges, so that it could credit them."""
    return charges.filter(source__kind=Source.Kind.PROVIDER).exists()


def charge_to_center(
    *, charges: "QuerySet[Charge] | Iterable[int]", note: str = "", actor: Actor, now: datetime.datetime
) -> Decided:
    """Have the center's own fund/org pay charges, through the journal.

    Raises MissingCenterFundOrg while the policy names none, and UnknownCharge; skips as `approve` does.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        require_center_fund_org()
        act = Act(charges, gesture=gesture)
        for charge in act.charges.values():
            act.decide(charge, State.CHARGED_TO_CENTER, note=note)
        return act.save(Action.CHARGE_TO_CENTER)


def reattribute(
    *,
    charges: "QuerySet[Charge] | Iterable[int]",
    reassignment: Reassignment,
    approve: bool = False,
    create: bool = False,
    note: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Decided:
    """Say who pays for charges, and approve them in the same act if `approve`.

    A PI or project that does not exist is created only with `create`, which also takes a fund/org that is
    not on the loaded list. Flags the new values answer are resolved; flags they raise are added, and hold a
    charge that was clear or approved. With `approve`, a charge that still could not be approved is skipped
    and stays as it is. Raises BadPI, BadSplit, BadReassignment, naming.NotThere and UnknownCharge.
    """
    reassignment = reassignment.checked()
    if not create and (unknown := reassignment.unknown()):
        raise naming.NotThere(unknown)
    with audit.gesture(actor=actor, now=now) as gesture:
        act = Act(charges, gesture=gesture)
        for charge in act.charges.values():
            act.reassign(charge, reassignment, approve=approve, note=note)
        return act.save(reassignment.action, also="approved" if approve else "")


def split(
    *,
    charges: "QuerySet[Charge] | Iterable[int]",
    shares: Mapping[str, Decimal],
    approve: bool = False,
    create: bool = False,
    note: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Decided:
    """Share charges among fund/orgs in percent that sum to 100; as `reattribute` does with nothing else."""
    if not shares:
        raise BadSplit("Write a split as fund/orgs with their percent, such as A=60; B=40.")
    reassignment = Reassignment(shares=tuple(shares.items()))
    return reattribute(
        charges=charges, reassignment=reassignment, approve=approve, create=create, note=note, actor=actor, now=now
    )


def undo(
    *, charges: "QuerySet[Charge] | Iterable[int]", note: str = "", actor: Actor, now: datetime.datetime
) -> Decided:
    """Take back what the last act decided about each charge: it is held again, or attributed as before.

    A PI, project or split that the act created is removed if nothing else uses it. Undone again, the act
    before that is reversed. Skips charges about which nothing was decided.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        act = Act(charges, gesture=gesture)
        for charge in act.charges.values():
            act.undo(charge, note=note)
        return act.save(Action.UNDO)


def proposed_pi(charges: "QuerySet[Charge]") -> str:
    """Return the address of the PI to propose for charges held because theirs has left: the successor's, or nothing.

    Only where all of them are held for that, and are one PI's. What a person says in the end is their decision.
    """
    has_left = Flag.objects.filter(charge=OuterRef("pk"), code=Flag.Code.PI_INACTIVE, is_resolved=False)
    people = set(charges.order_by().values_list("pi", flat=True).distinct()[:2])
    if len(people) != 1 or charges.exclude(Exists(has_left)).exists():
        return ""
    charge = charges.select_related("pi__successor").order_by("-charge_period_end").first()
    heir = successor_of(charge) if charge else None
    return heir.email if heir else ""


def successor_of(charge: Charge) -> Person | None:
    """Return who takes over from a charge's PI on its last day."""
    return charge.pi.successor_on(Clocks().days_of(charge)[1]) if charge.pi else None


def check_reason(reason: str, note: str) -> None:
    """Raise ReasonMissing unless `reason` is one that a rejection may have, with a note where it needs one."""
    if reason not in ReviewDecision.Reason.values:
        known = ", ".join(ReviewDecision.Reason.values)
        raise ReasonMissing(f"“{reason}” is no reason to reject. These are: {known}.")
    if reason == ReviewDecision.Reason.OTHER and not note.strip():
        raise ReasonMissing("A rejection for another reason needs a note that says which.")


def require_center_fund_org() -> None:
    """Raise MissingCenterFundOrg while the policy names no fund/org for charges to the center."""
    if not Policy.objects.current().center_fund_org:
        raise MissingCenterFundOrg(
            "Nothing can be charged to the center yet: the policy names no fund/org of its own. Set it in the policy."
        )
