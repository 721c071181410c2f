"""Priced usage against what it was priced from: files that were reduced, schedules and terms, each as it was then."""

from collections.abc import Iterator

from ..files.received import place_of
from ..models import BillingPeriod, PricedMonth
from ..usage import keeping
from .findings import About, Finding
from .verifying import Kept, wrong


def kept(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the files that usage is kept in, of all months or of one: records, who pays, and how rows came about."""
    return _files(keeping.pricings_of(period))


def findings(period: BillingPeriod, *, is_frozen: bool) -> list[Finding]:
    """Name what a month's usage was priced from, or its rows, where it is not what it was.

    The rows of a frozen month are left out: they are among all files as received, which are looked at then.
    """
    months = keeping.pricings_of(period)
    found = [
        Finding("usage", str(priced), text, About("billing.pricedmonth", priced.pk))
        for priced, text in keeping.altered(months)
    ]
    altered = [wrong(file, trusts_signature=True) for file in _files(months, with_rows=not is_frozen)]
    return found + [Finding("file", each.what, each.text, each.about) for each in altered if each]


def _files(months: list[PricedMonth], *, with_rows: bool = False) -> Iterator[Kept]:
    seen = set()
    for priced in months:
        about = About("billing.pricedmonth", priced.pk)
        named = [
            (f"Usage file {each.pk} ({each.name})", each.records_file, About("billing.usagefile", each.pk))
            for each in keeping.files_of(priced)
        ]
        of_month = {"Payers": priced.payers_file, "Workings": priced.workings_file}
        if with_rows:
            of_month["Rows"] = priced.focus_file
        named += [(f"{what} of {priced}", stored, about) for what, stored in of_month.items() if stored]
        for what, stored, about_it in named:
            if stored.pk not in seen:
                seen.add(stored.pk)
                yield Kept(what, place_of(stored), stored.sha256, about_it)
