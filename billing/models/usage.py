"""Where usage comes from, the files of it that were read, and the months that were priced."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from .imports import Import, StoredFile
from .periods import BillingPeriod
from .rates import SLUG, RateSchedule
from .sources import Source
from .standing import KeptQuerySet, KeptRow
from .typed import NameField


class UsageFeed(models.Model):
    """A cluster, a storage system, a gateway: where files of usage come from, and what they are priced by."""

    name = models.CharField(
        max_length=64, unique=True, validators=[SLUG], help_text="How commands call it, such as tiger."
    )
    display_name = NameField(max_length=128, blank=True)
    source = models.OneToOneField(
        Source,
        on_delete=models.PROTECT,
        related_name="usage_feed",
        help_text="Whose charges its usage becomes. It has to import snapshots, and has no other feed.",
    )
    kind = models.CharField(max_length=32, help_text="What kind of files it has.")
    settings = models.JSONField(default=dict, blank=True)
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="Whose months its usage is charged in, such as America/New_York."
    )
    schedule = models.CharField("rate schedule", max_length=64, blank=True, help_text="By name.")
    is_active = models.BooleanField("active", default=True)
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        return self.display_name or self.name


class UsageFile(models.Model):
    """A file of usage that was read: its records are kept, reduced to what is charged for, and the file is not."""

    class State(models.TextChoices):
        STANDING = "standing", "Counts"
        WITHDRAWN = "withdrawn", "Withdrawn"

    feed = models.ForeignKey(UsageFeed, on_delete=models.PROTECT, related_name="files")
    name = models.CharField(max_length=254, help_text="As it came.")
    original_sha256 = models.CharField("SHA-256 as it came", max_length=64)
    original_size = models.BigIntegerField("size as it came", help_text="Bytes.")
    records_file = models.ForeignKey(StoredFile, on_delete=models.PROTECT, related_name="usage_files")
    state = models.CharField(max_length=16, choices=State.choices, default=State.STANDING)
    lines = models.BigIntegerField(default=0)
    records = models.BigIntegerField(default=0)
    left_out = models.JSONField(default=dict, blank=True, help_text="What became no record: reason to lines.")
    notes = models.JSONField(default=list, blank=True)
    totals = models.JSONField(default=dict, blank=True, help_text="Measure to its exact sum, in base units.")
    first = models.DateTimeField(null=True, blank=True, help_text="When its first usage started.")
    last = models.DateTimeField(null=True, blank=True, help_text="When its last usage ended.")
    read_at = models.DateTimeField()
    read_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    read_by_name = models.CharField(max_length=254, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="Why it was withdrawn.")

    class Meta:
        ordering = ("-pk",)
        default_permissions = ("view",)
        permissions = [("take_usage", "Can read and withdraw files of usage, and price months of it")]
        constraints = [
            models.UniqueConstraint(
                # The same content may be of another day, where only the name of the file says which.
                fields=["feed", "original_sha256", "first"],
                condition=Q(state="standing"),
                name="a_usage_file_counts_once",
            )
        ]

    def __str__(self) -> str:
        return self.name


class PricedMonth(KeptRow):
    """A month of a feed that was priced: by which schedule and terms, from which files, and into which import."""

    KEPT = "How a month of usage was priced is kept. Price it again."

    feed = models.ForeignKey(UsageFeed, on_delete=models.PROTECT, related_name="months")
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="priced_usage")
    schedule = models.ForeignKey(RateSchedule, on_delete=models.PROTECT, related_name="months")
    files: "models.ManyToManyField[UsageFile, models.Model]" = models.ManyToManyField(UsageFile, related_name="months")
    before = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="What it goes on from."
    )
    digest = models.CharField(max_length=64, help_text="Of all that it was priced from.")
    digests = models.JSONField(default=dict, help_text="Of each thing that it was priced from, and that came of it.")
    terms = models.JSONField(default=dict, help_text="The settings, subsidies and balances that it was priced with.")
    used = models.JSONField(default=dict, help_text="What was used by the end of the month, for the next one.")
    units = models.JSONField(default=list, help_text="By rate: units delivered, charged, free by reason, held.")
    drawn = models.JSONField(default=list, blank=True, help_text="Subsidies used, and what was drawn from balances.")
    notes = models.JSONField(default=list, blank=True)
    rows = models.BigIntegerField(default=0)
    focus_file = models.ForeignKey(
        StoredFile,
        verbose_name="FOCUS file",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="priced_usage",
    )
    payers_file = models.ForeignKey(
        StoredFile,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="priced_payers",
        help_text="Who paid for whom, as far as prices depend on it.",
    )
    workings_file = models.ForeignKey(
        StoredFile,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="priced_workings",
        help_text="How each row came about.",
    )
    imported = models.ForeignKey(Import, null=True, blank=True, on_delete=models.PROTECT, related_name="priced_usage")
    priced_at = models.DateTimeField()
    priced_by_name = models.CharField(max_length=254, blank=True)

    objects = KeptQuerySet["PricedMonth"].as_manager()

    class Meta:
        ordering = ("-pk",)
        default_permissions = ("view",)
        indexes = [models.Index(fields=["feed", "period"], name="priced_feed_month")]

    def __str__(self) -> str:
        return f"{self.feed}, {self.period}"
