"""Who pays for a row: an attribution, and one in the making."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..models import Charge

# What a rule may set, and what people call it.
SET_BY_RULES = {
    "pi_email": "PI",
    "project_code": "project",
    "fund_org": "fund/org",
    "cost_center": "cost center",
    "natural_account": "account code",
    "shared_as": "shared",
}

# Who pays a charge that is somebody's own: what no shared cost has.
PAYER = ("pi_email", "project_code", "fund_org")


@dataclass(frozen=True)
class Attribution:
    """Who pays for a row, by the names that people use; `problem` is what its tags said wrongly."""

    pi_email: str = ""
    project_code: str = ""
    fund_org: str = ""
    cost_center: str = ""
    natural_account: str = ""
    reference_1: str = ""
    reference_2: str = ""
    # The last day of service by the row's own tag, in ISO form; kept on no charge.
    end_date: str = ""
    shared_as: str = ""
    attributed_by: str = ""
    deciders: str = ""
    problem: str = ""


@dataclass
class Draft:
    """An attribution in the making: values by field, who decided what, and the problems of tags by field."""

    values: dict[str, str]
    problems: list[tuple[str, str]]
    pi_by: str = Charge.AttributedBy.NOTHING
    deciders: list[str] = field(default_factory=list)

    def fill(self, values: Mapping[str, str], *, by: str, decider: str = "", over: Iterable[str] = ()) -> list[str]:
        """Take values for the fields that are empty, and for those named in `over`; return which were taken.

        A cost is somebody's own or shared: what is the one already does not become the other, but where
        all that says so is in `over`.
        """
        wanted = [name for name, value in values.items() if value and (not self.values[name] or name in over)]
        taken = [name for name in wanted if not self._stands_against(name, over)]
        if "shared_as" in taken:
            self.values.update(dict.fromkeys(PAYER, ""))
        for name in taken:
            self.values[name] = values[name]
        if "pi_email" in taken or "shared_as" in taken:
            self.pi_by = by
        if taken and decider:
            self.deciders.append(f"{decider} ({', '.join(SET_BY_RULES[name] for name in taken)})")
        return taken

    def _stands_against(self, name: str, over: Iterable[str]) -> bool:
        if name == "shared_as":
            return any(self.values[payer] and payer not in over for payer in PAYER)
        return name in PAYER and bool(self.values["shared_as"])

    def attribution(self) -> Attribution:
        """Return it as it is decided now."""
        return Attribution(
            **self.values,
            attributed_by=str(self.pi_by),
            deciders="; ".join(self.deciders)[:254],
            problem="; ".join(text for _, text in self.problems),
        )
