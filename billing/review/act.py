"""An act of the review: decisions about a selection of charges, made in memory and saved as a whole."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from .. import audit
from ..inserting import insert
from ..models import Charge, ImportedFile, ReviewDecision, Source
from .batches import batches
from .flags import OVER, Flags
from .locked_charges import DECIDED_FIELDS, LockedCharges, decided_values
from .outcome import DONE, Decided
from .owners import Owners
from .reassignment import Reassignment
from .shares import shares_text
from .undoing import PastActs, remove_created

Action = ReviewDecision.Action
State = Charge.State
UNSAID = "a provider bills it: say whether the provider will credit it"


class Act:
    """Decisions about a selection of charges: locked once, decided in memory, saved in bulk.

    `charges` holds those that may be decided about, by id; `why_skipped` has the reason for the others.
    The verbs return why they left a charge alone, or nothing. It lives inside the gesture it is given.
    One on `trial` creates nobody, and is not to be saved.
    """

    def __init__(
        self, charges: "QuerySet[Charge] | Iterable[int]", *, gesture: audit.Gesture, trial: bool = False
    ) -> None:
        self.gesture = gesture
        self._locked = LockedCharges(charges)
        self.charges = self._locked.charges
        self.why_skipped = self._locked.why_skipped
        self._owners = Owners(self.charges.values(), gesture, trial=trial)
        self._flags = Flags(self._locked, self._owners)
        self._past = PastActs(self.charges)
        self._decisions: list[ReviewDecision] = []
        self._undone: set[UUID] = set()

    def decide(
        self,
        charge: Charge,
        state: str,
        *,
        reason: str = "",
        note: str = "",
        provider_credits: bool | None = None,
    ) -> str:
        """Approve or reject one charge, or charge it to the center.

        What a provider bills is rejected only where `provider_credits` it; where it does not, the center is charged.
        """
        is_billed = state == State.REJECTED and charge.source_id in self._providers
        if is_billed and provider_credits is False:
            state = State.CHARGED_TO_CENTER
        if state not in Charge.TRANSITIONS[State(charge.state)]:
            return self._skip(charge, _why_no_step(charge.state, state))
        if why := self._why_finance(charge):
            return self._skip(charge, why)
        if state == State.APPROVED and (why := self._why_not_approvable(charge)):
            return self._skip(charge, why)
        if is_billed and provider_credits is None:
            return self._skip(charge, UNSAID)
        before = {"state": charge.state}
        after: dict[str, Any] = {"state": state}
        if state == State.REJECTED and is_billed:
            after["provider_credits"] = True
        charge.state = state
        action = {
            State.APPROVED: Action.APPROVE,
            State.REJECTED: Action.REJECT,
            State.CHARGED_TO_CENTER: Action.CHARGE_TO_CENTER,
        }
        self._record(charge, action[State(state)], before, after, reason=reason, note=note)
        return ""

    def reassign(self, charge: Charge, reassignment: Reassignment, *, approve: bool = False, note: str = "") -> str:
        """Change who pays for one charge, by a reassignment that was checked; then approve it if told to."""
        if charge.state in (State.REJECTED, State.CHARGED_TO_CENTER):
            return self._skip(charge, f"{_word(charge.state)} already: undo that first")
        if why := self._why_finance(charge):
            return self._skip(charge, why)
        new = self._reassigned(charge, reassignment)
        if why := self._why_not_split(new) or (self._why_unpaid(new) if approve else ""):
            return self._skip(charge, why)
        if any(getattr(charge, name) != value for name, value in new.items()):
            if why := self._attribute(charge, new, action=reassignment.action, approve=approve, note=note):
                return self._skip(charge, why)
        elif not (approve and charge.state == State.HELD):
            return self._skip(charge, "attributed so already")
        if approve and charge.state == State.HELD:
            return self.decide(charge, State.APPROVED, note=note)
        return ""

    def _attribute(self, charge: Charge, new: Mapping[str, object], *, action: str, approve: bool, note: str) -> str:
        """Have somebody else pay for a charge; where it is to be approved and cannot, it stays as it is."""
        before, flags = self._attribution(charge), self._flags.states_of(charge)
        for name, value in new.items():
            setattr(charge, name, value)
        raised = self._flags.recheck(charge)
        if approve and (why := self._flags.why_blocked(charge)):
            for name in new:
                setattr(charge, name, before[name])
            self._flags.restore(charge, flags)
            return why
        if raised and charge.state != State.HELD:
            charge.state = State.HELD
        self._record(charge, action, before, self._attribution(charge), note=note)
        return ""

    def undo(self, charge: Charge, *, note: str = "") -> str:
        """Take back what the last act that still stands decided about one charge."""
        act = self._past.last_of(charge)
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
            raised = self._flags.recheck(charge)
            is_blocked = charge.state == State.APPROVED and self._flags.why_blocked(charge)
            if is_blocked or (charge.state == State.CLEAR and raised):
                # What it goes back to was in order once, and no approval answers what stands against it now.
                charge.state = State.HELD
        self._undone.add(act[0].gesture)
        after = self._attribution(charge) | {"undone": str(act[0].gesture)}
        self._record(charge, Action.UNDO, before, after, note=note)
        return ""

    @property
    def actions(self) -> set[str]:
        """What was decided so far."""
        return {str(decision.action) for decision in self._decisions}

    def save(self, action: str, *, also: str = "") -> Decided:
        """Write what was decided and the events that tell of it; raise ChargesChanged if somebody was quicker."""
        decided = {decision.charge_id for decision in self._decisions}
        self._locked.save(decision.charge_id for decision in self._decisions)
        self._flags.save()
        shas = _file_hashes(self.charges[pk] for pk in decided)
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
            created=tuple(self._owners.created),
            removed=tuple(remove_created(self._undone, self.gesture)),
            gesture=str(self.gesture.id),
        )

    @cached_property
    def _providers(self) -> set[int]:
        """The sources that outside providers bill (ids)."""
        return set(Source.objects.filter(kind=Source.Kind.PROVIDER).values_list("pk", flat=True))

    @property
    def created(self) -> tuple[str, ...]:
        """What it created, or on trial would create, as people name it."""
        return tuple(self._owners.created)

    def _skip(self, charge: Charge, why: str) -> str:
        return self._locked.skip(charge, why)

    def _why_not_approvable(self, charge: Charge) -> str:
        if why := self._why_unpaid({name: getattr(charge, name) for name in DECIDED_FIELDS}):
            return why
        self._flags.recheck_elsewhere(charge)
        return self._flags.why_blocked(charge)

    def _why_unpaid(self, values: Mapping[str, Any]) -> str:
        """Say who pays is missing, by the values of a charge's columns; a customer pays by invoice."""
        if values["shared_as"]:
            return ""
        is_paid = values["fund_org"] or values["payer_split_id"]
        is_paid = is_paid or self._owners.customer_of(values["pi_id"], values["project_id"])
        said = (("PI", values["pi_id"]), ("fund/org or split", is_paid))
        missing = [text for text, is_there in said if not is_there]
        return f"no {' and no '.join(missing)}: correct who pays first" if missing else ""

    def _why_not_split(self, values: Mapping[str, Any]) -> str:
        """Say that a split cannot share what a customer pays by invoice."""
        if not values["payer_split_id"]:
            return ""
        customer = self._owners.customer_of(values["pi_id"], values["project_id"])
        return f"customer {customer} pays it by invoice: a split cannot share it" if customer else ""

    def _why_finance(self, charge: Charge) -> str:
        """Say why somebody may not decide about a late change: what an award that is over paid is finance's to decide.

        A credit stays with the award that paid until then, and an increase waits for a payer.
        """
        if not (charge.is_late and charge.attributed_by == Charge.AttributedBy.CHARGED):
            return ""
        user = self.gesture.actor.user
        if user is None or user.has_perm("billing.add_fundexception"):
            return ""
        is_over = any(flag.code in OVER and not flag.is_resolved for flag in self._flags.of(charge))
        return "a late change of a fund/org that is over: finance decides who gets it" if is_over else ""

    def _reassigned(self, charge: Charge, reassignment: Reassignment) -> dict[str, Any]:
        """Return what a reassignment makes of who pays, as values of the charge's columns."""
        new: dict[str, Any] = {name: getattr(charge, name) for name in DECIDED_FIELDS[1:]}
        new["attributed_by"] = Charge.AttributedBy.DECISION.value
        if reassignment.pi or reassignment.project or reassignment.fund_org or reassignment.shares:
            # Somebody's own, from now on.
            new["shared_as"] = ""
        if reassignment.pi:
            new["pi_id"] = self._owners.person_named(reassignment.pi).pk
        if reassignment.project:
            project = self._owners.project_named(reassignment.project, self._owners.person(new["pi_id"]))
            new["project_id"] = project.pk
            new["pi_id"] = new["pi_id"] or project.pi_id
        if reassignment.fund_org:
            new["fund_org"], new["payer_split_id"] = reassignment.fund_org, None
        elif reassignment.shares:
            new["fund_org"], new["payer_split_id"] = "", self._owners.split_of(reassignment.shares)
        elif new["project_id"] != charge.project_id:
            self._take_funds_of_project(charge, new)
        for name in ("natural_account", "cost_center"):
            new[name] = getattr(reassignment, name) or new[name]
        return new

    def _take_funds_of_project(self, charge: Charge, new: dict[str, Any]) -> None:
        """Have another project's split or fund/org pay: its own, from its day on. The former project's stays behind."""
        if charge.payer_split_id and self._owners.is_of_project(charge.payer_split_id):
            new["payer_split_id"] = None
        project = self._owners.project(new["project_id"])
        assert project
        first_day, _ = self._locked.clocks.days_of(charge)
        new["payer_split_id"] = self._owners.split_on(project, first_day) or new["payer_split_id"]
        new["fund_org"] = new["fund_org"] or ("" if new["payer_split_id"] else project.default_fund_org)

    def _attribution(self, charge: Charge) -> dict[str, Any]:
        """Return what a decision keeps of a charge: names to read, ids to go back to."""
        values = dict(zip(DECIDED_FIELDS, decided_values(charge), strict=True))
        return values | {
            "pi": person.email if (person := self._owners.person(charge.pi_id)) else "",
            "project": project.code if (project := self._owners.project(charge.project_id)) else "",
            "split": shares_text(self._owners.shares_of(charge.payer_split_id)),
        }

    def _record(self, charge: Charge, action: str, before: dict[str, Any], after: dict[str, Any], **why: str) -> None:
        self._decisions.append(_decision(self.gesture, charge, action, before, after, **why))


