"""Who pays instead, as a person says it."""

from dataclasses import dataclass, replace
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from ..addresses import normalized_email
from ..attribution import naming
from ..errors import BillingError
from ..models import ReviewDecision
from ..texts import other_characters, quoted
from .shares import FUND_ORG_LENGTH, checked_shares

Action = ReviewDecision.Action
LIMITS = {"project": 128, "fund_org": FUND_ORG_LENGTH, "cost_center": 64, "natural_account": 64}


class BadPI(BillingError):
    """What was given as a PI is no e-mail address."""


class BadReassignment(BillingError):
    """A reassignment that says nothing, or two things at once."""


@dataclass(frozen=True)
class Reassignment:
    """Who pays instead. What is empty stays as it is; a fund/org takes a split's place and the reverse."""

    pi: str = ""
    project: str = ""
    fund_org: str = ""
    natural_account: str = ""
    cost_center: str = ""
    shares: tuple[tuple[str, Decimal], ...] = ()

    def __bool__(self) -> bool:
        return self != Reassignment()

    @property
    def action(self) -> str:
        """What it is called in the record of decisions: a split, if it says nothing else."""
        return Action.SPLIT if self == Reassignment(shares=self.shares) else Action.REATTRIBUTE

    @property
    def fund_orgs(self) -> tuple[str, ...]:
        """Every fund/org it names."""
        return (self.fund_org,) if self.fund_org else tuple(fund_org for fund_org, _ in self.shares)

    def unknown(self, names: naming.Names | None = None) -> list[naming.Unknown]:
        """Return what it names that does not exist."""
        return (names or naming.Names()).unknown(pi=self.pi, project=self.project, fund_orgs=self.fund_orgs)

    def checked(self) -> "Reassignment":
        """Return it cleaned; raise BadPI, BadSplit, BadReassignment or naming.MeansNothing for what cannot be."""
        trimmed = replace(
            self,
            pi=normalized_email(self.pi),
            **{name: naming.typed_code(getattr(self, name)) for name in LIMITS},
            shares=tuple(sorted(checked_shares(self.shares).items())) if self.shares else (),
        )
        if not trimmed:
            raise BadReassignment("Say who pays: a PI, a project, a fund/org, a split, an account code or cost center.")
        if trimmed.fund_org and trimmed.shares:
            raise BadReassignment("Give either a fund/org or a split, not both.")
        for name, limit in LIMITS.items():
            if len(getattr(trimmed, name)) > limit:
                raise BadReassignment(f"A {name.replace('_', '/')} has at most {limit} characters.")
        if trimmed.pi:
            try:
                validate_email(trimmed.pi)
            except ValidationError:
                odd = other_characters(trimmed.pi)
                raise BadPI(
                    f"{quoted(self.pi)} is not an e-mail address{f' ({odd})' if odd else ''}: a PI is named by theirs."
                ) from None
        return trimmed
