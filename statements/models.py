"""Statements as issued, line by line, and their way to the PIs."""

import datetime
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.fields import TotalField
from billing.models import BillingPeriod, BillingReference, PayerLine, Person, Project, User
from billing.models.payers import REFERENCES_LENGTH
from billing.models.periods import FINAL
from billing.models.scopes import scope_of
from billing.models.standing import Standing, StandingQuerySet
from billing.money import Priced
from billing.texts import long_date


class StatementQuerySet(StandingQuerySet["Statement"]):
    def live(self) -> "StatementQuerySet":
        """Keep the revisions in force."""
        return self.filter(state__in=Statement.LIVE)

    def visible_to(self, user: User, *, on: datetime.date) -> "StatementQuerySet":
        """Keep what a PI or a delegate may see on a day: theirs and nothing else; see `scope_of`."""
        return self.filter(scope_of(user, on=on).rows())


class Statement(Priced, Standing):
    """One PI's costs in one project and month: a snapshot that never changes once issued."""

    class State(models.TextChoices):
        ISSUED = "issued", "Issued"
        WRITTEN = "written", "Written to file"
        # So small that the policy has no e-mail sent about it.
        PORTAL = "portal", "Portal only"
        SENT = "sent", "Sent"
        SUPERSEDED = "superseded", "Superseded"
        VOID = "void", "Void"

    LIVE = (State.ISSUED, State.WRITTEN, State.PORTAL, State.SENT)
    # In force, and nobody was e-mailed it.
    UNSENT = (State.ISSUED, State.WRITTEN, State.PORTAL)

    STANDS_IN = FINAL
    # What happens to a document after it was issued; of a finalized month it may still be sent and drawn.
    FREE = frozenset(
        {
            "state",
            "written_at",
            "sent_at",
            "superseded_at",
            "superseded_by",
            "voided_at",
            "void_reason",
            "pdf_path",
            "pdf_sha256",
        }
    )

    TRANSITIONS = {
        State.ISSUED: {State.WRITTEN, State.PORTAL, State.SENT, State.SUPERSEDED, State.VOID},
        # Its e-mail is a file on this machine: nobody got it yet.
        State.WRITTEN: {State.SENT, State.SUPERSEDED, State.VOID},
        # A person may send it all the same.
        State.PORTAL: {State.WRITTEN, State.SENT, State.SUPERSEDED, State.VOID},
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
    digest = models.CharField(max_length=64, help_text="SHA-256 of what makes a new revision when it changes.")
    document = models.JSONField(help_text="Names, texts and notes as printed.")
    currency = models.CharField(max_length=3)
    list_cost = TotalField()
    contracted_cost = TotalField()
    charged = TotalField("total charged")
    corrections_list_cost = TotalField(default=0)
    corrections_contracted_cost = TotalField(default=0)
    corrections = TotalField(
        default=0, help_text="What of the total charged is no charge of its own month: corrections and late changes."
    )
    review_until = models.DateField(
        "questions until",
        null=True,
        blank=True,
        help_text="As printed: where the month was in review when it was issued.",
    )
    issued_at = models.DateTimeField()
    issued_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    written_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)
    superseded_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="supersedes"
    )
    voided_at = models.DateTimeField(null=True, blank=True)
    void_reason = models.TextField("reason", blank=True, help_text="Why it was voided; its PI reads it.")
    pdf_path = models.CharField(max_length=254, blank=True)
    pdf_sha256 = models.CharField(max_length=64, blank=True)
    charges_sha256 = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of charges.csv, as it was written when the statement was issued."
    )

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
                condition=Q(state__in=("issued", "written", "portal", "sent")),
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
                condition=~Q(state="written") | Q(written_at__isnull=False),
                name="written_statement_has_stamp",
                violation_error_message="A statement whose e-mail was written to a file says when.",
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
    def mail_state(self) -> str:
        """Say whether its PI was mailed it, whatever became of it since."""
        if self.sent_at:
            return f"e-mailed {_day(self.sent_at)}"
        if self.written_at:
            return f"written to a file on {_day(self.written_at)}, not e-mailed"
        return "on the portal only" if self.state == self.State.PORTAL else "not e-mailed"

    @property
    def month_state(self) -> str:
        """Say how far the close of its month has come: of the month as it is now, not as it was when issued."""
        period, status = self.period, BillingPeriod.Status
        if period.status == status.REVIEW and (until := period.review_until):
            return f"In review: questions until {long_date(until)}"
        return {status.OPEN: "Month open", status.CLOSED: "Month closed"}.get(status(period.status), "Final")

    @property
    def month_list_cost(self) -> Decimal:
        """The list price of its own month, as at the head of the document: without corrections."""
        return self.list_cost - self.corrections_list_cost

    @property
    def month_discount(self) -> Decimal:
        return self.month_list_cost - self.month_contracted_cost

    @property
    def month_subsidy(self) -> Decimal:
        return self.month_contracted_cost - (self.charged - self.corrections)

    @property
    def month_contracted_cost(self) -> Decimal:
        return self.contracted_cost - self.corrections_contracted_cost


