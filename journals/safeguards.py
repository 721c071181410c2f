"""What the database refuses of journals and invoices: once submitted, lines and totals stand, and they add up."""

from billing.safeguards import ALL, Refusal, frozen, register

from .models import (
    CustomerInvoice,
    CustomerInvoiceLine,
    Journal,
    JournalFile,
    JournalFileLine,
    JournalLayout,
    JournalLine,
    ReceivablesExport,
    WarningAcknowledgement,
)


def register_own() -> None:
    """Register the safeguards of this app's tables."""
    says = "a submitted journal is locked: reject or reverse it, and the next draft has its lines"
    released = "a released layout is locked: add a new version"
    lines = "FROM journals_journalline l WHERE l.journal_id = {new}.id"
    register(
        Refusal("insert", Journal, "insert", "a journal begins as a draft", when="{row}.state <> 'draft'"),
        frozen(Journal, "{old}.state <> 'draft'", says, free=Journal.ANSWERED),
        Refusal(
            "leave",
            Journal,
            "update",
            "a journal leaves draft only when its lines balance and are what its totals say, and never comes back",
            changes="({old}.state <> 'draft' AND {new}.state = 'draft') OR "
            "({old}.state = 'draft' AND {new}.state <> 'draft' AND ({new}.debits <> {new}.credits OR "
            f"{{new}}.debits <> (SELECT coalesce(sum(l.debit), 0) {lines}) OR "
            f"{{new}}.credits <> (SELECT coalesce(sum(l.credit), 0) {lines}) OR "
            f"{{new}}.line_count <> (SELECT count(*) {lines})))",
        ),
        Refusal("delete", Journal, "delete", says, when="{row}.state <> 'draft'"),
        *(
            Refusal(event, model, event, says, ("journal",), "{row}.state <> 'draft'")
            for model in (JournalLine, JournalFileLine, JournalFile, WarningAcknowledgement)
            for event in ALL
        ),
        frozen(JournalLayout, "{old}.state <> 'draft'", released, free=JournalLayout.ANSWERED),
        Refusal(
            "leave",
            JournalLayout,
            "update",
            "a layout is a draft, then released, then retired, and never the other way",
            changes="({old}.state <> 'draft' AND {new}.state = 'draft') OR "
            "({old}.state = 'retired' AND {new}.state <> 'retired')",
        ),
        Refusal("delete", JournalLayout, "delete", released, when="{row}.state <> 'draft'"),
    )
    _register_receivables()


def _register_receivables() -> None:
    says = "submitted invoices are locked: a later change is on a further invoice"
    is_not_draft = "{row}.state <> 'draft'"
    invoices = "FROM journals_customerinvoice i WHERE i.export_id = {new}.id"
    lines = (
        "FROM journals_customerinvoiceline l JOIN journals_customerinvoice i ON i.id = l.invoice_id "
        "WHERE i.export_id = {new}.id"
    )
    register(
        Refusal("insert", ReceivablesExport, "insert", "receivables begin as a draft", when=is_not_draft),
        frozen(ReceivablesExport, "{old}.state <> 'draft'", says),
        Refusal(
            "leave",
            ReceivablesExport,
            "update",
            "receivables leave draft only with numbered invoices that are what their totals say",
            changes="{old}.state = 'draft' AND {new}.state <> 'draft' AND ("
            f"EXISTS (SELECT 1 {invoices} AND i.number IS NULL) OR "
            f"{{new}}.total <> (SELECT coalesce(sum(i.total), 0) {invoices}) OR "
            f"{{new}}.total <> (SELECT coalesce(sum(l.amount), 0) {lines}) OR "
            f"{{new}}.invoice_count <> (SELECT count(*) {invoices}) OR "
            f"{{new}}.line_count <> (SELECT count(*) {lines}))",
        ),
        Refusal("delete", ReceivablesExport, "delete", says, when=is_not_draft),
        *(Refusal(event, CustomerInvoice, event, says, ("export",), is_not_draft) for event in ALL),
        *(Refusal(event, CustomerInvoiceLine, event, says, ("invoice", "export"), is_not_draft) for event in ALL),
    )
