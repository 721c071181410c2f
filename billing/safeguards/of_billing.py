"""What the database refuses of billing's own tables."""

from ..models import (
    DIMENSION_MODELS,
    AuditEvent,
    AuditHead,
    BillingPeriod,
    BillingReference,
    Charge,
    Correction,
    CorrectionLine,
    CostPool,
    Disposal,
    DisposedFile,
    DisputedCharge,
    ExchangeRate,
    Flag,
    FrozenProof,
    LegalHold,
    Message,
    MonthTotal,
    PayerLine,
    PayerSplitShare,
    PrepaidEntry,
    PricedMonth,
    Question,
    RateSchedule,
    RateStudy,
    ReviewDecision,
    SharedCost,
    SharedCostPart,
    UsageFeed,
    UsageFile,
)
from ..models.periods import FINAL
from .refusals import ALL, Refusal, frozen, in_parts, in_shut_months, kept_for_ever, register

WHOLE_CORRECTION = "a correction is over an amount in the smallest unit of its currency"
WHOLE_LINE = "a payer line is in the smallest unit of its currency"
PARTED_LINE = " OR ".join(in_parts(column) for column in ("charged", "list_cost", "contracted_cost"))


def register_own() -> None:
    """Register what is refused of billing's own tables."""
    register(
        *_of_charges(),
        *_of_texts(),
        *_of_corrections(),
        *_of_questions(),
        *_of_payer_lines(),
        *_of_rate_schedules(),
        *_of_usage(),
        *_of_rate_studies(),
        *_of_the_audit_log(),
        *_of_periods(),
        *_of_retention(),
    )


def _of_charges() -> list[Refusal]:
    """Charges, and what was decided about them, stand once their month is closed."""
    return [
        *in_shut_months(Charge, "charged_in", "its charges"),
        *in_shut_months(Flag, "charge__charged_in", "its charges and their flags"),
        *in_shut_months(ReviewDecision, "charge__charged_in", "its decisions", events=("insert",)),
        *in_shut_months(MonthTotal, "charged_in", "the totals of its charges"),
        *kept_for_ever(ReviewDecision, "a decision is kept: undo it by another"),
        *(
            Refusal(
                event,
                PayerSplitShare,
                event,
                "charges of a closed month are shared by this split: make a new one from its own day on",
                ("split",),
                "EXISTS (SELECT 1 FROM billing_charge c JOIN billing_billingperiod p ON p.id = c.charged_in_id "
                "WHERE c.payer_split_id = {row}.id AND p.status IN ('closed', 'finalized'))",
            )
            for event in ALL
        ),
    ]


def _of_texts() -> list[Refusal]:
    """What providers wrote is never edited: charges of any month may share it."""
    return [
        each
        for model in DIMENSION_MODELS
        for each in kept_for_ever(model, "the texts of charges are kept as they were delivered")
    ]


def _of_corrections() -> list[Refusal]:
    """A correction is never edited: a mistake is reversed."""
    return [
        *in_shut_months(Correction, "charged_in", "its corrections", events=("insert", "update")),
        frozen(Correction, "true", "a correction is never edited", free=Correction.DECIDED, name="edit"),
        Refusal("delete", Correction, "delete", "a correction is never deleted: reverse it"),
        *in_shut_months(CorrectionLine, "correction__charged_in", "its corrections", events=("insert",)),
        Refusal(
            "whole",
            Correction,
            "insert",
            WHOLE_CORRECTION,
            when=f"({in_parts('amount')} OR {in_parts('total')})",
        ),
        Refusal(
            "whole",
            CorrectionLine,
            "insert",
            WHOLE_CORRECTION,
            when=f"EXISTS (SELECT 1 FROM billing_correction c WHERE c.id = {{row}}.correction_id AND "
            f"{in_parts('amount', currency='c.currency')})",
        ),
        *kept_for_ever(CorrectionLine, "a correction is never edited or deleted: reverse it"),
        *kept_for_ever(PrepaidEntry, "an entry of a prepaid balance is kept: reverse its correction"),
    ]


def _of_questions() -> list[Refusal]:
    """What was asked stands, a thread only grows, and a question ends once."""
    return [
        frozen(Question, "true", "what was asked is never edited", free=Question.FREE, name="edit"),
        frozen(Question, "{old}.state IN ('answered', 'withdrawn')", "a question is answered once"),
        Refusal("delete", Question, "delete", "a question is never deleted"),
        *kept_for_ever(Message, "a message is kept as it was written"),
        frozen(DisputedCharge, "true", "what a question is about is never edited", free=("ended_at",), name="edit"),
        Refusal("delete", DisputedCharge, "delete", "what a question is about is kept"),
    ]


def _of_payer_lines() -> list[Refusal]:
    """Payer lines stand once their month is finalized, with all they were made from and are proved by."""
    return [
        # A rate that was missing may come late; one that was charged with stands.
        *in_shut_months(ExchangeRate, "period", "its exchange rates", events=("update", "delete")),
        *in_shut_months(PayerLine, "period", "its payer lines", shut=FINAL),
        Refusal("whole", PayerLine, "insert", WHOLE_LINE, when=f"({PARTED_LINE})"),
        Refusal("still_whole", PayerLine, "update", WHOLE_LINE, changes=PARTED_LINE.replace("{row}", "{new}")),
        *in_shut_months(BillingReference, "period", "its references", shut=FINAL),
        *kept_for_ever(FrozenProof, "the reconciliation a month was finalized with is locked"),
    ]


