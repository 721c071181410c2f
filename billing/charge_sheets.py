"""Charges as a table to take along: CSV or Excel, exact amounts, and text that is never a formula."""

import datetime
from collections.abc import Callable, Iterator
from typing import IO, Any

from django.db.models import F, QuerySet

from . import audit, review
from .audit import Actor
from .models import PATHS, Charge
from .quantity_sums import used_quantity, used_unit
from .review.review_sheets import open_flags
from .sheets import write_table

CHUNK = 2_000
AMOUNTS = ("list_price", "provider_discount", "subsidy", "charged", "billed")
TEXTS = (
    *("service_name", "service_category", "charge_category", "resource_id", "resource_name", "region_id", "sku_id"),
    *("billing_account_id", "sub_account_id", "sub_account_name", "invoice_id"),
)
COLUMNS = (
    *("charge", "in_force", "state", "reasons", "source", "delivered_for", "charged_in", "service_from"),
    *("service_until", "pi", "pi_name", "project", "fund_org", "shared_as", "assigned_by", "currency"),
    *AMOUNTS,
    *TEXTS,
    *("usage", "unit"),
    *("tags", "import", "line"),
)
Tell = Callable[[int, int, str], None]


def write(
    *,
    charges: "QuerySet[Charge]",
    file: IO[bytes],
    form: str,
    asked: str = "",
    tell: Tell | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> int:
    """Write charges to a file, the newest first; return how many. `asked` says how they were chosen.

    `form` is one of FORMATS. Held and rejected charges say in `charged` what they would come to. That they were taken
    out is an event of the audit log.
    """
    count = write_table(rows=_rows(charges, tell), columns=COLUMNS, title="Charges", file=file, form=form)
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("charges.exported", after={"charges": count, "format": form, "filters": asked})
    return count


def _rows(charges: "QuerySet[Charge]", tell: Tell | None) -> Iterator[dict[str, Any]]:
    chosen = (
        Charge.objects.filter(pk__in=charges.order_by().values("pk"))
        .with_prices(estimates=True)
        .annotate(used_quantity=used_quantity(), used_unit=used_unit())
        .annotate(said_list=F("exact_list"), said_contracted=F("exact_contracted"), said_charged=F("exact_charged"))
        .select_related("source", "pi", "project", "period", "charged_in", *{PATHS[n].split("__")[0] for n in TEXTS})
        .select_related("tag_set")
        .prefetch_related(open_flags(), "payer_split__shares")
        .order_by("-pk")
    )
    total = chosen.count() if tell else 0
    for done, charge in enumerate(chosen.iterator(chunk_size=CHUNK), start=1):
        if tell and done % CHUNK == 0:
            tell(done, total, "Writing charges")
        yield values_of(charge)


def values_of(charge: Any) -> dict[str, Any]:
    """Return a charge with its prices as a row says it: texts, and amounts as Decimal."""
    split = charge.payer_split
    shares = {share.fund_org: share.percent for share in split.shares.all()} if split else {}
    return {
        "charge": str(charge.pk),
        "in_force": "no" if charge.withdrawn_in_id else "yes",
        "state": charge.get_state_display(),
        "reasons": "; ".join(
            f"{flag.get_code_display()}: {flag.detail}" if flag.detail else flag.get_code_display()
            for flag in charge.open_flags
        ),
        "source": charge.source.name,
        "delivered_for": charge.period.iso_month,
        "charged_in": charge.charged_in.iso_month,
        "service_from": _moment(charge.charge_period_start),
        "service_until": _moment(charge.charge_period_end),
        "pi": charge.pi.email if charge.pi else "",
        "pi_name": charge.pi.name if charge.pi else "",
        "project": charge.project.code if charge.project else "",
        "fund_org": review.shares_text(shares) if split else charge.fund_org,
        "shared_as": charge.shared_as,
        "assigned_by": charge.get_attributed_by_display(),
        "currency": charge.currency,
        "list_price": charge.said_list,
        "provider_discount": charge.said_list - charge.said_contracted,
        "subsidy": charge.said_contracted - charge.said_charged,
        "charged": charge.said_charged,
        "billed": charge.billed_cost,
        **{name: getattr(charge, name) for name in TEXTS},
        "usage": charge.used_quantity or "",
        "unit": charge.used_unit,
        "tags": charge.tags,
        "import": str(charge.imported_in_id),
        "line": str(charge.line_number),
    }


def _moment(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat()
