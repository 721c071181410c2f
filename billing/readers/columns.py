"""The FOCUS columns that charges keep, the older names they still come under, and what a header lacks."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from .batches import MAX_PROBLEMS, Batch, FileError, Problem, UnreadableFile
from .projects import PROJECT
from .subsidies import SUBSIDY_FUND_ORG

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
    SUBSIDY_FUND_ORG: "subsidy_fund_org",
}
# Ids of accounts, and those that may be anything.
STRICT_IDS = ("BillingAccountId", "SubAccountId", "CommitmentDiscountId")
FREE_IDS = ("InvoiceId", "ResourceId", "RegionId", "SkuId", "SkuPriceId")
DECIMALS = {
    "PricingQuantity": "pricing_quantity",
    "ListUnitPrice": "list_unit_price",
    "ContractedUnitPrice": "contracted_unit_price",
    "ConsumedQuantity": "consumed_quantity",
}
# What was priced and what was consumed differ from row to row; prices repeat.
QUANTITIES = {name: field for name, field in DECIMALS.items() if name.endswith("Quantity")}
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
# Without these a row is no FOCUS charge; BillingPeriodStart can be given from outside.
REQUIRED = ("BilledCost", "ChargePeriodStart")

# Exports of the providers that are not FOCUS, by sets of columns that only they have, and what to do.
_CUR = "In AWS Data Exports, create an export of the type “FOCUS with AWS columns” and import its files."
_AZURE = "In Azure Cost Management, create an export of the type “Cost and usage details (FOCUS)”."
_OCI = "Use the files of the “FOCUS Reports” folder of the same bucket."
_GOOGLE = "Create the FOCUS view over the detailed export in BigQuery and export that view."
# How it is told that a file has no column of FOCUS: it may be usage.
NOTHING_OF_FOCUS = "It has no column of FOCUS."

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

# Other names of the billing currency and of the charge category. A file may have several columns of these: they mean
# the same, so that a row in which they differ is an error.
SAME = {
    "BillingCurrency": (
        *("Currency", "CurrencyCode", "BilledCurrency", "BilledCurrencyCode", "BillingCurrencyCode", "BillCurrency"),
        *("BillCurrencyCode", "ChargeCurrency", "ChargeCurrencyCode", "CostCurrency", "CostCurrencyCode"),
        *("InvoiceCurrency", "InvoiceCurrencyCode", "IsoCurrency", "IsoCurrencyCode", "CurrencyIso", "CCY"),
    ),
    "ChargeCategory": ("ChargeCategoryName",),
}

# Columns of FOCUS that charges do not keep.
_NOT_KEPT = frozenset(
    name.casefold()
    for name in (
        *("AvailabilityZone", "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus"),
        *("CommitmentDiscountCategory", "CommitmentDiscountName", "CommitmentDiscountQuantity"),
        *("CommitmentDiscountType", "CommitmentDiscountUnit", "InvoiceIssuerName", "InvoiceIssuer"),
        *("PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice"),
        *("RegionName", "ServiceSubcategory", "SkuMeter", "SkuPriceDetails", "SubAccountType"),
    )
)


def loosened(heading: str) -> str:
    """Return a heading without case and without what people and programs put between its words."""
    return re.sub(r"[\s_.:/-]+", "", folded(heading))


def folded(heading: str) -> str:
    """Return a heading as it is compared: without byte order mark and blanks, in any case."""
    return heading.strip().strip("\ufeff").strip().casefold()


_BY_FOLDED_NAME = {name.casefold(): name for name in WANTED} | {
    old.casefold(): name for old, name in OLDER_NAMES.items()
}
_OWN = {loosened(name): name for name in WANTED}
_SAME = {loosened(other): name for name, others in SAME.items() for other in (name, *others)}
_OLDER = {loosened(old): (name, rank) for rank, (old, name) in enumerate(OLDER_NAMES.items(), start=1)}

# What stands between a FOCUS column and the heading of another that says the same, in the names of columns read.
_BESIDE = "|"


class Positions(dict[str, int]):
    """The position of each FOCUS column in a header.

    A further column that says the same as one of them stands there as `BillingCurrency|Currency`, to be merged (see
    `merged`). `unread` are the headings of columns that look like money and are not read.
    """

    unread: tuple[str, ...] = ()


def base_of(column: str) -> str:
    """Return the FOCUS column that a column of a batch is of."""
    return column.partition(_BESIDE)[0]


def _meant(heading: str) -> tuple[str, int] | None:
    """Return the FOCUS column that a heading means, and how far its name is from FOCUS's own; None for neither."""
    written, loose = folded(heading), loosened(heading)
    if (name := _BY_FOLDED_NAME.get(written)) and written == name.casefold():
        return name, 0
    if name := _OWN.get(loose) or _SAME.get(loose):
        return name, 0
    # Of other columns of a provider that cannot be said: Azure's x_BillingAccountId is not its BillingAccountId.
    if written[:1] == "x" and written[1:2] in ("_", "-", " ", ".") and (name := _SAME.get(loosened(written[2:]))):
        return name, 0
    return _OLDER.get(loose)


