"""Priced usage as FOCUS rows: what is written is what any provider of FOCUS 1.2 would send, and is imported so.

Pure. Columns that FOCUS has not begin with x_, and say where a row comes from: the record of usage, the schedule's
line, and why nothing is charged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from .funders import PAID_BY

# The columns of records that rows tell.
NEEDED = ("id", "start", "end", "account", "user", "resource")
UNIT = Decimal("0.00000001")
MONEY = pa.decimal128(28, 8)
MOMENT = pa.timestamp("s", tz="UTC")
# Kinds of lines that are no use of anything, and what is said of them.
DESCRIBED = {
    "surcharge": "surcharge",
    "indirect": "indirect cost",
    "minimum": "minimum charge",
    PAID_BY: "part paid by a further fund",
}


@dataclass(frozen=True)
class Issuer:
    """What the rows of a feed say of where they come from."""

    account: str
    account_name: str
    currency: str
    issuer: str
    provider: str
    service_category: str
    schedule: str
    # The month, as the first second of it and of the next one.
    begins: int
    ends: int


def focus_table(
    *,
    lines: pa.Table,
    records: pa.Table,
    tags: Sequence[str],
    issuer: Issuer,
) -> pa.Table:
    """Return FOCUS rows, one for each line of a priced month, in the order of the lines.

    `lines` are by LINES, with their funders (`with_funders`), `records` those that they name, with the columns NEEDED,
    and `tags` the JSON of each payer's tags. A line of no record, which is of a payer and the month, has the month as
    its charge period.

    A row names one fund/org that pays what it is reduced by. Where several do, a row of its own stands for what each
    further one pays, so that all rows together list, contract and bill what the line does.
    """
    rows = _Rows(lines, records, issuer)
    own = {**rows.issued(), **rows.used(), **rows.priced()}
    own["Tags"] = pa.array([text or None for text in tags], pa.string()).take(lines.column("payer"))
    return pa.table({name: _coded(own[name]) for name in sorted(own)})


class _Rows:
    """The columns of the rows to be, by what they are about."""

    def __init__(self, lines: pa.Table, records: pa.Table, issuer: Issuer) -> None:
        self.lines, self.records, self.issuer = lines, records, issuer
        self.index = lines.column("record").combine_chunks()
        self.is_usage = pc.invert(pc.is_in(_plain(lines.column("kind")), pa.array(list(DESCRIBED))))

    def issued(self) -> dict[str, pa.Array]:
        """What every row of the month has."""
        issuer = self.issuer
        texts = {
            "BillingAccountId": issuer.account,
            "BillingAccountName": issuer.account_name,
            "BillingAccountType": "Usage feed",
            "BillingCurrency": issuer.currency,
            "ChargeFrequency": "Usage-Based",
            "InvoiceIssuerName": issuer.issuer,
            "ProviderName": issuer.provider,
            "PublisherName": issuer.provider,
            "ServiceCategory": issuer.service_category,
            "ServiceSubcategory": f"Other ({issuer.service_category})",
            "x_RateSchedule": issuer.schedule,
        }
        return {
            **{name: self._constant(text) for name, text in texts.items()},
            "ChargeClass": self._constant(None),
            "InvoiceId": self._constant(None),
            "BillingPeriodStart": self._moment(issuer.begins),
            "BillingPeriodEnd": self._moment(issuer.ends),
        }

    def used(self) -> dict[str, pa.Array]:
        """What the record of usage says."""
        starts = pc.fill_null(self._said_of_usage("start"), self.issuer.begins)
        # A record of one moment has no length: a charge period has.
        ends = pc.max_element_wise(pc.fill_null(self._said_of_usage("end"), self.issuer.ends), pc.add(starts, 1))
        account = _nothing_for_empty(self._said_of_usage("account"))
        resource = _nothing_for_empty(self._said_of_usage("resource"))
        return {
            "ChargePeriodStart": _moments(starts),
            "ChargePeriodEnd": _moments(ends),
            "ResourceId": resource,
            "ResourceName": resource,
            "SubAccountId": account,
            "SubAccountName": account,
            "x_UsageId": self._said_of_usage("id"),
            "x_UsageUser": _nothing_for_empty(self._said_of_usage("user")),
        }

    def priced(self) -> dict[str, pa.Array]:
        """What pricing made of it."""
        quantity, unit = _money(self.lines.column("quantity")), self._text("unit")
        costs = {name: _money(self.lines.column(name)) for name in ("list", "contracted", "billed")}
        used = pc.if_else(self.is_usage, quantity, pa.scalar(None, quantity.type))
        of_unit = pc.if_else(self.is_usage, unit, pa.scalar(None, pa.string()))
        return {
            "BilledCost": costs["billed"],
            "ContractedCost": costs["contracted"],
            "EffectiveCost": costs["billed"],
            "ListCost": costs["list"],
            "ChargeCategory": pc.if_else(self.is_usage, "Usage", "Adjustment"),
            "ChargeDescription": self._description(),
            "ConsumedQuantity": used,
            "ConsumedUnit": of_unit,
            "PricingCategory": pc.if_else(self.is_usage, "Standard", pa.scalar(None, pa.string())),
            "PricingQuantity": used,
            "PricingUnit": of_unit,
            "ServiceName": self._text("service"),
            "SkuId": self._text("rate"),
            "x_RateClass": _nothing_for_empty(self._text("rate_class")),
            "x_RateTier": self._tiers(),
            "x_FreeReason": _nothing_for_empty(self._text("free")),
            "x_ReducedBy": _nothing_for_empty(self._text("reduced_by")),
            "x_SubsidyFundOrg": _nothing_for_empty(self._text("fund_org")),
        }

    def _description(self) -> pa.Array:
        """What is charged for: the service, and what else than its use the row is for."""
        service, kind = self._text("service"), self._text("kind")
        told = pa.array(list(DESCRIBED.values()))
        places = pc.index_in(kind, pa.array(list(DESCRIBED)))
        suffix = told.take(places)
        return pc.if_else(pc.is_null(suffix), service, pc.binary_join_element_wise(service, suffix, ", "))

    def _tiers(self) -> pa.Array:
        """The tiers of the rate that a row is priced by, counted from 1: `1`, or `1 to 2`."""
        first, last = (pc.add(pc.cast(self.lines.column(name), pa.int32()), 1) for name in ("first_tier", "last_tier"))
        one, both = pc.cast(first, pa.string()), pc.cast(last, pa.string())
        return _plain(pc.if_else(pc.equal(first, last), one, pc.binary_join_element_wise(one, both, " to ")))

    def _said_of_usage(self, name: str) -> pa.Array:
        return _plain(self.records.column(name).take(self.index))

    def _text(self, name: str) -> pa.Array:
        return _plain(self.lines.column(name))

    def _constant(self, text: str | None) -> pa.Array:
        places = pa.array([None if text is None else 0] * self.lines.num_rows, pa.int32())
        return pa.DictionaryArray.from_arrays(places, pa.array([text or ""], pa.string()))

    def _moment(self, seconds: int) -> pa.Array:
        return _moments(pa.array([seconds] * self.lines.num_rows, pa.int64()))


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column of texts as one array of plain texts."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return pc.cast(column, pa.string()) if pa.types.is_dictionary(column.type) else column


def _coded(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.dictionary_encode(column) if pa.types.is_string(column.type) else column


def _nothing_for_empty(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _money(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return whole units of 10⁻⁸ as amounts."""
    return pc.cast(pc.multiply(pc.cast(column, pa.decimal128(19, 0)), pa.scalar(UNIT, pa.decimal128(8, 8))), MONEY)


def _moments(seconds: pa.Array) -> pa.Array:
    return pc.cast(seconds, pa.timestamp("s")).cast(MOMENT)
