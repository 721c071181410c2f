"""The review: what people decide about charges, and who they say pays; facts stay as delivered."""

import datetime
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Exists, OuterRef, Q, QuerySet

from .. import attribution, audit
from ..addresses import normalized_email
from ..attribution import naming
from ..attribution.checks import BY_TAG, Attributed, Reason, check_attribution
from ..attribution.holding import Checks, settle_flags
from ..audit import Actor
from ..audit.snapshots import snapshot
from ..clocks import Clocks
from ..errors import BillingError, MissingCenterFundOrg, NextStep, ReasonMissing
from ..inserting import insert
from ..models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Flag,
    ImportedFile,
    PayerSplit,
    PayerSplitShare,
    Person,
    Policy,
    Project,
    ReviewDecision,
)
from ..models.periods import last_day_of
from ..months import closing
from ..texts import folded_code, other_characters, quoted

Action = ReviewDecision.Action
State = Charge.State

# What answers, beside a correction, a flag that no approval answers.
WAYS = {
    Flag.Code.UNKNOWN_PI: "confirm the PI",
    Flag.Code.FUND_NOT_VALID: "have finance record an exception for the fund/org",
    Flag.Code.FUND_CLOSED: "have finance record an exception for the fund/org",
}
# A fund/org whose dates are over.
OVER = (Flag.Code.FUND_NOT_VALID, Flag.Code.FUND_CLOSED)

HUNDRED = Decimal(100)
# Ids in one statement: below what any build of SQLite takes.
BATCH = 900

DONE = {
    Action.APPROVE: "approved",
    Action.REJECT: "rejected",
    Action.ABSORB: "absorbed",
    Action.REATTRIBUTE: "reattributed",
    Action.SPLIT: "split",
    Action.UNDO: "undone",
}

# What decisions change of a charge; the rest is fact.
DECIDED_FIELDS = (
    "state",
    "pi_id",
    "project_id",
    "fund_org",
    "payer_split_id",
    "cost_center",
    "natural_account",
    "shared_as",
    "attributed_by",
)
NEEDED_FIELDS = (
    *(name.removesuffix("_id") for name in DECIDED_FIELDS),
    "imported_in",
    "file_number",
    "line_number",
    "withdrawn_in",
    "charged_in",
    "source",
    "is_late",
    "charge_period_start",
    "charge_period_end",
)

# What an act may create beside its decisions: the event that tells of it, and how people name it.
CREATED: dict[str, tuple[Any, str]] = {
    "payer_split.added": (PayerSplit, ""),
    "project.added": (Project, "Project {0.code}"),
    "person.added": (Person, "PI {0.email}"),
}

LIMITS = {"project": 128, "fund_org": 64, "cost_center": 64, "natural_account": 64}


class UnknownCharge(BillingError):
    """A charge was named that does not exist."""


class BadPI(BillingError):
    """What was given as a PI is no e-mail address."""


class BadSplit(BillingError):
    """Shares that are not a split: they must be above 0, of different fund/orgs, and sum to 100 percent."""


class BadCorrection(BillingError):
    """A correction that says nothing, or two things at once."""


class ChargesChanged(BillingError):
    """Charges changed between the look and the write."""


@dataclass(frozen=True)
class Decided:
    """What came of a decision about several charges: how many it holds for, and why not for the others."""

    done: str
    count: int
    why_skipped: Mapping[int, str] = field(default_factory=dict)
    # What the act created or removed beside the charges, as people name it: “Project P-7”.
    created: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    # Groups the decisions of the act.
    gesture: str = ""

    @property
    def skipped(self) -> dict[str, int]:
        """How many charges were left as they are, by reason, the most frequent first."""
        return dict(Counter(self.why_skipped.values()).most_common())

    def __str__(self) -> str:
        text = f"{counted(self.count)} {self.done}" if self.count else f"No charge {self.done}"
        if skipped := self.skipped:
            reasons = "; ".join(
                f"{reason} ({number:,})" if len(skipped) > 1 else reason for reason, number in skipped.items()
            )
            text += f"; {len(self.why_skipped):,} skipped: {reasons}"
        elif not self.count:
            text += ": there is none to decide about"
        told = [f"{name} is created." for name in self.created]
        told += [f"{name} is removed: nothing else uses it." for name in self.removed]
        return " ".join([f"{text}.", *told])


