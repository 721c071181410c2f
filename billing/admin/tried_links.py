"""The page that shows what rates would charge, and what a job that tries them was asked for."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from ..models import RateSchedule
from ..texts import month_name
from .links import change_url, link

# What an address names each month by.
ON = "on"


def try_url(schedule: int, months: list[str]) -> str:
    """Return the page that shows what a version would charge for months."""
    return f"{reverse('admin:billing_rateschedule_try', args=[schedule])}?{urlencode({ON: months}, doseq=True)}"


def asked_text(arguments: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what a job that tries rates was asked for, by name."""
    schedule = RateSchedule.objects.filter(pk=arguments["schedule"]).first()
    months = []
    for name in arguments["months"]:
        feed, _, month = name.rpartition(":")
        months.append(f"{month_name(month)} of {feed}")
    return [("Rates", link(change_url(schedule), schedule) if schedule else "–"), ("Months", ", ".join(months))]
