"""Statements as issued, line by line, and their way to the PIs."""

import datetime
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from billing.fields import AmountField
from billing.models import BillingPeriod, BillingReference, Membership, Person, Project, User
from billing.models.people import normalized_email
from billing.models.periods import FINAL
from billing.models.standing import Standing, StandingQuerySet


class StatementQuerySet(StandingQuerySet["Statement"]):
    def live(self) -> "StatementQuerySet":
        """Keep the revisions in force."""
        return self.filter(state__in=Statement.LIVE)

    def visible_to(self, user: User, *, on: datetime.date) -> "StatementQuerySet":
        """Keep what a PI or a delegate may see on a day: theirs and nothing else, and nothing void.

        A PI is known by the link to her user or, where that is not made, by the user's e-mail address
        or an alias. Delegates see a PI's statements, or those of one project, between their dates.
        What staff may see does not count here: they have the admin.
        """
        own = Q(user=user)
        if user.email:
            email = normalized_email(user.email)
            own |= Q(user__isnull=True) & (Q(email=email) | Q(aliases__email__iexact=email))
        delegated = Membership.objects.filter(
            Q(valid_until__isnull=True) | Q(valid_until__gte=on),
            Q(project__isnull=True) | Q(project=OuterRef("project")),
            person=OuterRef("pi"),
            user=user,
            valid_from__lte=on,
        )
        return self.exclude(state=Statement.State.VOID).filter(
            Q(pi__in=Person.objects.filter(own).values("pk")) | Exists(delegated)
        )


class Statement(Standing):
    """One PI's costs in one project and month: a snapshot that never changes once issued."""

    class State(models.TextChoices):
        ISSUED = "issued", "Issued"
        SENT = "sent", "Sent"
        SUPERSEDED = "superseded", "Superseded"
        VOID = "void", "Void"

    LIVE = (State.ISSUED, State.SENT)

    STANDS_IN = FINAL
    # What happens to a document after it was issued; of a finalized month it may still be sent and drawn.
    FREE = frozenset({"state", "sent_at", "superseded_at", "superseded_by", "voided_at", "pdf_path", "pdf_sha256"})

    TRANSITIONS = {
        State.ISSUED: {State.SENT, State.SUPERSEDED, State.VOID},
        State.SENT: {State.SUPERSEDED, State.VOID},
        State.SUPERSEDED: frozenset[str](),
        State.VOID: frozenset[str](),
    }

    number = models.CharField(max_length=32, unique=True, help_text="The reference and the revision: 2025-01-0007-1.")
    reference = models.ForeignKey(BillingReference, on_delete=models.PROTECT, related_name="statements")
    revision = models.PositiveIntegerField()
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="statements")
    pi = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="statements", verbose_name="PI")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.PROTECT, related_name="statements")
    state = models.CharField(max_length=16, choices=State.choices, default=State.ISSUED)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the figures and texts it shows.")
    document = models.JSONField(help_text="Names, texts and notes as printed.")
    currency = models.CharField(max_length=3)
    list_cost = AmountField()
    contracted_cost = AmountField()
    charged = AmountField("amount due")
    review_until = models.DateField(null=True, blank=True, help_text="Set while the period is in review.")
    is_final = models.BooleanField(default=False)
    issued_at = models.DateTimeField()
    issued_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)
    superseded_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="supersedes"
    )
    voided_at = models.DateTimeField(null=True, blank=True)
    pdf_path = models.CharField(max_length=254, blank=True)
    pdf_sha256 = models.CharField(max_length=64, blank=True)

    objects = StatementQuerySet.as_manager()

    class Meta:
        ordering = ("-period__month", "number")
        default_permissions = ("view",)
        permissions = [
            ("issue_statements", "Can issue statements"),
            ("send_statements", "Can send statements"),
            ("void_statement", "Can void a statement"),
        ]
        indexes = [models.Index(fields=["pi", "period"], name="statement_owner")]
        constraints = [
            models.UniqueConstraint(
                fields=["reference"],
                condition=Q(state__in=("issued", "sent")),
                name="one_live_statement",
                violation_error_message="This PI and project have a statement for the period already.",
            ),
            models.UniqueConstraint(fields=["reference", "revision"], name="one_statement_per_revision"),
            models.CheckConstraint(
                condition=~Q(state="superseded") | Q(superseded_at__isnull=False),
                name="superseded_statement_has_stamp",
                violation_error_message="A superseded statement says when.",
            ),
            models.CheckConstraint(
                condition=~Q(state="sent") | Q(sent_at__isnull=False),
                name="sent_statement_has_stamp",
                violation_error_message="A sent statement says when.",
            ),
            models.CheckConstraint(
                condition=~Q(state="void") | Q(voided_at__isnull=False),
                name="void_statement_has_stamp",
                violation_error_message="A void statement says when.",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def discount(self) -> Decimal:
        return self.list_cost - self.contracted_cost

    @property
    def subsidy(self) -> Decimal:
        return self.contracted_cost - self.charged


class StatementLine(Standing):
    """A payer line as it stood when the statement was issued, with its resources below it."""

    statement = models.ForeignKey(Statement, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    payer_key = models.CharField(max_length=1000)
    kind = models.CharField(max_length=16)
    for_month = models.CharField(max_length=7)
    fund_org = models.CharField("fund/org", max_length=64)
    source_name = models.CharField(max_length=64)
    source_label = models.CharField(max_length=128)
    natural_account = models.CharField(max_length=64, blank=True)
    service_name = models.CharField(max_length=254, blank=True)
    list_cost = AmountField()
    contracted_cost = AmountField()
    charged = AmountField()
    shared_total = AmountField(
        null=True, blank=True, help_text="Of a share in a shared cost: the whole that was shared."
    )
    charge_count = models.BigIntegerField()
    resources = models.JSONField(
        default=list,
        help_text="What makes up the line, in cents that add up to it: name, id, count, list, contracted, charged.",
    )

    STANDS_BY = "statement__period"
    STANDS_IN = FINAL
    KEPT = "A statement stands as issued: a change makes a new revision."

    objects = StandingQuerySet.as_manager()

    class Meta:
        ordering = ("statement", "number")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["statement", "number"], name="one_statement_line_per_number"),
            models.UniqueConstraint(fields=["statement", "payer_key"], name="one_statement_line_per_payer"),
        ]

    def __str__(self) -> str:
        return f"statement line {self.pk}"

    @property
    def discount(self) -> Decimal:
        return self.list_cost - self.contracted_cost

    @property
    def subsidy(self) -> Decimal:
        return self.contracted_cost - self.charged

    @property
    def what(self) -> str:
        """The service, or the shared cost that the line is a share of."""
        return self.service_name if self.shared_total is None else f"Share of: {self.service_name}"


class Delivery(models.Model):
    """An e-mail with a PI's statements: claimed, sent, recorded."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        CLAIMED = "claimed", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="deliveries")
    pi = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="deliveries", verbose_name="PI")
    statements = models.ManyToManyField(Statement, related_name="deliveries")
    recipients = models.JSONField(default=list)
    subject = models.CharField(max_length=254)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    error = models.TextField(blank=True)
    message_path = models.CharField(max_length=254, blank=True, help_text="The message as sent, archived.")
    created_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="sent") | Q(sent_at__isnull=False),
                name="sent_delivery_has_stamp",
                violation_error_message="A sent message says when.",
            ),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"
