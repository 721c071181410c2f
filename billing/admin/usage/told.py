"""Usage in words: units that add up, totals with their units, what was drawn, and what pricing a month came to."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.html import format_html_join

from ...errors import BillingError
from ...models import Import, Job, UsageFeed, UsageFile
from ...money import ZERO
from ...quantities import for_people
from ...readers import FileError
from ...texts import long_month, month_name
from ...usage import taking
from ...usage.accounts import units_line
from ..imports import words
from ..links import change_url, held_url, link

SECOND = datetime.timedelta(seconds=1)


def units_rows(units: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the units of each rate as a row of a table: delivered = charged + free + held."""
    rows = []
    for each in units:
        free = sum(map(Decimal, each["free"].values()), ZERO)
        quantities = {name: Decimal(each[name]) for name in ("delivered", "charged", "held", "difference")}
        said = {name: for_people(quantity) for name, quantity in (quantities | {"free": free}).items()}
        reasons = ", ".join(reason.replace("_", " ") for reason in sorted(each["free"]))
        names = {"rate": each["rate"], "unit": each["unit"], "records": each["records"]}
        rows.append({**names, **said, "reasons": reasons, "is_off": bool(quantities["difference"])})
    return rows


def drawn_lines(drawn: Iterable[Mapping[str, Any]], currency: str) -> list[str]:
    """Say what was drawn from balances, and what subsidies and free amounts came to."""
    said = []
    for each in drawn:
        if "balance" in each:
            drawn_off, left = for_people(Decimal(each["quantity"])), for_people(Decimal(each["left"]))
            said.append(f"Balance {each['balance']}: {drawn_off} drawn, {left} left.")
            continue
        amount = words.money({currency: Decimal(each["amount"])})
        of_fund = f" from {each['fund_org']}" if each["fund_org"] else ""
        what = f"Subsidy {each['subsidy']}" if "subsidy" in each else f"Free, {each['free'].replace('_', ' ')}"
        said.append(f"{what}: {amount}{of_fund}.")
    return said


def totals_lines(file: UsageFile) -> list[str]:
    """Say what the records of a file add up to, each measure in its largest unit."""
    try:
        units = {measure.name: measure.units for measure in taking.shape_of(file.feed).measures}
    except (BillingError, FileError):
        # Its settings changed since: the numbers are said as they are kept.
        units = {}
    return [_total(name, int(total), units.get(name, {})) for name, total in sorted(file.totals.items())]


def _total(name: str, total: int, units: Mapping[str, int]) -> str:
    if not units:
        return f"{total:,} {name}"
    unit, size = max(units.items(), key=lambda each: each[1])
    return f"{for_people(Decimal(total) / size)} {unit} ({name})"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def days_of(file: UsageFile) -> str:
    """Say from which to which day a file has usage, by the clock of its feed."""
    if file.first is None or file.last is None:
        return "–"
    zone = ZoneInfo(file.feed.time_zone)
    last = file.last - SECOND if file.last > file.first else file.last
    days = [date_format(moment.astimezone(zone), "DATE_FORMAT") for moment in (file.first, last)]
    return " to ".join(dict.fromkeys(days))


def months_said(files: Sequence[UsageFile], feed: UsageFeed) -> str:
    """Name the months that files have usage of: `January 2026 and February 2026`."""
    return " and ".join(map(long_month, taking.months_of(files, feed.time_zone)))


def asked(job: Job) -> list[tuple[str, Any]]:
    """Return what a job that prices usage was asked for, by name."""
    feed = UsageFeed.objects.filter(pk=job.arguments.get("feed")).first()
    files = UsageFile.objects.filter(pk__in=job.arguments.get("files", [])).order_by("pk")
    names = [link(change_url(file), file.name) for file in files[:10]]
    said = [("Usage feed", link(change_url(feed), feed.label) if feed else "–")]
    if period := job.arguments.get("period"):
        said.append(("Month", month_name(period)))
    return [*said, ("Files", format_html_join(", ", "{}", ((name,) for name in names)))] if names else said


def months_of_job(result: Mapping[str, Any], *, is_done: bool = True) -> list[dict[str, Any]]:
    """Return what pricing each month came to, as a page shows it; `result` as a job keeps it."""
    return [month_told(each, is_done=is_done) for each in result.get("months", [])]


def month_told(month: Mapping[str, Any], *, is_done: bool = True) -> dict[str, Any]:
    """Return what pricing a month came to, or would come to."""
    imported = month["import"] or {}
    number = imported.get("import") if is_done else None
    deferred = (imported.get("deferred") or {}).get("import") if is_done else None
    errors = [words.problem_said(each) for each in imported.get("errors") or []]
    return {
        "month": month_name(month["period"]),
        "schedule": month["schedule"],
        "rows": month["rows"],
        "billed": sorted(words.billed_of(imported.get("totals") or {}).items()),
        "units": [units_line(each) for each in month["units"]],
        "notes": month["notes"],
        "said": words.counts_said(imported, is_done=is_done) if imported and not errors else "",
        "errors": errors,
        "import": number,
        "import_url": change_url(Import(pk=number)) if number else "",
        "held": imported.get("flagged") or 0,
        "held_url": held_url(number) if number and imported.get("flagged") else "",
        "waits": deferred,
        "waits_url": change_url(Import(pk=deferred)) if deferred else "",
    }
