"""What somebody answered to a preflight: warnings that were acknowledged, each with the reason."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from .journals import Journal


class WarningAcknowledgement(models.Model):
    """A warning of a journal's preflight that somebody acknowledged, so that it can be submitted in spite of it."""

    journal = models.ForeignKey(Journal, on_delete=models.CASCADE, related_name="acknowledgements")
    key = models.CharField(max_length=64, help_text="What the warning says, as a SHA-256: another one is open again.")
    check_name = models.CharField("check", max_length=32)
    message = models.CharField(max_length=1000)
    reason = models.TextField()
    acknowledged_at = models.DateTimeField()
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    acknowledged_by_name = models.CharField("acknowledged by", max_length=254)

    class Meta:
        ordering = ("journal", "id")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["journal", "key"], name="one_acknowledgement_per_warning"),
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="acknowledgement_has_a_reason",
                violation_error_message="Say why the journal can go to the ledger in spite of it.",
            ),
        ]

    def __str__(self) -> str:
        return f"acknowledgement {self.pk}"
