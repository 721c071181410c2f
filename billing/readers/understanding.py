"""A piece of a file into values: what its rows say, before anybody asks who pays."""

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from ..fields import seconds_of
from .amount_columns import AmountColumn, amount_column, plain_column
from .amounts import plain_decimal
from .arrow_texts import encoded_column, text_column
from .batches import Batch
from .cells import free_id_of, region_of, said_of, strict_id_of
from .coded import Coded, Encoded, Numbers, combined, constant
from .columns import AMOUNTS, FREE_IDS, QUANTITIES, STRICT_IDS, TEXTS
from .dates import Rule, end_and_rule, month_of, period_rules, service_time_of, time_of
from .dimensions import DIMENSIONS, hash_of_tags, said_hash
from .facts import NewRow, Scope, ScopeTotal, month_number
from .hashing import content_hashes, identity_hashes
from .numbering import Found, Numbering
from .project_columns import WANTED, Projects
from .projects import PROJECT
from .recalling import Texts
from .subsidies import SUBSIDY_FUND_ORG, funder_of
from .tags import tags_of
from .values import CHARGE_CATEGORIES, REMEMBERED, BadValue, Memo, category_of, currency_of, name_of

_ENUMERATIONS = ("ChargeCategory", "ChargeClass", "ChargeFrequency", "PricingCategory", "CommitmentDiscountStatus")
# How the texts of each column are taken.
CONVERT: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(TEXTS, said_of),
    **dict.fromkeys(_ENUMERATIONS, category_of),
    **dict.fromkeys(STRICT_IDS, strict_id_of),
    **dict.fromkeys(FREE_IDS, free_id_of),
    "RegionId": region_of,
    "ServiceName": lambda text: name_of(said_of(text)),
    SUBSIDY_FUND_ORG: funder_of,
}

# Texts of tags are long: fewer are remembered than of others.
REMEMBERED_TAGS = 50_000
PRICES = DIMENSIONS["price"]


@dataclass(frozen=True)
class Understood:
    """A piece as values, each column as long as `lines`.

    `months` are numbers (202501), `starts` and `ends` whole seconds since 1970 in UTC, `quantities` plain texts.
    `numbers` has for each dimension the number of each row, and `dimensions` its rows that come for the first time.
    `texts` are the columns of dimensions. The hashes, of 16 bytes each, are of all that a row says and of what it
    speaks of. `rules` counts the rows by the rule that a value was taken by where it is not as FOCUS writes it.
    """

    lines: Numbers
    bytes_read: int
    months: Numbers
    starts: Numbers
    ends: Numbers
    currencies: Coded
    amounts: Mapping[str, AmountColumn]
    quantities: Mapping[str, list[str]]
    numbers: Mapping[str, Numbers]
    dimensions: dict[str, list[NewRow]]
    counts: Sequence[int]
    texts: Mapping[str, Coded]
    content_hashes: list[bytes]
    identity_hashes: list[bytes]
    totals: dict[Scope, ScopeTotal]
    rules: dict[str, int]
    file_numbers: Sequence[int] | None
    # Whether there is a column that says the charge category.
    says_categories: bool
    # Columns that look like money and are not read, and the costs that no column says.
    unread: tuple[str, ...]
    lacking: frozenset[str]

    @cached_property
    def contents(self) -> bytes:
        return b"".join(self.content_hashes)

    @cached_property
    def identities(self) -> bytes:
        return b"".join(self.identity_hashes)

    @property
    def with_resource(self) -> bytes:
        """A mark for each row that has a ResourceId."""
        resources = self.texts["ResourceId"]
        marks: bytes = resources.values(map(bool, resources.texts), np.bool_).tobytes()
        return marks

    @property
    def has_invoices(self) -> bool:
        return any(self.texts["InvoiceId"].texts)

    @property
    def lacks_invoices(self) -> bool:
        return "" in self.texts["InvoiceId"].texts

    @property
    def odd_categories(self) -> list[tuple[int, str]]:
        """Rows, by their place in the piece, whose charge category is none of FOCUS, and what they say instead."""
        categories = self.texts["ChargeCategory"]
        if not self.says_categories or CHARGE_CATEGORIES.issuperset(categories.texts):
            return []
        is_odd = categories.values((text not in CHARGE_CATEGORIES for text in categories.texts), np.bool_)
        rows = np.flatnonzero(is_odd)
        return list(zip(rows.tolist(), categories.at(rows), strict=True))

    @property
    def columns(self) -> list[Sequence[Any]]:
        """The columns of FACTS, as lists of plain values."""
        none = [None] * len(self.lines)
        return [
            self.lines.tolist(),
            self.content_hashes,
            self.identity_hashes,
            self.starts.tolist(),
            self.ends.tolist(),
            self.currencies.column(),
            *(_units(self.amounts[name]) if name in self.amounts else none for name in AMOUNTS),
            *(self.numbers[name].tolist() for name in DIMENSIONS),
            *(self.quantities[name] for name in QUANTITIES),
            self.counts,
        ]


