"""From a group's exact sums to payer lines: converted, rounded to cents once, and shared among who pays."""

from collections.abc import Mapping
from decimal import Decimal

from .. import money
from ..fields import half_even
from ..models import PayerLine
from ..money import EXACT, ZERO
from .month import HUNDRED, Bearer, Group, Month, Payer, Sums


def lines_of(month: Month, group: Group, sums: Sums) -> list[PayerLine]:
    """Round a group's sums to cents, once, and share them among its payers."""
    exact = sums.times(month.rate(group))
    if group.kind == PayerLine.Kind.LATE and exact.is_nothing:
        # Reversed and charged again as it was: a change of its description, say.
        return []
    payers = month.payers(group)
    weights = {payer.fund_org: payer.percent for payer in payers if payer.kind != PayerLine.Kind.SUBSIDY}
    cents, shares = _shared_out(exact, weights, month.policy.currency)
    residue = half_even(EXACT.subtract(exact.charged, cents.charged))
    lines = []
    for payer in payers:
        if payer.kind != PayerLine.Kind.SUBSIDY:
            lines.append(month.line(group, payer, shares[payer.fund_org], residue))
            residue = ZERO
    return lines + _subsidy_of(month, group, cents, _subsidy_residue(exact, cents))


def shares_of(month: Month, group: Group, sums: Sums, bearers: Mapping[Bearer, Decimal]) -> list[PayerLine]:
    """Round a shared cost to cents, once, and share them in proportion to what each bearer was charged.

    `bearers` maps them to what their source charged them, in cents: who was charged nothing, or
    credited, bears nothing. Where that is everybody, the cost goes to the source's default PI and
    overflow fund/org; without these it is noted as having no bearers.
    """
    exact = sums.times(month.rate(group))
    if exact.is_nothing:
        return []
    measured = _measured(month, group, bearers)
    if not measured:
        source = month.sources[group.source_id]
        month.missing.bearers[source.name, month.periods[group.for_period_id].month] += sums.count
        return []
    by_key = {month.key(group.borne_by(bearer), group.kind, bearer.fund_org): bearer for bearer in measured}
    weights = {key: measured[bearer] for key, bearer in by_key.items()}
    cents, shares = _shared_out(exact, weights, month.policy.currency)
    residue = half_even(EXACT.subtract(exact.charged, cents.charged))
    of_subsidy = _subsidy_residue(exact, cents)
    bearing = [key for key in sorted(by_key) if not shares[key].is_nothing]
    lines = []
    # Less than a cent in all is still a line, which bears what rounding left of it.
    for key in bearing or sorted(by_key)[:1]:
        bearer = by_key[key]
        own = group.borne_by(bearer)
        kind = PayerLine.Kind.SHARED.value if bearer.pi_id else PayerLine.Kind.CHARGED_TO_CENTER.value
        line = month.line(own, Payer(key, kind, bearer.fund_org, HUNDRED), shares[key], residue)
        line.shared_total = cents.charged
        own_cents = Sums(line.list_cost, line.contracted_cost, line.charged, line.charge_count)
        lines += [line, *_subsidy_of(month, own, own_cents, of_subsidy)]
        residue = of_subsidy = ZERO
    return lines


def shared_lines(month: Month, group: Group, sums: Sums) -> list[PayerLine]:
    """Return the shares of a shared cost, measured by the payer lines as they stand."""
    return shares_of(month, group, sums, month.bearers_in(group.for_period_id).get(group.source_id, {}))


def cost_of_its_own(amount: Decimal, count: int = 0) -> Sums:
    """Return the sums of what a fund or a correction pays: a cost with no further discount or subsidy in it."""
    return Sums(amount, amount, amount, count)


def _measured(month: Month, group: Group, bearers: Mapping[Bearer, Decimal]) -> dict[Bearer, Decimal]:
    """Return who bears a shared cost and by what measure; the source's defaults where nobody was charged."""
    source = month.sources[group.source_id]
    measured = {bearer: charged for bearer, charged in bearers.items() if charged > 0}
    if measured or not source.default_pi_id:
        return measured
    customer_id = month.customer_of(source.default_pi_id, source.default_project_id)
    fund_org = "" if customer_id else source.overflow_fund_org
    if not (fund_org or customer_id):
        return {}
    return {Bearer(source.default_pi_id, source.default_project_id, fund_org, customer_id): HUNDRED}


def _subsidy_residue(exact: Sums, cents: Sums) -> Decimal:
    """Return what cents leave of the exact subsidy."""
    subsidy = EXACT.subtract(exact.contracted_cost, exact.charged)
    return half_even(EXACT.subtract(subsidy, cents.contracted_cost - cents.charged))


def _subsidy_of(month: Month, group: Group, cents: Sums, residue: Decimal) -> list[PayerLine]:
    """Return what a fund pays of a group's subsidy, or of a bearer's share in it; nothing where it is forgone.

    Less than a cent is a line too: it bears what rounding left of it.
    """
    funded = cents.contracted_cost - cents.charged
    if not (group.subsidized_by and (funded or residue)):
        return []
    kind = PayerLine.Kind.SUBSIDY.value
    payer = Payer(month.key(group, kind, group.subsidized_by), kind, group.subsidized_by, HUNDRED)
    return [month.line(group, payer, cost_of_its_own(funded, cents.count), residue)]


def _shared_out(exact: Sums, weights: Mapping[str, Decimal], currency: str) -> tuple[Sums, dict[str, Sums]]:
    """Return exact sums in cents, each rounded once, and each payer's share of the cents."""
    whole = Sums(
        money.to_cents(exact.list_cost, currency),
        money.to_cents(exact.contracted_cost, currency),
        money.to_cents(exact.charged, currency),
        exact.count,
    )
    if len(weights) == 1:
        return whole, dict.fromkeys(weights, whole)
    listed, contracted, charged = (
        money.split(cost, weights, currency) for cost in (whole.list_cost, whole.contracted_cost, whole.charged)
    )
    return whole, {name: Sums(listed[name], contracted[name], charged[name], exact.count) for name in weights}
