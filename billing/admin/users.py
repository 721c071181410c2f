"""Users and their roles. What somebody may do comes from roles alone."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin  # noqa: F401 (registers Group before it is ours)
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ..models import User
from ..models.typed import AddressInput
from ..setup import passwords
from .audited import BillingAdmin, FrozenAdmin, actor_of
from .choices import SeveralField
from .formatting import badge, count_column
from .verbs import Verb


class UserForm(forms.ModelForm):
    groups = SeveralField(
        Group.objects.order_by("name"),
        label="Roles",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="PIs and delegates see their own statements; the other roles enter the billing office.",
    )

    class Meta:
        model = User
        fields = ("username", "first_name", "last_name", "email", "groups", "is_active")
        field_classes = {"email": AddressInput}
        labels = {"email": "E-mail"}
        help_texts = {"is_active": "Off: the account stays, and nobody signs in with it."}


def make_password_link(request: HttpRequest, user: User, data: dict[str, Any]) -> str:
    """Return a message with a link that sets the user's password, once, within PASSWORD_LINK_HOURS."""
    link = passwords.make_link(user=user, actor=actor_of(request), now=timezone.now())
    hours = settings.PASSWORD_RESET_TIMEOUT // 3600
    return f"Give {user} this link; it works once, for {hours} hours: {link}"


class RoleFilter(admin.RelatedFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "role"


@admin.register(User)
class UserAdmin(BillingAdmin):
    form = UserForm
    list_display = ("username", "full_name", "address", "roles", "state", "last_login")
    list_filter = (("groups", RoleFilter), "is_active")
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    fieldsets = (
        (None, {"fields": ("username", ("first_name", "last_name"), "email")}),
        ("What they may do", {"fields": ("groups", "is_active")}),
        ("Sign-in", {"fields": ("last_login", "date_joined", "has_password")}),
    )
    readonly_fields = ("last_login", "date_joined", "has_password")
    verbs = (
        Verb(
            name="password-link",
            label="Password link…",
            button="Make the link",
            permission="billing.change_user",
            run=make_password_link,
            offered=lambda user: user.is_active and not user.is_superuser,
            question="Makes a link with which this person sets their own password. Nobody else learns it.",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:2]

    # Somebody with every right is made on the command line, and not changed by those with fewer.
    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        # Users stand in the audit log: they are switched off, not removed.
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        # Entering the admin follows from roles: a role with any permission is a role of staff.
        user: User = form.instance
        form.save_m2m()
        is_staff = user.is_superuser or user.groups.filter(permissions__isnull=False).exists()
        if user.is_staff != is_staff:
            user.is_staff = is_staff
            user.save(update_fields=["is_staff"])
        super().save_related(request, form, formsets, change)

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @admin.display(description="e-mail", ordering="email")
    def address(self, user: User) -> str:
        return user.email or "–"

    def roles(self, user: User) -> str:
        names = [group.name for group in user.groups.all()]
        return ", ".join(["superuser"] if user.is_superuser else names) or "–"

    @admin.display(description="state", ordering="is_active")
    def state(self, user: User) -> str:
        return badge("Active", "good") if user.is_active else badge("Switched off")

    @admin.display(description="password")
    def has_password(self, user: User) -> str:
        return "set" if user.has_usable_password() else "none yet: make a link with “Password link…”"


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(FrozenAdmin):
    """Roles are written by sync_roles; here they are read."""

    nouns = "role,roles"
    list_display = ("name", count_column("members"), count_column("rights"))
    fields = ("name", "may")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return (
            super()
            .get_queryset(request)
            .annotate(members=Count("user", distinct=True), rights=Count("permissions", distinct=True))
        )

    @admin.display(description="may")
    def may(self, role: Group) -> str | SafeString:
        names = role.permissions.order_by("name").values_list("name", flat=True)
        lines = format_html_join("", "<div>{}</div>", ((name.removeprefix("Can "),) for name in names))
        return lines or "see their own statements, and what they are delegated"
