"""Payer lines of charges that are not there: what a source's month would come to if its charges were others."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Count, Expression, F, Q

from ..fields import AmountSum
from ..models import PATHS, BillingPeriod, Charge, PayerLine, Person, Source
from . import splits
from .groups import Groups
from .lines import lines_of_charges
from .month import Group, Month, Sums


class Part(NamedTuple):
    """Charges of a source's month that are alike in who pays, with their exact sums."""

    service_name: str
    pi_id: int | None
    project_id: int | None
    fund_org: str
    split_id: int | None
    natural_account: str
    currency: str
    state: str
    shared_as: str
    subsidy_fund_org: str
    sums: Sums

    @property
    def is_charged(self) -> bool:
        return self.state in Charge.CHARGEABLE


# The columns of a charge that a part is alike in, with the split that pays between them.
BEFORE_SPLIT = (PATHS["service_name"], "pi_id", "project_id", "fund_org")
AFTER_SPLIT = ("natural_account", "currency", "state", "shared_as", PATHS["subsidy_fund_org"])


def paying_split_in(period: BillingPeriod) -> Expression | F:
    """Return the split that pays for each charge of a month: in one that is closed, the split it was closed with."""
    return splits.paying_split() if period.takes_changes else F("payer_split")


def parts_standing(
    source: Source, period: BillingPeriod, *, but: Q | None = None, only: Q | None = None
) -> Iterator[Part]:
    """Yield what a source's imports for a month say by now, whichever month bears it.

    `but` is what does not count, and `only` all that does.
    """
    charges = Charge.objects.filter(source=source, period=period).standing()
    if but is not None:
        charges = charges.exclude(but)
    if only is not None:
        charges = charges.filter(only)
    rows = (
        charges.order_by()
        .with_prices([source], estimates=True)
        .values_list(*BEFORE_SPLIT, paying_split_in(period), *AFTER_SPLIT)
        .annotate(
            count=Count("*"),
            sum_list=AmountSum("exact_list"),
            sum_contracted=AmountSum("exact_contracted"),
            sum_charged=AmountSum("exact_charged"),
        )
    )
    for row in rows:
        *key, count, listed, contracted, charged = row
        yield Part._make([*key, Sums(listed, contracted, charged, count)])


def lines_foreseen(
    *,
    source: Source,
    period: BillingPeriod,
    parts: Iterable[Part],
    newcomers: Iterable[Person] = (),
    shares: Mapping[int, dict[str, Decimal]] | None = None,
) -> list[PayerLine]:
    """Return the payer lines that these parts would make as the charges of a source's month, unsaved.

    What is held or rejected makes none. Corrections are left out: they are entered amounts. `newcomers` are PIs that
    are not stored, by whose ids parts name them, and `shares` those of splits that are not. Raises the errors of
    `make_payer_lines`.
    """
    month = Month(period)
    month.people = {**month.people, **{each.pk: each for each in newcomers}}
    month.split_shares = {**month.split_shares, **(shares or {})}
    found = lines_of_charges(_Given(month, source, [each for each in parts if each.is_charged]))
    return [found[key] for key in sorted(found)]


class _Given(Groups):
    """Groups whose sums are given, and not those of stored charges."""

    def __init__(self, month: Month, source: Source, parts: Iterable[Part]) -> None:
        super().__init__(month, is_stamped=True)
        self._parts = parts
        self._source = source

    def sums(self) -> dict[Group, Sums]:
        groups: dict[Group, Sums] = {}
        for part in self._parts:
            # Each of its own, so that nobody else's sums grow.
            groups.setdefault(self._group_of_part(part), Sums()).add(part.sums)
        self.month.refuse_what_is_missing(groups)
        return groups

    def _group_of_part(self, part: Part) -> Group:
        delivered = (
            *(part.service_name, part.pi_id, part.project_id, self._source.pk, part.fund_org, part.split_id),
            *(part.natural_account, part.currency, part.state, self.month.period.pk, False),
            *(part.shared_as, part.subsidy_fund_org),
        )
        return self._group_of(delivered, count=part.sums.count)

    def references_named(self) -> dict[str, tuple[str, str]]:
        return {}
