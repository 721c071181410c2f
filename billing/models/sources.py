"""Sources of charges: where files come from, what they mean, and where their income goes."""

import datetime
import difflib
import re
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Exists, ExpressionWrapper, OuterRef, Q, prefetch_related_objects

from ..errors import BillingError, NextStep
from ..texts import long_month
from .people import Person, Project
from .periods import MonthField
from .typed import CodeField, NameField

# Dates and quarters in a file's name, which say nothing about its source.
_DATE = re.compile(r"(?<!\d)20\d{2}(?:[-_]?(?:0[1-9]|1[0-2])(?:[-_]?\d{2})?|[-_]?q[1-4])(?!\d)")
_BETWEEN_PARTS = re.compile(r"[_./\\\s()\[\]]+")
# Words that say what a file is, and not whose: aws-focus-export is of aws.
_COMMON = re.compile(
    r"\d*|actual|amortized|bill|billing|charges?|chunk|costs?|daily|data|details?|exports?|file|final|focus|focuscost"
    r"|invoice|manifest|monthly|part|reports?|usage"
)


class UnknownSource(BillingError, ObjectDoesNotExist):
    """A source was named that there is none of."""


def _name_parts(name: str) -> list[set[str]]:
    """Return the parts of a name, each as written and without dates, numbers and common words at its ends.

    `_`, `.` and blanks separate parts; a hyphen belongs to its part, so that azure-local is not azure.
    """
    parts = []
    for written in _BETWEEN_PARTS.split(_DATE.sub("_", name.casefold())):
        written = written.strip("-")
        words = written.split("-")
        while words and _COMMON.fullmatch(words[0]):
            words.pop(0)
        while words and _COMMON.fullmatch(words[-1]):
            words.pop()
        if written:
            parts.append({written, "-".join(words)} - {""})
    return parts


def _is_part_of(pattern: str, parts: list[set[str]]) -> bool:
    """Tell whether all parts of a pattern follow each other among the parts of a name."""
    wanted = [part.strip("-") for part in _BETWEEN_PARTS.split(pattern) if part.strip("-")]
    return bool(wanted) and any(
        all(part in found for part, found in zip(wanted, parts[start:], strict=False))
        for start in range(len(parts) - len(wanted) + 1)
    )


def pattern_of(name: str) -> str:
    """Return the file-name patterns that a source's name suggests: it_storage and it-storage."""
    return ",".join(dict.fromkeys((name, name.replace("_", "-"), name.replace("-", "_"))))


class SourceQuerySet(models.QuerySet["Source"]):
    def with_measures(self) -> "dict[int, Source]":
        """Return sources by their ids with their changes of measure, which are read where there are any: rarely.

        Each has `has_usage`, whether a usage feed prices its months.
        """
        changes = CostMeasureChange.objects.filter(source=OuterRef("pk"))
        has_usage = ExpressionWrapper(Q(usage_feed__isnull=False), output_field=models.BooleanField())
        found: dict[int, Any] = self.annotate(has_changes=Exists(changes), has_usage=has_usage).in_bulk()
        prefetch_related_objects([source for source in found.values() if source.has_changes], "measure_changes")
        for source in found.values():
            if not source.has_changes:
                # As a prefetch that found nothing keeps it.
                vars(source)["_prefetched_objects_cache"] = {"measure_changes": CostMeasureChange.objects.none()}
        return found

    def named(self, name: str) -> "Source":
        """Return the source of this name, or else of this display name, in any case.

        Raises UnknownSource with those like it, and how one is added.
        """
        sources = list(self.order_by("name"))
        wanted = name.strip().casefold()
        for key in (
            lambda source: source.name,
            lambda source: source.name.replace("-", "_"),
            lambda source: source.display_name.casefold(),
        ):
            found = [source for source in sources if key(source) in (wanted, wanted.replace("-", "_"))]
            if len(found) == 1:
                return found[0]
        names = [source.name for source in sources]
        words = {word: source.name for source in sources for word in (source.name, source.display_name.casefold())}
        near = dict.fromkeys(words[word] for word in difflib.get_close_matches(wanted, words, n=3, cutoff=0.6))
        raise UnknownSource(
            f"There is no source “{name}”."
            + (f" Did you mean {' or '.join(near)}?" if near else "")
            + (f" These exist: {', '.join(names)}." if names else " None exists yet."),
            then=NextStep("add_source", {"source": re.sub(r"[^a-z0-9_-]+", "_", wanted).strip("_-") or "NAME"}),
        )

    def for_file_name(self, file_name: str) -> "Source | None":
        """Return the source whose longest file-name pattern is a part of `file_name`; None for none or for several."""
        parts = _name_parts(file_name)
        matches = [
            (len(pattern), source)
            for source in self.filter(is_active=True)
            for pattern in source.patterns
            if _is_part_of(pattern, parts)
        ]
        longest = max((length for length, _ in matches), default=0)
        found = {source.pk: source for length, source in matches if length == longest}
        return next(iter(found.values())) if len(found) == 1 else None


class Source(models.Model):
    """AWS, the cluster, a storage system: one stream of imports with one meaning."""

    class ImportMode(models.TextChoices):
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

    id = models.AutoField(primary_key=True)
    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _.")],
        help_text="How commands and file names call it, such as aws.",
    )
    display_name = NameField(max_length=128, blank=True)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.PROVIDER)
    is_active = models.BooleanField("active", default=True)
    file_name_patterns = models.CharField(
        max_length=254,
        blank=True,
        help_text="Parts of file names, separated by commas. The longest that fits a file decides its source.",
    )
    import_mode = models.CharField(
        "import mode",
        max_length=16,
        choices=ImportMode.choices,
        default=ImportMode.MERGE,
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
    debit_account = CodeField(
        "debit account code", max_length=64, blank=True, help_text="Where a row names no account code."
    )
    recovery_fund_org = CodeField("recovery fund/org", max_length=64, blank=True)
    recovery_account = CodeField("recovery account code", max_length=64, blank=True)
    subsidy_fund_org = CodeField(
        "subsidy fund/org",
        max_length=64,
        blank=True,
        help_text="Pays what users do not (contracted − charged). Empty: the subsidy is forgone and only shown.",
    )
    holds_prepayments = models.BooleanField(
        "holds prepayments",
        default=False,
        help_text="Its recovery fund/org and account are deferred revenue: what is bought before use lies there.",
    )
    default_pi = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name="default PI"
    )
    default_project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    overflow_fund_org = CodeField(
        "default fund/org", max_length=64, blank=True, help_text="Charged where a row names no fund/org."
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
        # There are a few at most; read whole, so that they can be fetched with many sources at once.
        changes = [change for change in self.measure_changes.all() if change.from_month <= month]
        return max(changes, key=lambda change: change.from_month).measure if changes else self.cost_measure


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
        return f"{self.measure} from {long_month(self.from_month)}"

    def clean(self) -> None:
        if self.from_month and self.from_month.day != 1:
            raise ValidationError({"from_month": "Write the year and month, such as 2025-01."})