@dataclass(frozen=True)
class Correction:
    """Who pays instead. What is empty stays as it is; a fund/org takes a split's place and the reverse."""

    pi: str = ""
    project: str = ""
    fund_org: str = ""
    natural_account: str = ""
    cost_center: str = ""
    shares: tuple[tuple[str, Decimal], ...] = ()

    def __bool__(self) -> bool:
        return self != Correction()

    @property
    def fund_orgs(self) -> tuple[str, ...]:
        """Every fund/org it names."""
        return (self.fund_org,) if self.fund_org else tuple(fund_org for fund_org, _ in self.shares)

    def unknown(self, names: naming.Names | None = None) -> list[naming.Unknown]:
        """Return what it names that does not exist."""
        return (names or naming.Names()).unknown(pi=self.pi, project=self.project, fund_orgs=self.fund_orgs)

    def checked(self) -> "Correction":
        """Return it cleaned; raise BadPI, BadSplit, BadCorrection or naming.MeansNothing for what cannot be."""
        trimmed = replace(
            self,
            pi=normalized_email(self.pi),
            **{name: naming.typed_code(getattr(self, name)) for name in LIMITS},
            shares=tuple(sorted(checked_shares(self.shares).items())) if self.shares else (),
        )
        if not trimmed:
            raise BadCorrection("Say who pays: a PI, a project, a fund/org, a split, an account code or cost center.")
        if trimmed.fund_org and trimmed.shares:
            raise BadCorrection("Give either a fund/org or a split, not both.")
        for name, limit in LIMITS.items():
            if len(getattr(trimmed, name)) > limit:
                raise BadCorrection(f"A {name.replace('_', '/')} has at most {limit} characters.")
        if trimmed.pi:
            try:
                validate_email(trimmed.pi)
            except ValidationError:
                odd = other_characters(trimmed.pi)
                raise BadPI(
                    f"{quoted(self.pi)} is not an e-mail address{f' ({odd})' if odd else ''}: a PI is named by theirs."
                ) from None
        return trimmed


def approve(
    *, charges: "QuerySet[Any] | Iterable[int]", note: str = "", actor: Actor, now: datetime.datetime
) -> Decided:
    """Approve held charges: their PI or fund/orgs pay them.

    Skips, with the reason, charges without PI or fund/org, with flags that only a correction can
    answer, that are not held, or of closed periods. Raises UnknownCharge for ids that do not exist.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        review = Review(charges, gesture=gesture)
        for charge in review.charges.values():
            review.decide(charge, State.APPROVED, note=note)
        return review.save(Action.APPROVE)


def reject(
    *,
    charges: "QuerySet[Any] | Iterable[int]",
    reason: str,
    note: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Decided:
    """Reject charges that nobody should pay; `reason` is a ReviewDecision.Reason, “other” needs a note.

    Raises ReasonMissing and UnknownCharge; skips as `approve` does.
    """
    check_reason(reason, note)
    with audit.gesture(actor=actor, now=now) as gesture:
        review = Review(charges, gesture=gesture)
        for charge in review.charges.values():
            review.decide(charge, State.REJECTED, reason=reason, note=note)
        return review.save(Action.REJECT)


def absorb(
    *, charges: "QuerySet[Any] | Iterable[int]", note: str = "", actor: Actor, now: datetime.datetime
) -> Decided:
    """Have the center's own fund/org pay charges, through the journal.

    Raises MissingCenterFundOrg while the policy names none, and UnknownCharge; skips as `approve` does.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        require_center_fund_org()
        review = Review(charges, gesture=gesture)
        for charge in review.charges.values():
            review.decide(charge, State.ABSORBED, note=note)
        return review.save(Action.ABSORB)


