"""The flags of the charges of an act: what they say now, and what answers them."""

from collections import defaultdict
from functools import cached_property

from ..attribution.checks import BY_TAG, Attributed, Invoiced, Reason, check_attribution, check_subsidy
from ..attribution.holding import Checks, settle_flags
from ..models import Charge, Flag
from ..models.dimensions import subsidy_fund_orgs
from ..models.periods import last_day_of
from .batches import batches
from .locked_charges import LockedCharges
from .owners import Owners

# What answers, beside a reassignment, a flag that no approval answers.
WAYS = {
    Flag.Code.UNKNOWN_PI: "confirm the PI",
    Flag.Code.FUND_NOT_VALID: "have finance record an exception for the fund/org",
    Flag.Code.FUND_CLOSED: "have finance record an exception for the fund/org",
}
# A fund/org whose dates are over.
OVER = (Flag.Code.FUND_NOT_VALID, Flag.Code.FUND_CLOSED)


class Flags:
    """The flags of locked charges; read at the first question, changed in memory, saved in bulk."""

    def __init__(self, locked: LockedCharges, owners: Owners) -> None:
        self._locked = locked
        self._owners = owners
        self._was_resolved: dict[int, bool] = {}

    @cached_property
    def _checks(self) -> Checks:
        return Checks()

    @cached_property
    def _subsidy_fund_orgs(self) -> dict[int, str]:
        return subsidy_fund_orgs()

    @cached_property
    def _by_charge(self) -> dict[int, list[Flag]]:
        found: dict[int, list[Flag]] = defaultdict(list)
        for batch in batches(list(self._locked.charges)):
            for flag in Flag.objects.filter(charge__in=batch).order_by("pk"):
                found[flag.charge_id].append(flag)
                self._was_resolved[flag.pk] = flag.is_resolved
        return found

    def of(self, charge: Charge) -> list[Flag]:
        """Return a charge's flags; those of all the charges are read at the first call."""
        return self._by_charge[charge.pk]

    def states_of(self, charge: Charge) -> list[bool]:
        """Return which flags of a charge are resolved, for `restore`."""
        return [flag.is_resolved for flag in self.of(charge)]

    def restore(self, charge: Charge, states: list[bool]) -> None:
        """Have a charge's flags again as `states_of` found them."""
        flags = self.of(charge)
        del flags[len(states) :]
        for flag, was in zip(flags, states, strict=True):
            flag.is_resolved = was

    def why_blocked(self, charge: Charge) -> str:
        """Say which flags no approval answers, and what does."""
        blocking = {flag.code for flag in self.of(charge) if not flag.is_resolved and flag.code in Flag.BLOCKING}
        if not blocking:
            return ""
        labels = ", ".join(_label(code) for code in sorted(blocking))
        ways = [WAYS[code] for code in Flag.ANSWERED_ELSEWHERE if code in blocking]
        return f"{labels}: {', or '.join(['correct who pays first', *dict.fromkeys(ways)])}"

    def recheck_elsewhere(self, charge: Charge) -> None:
        """Bring the flags up to date that the list of funds, its exceptions and the confirmed PIs answer."""
        settle_flags(self.of(charge), self._elsewhere(charge), charge_id=charge.pk, codes=Flag.ANSWERED_ELSEWHERE)

    def _elsewhere(self, charge: Charge) -> frozenset[Reason]:
        person = self._owners.person(charge.pi_id)
        shares = self._owners.shares_of(charge.payer_split_id)
        customer = self._owners.customer_of(charge.pi_id, charge.project_id)
        return self._checks.reasons(
            pi_email=person.email if person else "",
            attributed_by=charge.attributed_by,
            source_id=charge.source_id,
            fund_orgs=("",) if customer else tuple(shares or [charge.fund_org]),
            has_split=bool(charge.payer_split_id),
            is_shared=bool(charge.shared_as),
            days=self._locked.clocks.days_of(charge),
            posted=last_day_of(self._locked.months[charge.charged_in_id]),
            subsidy_fund_org=self._subsidy_fund_orgs.get(charge.product_key, ""),
        )

    def recheck(self, charge: Charge) -> bool:
        """Resolve the flags that are answered now and raise those that are not; tell if any was raised."""
        reasons = self._reasons(charge) | set(self._elsewhere(charge)) | self._still_of_tags(charge)
        return settle_flags(self.of(charge), reasons, charge_id=charge.pk)

    def _reasons(self, charge: Charge) -> set[tuple[str, str]]:
        """Return what a person has to look at, by who pays now."""
        person, project = self._owners.person(charge.pi_id), self._owners.project(charge.project_id)
        customer = self._owners.customer_of(charge.pi_id, charge.project_id)
        first_day, last_day = self._locked.clocks.days_of(charge)
        of_subsidy = check_subsidy(
            self._subsidy_fund_orgs.get(charge.product_key, ""),
            reference=self._checks.reference,
            service_start=first_day,
            service_end=last_day,
        )
        return {(reason.code, reason.detail) for reason in of_subsidy} | {
            (reason.code, reason.detail)
            for fund_org in (self._owners.shares_of(charge.payer_split_id) or [charge.fund_org])
            for reason in check_attribution(
                Attributed(
                    pi_email=person.email if person else "",
                    pi_active_until=person.active_until if person else None,
                    project_code=project.code if project else "",
                    project_end_date=project.end_date if project else None,
                    fund_org=fund_org,
                    has_split=bool(charge.payer_split_id),
                    is_shared=bool(charge.shared_as),
                    customer=(
                        Invoiced(str(customer), customer.active_from, customer.active_until) if customer else None
                    ),
                ),
                reference=self._checks.reference,
                service_start=first_day,
                service_end=last_day,
            )
        }

    def _still_of_tags(self, charge: Charge) -> set[tuple[str, str]]:
        """Return the flags that came from the tags and that nobody has answered yet."""
        is_decided = charge.attributed_by == Charge.AttributedBy.DECISION
        project = self._owners.project(charge.project_id)
        shares = self._owners.shares_of(charge.payer_split_id)
        found = set()
        is_paid = shares or charge.fund_org or self._owners.customer_of(charge.pi_id, charge.project_id)
        if not (is_decided and charge.pi_id and is_paid):
            # Nobody has said better yet what these tags were to say.
            found |= {(flag.code, flag.detail) for flag in self.of(charge) if flag.code == Flag.Code.INVALID_TAGS}
        if not is_decided and not (project and project.end_date):
            # The tags' end date holds until somebody says who pays, or the project gets an end date of its own.
            found |= {
                (flag.code, flag.detail)
                for flag in self.of(charge)
                if flag.code == Flag.Code.PROJECT_ENDED and flag.detail.endswith(BY_TAG)
            }
        return found

    def save(self) -> None:
        """Store new flags, and which are resolved now."""
        if "_by_charge" not in self.__dict__:
            return  # nobody asked for any
        every = [flag for flags in self._by_charge.values() for flag in flags]
        Flag.objects.bulk_create([flag for flag in every if flag.pk is None], batch_size=5_000)
        for is_resolved in (True, False):
            changed = [
                flag.pk
                for flag in every
                if flag.is_resolved == is_resolved and self._was_resolved.get(flag.pk, is_resolved) != is_resolved
            ]
            for batch in batches(changed):
                Flag.objects.filter(pk__in=batch).update(is_resolved=is_resolved)


def _label(code: str) -> str:
    label = str(Flag.Code(code).label)
    return label if label.startswith("PI") else f"{label[0].lower()}{label[1:]}"
