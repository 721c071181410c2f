"""The list of fund/orgs that may be charged, with the projects that may use each."""

from collections.abc import Collection, Mapping
from typing import Any

from ... import audit
from ...models import FaTreatment, FundingSource, Job, Project
from ...readers.cells import check_code, unwrapped
from ...readers.values import BadValue
from ...texts import code_of, folded_code
from ..lists import ListRefused
from .columns import Known, Links, choice, code, codes, day, parts_of, text, yes
from .kinds import Found, Register, Stored, broken


class FundsRefused(ListRefused):
    """A list of funds that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No fund was loaded."


def _find(row: Mapping[str, str], known: Known, stored: Stored) -> Found:
    said = code_of(row["fund_org"])
    if not said:
        raise ValueError("fund_org", "is empty")
    return said, said, stored.by_key.get(said)


def _projects_named(said: str, known: Known) -> list[Project]:
    found: dict[int, Project] = {}
    unknown = []
    for part in parts_of(said):
        bare = unwrapped(part)
        if project := known.projects.get(folded_code(part)) or known.projects.get(folded_code(bare)):
            found[project.pk] = project
            continue
        try:
            check_code(bare)
        except BadValue as error:
            raise ValueError(str(error)) from error
        unknown.append(code_of(bare))
    if unknown:
        raise ValueError(f"there is no project {', '.join(unknown)}")
    return list(found.values())


def _link(gesture: audit.Gesture, fund: Any, had: Collection[Any], chosen: Collection[Any]) -> None:
    fund.projects.set(chosen)


FUNDS = Register(
    name="funds",
    event="funding_source",
    model=FundingSource,
    nouns=("fund", "funds"),
    columns=(
        code("fund_org", "As the ledger and tags write it.", is_key=True),
        text("name", "What it is called."),
        yes("sponsored", "Whether it is a sponsored award.", "is_sponsored"),
        choice(
            "fa",
            "included or excluded: whether charges are in the base of its F&A (MTDC).",
            "fa_treatment",
            FaTreatment.values,
        ),
        day("valid_from", "The first day of service it may pay for."),
        day("valid_until", "The last day of service it may pay for."),
        day("last_posting_date", "The last day on which journals may charge it."),
        day("final_report_date", "When the award's final financial report was submitted."),
        codes(
            "projects",
            "The codes of the projects that may use it.",
            words=lambda project: project.code,
            links=Links(of=lambda fund: list(fund.projects.all()), read=_projects_named, store=_link),
        ),
    ),
    job=Job.Kind.FUNDS,
    refused=FundsRefused,
    nobody="The file names no fund/org.",
    find=_find,
    # A list loaded before codes were cleaned may have one otherwise: it is the same fund.
    key_of=lambda fund: code_of(fund.fund_org),
    queryset=lambda found: found.prefetch_related("projects").order_by("fund_org"),
    wrong=lambda fund, changed, known: [("", message) for message in broken(fund)],
    releases=True,
    cleans_keys=True,
)
