"""Imports: every attempt to bring files in, with its files and its control totals."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from ..fields import ExactField
from .periods import BillingPeriod
from .sources import Source


class StoredFile(models.Model):
    """A file as it was received, kept once by its SHA-256."""

    sha256 = models.CharField("SHA-256", max_length=64, unique=True)
    size = models.BigIntegerField(help_text="Bytes.")
    path = models.CharField(max_length=254, help_text="Below the storage's root; made from the hash.")
    received_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.sha256[:12]


class Import(models.Model):
    """One import: what its files said, what came of it, and what it changed."""

    class State(models.TextChoices):
        RECEIVED = "received", "Received"
        CHECKED = "checked", "Checked"
        APPLIED = "applied", "Applied"
        FAILED = "failed", "Failed"
        DEFERRED = "deferred", "Waiting"
        WITHDRAWN = "withdrawn", "Withdrawn"
        DISMISSED = "dismissed", "Dismissed"
        SUPERSEDED = "superseded", "Superseded"

    class Missing(models.TextChoices):
        """What a person answered about charges that a doubtful import lacks."""

        KEEP = "keep", "Kept"
        REPLACE = "replace", "Withdrawn"

    TRANSITIONS = {
        State.RECEIVED: {State.CHECKED, State.FAILED},
        State.CHECKED: {State.APPLIED, State.FAILED, State.DEFERRED, State.DISMISSED},
        State.DEFERRED: {State.APPLIED, State.DISMISSED, State.SUPERSEDED},
        State.APPLIED: {State.WITHDRAWN},
        State.FAILED: frozenset[str](),
        State.WITHDRAWN: frozenset[str](),
        State.DISMISSED: frozenset[str](),
        State.SUPERSEDED: frozenset[str](),
    }
    # At work, as long as its process lives.
    UNFINISHED = (State.RECEIVED, State.CHECKED)

    id = models.AutoField(primary_key=True)
    source = models.ForeignKey(Source, null=True, blank=True, on_delete=models.PROTECT, related_name="imports")
    state = models.CharField(max_length=16, choices=State.choices, default=State.RECEIVED)
    mode = models.CharField(max_length=16, choices=Source.ImportMode.choices, blank=True)
    expected_period = models.CharField(
        max_length=16, blank=True, help_text="From -p or the file name: 2025-01, or 2025-Q1 for one of three."
    )
    replace = models.BooleanField(default=False, help_text="Told to withdraw more than half of a scope.")
    name = models.CharField(max_length=254, help_text="The files' names as they came.")
    files: "models.ManyToManyField[StoredFile, ImportedFile]" = models.ManyToManyField(
        StoredFile, through="ImportedFile", related_name="imports"
    )
    rows = models.BigIntegerField(default=0)
    new = models.BigIntegerField(default=0)
    changed = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    withdrawn = models.BigIntegerField(default=0)
    unseen = models.BigIntegerField(default=0, help_text="Charges from before that are not in the files and stay.")
    flagged = models.BigIntegerField(default=0)
    flags = models.JSONField(default=dict, blank=True, help_text="Code to count.")
    totals = models.JSONField(
        default=dict, blank=True, help_text="Currency to FOCUS cost column to the exact total of the files."
    )
    stored = models.JSONField(default=dict, blank=True, help_text="The same, as stored (8 decimals a row).")
    difference = models.JSONField(
        default=dict, blank=True, help_text="Rows and money new, changed and gone against what was there."
    )
    rules = models.JSONField(
        default=dict, blank=True, help_text="How values were taken that are not as FOCUS writes them: rule to rows."
    )
    billing_zone = models.CharField(
        "time zone of its days",
        max_length=64,
        blank=True,
        help_text="Whose days are its days of service, where its billing periods tell. Empty: UTC.",
    )
    unread = models.JSONField(
        default=list, blank=True, help_text="Columns of the files that look like money and are not read."
    )
    new_pis = models.JSONField(
        default=list, blank=True, help_text="PIs that it named for the first time: charges and money of each."
    )
    errors = models.JSONField(default=list, blank=True, help_text="File, line, column and message of each.")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_by_name = models.CharField(max_length=254, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    rest_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="rests",
        help_text="The same files, whose rows of open periods were applied at once; this is what waits.",
    )
    booked_in = models.ForeignKey(
        BillingPeriod,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="booked_imports",
        help_text="The month it is charged in as late changes.",
    )
    superseded_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="supersedes"
    )
    reason = models.TextField(blank=True, help_text="Why it was dismissed.")
    made_at = models.DateTimeField(null=True, blank=True, help_text="When the provider made it, as its manifest says.")
    doubts = models.JSONField(
        default=list, blank=True, help_text="Why it waits or waited: what it lacks, or which newer run is there."
    )
    missing = models.CharField(
        "what is missing",
        max_length=8,
        choices=Missing.choices,
        blank=True,
        default="",
        help_text="What became of the charges that it lacks, where somebody was asked.",
    )

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [
            ("import_charges", "Can import charges"),
            ("withdraw_import", "Can withdraw an import"),
            ("book_import", "Can book or dismiss a deferred import"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state__in=("applied", "withdrawn")) | Q(applied_at__isnull=False, source__isnull=False),
                name="applied_import_has_stamp",
                violation_error_message="An applied import has a source and says when it was applied.",
            ),
            models.CheckConstraint(
                condition=~Q(state="withdrawn") | Q(withdrawn_at__isnull=False),
                name="withdrawn_import_has_stamp",
                violation_error_message="A withdrawn import says when it was withdrawn.",
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk}"


class ImportedFile(models.Model):
    """A file of an import, under the name it came with, in the order it was read."""

    imported_in = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="imported_files")
    file = models.ForeignKey(StoredFile, on_delete=models.PROTECT, related_name="imported_files")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=254)
    member = models.TextField(blank=True, help_text="Of an archive: which of its files this is.")
    rows = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("imported_in", "number")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["imported_in", "number"], name="one_file_per_number"),
        ]

    def __str__(self) -> str:
        return self.name


class ImportTotal(models.Model):
    """The control totals of an import for one scope: what the files say, counted apart from the charges.

    `*_exact` is the file's sum to its last digit; `*_stored` is what its rows hold after rounding
    to 8 decimals each. Their difference is the import's rounding.
    """

    imported_in = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="scope_totals")
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="import_totals")
    billing_account_id = models.CharField(max_length=254, blank=True)
    currency = models.CharField(max_length=3)
    rows = models.BigIntegerField()
    billed_exact = models.CharField(max_length=64)
    effective_exact = models.CharField(max_length=64)
    list_exact = models.CharField(max_length=64)
    contracted_exact = models.CharField(max_length=64)
    billed_stored = ExactField()
    effective_stored = ExactField()
    list_stored = ExactField()
    contracted_stored = ExactField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["imported_in", "period", "billing_account_id", "currency"], name="one_total_per_scope"
            ),
        ]

    def __str__(self) -> str:
        return f"control total {self.pk}"


class ImportOverlap(models.Model):
    """What of an import was there before, and what of earlier ones it took the place of; kept when it is applied.

    With the control totals it tells what the imports in force say: of each import its files' totals, less the
    rows that it only says again and the rows of earlier imports that it displaced. Rows are those of
    the files. Amounts are as stored, by the month that bears them.
    """

    class Kind(models.TextChoices):
        AGAIN = "again", "Said again"
        DISPLACED = "displaced", "Replaced, withdrawn or reversed"

    imported_in = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="overlaps")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    period = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="+", help_text="The month that the files say."
    )
    borne_by = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="import_overlaps", help_text="The month charged."
    )
    currency = models.CharField(max_length=3)
    rows = models.BigIntegerField()
    billed = ExactField()
    effective = ExactField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["imported_in", "kind", "period", "borne_by", "currency"], name="one_overlap_per_scope"
            ),
        ]

    def __str__(self) -> str:
        return f"overlap {self.pk}"
