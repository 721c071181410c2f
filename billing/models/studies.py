"""Rate studies: what a service costs, what was used of it, and the rate that follows; and the cost pools of each."""

import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from ..errors import BillingError
from ..fields import AmountField, ExactField, TotalField
from ..fiscal_years import label_of
from .typed import CodeField, NameField
from .usage import UsageFeed

NOT_NEGATIVE = MinValueValidator(0)


class StudyLocked(BillingError):
    """A rate study that was adopted was to change or be deleted."""


def require_draft(study: "RateStudy") -> None:
    """Raise StudyLocked for a study that was adopted."""
    if RateStudy.objects.filter(pk=study.pk, state=RateStudy.State.ADOPTED).exists():
        raise StudyLocked(f"{study} was adopted, and does not change any more. Draft the study of another year.")


class RateStudyQuerySet(models.QuerySet["RateStudy"]):
    """Studies, of which adopted ones are neither changed nor deleted."""

    def update(self, **fields: Any) -> int:
        self._require_drafts()
        return super().update(**fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        self._require_drafts()
        return super().delete()

    def _require_drafts(self) -> None:
        if locked := self.filter(state=RateStudy.State.ADOPTED).first():
            require_draft(locked)


class RateStudy(models.Model):
    """The study of one rate of a usage feed over a fiscal year (2 CFR 200.468). Once it is adopted it never changes."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        ADOPTED = "adopted", "Adopted"

    feed = models.ForeignKey(
        UsageFeed, on_delete=models.PROTECT, related_name="rate_studies", verbose_name="usage feed"
    )
    rate = CodeField(max_length=64, help_text="The code of a rate of the feed's schedule, such as cpu.")
    fiscal_year = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(2000), MaxValueValidator(9998)],
        help_text="The year whose costs and use it studies, by the year in which it ends: 2026.",
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    opening_balance = TotalField(
        default=0,
        help_text="Over-recovery of the years before above zero, under-recovery below. Where a study of the year "
        "before was adopted, its balance counts.",
    )
    expected_units = ExactField(
        null=True,
        blank=True,
        validators=[NOT_NEGATIVE],
        help_text="Units that are expected in the years the rate is for. Empty: those of the fiscal year.",
    )
    places = models.PositiveSmallIntegerField(
        "decimals",
        default=4,
        validators=[MaxValueValidator(8)],
        help_text="The break-even rate is rounded to so many decimals, halves up.",
    )
    proposed_rate = AmountField(
        null=True, blank=True, validators=[NOT_NEGATIVE], help_text="For one unit. Empty: the break-even rate."
    )
    note = models.TextField(blank=True, help_text="Who approved it, and what it rests on.")
    figures = models.JSONField(null=True, blank=True, help_text="What it came to when it was adopted.")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    adopted_at = models.DateTimeField(null=True, blank=True)
    adopted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = RateStudyQuerySet.as_manager()

    class Meta:
        ordering = ("-fiscal_year", "feed", "rate", "-pk")
        verbose_name_plural = "rate studies"
        permissions = [("adopt_ratestudy", "Can adopt a rate study")]
        constraints = [
            models.UniqueConstraint(
                fields=["feed", "rate", "fiscal_year"],
                condition=Q(state="adopted"),
                name="one_adopted_study_of_a_year",
                violation_error_message="A study of this rate and year was adopted already.",
            ),
            models.CheckConstraint(
                condition=Q(state="draft", adopted_at__isnull=True, figures__isnull=True)
                | Q(state="adopted", adopted_at__isnull=False, figures__isnull=False),
                name="adopted_study_has_figures",
                violation_error_message="An adopted study has its figures, and says when it was adopted.",
            ),
        ]

    def __str__(self) -> str:
        return f"Rate study of {self.rate}, {label_of(self.fiscal_year)}"

    def save(self, *args: Any, **options: Any) -> None:
        if self.pk:
            require_draft(self)
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        require_draft(self)
        return super().delete(*args, **options)


class YearCost(models.Model):
    """What something cost in a fiscal year. Of equipment it is the year's depreciation."""

    class Kind(models.TextChoices):
        STAFF = "staff", "Staff"
        SUPPLIES = "supplies", "Supplies"
        CONTRACTS = "contracts", "Contracts and licenses"
        FACILITIES = "facilities", "Power, cooling and space"
        OTHER = "other", "Other"
        DEPRECIATION = "depreciation", "Depreciation"
        UNALLOWABLE = "unallowable", "Unallowable"

    name = NameField(max_length=128)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.STAFF)
    amount = TotalField(null=True, blank=True, validators=[NOT_NEGATIVE], help_text="Empty for depreciation.")
    cost = TotalField("acquisition cost", null=True, blank=True, validators=[NOT_NEGATIVE])
    federally_funded = TotalField(
        default=0, blank=True, validators=[NOT_NEGATIVE], help_text="The part of its cost that a federal award paid."
    )
    life_years = models.PositiveSmallIntegerField(
        "useful life, years", null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    in_service = models.DateField(null=True, blank=True, help_text="The day on which it went into service.")
    note = models.CharField(max_length=254, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        is_depreciation = self.kind == self.Kind.DEPRECIATION
        problems = self._of_depreciation() if is_depreciation else self._of_an_amount()
        if problems:
            raise ValidationError(problems)
        self.federally_funded = self.federally_funded or Decimal(0)

    def _of_depreciation(self) -> dict[str, str]:
        asked = {"cost": "What it cost", "life_years": "Its useful life", "in_service": "The day"}
        problems = {
            name: f"{said} has to be entered for depreciation."
            for name, said in asked.items()
            if getattr(self, name) is None
        }
        if self.amount is not None:
            problems["amount"] = "Depreciation follows from cost and useful life. Leave it empty."
        if self.cost is not None and self.federally_funded is not None and self.federally_funded > self.cost:
            problems["federally_funded"] = "It is more than the whole cost."
        return problems

    def _of_an_amount(self) -> dict[str, str]:
        problems = {
            name: "This is for depreciation alone. Leave it empty."
            for name in ("cost", "life_years", "in_service", "federally_funded")
            if getattr(self, name)
        }
        if self.amount is None:
            problems["amount"] = "Enter what it cost in the year."
        return problems

    def months_in(self, first: datetime.date, last: datetime.date) -> int:
        """Return for how many months from `first` to `last` (first days) it is depreciated: from its first full one on.

        The month in which it went into service counts as a whole one.
        """
        if self.in_service is None or self.life_years is None:
            return 0
        began = _number(self.in_service)
        start, end = max(_number(first), began), min(_number(last), began + 12 * self.life_years - 1)
        return max(end - start + 1, 0)


def _number(day: datetime.date) -> int:
    return day.year * 12 + day.month


def has_its_amount(name: str) -> models.CheckConstraint:
    """Return the constraint that depreciation has what it follows from, and any other cost an amount."""
    return models.CheckConstraint(
        condition=Q(
            kind="depreciation",
            amount__isnull=True,
            cost__isnull=False,
            life_years__isnull=False,
            in_service__isnull=False,
        )
        | ~Q(kind="depreciation") & Q(amount__isnull=False, cost__isnull=True),
        name=name,
        violation_error_message="Depreciation has a cost, a useful life and a day in service. Any other cost has an "
        "amount.",
    )


class CostPool(YearCost):
    """A cost of a service in the year of a study: of that service alone."""

    study = models.ForeignKey(RateStudy, on_delete=models.CASCADE, related_name="pools")

    class Meta:
        ordering = ("pk",)
        default_permissions = ("view", "add", "change", "delete")
        constraints = [has_its_amount("cost_pool_has_its_amount")]

    def save(self, *args: Any, **options: Any) -> None:
        require_draft(self.study)
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        require_draft(self.study)
        return super().delete(*args, **options)
