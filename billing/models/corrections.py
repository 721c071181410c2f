"""Corrections by staff: the only way to change what a closed month charged."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from ..errors import BillingError
from ..fields import AmountSum, TotalField
from .charges import Charge
from .customers import Customer
from .payers import PayerLine
from .people import Person, Project
from .periods import BillingPeriod
from .questions import Question
from .sources import Source
from .standing import Standing, StandingQuerySet


class CorrectionFrozen(BillingError):
    """A correction was to be edited or deleted."""


def _refusal(what: str) -> CorrectionFrozen:
    return CorrectionFrozen(
        f"A correction is never {what}: correct a mistake by its reversal, which has the opposite lines."
    )


class CorrectionQuerySet(StandingQuerySet["Correction"]):
    """Corrections are added, approved or rejected; nothing else of them changes."""

    def approved(self) -> "CorrectionQuerySet":
        return self.filter(state=Correction.State.APPROVED)

    def proposed(self) -> "CorrectionQuerySet":
        return self.filter(state=Correction.State.PROPOSED)

    def standing(self) -> "CorrectionQuerySet":
        """Keep what is charged, and what will be once approved."""
        return self.exclude(state=Correction.State.REJECTED)

    def update(self, **fields: object) -> int:
        if set(fields) - set(Correction.DECIDED):
            raise _refusal("edited")
        return super().update(**fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise _refusal("deleted")


class CorrectionLineQuerySet(StandingQuerySet["CorrectionLine"]):
    def charged_in(self, period: BillingPeriod) -> "CorrectionLineQuerySet":
        """Keep the lines that are charged in a month."""
        return self.filter(correction__charged_in=period, correction__state=Correction.State.APPROVED)

    def taken_back(self, period: BillingPeriod) -> dict[str, Any]:
        """Return what standing corrections reversed of a month's payer lines, by their keys.

        It has the sign of what was charged: 30.00 where 30.00 of a line of 100.00 were reversed.
        """
        taken = self.filter(corrects_period=period).exclude(correction__state=Correction.State.REJECTED).order_by()
        return {key: -total for key, total in taken.values_list("corrects_key").annotate(total=AmountSum("amount"))}

    def update(self, **fields: object) -> int:
        raise _refusal("edited")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise _refusal("deleted")


class Correction(Standing):
    """A correction: who pays is changed, given back, written off, or charged by hand.

    `charged_in` is the open month whose statements and journal it is on, `for_period` the month it corrects. It is
    approved or rejected once, where the policy asks for a second person. It is never edited or deleted: a mistake is
    corrected by its reversal, which has the opposite lines (`reverses`).
    """

    class Kind(models.TextChoices):
        TRANSFER = "transfer", "Transfer"
        REFUND = "refund", "Refund"
        WRITE_OFF = "write_off", "Write-off"
        MANUAL = "manual", "Manual charge"
        PREPAID = "prepaid", "Prepaid balance"

    # What people enter line by line; the rest follows from the use of balances.
    ENTERED = (Kind.TRANSFER, Kind.REFUND, Kind.WRITE_OFF, Kind.MANUAL)

    class State(models.TextChoices):
        PROPOSED = "proposed", "Waits for approval"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"

    TRANSITIONS = {
        State.PROPOSED: {State.APPROVED, State.REJECTED},
        State.APPROVED: frozenset[str](),
        State.REJECTED: frozenset[str](),
    }

    STANDS_BY = "charged_in"
    # What a decision writes; the rest stands as entered.
    DECIDED = ("state", "decided_at", "decided_by", "decided_by_name", "decision_note")

    kind = models.CharField(max_length=16, choices=Kind.choices)
    charged_in = models.ForeignKey(
        BillingPeriod,
        on_delete=models.PROTECT,
        related_name="corrections",
        verbose_name="billing period",
        help_text="The month whose statements and journal it is on.",
    )
    for_period = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="corrected_by", help_text="The month it corrects."
    )
    currency = models.CharField(max_length=3)
    amount = TotalField(help_text="What it moves, gives back, writes off or charges; a reversal's is negative.")
    total = TotalField(help_text="The sum of its lines.")
    reason = models.TextField(help_text="Why, for staff. It is on no document and no page of a PI.")
    printed_text = models.TextField(
        blank=True,
        help_text="What everybody whom it concerns reads on their statement: of a transfer, both sides. May be empty.",
    )
    justification = models.TextField(blank=True, help_text="Why a sponsored award pays so long after the service.")
    charge = models.ForeignKey(
        Charge,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="corrections",
        db_constraint=False,
        help_text="The one charge it is about, if it is about one.",
    )
    question = models.ForeignKey(
        Question,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="corrections",
        help_text="The question of a PI that it answers.",
    )
    reverses = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="reversed_by")
    needs_second_person = models.BooleanField(default=False, help_text="As the policy was when it was entered.")
    state = models.CharField(max_length=16, choices=State.choices)
    entered_at = models.DateTimeField()
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    entered_by_name = models.CharField("entered by", max_length=254)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_by_name = models.CharField("decided by", max_length=254, blank=True)
    decision_note = models.TextField(blank=True)
    gesture = models.UUIDField(db_index=True)

    objects = CorrectionQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [
            ("enter_corrections", "Can enter corrections: transfers, refunds, write-offs, manual charges"),
            ("approve_correction", "Can approve or reject corrections that somebody else entered"),
        ]
        indexes = [models.Index(fields=["charged_in", "state"], name="correction_month")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=("transfer", "refund", "write_off", "manual", "prepaid"))
                & Q(state__in=("proposed", "approved", "rejected")),
                name="correction_is_known",
                violation_error_message="This is no kind or state of a correction.",
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=("transfer", "write_off")) | Q(total=0),
                name="correction_sums_to_zero",
                violation_error_message="The lines of a transfer or a write-off sum to zero.",
            ),
            models.CheckConstraint(
                condition=~Q(amount=0),
                name="correction_is_over_something",
                violation_error_message="A correction is over an amount, not over nothing.",
            ),
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="correction_has_reason",
                violation_error_message="A correction says why it was made.",
            ),
            models.CheckConstraint(
                condition=Q(state="proposed", decided_at__isnull=True)
                | (~Q(state="proposed") & Q(decided_at__isnull=False) & ~Q(decided_by_name="")),
                name="decided_correction_has_stamp",
                violation_error_message="A correction that was approved or rejected says when and by whom.",
            ),
            models.CheckConstraint(
                condition=Q(needs_second_person=False)
                | ~Q(state="approved")
                | ~Q(decided_by_name=F("entered_by_name")),
                name="correction_needs_second_person",
                violation_error_message="A correction is approved by another person than the one who entered it.",
            ),
            models.UniqueConstraint(
                fields=["reverses"],
                condition=~Q(state="rejected"),
                name="one_reversal_per_correction",
                violation_error_message="This correction has a reversal already.",
            ),
        ]

    def __str__(self) -> str:
        return f"correction {self.pk}"

    def save(self, *args: Any, **options: Any) -> None:
        if not self._state.adding and set(options.get("update_fields") or ("all",)) - set(self.DECIDED):
            raise _refusal("edited")
        super().save(*args, **options)

    def delete(self, *args: object, **options: object) -> tuple[int, dict[str, int]]:
        raise _refusal("deleted")


class CorrectionLine(Standing):
    """What a correction does to one payer, in whole cents: more to pay above zero, less below.

    `kind` is that of the payer line it makes. A line that reverses names the payer line it corrects by
    month and natural key, as statements and journals do.
    """

    correction = models.ForeignKey(Correction, on_delete=models.PROTECT, related_name="lines")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=24, choices=PayerLine.Kind.choices)
    pi = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="correction_lines", verbose_name="PI"
    )
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.PROTECT, related_name="correction_lines"
    )
    fund_org = models.CharField("fund/org", max_length=64, blank=True)
    customer = models.ForeignKey(
        Customer, null=True, blank=True, on_delete=models.PROTECT, related_name="correction_lines"
    )
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="correction_lines")
    natural_account = models.CharField(max_length=64, blank=True)
    service_name = models.CharField(max_length=254, blank=True)
    amount = TotalField()
    corrects_period = models.ForeignKey(
        BillingPeriod,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The month whose payer line it reverses.",
    )
    corrects_key = models.CharField(max_length=1000, blank=True, help_text="The natural key of that payer line.")

    STANDS_BY = "correction__charged_in"

    objects = CorrectionLineQuerySet.as_manager()

    class Meta:
        ordering = ("correction", "number")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["correction", "number"], name="one_correction_line_per_number"),
            models.CheckConstraint(
                condition=~Q(amount=0),
                name="correction_line_is_over_something",
                violation_error_message="A line of a correction is not over nothing.",
            ),
            models.CheckConstraint(
                condition=Q(customer__isnull=True) & ~Q(fund_org="") | Q(customer__isnull=False, fund_org=""),
                name="correction_line_has_payer",
                violation_error_message="A line of a correction names the fund/org or the customer it is about.",
            ),
            models.CheckConstraint(
                condition=Q(corrects_period__isnull=True, corrects_key="")
                | (Q(corrects_period__isnull=False) & ~Q(corrects_key="")),
                name="corrected_line_is_named",
                violation_error_message="A payer line is named by its month and its key.",
            ),
        ]

    def __str__(self) -> str:
        return f"correction line {self.pk}"

    @property
    def paid_by(self) -> str:
        """Who pays, as people call it: the fund/org, or the customer."""
        return self.fund_org or str(self.customer or "nobody")

    def save(self, *args: object, **options: object) -> None:
        if not self._state.adding:
            raise _refusal("edited")
        super().save(*args, **options)

    def delete(self, *args: object, **options: object) -> tuple[int, dict[str, int]]:
        raise _refusal("deleted")