def _decision(
    gesture: audit.Gesture,
    charge: Charge,
    action: str,
    before: dict[str, Any],
    after: dict[str, Any],
    *,
    reason: str = "",
    note: str = "",
) -> ReviewDecision:
    """Return what was decided about a charge, as it is kept, without the hash of its file."""
    return ReviewDecision(
        charge_id=charge.pk,
        line_number=charge.line_number,
        action=action,
        reason=reason,
        note=note,
        before=before,
        after=after,
        decided_by=gesture.actor.user,
        decided_by_name=gesture.actor.name,
        decided_at=gesture.now,
        gesture=gesture.id,
    )


def _file_hashes(charges: Iterable[Charge]) -> dict[tuple[int, int], str]:
    """Return the SHA-256 of the files of charges, by import and number."""
    return {
        (imported_in, number): sha256
        for batch in batches(sorted({charge.imported_in_id for charge in charges}))
        for imported_in, number, sha256 in ImportedFile.objects.filter(imported_in__in=batch).values_list(
            "imported_in_id", "number", "file__sha256"
        )
    }


def _why_no_step(state: str, wanted: str) -> str:
    if state == State.CLEAR:
        return "clear: it needs no approval"
    return f"{_word(state)} already" + ("" if state == wanted else ": undo that first")


def _word(state: str) -> str:
    return State(state).value
