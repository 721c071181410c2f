"""What the database refuses of statements: a snapshot stands as issued, and all of it once its month is finalized."""

from billing.safeguards import Refusal, frozen, in_shut_months, kept_for_ever, register

from .models import Statement, StatementLine


def register_own() -> None:
    """Register the safeguards of this app's tables."""
    register(
        *in_shut_months(Statement, "period", "its statements", shut=Statement.STANDS_IN, events=("insert",)),
        frozen(Statement, "true", "an issued statement is locked: a change makes a new revision", free=Statement.FREE),
        Refusal(
            "force",
            Statement,
            "update",
            "the billing period is finalized: its statements stay in force",
            changes="EXISTS (SELECT 1 FROM billing_billingperiod p WHERE p.id = {old}.period_id AND "
            "p.status = 'finalized') AND ({old}.superseded_by_id {differs} {new}.superseded_by_id OR "
            "({old}.state <> {new}.state AND NOT "
            "({old}.state IN ('issued', 'written', 'portal') AND {new}.state IN ('written', 'portal', 'sent'))))",
        ),
        Refusal("delete", Statement, "delete", "a statement is never deleted: void it, or issue a revision"),
        *in_shut_months(
            StatementLine, "statement__period", "its statements", shut=Statement.STANDS_IN, events=("insert",)
        ),
        *kept_for_ever(StatementLine, "an issued statement is locked: a change makes a new revision"),
    )
