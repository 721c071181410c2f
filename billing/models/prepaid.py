"""What was entered for prepaid balances: each purchase, the use that became recovery, and what expired."""

from typing import Any

from django.db import models
from django.db.models import Q

from .corrections import Correction
from .rates import Allocation
from .standing import KeptQuerySet, KeptRow


class PrepaidEntry(KeptRow):
    """A correction that is about the money of an allocation. It is never changed: its reversal takes it back."""

    class Kind(models.TextChoices):
        PURCHASE = "purchase", "Purchase"
        USE = "use", "Use"
        EXPIRY = "expiry", "Expiry"

    KEPT = "An entry of a prepaid balance is never changed or deleted. Reverse its correction."

    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, related_name="entries")
    correction = models.OneToOneField(Correction, on_delete=models.PROTECT, related_name="prepaid_entry")
    kind = models.CharField(max_length=16, choices=Kind.choices)

    objects: Any = KeptQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        default_permissions = ()
        verbose_name_plural = "prepaid entries"
        constraints = [
            models.UniqueConstraint(
                fields=["allocation"],
                condition=Q(kind="purchase"),
                name="one_purchase_per_allocation",
                violation_error_message="This balance was bought already.",
            ),
        ]

    def __str__(self) -> str:
        return f"prepaid entry {self.pk}"
