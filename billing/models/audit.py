"""The audit log: append-only events, each carrying the hash of the one before."""

import datetime

from django.conf import settings
from django.db import models

from .standing import KeptQuerySet, KeptRow


class AuditEventQuerySet(KeptQuerySet["AuditEvent"]):
    def between(self, since: datetime.datetime | None, until: datetime.datetime | None) -> "AuditEventQuerySet":
        """Keep events from `since` on and before `until`; None is no bound."""
        events = self.filter(at__gte=since) if since else self
        return events.filter(at__lt=until) if until else events

    def named(self, action: str) -> "AuditEventQuerySet":
        """Keep events of an action (`charge.approved`), or of all of a kind (`charge`)."""
        if "." in action:
            return self.filter(action=action)
        # A range of the index on action; LIKE would scan the table.
        return self.filter(action__gt=f"{action}.", action__lt=f"{action}/")


class AuditEvent(KeptRow):
    """Something that mattered: who did what to which object, with before and after."""

    at = models.DateTimeField("when", db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_constraint=False
    )
    actor_name = models.CharField("who", max_length=254)
    via = models.CharField(max_length=32, help_text="The door: web, command, task.")
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    object_label = models.CharField(max_length=254, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    note = models.TextField(blank=True)
    gesture = models.UUIDField(help_text="Groups the events of one act, such as a bulk approval.")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    KEPT = "The audit log is never changed, only added to."

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="audit_event_object"),
            models.Index(fields=["action", "at"], name="audit_event_action"),
            models.Index(fields=["gesture"], name="audit_event_gesture"),
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"#{self.pk} {self.action} {self.object_label}"


class AuditHead(models.Model):
    """The end of the chain: one row, locked while events are added."""

    events = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"audit log of {self.events} events"