def recognized(headings: Sequence[str]) -> Positions:
    """Return the position of each FOCUS column among the headings of a file.

    A column under its own name, however it is spelled, goes before one under an older name. Raises UnreadableFile for
    a column that stands there twice.
    """
    positions = Positions()
    ranks: dict[str, int] = {}
    same: dict[str, list[int]] = {}
    spelled: dict[str, int] = {}
    unknown: list[str] = []
    for position, heading in enumerate(headings):
        meant = _meant(heading)
        if meant is None:
            unknown.append(heading.strip())
            continue
        name, rank = meant
        written = folded(heading)
        if written in spelled:
            raise UnreadableFile(
                f"The column {heading.strip()} stands in the header twice (columns {spelled[written] + 1} and "
                f"{position + 1}). Remove one of them.",
                line=1,
                column=name,
            )
        spelled[written] = position
        if name not in ranks or rank < ranks[name]:
            unknown += [headings[before].strip() for before in same.get(name, ())]
            ranks[name], same[name] = rank, [position]
        elif rank == ranks[name]:
            same[name].append(position)
        else:
            unknown.append(heading.strip())
    for name, found in same.items():
        # FOCUS's own spelling first: it is what messages name.
        found.sort(key=lambda position: (folded(headings[position]) != name.casefold(), position))
        positions[name] = found[0]
        for position in found[1:]:
            positions[f"{name}{_BESIDE}{headings[position].strip()}"] = position
    positions.unread = tuple(heading for heading in unknown if looks_like_money(heading))
    return positions


def merged(batch: Batch) -> Batch:
    """Make one column of those that say the same; where one of them is empty, the other says it.

    Raises FileError with the lines in which they differ.
    """
    several = [name for name in batch.columns if _BESIDE in name]
    if not several:
        return batch
    columns = {name: values for name, values in batch.columns.items() if _BESIDE not in name}
    lines = batch.lines
    problems: list[Problem] = []
    for name in several:
        base, _, heading = name.partition(_BESIDE)
        mine, others = replace(batch, columns=columns).texts(base), batch.texts(name)
        if mine == others:
            continue
        for row, (one, other) in enumerate(zip(mine, others, strict=True)):
            if not one.strip():
                mine[row] = other
            elif other.strip() and not _alike(one, other):
                problems.append(
                    Problem(
                        f"{base} is “{one.strip()[:40]}” and {heading} is “{other.strip()[:40]}”. They mean the same: "
                        "correct one of them, or remove its column.",
                        int(lines[row]),
                        base,
                    )
                )
        columns[base] = mine
    if problems:
        raise FileError(problems[:MAX_PROBLEMS])
    return replace(batch, columns=columns)


def _alike(one: str, other: str) -> bool:
    if one.strip().casefold() == other.strip().casefold():
        return True
    try:
        return Decimal(one.strip()) == Decimal(other.strip())
    except InvalidOperation:
        return False


