"""Jobs: slow work asked for on the web, with its progress where everybody can read it, and who does it."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class Job(models.Model):
    """One piece of background work. A worker claims it by moving it from queued to running, once."""

    class Kind(models.TextChoices):
        IMPORT = "import", "Import"
        GENERATE = "generate", "Issue statements"
        SEND = "send", "Send statements"
        BOOK = "book", "Book late changes"
        APPLY = "apply", "Apply import"
        ATTRIBUTE = "attribute", "Re-apply rules"
        DECIDE = "decide", "Decide about charges"
        FUNDS = "funds", "Load fund/orgs"
        PEOPLE = "people", "Load PIs"
        EXPORT = "export", "Export charges"
        USAGE = "usage", "Price usage"
        TRY = "try", "Try rates"
        PROVE = "prove", "Prove a month"
        DRAFT = "draft", "Draft a journal"
        INVOICE = "invoice", "Draft invoices"
        COLLECT = "collect", "Collect statements"
        CALENDAR = "calendar", "Load accounting periods"
        VALUES = "values", "Load valid values"
        LOOKUPS = "lookups", "Load lookup tables"
        TELL = "tell", "Mail a message about a question"
        REPORT = "report", "Mail a report"
        PROJECTS = "projects", "Load projects"
        DEPARTMENTS = "departments", "Load departments"
        RULES = "rules", "Load attribution rules"
        ACCOUNTS = "accounts", "Load cloud accounts"
        ACCOUNT_RULES = "account_rules", "Load account rules"
        STATEMENTS = "statements", "Export statements"
        REPORT_FILE = "report_file", "Write a report"
        LIST = "list", "Export a list"

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELED = "canceled", "Canceled"

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
    handed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the queue took it last, by the database's clock; empty: not yet."
    )
    retry_of = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="retried_as")
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    cancel_asked_by = models.CharField(max_length=254, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [
            ("cancel_job", "Can cancel background jobs of work they may ask for"),
            ("retry_job", "Can retry background jobs of work they may ask for"),
        ]
        verbose_name = "background job"
        # Every staff page asks what is unfinished; what is over grows without end.
        indexes = [
            models.Index(fields=["state"], condition=Q(state__in=("queued", "running")), name="unfinished_jobs"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(state__in=("queued", "running")) & ~Q(subject=""),
                name="one_unfinished_job_per_subject",
                violation_error_message="This is at work already.",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=("done", "failed", "canceled")) | Q(finished_at__isnull=False),
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
        return self.state not in (self.State.QUEUED, self.State.RUNNING)

    @property
    def is_kept(self) -> bool:
        """Whether it waits to be handed to the queue."""
        return self.state == self.State.QUEUED and self.handed_at is None

    @property
    def can_be_retried(self) -> bool:
        return self.state in (self.State.FAILED, self.State.CANCELED) and not hasattr(self, "retried_as")


class Worker(models.Model):
    """A background worker, and when it last said that it runs; `billing/background/heartbeat.py` writes it."""

    name = models.CharField(max_length=254, unique=True, help_text="Its machine and process.")
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class AtWork(models.Model):
    """What a living process works on, and when it last said so.

    `billing/background/working.py` writes it, on PostgreSQL.
    """

    name = models.CharField(max_length=64, unique=True, help_text="Such as job-7, or 12 for an import.")
    host = models.CharField(max_length=254)
    seen_at = models.DateTimeField(help_text="By the database's clock.")

    class Meta:
        verbose_name, verbose_name_plural = "mark of work", "marks of work"
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
