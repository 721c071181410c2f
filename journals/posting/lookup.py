"""Journals found: by what people call them, or by a payer line."""

from billing import corrections
from billing.errors import BillingError, NextStep
from billing.models import BillingPeriod
from billing.models.periods import MONTH

from ..models import Journal, JournalLine, JournalQuerySet


class UnknownJournal(BillingError):
    """No journal, or more than one, is meant by a number or period."""


def journal_named(text: str, *, among: JournalQuerySet, waiting: str) -> Journal:
    """Return the journal meant by a number, an id, or a period in which exactly one waits.

    `among` are those that the verb is for, `waiting` says so in words. Raises UnknownJournal.
    """
    text = text.strip()
    if MONTH.fullmatch(text):
        period = BillingPeriod.objects.named(text)
        found = list(among.filter(period=period).order_by("id"))
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownJournal(
                f"No journal of {period} {waiting}.", then=NextStep("show_journals", {"period": period.iso_month})
            )
        names = ", ".join(journal.number for journal in found)
        raise UnknownJournal(f"Of {period}, each of {len(found)} journals {waiting}: name one of {names}.")
    found = list(Journal.objects.filter(number__iexact=text))
    if not found and text.isdecimal():
        found = list(Journal.objects.filter(pk=int(text[:18])))
    if not found:
        raise UnknownJournal(f"There is no journal {text}.", then=NextStep("list_journals"))
    return found[0]


def places_of(period: BillingPeriod, key: str) -> list[corrections.Place]:
    """Return the journals that a payer line is on, and where."""
    lines = JournalLine.objects.filter(payer_key=key, side=JournalLine.Side.PAYER, journal__period=period)
    return [
        corrections.Place(
            f"journal {line.journal}, line {line.number} ({line.journal.get_state_display().lower()})",
            subject=line.journal,
        )
        for line in lines.select_related("journal").order_by("journal", "number")
    ]
