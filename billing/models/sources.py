"""Sources of charges: where files come from, what they mean, and where their income goes."""

import datetime

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from .people import Person, Project
from .periods import MonthField, month_text


class SourceQuerySet(models.QuerySet["Source"]):
    def named(self, name: str) -> "Source":
        """Return the source of this name; raise DoesNotExist with what there is."""
        try:
            return self.get(name=name)
        except self.model.DoesNotExist:
            known = ", ".join(self.order_by("name").values_list("name", flat=True))
            raise self.model.DoesNotExist(
                f"There is no source “{name}”. "
                + (f"These exist: {known}." if known else "None exists yet: run `manage.py initialize`.")
            ) from None

    def for_file_name(self, file_name: str) -> "Source | None":
        """Return the source whose longest file-name pattern is part of `file_name`, or None."""
        folded = file_name.casefold()
        matches = [
            (len(pattern), source.name, source)
            for source in self.filter(is_active=True)
            for pattern in source.patterns
            if pattern in folded
        ]
        return max(matches, key=lambda match: match[:2])[2] if matches else None


class Source(models.Model):
    """AWS, the cluster, a storage system: one stream of deliveries with one meaning."""

    class Delivery(models.TextChoices):
        SNAPSHOT = "snapshot", "Snapshot: each file is the whole truth for its period"
        APPEND = "append", "Append: each file adds"
        MERGE = "merge", "Merge: each file adds and updates, and withdraws nothing"

    class Grain(models.TextChoices):
        LINE = "line", "Every row"
        DAY = "day", "Rolled up to days"
        MONTH = "month", "Rolled up to months"

    class Measure(models.TextChoices):
        BILLED = "billed", "BilledCost"
        EFFECTIVE = "effective", "EffectiveCost"

    class Kind(models.TextChoices):
        INTERNAL = "internal", "Internal service"
        PROVIDER = "provider", "Outside provider"

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _.")],
        help_text="How commands and file names call it, such as aws.",
    )
    display_name = models.CharField(max_length=128, blank=True)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.PROVIDER)
    is_active = models.BooleanField("active", default=True)
    file_name_patterns = models.CharField(
        max_length=254,
        blank=True,
        help_text="Parts of file names, separated by commas. The longest that fits a file decides its source.",
    )
    delivery = models.CharField(
        "delivery mode",
        max_length=16,
        choices=Delivery.choices,
        default=Delivery.MERGE,
        help_text="What a second file for the same period means.",
    )
    grain = models.CharField(max_length=8, choices=Grain.choices, default=Grain.LINE)
    cost_measure = models.CharField(
        max_length=16,
        choices=Measure.choices,
        default=Measure.BILLED,
        help_text="Which cost payers are charged. It changes from a month on, never within one.",
    )
    is_journaled = models.BooleanField(
        "charged back", default=True, help_text="Off for showback: shown on statements, never journaled."
    )
    debit_account = models.CharField(
        "debit natural account", max_length=64, blank=True, help_text="Where a row names no natural account."
    )
    recovery_fund_org = models.CharField("recovery fund/org", max_length=64, blank=True)
    recovery_account = models.CharField("recovery natural account", max_length=64, blank=True)
    subsidy_fund_org = models.CharField(
        "subsidy fund/org",
        max_length=64,
        blank=True,
        help_text="Pays what users do not (contracted − charged). Empty: the subsidy is forgone and only shown.",
    )
    default_pi = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name="default PI"
    )
    default_project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    overflow_fund_org = models.CharField(
        "overflow fund/org", max_length=64, blank=True, help_text="Charged where a row names no fund/org."
    )
    notes = models.TextField(blank=True)

    objects = SourceQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        return self.display_name or self.name

    @property
    def patterns(self) -> list[str]:
        """The parts of file names that mean this source, in lower case."""
        return [part.strip().casefold() for part in self.file_name_patterns.split(",") if part.strip()]

    def measure_in(self, month: datetime.date) -> str:
        """Return the cost measure in force in a month: FOCUS BilledCost or EffectiveCost, never both."""
        change = self.measure_changes.filter(from_month__lte=month).order_by("-from_month").first()
        return change.measure if change else self.cost_measure


class CostMeasureChange(models.Model):
    """From this month on, a source charges by this measure."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="measure_changes")
    from_month = MonthField()
    measure = models.CharField(max_length=16, choices=Source.Measure.choices)

    class Meta:
        ordering = ("source", "-from_month")
        constraints = [
            models.UniqueConstraint(
                fields=["source", "from_month"],
                name="one_measure_per_month",
                violation_error_message="This source has a measure from this month already.",
            ),
            models.CheckConstraint(
                condition=Q(from_month__day=1),
                name="measure_changes_at_a_start",
                violation_error_message="A measure changes at the start of a month.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.measure} from {month_text(self.from_month)}"

    def clean(self) -> None:
        if self.from_month and self.from_month.day != 1:
            raise ValidationError({"from_month": "Write the year and month, such as 2025-01."})
