"""Costs that several rates share: a cost of a fiscal year, what it is shared by, and the part of each rate."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from ..errors import BillingError
from ..fields import ExactField
from ..fiscal_years import label_of
from .studies import YearCost, has_its_amount
from .typed import CodeField, NameField
from .usage import UsageFeed

PERCENT = "percent"


class SharedCostLocked(BillingError):
    """A shared cost was to change or be deleted that a study which was adopted has its part of."""


class SharedCostQuerySet(models.QuerySet["SharedCost"]):
    """Shared costs, of which those that an adopted study took a part of are neither changed nor deleted."""

    def update(self, **fields: Any) -> int:
        self._require_open()
        return super().update(**fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        self._require_open()
        return super().delete()

    def _require_open(self) -> None:
        if locked := self.filter(locked_at__isnull=False).first():
            locked.require_open()


class SharedCost(YearCost):
    """A cost of a fiscal year that the studies of several rates have a part of each, by one base.

    Once a study that has a part of it is adopted, it never changes: the others take what is left of the same whole.
    """

    fiscal_year = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(2000), MaxValueValidator(9998)],
        help_text="The year whose studies share it, by the year in which it ends: 2026.",
    )
    base = NameField(
        "shared by",
        max_length=64,
        default=PERCENT,
        help_text="“percent”, or what is counted: rack units, hours of staff. Say how that was measured in the note.",
    )
    locked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = SharedCostQuerySet.as_manager()

    class Meta:
        ordering = ("-fiscal_year", "name", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["fiscal_year", "name"],
                name="one_shared_cost_of_a_name",
                violation_error_message="There is a shared cost of this name and year already.",
            ),
            has_its_amount("shared_cost_has_its_amount"),
        ]

    def __str__(self) -> str:
        return f"{self.name}, {label_of(self.fiscal_year)}"

    @property
    def is_by_percent(self) -> bool:
        return self.base.casefold() == PERCENT

    def require_open(self) -> None:
        """Raise SharedCostLocked where an adopted study took its part."""
        if self.pk and SharedCost.objects.filter(pk=self.pk, locked_at__isnull=False).exists():
            raise SharedCostLocked(
                f"{self} does not change any more: a study that was adopted has its part of it. What is missing is a "
                "shared cost of its own."
            )

    def save(self, *args: Any, **options: Any) -> None:
        self.require_open()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.require_open()
        return super().delete(*args, **options)


class SharedCostPart(models.Model):
    """What a rate has of a shared cost, in percent or in what it is shared by."""

    shared_cost = models.ForeignKey(SharedCost, on_delete=models.CASCADE, related_name="parts")
    feed = models.ForeignKey(UsageFeed, on_delete=models.PROTECT, related_name="+", verbose_name="usage feed")
    rate = CodeField(max_length=64, help_text="The code of a rate of the feed's schedule, such as cpu.")
    share = ExactField(help_text="Its percent, or how many of what is counted.")

    class Meta:
        ordering = ("pk",)
        default_permissions = ("view", "add", "change", "delete")
        constraints = [
            models.UniqueConstraint(
                fields=["shared_cost", "feed", "rate"],
                name="one_part_of_a_rate",
                violation_error_message="This rate has a part of the cost already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.feed.name}, {self.rate}"

    def clean(self) -> None:
        if self.share is not None and self.share <= Decimal(0):
            raise ValidationError({"share": "A share is above 0. Leave out who has none."})

    def save(self, *args: Any, **options: Any) -> None:
        self.shared_cost.require_open()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.shared_cost.require_open()
        return super().delete(*args, **options)
