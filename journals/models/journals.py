"""Journals: what goes to the general ledger, and what the ledger answered."""

import datetime

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from billing.fields import TotalField
from billing.models import BillingPeriod, PayerLine
from billing.models.payers import REFERENCES_LENGTH


class JournalQuerySet(models.QuerySet["Journal"]):
    def live(self, as_of: datetime.date | None = None) -> "JournalQuerySet":
        """Keep the journals whose lines are in the ledger, or will be: submitted or posted, not reversed.

        With `as_of`, those that are by the posting dates up to that day: one that was reversed later still was.
        Accruals are none of them: what they hold is reversed, and charges nobody.
        """
        states = (Journal.State.SUBMITTED, Journal.State.POSTED)
        journals = self.filter(kind=Journal.Kind.JOURNAL)
        if as_of is None:
            return journals.filter(state__in=states)
        back = Journal.objects.filter(reverses=OuterRef("pk"), posting_date__lte=as_of)
        is_back = Exists(back.exclude(state=Journal.State.REJECTED))
        return journals.filter(~is_back, state__in=(*states, Journal.State.REVERSED), posting_date__lte=as_of)

    def accruals(self) -> "JournalQuerySet":
        """Keep the accruals that are in the ledger, or will be, whether they were reversed or not."""
        return self.filter(kind=Journal.Kind.ACCRUAL).exclude(state__in=(Journal.State.DRAFT, Journal.State.REJECTED))

    def reversals_of(self, journal: "Journal") -> "JournalQuerySet":
        """Keep the reversal of a journal that the ledger did not reject; there is one at most."""
        return self.filter(reverses=journal).exclude(state=Journal.State.REJECTED)

    def open(self) -> "JournalQuerySet":
        """Keep the journals that wait for the ledger's answer."""
        return self.filter(state=Journal.State.SUBMITTED)


