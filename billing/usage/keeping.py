"""What a priced month keeps, so that it can be priced so again, and explained: its terms, its payers and its workings.

Each thing that it was priced from has a digest, and all of them have one that the audit log holds too. So nobody can
change one of them unseen.
"""

import datetime
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..files.received import local_copy, store
from ..models import AuditEvent, BillingPeriod, PricedMonth, StoredFile, UsageFeed, UsageFile
from .focus_rows import Issuer
from .making import Made
from .paying import Paying, paying_of
from .pricing.terms import Balance, Scope, Span, Subsidy
from .pricing.uses import Before, before_from_data
from .terms import Terms

PRICED = "usage.priced"

# What each digest is of, in words for "… is not what it was".
DIGESTED = {
    "schedule": "the rate schedule {schedule}",
    "terms": "what is kept of its settings, subsidies and balances",
    "before": "what was used before it",
    "files": "the list of the usage files that it was priced from",
    "payers": "the list of who pays",
    "rows": "the list of its rows",
    "workings": "what is kept of how its rows came about",
    "used": "what is kept of what was used by its end",
    "units": "what is kept of its units",
    "drawn": "what is kept of its subsidies and balances that were used",
}


@dataclass(frozen=True)
class KeptFiles:
    """The files of a priced month: its rows, if it has any, who pays, and how each row came about."""

    rows: StoredFile | None
    payers: StoredFile
    workings: StoredFile


def keep_files(made: Made, folder: Path, *, now: datetime.datetime) -> KeptFiles:
    """Store the files of a priced month."""
    payers = folder / "payers.parquet"
    pq.write_table(made.paying.as_table(), payers, compression="zstd")
    return KeptFiles(
        rows=store(path=made.rows, now=now) if made.count else None,
        payers=store(path=payers, now=now),
        workings=store(path=made.workings, now=now),
    )


# Terms --------------------------------------------------------------------------------------------------


def terms_data(feed: UsageFeed, terms: Terms) -> dict[str, Any]:
    """Return the terms of a month as they are kept. Its schedule and what was used before it stand beside them."""

    def told(value: Any) -> Any:
        if isinstance(value, Decimal):
            return str(value)
        if isinstance(value, Mapping):
            return {key: str(each) for key, each in sorted(value.items())}
        return sorted(value) if isinstance(value, frozenset) else value

    listed = {
        name: [{key: told(value) for key, value in vars(each).items()} for each in found]
        for name, found in (("subsidies", terms.subsidies), ("balances", terms.balances))
    }
    return {
        **listed,
        "fiscal_year_start": terms.fiscal_year_start,
        "currency": terms.currency,
        "issuer": dict(vars(terms.issuer)),
        "feed": {"kind": feed.kind, "settings": feed.settings, "time_zone": feed.time_zone},
    }


def terms_of(priced: PricedMonth) -> Terms:
    """Return the terms that a month was priced by."""
    kept = priced.terms
    return Terms(
        schedule=priced.schedule,
        subsidies=subsidies_of(priced),
        balances=balances_of(priced),
        before=before_from_data(priced.before.used) if priced.before else Before(),
        fiscal_year_start=kept["fiscal_year_start"],
        currency=kept["currency"],
        issuer=Issuer(**kept["issuer"]),
        came_after=priced.before,
    )


def subsidies_of(priced: PricedMonth) -> tuple[Subsidy, ...]:
    """Return the subsidies that a month was priced with, in their order."""
    return tuple(_subsidy(each) for each in priced.terms["subsidies"])


def balances_of(priced: PricedMonth) -> tuple[Balance, ...]:
    """Return the balances that a month was priced with, and what was left of them before it."""
    return tuple(_balance(each) for each in priced.terms["balances"])


def feed_of(priced: PricedMonth) -> UsageFeed:
    """Return the feed of a month as it was when the month was priced; it is not to be saved."""
    feed = priced.feed
    return UsageFeed(
        pk=feed.pk, name=feed.name, display_name=feed.display_name, source=feed.source, **priced.terms["feed"]
    )


