"""The page that shows what rates or a subsidy would charge, and what a job that tries them was asked for."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from ..errors import BillingError
from ..models import RateSchedule, RateStudy
from ..texts import month_name
from ..usage import trying
from .links import change_url, link

# What an address names each month by.
ON = "on"
# The query that asks a study what PIs would have paid: it prices months, so that nobody waits for it unasked.
PIS = "pis"


def try_url(arguments: dict[str, Any]) -> str:
    """Return the page that shows what a job tried; "" where it is not there any more."""
    query = urlencode({ON: arguments["months"]}, doseq=True)
    if "schedule" in arguments:
        return f"{reverse('admin:billing_rateschedule_try', args=[arguments['schedule']])}?{query}"
    if "study" in arguments:
        return f"{reverse('admin:billing_ratestudy_change', args=[arguments['study']])}?{PIS}=1"
    try:
        key = trying.remember(trying.subject_in(arguments))
    except BillingError:
        return ""
    return f"{reverse('admin:billing_usagesubsidy_try', args=[key])}?{query}"


def asked_text(arguments: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what a job that tries something was asked for, by name."""
    months = []
    for name in arguments["months"]:
        feed, _, month = name.rpartition(":")
        months.append(f"{month_name(month)} of {feed}")
    return [_subject_text(arguments), ("Months", ", ".join(months))]


def _subject_text(arguments: dict[str, Any]) -> tuple[str, Any]:
    if "subsidy" in arguments:
        return "Subsidy", arguments["subsidy"]["name"]
    label, model, number = (
        ("Rate study", RateStudy, arguments["study"])
        if "study" in arguments
        else ("Rates", RateSchedule, arguments["schedule"])
    )
    found: Any = model.objects.filter(pk=number).first()
    return label, link(change_url(found), found) if found else "–"
