"""What the lists of the ledger have in common: versions that replace one another as a whole, and dated rows."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.texts import long_span


class ListVersion(models.Model):
    """One version of a list. Loading the list again replaces it as a whole; `rows` are its rows."""

    name = models.CharField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    row_count = models.PositiveIntegerField("rows", default=0)
    loaded_at = models.DateTimeField("loaded")
    loaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    loaded_by_name = models.CharField("loaded by", max_length=254)
    replaced_at = models.DateTimeField("replaced", null=True, blank=True)

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        ordering = ("name", "-version")
        default_permissions = ("add", "view")
        constraints = [
            models.UniqueConstraint(
                fields=["name", "version"],
                name="one_%(class)s_per_version",
                violation_error_message="This list has such a version already.",
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(replaced_at__isnull=True),
                name="one_%(class)s_in_force",
                violation_error_message="This list has a version in force already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}"


class DatedRow(models.Model):
    """A row of a `list`, and the days on which it holds. What a row is found by may have several spans of days."""

    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                name="%(class)s_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    @property
    def days(self) -> str:
        """The days on which it holds, as people read them; "" for any day."""
        return long_span(self.valid_from, self.valid_until)
