"""Lookup tables: what a ledger needs of a line beside its fund/org, such as worktags, by what the line says."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.texts import long_span

from .journals import Journal

# Between the parts of a key: no code has it.
BETWEEN = "\x1f"


class LookupTable(models.Model):
    """One version of a lookup table. Loading the table again replaces it as a whole."""

    name = models.CharField(max_length=40)
    version = models.PositiveIntegerField(default=1)
    keys = models.JSONField(help_text="Names of a line that rows are found by.")
    columns = models.JSONField(help_text="Names of the values that a row has.")
    row_count = models.PositiveIntegerField("rows", default=0)
    loaded_at = models.DateTimeField("loaded")
    loaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    loaded_by_name = models.CharField("loaded by", max_length=254)
    replaced_at = models.DateTimeField("replaced", null=True, blank=True)

    class Meta:
        ordering = ("name", "-version")
        default_permissions = ("add", "view")
        constraints = [
            models.UniqueConstraint(
                fields=["name", "version"],
                name="one_lookup_table_per_version",
                violation_error_message="This lookup table has such a version already.",
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(replaced_at__isnull=True),
                name="one_lookup_table_in_force",
                violation_error_message="This lookup table has a version in force already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}"


class LookupRow(models.Model):
    """A row of a lookup table, and the posting dates on which it holds. A key may have several spans of days."""

    table = models.ForeignKey(LookupTable, on_delete=models.CASCADE, related_name="rows")
    key = models.CharField(max_length=500, help_text="What the line says for each of the table's keys.")
    values = models.JSONField(help_text="By the table's columns.")
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ("table", "key", "valid_from")
        default_permissions = ()
        indexes = [models.Index(fields=["table", "key"], name="lookup_row_of_table")]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                name="lookup_row_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        return self.key.replace(BETWEEN, ", ")

    @property
    def parts(self) -> tuple[str, ...]:
        """What it is found by, in the order of the table's keys."""
        return tuple(self.key.split(BETWEEN))

    @property
    def days(self) -> str:
        """The days on which it holds, as people read them; "" for any day."""
        return long_span(self.valid_from, self.valid_until)


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
