"""Signing in with a password, and what somebody may do."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db.models import Q


class RolesBackend(ModelBackend):
    """Django's own, but that it asks for the permissions of a person and of their roles at once, on every page."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return set()
        # Under the name Django keeps them by with the person, for as long as the request lasts.
        kept = vars(user_obj)
        if "_perm_cache" not in kept:
            permissions = Permission.objects.all()
            if not user_obj.is_superuser:
                permissions = permissions.filter(Q(user=user_obj) | Q(group__user=user_obj)).distinct()
            named = permissions.order_by().values_list("content_type__app_label", "codename")
            kept["_perm_cache"] = {f"{label}.{name}" for label, name in named}
        found: set[str] = kept["_perm_cache"]
        return found
