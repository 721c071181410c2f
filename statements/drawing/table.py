"""The table of a statement: lines with their resources, and the amounts beside them."""

import itertools
from collections.abc import Sequence

from billing.quantities import added

from ..document import Figures, Line, Resource, money
from ..lettering import BOLD, isolated
from ..pdf_objects import string
from ..tagging import COLUMN_SCOPE, ROW_SCOPE
from .fitting import fitted, lines_of, narrowed, signed, wrapped
from .headed import HeadedTable, Heading
from .paper import Paper
from .styles import CELL_STRONG, FINE, INK, LEFT, RESOURCE, RIGHT, Text

# Of one line; what comes after the largest of these is added up.
MOST_RESOURCES = 200

# The right edges of the columns of amounts: list price, discount, its percent, subsidy, its percent, charged.
COLUMNS = (RIGHT - 245, RIGHT - 182, RIGHT - 150, RIGHT - 97, RIGHT - 65, RIGHT - 6)
HEADINGS = ("List price", "Discount", "%", "Subsidy", "%", "Charged")
# What a heading says to who hears it without those beside it.
ALOUD = {2: "Discount in percent", 4: "Subsidy in percent"}
LABEL_WIDTH = COLUMNS[0] - 58 - LEFT
# How wide an amount may be without touching the column before it.
ROOMS = (50.0, *(edge - before - 4 for before, edge in itertools.pairwise(COLUMNS)))
# What the row that adds a table up takes.
TOTAL_HEIGHT = 20.0
RESOURCE_INDENT = 10
# Between a label and what is in gray beside it; an id that would get less room than this is left out.
BESIDE = 6
SHORTEST = 30


class FiguresTable(HeadedTable):
    """Tables of one document, on its paper: a label, and list price, discount, subsidy and what is charged."""

    def __init__(self, paper: Paper, currency: str, *, has_charges: bool = False) -> None:
        super().__init__(paper, currency)
        # Whether the charges behind it are attached.
        self.has_charges = has_charges

    def headings(self) -> list[Heading]:
        aloud = {number: f"{COLUMN_SCOPE} /ActualText {string(text)}" for number, text in ALOUD.items()}
        return [
            (LEFT + 6, "Service and resource", "left", COLUMN_SCOPE),
            *(
                (edge, text, "right", aloud.get(number, COLUMN_SCOPE))
                for number, (edge, text) in enumerate(zip(COLUMNS, HEADINGS, strict=True))
            ),
        ]

    def line(self, line: Line, *, keep: float = 0) -> None:
        """Write a line and its resources.

        Its last row goes on to a new page where `keep` is not left below it, for what must not stand alone.
        """
        paper = self.paper
        resources = largest(line.resources)
        beside, named = _beside_title(line)
        paper.need(self.height_of_start(line, keep=keep))
        title = title_of(line)
        self.row(title, CELL_STRONG, line.figures, CELL_STRONG, detail=beside, named=named, percents=True)
        for number, resource in enumerate(resources, start=1):
            self._resource(resource, keep=keep + 4 if number == len(resources) else 0)
        paper.y -= 1.5
        paper.rule(paper.y + 8.5)
        paper.y -= 2.5

    def height_of_start(self, line: Line, *, keep: float = 0) -> float:
        """Return what a line needs on the page that it begins on: all of it but its further resources."""
        count = len(line.resources)
        # Never without its first resource, nor its only row without what is to be kept below it.
        below = 12 if count > 1 else 16 + keep if count else keep
        return 18 + 10.2 * len(_beside_title(line)[1]) + below

    def _resource(self, resource: Resource, *, keep: float = 0) -> None:
        paper = self.paper
        name, detail = resource_texts(resource, has_charges=self.has_charges)
        beside = isolated(detail)
        named: list[str] = []
        if used := resource.used:
            # Usage is never cut off: the id is, where there is no room for both.
            room = LABEL_WIDTH - RESOURCE_INDENT
            spare = room - RESOURCE.width(isolated(name)) - BESIDE - FINE.width(f"{used} · ")
            if spare >= 0:
                short = isolated(fitted(detail, FINE, spare)) if spare > SHORTEST else ""
                beside = " · ".join(filter(None, (used, short)))
            else:
                named = wrapped(used, FINE, room)
        paper.need(13 + 10.2 * len(named) + keep)
        self.row(
            isolated(name),
            RESOURCE,
            resource.figures,
            RESOURCE,
            detail=beside,
            named=named,
            indent=RESOURCE_INDENT,
            step=11.2,
        )

    def row(
        self,
        label: str,
        label_style: Text,
        figures: Figures,
        style: Text,
        *,
        detail: str = "",
        named: Sequence[str] = (),
        percents: bool = False,
        only_charged: bool = False,
        indent: float = 0,
        step: float = 12.6,
    ) -> None:
        """Write a row: a label with details behind it (below it, where both do not fit), and the amounts.

        What `named` has comes below, a line each. With `only_charged` the other amounts are left out.
        """
        paper = self.paper
        left, room = LEFT + 6 + indent, LABEL_WIDTH - indent
        text = fitted(label, label_style, room)
        with paper.structure.part("TR"):
            code = paper.code
            code.append(paper.structure.mark("TH", ROW_SCOPE))
            # With a blank at its end, so that it does not run together with what is read next.
            paper.show(left, paper.y, f"{text.rstrip()} " if detail or named else text, label_style)
            below = ""
            if detail:
                used = label_style.width(text) + BESIDE
                short = detail if FINE.width(detail) <= room - used else ""
                if not short and used < room * 0.6:
                    short = fitted(detail, FINE, room - used)
                blank = " " if named else ""
                if short == detail or (indent and short):
                    paper.show(left + used, paper.y, short + blank, FINE)
                elif not indent:
                    below = fitted(detail, FINE, room)
                    paper.show(left, paper.y - 10.2, below + blank, FINE)
            lower = [below] * bool(below) + [*named]
            for number, part in enumerate(named, start=len(lower) - len(named) + 1):
                paper.show(left, paper.y - 10.2 * number, part, FINE)
            code.append("EMC")
            self._amounts(figures, style, percents=percents, only_charged=only_charged)
        paper.y -= step + 10.2 * len(lower)

    def _amounts(self, figures: Figures, style: Text, *, percents: bool, only_charged: bool) -> None:
        paper = self.paper
        currency = self.currency
        values: tuple[str, ...] = (
            money(figures.list_cost, currency),
            money(figures.discount, currency),
            figures.discount_percent if percents else "",
            money(figures.subsidy, currency),
            figures.subsidy_percent if percents else "",
            money(figures.charged, currency),
        )
        mark, code = paper.structure.mark, paper.code
        for number, (edge, value, room) in enumerate(zip(COLUMNS, values, ROOMS, strict=True)):
            if only_charged and number < len(COLUMNS) - 1:
                continue
            if not value:
                # Every row has as many cells as the table has columns.
                code.append(f"{mark('TD')} EMC")
                continue
            text = signed(value)
            look = narrowed(text, FINE if number in (2, 4) else style, room)
            code.append(mark("TD"))
            paper.show(edge - look.width(text), paper.y, text, look)
            code.append("EMC")

    def total(self, label: str, figures: Figures, *, percents: bool = True) -> None:
        """Write the row that adds the table up."""
        paper = self.paper
        paper.need(TOTAL_HEIGHT)
        paper.rule(paper.y + 10.4, color=INK, thickness=0.8)
        paper.y -= 1.5
        style = Text(9.2, BOLD)
        self.row(label, style, figures, style, percents=percents, step=14)