def _units(amount: AmountColumn) -> list[int | None]:
    units: list[int | None] = amount.units.tolist()
    if amount.missing is not None:
        for row in np.flatnonzero(amount.missing).tolist():
            units[row] = None
    return units


@dataclass(frozen=True)
class Wanted:
    """How an import is to be understood.

    `only_month` and `currency` are those of rows that do not say; without a month, they have to.
    """

    only_month: datetime.date | None = None
    currency: str = ""


@dataclass(frozen=True)
class _Service:
    """The times of service of a piece, and how many of its rows each rule was used for."""

    starts: Numbers
    ends: Numbers
    rules: dict[str, int]


class Understanding:
    """Understands the pieces of one import; remembers what repeats."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._texts = {
            **{name: Texts(CONVERT[name], 50_000) for name in TEXTS},
            **{name: Texts(plain_decimal, REMEMBERED) for name in PRICES},
            "Tags": Texts(self._said_tags, REMEMBERED_TAGS),
        }
        # What tags that come for the first time are compared by: they are read once.
        self._tag_hashes: dict[str, bytes] = {}
        self._months = Memo(month_of)
        self._starts = Memo(service_time_of)
        self._billing_ends = Memo(time_of)
        self._ends = Memo(end_and_rule)
        self._period_rules = Memo(period_rules)
        self._projects = Projects()
        self._currencies = Memo(currency_of)
        self._numberings = {name: Numbering(name) for name in DIMENSIONS if name != "tag_set"}
        self._numberings["tag_set"] = Numbering("tag_set", said_of=self._tag_hash)

    def of(self, batch: Batch) -> Understood:
        """Return a piece as values; raise BadValue where one of its texts has none (see `problems`)."""
        size = len(batch.lines)
        amounts, quantities = _amount_columns(batch.columns), _quantity_columns(batch.columns)
        given, of_projects = self._given(batch)
        others = {name: column.coded() for name, column in given.items() if name not in self._texts}
        months, scope_months = self._month_column(others.get("BillingPeriodStart"), size)
        service = self._service(others, constant("", size))
        texts = self._text_columns(given, constant("", size))
        currencies = self._currency_column(others.get("BillingCurrency"), size)
        found = self._dimensions(texts)
        rules = Counter(service.rules)
        if of_projects:
            rules[Rule.CLOUD_PROJECT] += of_projects
        return Understood(
            lines=np.asarray(batch.lines, dtype=np.int64),
            bytes_read=batch.bytes_read,
            months=months,
            starts=service.starts,
            ends=service.ends,
            currencies=currencies,
            amounts=amounts,
            quantities=_listed(quantities, size),
            numbers={name: each.numbers for name, each in found.items()},
            dimensions={name: each.new for name, each in found.items()},
            counts=batch.counts or [1] * size,
            texts=texts,
            content_hashes=content_hashes(
                months=months,
                starts=service.starts,
                ends=service.ends,
                currencies=currencies.values((code.encode() for code in currencies.texts), "S3"),
                amounts=amounts,
                said={name: each.said for name, each in found.items()},
                quantities=[quantities.get(name, "") for name in QUANTITIES],
            ),
            identity_hashes=identity_hashes(
                starts=service.starts,
                ends=service.ends,
                identities={name: each.identities for name, each in found.items() if each.identities is not None},
            ),
            totals=_totals(scope_months, texts["BillingAccountId"], currencies, amounts, batch.counts),
            # What was added up comes as FOCUS writes it; its rules were noted before.
            rules=dict(rules) if batch.counts is None else {},
            file_numbers=batch.file_numbers,
            says_categories="ChargeCategory" in given,
            unread=batch.unread,
            lacking=frozenset(AMOUNTS) - batch.columns.keys(),
        )

    def _given(self, batch: Batch) -> tuple[dict[str, Encoded], int]:
        """Return the columns whose texts repeat, and in how many rows the cloud project is the sub account."""
        given = {
            name: encoded_column(name, values)
            for name, values in batch.columns.items()
            if name not in AMOUNTS and name not in QUANTITIES
        }
        if PROJECT not in given:
            return given, 0
        placed, rows = self._projects.placed({name: given.pop(name).coded() for name in WANTED if name in given})
        return given | {name: column.encoded() for name, column in placed.items()}, rows

    def _text_columns(self, given: Mapping[str, Encoded], nothing: Coded) -> dict[str, Coded]:
        """Convert the columns of dimensions, each distinct text once."""
        return {name: texts.of(given[name]) if name in given else nothing for name, texts in self._texts.items()}

    def _dimensions(self, texts: Mapping[str, Coded]) -> dict[str, Found]:
        """Number the rows of all dimensions: each distinct combination of their texts once."""
        found = {}
        for name, columns in DIMENSIONS.items():
            of_name = [texts[column] for column in columns]
            numbers, firsts = combined([column.codes for column in of_name])
            distinct = self._numberings[name].of_columns(of_name, firsts)
            found[name] = Found(
                distinct.numbers[numbers],
                distinct.said[numbers],
                None if distinct.identities is None else distinct.identities[numbers],
                distinct.new,
            )
        self._tag_hashes.clear()
        return found

    def _said_tags(self, text: str) -> str:
        """Return tags as they are stored: as delivered, "" where there are none."""
        canonical = tags_of(text).canonical
        if not canonical:
            return ""
        self._tag_hashes[text] = hash_of_tags(canonical)
        return text

    def _tag_hash(self, texts: tuple[str, ...]) -> bytes:
        return self._tag_hashes.get(texts[0]) or said_hash("tag_set", texts)

    def _service(self, given: Mapping[str, Coded], nothing: Coded) -> "_Service":
        """Return when the service of each row was."""
        start_texts = given["ChargePeriodStart"]
        moments = [self._starts[text] for text in start_texts.texts]
        if None in moments:
            raise BadValue("empty")
        starts = start_texts.values(map(seconds_of, moments), np.int64)
        billing_ends = given.get("BillingPeriodEnd", nothing)
        for text in billing_ends.texts:
            # It decides nothing, but a file whose dates cannot be read is refused.
            self._billing_ends[text]
        counts: Counter[str] = Counter()
        columns = [start_texts, given.get("ChargePeriodEnd", nothing), billing_ends]
        numbers, firsts = combined([column.codes for column in columns])
        found = [self._ends[times] for times in zip(*(column.at(firsts) for column in columns), strict=True)]
        # Without an end the service is of that moment.
        first_starts = starts[firsts].tolist()
        ends = [start if end is None else seconds_of(end) for (end, _), start in zip(found, first_starts, strict=True)]
        for (_, rule), rows in zip(found, np.bincount(numbers).tolist(), strict=True):
            if rule:
                counts[rule] += rows
        columns = [given.get("BillingPeriodStart", nothing), billing_ends]
        of_periods, firsts = combined([column.codes for column in columns])
        periods = zip(*(column.at(firsts) for column in columns), strict=True)
        for times, rows in zip(periods, np.bincount(of_periods).tolist(), strict=True):
            for rule in self._period_rules[times]:
                counts[rule] += rows
        return _Service(starts, np.array(ends, dtype=np.int64)[numbers], dict(counts))

    def _month_column(self, given: Coded | None, size: int) -> tuple[Numbers, "Months"]:
        """Return the months of rows as numbers, and as dates by code."""
        column = given or constant("", size)
        months: list[Any] = [self._months[text] or self.wanted.only_month for text in column.texts]
        if None in months:
            raise BadValue("empty")
        return column.values(map(month_number, months), np.int32), Months(column.codes, months)

    def _currency_column(self, given: Coded | None, size: int) -> Coded:
        if given is None:
            return constant(self.wanted.currency, size)
        codes = given.converted(self._currencies.__getitem__)
        if "" in codes.texts:
            # Beside rows that say theirs it would be taken for the institution's own.
            raise BadValue("empty")
        return codes


@dataclass(frozen=True)
class Months:
    """The months of rows: dates, and for each row the place of its own among them."""

    codes: Numbers
    dates: list[Any]


def _amount_columns(given: Mapping[str, Any]) -> dict[str, AmountColumn]:
    """Convert the cost columns; where two say the same (mostly billed and effective), once."""
    amounts: dict[str, AmountColumn] = {}
    arrays: dict[str, Any] = {}
    for name in AMOUNTS:
        if name in given:
            array = arrays[name] = text_column(name, given[name])
            same = next((other for other in amounts if arrays[other].equals(array)), None)
            amounts[name] = amounts[same] if same else amount_column(array)
    if amounts["BilledCost"].missing is not None:
        raise BadValue("empty")
    return amounts


def _quantity_columns(given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the quantities to Arrow arrays of plain texts; where both say the same, they are one."""
    quantities: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for name in QUANTITIES:
        if name in given:
            array = arrays[name] = text_column(name, given[name])
            same = next((other for other in quantities if arrays[other].equals(array)), None)
            quantities[name] = quantities[same] if same else plain_column(array)
    return quantities


