"""The values that the ledger knows for each segment of a chartstring."""

from django.db import models

from billing.models.typed import CodeField, NameField

from .ledger_lists import DatedRow, ListVersion


class ValidValueList(ListVersion):
    """One version of the values of a segment, by the segment's name."""

    class Meta(ListVersion.Meta):
        verbose_name, verbose_name_plural = "list of valid values", "lists of valid values"


class ValidValue(DatedRow):
    """A value of a segment, and the days on which the ledger takes it."""

    list = models.ForeignKey(ValidValueList, on_delete=models.CASCADE, related_name="rows")
    value = CodeField(max_length=64)
    name = NameField(max_length=200, blank=True)

    class Meta(DatedRow.Meta):
        ordering = ("list", "value", "valid_from")
        indexes = [models.Index(fields=["list", "value"], name="valid_value_of_list")]

    def __str__(self) -> str:
        return self.value
