"""The values that the ledger knows for each segment of a chartstring: lists that replace one another as a whole."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.models.typed import CodeField, NameField
from billing.texts import long_span


class ValidValueList(models.Model):
    """One version of the values of a segment. Loading the segment again replaces it as a whole."""

    segment = models.CharField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    value_count = models.PositiveIntegerField("values", default=0)
    loaded_at = models.DateTimeField("loaded")
    loaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    loaded_by_name = models.CharField("loaded by", max_length=254)
    replaced_at = models.DateTimeField("replaced", null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = "list of valid values", "lists of valid values"
        ordering = ("segment", "-version")
        default_permissions = ("add", "view")
        constraints = [
            models.UniqueConstraint(
                fields=["segment", "version"],
                name="one_valid_value_list_per_version",
                violation_error_message="This segment has such a version already.",
            ),
            models.UniqueConstraint(
                fields=["segment"],
                condition=Q(replaced_at__isnull=True),
                name="one_valid_value_list_in_force",
                violation_error_message="This segment has a list in force already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.segment}, version {self.version}"


class ValidValue(models.Model):
    """A value of a segment, and the days on which the ledger takes it. A value may have several spans of days."""

    list = models.ForeignKey(ValidValueList, on_delete=models.CASCADE, related_name="values")
    value = CodeField(max_length=64)
    name = NameField(max_length=200, blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ("list", "value", "valid_from")
        default_permissions = ()
        indexes = [models.Index(fields=["list", "value"], name="valid_value_of_list")]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                name="valid_value_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        return self.value

    @property
    def days(self) -> str:
        """The days on which it is valid, as people read them; "" for any day."""
        return long_span(self.valid_from, self.valid_until)