class Journal(models.Model):
    """A balanced set of lines of one period: a draft until submitted, then frozen."""

    class Kind(models.TextChoices):
        JOURNAL = "journal", "Journal"
        REVERSAL = "reversal", "Reversal"
        ACCRUAL = "accrual", "Accrual"

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        SUBMITTED = "submitted", "Submitted"
        POSTED = "posted", "Posted"
        REJECTED = "rejected", "Rejected"
        REVERSED = "reversed", "Reversed"

    TRANSITIONS = {
        State.DRAFT: {State.SUBMITTED},
        State.SUBMITTED: {State.POSTED, State.REJECTED},
        State.POSTED: {State.REVERSED},
        State.REJECTED: frozenset[str](),
        # Back to posted when the ledger rejects the reversal.
        State.REVERSED: {State.POSTED},
    }

    # What the ledger's answer sets. All other fields are locked once it is submitted.
    ANSWERED = (
        "state",
        "posted_at",
        "document_number",
        "rejected_at",
        "rejection_reason",
        "reversed_at",
        "reversal_reason",
    )

    number = models.CharField(
        max_length=32, unique=True, help_text="Such as J2025-01-1; R for a reversal, A for an accrual."
    )
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="journals")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.JOURNAL)
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    format = models.CharField(max_length=64, blank=True, help_text="The format of the file as submitted.")
    posting_date = models.DateField()
    reversal_date = models.DateField(
        null=True, blank=True, help_text="Of an accrual: the posting date of the reversal that is submitted with it."
    )
    estimates = models.JSONField(
        default=list,
        blank=True,
        help_text="Of an accrual: amounts that were entered for what is not imported yet, each with its reason.",
    )
    date_reason = models.TextField(
        "reason for the date",
        blank=True,
        help_text="Why it is posted in another fiscal year than its month's, or after a cutoff.",
    )
    currency = models.CharField(max_length=3)
    debits = TotalField(default=0)
    credits = TotalField(default=0)
    line_count = models.PositiveIntegerField(default=0)
    drafted_at = models.DateTimeField()
    drafted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    submitted_at = models.DateTimeField(null=True, blank=True)
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    posted_at = models.DateTimeField(null=True, blank=True)
    document_number = models.CharField(max_length=64, blank=True)
    rejected_at = models.DateTimeField(null=True, blank=True)
    rejection_reason = models.TextField(blank=True)
    reversed_at = models.DateTimeField(null=True, blank=True)
    reversal_reason = models.TextField(blank=True)
    reverses = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="reversals")
    file_path = models.CharField(max_length=254, blank=True)
    file_sha256 = models.CharField(max_length=64, blank=True)
    layout = models.ForeignKey(
        "JournalLayout",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="journals",
        help_text="The version of the layout that its file was submitted in.",
    )
    batch = models.PositiveIntegerField(
        null=True, blank=True, help_text="Which of that day's files in its layout it is, from 1."
    )
    fiscal_year = models.PositiveSmallIntegerField(null=True, blank=True)
    fiscal_period = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="The period of the fiscal year that its posting date is in, from 1."
    )
    draft_changes = models.JSONField(
        null=True,
        blank=True,
        help_text="What the last draft that differed says otherwise than the one before it: see journals.differences.",
    )

    objects = JournalQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [
            ("export_journal", "Can draft and export journals"),
            ("submit_journal", "Can submit a journal"),
            ("post_journal", "Can record the ledger's answer and reverse a journal"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["period", "kind"],
                condition=Q(state="draft"),
                name="one_draft_per_period",
                violation_error_message="This period has a draft already.",
            ),
            models.UniqueConstraint(
                fields=["reverses"],
                condition=~Q(state="rejected"),
                name="one_standing_reversal",
                violation_error_message="This journal has a reversal already.",
            ),
            models.CheckConstraint(
                condition=(~Q(kind="accrual") & Q(reversal_date__isnull=True))
                | Q(kind="accrual", reversal_date__isnull=False, reversal_date__gt=F("posting_date")),
                name="accrual_is_reversed_later",
                violation_error_message="An accrual, and nothing else, says on which later day it is reversed.",
            ),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(debits=F("credits")),
                name="journal_balances",
                violation_error_message="A journal leaves draft only when its debits equal its credits.",
            ),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(submitted_at__isnull=False),
                name="submitted_journal_has_stamp",
                violation_error_message="A submitted journal says when it was submitted.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=("posted", "reversed")) | Q(posted_at__isnull=False),
                name="posted_journal_has_stamp",
                violation_error_message="A posted journal says when it was posted.",
            ),
            models.CheckConstraint(
                condition=~Q(state="rejected") | (Q(rejected_at__isnull=False) & ~Q(rejection_reason="")),
                name="rejected_journal_has_reason",
                violation_error_message="A rejected journal says when and why.",
            ),
            models.CheckConstraint(
                condition=~Q(state="reversed") | (Q(reversed_at__isnull=False) & ~Q(reversal_reason="")),
                name="reversed_journal_has_reason",
                violation_error_message="A reversed journal says when and why.",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class JournalLine(models.Model):
    """One side of a pair: a payer's fund/org and its source's recovery, as they stood when drafted."""

    class Side(models.TextChoices):
        PAYER = "payer", "Payer"
        RECOVERY = "recovery", "Recovery"

    journal = models.ForeignKey(Journal, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    payer_key = models.CharField(max_length=1000)
    side = models.CharField(max_length=16, choices=Side.choices)
    fund_org = models.CharField("fund/org", max_length=64, blank=True)
    natural_account = models.CharField(max_length=64, blank=True)
    account_by = models.CharField(
        "account code by", max_length=254, blank=True, default="", help_text="What decided its account code, and why."
    )
    segments = models.JSONField(default=dict, blank=True, help_text="Parsed from the fund/org by the Policy's regex.")
    debit = TotalField(default=0)
    credit = TotalField(default=0)
    reference = models.CharField(max_length=32)
    description = models.CharField(max_length=254)
    kind = models.CharField(max_length=24, choices=PayerLine.Kind.choices)
    for_month = models.CharField(max_length=7)
    pi_email = models.CharField(max_length=254, blank=True)
    pi_name = models.CharField(max_length=254, blank=True)
    project_code = models.CharField(max_length=128, blank=True)
    source_name = models.CharField(max_length=64)
    service_name = models.CharField(max_length=254, blank=True)
    list_cost = TotalField(default=0)
    contracted_cost = TotalField(default=0)
    reference_1 = models.CharField(max_length=REFERENCES_LENGTH, blank=True, default="")
    reference_2 = models.CharField(max_length=REFERENCES_LENGTH, blank=True, default="")

    class Meta:
        ordering = ("journal", "number")
        default_permissions = ("view",)
        indexes = [models.Index(fields=["payer_key"], name="journal_line_payer")]
        constraints = [
            models.UniqueConstraint(fields=["journal", "number"], name="one_journal_line_per_number"),
            models.CheckConstraint(
                condition=Q(debit__gte=0, credit__gte=0) & (Q(debit=0) | Q(credit=0)),
                name="line_is_debit_or_credit",
                violation_error_message="A line is a debit or a credit, and neither is negative.",
            ),
        ]

    def __str__(self) -> str:
        return f"journal line {self.pk}"

    @property
    def is_posted(self) -> bool:
        """Whether the ledger gets it: what is charged 0.00 is shown for its list price and subsidy only."""
        return bool(self.debit or self.credit)


class JournalTemplate(models.Model):
    """A format of the institution's own, written in the admin and rendered without access to anything else."""

    name = models.SlugField(max_length=64, unique=True, help_text="Used as -f NAME.")
    description = models.CharField(max_length=254, blank=True)
    extension = models.SlugField(max_length=8, default="csv")
    header = models.TextField(blank=True, help_text="Once, at the top.")
    line = models.TextField(help_text="For each line of the journal.")
    footer = models.TextField(blank=True, help_text="Once, at the end.")
    is_csv = models.BooleanField(
        "guard as CSV", default=True, help_text="Quote fields and defuse those that a spreadsheet takes for formulas."
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class JournalLayout(models.Model):
    """One version of a layout: how a journal is written for the ledger's loader. Released, it never changes."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        RELEASED = "released", "Released"
        RETIRED = "retired", "Retired"

    # What comes of a version once it is released. All else of it is locked then.
    ANSWERED = ("state", "retired_at", "retired_by")

    name = models.SlugField(max_length=64, help_text="Used as -f NAME.")
    version = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    title = models.CharField(max_length=120, help_text="As its content has it.")
    content = models.TextField(help_text="JSON, of the published schema.")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    retired_at = models.DateTimeField(null=True, blank=True)
    retired_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("name", "-version")
        default_permissions = ("view",)
        permissions = [("edit_layouts", "Can edit, release and retire journal layouts")]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "version"],
                name="one_layout_per_version",
                violation_error_message="This layout has such a version already.",
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(state="draft"),
                name="one_layout_draft_per_name",
                violation_error_message="This layout has a draft already.",
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(state="released"),
                name="one_released_layout_per_name",
                violation_error_message="This layout has a released version already.",
            ),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(released_at__isnull=False),
                name="released_layout_has_stamp",
                violation_error_message="A released layout says when it was released.",
            ),
            models.CheckConstraint(
                condition=~Q(state="retired") | Q(retired_at__isnull=False),
                name="retired_layout_has_stamp",
                violation_error_message="A retired layout says when it was retired.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}"


class JournalFileLine(models.Model):
    """Which line of a submitted journal's file a journal line is in: several are in one where it condenses them."""

    journal = models.ForeignKey(Journal, on_delete=models.CASCADE, related_name="file_lines")
    number = models.PositiveIntegerField(help_text="Of the line of the file, headers and headings not counted.")
    # Nothing to do: a draft's lines, which alone are deleted, are in no file that is kept, and go by one statement.
    line = models.OneToOneField(JournalLine, on_delete=models.DO_NOTHING, related_name="file_line")

    class Meta:
        ordering = ("journal", "number", "line")
        default_permissions = ()
        indexes = [models.Index(fields=["journal", "number"], name="journal_file_line_number")]

    def __str__(self) -> str:
        return f"file line {self.number}"


class JournalFile(models.Model):
    """A file that lies beside a submitted journal's: what a loader waits for, totals, or the support of its lines."""

    journal = models.ForeignKey(Journal, on_delete=models.CASCADE, related_name="files_beside")
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ("journal", "id")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["journal", "name"], name="one_journal_file_per_name")]

    def __str__(self) -> str:
        return self.name