def _day(moment: datetime.datetime) -> str:
    return long_date(timezone.localdate(moment))


class StatementLine(Priced, Standing):
    """A payer line as it stood when the statement was issued, with its resources below it."""

    statement = models.ForeignKey(Statement, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    payer_key = models.CharField(max_length=1000)
    kind = models.CharField(max_length=24, choices=PayerLine.Kind.choices)
    for_month = models.CharField(max_length=7)
    fund_org = models.CharField("fund/org", max_length=64)
    source_name = models.CharField(max_length=64)
    source_label = models.CharField(max_length=128)
    natural_account = models.CharField(max_length=64, blank=True)
    service_name = models.CharField(max_length=254, blank=True)
    list_cost = TotalField()
    contracted_cost = TotalField()
    charged = TotalField()
    shared_total = TotalField(
        null=True, blank=True, help_text="Of a share in a shared cost: the whole that was shared."
    )
    charge_count = models.BigIntegerField()
    reference_1 = models.CharField(max_length=REFERENCES_LENGTH, blank=True, default="")
    reference_2 = models.CharField(max_length=REFERENCES_LENGTH, blank=True, default="")
    corrects = models.JSONField(
        default=list, blank=True, help_text="Lines of earlier statements that it corrects: 2025-01-0007-1:3."
    )
    charged_before = TotalField(
        null=True, blank=True, help_text="Of a correction: what the lines that it corrects charged until then."
    )
    original = models.JSONField(
        default=dict,
        blank=True,
        help_text="Where its charges came in another currency: that currency, the rate, and its amounts before it.",
    )
    resources = models.JSONField(
        default=list,
        help_text="What makes up the line, in cents that add up to it: name, id, count, list, contracted, charged, "
        "usage.",
    )
    service_from = models.DateField(
        null=True, blank=True, help_text="The first day of service, by the calendar of UTC."
    )
    service_until = models.DateField(null=True, blank=True, help_text="The last day of service.")
    split = models.JSONField(
        default=dict,
        blank=True,
        help_text="Where several fund/orgs share a cost: the percent that this one is charged, and the whole in cents.",
    )
    usage = models.JSONField(
        default=list,
        blank=True,
        help_text="How much was used, in each unit: of resources as a whole, with the percent charged here.",
    )

    STANDS_BY = "statement__period"
    STANDS_IN = FINAL
    KEPT = "An issued statement is locked: a change makes a new revision."

    objects = StandingQuerySet.as_manager()

    class Meta:
        ordering = ("statement", "number")
        default_permissions = ("view",)
        # Whether others charge to a fund/org, which a PI's page of funds asks.
        indexes = [models.Index(fields=["fund_org"], name="statement_line_fund")]
        constraints = [
            models.UniqueConstraint(fields=["statement", "number"], name="one_statement_line_per_number"),
            models.UniqueConstraint(fields=["statement", "payer_key"], name="one_statement_line_per_payer"),
        ]

    def __str__(self) -> str:
        return f"statement line {self.pk}"

    def is_correction_in(self, month: str) -> bool:
        """Tell whether it is no charge of the statement's own month (2025-01): a correction, or of another month."""
        corrects = self.kind == PayerLine.Kind.LATE or self.kind in PayerLine.ENTERED
        return corrects or self.for_month != month

    @property
    def what(self) -> str:
        """The service, or the shared cost that the line is a share of."""
        return self.service_name if self.shared_total is None else f"Share of: {self.service_name}"


class Email(models.Model):
    """One e-mail to one recipient, with statements of one PI: claimed, sent, recorded."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        CLAIMED = "claimed", "Being sent"
        SENT = "sent", "Sent"
        WRITTEN = "written", "Written to file"
        # In test mode: its recipient did not get it.
        REDIRECTED = "redirected", "Sent to the test address"
        FAILED = "failed", "Not sent"
        REFUSED = "refused", "Refused"
        UNCERTAIN = "uncertain", "Perhaps sent"
        DROPPED = "dropped", "Left out"

    class Role(models.TextChoices):
        PI = "pi", "PI"
        CONTACT = "contact", "Department contact"
        DELEGATE = "delegate", "Delegate"

    # The next run tries these; an uncertain one waits for a person, or it might be mailed twice.
    TO_SEND = (State.QUEUED, State.FAILED)
    TROUBLED = (State.FAILED, State.REFUSED, State.UNCERTAIN)

    period = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="statement_emails", verbose_name="billing period"
    )
    pi = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="statement_emails", verbose_name="PI")
    statements = models.ManyToManyField(Statement, related_name="emails")
    recipient = models.CharField(max_length=254, help_text="The address it went to, or will by what is known today.")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.PI, help_text="Why they get it.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The delegate.",
    )
    subject = models.CharField(max_length=254)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    error = models.TextField(
        "reason", blank=True, help_text="Why it was not sent, waits or was left out, in the mail server's own words."
    )
    message_path = models.CharField(
        "message", max_length=254, blank=True, help_text="Where the message is kept as it was sent or written."
    )
    redirected_to = models.CharField(
        "test address", max_length=254, blank=True, help_text="In test mode: who got it instead of its recipient."
    )
    again_because = models.TextField("sent again because", blank=True, help_text="Its recipient reads it.")
    repeats = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="repeated_by", verbose_name="repeats"
    )
    is_small = models.BooleanField(
        default=False, help_text="Left out because its statements charge less than the policy has e-mailed."
    )
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who had it sent; nobody where a job of the system did.",
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    try_again_at = models.DateTimeField(
        null=True, blank=True, help_text="When the worker tries it again by itself; empty: it does not."
    )
    created_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    written_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["try_again_at"], condition=Q(try_again_at__isnull=False), name="email_tried_again"),
            # How many went out within the last minute.
            models.Index(fields=["claimed_at"], name="email_claimed"),
        ]
        verbose_name = "e-mail"
        verbose_name_plural = "e-mails"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="sent") | Q(sent_at__isnull=False),
                name="sent_email_has_stamp",
                violation_error_message="A sent e-mail says when.",
            ),
            models.CheckConstraint(
                condition=~Q(state="written") | Q(written_at__isnull=False),
                name="written_email_has_stamp",
                violation_error_message="An e-mail written to a file says when.",
            ),
            models.CheckConstraint(
                condition=~Q(state="claimed") | Q(claimed_at__isnull=False),
                name="claimed_email_has_stamp",
                violation_error_message="An e-mail that is being sent says since when.",
            ),
        ]

    def __str__(self) -> str:
        return f"e-mail {self.pk}"
