"""The FOCUS columns that charges keep, the older names they still come under, and what a header lacks."""

from collections.abc import Sequence

from .batches import UnreadableFile
from .projects import PROJECT

# FOCUS column -> field of Charge. Other columns stay reachable in the stored file by line number.
TEXTS = {
    "ChargeCategory": "charge_category",
    "ChargeClass": "charge_class",
    "ChargeDescription": "charge_description",
    "ChargeFrequency": "charge_frequency",
    "InvoiceId": "invoice_id",
    "BillingAccountId": "billing_account_id",
    "BillingAccountName": "billing_account_name",
    "SubAccountId": "sub_account_id",
    "SubAccountName": "sub_account_name",
    "ProviderName": "provider_name",
    "PublisherName": "publisher_name",
    "ServiceCategory": "service_category",
    "ServiceName": "service_name",
    "ResourceId": "resource_id",
    "ResourceName": "resource_name",
    "ResourceType": "resource_type",
    "RegionId": "region_id",
    "SkuId": "sku_id",
    "SkuPriceId": "sku_price_id",
    "PricingCategory": "pricing_category",
    "PricingCurrency": "pricing_currency",
    "PricingUnit": "pricing_unit",
    "ConsumedUnit": "consumed_unit",
    "CommitmentDiscountId": "commitment_discount_id",
    "CommitmentDiscountStatus": "commitment_discount_status",
}
DECIMALS = {
    "PricingQuantity": "pricing_quantity",
    "ListUnitPrice": "list_unit_price",
    "ContractedUnitPrice": "contracted_unit_price",
    "ConsumedQuantity": "consumed_quantity",
}
AMOUNTS = {
    "BilledCost": "billed_cost",
    "EffectiveCost": "effective_cost",
    "ListCost": "list_cost",
    "ContractedCost": "contracted_cost",
}
TIMES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
# Beside what FOCUS knows: where Google keeps the project.
OTHERS = ("BillingCurrency", "Tags", PROJECT)

WANTED = (*AMOUNTS, *TIMES, *OTHERS, *TEXTS, *DECIMALS)

# Names of FOCUS previews and drafts that exports still use, and 1.3's successors of the provider. Where several
# of one column stand in a file, the first here goes before the others.
OLDER_NAMES = {
    "AmortizedCost": "EffectiveCost",
    "ChargeType": "ChargeCategory",
    "UsageQuantity": "ConsumedQuantity",
    "UsageUnit": "ConsumedUnit",
    "Region": "RegionId",
    "ServiceProviderName": "ProviderName",
    "Provider": "ProviderName",
    "HostProviderName": "ProviderName",
    "Publisher": "PublisherName",
    "x_ProjectId": PROJECT,
    "x_Project.id": PROJECT,
    "x_Project_id": PROJECT,
}
_RANK = {old.casefold(): rank for rank, old in enumerate(OLDER_NAMES, start=1)}

# Without these a row is no FOCUS charge; BillingPeriodStart can be given from outside.
REQUIRED = ("BilledCost", "ChargePeriodStart")

# Exports of the providers that are not FOCUS, by sets of columns that only they have, and what to do.
_CUR = "In AWS Data Exports, create an export of the type “FOCUS with AWS columns” and import its files."
_AZURE = "In Azure Cost Management, create an export of the type “Cost and usage details (FOCUS)”."
_OCI = "Use the files of the “FOCUS Reports” folder of the same bucket."
_GOOGLE = "Create the FOCUS view over the detailed export in BigQuery and export that view."
OTHER_EXPORTS: dict[str, tuple[tuple[tuple[str, ...], ...], str]] = {
    "an AWS Cost and Usage Report (CUR)": (
        (
            ("lineItem/UnblendedCost",),
            ("line_item_unblended_cost",),
            ("lineItem/LineItemType",),
            ("line_item_line_item_type",),
        ),
        _CUR,
    ),
    "an AWS detailed billing report": ((("PayerAccountId", "LinkedAccountId", "RecordType"),), _CUR),
    "an Azure reservation or price sheet, not costs": (
        (("MeterId", "PartNumber", "IncludedQuantity"), ("ReservationOrderId", "UsedHours")),
        _AZURE,
    ),
    "Azure cost details (EA or MCA), not FOCUS": (
        (
            ("MeterId", "UnitPrice", "BillingAccountId"),
            ("meterId", "costInBillingCurrency"),
            ("MeterCategory", "CostInBillingCurrency"),
            ("MeterId", "PreTaxCost"),
            ("MeterId", "Cost", "SubscriptionGuid"),
            ("MeterId", "Cost", "SubscriptionId"),
        ),
        _AZURE,
    ),
    "an OCI cost or usage report, not FOCUS": (
        (("lineItem/referenceNo",), ("lineItem/intervalUsageStart",), ("cost/myCost",)),
        _OCI,
    ),
    "a Google Cloud billing export, not FOCUS": (
        (
            ("billing_account_id", "sku.id", "usage.amount"),
            ("billing_account_id", "usage_start_time", "cost_type"),
            ("billing_account_id", "usage_start_time", "cost"),
            ("billing_account_id", "sku_id", "usage_start_time"),
        ),
        _GOOGLE,
    ),
    "a cost table of the Google Cloud console, not FOCUS": (
        (("Billing account ID", "SKU ID", "Cost type"), ("Billing account ID", "Project ID", "Unrounded Cost ($)")),
        _GOOGLE,
    ),
}

_BY_FOLDED_NAME = {name.casefold(): name for name in WANTED} | {
    old.casefold(): name for old, name in OLDER_NAMES.items()
}


def folded(heading: str) -> str:
    """Return a heading as it is compared: without byte order mark and blanks, in any case."""
    return heading.strip().strip("\ufeff").strip().casefold()


def recognized(headings: Sequence[str]) -> dict[str, int]:
    """Return the position of each FOCUS column among the headings of a file.

    A column under its own name goes before one under an older name. Raises UnreadableFile for a
    column that stands there twice.
    """
    positions: dict[str, int] = {}
    ranks: dict[str, int] = {}
    for position, heading in enumerate(headings):
        written = folded(heading)
        name = _BY_FOLDED_NAME.get(written)
        if name is None:
            continue
        # FOCUS's own name comes before every other.
        rank = _RANK.get(written, 0)
        if ranks.get(name) == rank:
            raise UnreadableFile(
                f"The column {heading.strip()} stands in the header twice (columns {positions[name] + 1} and "
                f"{position + 1}). Remove one of them.",
                line=1,
                column=name,
            )
        if name not in positions or rank < ranks[name]:
            positions[name], ranks[name] = position, rank
    return positions


def require_focus(headings: Sequence[str], positions: dict[str, int], *, has_period: bool) -> None:
    """Raise UnreadableFile, naming what is missing, unless the header is one of FOCUS.

    `has_period` says that the billing period is known from elsewhere (-p or the file's name).
    """
    needed = REQUIRED if has_period else ("BillingPeriodStart", *REQUIRED)
    missing = [name for name in needed if name not in positions]
    if not missing:
        return
    present = {folded(heading) for heading in headings}
    for what, (signatures, advice) in OTHER_EXPORTS.items():
        if any({name.casefold() for name in signature} <= present for signature in signatures):
            raise UnreadableFile(f"This is {what}. {advice}", line=1)
    columns = "columns" if len(missing) > 1 else "column"
    shown = ", ".join(heading.strip() for heading in headings[:8]) + (", …" if len(headings) > 8 else "")
    raise UnreadableFile(
        f"This is not a FOCUS file: it lacks the {columns} {', '.join(missing)}. Its columns are: {shown}.", line=1
    )
