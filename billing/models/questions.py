"""Questions of PIs about what they are charged, and what they propose: each with its thread and what came of it."""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from ..errors import BillingError
from ..fields import TotalField
from .charges import Charge, ChargeQuerySet, Flag
from .payers import BillingReference
from .people import Person, Project
from .periods import BillingPeriod
from .standing import KeptQuerySet, KeptRow


class QuestionFrozen(BillingError):
    """What somebody asked was to be edited or deleted."""


# SQL knows the states by their values, before the class does.
OPEN_STATES = ("asked", "replied", "approval")


class QuestionQuerySet(models.QuerySet["Question"]):
    """Questions are asked, answered or withdrawn; nothing else of them changes."""

    def open(self) -> "QuestionQuerySet":
        """Keep those that nobody answered yet."""
        return self.filter(state__in=Question.OPEN)

    def waiting(self) -> "QuestionQuerySet":
        """Keep those that wait for staff."""
        return self.filter(state__in=Question.WAITING)

    def update(self, **fields: object) -> int:
        if set(fields) - set(Question.FREE):
            raise QuestionFrozen(Question.KEPT)
        return super().update(**fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise QuestionFrozen(Question.KEPT)


class Question(models.Model):
    """What a PI or a delegate asks about a line or a charge, or proposes for a project.

    It names the payer line by its month and key, as statements do, so that it outlives every revision. What was asked
    stands; its state, its outcome and its thread grow. The outcome is what staff left as it is, the decisions of one
    gesture, a correction that points to the question, or a project that was changed.
    """

    class Kind(models.TextChoices):
        QUESTION = "question", "Question"
        PROPOSAL = "proposal", "Proposal"

    class Reason(models.TextChoices):
        USAGE = "usage", "The usage looks wrong"
        PRICE = "price", "The price, discount or subsidy looks wrong"
        NOT_OURS = "not_ours", "This is not ours"
        TWICE = "twice", "It is charged twice"
        FUND = "fund", "It belongs on another fund/org"
        OTHER = "other", "Something else"
        BENEFITS = "benefits", "The work belongs to another fund/org"
        ENDS = "ends", "The fund/org ends or has ended"
        MISTAKE = "mistake", "The project names the wrong fund/org"

    class State(models.TextChoices):
        ASKED = "asked", "Waiting for staff"
        REPLIED = "replied", "Waiting for the PI"
        APPROVAL = "approval", "Waiting for approval"
        ANSWERED = "answered", "Answered"
        WITHDRAWN = "withdrawn", "Withdrawn"

    class Outcome(models.TextChoices):
        STAYS = "stays", "Stays as it is"
        APPROVED = "approved", "Approved as it is"
        REJECTED = "rejected", "Not charged"
        MOVED = "moved", "Charged as proposed"
        CORRECTED = "corrected", "Corrected"
        CHANGED = "changed", "Project changed as proposed"

    # What is asked about a line, and why a project should be paid otherwise. That no money is left is no reason.
    OF_LINES = (Reason.USAGE, Reason.PRICE, Reason.NOT_OURS, Reason.TWICE, Reason.FUND, Reason.OTHER)
    OF_PROJECTS = (Reason.BENEFITS, Reason.ENDS, Reason.MISTAKE)

    OPEN = (State.ASKED, State.REPLIED, State.APPROVAL)
    WAITING = (State.ASKED, State.APPROVAL)
    TRANSITIONS = {
        State.ASKED: {State.ASKED, State.REPLIED, State.APPROVAL, State.ANSWERED, State.WITHDRAWN},
        State.REPLIED: {State.ASKED, State.REPLIED, State.APPROVAL, State.ANSWERED, State.WITHDRAWN},
        # Finance approves the move, or hands the question back.
        State.APPROVAL: {State.ASKED, State.ANSWERED},
        State.ANSWERED: frozenset[str](),
        State.WITHDRAWN: frozenset[str](),
    }

    # What becomes of it; the rest stands as it was asked.
    FREE = ("state", "outcome", "ended_at", "ended_by", "ended_by_name", "gesture")
    KEPT = "What somebody asked is kept: answer it, or write another message."

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.QUESTION)
    reason = models.CharField(max_length=16, choices=Reason.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ASKED)
    period = models.ForeignKey(
        BillingPeriod,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="questions",
        verbose_name="billing period",
        help_text="The month whose statement it is about; empty for a proposal of what comes.",
    )
    reference = models.ForeignKey(
        BillingReference, null=True, blank=True, on_delete=models.PROTECT, related_name="questions"
    )
    pi = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="questions", verbose_name="PI")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.PROTECT, related_name="questions")
    payer_key = models.CharField(max_length=1000, blank=True, help_text="The natural key of the payer line.")
    charge = models.ForeignKey(
        Charge,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="questions",
        db_constraint=False,
        help_text="The one charge of the line that it is about, if it is about one.",
    )
    line = models.CharField(max_length=64, blank=True, help_text="As it was shown: 2025-01-0007-1:3.")
    about = models.CharField(max_length=254, help_text="What was used, or the project.")
    paid_by = models.CharField(
        "fund/org", max_length=254, blank=True, help_text="The fund/orgs that pay, as it was asked."
    )
    amount = TotalField(null=True, blank=True, help_text="What the line or charge came to, as it was asked.")
    currency = models.CharField(max_length=3, blank=True)
    proposed = models.JSONField(
        default=dict, blank=True, help_text="The proposed fund/orgs, each with its percent as text."
    )
    basis = models.TextField(blank=True, help_text="What the shares of a proposed split follow from.")
    starts_on = models.DateField(
        null=True, blank=True, help_text="Of a proposal for what comes: the first day of service."
    )
    is_sponsored = models.BooleanField(
        "moves a sponsored award", default=False, help_text="It moves a cost to or from a sponsored award."
    )
    is_in_time = models.BooleanField(
        "asked in time", default=False, help_text="The month took changes, and its review date had not passed."
    )
    respond_by = models.DateField("answer due", help_text="The day by which staff answer.")
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="questions"
    )
    asked_by_name = models.CharField("asked by", max_length=254)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    ended_by_name = models.CharField("answered by", max_length=254, blank=True)
    gesture = models.UUIDField(
        null=True, blank=True, db_index=True, help_text="The gesture that answered it: its decisions have the same."
    )

    objects = QuestionQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [("approve_move", "Can approve moves to or from sponsored awards that PIs propose")]
        indexes = [
            models.Index(fields=["state", "respond_by"], name="question_waiting"),
            models.Index(fields=["asked_by", "asked_at"], name="question_asked"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["period", "payer_key"],
                condition=Q(state__in=OPEN_STATES, charge__isnull=True) & ~Q(payer_key=""),
                name="one_open_question_per_line",
                violation_error_message="There is an open question about this line already.",
            ),
            models.UniqueConstraint(
                fields=["charge"],
                condition=Q(state__in=OPEN_STATES, charge__isnull=False),
                name="one_open_question_per_charge",
                violation_error_message="There is an open question about this charge already.",
            ),
            models.UniqueConstraint(
                fields=["pi", "project"],
                condition=Q(state__in=OPEN_STATES, payer_key=""),
                name="one_open_proposal_per_project",
                violation_error_message="There is an open proposal for this project already.",
            ),
            models.CheckConstraint(
                condition=(Q(period__isnull=False, reference__isnull=False, starts_on__isnull=True) & ~Q(payer_key=""))
                | Q(
                    period__isnull=True,
                    reference__isnull=True,
                    charge__isnull=True,
                    payer_key="",
                    project__isnull=False,
                    starts_on__isnull=False,
                ),
                name="question_is_about_something",
                violation_error_message="A question is about a line of a month, or a proposal for a project.",
            ),
            models.CheckConstraint(
                condition=Q(state__in=OPEN_STATES, ended_at__isnull=True, outcome="", ended_by_name="")
                | (Q(state="answered", ended_at__isnull=False) & ~Q(outcome="") & ~Q(ended_by_name=""))
                | (Q(state="withdrawn", ended_at__isnull=False, outcome="") & ~Q(ended_by_name="")),
                name="ended_question_has_stamp",
                violation_error_message="A question that was answered or withdrawn says when, by whom and how.",
            ),
        ]

    def __str__(self) -> str:
        return f"question {self.pk}" if self.kind == self.Kind.QUESTION else f"proposal {self.pk}"

    @property
    def line_text(self) -> str:
        """The statement and the line as people read them: `2025-01-0007-1, line 3`."""
        statement, _, number = self.line.rpartition(":")
        return f"{statement}, line {number}" if statement else ""

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def is_of_project(self) -> bool:
        """Whether it proposes who pays for what comes."""
        return not self.payer_key

    @property
    def shares(self) -> dict[str, Decimal]:
        """The proposed fund/orgs with their percents, none where nothing is proposed."""
        return {fund_org: Decimal(percent) for fund_org, percent in self.proposed.items()}

    @property
    def proposed_text(self) -> str:
        """The proposal as people read it: a fund/org, or A 60%, B 40%."""
        if len(self.proposed) < 2:
            return "".join(self.proposed)
        return ", ".join(f"{fund_org} {percent.normalize():f}%" for fund_org, percent in sorted(self.shares.items()))

    def save(self, *args: object, **options: object) -> None:
        given = options.get("update_fields")
        if not self._state.adding and set(given if isinstance(given, list | tuple) else ("all",)) - set(self.FREE):
            raise QuestionFrozen(self.KEPT)
        super().save(*args, **options)  # type: ignore[arg-type]

    def delete(self, *args: object, **options: object) -> tuple[int, dict[str, int]]:
        raise QuestionFrozen(self.KEPT)


