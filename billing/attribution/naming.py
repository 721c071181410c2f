"""What a person's text names: the PIs, projects and fund/orgs there are, and those like it where there is none."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from django.core.exceptions import ValidationError

from ..addresses import normalized_email
from ..errors import BillingError
from ..models import FundingSource, Project
from ..models.people import Mailboxes
from ..models.typed import require_said
from ..texts import code_of, folded_code

# As many as a person reads.
LIKE = 3


@dataclass(frozen=True)
class Unknown:
    """A name that nothing has, and the names most like it: a typo, or something new."""

    # The part of a correction that names it: pi, project or fund_org.
    kind: str
    name: str
    like: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """What happens once a person says that the name is meant."""
        if self.kind == "fund_org":
            return f"Fund/org {self.name} will be used, though it is not on the list"
        return f"{'PI' if self.kind == 'pi' else 'Project'} {self.name} will be created"

    @property
    def problem(self) -> str:
        """What is wrong, without the names like it."""
        if self.kind == "fund_org":
            return f"Fund/org “{self.name}” is not on the list of fund/orgs."
        return f"There is no {'PI' if self.kind == 'pi' else 'project'} “{self.name}”."

    def __str__(self) -> str:
        return f"{self.problem} Did you mean {', '.join(self.like)}?" if self.like else self.problem


class NotThere(BillingError):
    """Names that nothing has, given by somebody who did not say to create it; `unknown` has each."""

    def __init__(self, unknown: Iterable[Unknown]) -> None:
        self.unknown = tuple(unknown)
        super().__init__(" ".join(str(each) for each in self.unknown))


class MeansNothing(BillingError):
    """Somebody typed “n/a” or the like where a code belongs."""


def typed_code(text: str) -> str:
    """Return a code that a person typed, cleaned; raise MeansNothing for a word that the policy takes for none."""
    code = code_of(text)
    try:
        require_said(code)
    except ValidationError as error:
        raise MeansNothing(error.messages[0]) from None
    return code


class Names:
    """The names there are, each kind read once when it is first asked about."""

    def unknown(self, *, pi: str = "", project: str = "", fund_orgs: Iterable[str] = ()) -> list[Unknown]:
        """Return those of the given names that nothing has; without a list of fund/orgs, none of these is unknown."""
        found = []
        if pi and not self._people.owner(address := normalized_email(pi)):
            known = [*sorted(self._people.people), *self._people.aliases]
            found.append(Unknown("pi", self._people.mailbox(address), self._like(address, known)))
        if project and folded_code(project) not in self._projects:
            near = self._like(folded_code(project), self._projects)
            found.append(Unknown("project", code_of(project), tuple(self._projects[each] for each in near)))
        for fund_org in map(code_of, fund_orgs):
            if fund_org and self._funds and fund_org not in self._funds:
                found.append(Unknown("fund_org", fund_org, self._like(fund_org, self._funds)))
        return found

    @cached_property
    def _people(self) -> Mailboxes:
        return Mailboxes()

    @cached_property
    def _projects(self) -> dict[str, str]:
        return {folded_code(code): code for code in Project.objects.order_by("code").values_list("code", flat=True)}

    @cached_property
    def _funds(self) -> dict[str, None]:
        return dict.fromkeys(
            map(code_of, FundingSource.objects.order_by("fund_org").values_list("fund_org", flat=True))
        )

    @staticmethod
    def _like(name: str, known: Iterable[str]) -> tuple[str, ...]:
        return tuple(difflib.get_close_matches(name, list(known), n=LIKE, cutoff=0.6))


def unknown(*, pi: str = "", project: str = "", fund_orgs: Iterable[str] = ()) -> list[Unknown]:
    """Return those of a few names that nothing has."""
    return Names().unknown(pi=pi, project=project, fund_orgs=fund_orgs)