# What headings are made of, in the languages that exports come in; without accents, as `_plain` leaves them.
_MONEY_WORDS = (
    "cost costs amount amounts charge charges charged price prices fee fees tax taxes vat credit credits discount "
    "discounts refund refunds rebate rebates surcharge total subtotal spend spending billed payment balance due money "
    "debit value values sum sums gross blended unblended amortized amortised expense expenses expenditure payable owed "
    "kosten betrag preis preise summe gebuhr gebuhren gebuehr gebuehren steuer steuern entgelt entgelte netto brutto "
    "wert rabatt gutschrift aufwand "
    "montant montants prix cout couts frais impot taxe taxes remise solde depense depenses tarif "
    "importe importes coste costes costo costos precio precios valor custo monto cargo cargos gasto gastos impuesto "
    "impuestos descuento saldo tarifa suma "
    "importo prezzo spesa totale imposta preco montante "
    "usd eur gbp chf cad aud"
)
_MONEY = frozenset(_MONEY_WORDS.split())
# Of other headings they are part of a name: Net of VNet and NetApp.
_MONEY_ALONE = frozenset({"net", "nett", "ht", "ttc"})
# Words of columns about money that hold none.
_NO_MONEY_WORDS = (
    "id ids name names type types category categories subcategory class code codes center centre centers description "
    "frequency period start end date time day month unit units status rate exchange rule rules allocation number "
    "account accounts ref reference key keys tag tags model plan method quantity percent percentage details currency "
    "currencies applied eligible tier group offer program url link owner department reason kind version index check "
    "datum art nummer konto kurs fecha tipo cuenta compte"
)
_NO_MONEY = frozenset(_NO_MONEY_WORDS.split())
_ENDINGS = (
    *("cost", "costs", "amount", "price", "charges", "total", "credits"),
    *("kosten", "betrag", "preis", "entgelt", "gebuhr", "summe"),
)
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[€$£¥]")
# FOCUS's own columns that no charge keeps: the same money in the currency of prices.
_KNOWN_UNREAD = frozenset(
    map(
        str.casefold,
        ("PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice"),
    )
)


def _plain(heading: str) -> str:
    """Return a heading without accents, which exports lose on their way: Währung, Wahrung."""
    return "".join(each for each in unicodedata.normalize("NFKD", heading) if not unicodedata.combining(each))


def _words_of(heading: str) -> list[str]:
    return [word.casefold() for word in _TOKEN.findall(_plain(heading))]


def looks_like_money(heading: str) -> bool:
    """Tell whether a column that is not understood may hold what something costs, by its heading."""
    if folded(heading) in _KNOWN_UNREAD:
        return False
    words = _words_of(heading)
    if any(word in "€$£¥" for word in words):
        return True
    said = [word for word in words if word in _MONEY or word in _CURRENCY_WORDS]
    if said and said[0] in _CURRENCY_WORDS:
        # “Moneda del cargo” says a currency; “Importe en moneda local” is an amount.
        return False
    is_in_currency = words[-2:] and words[-1] == "currency" and bool(_MONEY & set(words))
    if not is_in_currency and set(words) & _NO_MONEY:
        return False
    if loosened(heading).removeprefix("x") in _MONEY_ALONE:
        return True
    return bool(set(words) & _MONEY) or any(word.endswith(_ENDINGS) for word in words)


def looks_like_currency(heading: str) -> bool:
    """Tell whether a column may say what currency its row is in, by its heading."""
    if looks_like_money(heading) or folded(heading) in _KNOWN_UNREAD:
        return False
    loose = loosened(_plain(heading))
    words = set(_words_of(heading))
    if words & _RATES:
        return False
    is_one = loose.removeprefix("x").removesuffix("code") in _CURRENCIES or bool(words & _CURRENCY_WORDS)
    return is_one or any(part in loose for part in _CURRENCY_PARTS)


_RATES = frozenset({"rate", "exchange", "conversion", "taux", "change", "kurs", "tipo", "cambio", "tasa"})
_CURRENCIES = frozenset({"cur", "curr", "ccy", "iso4217", "monetaryunit", "moneyunit", "unitofmoney", "wkz"})
# Devise de facturation, Moneda de pago.
_CURRENCY_WORDS = frozenset({"devise", "divisa", "moneda", "moeda", "valuta", "monnaie"})
_CURRENCY_PARTS = ("currency", "currencies", "wahrung", "waehrung", "ccycode", "geldeinheit", "unitemonetaire")

# Columns that say another category than that of the charge.
_OTHER_CATEGORIES = re.compile(
    r"service|pricing|price|sku|meter|publisher|provider|product|resource|commitment|discount|subcategor|categories|"
    r"region|account|department|project|consumed|usage"
)
_KINDS = "charge|cost|line|lineitem|item|row|record|entry|transaction|billing|fee"
_CATEGORIES = re.compile(rf"x?({_KINDS})?(category|kategorie)(name|code)?|x?({_KINDS})(kind|type|cat|class|art)(name)?")


