"""What is kept longer than its schedule, and what was removed after it: legal holds, disposals and their files."""

import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from ..texts import long_date, long_month
from .funds import FundingSource
from .people import Person, Project, User
from .periods import BillingPeriod
from .standing import KeptQuerySet, KeptRow


class LegalHold(models.Model):
    """Keeps the detail of a PI, project, fund/org or month from being disposed of, until it is lifted."""

    pi = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="legal_holds", verbose_name="PI"
    )
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.PROTECT, related_name="legal_holds")
    fund = models.ForeignKey(
        FundingSource,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="legal_holds",
        verbose_name="fund/org",
    )
    period = models.ForeignKey(
        BillingPeriod,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="legal_holds",
        verbose_name="month",
    )
    reason = models.TextField(help_text="Such as the number of the case, the audit or the request. It stays with it.")
    placed_at = models.DateTimeField("placed", editable=False)
    placed_by = models.ForeignKey(
        User, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    placed_by_name = models.CharField("placed by", max_length=254, editable=False)
    lifted_at = models.DateTimeField("lifted", null=True, blank=True, editable=False)
    lifted_by_name = models.CharField("lifted by", max_length=254, blank=True, editable=False)
    lifted_because = models.TextField("lifted because", blank=True, editable=False)

    # What lifting sets.
    FREE = ("lifted_at", "lifted_by_name", "lifted_because")

    class Meta:
        ordering = ("-pk",)
        default_permissions = ("add", "view")
        permissions = [("lift_legalhold", "Can lift a legal hold")]
        constraints = [
            models.CheckConstraint(
                condition=Q(pi__isnull=False, project__isnull=True, fund__isnull=True, period__isnull=True)
                | Q(pi__isnull=True, project__isnull=False, fund__isnull=True, period__isnull=True)
                | Q(pi__isnull=True, project__isnull=True, fund__isnull=False, period__isnull=True)
                | Q(pi__isnull=True, project__isnull=True, fund__isnull=True, period__isnull=False),
                name="legal_hold_has_one_subject",
                violation_error_message="Choose one of PI, project, fund/org and month.",
            ),
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="legal_hold_has_a_reason",
                violation_error_message="A legal hold needs a reason.",
            ),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True, lifted_by_name="", lifted_because="")
                | (Q(lifted_at__isnull=False) & ~Q(lifted_by_name="") & ~Q(lifted_because="")),
                name="legal_hold_lifted_by_somebody",
                violation_error_message="A legal hold is lifted by somebody, at some time, for a reason.",
            ),
        ]

    def __str__(self) -> str:
        return f"legal hold {self.pk}"

    @property
    def subject(self) -> "Person | Project | FundingSource | BillingPeriod":
        """What it keeps."""
        found = self.pi or self.project or self.fund or self.period
        assert found is not None
        return found

    @property
    def told(self) -> str:
        """What it keeps, as people read it: `PI ada@u.edu`, `month January 2019`."""
        if self.period:
            return f"month {long_month(self.period.month)}"
        kind = "PI" if self.pi else "project" if self.project else "fund/org"
        return f"{kind} {self.subject}"


class Disposal(models.Model):
    """Detail of past fiscal years that was removed permanently: decided at once, removed, and certified at its end.

    Its number is that of its certificate. Without `completed_at` it is decided, and its files are being removed.
    """

    before = models.PositiveIntegerField("before fiscal year", help_text="What was kept of earlier fiscal years.")
    first_kept = models.DateField("first month kept")
    years = models.PositiveSmallIntegerField("years kept", help_text="RETENTION_YEARS as it was then.")
    held_back = models.JSONField(default=list, help_text="Kind, month, files, bytes and why of what was held back.")
    decided_at = models.DateTimeField("decided")
    decided_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_by_name = models.CharField("decided by", max_length=254)
    completed_at = models.DateTimeField("completed", null=True, blank=True)
    certificate = models.TextField(blank=True, help_text="To the byte.")
    sha256 = models.CharField("SHA-256 of the certificate", max_length=64, blank=True)

    # What completing sets.
    COMPLETED = ("completed_at", "certificate", "sha256")

    class Meta:
        ordering = ("-pk",)
        default_permissions = ("view",)
        permissions = [("dispose_records", "Can dispose of records past their retention")]
        constraints = [
            models.CheckConstraint(
                condition=Q(completed_at__isnull=True, certificate="", sha256="")
                | (Q(completed_at__isnull=False) & ~Q(certificate="") & ~Q(sha256="")),
                name="completed_disposal_has_a_certificate",
                violation_error_message="A completed disposal has a certificate.",
            ),
        ]

    def __str__(self) -> str:
        return f"certificate {self.pk}"

    @property
    def said(self) -> str:
        """What became of its files: `disposed of on Dec 1, 2026 under certificate 1`."""
        return f"disposed of on {long_date(timezone.localdate(self.decided_at))} under certificate {self.pk}"


class DisposedFile(KeptRow):
    """A file that was removed under a certificate: its hash and size stay."""

    KEPT = "What was disposed of is kept on record."

    class Kind(models.TextChoices):
        RECEIVED = "received", "Files as received"
        USAGE = "usage", "Usage records"
        CHARGES = "charges", "Charges of statements"
        STATEMENT = "statement", "PDFs with charges attached"
        EMAIL = "email", "E-mails as sent"

    # Those that lie where files are received; the others are documents.
    STORED = (Kind.RECEIVED, Kind.USAGE)

    disposal = models.ForeignKey(Disposal, on_delete=models.PROTECT, related_name="files")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=254, help_text="Its path in the storage, or the name of the document.")
    sha256 = models.CharField("SHA-256", max_length=64, db_index=True)
    size = models.BigIntegerField(help_text="Bytes.")
    months = models.JSONField(default=list, help_text="The months that it was of: 2019-01.")

    objects = KeptQuerySet["DisposedFile"].as_manager()

    class Meta:
        ordering = ("pk",)
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["disposal", "name"], name="one_disposed_file_per_name")]
        indexes = [models.Index(fields=["name"], name="disposed_file_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def first_month(self) -> datetime.date:
        return datetime.date.fromisoformat(f"{self.months[0]}-01")
