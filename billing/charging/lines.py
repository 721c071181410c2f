"""The payer lines of a month: of its charges, of its shared costs, and of its corrections."""

from collections.abc import Iterator

from ..models import BillingPeriod, CorrectionLine, PayerLine
from ..moments import at_one_moment
from .groups import Groups
from .month import HUNDRED, Group, Month, Payer, bearers_of
from .sharing import cost_of_its_own, lines_of, shares_of


@at_one_moment
def compute(period: BillingPeriod) -> list[PayerLine]:
    """Return the payer lines a month's charges make, unsaved and without reference; write nothing.

    Each group's exact sums are converted, rounded to cents once, and then split among its payers; a
    shared cost's among all whom its source charged, in proportion.
    Raises the errors of `make_payer_lines`.
    """
    return lines_of_month(Groups(Month(period)))


def lines_of_month(groups: Groups) -> list[PayerLine]:
    """Return the payer lines of a month's charges and corrections, in the order of their keys."""
    lines = lines_of_charges(groups)
    entered: dict[str, PayerLine] = {}
    for line, _ in entered_lines(groups.month):
        _add(line, entered)
    # What a correction of the same month reversed is no line.
    lines |= {key: line for key, line in entered.items() if line.charged}
    return [lines[key] for key in sorted(lines)]


def lines_of_charges(groups: Groups) -> dict[str, PayerLine]:
    """Return the payer lines of a month's charges by their keys, without those of corrections."""
    month = groups.month
    lines: dict[str, PayerLine] = {}
    sums_of = groups.sums()
    shared = {group: sums for group, sums in sums_of.items() if group.kind == PayerLine.Kind.SHARED}
    for group, sums in sums_of.items():
        if group not in shared:
            for line in lines_of(month, group, sums):
                _add(line, lines)
    # Shares are measured by what is somebody's own, never by each other.
    bearers = bearers_of(lines.values())
    for group, sums in shared.items():
        of_month = bearers if group.for_period_id == month.period.pk else month.bearers_in(group.for_period_id)
        for line in shares_of(month, group, sums, of_month.get(group.source_id, {})):
            _add(line, lines)
    month.missing.refuse_without_bearers()
    for key, texts in groups.references_named().items():
        if naming := lines.get(key):
            naming.reference_1, naming.reference_2 = texts
    return lines


def entered_lines(month: Month) -> Iterator[tuple[PayerLine, CorrectionLine]]:
    """Yield the lines of the month's corrections with the payer line each makes: whole cents as entered.

    A correction moves what is due: whatever it moves is a cost of its own, so that provider discount and
    subsidy stay where the charges showed them.
    """
    lines = (
        CorrectionLine.objects.charged_in(month.period).select_related("correction").order_by("correction", "number")
    )
    for entered in lines:
        group = Group(
            for_period_id=entered.correction.for_period_id,
            kind=entered.kind,
            pi_id=entered.pi_id,
            project_id=entered.project_id,
            fund_org=entered.fund_org,
            split_id=None,
            source_id=entered.source_id,
            natural_account=entered.natural_account,
            service_name=entered.service_name,
            currency=entered.correction.currency,
            customer_id=entered.customer_id,
        )
        payer = Payer(month.key(group, group.kind, group.fund_org), group.kind, group.fund_org, HUNDRED)
        yield month.line(group, payer, cost_of_its_own(entered.amount)), entered


def _add(line: PayerLine, lines: dict[str, PayerLine]) -> None:
    """Put a line among others, added to the one of the same payer."""
    # Groups can share a payer: a fund/org by its tag and by a share of a split, or with several who fund the subsidy.
    if known := lines.get(line.key):
        known.list_cost += line.list_cost
        known.contracted_cost += line.contracted_cost
        known.charged += line.charged
        known.rounding += line.rounding
        known.charge_count += line.charge_count
        if known.shared_total is not None and line.shared_total is not None:
            known.shared_total += line.shared_total
    else:
        lines[line.key] = line
