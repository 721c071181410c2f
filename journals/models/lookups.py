"""Lookup tables: what a ledger needs of a line beside its fund/org, such as worktags, by what the line says."""

from django.db import models

from .journals import Journal
from .ledger_lists import DatedRow, ListVersion

# Between the parts of a key: no code has it.
BETWEEN = "\x1f"


class LookupTable(ListVersion):
    """One version of a lookup table."""

    keys = models.JSONField(help_text="Names of a line that rows are found by.")
    columns = models.JSONField(help_text="Names of the values that a row has.")


class LookupRow(DatedRow):
    """A row of a lookup table, and the posting dates on which it holds."""

    list = models.ForeignKey(LookupTable, on_delete=models.CASCADE, related_name="rows")
    key = models.CharField(max_length=500, help_text="What the line says for each of the table's keys.")
    values = models.JSONField(help_text="By the table's columns.")

    class Meta(DatedRow.Meta):
        ordering = ("list", "key", "valid_from")
        indexes = [models.Index(fields=["list", "key"], name="lookup_row_of_table")]

    def __str__(self) -> str:
        return self.key.replace(BETWEEN, ", ")

    @property
    def parts(self) -> tuple[str, ...]:
        """What it is found by, in the order of the table's keys."""
        return tuple(self.key.split(BETWEEN))


class JournalLookup(models.Model):
    """Which version of a lookup table the file of a submitted journal was written with."""

    journal = models.ForeignKey(Journal, on_delete=models.CASCADE, related_name="lookups")
    table = models.ForeignKey(LookupTable, on_delete=models.PROTECT, related_name="journals")

    class Meta:
        ordering = ("journal", "id")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["journal", "table"], name="one_journal_lookup_per_table")]

    def __str__(self) -> str:
        return f"lookup table {self.table_id} of {self.journal_id}"
