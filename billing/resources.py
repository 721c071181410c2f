"""What one resource is, what it cost month by month, and who paid for it: exact, as its charges were delivered."""

import datetime
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from .fields import AmountSum
from .models import PATHS, Charge, ResourceText, Source
from .models.charges import ChargeQuerySet
from .models.standing import BATCH
from .money import ZERO


@dataclass(frozen=True)
class Naming:
    """One way in which rows name a resource, and the first and last month in which they do."""

    text: ResourceText
    first: datetime.date
    last: datetime.date
    charges: int


@dataclass
class Figures:
    """Charges of one currency, with their prices as statements count them, not rounded."""

    charges: int = 0
    list_cost: Decimal = ZERO
    discount: Decimal = ZERO
    subsidy: Decimal = ZERO
    charged: Decimal = ZERO

    def add(self, other: "Figures") -> None:
        self.charges += other.charges
        self.list_cost += other.list_cost
        self.discount += other.discount
        self.subsidy += other.subsidy
        self.charged += other.charged


@dataclass(frozen=True)
class Paid:
    """What one payer was charged for a resource in a month, for one service.

    Without a PI or a shared cost it is unassigned.
    """

    month: datetime.date
    state: str
    pi_email: str
    pi_name: str
    project: str
    fund_org: str
    split: int | None
    shared_as: str
    service: str
    currency: str
    figures: Figures

    @property
    def is_charged(self) -> bool:
        return self.state in Charge.CHARGEABLE

    @property
    def state_label(self) -> str:
        return str(Charge.State(self.state).label)

    @property
    def is_centers(self) -> bool:
        return self.state == Charge.State.CHARGED_TO_CENTER


@dataclass
class ResourceHistory:
    """A resource of a source: how it was named, the newest first, and who paid, the newest month first."""

    source: Source
    namings: list[Naming] = field(default_factory=list)
    providers: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    rows: list[Paid] = field(default_factory=list)

    @property
    def services(self) -> list[str]:
        return sorted({row.service for row in self.rows if row.service})

    @property
    def name(self) -> str:
        """The name a person knows it by: the newest that there is, or its id."""
        texts = [naming.text for naming in self.namings]
        return next((text.resource_name for text in texts if text.resource_name), texts[0].resource_id)

    def totals(self, *, charged: bool = True) -> dict[str, Figures]:
        """Return the sums by currency: of what is charged, or of what is held or rejected."""
        sums: dict[str, Figures] = defaultdict(Figures)
        for row in self.rows:
            if row.is_charged == charged:
                sums[row.currency].add(row.figures)
        return dict(sorted(sums.items()))


def same_as(text: ResourceText) -> "QuerySet[ResourceText, int] | list[int]":
    """Return the numbers of all texts of the resource that a text names, however they spell or call it.

    As a list where they are few: by a condition on texts, a database might look through all charges.
    """
    same = ResourceText.objects.filter(folded_id=text.folded_id).order_by().values_list("pk", flat=True)
    few = list(same[: BATCH + 1])
    return same if len(few) > BATCH else few


def history_of(*, source: Source, text: ResourceText) -> ResourceHistory | None:
    """Return what a resource of a source cost and who paid for it; None where the source has no charges of it.

    Rows without an id and a name are of no resource. Prices are those that statements count
    (`ChargeQuerySet.with_prices`); statements round per payer line, so that their cents may differ from these sums.
    """
    if not text.folded_id:
        return None
    # Told apart here and not by the database, which might look for the charges of the source instead.
    charges = Charge.objects.live().filter(resource__in=same_as(text)).order_by()
    history = ResourceHistory(source, _namings(charges, source))
    if not history.namings:
        return None
    named = charges.values_list("source", PATHS["provider_name"], PATHS["sub_account_name"], PATHS["sub_account_id"])
    for of_source, provider, account_name, account in named.distinct():
        if of_source == source.pk:
            history.providers.append(provider)
            history.accounts.append(account_name or account)
    history.providers = sorted({*history.providers} - {""})
    history.accounts = sorted({*history.accounts} - {""})
    history.rows = _rows(charges, source)
    return history


def _namings(charges: ChargeQuerySet, source: Source) -> list[Naming]:
    spans = charges.values_list("source", "resource_key").annotate(
        first=Min("charged_in__month"), last=Max("charged_in__month"), count=Count("*")
    )
    found = {key: span for of_source, key, *span in spans if of_source == source.pk}
    texts = ResourceText.objects.in_bulk(found)
    namings = [Naming(texts[key], *span) for key, span in found.items()]
    return sorted(namings, key=lambda naming: (naming.last, naming.first, naming.text.pk), reverse=True)


def _rows(charges: ChargeQuerySet, source: Source) -> list[Paid]:
    by = {
        "month": "charged_in__month",
        "state": "state",
        "pi_email": "pi__email",
        "pi_name": "pi__name",
        "project": "project__code",
        "fund_org": "fund_org",
        "split": "payer_split_id",
        "shared_as": "shared_as",
        "service": PATHS["service_name"],
        "currency": "currency",
    }
    sums: Any = (
        charges.with_prices(estimates=True)
        .values_list("source", *by.values())
        .annotate(
            count=Count("*"),
            sum_list=AmountSum("exact_list"),
            sum_contracted=AmountSum("exact_contracted"),
            sum_charged=AmountSum("exact_charged"),
        )
    )
    found: dict[tuple[Any, ...], Paid] = {}
    for of_source, *values, count, listed, contracted, charged in sums:
        if of_source != source.pk:
            continue
        said = dict(zip(by, values, strict=True))
        for name in ("pi_email", "pi_name", "project"):
            said[name] = said[name] or ""
        if said["state"] in Charge.CHARGED_TO_OWNER:
            said["state"] = Charge.State.CLEAR.value
        row = found.setdefault(tuple(said.values()), Paid(**said, figures=Figures()))
        row.figures.add(Figures(count, listed, listed - contracted, contracted - charged, charged))
    in_order = sorted(found.values(), key=lambda row: (row.pi_email, row.project, row.fund_org, row.service, row.state))
    return sorted(in_order, key=lambda row: row.month, reverse=True)
