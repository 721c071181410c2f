"""Who pays how much for what in a month: splits, payer lines and the references printed for them."""

import datetime
from collections.abc import Iterable

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from ..fields import AmountField, TotalField
from ..money import Priced
from .customers import Customer
from .people import Person, Project
from .periods import FINAL, BillingPeriod
from .sources import Source
from .standing import Standing, StandingQuerySet
from .typed import CodeField


class PayerSplitQuerySet(models.QuerySet["PayerSplit"]):
    def of_projects(self) -> "list[PayerSplit]":
        """Return the splits of projects, each after those it takes the place of: see `holding_on`."""
        return sorted(self.filter(project__isnull=False), key=lambda split: (split.days[0], split.pk))


class PayerSplit(models.Model):
    """Shares in percent that several fund/orgs pay: of a project between dates, or made in a review.

    A split is never edited once charges use it: a new one, from its own day on, takes its place.
    """

    project = models.ForeignKey(
        Project,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="payer_splits",
        help_text="Empty for a split made in a review.",
    )
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True, help_text="The last day of service it holds for.")
    note = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PayerSplitQuerySet.as_manager()

    class Meta:
        ordering = ("project", "valid_from", "id")
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                name="split_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        return f"split {self.pk}"

    @property
    def days(self) -> tuple[datetime.date, datetime.date]:
        """The first and the last day of service that it may hold for, the calendar's where it names none."""
        return self.valid_from or datetime.date.min, self.valid_until or datetime.date.max

    @staticmethod
    def holding_on(day: datetime.date, splits: "Iterable[PayerSplit]") -> "PayerSplit | None":
        """Return which of a project's splits holds on a day: where several do, the one that begins last.

        `splits` come in the order of `of_projects`.
        """
        holding = [split for split in splits if split.days[0] <= day <= split.days[1]]
        return holding[-1] if holding else None


class PayerSplitShare(models.Model):
    """One fund/org's share of a split; the shares of a split sum to 100 percent."""

    split = models.ForeignKey(PayerSplit, on_delete=models.CASCADE, related_name="shares")
    fund_org = CodeField("fund/org", max_length=64)
    percent = models.DecimalField(max_digits=9, decimal_places=6, validators=[MinValueValidator(0)])

    class Meta:
        ordering = ("split", "fund_org")
        constraints = [
            models.UniqueConstraint(
                fields=["split", "fund_org"],
                name="one_share_per_fund",
                violation_error_message="This fund/org has a share already.",
            ),
            models.CheckConstraint(
                condition=Q(percent__gt=0, percent__lte=100),
                name="share_is_a_percentage",
                violation_error_message="A share is above 0 and at most 100 percent.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.percent.normalize():f}% {self.fund_org}"


class BillingReference(Standing):
    """The number that statements and the ledger both print for a PI's project in a month."""

    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="references")
    pi = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="references")
    project = models.ForeignKey(Project, null=True, on_delete=models.PROTECT, related_name="references")
    number = models.PositiveIntegerField()

    STANDS_IN = FINAL

    objects = StandingQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["period", "number"], name="one_reference_per_number"),
            models.UniqueConstraint(
                fields=["period", "pi", "project"],
                condition=Q(project__isnull=False, pi__isnull=False),
                name="one_reference_per_project",
            ),
            models.UniqueConstraint(
                fields=["period", "pi"],
                condition=Q(project__isnull=True, pi__isnull=False),
                name="one_reference_without_project",
            ),
            models.UniqueConstraint(
                fields=["period"], condition=Q(project__isnull=True, pi__isnull=True), name="one_reference_of_center"
            ),
        ]

    def __str__(self) -> str:
        return f"reference {self.pk}"

    @property
    def text(self) -> str:
        """As printed: `2025-01-0007`."""
        return f"{self.period.iso_month}-{self.number:04d}"


# Three references of a charge, and how many more there are.
REFERENCES_LENGTH = 512


