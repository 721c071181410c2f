"""A batch of texts into values: what its rows say, before anybody asks who pays."""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .batches import MAX_PROBLEMS, Batch, Problem
from .columns import AMOUNTS, DECIMALS, TEXTS
from .projects import PROJECT, Projects, project_of
from .values import (
    Amounts,
    BadValue,
    Memo,
    Rule,
    amounts_of,
    category_of,
    currency_of,
    end_and_rule,
    month_of,
    name_of,
    period_rules,
    plain_decimal,
    plain_decimals_of,
    tags_of,
    text_of,
    time_of,
    units_of,
)

_ENUMERATIONS = ("ChargeCategory", "ChargeClass", "ChargeFrequency", "PricingCategory", "CommitmentDiscountStatus")
_CONVERT = {"ServiceName": name_of} | dict.fromkeys(_ENUMERATIONS, category_of)


@dataclass(frozen=True)
class Understood:
    """A batch as values, column by column, each as long as `lines`.

    `texts` and `decimals` have every column that charges keep, empty where it was not delivered; `amounts` only
    those delivered. `tags` are as delivered, `canonical_tags` as they are compared. `rules` counts the rows by
    the rule that a value was taken by where it is not as FOCUS writes it. The rest is as in Batch.
    """

    lines: Sequence[int]
    bytes_read: int
    texts: dict[str, list[str]]
    decimals: dict[str, list[str]]
    amounts: dict[str, Amounts]
    months: list[datetime.date]
    starts: list[datetime.datetime]
    ends: list[datetime.datetime]
    start_stamps: list[str]
    end_stamps: list[str]
    currencies: list[str]
    tags: Sequence[str]
    canonical_tags: list[str]
    rules: dict[str, int]
    counts: Sequence[int] | None = None
    file_numbers: Sequence[int] | None = None


