"""Saved views: how somebody narrows a list, kept under a name."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from .people import User


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def seen_by(self, user: User, *, of: str) -> "SavedViewQuerySet":
        """Keep the views of a list that somebody made, and those shared with all staff."""
        return self.filter(Q(owner=user) | Q(is_shared=True), list=of).select_related("owner").order_by("name", "pk")


class SavedView(models.Model):
    """A named set of filters of a list. `query` is the part of its address that narrows it, in one order of names."""

    class List(models.TextChoices):
        CHARGES = "charges", "Charges"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    list = models.CharField(max_length=16, choices=List.choices)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True)
    is_shared = models.BooleanField("shared with all staff", default=False)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        permissions = [("share_savedview", "Can share saved views with all staff")]
        verbose_name = "saved view"
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "list", "name"],
                name="one_view_per_name",
                violation_error_message="You have a view with this name. Choose another name, or delete that view.",
            ),
        ]

    def __str__(self) -> str:
        return f"view {self.pk}"

    def may_be_changed_by(self, user: User) -> bool:
        """Whether somebody may rename or delete it: its owner, and of a shared one whoever may share views."""
        return self.owner_id == user.pk or (self.is_shared and user.has_perm("billing.share_savedview"))
