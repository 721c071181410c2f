"""A batch of texts into values: what its rows say, before anybody asks who pays."""

import datetime
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .amounts import Amounts, amounts_of, plain_decimal, plain_decimals_of, units_of
from .batches import MAX_PROBLEMS, Batch, Problem
from .cells import free_id_of, region_of, said_of, strict_id_of
from .columns import AMOUNTS, DECIMALS, FREE_IDS, STRICT_IDS, TEXTS
from .dates import Rule, end_and_rule, month_of, period_rules, service_time_of, time_of
from .facts import Facts, Scope, ScopeTotal, month_number, stamp_of
from .projects import PROJECT, Projects, project_of
from .spelling import Spelling, same_tags
from .tags import tags_of
from .values import CHARGE_CATEGORIES, BadValue, Memo, category_of, currency_of, name_of

_ENUMERATIONS = ("ChargeCategory", "ChargeClass", "ChargeFrequency", "PricingCategory", "CommitmentDiscountStatus")
# How the texts of each column are taken.
CONVERT: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(TEXTS, said_of),
    **dict.fromkeys(_ENUMERATIONS, category_of),
    **dict.fromkeys(STRICT_IDS, strict_id_of),
    **dict.fromkeys(FREE_IDS, free_id_of),
    "RegionId": region_of,
    "ServiceName": lambda text: name_of(said_of(text)),
}


NO_CURRENCY = (
    "BillingCurrency is empty. Write the three letters of the currency, such as USD, or remove the column if all rows "
    "are in the institution's own."
)

# Texts of tags are long: fewer are remembered than of others.
REMEMBERED_TAGS = 50_000


class TagNumbers(NamedTuple):
    """The tags of rows, each by its number: texts are long, repeat, and cross to another process once.

    `texts` are those that come for the first time, as delivered. Numbers are those of one `numbering` until another
    begins, for no more are remembered than fit the memory meant for them.
    """

    numbering: str
    numbers: list[int]
    texts: dict[int, str]


