"""How a file of the ledger's answers is read: which of its columns says what."""

from django.db import models
from django.db.models import Q

COLUMN = 120


class AnswerMapping(models.Model):
    """The columns of the ledger's answers, by their headings, and the words it has for what became of a journal."""

    name = models.SlugField(max_length=64, unique=True)
    journal_column = models.CharField(
        max_length=COLUMN,
        help_text="Has the number of our journal, such as J2026-01-1; with -7 or #7 that of its line, too.",
    )
    document_column = models.CharField(
        max_length=COLUMN, help_text="Has the ledger's document number of what it posted."
    )
    line_column = models.CharField(
        max_length=COLUMN, blank=True, help_text="Has the number of the line of our file. May be empty."
    )
    status_column = models.CharField(
        max_length=COLUMN, blank=True, help_text="Says whether it was posted. Empty: a row with a reason was rejected."
    )
    reason_column = models.CharField(max_length=COLUMN, blank=True, help_text="Says why it was rejected.")
    posted_words = models.CharField(
        max_length=200, blank=True, default="posted, accepted", help_text="What the status says of what was posted."
    )
    rejected_words = models.CharField(
        max_length=200, blank=True, default="rejected, error", help_text="What the status says of what was rejected."
    )

    class Meta:
        verbose_name, verbose_name_plural = "form of answers", "forms of answers"
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=~Q(status_column="") | ~Q(reason_column=""),
                name="answers_say_what_was_rejected",
                violation_error_message="Name the column of the status or of the reason, or both.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def columns(self) -> dict[str, str]:
        """The headings by what they say, those that are named."""
        named = {
            "journal": self.journal_column,
            "document": self.document_column,
            "line": self.line_column,
            "status": self.status_column,
            "reason": self.reason_column,
        }
        return {name: heading for name, heading in named.items() if heading}