def pricings_of(period: BillingPeriod | None = None) -> list[PricedMonth]:
    """Return how a month, or every month, was priced each time, with all that it was priced from."""
    months = PricedMonth.objects.order_by("pk").select_related(
        "feed__source", "period", "schedule", "before", "payers_file", "workings_file", "focus_file"
    )
    if period:
        months = months.filter(period=period)
    return list(months.prefetch_related("files__records_file"))


def pricings_that_became(imports: Collection[int]) -> dict[int, PricedMonth]:
    """Return the pricing whose rows each of these imports (ids) was made of; of others, nothing."""
    months = PricedMonth.objects.filter(imported__in=imports).order_by("-pk")
    related = ("feed__source", "period", "schedule__released_by", "workings_file", "focus_file")
    # What was used by its end may be large, and is not asked for.
    found = months.select_related(*related).defer("used").prefetch_related("files__records_file")
    return {each.imported_id: each for each in found if each.imported_id}


def files_of(priced: PricedMonth) -> list[UsageFile]:
    """Return the files that a month was priced from, oldest first."""
    # All at once, so that those that were read already are not read again.
    return sorted(priced.files.all(), key=lambda each: each.pk)


def paying_as_kept(priced: PricedMonth) -> Paying:
    """Return who paid when a month was priced."""
    assert priced.payers_file
    return paying_of(pq.read_table(local_copy(priced.payers_file)))


def _subsidy(kept: Mapping[str, Any]) -> Subsidy:
    sets = {name: frozenset(kept[name]) for name in ("scopes", "rates", "classes")}
    cap = None if kept["cap"] is None else Decimal(kept["cap"])
    elsewhere = {owner: Decimal(each) for owner, each in kept["elsewhere"].items()}
    exact = {"percent": Decimal(kept["percent"]), "cap": cap, "elsewhere": elsewhere}
    return Subsidy(**{**kept, **sets, **exact, "scope": Scope(kept["scope"]), "span": Span(kept["span"])})


def _balance(kept: Mapping[str, Any]) -> Balance:
    exact = {name: Decimal(kept[name]) for name in ("size", "left")}
    return Balance(**{**kept, **exact, "rates": frozenset(kept["rates"]), "scope": Scope(kept["scope"])})


# Digests ------------------------------------------------------------------------------------------------


def digests_of(priced: PricedMonth, files: Sequence[UsageFile]) -> dict[str, str]:
    """Return a digest of each thing that a month was priced from, and of what came of it."""
    schedule = priced.schedule
    return {
        "schedule": _digest([schedule.name, schedule.version, schedule.content]),
        "terms": _digest(priced.terms),
        "before": _digest(priced.before.used) if priced.before else "",
        "files": _digest([[each.original_sha256, each.records_file.sha256] for each in files]),
        "payers": priced.payers_file.sha256 if priced.payers_file else "",
        "rows": priced.focus_file.sha256 if priced.focus_file else "",
        "workings": priced.workings_file.sha256 if priced.workings_file else "",
        "used": _digest(priced.used),
        "units": _digest(priced.units),
        "drawn": _digest(priced.drawn),
    }


def digest_of(digests: Mapping[str, str]) -> str:
    """Return the digest of all digests of a month."""
    return _digest(digests)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def altered(months: Sequence[PricedMonth]) -> Iterator[tuple[PricedMonth, str]]:
    """Say of priced months, in sentences, what is not what it was when they were priced."""
    events = AuditEvent.objects.filter(
        action=PRICED, object_type="pricedmonth", object_id__in=[str(each.pk) for each in months]
    )
    recorded = {event.object_id: (event.after or {}).get("digest") for event in events}
    for priced in months:
        if str(priced.pk) not in recorded:
            yield priced, "the audit log does not have its pricing."
        elif recorded[str(priced.pk)] != priced.digest:
            yield priced, "its digest is not the one in the audit log."
        elif digest_of(priced.digests) != priced.digest:
            yield priced, "the digests of what it was priced from are not those of its pricing."
        now = digests_of(priced, files_of(priced))
        for name, told in DIGESTED.items():
            if now[name] != priced.digests.get(name):
                yield priced, f"{told.format(schedule=priced.schedule)} is not what it was when the month was priced."