def _of_rate_schedules() -> list[Refusal]:
    """A version of a rate schedule that was put in force stays as it is: months were priced by it, or will be."""
    locked = "a rate schedule that was put in force is locked"
    return [
        frozen(RateSchedule, "{old}.state <> 'draft'", locked, free=("state",)),
        Refusal(
            "state",
            RateSchedule,
            "update",
            locked,
            changes="({old}.state = 'released' AND {new}.state = 'draft') OR "
            "({old}.state = 'retired' AND {new}.state <> 'retired')",
        ),
        Refusal("delete", RateSchedule, "delete", locked, when="{row}.state <> 'draft'"),
    ]


def _of_usage() -> list[Refusal]:
    """Usage as it was read, and how months were priced, are kept: charges lead back to them."""
    return [
        Refusal(
            "priced",
            UsageFeed,
            "update",
            "a usage feed whose months were priced keeps its name, source and kind",
            changes="({old}.name {differs} {new}.name OR {old}.source_id {differs} {new}.source_id OR "
            "{old}.kind {differs} {new}.kind) AND EXISTS (SELECT 1 FROM billing_pricedmonth m "
            "WHERE m.feed_id = {old}.id)",
        ),
        frozen(
            UsageFile,
            "true",
            "usage is kept as it was read",
            free=("state", "withdrawn_at", "reason"),
        ),
        frozen(UsageFile, "{old}.state = 'withdrawn'", "a usage file is withdrawn once", name="withdrawn"),
        Refusal("delete", UsageFile, "delete", "usage that was read is kept: withdraw its file"),
        *kept_for_ever(PricedMonth, "how a month of usage was priced is kept: price it again"),
        *kept_for_ever(PricedMonth.files.through, "which files a month was priced from is kept: price it again"),
    ]


def _of_rate_studies() -> list[Refusal]:
    """A rate study that was adopted stays as it is, with its costs: a rate rests on it."""
    locked = "a rate study that was adopted is locked"
    taken = "a shared cost that an adopted study has its part of is locked"
    return [
        frozen(RateStudy, "{old}.state = 'adopted'", locked),
        Refusal("delete", RateStudy, "delete", locked, when="{row}.state = 'adopted'"),
        *(Refusal(event, CostPool, event, locked, path=("study",), when="{row}.state = 'adopted'") for event in ALL),
        frozen(SharedCost, "{old}.locked_at IS NOT NULL", taken),
        Refusal("delete", SharedCost, "delete", taken, when="{row}.locked_at IS NOT NULL"),
        *(
            Refusal(event, SharedCostPart, event, taken, path=("shared_cost",), when="{row}.locked_at IS NOT NULL")
            for event in ALL
        ),
    ]


def _of_the_audit_log() -> list[Refusal]:
    """The audit log only grows."""
    return [
        *kept_for_ever(AuditEvent, "the audit log is never changed, only added to"),
        Refusal("delete", AuditHead, "delete", "the head of the audit log stays"),
        Refusal(
            "update",
            AuditHead,
            "update",
            "the audit log only grows",
            changes="{new}.events < {old}.events OR ({new}.events = {old}.events AND {new}.hash <> {old}.hash)",
        ),
    ]


def _of_periods() -> list[Refusal]:
    """A billing period that is closed stays, and a finalized one never changes."""
    return [
        frozen(BillingPeriod, "{old}.status = 'finalized'", "a finalized billing period is permanently locked"),
        Refusal(
            "month",
            BillingPeriod,
            "update",
            "a closed billing period keeps its month",
            changes="{old}.status = 'closed' AND {old}.month <> {new}.month",
        ),
        Refusal(
            "delete",
            BillingPeriod,
            "delete",
            "a closed billing period is not deleted",
            when="{row}.status IN ('closed', 'finalized')",
        ),
    ]


def _of_retention() -> list[Refusal]:
    """A hold is lifted once, and what was disposed of stays on record under its certificate."""
    return [
        frozen(LegalHold, "true", "a legal hold is lifted, never edited", free=LegalHold.FREE, name="edit"),
        frozen(LegalHold, "{old}.lifted_at IS NOT NULL", "a legal hold is lifted once"),
        Refusal("delete", LegalHold, "delete", "a legal hold is lifted, never deleted"),
        frozen(Disposal, "true", "a disposal is decided once", free=Disposal.COMPLETED, name="edit"),
        frozen(Disposal, "{old}.completed_at IS NOT NULL", "a certificate of disposal is locked"),
        Refusal("delete", Disposal, "delete", "a certificate of disposal is kept"),
        Refusal(
            "insert",
            DisposedFile,
            "insert",
            "the certificate of a disposal is locked, with its files",
            ("disposal",),
            "{row}.completed_at IS NOT NULL",
        ),
        *kept_for_ever(DisposedFile, "what was disposed of is kept on record"),
    ]
