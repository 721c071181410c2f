"""What other books (statements, journals) say of a month, against its payer lines."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from ..errors import NextStep
from ..models import BillingPeriod, PayerLine, Policy, Source
from ..money import ZERO
from . import seals
from .equations import INVOICED, JOURNALED, STATED, TITLES, Equation, Term, Verdict, sum_of
from .findings import About, Finding
from .month import Line, Month


class SideLine(NamedTuple):
    """What another book says of a payer: its amount, in how many lines."""

    source: str
    amount: Decimal
    lines: int


@dataclass(frozen=True)
class Side:
    """What another book (statements, journals) says of a month, by payer key.

    `broken` are documents whose lines do not add up to what they say themselves. `fingerprint` tells one set of
    documents from another. `find` names the line of a payer key and its document; `about` are its documents.
    """

    code: str
    label: str
    lines: Mapping[str, SideLine]
    find: Callable[[str], tuple[str, About | None]]
    broken: tuple[Finding, ...] = ()
    fingerprint: str = ""
    about: About | None = None
    # What has to be done where a payer line is not there yet.
    then: NextStep | None = None
    # The seals of its documents, by number; asked for when a month is finalized, and ever after.
    seal: Callable[[], dict[str, str]] = dict
    # Those of their lines, which name the line where a document's is broken.
    seal_lines: Callable[[], seals.LineSeals] = dict


# What a side says of a month, by code.
Provider = Callable[[BillingPeriod], Side]
_sides: dict[str, Provider] = {}


def register_side(code: str, provider: Provider) -> None:
    """Have `provider` asked what its books say of a month; a second one of the same code replaces it."""
    _sides[code] = provider


def sides_of(period: BillingPeriod) -> dict[str, Side]:
    """Return what each of the other books says of a month, in the order of the month."""
    return {code: _sides[code](period) for code in TITLES if code in _sides}


def compared(month: Month, side: Side, frozen_fingerprint: str | None) -> Iterator[Equation]:
    """Compare payer lines with what is stated or journaled, by source and payer.

    `frozen_fingerprint` is that of the side when the month was finalized, if it was.
    """
    unstated = _unstated(month, side) if side.code == STATED else set()
    lines: dict[str, dict[str, Line]] = defaultdict(dict)
    for line in month.lines:
        lines[month.sources[line.source_id].name][line.key] = line
    others: dict[str, dict[str, SideLine]] = defaultdict(dict)
    for key, other in side.lines.items():
        others[other.source][key] = other
    by_name = {source.name: source for source in month.sources.values()}
    is_settled = month.is_finalized and frozen_fingerprint == side.fingerprint
    for name in sorted({*lines, *others}):
        source = by_name.get(name)
        own = {
            key: line
            for key, line in lines[name].items()
            if (is_wanted(line, side.code, source) or line.key in others[name]) and line.owner not in unstated
        }
        is_receivable = None if side.code == STATED else side.code == INVOICED
        kinds = PayerLine.CHARGED if side.code == STATED else ()
        about = month.about_lines(source, *kinds, is_receivable=is_receivable)
        if own or others[name]:
            yield _of_source(month, side, name, own, others[name], about, is_settled)
        elif side.code == JOURNALED and source and not source.is_journaled:
            shown = sum_of(line.charged for line in lines[name].values())
            yield Equation(
                side.code,
                name,
                month.home,
                (Term("lines", "Payer lines", shown, len(lines[name]), about),),
                (Term("showback", "Shown only, never journaled", shown, len(lines[name]), about),),
                Verdict.OK,
            )


def is_stated(line: Line | PayerLine) -> bool:
    """Tell whether a payer line belongs on a statement: somebody's, not the center's."""
    return line.kind in PayerLine.CHARGED and line.pi_id is not None


def is_wanted(line: Line, code: str, source: Source | None) -> bool:
    """Tell whether another book, by its code, has to have a payer line of a source.

    What a customer pays is on an invoice, and all else in the ledger. A book keeps what it got while a source was
    charged back.
    """
    if code == STATED:
        return is_stated(line)
    return bool(source and source.is_journaled) and bool(line.customer_id) == (code == INVOICED)


def _of_source(
    month: Month,
    side: Side,
    name: str,
    own: Mapping[str, Line],
    others: Mapping[str, SideLine],
    about: About,
    is_settled: bool,
) -> Equation:
    left = Term("lines", "Payer lines", sum_of(each.charged for each in own.values()), len(own), about)
    listed = replace(side.about, where={**side.about.where, "source": name}) if side.about else None
    there = others.values()
    right = Term(
        side.code, side.label, sum_of(each.amount for each in there), sum(each.lines for each in there), listed
    )
    unequal = sum(
        (own[key].charged if key in own else ZERO) != (others[key].amount if key in others else ZERO)
        for key in {*own, *others}
    )
    equation = Equation(side.code, name, month.home, (left,), (right,), Verdict.OK, unequal=unequal)
    if not unequal:
        return equation
    told = f"{unequal:,} {'payer line is' if unequal == 1 else 'payer lines are'} not there as charged."
    return equation.marked(Verdict.OFF, told) if is_settled else equation.marked(Verdict.OPEN, told, side.then)


def _unstated(month: Month, side: Side) -> set[tuple[int | None, int | None]]:
    """Return the owners who get no statement, for nothing would be on it and the policy issues none of zero."""
    if Policy.objects.current().issues_zero_statements:
        return set()
    sums: dict[tuple[int | None, int | None], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    for line in month.lines:
        if line.kind in PayerLine.CHARGED:
            sums[line.owner][0] += line.charged
            sums[line.owner][1] += line.list_cost
    stated = {line.owner for line in month.lines if line.key in side.lines}
    return {owner for owner, (charged, listed) in sums.items() if not (charged or listed)} - stated
