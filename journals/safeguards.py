"""What the database refuses of journals: once submitted, its lines and totals stand, and they balance."""

from billing.safeguards import ALL, Refusal, frozen, register

from .models import Journal, JournalFile, JournalFileLine, JournalLayout, JournalLine


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
            for model in (JournalLine, JournalFileLine, JournalFile)
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