def _beside_title(line: Line) -> tuple[str, list[str]]:
    """Return what stands beside the title of a line, and what stands below it."""
    detail, used = detail_of(line), line.used
    beside, below = detail, []
    if used:
        # Usage is never cut off: it stands beside the service, or below it where there is no room.
        fits = CELL_STRONG.width(title_of(line)) + BESIDE + FINE.width(used) <= LABEL_WIDTH
        beside = used if fits else ""
        below = [*([] if fits else [used]), fitted(detail, FINE, LABEL_WIDTH)]
    # What a reader looks up elsewhere is wrapped, and never cut off.
    return beside, lines_of((*below, *line.looked_up), FINE, LABEL_WIDTH)


def title_of(line: Line) -> str:
    """Return the title of a line with its number, each in its own direction."""
    return f"{line.before_title}{isolated(line.title)}"


def detail_of(line: Line) -> str:
    """Say in gray what a line is beside its service: source, account, and which part of a cost."""
    details = [isolated(line.source) if line.service else ""]
    if line.natural_account:
        details.append(f"account {line.natural_account}")
    if line.share:
        details.append(line.share)
    if line.is_showback:
        details.append("not charged to the ledger")
    return " · ".join(part for part in details if part)


def resource_texts(resource: Resource, *, has_charges: bool) -> tuple[str, str]:
    """Return the name of a resource, and its id where that is another."""
    if resource.further:
        where = ": see the attached charges.csv" if has_charges else ""
        return f"{resource.further:,} further resources{where}", ""
    if name := resource.name or resource.resource_id:
        return name, resource.resource_id if resource.resource_id != name else ""
    return "Charges without a resource" if resource.count != 1 else "Charge without a resource", ""


def largest(resources: Sequence[Resource]) -> list[Resource]:
    """Keep the first MOST_RESOURCES (they come largest first) and add up the rest."""
    kept, rest = list(resources[:MOST_RESOURCES]), resources[MOST_RESOURCES:]
    if rest:
        total = Figures.total(each.figures for each in rest)
        count = sum(each.count for each in rest)
        further = sum(each.further or 1 for each in rest)
        usage = added(used for each in rest for used in each.usage)
        kept.append(Resource(name="", resource_id="", count=count, figures=total, further=further, usage=usage))
    return kept
