"""Files that look like another source's: their accounts tell, else their providers, else their services."""

from collections.abc import Collection

from ..models import PATHS, Charge, Import, ImportTotal, Source
from ..readers.spelling import same_id
from .outcomes import OfAnotherSource, error_of
from .reading import Read
from .receiving import Received


def require_own(received: Received, read: Read) -> None:
    """Refuse files that look like another source's, unless somebody confirmed them.

    Where they lie in the folder of their source, that confirms files that no other source knows. Raises
    OfAnotherSource.
    """
    if received.request.is_again or received.request.force or not (why := _strange(received, read)):
        return
    if not received.request.in_its_folder or _sources_like(received.source, read):
        raise of_another_source(why, received, read)


def of_another_source(why: str, received: Received, read: Read) -> OfAnotherSource:
    """Return the refusal of files that look like another source's, naming those that know such rows."""
    others = _sources_like(received.source, read) or ([received.named.name] if received.named else [])
    like = f" Its rows are like those of {' and '.join(others)}." if others else ""
    message = (
        f"This looks like another source's file: {why}.{like} "
        f"Choose its source, or confirm that it is of {received.source}."
    )
    return OfAnotherSource([error_of(message)], source=received.source)


def _strange(received: Received, read: Read) -> str:
    """Say why the files look like another source's; empty where they are like its earlier ones.

    Accounts tell, else providers, else the services: the first of them that both name.
    """
    source = received.source
    earlier = Import.objects.filter(source=source, state__in=(Import.State.APPLIED, Import.State.DEFERRED))
    accounts = {account for _, account, _ in read.totals} - {""}
    totals = ImportTotal.objects.filter(imported_in__in=earlier).exclude(billing_account_id="")
    known = set(map(same_id, totals.values_list("billing_account_id", flat=True).distinct()))
    if accounts and known:
        if not known.isdisjoint(map(same_id, accounts)):
            return ""
        return f"its billing accounts ({_named(accounts)}) are in no earlier file of {source}"
    for words, field, found in (
        ("providers", "provider_name", read.providers),
        ("services", "service_name", read.services),
    ):
        own = Charge.objects.live().filter(source=source)
        if (
            not found
            or own.filter(**{f"{PATHS[field]}__in": found}).exists()
            or not own.exclude(**{PATHS[field]: ""}).exists()
        ):
            continue
        # That the services of a month are all new is no wonder by itself.
        if field == "provider_name" or _sources_like(source, read):
            return f"its {words} ({_named(found)}) are in no earlier file of {source}"
    named = received.named
    if named and not earlier.exists() and named.name in _sources_like(source, read):
        return f"its name and its rows are like those of {named}"
    return ""


def _sources_like(source: Source, read: Read) -> list[str]:
    """Return the names of other sources that know the accounts, or else the providers, or else the services."""
    if accounts := {same_id(account) for _, account, _ in read.totals} - {""}:
        totals = ImportTotal.objects.filter(imported_in__state=Import.State.APPLIED).exclude(imported_in__source=source)
        known = totals.values_list("imported_in__source__name", "billing_account_id").distinct()
        return sorted({name for name, account in known if same_id(account) in accounts})
    for field, found in (("provider_name", read.providers), ("service_name", read.services)):
        if not found:
            continue
        charges = Charge.objects.live().filter(**{f"{PATHS[field]}__in": found})
        others = Source.objects.exclude(pk=source.pk).order_by("name")
        names = [each.name for each in others if charges.filter(source=each).exists()]
        if names:
            return names
    return []


def _named(texts: Collection[str]) -> str:
    """Return a few of these texts, and how many more there are."""
    shown = sorted(texts)[:3]
    return ", ".join(shown) + (f" and {len(texts) - 3:,} more" if len(texts) > 3 else "")
