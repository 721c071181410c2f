"""The page that shows what rates or a subsidy would charge, and what a job that tries them was asked for."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from ..errors import BillingError
from ..models import BillingPeriod, Project, RateSchedule, RateStudy
from ..models.periods import parse_month
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
    if "reapply" in arguments:
        period = BillingPeriod.objects.filter(month=parse_month(arguments["months"][0])).first()
        of = {"source": arguments["reapply"]} if arguments["reapply"] else {}
        return f"{reverse('admin:billing_billingperiod_reapply', args=[period.pk])}?{urlencode(of)}" if period else ""
    if "split" in arguments:
        shares = "\n".join(f"{fund_org} {percent}" for fund_org, percent in _shares(arguments))
        address = reverse("admin:billing_project_try_split", args=[arguments["split"]["project"]])
        return f"{address}?{urlencode({'shares': shares, ON: arguments['months']}, doseq=True)}"
    if "rule" in arguments:
        try:
            key = trying.keep_arguments(trying.trial_in(arguments))
        except BillingError:
            return ""
        return reverse("admin:billing_attributionrule_try", args=[key])
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
        months.append(f"{month_name(month)} of {feed}" if feed else month_name(month))
    return [_subject_text(arguments), ("Months", ", ".join(months))]


def _shares(arguments: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the shares of a split: PostgreSQL keeps JSON in an order of its own."""
    return sorted(arguments["split"]["shares"].items())


def _subject_text(arguments: dict[str, Any]) -> tuple[str, Any]:
    if "subsidy" in arguments:
        return "Subsidy", arguments["subsidy"]["name"]
    if "reapply" in arguments:
        return "Re-applied rules of", arguments["reapply"] or "every source"
    if "rule" in arguments:
        return "Attribution rule", arguments["rule"]["pk"] or "one that is not saved"
    if "split" in arguments:
        project = Project.objects.filter(pk=arguments["split"]["project"]).first()
        shares = ", ".join(f"{fund_org} {percent}%" for fund_org, percent in _shares(arguments))
        return "Split", f"{project.code if project else '–'}: {shares}"
    label, model, number = (
        ("Rate study", RateStudy, arguments["study"])
        if "study" in arguments
        else ("Rates", RateSchedule, arguments["schedule"])
    )
    found: Any = model.objects.filter(pk=number).first()
    return label, link(change_url(found), found) if found else "–"