def looks_like_category(heading: str) -> bool:
    """Tell whether a column may say whether its row is usage, a purchase, a tax or a credit, by its heading."""
    loose = loosened(heading)
    if _CATEGORIES.fullmatch(loose):
        return True
    return ("category" in loose or "kategorie" in loose) and not _OTHER_CATEGORIES.search(loose)


def require_focus(headings: Sequence[str], positions: Mapping[str, int], *, has_period: bool) -> None:
    """Raise UnreadableFile, naming what is missing, unless the header is one of FOCUS.

    What looks like the billing currency or the charge category, and is not understood, is never passed over where
    the column itself is missing. `has_period` says that the billing period is known from elsewhere (-p or the file's
    name).
    """
    needed = REQUIRED if has_period else ("BillingPeriodStart", *REQUIRED)
    missing = [name for name in needed if name not in positions]
    if missing:
        raise _no_focus(headings, positions, missing)
    understood = set(positions.values())
    others = [heading.strip() for position, heading in enumerate(headings) if position not in understood]
    if "BillingCurrency" not in positions:
        # The currency of the prices may be another than that of the bill.
        pricing = [headings[positions["PricingCurrency"]].strip()] if "PricingCurrency" in positions else []
        if found := [heading for heading in others if looks_like_currency(heading)] or pricing:
            raise UnreadableFile(
                f"There is no column BillingCurrency, and {_either(found)} may say the currency. "
                "If it is that of BilledCost, rename it to BillingCurrency; if not, add a column BillingCurrency.",
                line=1,
                column=found[0],
            )
    if "ChargeCategory" not in positions and (found := [each for each in others if looks_like_category(each)]):
        raise UnreadableFile(
            f"There is no column ChargeCategory, and {_either(found)} may say it. If it holds Usage, Purchase, Tax, "
            "Credit or Adjustment, rename it to ChargeCategory; if not, give it another name, such as x_Kind_of_Work, "
            "or remove it.",
            line=1,
            column=found[0],
        )


def without_measure(name: str, unread: Sequence[str]) -> UnreadableFile:
    """Say that the cost that a source charges is missing, and which other columns may be it."""
    return UnreadableFile(
        f"There is no column {name}, which this source charges, and {_either(unread)} may hold it. "
        f"If it does, rename it to {name}; if not, remove it.",
        line=1,
        column=unread[0],
    )


def _either(headings: Sequence[str]) -> str:
    shown = [f"“{heading[:60]}”" for heading in headings[:5]]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _no_focus(headings: Sequence[str], positions: Mapping[str, int], missing: list[str]) -> UnreadableFile:
    present = {folded(heading) for heading in headings}
    for what, (signatures, advice) in OTHER_EXPORTS.items():
        if any({name.casefold() for name in signature} <= present for signature in signatures):
            return UnreadableFile(f"This is {what}. {advice}", line=1)
    columns = "columns" if len(missing) > 1 else "column"
    told = f"This is not a FOCUS file: it lacks the {columns} {', '.join(missing)}. {_told_of(headings)}"
    unread = getattr(positions, "unread", ())
    if missing == ["BilledCost"] and unread:
        # Which of them is what was billed is not for a program to say.
        told = (
            f"This file lacks the column BilledCost, and {_either(unread)} may be it. Rename the one that says what "
            "was billed to BilledCost."
        )
    return UnreadableFile(told, line=1)


def _told_of(headings: Sequence[str]) -> str:
    """Say which columns of FOCUS a header has.

    Nothing else of it is repeated: a file that is no FOCUS file may be one that nobody meant to show, a password file
    or a private key, named by mistake or by somebody who may write a manifest and read a report.
    """
    known = [heading.strip() for heading in headings if is_of_focus(heading)]
    if not known:
        return NOTHING_OF_FOCUS
    return f"Of the columns of FOCUS it has {', '.join(known[:8])}{', …' if len(known) > 8 else ''}."


def is_of_focus(heading: str) -> bool:
    """Tell whether a heading is that of a column of FOCUS, by any of its names."""
    return folded(heading) in _NOT_KEPT or bool(recognized([heading]))