def _listed(quantities: Mapping[str, pa.Array], size: int) -> dict[str, list[str]]:
    lists = {id(array): array.to_pylist() for array in {id(each): each for each in quantities.values()}.values()}
    return {name: lists[id(quantities[name])] if name in quantities else [""] * size for name in QUANTITIES}


def _totals(
    months: Months,
    accounts: Coded,
    currencies: Coded,
    amounts: Mapping[str, AmountColumn],
    counts: Sequence[int] | None,
) -> dict[Scope, ScopeTotal]:
    """Return the control totals of the rows' scopes."""
    numbers, firsts = combined([months.codes, accounts.codes, currencies.codes])
    of_rows = np.ones(len(numbers), dtype=np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
    scopes = zip(
        [months.dates[code] for code in months.codes[firsts].tolist()],
        accounts.at(firsts),
        currencies.at(firsts),
        strict=True,
    )
    totals: dict[Scope, ScopeTotal] = {}
    for number, scope in enumerate(scopes):
        rows = None if len(firsts) == 1 else np.flatnonzero(numbers == number)
        # Two texts may mean the same month.
        total = totals.setdefault(scope, ScopeTotal())
        part = of_rows if rows is None else of_rows[rows]
        sums = {id(amount): (amount.total_units(rows), amount.total(rows)) for amount in amounts.values()}
        of_scope = ScopeTotal(int(part.sum()), len(part))
        for name, amount in amounts.items():
            of_scope.units[name], of_scope.exact[name] = sums[id(amount)]
        total.add(of_scope)
    return totals
