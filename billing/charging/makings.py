"""How charges and corrections became the cents of one payer line, and which payer lines a charge goes to."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q

from ..models import Charge, CorrectionLine, PayerLine
from ..models.charges import ChargeQuerySet
from ..moments import at_one_moment
from ..money import EXACT, ZERO
from .groups import Groups, may_be_of
from .keys import key_of_correction
from .month import Bearer, Group, Month, Sums
from .sharing import lines_of, shared_lines


@dataclass(frozen=True)
class PayerShare:
    """What one payer has of a group: by a split's percent, or of a shared cost by what its source charged them.

    With `is_subsidy` it is what a fund pays in the users' place, and no part of the group's cents.
    """

    key: str
    fund_org: str
    charged: Decimal
    percent: Decimal | None
    measure: Decimal | None
    is_subsidy: bool


@dataclass(frozen=True)
class Making:
    """A group of charges and the cents that one payer line has of it; amounts are exact.

    `charges` has each charge's own part of `charged_sum` as `counted`. The sums are in `currency`, that of the files,
    one unit of which is worth `rate`. Converted and rounded once they are `cents`; `rounding` is what that took away
    from the exact sum. `shares` are those among whom the cents were shared, and `charged` is the part of the line.
    """

    charges: ChargeQuerySet
    count: int
    currency: str
    list_sum: Decimal
    contracted_sum: Decimal
    charged_sum: Decimal
    rate: Decimal
    converted: Decimal
    cents: Decimal
    rounding: Decimal
    split: int | None
    is_shared: bool
    shares: tuple[PayerShare, ...]
    charged: Decimal


@at_one_moment
def makings_of(line: PayerLine) -> list[Making]:
    """Return the groups of charges that a payer line is made of, and how each became its cents.

    One group, as a rule; two where a fund/org pays by its tag and by a share of a split as well. They
    are computed from the charges, rates and splits as they are now. Their `charged` adds up to the line's
    as long as nothing changed since it was made.

    Raises the errors of `make_payer_lines`.
    """
    groups = Groups(Month(line.period))
    sums_of: dict[Group, Sums] = {}
    for group, sums, _ in groups.rows(asked=may_be_of(line)):
        sums_of.setdefault(group, Sums()).add(sums)
    made = [_making(groups, group, sums, line.key) for group, sums in sums_of.items()]
    groups.month.refuse_what_is_missing()
    return [making for making in made if any(share.key == line.key for share in making.shares)]


def corrections_of(line: PayerLine) -> list[CorrectionLine]:
    """Return the lines of corrections that a payer line is made of."""
    lines = CorrectionLine.objects.charged_in(line.period).filter(
        kind=line.kind,
        source=line.source_id,
        fund_org=line.fund_org,
        customer=line.customer_id,
        service_name=line.service_name,
    )
    of_corrections = lines.select_related(
        "correction__charged_in", "correction__for_period", "pi", "project", "source", "customer"
    )
    return [
        entered for entered in of_corrections.order_by("correction", "number") if key_of_correction(entered) == line.key
    ]


@at_one_moment
def keys_of(charge: Charge) -> list[str]:
    """Return the keys of the payer lines that a charge goes to: none while it is held, rejected or withdrawn."""
    groups = Groups(Month(charge.charged_in))
    keys: list[str] = []
    for group, _, _ in list(groups.rows(asked=Q(pk=charge.pk))):
        if group.kind != PayerLine.Kind.SHARED:
            keys += [payer.key for payer in groups.month.payers(group)]
            continue
        # Who pays a shared cost, and how much of it, follows only from all of its charges.
        whole = Sums()
        of_group = Q(source=group.source_id, period=group.for_period_id, shared_as=group.service_name)
        for other, sums, _ in groups.rows(asked=of_group):
            if other == group:
                whole.add(sums)
        keys += [line.key for line in shared_lines(groups.month, group, whole)]
    return keys


def _making(groups: Groups, group: Group, sums: Sums, key: str) -> Making:
    """Say how a group became the cents of the payer line of this key."""
    month = groups.month
    month.refuse_what_is_missing([group])
    shares = _payer_shares(month, group, sums)
    rate = month.rate(group)
    converted = EXACT.multiply(sums.charged, rate)
    cents = sum((share.charged for share in shares if not share.is_subsidy), ZERO)
    return Making(
        charges=groups.charges_of(group),
        count=sums.count,
        currency=group.currency,
        list_sum=sums.list_cost,
        contracted_sum=sums.contracted_cost,
        charged_sum=sums.charged,
        rate=rate,
        converted=converted,
        cents=cents,
        rounding=EXACT.subtract(converted, cents),
        split=group.split_id,
        is_shared=group.kind == PayerLine.Kind.SHARED,
        shares=shares,
        charged=sum((share.charged for share in shares if share.key == key), ZERO),
    )


def _payer_shares(month: Month, group: Group, sums: Sums) -> tuple[PayerShare, ...]:
    """Return what each payer has of a group, with the percent or the measure it follows from."""
    if group.kind == PayerLine.Kind.SHARED:
        measures = month.bearers_in(group.for_period_id).get(group.source_id, {})
        return tuple(
            PayerShare(
                key=line.key,
                fund_org=line.fund_org,
                charged=line.charged,
                percent=None,
                measure=measures.get(Bearer(line.pi_id, line.project_id, line.fund_org, line.customer_id), ZERO),
                is_subsidy=line.kind == PayerLine.Kind.SUBSIDY,
            )
            for line in shared_lines(month, group, sums)
        )
    percents = {payer.key: payer.percent for payer in month.payers(group) if payer.kind != PayerLine.Kind.SUBSIDY}
    return tuple(
        PayerShare(
            key=line.key,
            fund_org=line.fund_org,
            charged=line.charged,
            percent=percents.get(line.key),
            measure=None,
            is_subsidy=line.kind == PayerLine.Kind.SUBSIDY,
        )
        for line in lines_of(month, group, sums)
    )
