"""Billing periods, and the exchange rates that hold in them."""

import datetime
import re
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from ..errors import BillingError
from ..texts import iso_month, long_month

MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def parse_month(text: str) -> datetime.date:
    """Return the first day of a month written `2025-01`; raise ValueError for anything else."""
    if not (match := MONTH.fullmatch(text.strip())) or match[1] == "0000":
        raise ValueError(f"“{text}” is not a billing period. Write the year and month, such as 2025-01.")
    return datetime.date(int(match[1]), int(match[2]), 1)


def last_day_of(month: datetime.date) -> datetime.date:
    """Return the last day of the month that a day is in."""
    return (month.replace(day=28) + datetime.timedelta(days=4)).replace(day=1) - datetime.timedelta(days=1)


class PeriodClosed(BillingError):
    """A change was asked of a period that takes none."""


class PeriodFinalized(PeriodClosed):
    """A change was asked of a period that is finished permanently."""


class MonthField(models.DateField):
    """The first day of a month, written and addressed as `2025-01`."""

    description = "Month"

    def to_python(self, value: object) -> datetime.date | None:
        if isinstance(value, str) and MONTH.fullmatch(value.strip()):
            return parse_month(value)
        return super().to_python(value)


class BillingPeriodQuerySet(models.QuerySet["BillingPeriod"]):
    def named(self, text: str) -> "BillingPeriod":
        """Return the period written `2025-01`; raise DoesNotExist with what there is."""
        month = parse_month(text)
        try:
            return self.shown().get(month=month)
        except self.model.DoesNotExist:
            months = self.shown().order_by("month").values_list("month", flat=True)
            known = ", ".join(iso_month(known) for known in months)
            raise self.model.DoesNotExist(
                f"There is no billing period {text}. "
                + (f"These exist: {known}." if known else "None exists yet: the first import of a month opens it.")
            ) from None

    def shown(self) -> "BillingPeriodQuerySet":
        """Leave out the empty months that somebody removed; the next import or opening brings one back."""
        return self.filter(removed_at__isnull=True)

    def taking_changes(self) -> "BillingPeriodQuerySet":
        """Keep the periods whose charges may still change; not the empty months that are out of sight."""
        return self.shown().filter(status__in=(BillingPeriod.Status.OPEN, BillingPeriod.Status.REVIEW))