def reattribute(
    *,
    charges: "QuerySet[Any] | Iterable[int]",
    correction: Correction,
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
    and stays as it is. Raises BadPI, BadSplit, BadCorrection, naming.NotThere and UnknownCharge.
    """
    correction = correction.checked()
    if not create and (unknown := correction.unknown()):
        raise naming.NotThere(unknown)
    action = Action.SPLIT if correction == Correction(shares=correction.shares) else Action.REATTRIBUTE
    with audit.gesture(actor=actor, now=now) as gesture:
        review = Review(charges, gesture=gesture)
        for charge in review.charges.values():
            review.correct(charge, correction, approve=approve, note=note)
        return review.save(action, also="approved" if approve else "")


def split(
    *,
    charges: "QuerySet[Any] | Iterable[int]",
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
    correction = Correction(shares=tuple(shares.items()))
    return reattribute(
        charges=charges, correction=correction, approve=approve, create=create, note=note, actor=actor, now=now
    )


def undo(*, charges: "QuerySet[Any] | Iterable[int]", note: str = "", actor: Actor, now: datetime.datetime) -> Decided:
    """Take back what the last act decided about each charge: it is held again, or attributed as before.

    A PI, project or split that the act created is removed if nothing else uses it. Undone again, the act
    before that is taken back. Skips charges about which nothing was decided.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        review = Review(charges, gesture=gesture)
        for charge in review.charges.values():
            review.undo(charge, note=note)
        return review.save(Action.UNDO)


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
    """Raise MissingCenterFundOrg while the policy does not say what bears absorbed charges."""
    if not Policy.objects.current().center_fund_org:
        raise MissingCenterFundOrg(
            "Nothing can be absorbed yet: the policy names no fund/org of the center's own. Set it in the policy."
        )


def parse_shares(text: str) -> dict[str, Decimal]:
    """Return the shares written `A=60; B=40`, checked to sum to 100; raise BadSplit."""
    shares: list[tuple[str, Decimal]] = []
    for part in re.split(r"[;,\n]", text):
        if not part.strip():
            continue
        fund_org, _, percent = part.rpartition("=")
        try:
            shares.append((fund_org.strip(), Decimal(percent.strip().removesuffix("%").strip())))
        except InvalidOperation:
            raise BadSplit(f"“{part.strip()}” is no share. Write fund/orgs with their percent: A=60; B=40.") from None
    return checked_shares(shares)


def checked_shares(shares: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Return shares by fund/org; raise BadSplit unless they are a split."""
    found: dict[str, Decimal] = {}
    for fund_org, percent in shares:
        fund_org = naming.typed_code(fund_org)
        if not fund_org or len(fund_org) > LIMITS["fund_org"]:
            raise BadSplit(f"A share names its fund/org, of at most {LIMITS['fund_org']} characters: A=60; B=40.")
        if fund_org in found:
            raise BadSplit(f"{fund_org} has two shares: add them up.")
        if not percent.is_finite() or not 0 < percent <= HUNDRED:
            raise BadSplit(f"The share of {fund_org} is {percent} percent: it must be above 0 and at most 100.")
        if -int(percent.normalize().as_tuple().exponent) > 6:
            raise BadSplit(f"The share of {fund_org} has more than 6 decimals.")
        found[fund_org] = percent
    if (whole := sum(found.values(), Decimal(0))) != HUNDRED:
        raise BadSplit(f"The shares sum to {whole.normalize():f} percent, not to 100.")
    return found


def shares_text(shares: Mapping[str, Decimal]) -> str:
    """Write shares as `A=60; B=40`, by fund/org in the order of code points."""
    return "; ".join(f"{fund_org}={shares[fund_org].normalize():f}" for fund_org in sorted(shares))


def shares_of(split_ids: Iterable[int]) -> dict[int, dict[str, Decimal]]:
    """Return the shares of splits by their ids."""
    found: dict[int, dict[str, Decimal]] = defaultdict(dict)
    for batch in batches(sorted(set(split_ids))):
        for share in PayerSplitShare.objects.filter(split__in=batch):
            found[share.split_id][share.fund_org] = share.percent
    return found


def counted(number: int) -> str:
    return f"{number:,} {'charge' if number == 1 else 'charges'}"


Item = TypeVar("Item")


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Review:
    """Decisions about a selection of charges: looked up and locked once, decided in memory, saved in bulk.

    `charges` holds those that may be decided about, by id; `why_skipped` has the reason for the others.
    The verbs return why they left a charge alone, or nothing. It lives inside the gesture it is given.
    """

    def __init__(self, charges: "QuerySet[Any] | Iterable[int]", *, gesture: audit.Gesture) -> None:
        self.gesture = gesture
        self.why_skipped: dict[int, str] = {}
        self.charges: dict[int, Charge] = {}
        self._found: dict[int, tuple[Any, ...]] = {}
        self._decisions: list[ReviewDecision] = []
        self._flags: dict[int, list[Flag]] | None = None
        self._flag_was_resolved: dict[int, bool] = {}
        self._past: dict[int, list[ReviewDecision]] | None = None
        self._people: dict[int, Person] = {}
        self._projects: dict[int, Project] = {}
        self._project_splits: dict[int, list[PayerSplit]] = {}
        self._shares: dict[int, dict[str, Decimal]] = {}
        self._splits_by_shares: dict[tuple[tuple[str, Decimal], ...], int] = {}
        self._people_by_name: dict[str, Person] = {}
        self._projects_by_name: dict[str, Project] = {}
        self._has_owners = False
        self._created: list[str] = []
        self._undone: set[Any] = set()
        self._months: dict[int, datetime.date] = {}
        self._select(charges)

    def decide(self, charge: Charge, state: str, *, reason: str = "", note: str = "") -> str:
        """Approve, reject or absorb one charge."""
        if state not in Charge.TRANSITIONS[State(charge.state)]:
            return self._skip(charge, _why_no_step(charge.state, state))
        if why := self._why_finance(charge):
            return self._skip(charge, why)
        if state == State.APPROVED and (why := self._why_not_approvable(charge)):
            return self._skip(charge, why)
        before = {"state": charge.state}
        charge.state = state
        action = {State.APPROVED: Action.APPROVE, State.REJECTED: Action.REJECT, State.ABSORBED: Action.ABSORB}
        self._record(charge, action[State(state)], before, {"state": state}, reason=reason, note=note)
        return ""

    def correct(self, charge: Charge, correction: Correction, *, approve: bool = False, note: str = "") -> str:
        """Change who pays for one charge, by a correction that was checked; then approve it if told to."""
        if charge.state in (State.REJECTED, State.ABSORBED):
            return self._skip(charge, f"{_word(charge.state)} already: undo that first")
        if why := self._why_finance(charge):
            return self._skip(charge, why)
        new = self._corrected(charge, correction)
        if approve and (why := _why_unpaid(new)):
            return self._skip(charge, why)
        is_new = any(getattr(charge, name) != value for name, value in new.items())
        if not is_new and not (approve and charge.state == State.HELD):
            return self._skip(charge, "attributed so already")
        if is_new:
            before = self._attribution(charge)
            flags = self.flags_of(charge)
            was_resolved = [flag.is_resolved for flag in flags]
            for name, value in new.items():
                setattr(charge, name, value)
            raised = self._recheck(charge)
            if approve and (why := self._why_blocked(charge)):
                # It stays as it is, with its flags.
                for name in new:
                    setattr(charge, name, before[name])
                del flags[len(was_resolved) :]
                for flag, was in zip(flags, was_resolved, strict=True):
                    flag.is_resolved = was
                return self._skip(charge, why)
            if raised and charge.state != State.HELD:
                charge.state = State.HELD
            action = Action.SPLIT if correction == Correction(shares=correction.shares) else Action.REATTRIBUTE
            self._record(charge, action, before, self._attribution(charge), note=note)
        if approve and charge.state == State.HELD:
            return self.decide(charge, State.APPROVED, note=note)
        return ""

    def undo(self, charge: Charge, *, note: str = "") -> str:
        """Take back what the last act that still stands decided about one charge."""
        act = self._last_act(charge)
        if not act:
            return self._skip(charge, "nothing was decided about it")
        before = self._attribution(charge)
        attributed = next((each.before for each in act if "pi_id" in each.before), None)
        moved = any(each.before.get("state") != each.after.get("state") for each in act)
        if (moved or act[0].action == Action.INHERIT) and State.HELD in Charge.TRANSITIONS[State(charge.state)]:
            # A charge that was never held stays clear unless a decision moved it.
            charge.state = State.HELD
        if attributed:
            for name in DECIDED_FIELDS[1:]:
                # Decisions from before there were shared costs know nothing of them.
                setattr(charge, name, attributed.get(name, "") if name == "shared_as" else attributed[name])
            raised = self._recheck(charge)
            if charge.state == State.CLEAR and raised or charge.state == State.APPROVED and self._why_blocked(charge):
                # What it goes back to was in order once, and no approval answers what stands against it now.
                charge.state = State.HELD
        self._undone.add(act[0].gesture)
        after = self._attribution(charge) | {"undone": str(act[0].gesture)}
        self._record(charge, Action.UNDO, before, after, note=note)
        return ""

    def save(self, action: str, *, also: str = "") -> Decided:
        """Write what was decided and the events that tell of it; raise ChargesChanged if somebody was quicker."""
        decided = {decision.charge_id for decision in self._decisions}
        self._save_charges()
        self._save_flags()
        shas = self._file_hashes()
        for decision in self._decisions:
            charge = self.charges[decision.charge_id]
            decision.file_sha256 = shas.get((charge.imported_in_id, charge.file_number), "")
            self.gesture.record(
                f"charge.{DONE[Action(decision.action)]}",
                charge,
                before=decision.before,
                after=decision.after,
                note=decision.note,
            )
        insert(self._decisions)
        done = f"{DONE[Action(action)]} and {also}" if also else DONE[Action(action)]
        return Decided(
            done,
            len(decided),
            dict(self.why_skipped),
            created=tuple(self._created),
            removed=tuple(self._remove_what_acts_created()),
            gesture=str(self.gesture.id),
        )

    def _select(self, charges: "QuerySet[Any] | Iterable[int]") -> None:
        """Lock the periods against closing, then the charges; leave out what takes no decisions."""
        chosen: Iterable[int] = (
            charges.order_by().values_list("pk", flat=True) if isinstance(charges, QuerySet) else charges
        )
        ids = sorted(set(chosen))
        months = {
            month
            for batch in batches(ids)
            for month in Charge.objects.filter(pk__in=batch).order_by().values_list("charged_in", flat=True).distinct()
        }
        periods = BillingPeriod.objects.in_bulk(months)
        self._months = {period.pk: period.month for period in periods.values()}
        self._clocks = Clocks()
        closing.require_open(*(period for period in periods.values() if period.takes_changes))
        for batch in batches(ids):
            chosen_now = Charge.objects.filter(pk__in=batch).order_by("pk").only(*NEEDED_FIELDS)
            self.charges.update({charge.pk: charge for charge in chosen_now.select_for_update(no_key=True)})
        if unknown := [pk for pk in ids if pk not in self.charges]:
            named = ", ".join(str(pk) for pk in unknown[:10]) + (", …" if len(unknown) > 10 else "")
            raise UnknownCharge(f"There is no charge {named}.", then=NextStep("review_queue"))
        for charge in list(self.charges.values()):
            period = periods[charge.charged_in_id]
            if not period.takes_changes:
                self._skip(charge, f"period {period} is {period.get_status_display().lower()}")
            elif charge.withdrawn_in_id:
                self._skip(charge, "withdrawn: a later import replaced it")
            else:
                self._found[charge.pk] = _decided(charge)
                continue
            del self.charges[charge.pk]

    def _skip(self, charge: Charge, why: str) -> str:
        self.why_skipped[charge.pk] = why
        return why

    def _why_not_approvable(self, charge: Charge) -> str:
        if why := _why_unpaid({name: getattr(charge, name) for name in DECIDED_FIELDS}):
            return why
        self._recheck_elsewhere(charge)
        return self._why_blocked(charge)

    def _why_blocked(self, charge: Charge) -> str:
        """Say which flags no approval answers, and what does."""
        blocking = {flag.code for flag in self.flags_of(charge) if not flag.is_resolved and flag.code in Flag.BLOCKING}
        if not blocking:
            return ""
        labels = ", ".join(_label(code) for code in sorted(blocking))
        ways = [WAYS[code] for code in Flag.ANSWERED_ELSEWHERE if code in blocking]
        return f"{labels}: {', or '.join(['correct who pays first', *dict.fromkeys(ways)])}"

    def _why_finance(self, charge: Charge) -> str:
        """Say why somebody may not decide about a late change: what an award that is over paid is finance's to decide.

        A credit stays with the award that paid until then, and an increase waits for a payer.
        """
        if not (charge.is_late and charge.attributed_by == Charge.AttributedBy.CHARGED):
            return ""
        user = self.gesture.actor.user
        if user is None or user.has_perm("billing.add_fundexception"):
            return ""
        is_over = any(flag.code in OVER and not flag.is_resolved for flag in self.flags_of(charge))
        return "a late change of a fund/org that is over: finance decides who gets it" if is_over else ""

    def _recheck_elsewhere(self, charge: Charge) -> None:
        """Bring the flags up to date that the list of funds, its exceptions and the confirmed PIs answer."""
        settle_flags(self.flags_of(charge), self._elsewhere(charge), charge_id=charge.pk, codes=Flag.ANSWERED_ELSEWHERE)

    def _elsewhere(self, charge: Charge) -> frozenset[Reason]:
        self._read_owners()
        person = self._person(charge.pi_id)
        shares = self._shares_of(charge.payer_split_id)
        return self._checks.reasons(
            pi_email=person.email if person else "",
            attributed_by=charge.attributed_by,
            source_id=charge.source_id,
            fund_orgs=tuple(shares or [charge.fund_org]),
            has_split=bool(charge.payer_split_id),
            is_shared=bool(charge.shared_as),
            days=self._clocks.days_of(charge),
            posted=last_day_of(self._months[charge.charged_in_id]),
        )

    def _corrected(self, charge: Charge, correction: Correction) -> dict[str, Any]:
        """Return what a correction makes of who pays, as values of the charge's columns."""
        self._read_owners()
        new: dict[str, Any] = {name: getattr(charge, name) for name in DECIDED_FIELDS[1:]}
        new["attributed_by"] = Charge.AttributedBy.DECISION.value
        if correction.pi or correction.project or correction.fund_org or correction.shares:
            # Somebody's own, from now on.
            new["shared_as"] = ""
        if correction.pi:
            new["pi_id"] = self._person_named(correction.pi).pk
        if correction.project:
            project = self._project_named(correction.project, self._person(new["pi_id"]))
            new["project_id"] = project.pk
            new["pi_id"] = new["pi_id"] or project.pi_id
        if correction.fund_org:
            new["fund_org"], new["payer_split_id"] = correction.fund_org, None
        elif correction.shares:
            new["fund_org"], new["payer_split_id"] = "", self._split_of(correction.shares)
        elif new["project_id"] != charge.project_id:
            # Another project's split does not come along; the new project's own holds, from its day on.
            if charge.payer_split_id and self._is_of_project(charge.payer_split_id):
                new["payer_split_id"] = None
            project = self._projects[new["project_id"]]
            new["payer_split_id"] = self._split_on(project, self._clocks.days_of(charge)[0]) or new["payer_split_id"]
            new["fund_org"] = new["fund_org"] or ("" if new["payer_split_id"] else project.default_fund_org)
        for name in ("natural_account", "cost_center"):
            new[name] = getattr(correction, name) or new[name]
        return new

    def _recheck(self, charge: Charge) -> bool:
        """Resolve the flags that are answered now and raise those that are not; tell if any was raised."""
        self._read_owners()
        person, project = self._person(charge.pi_id), self._project(charge.project_id)
        shares = self._shares_of(charge.payer_split_id)
        first_day, last_day = self._clocks.days_of(charge)
        reasons = {
            (reason.code, reason.detail)
            for fund_org in (shares or [charge.fund_org])
            for reason in check_attribution(
                Attributed(
                    pi_email=person.email if person else "",
                    pi_active_until=person.active_until if person else None,
                    project_code=project.code if project else "",
                    project_end_date=project.end_date if project else None,
                    fund_org=fund_org,
                    has_split=bool(charge.payer_split_id),
                    is_shared=bool(charge.shared_as),
                ),
                reference=self._checks.reference,
                service_start=first_day,
                service_end=last_day,
            )
        } | set(self._elsewhere(charge))
        if charge.attributed_by != Charge.AttributedBy.DECISION or not (charge.pi_id and (shares or charge.fund_org)):
            # Nobody has said better yet what these tags were to say.
            reasons |= {
                (flag.code, flag.detail) for flag in self.flags_of(charge) if flag.code == Flag.Code.INVALID_TAGS
            }
        if charge.attributed_by != Charge.AttributedBy.DECISION and not (project and project.end_date):
            # The tags' end date holds until somebody says who pays, or the project gets an end date of its own.
            reasons |= {
                (flag.code, flag.detail)
                for flag in self.flags_of(charge)
                if flag.code == Flag.Code.PROJECT_ENDED and flag.detail.endswith(BY_TAG)
            }
        return settle_flags(self.flags_of(charge), reasons, charge_id=charge.pk)

    def _last_act(self, charge: Charge) -> list[ReviewDecision]:
        """Return the decisions of the last gesture about a charge that nobody undid."""
        if self._past is None:
            self._past = defaultdict(list)
            for batch in batches(list(self.charges)):
                for decision in ReviewDecision.objects.filter(charge__in=batch).order_by("pk"):
                    self._past[decision.charge_id].append(decision)
        past = self._past[charge.pk]
        undone = {each.after.get("undone") for each in past if each.action == Action.UNDO}
        standing = [each for each in past if each.action != Action.UNDO and str(each.gesture) not in undone]
        return [each for each in standing if each.gesture == standing[-1].gesture]

    def _attribution(self, charge: Charge) -> dict[str, Any]:
        """Return what a decision keeps of a charge: names to read, ids to go back to."""
        self._read_owners()
        values = dict(zip(DECIDED_FIELDS, _decided(charge), strict=True))
        return values | {
            "pi": person.email if (person := self._person(charge.pi_id)) else "",
            "project": project.code if (project := self._project(charge.project_id)) else "",
            "split": shares_text(self._shares_of(charge.payer_split_id)),
        }

    def _record(
        self,
        charge: Charge,
        action: str,
        before: dict[str, Any],
        after: dict[str, Any],
        *,
        reason: str = "",
        note: str = "",
    ) -> None:
        self._decisions.append(
            ReviewDecision(
                charge_id=charge.pk,
                line_number=charge.line_number,
                action=action,
                reason=reason,
                note=note,
                before=before,
                after=after,
                decided_by=self.gesture.actor.user,
                decided_by_name=self.gesture.actor.name,
                decided_at=self.gesture.now,
                gesture=self.gesture.id,
            )
        )

    def _save_charges(self) -> None:
        """Write the same change of many charges as one statement, only where they are still as found."""
        alike: dict[tuple[str, tuple[tuple[str, Any], ...]], list[int]] = defaultdict(list)
        for pk in dict.fromkeys(decision.charge_id for decision in self._decisions):
            was, now = self._found[pk], _decided(self.charges[pk])
            changes = tuple((name, new) for name, old, new in zip(DECIDED_FIELDS, was, now, strict=True) if old != new)
            if changes:
                alike[was[0], changes].append(pk)
        for (state, changes), ids in alike.items():
            for batch in batches(ids):
                written = Charge.objects.live().filter(pk__in=batch, state=state).update(**dict(changes))
                if written != len(batch):
                    raise ChargesChanged("Some of these charges changed meanwhile. Look at them again, then decide.")

    def flags_of(self, charge: Charge) -> list[Flag]:
        """Return a charge's flags; those of the whole selection are read at the first call."""
        if self._flags is None:
            self._flags = defaultdict(list)
            for batch in batches(list(self.charges)):
                for flag in Flag.objects.filter(charge__in=batch).order_by("pk"):
                    self._flags[flag.charge_id].append(flag)
                    self._flag_was_resolved[flag.pk] = flag.is_resolved
        return self._flags[charge.pk]

    def _save_flags(self) -> None:
        every = [flag for flags in (self._flags or {}).values() for flag in flags]
        Flag.objects.bulk_create([flag for flag in every if flag.pk is None], batch_size=5_000)
        for is_resolved in (True, False):
            changed = [
                flag.pk
                for flag in every
                if flag.is_resolved == is_resolved and self._flag_was_resolved.get(flag.pk, is_resolved) != is_resolved
            ]
            for batch in batches(changed):
                Flag.objects.filter(pk__in=batch).update(is_resolved=is_resolved)

    def _file_hashes(self) -> dict[tuple[int, int], str]:
        imports = sorted({self.charges[decision.charge_id].imported_in_id for decision in self._decisions})
        return {
            (imported_in, number): sha256
            for batch in batches(imports)
            for imported_in, number, sha256 in ImportedFile.objects.filter(imported_in__in=batch).values_list(
                "imported_in_id", "number", "file__sha256"
            )
        }

    def _remove_what_acts_created(self) -> list[str]:
        """Remove what the acts undone here created and nothing else uses; return what, as people name it."""
        if not self._undone:
            return []
        created = AuditEvent.objects.filter(gesture__in=self._undone, action__in=CREATED)
        ids: dict[str, list[int]] = defaultdict(list)
        for action, pk in created.values_list("action", "object_id"):
            ids[action].append(int(pk))
        removed = []
        # A project uses its PI: it goes first.
        for action, (model, named) in CREATED.items():
            for subject in model.objects.filter(pk__in=ids[action]).select_for_update().order_by("pk"):
                if self._is_used(subject) or self._was_taken_up(subject, action):
                    continue
                self.gesture.record(action.replace(".added", ".deleted"), subject, before=snapshot(subject))
                if named:
                    removed.append(named.format(subject))
                PayerSplitShare.objects.filter(split__in=[subject.pk] if model is PayerSplit else []).delete()
                model.objects.filter(pk=subject.pk).delete()
        return removed

    @staticmethod
    def _was_taken_up(subject: Any, created: str) -> bool:
        """Tell whether somebody did anything about it since: a PI was confirmed or is on a loaded list, say."""
        of_it = AuditEvent.objects.filter(object_type=subject._meta.model_name, object_id=str(subject.pk))
        return of_it.exclude(action=created).exists()

    @staticmethod
    def _is_used(subject: Any) -> bool:
        """Tell whether anything names a PI, project or split: a record, or a decision that may still be undone."""
        for relation in subject._meta.get_fields(include_hidden=True):
            if relation.concrete or not relation.auto_created or relation.related_model is PayerSplitShare:
                continue
            if relation.related_model._base_manager.filter(**{relation.field.name: subject.pk}).exists():
                return True
        name = {Person: "pi_id", Project: "project_id", PayerSplit: "payer_split_id"}[type(subject)]
        naming_it = ReviewDecision.objects.exclude(action=Action.UNDO).filter(
            Q(**{f"before__{name}": subject.pk}) | Q(**{f"after__{name}": subject.pk})
        )
        undone = ReviewDecision.objects.filter(action=Action.UNDO, charge__in=naming_it.values("charge"))
        taken_back = set(undone.values_list("charge", "after__undone"))
        acts = naming_it.order_by().values_list("charge", "gesture").distinct()
        return any((charge, str(gesture)) not in taken_back for charge, gesture in acts.iterator())

    def _read_owners(self) -> None:
        """Read the PIs, projects and splits of the selection, and what funds are checked against, once."""
        if self._has_owners:
            return
        self._has_owners = True
        self._checks = Checks()
        self._people |= Person.objects.in_bulk({charge.pi_id for charge in self.charges.values() if charge.pi_id})
        self._projects |= Project.objects.in_bulk(
            {charge.project_id for charge in self.charges.values() if charge.project_id}
        )
        self._shares |= shares_of(charge.payer_split_id for charge in self.charges.values() if charge.payer_split_id)

    def _person(self, pk: int | None) -> Person | None:
        if pk and pk not in self._people:
            self._people[pk] = Person.objects.get(pk=pk)
        return self._people[pk] if pk else None

    def _project(self, pk: int | None) -> Project | None:
        if pk and pk not in self._projects:
            self._projects[pk] = Project.objects.get(pk=pk)
        return self._projects[pk] if pk else None

    def _shares_of(self, pk: int | None) -> dict[str, Decimal]:
        if pk and pk not in self._shares:
            self._shares |= shares_of([pk])
        return self._shares.get(pk, {}) if pk else {}

    def _person_named(self, email: str) -> Person:
        if email not in self._people_by_name:
            is_known = Person.objects.owning(email) is not None
            person = self._people_by_name[email] = attribution.person_for(email)
            self._people[person.pk] = person
            if not is_known:
                self.gesture.record("person.added", person, after={"email": person.email})
                self._created.append(f"PI {person.email}")
        return self._people_by_name[email]

    def _project_named(self, code: str, pi: Person | None) -> Project:
        folded = folded_code(code)
        if folded not in self._projects_by_name:
            is_known = Project.objects.coded(code).exists()
            project = self._projects_by_name[folded] = attribution.project_for(code, pi)
            self._projects[project.pk] = project
            if not is_known:
                self.gesture.record("project.added", project, after={"code": project.code, "pi": pi and pi.email})
                self._created.append(f"Project {project.code}")
        return self._projects_by_name[folded]

    def _split_on(self, project: Project, day: datetime.date) -> int | None:
        """Return the split a project has on a day; of several, the one that begins last."""
        if project.pk not in self._project_splits:
            splits = PayerSplit.objects.filter(project=project)
            self._project_splits[project.pk] = sorted(
                splits, key=lambda split: (split.valid_from or datetime.date.min, split.pk)
            )
            self._shares |= shares_of(split.pk for split in splits)
        holding = [
            split.pk
            for split in self._project_splits[project.pk]
            if (not split.valid_from or split.valid_from <= day) and (not split.valid_until or day <= split.valid_until)
        ]
        return holding[-1] if holding else None

    def _is_of_project(self, split_id: int) -> bool:
        return PayerSplit.objects.filter(pk=split_id, project__isnull=False).exists()

    def _split_of(self, shares: tuple[tuple[str, Decimal], ...]) -> int:
        """Return the split with exactly these shares that belongs to no project, made if there is none."""
        if shares not in self._splits_by_shares:
            fund_org, percent = shares[0]
            alike = PayerSplit.objects.filter(
                project__isnull=True,
                valid_from__isnull=True,
                valid_until__isnull=True,
                shares__fund_org=fund_org,
                shares__percent=percent,
            ).order_by("pk")
            known = shares_of(alike.values_list("pk", flat=True))
            same = next((pk for pk, found in sorted(known.items()) if found == dict(shares)), None)
            if same is None:
                made = PayerSplit.objects.create(note="Made in a review")
                PayerSplitShare.objects.bulk_create(
                    PayerSplitShare(split=made, fund_org=fund_org, percent=percent) for fund_org, percent in shares
                )
                same = made.pk
                self.gesture.record("payer_split.added", made, after={"shares": shares_text(dict(shares))})
            self._splits_by_shares[shares] = same
            self._shares[same] = dict(shares)
        return self._splits_by_shares[shares]


def _decided(charge: Charge) -> tuple[Any, ...]:
    return tuple(getattr(charge, name) for name in DECIDED_FIELDS)


def _why_unpaid(values: Mapping[str, Any]) -> str:
    if values["shared_as"]:
        return ""
    missing = [
        text
        for text, is_there in (
            ("PI", values["pi_id"]),
            ("fund/org or split", values["fund_org"] or values["payer_split_id"]),
        )
        if not is_there
    ]
    return f"no {' and no '.join(missing)}: correct who pays first" if missing else ""


def _label(code: str) -> str:
    label = str(Flag.Code(code).label)
    return label if label.startswith("PI") else f"{label[0].lower()}{label[1:]}"


def _why_no_step(state: str, wanted: str) -> str:
    if state == State.CLEAR:
        return "clear: it needs no approval"
    return f"{_word(state)} already" + ("" if state == wanted else ": undo that first")


def _word(state: str) -> str:
    return State(state).value
