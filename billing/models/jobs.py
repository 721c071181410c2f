"""Jobs: slow work asked for on the web, with its progress where everybody can read it."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class Job(models.Model):
    """One piece of background work. A worker claims it by moving it from queued to running, once."""

    class Kind(models.TextChoices):
        IMPORT = "import", "Import"
        GENERATE = "generate", "Generate statements"
        SEND = "send", "Send statements"
        BOOK = "book", "Book late changes"
        APPLY = "apply", "Apply delivery"
        ATTRIBUTE = "attribute", "Re-apply rules"
        DECIDE = "decide", "Decide about charges"

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    subject = models.CharField(
        max_length=64, blank=True, help_text="What it is about, of which only one job at a time may be unfinished."
    )
    arguments = models.JSONField(default=dict, help_text="Ids and options, never data.")
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    message = models.CharField(max_length=500, blank=True)
    result = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        verbose_name = "background job"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(state__in=("queued", "running")) & ~Q(subject=""),
                name="one_unfinished_job_per_subject",
                violation_error_message="This is at work already.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=("done", "failed")) | Q(finished_at__isnull=False),
                name="finished_job_has_stamp",
                violation_error_message="A finished job says when it ended.",
            ),
        ]

    def __str__(self) -> str:
        return f"job {self.pk}"

    @property
    def percent(self) -> int:
        return min(100, self.done * 100 // self.total) if self.total else 0

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.DONE, self.State.FAILED)
