"""What pages asked for once: a form that is sent a second time is not done a second time."""

from django.conf import settings
from django.db import models


class SentForm(models.Model):
    """A form that was sent, as it was filled in; one row for each that was done or is being done."""

    # A hash of the form's token, which each showing of a page makes anew, of who sent it and of what was in it.
    key = models.CharField(primary_key=True, max_length=64)
    sent_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    sent_at = models.DateTimeField(db_index=True)
    done_at = models.DateTimeField(null=True)
    # Where it led to: the page of what was made.
    led_to = models.TextField(default="", blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=models.Q(done_at__isnull=True) | ~models.Q(led_to=""),
                name="sent_form_led_somewhere",
                violation_error_message="A form that is done led to a page.",
            ),
        ]

    def __str__(self) -> str:
        return self.key