class _Numbering(dict[str, int]):
    """Gives each text a number when it comes for the first time, and begins anew when it holds too many."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.name = uuid.uuid4().hex
        self._new: dict[int, str] = {}

    def __missing__(self, text: str) -> int:
        number = self[text] = len(self)
        self._new[number] = text
        return number

    def of(self, texts: Sequence[str]) -> TagNumbers:
        if len(self) >= self.size:
            self.clear()
            self.name = uuid.uuid4().hex
        self._new = {}
        return TagNumbers(self.name, list(map(self.__getitem__, texts)), self._new)


@dataclass(frozen=True)
class Understood:
    """A batch as values, each column as long as `lines`.

    The facts are `columns`, as FACTS names them, or already `written` as lines of COPY (see copy_text), a row each.
    `texts` are the columns that were asked for. The hashes, of 16 bytes each, are of all
    that a row says and of what it speaks of; `with_resource` marks those with a ResourceId. `rules` counts
    the rows by the rule that a value was taken by where it is not as FOCUS writes it. `providers` and `services`
    are the distinct names of them.
    """

    lines: Sequence[int]
    bytes_read: int
    months: list[datetime.date]
    starts: list[datetime.datetime]
    ends: list[datetime.datetime]
    tags: TagNumbers
    texts: dict[str, list[str]]
    columns: list[Sequence[Any]]
    written: Sequence[str]
    contents: bytes
    identities: bytes
    with_resource: bytes
    has_invoices: bool
    lacks_invoices: bool
    totals: dict[Scope, ScopeTotal]
    rules: dict[str, int]
    file_numbers: Sequence[int] | None = None
    providers: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    # Rows, by their place in the batch, whose charge category is none of FOCUS, and what they say instead.
    odd_categories: tuple[tuple[int, str], ...] = ()
    # Columns that look like money and are not read, and the costs that no column says.
    unread: tuple[str, ...] = ()
    lacking: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Wanted:
    """How an import is to be understood.

    `only_month` and `currency` are those of rows that do not say; without a month, they have to. `texts` names the
    columns that are looked at beside the facts, which are `written` as lines of COPY or come as columns.
    """

    only_month: datetime.date | None = None
    currency: str = ""
    texts: tuple[str, ...] = ()
    written: bool = False


@dataclass(frozen=True)
class _Service:
    """The times of service of a batch; `rules` are those of the end of each row."""

    starts: list[datetime.datetime]
    ends: list[datetime.datetime]
    billing_ends: Sequence[str]
    rules: list[tuple[Rule, ...]]


class Understanding:
    """Understands the batches of one import; remembers what repeats."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._texts = {name: Memo(CONVERT[name], 50_000) for name in TEXTS}
        # Prices repeat and quantities do not: a column is remembered until most of it is new.
        self._decimals = {name: Memo(plain_decimal) for name in DECIMALS}
        self._ever_new: set[str] = set()
        self._months = Memo(month_of)
        self._starts = Memo(service_time_of)
        self._billing_ends = Memo(time_of)
        self._ends = Memo(end_and_rule)
        self._period_rules = Memo(period_rules)
        self._projects = Projects()
        self._spelling = Spelling()
        self._stamps = Memo(stamp_of)
        self._month_texts = Memo(lambda month: str(month_number(month)))
        self._currencies = Memo(currency_of)
        self._canonical_tags = Memo(_canonical_tags, REMEMBERED_TAGS)
        self._tag_numbers = _Numbering(REMEMBERED_TAGS)

    def of(self, batch: Batch) -> Understood:
        """Return a batch as values; raise BadValue where one of its texts has none (see `problems_of`)."""
        size = len(batch.lines)
        nothing = [""] * size
        given: Mapping[str, Sequence[str]] = batch.columns
        of_projects = 0
        if PROJECT in given:
            given, of_projects = self._projects.placed(given, size)
        amounts = _amount_columns(given)
        if None in amounts["BilledCost"].units:
            raise BadValue("empty")
        months = self._month_column(given.get("BillingPeriodStart"), size)
        service = self._service(given, nothing)
        tags = given.get("Tags") or nothing
        texts = {name: memo.column(given[name]) if name in given else nothing for name, memo in self._texts.items()}
        canonical_tags = self._canonical_tags.column(tags)
        facts = Facts(
            lines=batch.lines,
            months=months,
            month_texts=self._month_texts.column(months),
            starts=self._stamps.column(service.starts),
            ends=self._stamps.column(service.ends),
            currencies=self._currency_column(given.get("BillingCurrency"), size),
            amounts=amounts,
            texts=texts,
            compared=self._spelling.compared(texts),
            decimals=self._decimal_columns(given, nothing),
            tags=[text if canonical else "" for text, canonical in zip(tags, canonical_tags, strict=True)],
            canonical_tags=canonical_tags,
            counts=batch.counts or [1] * size,
        )
        contents, identities = facts.content_hashes(), facts.identity_hashes()
        return Understood(
            lines=batch.lines,
            bytes_read=batch.bytes_read,
            months=months,
            starts=service.starts,
            ends=service.ends,
            tags=self._tag_numbers.of(tags),
            texts={name: texts[name] for name in self.wanted.texts},
            columns=[] if self.wanted.written else facts.columns(contents, identities),
            written=facts.written(contents, identities) if self.wanted.written else [],
            contents=b"".join(contents),
            identities=b"".join(identities),
            with_resource=bytes(map(bool, texts["ResourceId"])),
            has_invoices=any(texts["InvoiceId"]),
            lacks_invoices="" in texts["InvoiceId"],
            totals=facts.totals(),
            # What was added up comes as FOCUS writes it; its rules were noted before.
            rules=self._rules(given, service, of_projects) if batch.counts is None else {},
            file_numbers=batch.file_numbers,
            providers=frozenset(texts["ProviderName"]),
            services=frozenset(texts["ServiceName"]),
            odd_categories=_odd_categories(texts["ChargeCategory"]) if "ChargeCategory" in given else (),
            unread=batch.unread,
            lacking=frozenset(AMOUNTS) - given.keys(),
        )

    def _service(self, given: Mapping[str, Sequence[str]], nothing: list[str]) -> "_Service":
        """Return when the service of each row was."""
        start_texts = given["ChargePeriodStart"]
        starts = self._starts.column(start_texts)
        if None in starts:
            raise BadValue("empty")
        billing_ends = given.get("BillingPeriodEnd") or nothing
        # It decides nothing, but a file whose dates cannot be read is refused.
        self._billing_ends.column(billing_ends)
        end_texts = given.get("ChargePeriodEnd") or nothing
        found = self._ends.column(list(zip(start_texts, end_texts, billing_ends, strict=True)))
        ends = [end for end, _ in found]
        if None in ends:
            # Without an end the service is of that moment.
            ends = [end or start for start, end in zip(starts, ends, strict=True)]
        return _Service(starts, ends, billing_ends, [(rule,) if rule else () for _, rule in found])

    def _rules(self, given: Mapping[str, Sequence[str]], service: "_Service", of_projects: int) -> dict[str, int]:
        """Count the rows by the rules that their values were taken by."""
        counts: Counter[str] = Counter()
        _count_rules(counts, service.rules)
        starts = given.get("BillingPeriodStart") or [""] * len(service.starts)
        _count_rules(counts, self._period_rules.column(list(zip(starts, service.billing_ends, strict=True))))
        if of_projects:
            counts[Rule.CLOUD_PROJECT] += of_projects
        return dict(counts)

    def _month_column(self, given: Sequence[str] | None, size: int) -> list[datetime.date]:
        months: list[datetime.date | None] = self._months.column(given) if given else [None] * size
        filled = [month or self.wanted.only_month for month in months]
        known = [month for month in filled if month]
        if len(known) < size:
            raise BadValue("empty")
        return known

    def _currency_column(self, given: Sequence[str] | None, size: int) -> list[str]:
        if given is None:
            return [self.wanted.currency] * size
        codes: list[str] = self._currencies.column(given)
        if "" in codes:
            # Beside rows that say theirs it would be taken for the institution's own.
            raise BadValue("empty")
        return codes

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
        problems: list[Problem] = []
        for name, memo, values, if_none in self._checks(batch):
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

    def _checks(self, batch: Batch) -> list[tuple[str, Memo, Sequence[Any], str]]:
        """Return what each value of a batch is converted by, with its column and what is said where it is none."""
        given = batch.columns
        units = Memo(units_of)
        nothing = [""] * len(batch.lines)
        checks: list[tuple[str, Memo, Sequence[Any], str]] = [
            (name, memo, given[name], "") for name, memo in self._texts.items() if name in given
        ]
        checks += [(name, memo, given[name], "") for name, memo in self._decimals.items() if name in given]
        checks += [
            (name, units, given[name], "BilledCost is empty." if name == "BilledCost" else "")
            for name in AMOUNTS
            if name in given
        ]
        without_period = (
            "" if self.wanted.only_month else "BillingPeriodStart is empty. Fill it in, or name the expected period."
        )
        checks.append(("BillingPeriodStart", self._months, given.get("BillingPeriodStart", nothing), without_period))
        checks.append(("ChargePeriodStart", self._starts, given["ChargePeriodStart"], "ChargePeriodStart is empty."))
        if "BillingPeriodEnd" in given:
            checks.append(("BillingPeriodEnd", self._billing_ends, given["BillingPeriodEnd"], ""))
        if "ChargePeriodEnd" in given:
            billing_ends = given.get("BillingPeriodEnd", nothing)
            times = list(zip(given["ChargePeriodStart"], given["ChargePeriodEnd"], billing_ends, strict=True))
            checks.append(("ChargePeriodEnd", self._ends, times, ""))
        if "BillingCurrency" in given:
            codes = Memo(lambda text: self._currencies[text] or None)
            checks.append(("BillingCurrency", codes, given["BillingCurrency"], NO_CURRENCY))
        if "Tags" in given:
            checks.append(("Tags", self._canonical_tags, given["Tags"], ""))
        if PROJECT in given:
            checks.append((PROJECT, Memo(project_of), given[PROJECT], ""))
        return checks


def _odd_categories(categories: Sequence[str]) -> tuple[tuple[int, str], ...]:
    if CHARGE_CATEGORIES.issuperset(categories):
        return ()
    return tuple((place, text) for place, text in enumerate(categories) if text not in CHARGE_CATEGORIES)


def _canonical_tags(text: str) -> str:
    return same_tags(tags_of(text).canonical)


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