class Message(KeptRow):
    """One message of a question's thread; both sides read all of them."""

    KEPT = "A message is kept as it was written: write another."

    question = models.ForeignKey(Question, on_delete=models.PROTECT, related_name="messages")
    text = models.TextField()
    is_from_staff = models.BooleanField(default=False)
    written_at = models.DateTimeField()
    written_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    written_by_name = models.CharField("written by", max_length=254)

    objects = KeptQuerySet["Message"].as_manager()

    class Meta:
        ordering = ("question", "id")
        default_permissions = ()
        indexes = [models.Index(fields=["written_by", "written_at"], name="message_written")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(text=""),
                name="message_says_something",
                violation_error_message="A message says something.",
            ),
        ]

    def __str__(self) -> str:
        return f"message {self.pk}"


class DisputedCharge(models.Model):
    """A charge that a question is about, with the state it had: it goes back to that when nothing else holds it."""

    question = models.ForeignKey(Question, on_delete=models.PROTECT, related_name="charges")
    charge = models.ForeignKey(Charge, on_delete=models.PROTECT, related_name="disputed", db_constraint=False)
    was = models.CharField(
        max_length=24,
        blank=True,
        choices=Charge.State.choices,
        help_text="Empty where it was not held for the question.",
    )
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When the charge was no longer held for it.")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["question", "charge"], name="one_mark_per_question_and_charge"),
        ]

    def __str__(self) -> str:
        return f"charge {self.charge_id} of question {self.question_id}"


def held_for_questions_only(charges: ChargeQuerySet) -> ChargeQuerySet:
    """Keep the held charges that nothing but open questions holds: they post when their month closes.

    One that was approved goes back to that, unless something stands against it that no approval answers.
    """
    marks = DisputedCharge.objects.filter(charge=OuterRef("pk"), ended_at__isnull=True)
    others = Flag.objects.filter(charge=OuterRef("pk"), is_resolved=False).exclude(code=Flag.Code.DISPUTED)
    return charges.held().filter(
        Q(Exists(marks.filter(was=Charge.State.CLEAR)), ~Exists(others))
        | Q(Exists(marks.filter(was=Charge.State.APPROVED)), ~Exists(others.filter(code__in=Flag.BLOCKING)))
    )