class BillingPeriod(models.Model):
    """A month of billing and how far its close has come."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        REVIEW = "review", "In review"
        CLOSED = "closed", "Closed"
        FINALIZED = "finalized", "Finalized"

    # state -> the states it may move to; `closing` holds what each step needs.
    TRANSITIONS = {
        Status.OPEN: {Status.REVIEW, Status.CLOSED},
        Status.REVIEW: {Status.CLOSED, Status.OPEN},
        Status.CLOSED: {Status.FINALIZED, Status.REVIEW, Status.OPEN},
        Status.FINALIZED: frozenset[str](),
    }

    # This and other keys that each charge holds take four bytes there, on PostgreSQL.
    id = models.AutoField(primary_key=True)
    month = MonthField(unique=True, error_messages={"unique": "This billing period exists already."})
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=254, blank=True)
    review_until = models.DateField(null=True, blank=True)
    review_at = models.DateTimeField(null=True, blank=True)
    review_by = models.CharField(max_length=254, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=254, blank=True)
    finalized_at = models.DateTimeField(null=True, blank=True)
    finalized_by = models.CharField(max_length=254, blank=True)
    notes = models.TextField(blank=True)
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="Empty, and out of sight until something comes in for it."
    )

    objects = BillingPeriodQuerySet.as_manager()

    class Meta:
        ordering = ("-month",)
        default_permissions = ("view",)
        permissions = [
            ("open_period", "Can open a billing period and put it in review"),
            ("close_period", "Can close a billing period"),
            ("reopen_period", "Can reopen a closed billing period"),
            ("finalize_period", "Can finalize a billing period"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(month__day=1),
                name="period_is_a_month",
                violation_error_message="A billing period is the first day of a month.",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=("closed", "finalized")) | Q(closed_at__isnull=False),
                name="closed_period_has_stamp",
                violation_error_message="A closed period says when it was closed.",
            ),
            models.CheckConstraint(
                condition=~Q(status="finalized") | Q(finalized_at__isnull=False),
                name="finalized_period_has_stamp",
                violation_error_message="A finalized period says when it was finalized.",
            ),
            models.CheckConstraint(
                condition=~Q(status="review") | Q(review_until__isnull=False),
                name="period_in_review_has_end",
                violation_error_message="A period in review says until when.",
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True) | Q(status__in=("open", "review")),
                name="removed_period_was_open",
                violation_error_message="Only an open month can be removed.",
            ),
        ]

    def __str__(self) -> str:
        return long_month(self.month)

    @property
    def iso_month(self) -> str:
        return iso_month(self.month)

    def clean(self) -> None:
        if self.month and self.month.day != 1:
            raise ValidationError({"month": "Write the year and month, such as 2025-01."})

    @property
    def takes_changes(self) -> bool:
        return self.status in (self.Status.OPEN, self.Status.REVIEW)

    @property
    def next_month(self) -> datetime.date:
        return (self.month.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)

    @property
    def last_day(self) -> datetime.date:
        return last_day_of(self.month)


# Where charges, decisions and corrections stand; and where payer lines and statements do too.
SHUT = (BillingPeriod.Status.CLOSED, BillingPeriod.Status.FINALIZED)
FINAL = (BillingPeriod.Status.FINALIZED,)


class RateFrozen(BillingError):
    """A rate was to change after its month was closed: it is part of what was charged."""


class ExchangeRateQuerySet(models.QuerySet["ExchangeRate"]):
    """Rates of closed months are neither changed nor deleted; one that is missing can still be added."""

    def update(self, **fields: object) -> int:
        self.refuse_frozen()
        return super().update(**fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        self.refuse_frozen()
        return super().delete()

    def bulk_create(self, objs: Iterable["ExchangeRate"], *args: Any, **options: Any) -> Any:
        rates: Any = list(objs)
        if options.get("update_conflicts"):
            self.model.objects.filter(period__in=[each.period_id for each in rates]).refuse_frozen()
        return super().bulk_create(rates, *args, **options)

    def refuse_frozen(self) -> None:
        """Raise an error if one of these rates is of a closed month."""
        if frozen := self.filter(period__status__in=SHUT).select_related("period").first():
            frozen.require_open()


class ExchangeRate(models.Model):
    """What one unit of a foreign currency is worth in the institution's, for a month.

    Once the month is closed its rates stand: `RateFrozen` is raised for a change or a deletion.
    """

    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="exchange_rates")
    currency = models.CharField(max_length=3)
    rate = models.DecimalField(max_digits=20, decimal_places=10, validators=[MinValueValidator(0)])
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.PROTECT
    )

    objects = ExchangeRateQuerySet.as_manager()

    class Meta:
        ordering = ("-period__month", "currency")
        constraints = [
            models.UniqueConstraint(
                fields=["period", "currency"],
                name="one_rate_per_currency",
                violation_error_message="This currency has a rate for this period already.",
            ),
            models.CheckConstraint(
                condition=Q(rate__gt=0), name="rate_is_positive", violation_error_message="A rate is above zero."
            ),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.rate}"

    def save(self, *args: Any, **options: Any) -> None:
        # A rate that is missing can be entered late; one that was charged with stands.
        stored = ExchangeRate.objects.select_related("period").filter(pk=self.pk).first() if self.pk else None
        if stored:
            stored.require_open()
            if stored.period_id != self.period_id:
                self.require_open()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.require_open()
        return super().delete(*args, **options)

    def require_open(self) -> None:
        """Raise RateFrozen where the month takes no more changes."""
        if not self.period.takes_changes:
            raise RateFrozen(
                f"The rate of {self.currency} in {self.period} is locked: the period is "
                f"{self.period.get_status_display().lower()}, and its rates with it. Reopen the period, or "
                "correct the charges in an open month."
            )
