"""The ledger's calendar: fiscal years, and when the ledger takes journals for each of their periods."""

import datetime

from django.db import models
from django.db.models import F, Q

from billing.fiscal_years import label_of
from billing.texts import long_dates


class AccountingPeriod(models.Model):
    """A period of a fiscal year, and the days on which journals for it are taken."""

    fiscal_year = models.PositiveSmallIntegerField(help_text="Such as 2026, for the year that ends in 2026.")
    number = models.PositiveSmallIntegerField(
        "period", help_text="From 1. Those after the last month are for adjustments."
    )
    first_day = models.DateField(help_text="Of the posting dates that are in it.")
    last_day = models.DateField()
    opens_on = models.DateField("opens", null=True, blank=True, help_text="Empty: it is open already.")
    cutoff_on = models.DateField(
        "cutoff",
        null=True,
        blank=True,
        help_text="The last day on which a journal for it is submitted without a reason. Empty: the day it closes.",
    )
    closes_on = models.DateField(
        "closes", null=True, blank=True, help_text="The last day on which the ledger takes journals for it."
    )

    class Meta:
        ordering = ("-fiscal_year", "-number")
        constraints = [
            models.UniqueConstraint(
                fields=["fiscal_year", "number"],
                name="one_accounting_period_per_number",
                violation_error_message="The fiscal year has this period already.",
            ),
            models.CheckConstraint(
                condition=Q(number__gte=1, number__lte=99, fiscal_year__gte=1900, fiscal_year__lte=2999),
                name="accounting_period_is_numbered",
                violation_error_message="A fiscal year is from 1900 to 2999, and its periods from 1 to 99.",
            ),
            models.CheckConstraint(
                condition=Q(last_day__gte=F("first_day")),
                name="accounting_period_days_in_order",
                violation_error_message="The last day is before the first.",
            ),
            models.CheckConstraint(
                condition=(Q(opens_on__isnull=True) | Q(closes_on__isnull=True) | Q(closes_on__gte=F("opens_on")))
                & (Q(cutoff_on__isnull=True) | Q(closes_on__isnull=True) | Q(closes_on__gte=F("cutoff_on")))
                & (Q(opens_on__isnull=True) | Q(cutoff_on__isnull=True) | Q(cutoff_on__gte=F("opens_on"))),
                name="accounting_period_dates_in_order",
                violation_error_message="A period opens, then comes its cutoff, then it closes.",
            ),
        ]

    def __str__(self) -> str:
        return f"period {self.number} of {label_of(self.fiscal_year)}"

    @property
    def days(self) -> str:
        """The posting dates that are in it, as people read them."""
        return long_dates(self.first_day, self.last_day)

    def holds(self, day: datetime.date) -> bool:
        return self.first_day <= day <= self.last_day

    def is_open(self, today: datetime.date) -> bool:
        """Tell whether the ledger takes journals for it on a day."""
        return not (self.opens_on and today < self.opens_on) and not (self.closes_on and today > self.closes_on)

    def is_past_cutoff(self, today: datetime.date) -> bool:
        return bool(self.cutoff_on and today > self.cutoff_on)

    def takes_journals(self, today: datetime.date) -> bool:
        """Tell whether a journal for it needs no reason on a day: it is open, and its cutoff is to come."""
        return self.is_open(today) and not self.is_past_cutoff(today)

    def crosses(self, other: "AccountingPeriod") -> bool:
        """Tell whether it shares days with another, and neither lies within the other as one for adjustments does."""
        if self.last_day < other.first_day or other.last_day < self.first_day:
            return False
        is_within = other.first_day <= self.first_day and self.last_day <= other.last_day
        return not (is_within or (self.first_day <= other.first_day and other.last_day <= self.last_day))
