"""Usage in words: units that add up, totals with their units, what was drawn, and what pricing a month came to."""

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ...errors import BillingError
from ...models import Import, Job, PricedMonth, UsageFeed, UsageFile, UsageSubsidy
from ...money import ZERO, rounded
from ...quantities import counted as quantity_told
from ...quantities import for_people, unit_of
from ...readers import FileError
from ...texts import long_month, month_name
from ...usage import taking
from ...usage.accounts import free_for, units_lines
from ..imports import words
from ..links import change_url, held_url, link

SECOND = datetime.timedelta(seconds=1)


def units_rows(units: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the units of each rate that priced anything as a row of a table: delivered = charged + free + held."""
    rows = []
    for each in units:
        if not each["records"]:
            continue
        free = {reason: Decimal(quantity) for reason, quantity in sorted(each["free"].items())}
        quantities = {name: Decimal(each[name]) for name in ("delivered", "charged", "held", "difference")}
        quantities["free"] = sum(free.values(), ZERO)
        rows.append(
            {
                "rate": each["rate"],
                "unit": unit_of(quantities["delivered"], each["unit"]),
                "records": each["records"],
                **{name: for_people(quantity) for name, quantity in quantities.items()},
                "reasons": ", ".join(f"{for_people(part)} {free_for(reason)}" for reason, part in free.items()),
                "is_free": bool(quantities["free"]),
                "is_held": bool(quantities["held"]),
                "is_off": bool(quantities["difference"]),
            }
        )
    return rows


def unused_rates(units: Iterable[Mapping[str, Any]]) -> str:
    """Name the rates that priced nothing; empty where all did."""
    return ", ".join(each["rate"] for each in units if not each["records"])


def drawn_lines(
    drawn: Iterable[Mapping[str, Any]], rates: Collection[str], cents: Mapping[int, Decimal], currency: str
) -> list[SafeString | str]:
    """Say what was drawn from balances, and what free amounts and subsidies came to; `rates` are those that priced.

    `cents` has the amounts by their place, as they add up to the figures of the month.
    """
    drawn = list(drawn)
    subsidies = UsageSubsidy.objects.in_bulk(
        [each["subsidy"] for each in drawn if "subsidy" in each], field_name="code"
    )
    said: list[SafeString | str] = []
    for place, each in enumerate(drawn):
        money = words.money({currency: cents.get(place, Decimal(each.get("amount", 0)))})
        if "balance" in each:
            drawn_off, left = for_people(Decimal(each["quantity"])), for_people(Decimal(each["left"]))
            said.append(f"Balance {each['balance']}: {drawn_off} drawn, {left} left.")
        elif "free" in each:
            code = each["free"]
            what = f"Free amount of {code}" if code in rates else f"Free, {code.replace('_', ' ')}"
            said.append(f"{what}: {money}.")
        elif "subsidy" in each:
            subsidy = subsidies.get(each["subsidy"])
            name = link(change_url(subsidy), subsidy.name) if subsidy else each["subsidy"]
            payer = f"paid by {each['fund_org']}" if each["fund_org"] else "forgone"
            said.append(format_html("Subsidy {}: {}, {}.", name, money, payer))
    return said


def granted_rows(drawn: Iterable[Mapping[str, Any]], currency: str) -> list[dict[str, str]]:
    """Return who had how much of which capped subsidy in the month, and what is left of the cap."""
    capped = [each for each in drawn if "granted" in each and each["left"] is not None]
    return [
        {
            "subsidy": each["granted"],
            "owner": each["owner"],
            "amount": rounded(Decimal(each["amount"]), currency),
            "left": rounded(Decimal(each["left"]), currency),
        }
        for each in capped
    ]


def totals_lines(file: UsageFile) -> list[str]:
    """Say what the records of a file add up to, each measure in its largest unit."""
    try:
        shape = taking.shape_of(file.feed)
        units, are_levels = {measure.name: measure.units for measure in shape.measures}, shape.are_levels
    except (BillingError, FileError):
        # Its settings changed since: the numbers are said as they are kept.
        units, are_levels = {}, False
    # What is there is read again and again: its sum is of readings, and of nothing that is there.
    of = " in all readings added up" if are_levels else ""
    counted = {name: int(total) for name, total in sorted(file.totals.items()) if int(total)}
    return [_total(name, total, units.get(name, {})) + of for name, total in counted.items()]


def _total(name: str, total: int, units: Mapping[str, int]) -> str:
    if not units:
        return f"{total:,} {name}"
    unit, size = max(units.items(), key=lambda each: each[1])
    return f"{quantity_told(Decimal(total) / size, unit)} ({name})"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def with_latest(months: QuerySet[PricedMonth]) -> QuerySet[PricedMonth]:
    """Annotate how each month was priced last: `latest` is the id of that pricing."""
    of_month = PricedMonth.objects.filter(feed=OuterRef("feed"), period=OuterRef("period")).order_by("-pk")
    return months.annotate(latest=Subquery(of_month.values("pk")[:1]))


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
        "units": units_lines(month["units"]),
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