class PayerLine(Priced, Standing):
    """What one payer owes for one service in a month, in whole cents: made by `charging`, read by all.

    `key` is the natural key in one text: for_period, kind, PI, project, fund/org or customer, source, natural
    account, service, currency. It names the same payer from one run to the next, and on statements
    and journals, which keep it in place of a foreign key. The key of a share in a shared cost says
    `shared` for its kind, whoever bears it, and the name of the cost for its service.
    """

    class Kind(models.TextChoices):
        CHARGE = "charge", "Charge"
        RECEIVABLE = "receivable", "Receivable"
        CHARGED_TO_CENTER = "charged_to_center", "Charged to center"
        SUBSIDY = "subsidy", "Funded subsidy"
        LATE = "late", "Late change"
        SHARED = "shared", "Share of a shared cost"
        TRANSFER = "transfer", "Transfer"
        REFUND = "refund", "Refund"
        WRITE_OFF = "write_off", "Write-off"
        BORNE = "borne", "Write-off charged to the center"
        MANUAL = "manual", "Manual charge"
        PREPAID_USE = "prepaid_use", "Use of a prepaid balance"
        PREPAID_EXPIRED = "prepaid_expired", "Expired prepaid balance"

    # What corrections make; they name the month they correct.
    ENTERED = (
        *(Kind.TRANSFER, Kind.REFUND, Kind.WRITE_OFF, Kind.BORNE, Kind.MANUAL),
        *(Kind.PREPAID_USE, Kind.PREPAID_EXPIRED),
    )

    # What pays for use in place of users: the funds of subsidies, and what was paid before.
    FUNDED = (Kind.SUBSIDY, Kind.PREPAID_USE)

    # What users are charged; the rest the center pays itself.
    CHARGED = (
        *(Kind.CHARGE, Kind.RECEIVABLE, Kind.LATE, Kind.SHARED),
        *(Kind.TRANSFER, Kind.REFUND, Kind.WRITE_OFF, Kind.MANUAL),
    )

    # Whose part in what a source charged is the measure of their share in its shared costs. The center's own
    # share of a shared cost is charged to it too, but measures nothing: it has a `shared_total`.
    MEASURES = (Kind.CHARGE, Kind.RECEIVABLE, Kind.CHARGED_TO_CENTER)

    period = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="payer_lines", help_text="The month it is charged in."
    )
    key = models.CharField(max_length=1000)
    kind = models.CharField(max_length=24, choices=Kind.choices)
    for_period = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="+", help_text="The month it is for."
    )
    reference = models.ForeignKey(BillingReference, on_delete=models.PROTECT, related_name="payer_lines")
    pi = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="payer_lines", verbose_name="PI"
    )
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.PROTECT, related_name="payer_lines")
    fund_org = models.CharField("fund/org", max_length=64)
    customer = models.ForeignKey(
        Customer,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="payer_lines",
        help_text="Gets an invoice of accounts receivable; no fund/org is charged in the ledger.",
    )
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="payer_lines")
    natural_account = models.CharField(max_length=64, blank=True)
    service_name = models.CharField(max_length=254, blank=True)
    currency = models.CharField(max_length=3)
    list_cost = TotalField()
    contracted_cost = TotalField()
    charged = TotalField()
    rounding = AmountField(default=0, help_text="Exact sum of the group less its cents; on its first payer only.")
    shared_total = TotalField(
        null=True, blank=True, help_text="Of a share in a shared cost: the whole that was shared, in cents."
    )
    charge_count = models.BigIntegerField()
    reference_1 = models.CharField(
        max_length=REFERENCES_LENGTH,
        blank=True,
        default="",
        help_text="What its charges name as the policy's first reference, such as grants: sorted, the first few.",
    )
    reference_2 = models.CharField(
        max_length=REFERENCES_LENGTH,
        blank=True,
        default="",
        help_text="What its charges name as the policy's second reference, such as requests.",
    )
    computed_at = models.DateTimeField()

    STANDS_IN = FINAL

    objects = StandingQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ("period", "key")
        indexes = [models.Index(fields=["period", "pi", "project"], name="payer_line_owner")]
        constraints = [
            models.UniqueConstraint(fields=["period", "key"], name="one_line_per_payer"),
            models.CheckConstraint(
                condition=Q(customer__isnull=True) & ~Q(kind="receivable") | Q(customer__isnull=False, fund_org=""),
                name="receivable_has_customer",
                violation_error_message="A receivable has a customer, and no fund/org.",
            ),
        ]

    def __str__(self) -> str:
        return f"payer line {self.pk}"

    @property
    def paid_by(self) -> str:
        """Who pays, as people call it: the fund/org, or the customer."""
        return self.fund_org or str(self.customer or "nobody")