class Understanding:
    """Understands the batches of one delivery; remembers what repeats.

    `only_month` and `currency` are those of rows that do not say; without a month, they have to.
    """

    def __init__(self, *, only_month: datetime.date | None, currency: str) -> None:
        self.only_month = only_month
        self.currency = currency
        self._texts = {name: Memo(_CONVERT.get(name, text_of), 50_000) for name in TEXTS}
        # Prices repeat and quantities do not: a column is remembered until most of it is new.
        self._decimals = {name: Memo(plain_decimal) for name in DECIMALS}
        self._ever_new: set[str] = set()
        self._months = Memo(month_of)
        self._starts = Memo(time_of)
        self._ends = Memo(end_and_rule)
        self._period_rules = Memo(period_rules)
        self._projects = Projects()
        self._stamps = Memo(stamp_of)
        self._currencies = Memo(currency_of)
        self._canonical_tags = Memo(_canonical_tags, 50_000)

    def of(self, batch: Batch) -> Understood:
        """Return a batch as values; raise BadValue where one of its texts has none (see `problems_of`)."""
        given: Mapping[str, Sequence[str]] = batch.columns
        size = len(batch.lines)
        nothing = [""] * size
        of_projects = 0
        if PROJECT in given:
            given, of_projects = self._projects.placed(given, size)

        amounts = _amount_columns(given)
        if None in amounts["BilledCost"].units:
            raise BadValue("empty")
        months = self._month_column(given.get("BillingPeriodStart"), size)
        start_texts = given["ChargePeriodStart"]
        end_texts = given.get("ChargePeriodEnd") or nothing
        starts = self._starts.column(start_texts)
        if None in starts:
            raise BadValue("empty")
        billing_ends = given.get("BillingPeriodEnd") or nothing
        # It decides nothing, but a file whose dates cannot be read is refused.
        self._starts.column(billing_ends)
        found_ends = self._ends.column(list(zip(start_texts, end_texts, billing_ends, strict=True)))
        ends = [end for end, _ in found_ends]
        if None in ends:
            # Without an end the service is of that moment.
            ends = [end or start for start, end in zip(starts, ends, strict=True)]
        rules: Counter[str] = Counter()
        if batch.counts is None:
            # What was added up comes as FOCUS writes it; its rules were noted before.
            _count_rules(rules, [(rule,) if rule else () for _, rule in found_ends])
            periods = list(zip(given.get("BillingPeriodStart", nothing), billing_ends, strict=True))
            _count_rules(rules, self._period_rules.column(periods))
            if of_projects:
                rules[Rule.CLOUD_PROJECT] += of_projects
        tags = given.get("Tags") or nothing
        return Understood(
            lines=batch.lines,
            bytes_read=batch.bytes_read,
            texts={name: memo.column(given[name]) if name in given else nothing for name, memo in self._texts.items()},
            decimals=self._decimal_columns(given, nothing),
            amounts=amounts,
            months=months,
            starts=starts,
            ends=ends,
            start_stamps=self._stamps.column(starts),
            end_stamps=self._stamps.column(ends),
            currencies=self._currency_column(given.get("BillingCurrency"), size),
            tags=tags,
            canonical_tags=self._canonical_tags.column(tags),
            rules=dict(rules),
            counts=batch.counts,
            file_numbers=batch.file_numbers,
        )

    def _month_column(self, given: Sequence[str] | None, size: int) -> list[datetime.date]:
        months: list[datetime.date | None] = self._months.column(given) if given else [None] * size
        filled = [month or self.only_month for month in months]
        known = [month for month in filled if month]
        if len(known) < size:
            raise BadValue("empty")
        return known

    def _currency_column(self, given: Sequence[str] | None, size: int) -> list[str]:
        if given is None:
            return [self.currency] * size
        return [code or self.currency for code in self._currencies.column(given)]

    def _decimal_columns(self, given: Mapping[str, Sequence[str]], nothing: list[str]) -> dict[str, list[str]]:
        """Convert the quantities and prices; where two say the same (mostly priced and consumed), once."""
        columns: dict[str, list[str]] = {}
        for name in DECIMALS:
            same = next((other for other in columns if other in given and given[other] == given.get(name)), None)
            if same:
                columns[name] = columns[same]
            else:
                columns[name] = self._decimal_column(name, given[name]) if name in given else nothing
        return columns

    def _decimal_column(self, name: str, given: Sequence[str]) -> list[str]:
        if name in self._ever_new:
            return plain_decimals_of(given)
        memo = self._decimals[name]
        known = len(memo)
        column = memo.column(given)
        if (len(memo) - known) * 4 > len(given) or len(memo) < known:
            self._ever_new.add(name)
            memo.clear()
        return column

    def problems_of(self, batch: Batch, *, otherwise: str = "") -> list[Problem]:
        """Name the values of a batch that cannot be understood (the first hundred), by line and column.

        `otherwise` is said where each value by itself is in order.
        """
        given = batch.columns
        units = Memo(units_of)
        nothing = [""] * len(batch.lines)
        checks: list[tuple[str, Any, Sequence[Any], str]] = [
            (name, memo, given[name], "") for name, memo in self._texts.items() if name in given
        ]
        checks += [(name, memo, given[name], "") for name, memo in self._decimals.items() if name in given]
        checks += [
            (name, units, given[name], "BilledCost is empty." if name == "BilledCost" else "")
            for name in AMOUNTS
            if name in given
        ]
        without_period = "" if self.only_month else "BillingPeriodStart is empty. Name the period with -p."
        checks.append(("BillingPeriodStart", self._months, given.get("BillingPeriodStart", nothing), without_period))
        checks.append(("ChargePeriodStart", self._starts, given["ChargePeriodStart"], "ChargePeriodStart is empty."))
        if "BillingPeriodEnd" in given:
            checks.append(("BillingPeriodEnd", self._starts, given["BillingPeriodEnd"], ""))
        if "ChargePeriodEnd" in given:
            billing_ends = given.get("BillingPeriodEnd", nothing)
            times = list(zip(given["ChargePeriodStart"], given["ChargePeriodEnd"], billing_ends, strict=True))
            checks.append(("ChargePeriodEnd", self._ends, times, ""))
        if "BillingCurrency" in given:
            checks.append(("BillingCurrency", self._currencies, given["BillingCurrency"], ""))
        if "Tags" in given:
            checks.append(("Tags", self._canonical_tags, given["Tags"], ""))
        if PROJECT in given:
            checks.append((PROJECT, Memo(project_of), given[PROJECT], ""))
        problems: list[Problem] = []
        for name, memo, values, if_none in checks:
            for line, value in zip(batch.lines, values, strict=True):
                if len(problems) >= MAX_PROBLEMS:
                    return problems
                try:
                    found = memo[value]
                except BadValue as error:
                    problems.append(Problem(str(error), line, name))
                else:
                    if found is None and if_none:
                        problems.append(Problem(if_none, line, name))
        return problems or [Problem(otherwise or "A value of the rows from here on cannot be read.", batch.lines[0])]


def stamp_of(moment: datetime.datetime) -> str:
    """Write a UTC time as both databases read it."""
    return moment.replace(tzinfo=None).isoformat(" ")


def _canonical_tags(text: str) -> str:
    return tags_of(text).canonical


def _amount_columns(given: Mapping[str, Sequence[str]]) -> dict[str, Amounts]:
    """Convert the cost columns; where two say the same (mostly billed and effective), once."""
    amounts: dict[str, Amounts] = {}
    for name in AMOUNTS:
        if name in given:
            same = next((other for other in amounts if given[other] == given[name]), None)
            amounts[name] = amounts[same] if same else amounts_of(given[name])
    return amounts


def _count_rules(counts: Counter[str], of_rows: Sequence[tuple[Rule, ...]]) -> None:
    for rules in set(of_rows):
        for rule in rules:
            counts[rule] += of_rows.count(rules)
