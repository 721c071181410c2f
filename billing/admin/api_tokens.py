"""API tokens of everybody: what they see, when they were used; making service tokens and revoking any."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from .. import api_tokens
from ..api_tokens import Scope
from ..errors import BillingError
from ..models import ApiToken, User
from .audited import FrozenAdmin, actor_of
from .formatting import badge
from .verbs import Verb


class ServiceTokenForm(forms.ModelForm):
    class Meta:
        model = ApiToken
        fields = ("name", "valid_until", "sees_everything", "people", "projects", "departments")
        widgets = {"valid_until": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}

    # Who makes it.
    owner: User

    def scope(self) -> Scope:
        said = self.cleaned_data
        return Scope(said["sees_everything"], said["people"], said["projects"], said["departments"])

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            token = ApiToken(
                kind=ApiToken.Kind.SERVICE, owner=self.owner, name=said["name"], valid_until=said["valid_until"]
            )
            try:
                api_tokens.require_makeable(token=token, scope=self.scope(), now=timezone.now())
            except BillingError as error:
                raise ValidationError(str(error)) from error
        return said


def revoke(request: HttpRequest, token: ApiToken, data: dict[str, Any]) -> str:
    api_tokens.revoke(token=token, actor=actor_of(request), now=timezone.now())
    return f"{token} was revoked. Programs that use it are refused now."


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("works", "Works"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
        today = timezone.localdate()
        match self.value():
            case "works":
                return queryset.filter(revoked_at__isnull=True, valid_until__gte=today)
            case "expired":
                return queryset.filter(revoked_at__isnull=True, valid_until__lt=today)
            case "revoked":
                return queryset.filter(revoked_at__isnull=False)
        return queryset


@admin.register(ApiToken)
class ApiTokenAdmin(FrozenAdmin):
    when_empty = (
        "There are no API tokens yet. PIs make their own in the portal. For a program of the institution, add one."
    )
    form = ServiceTokenForm
    list_display = ("name", "prefix", "kind", "owner", "state", "valid_until", "last_used_at")
    list_filter = (StateFilter, "kind")
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", "owner__username", "owner__email")
    autocomplete_fields = ("people", "projects", "departments")
    fieldsets = (
        (None, {"fields": ("name", "prefix", "kind", "owner", "state")}),
        ("What it sees", {"fields": ("sees",)}),
        ("When", {"fields": ("created_at", "valid_until", "last_used_at", "revoked_at", "revoked_by_name")}),
    )
    readonly_fields = ("prefix", "kind", "owner", "state", "sees", "created_at", "last_used_at", "revoked_at")
    verbs = (
        Verb(
            name="revoke",
            label="Revoke…",
            button="Revoke the token",
            permission="billing.revoke_apitoken",
            run=revoke,
            offered=lambda token: token.revoked_at is None,
            question="Programs that use it are refused from that moment on. This cannot be undone.",
            is_dangerous=True,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(api_tokens.MAKES_SERVICE_TOKENS)

    def get_fieldsets(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        if obj is not None:
            return self.fieldsets
        return (
            (None, {"fields": ("name", "valid_until")}),
            (
                "What it sees",
                {
                    "fields": ("sees_everything", "people", "projects", "departments"),
                    "description": "All statements, or those of the PIs, projects and departments that you choose.",
                },
            ),
        )

    def get_form(self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.owner = request.user
        return form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # One button: the page after it has the secret, and leads nowhere else.
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        obj.owner = form.owner
        request.made = api_tokens.make_for_service(  # type: ignore[attr-defined]
            token=obj, scope=form.scope(), actor=actor_of(request), now=timezone.now()
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: what the token sees was written, and recorded, with the token."""

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret, this once. It is not led on to: no message or session keeps it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Token made",
            "opts": self.opts,
            "original": obj,
            "secret": request.made,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/billing/apitoken/made.html", context)

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        if token.revoked_at is not None:
            return badge("Revoked")
        return badge("Works", "good") if token.is_in_force(timezone.localdate()) else badge("Expired")

    @admin.display(description="sees")
    def sees(self, token: ApiToken) -> str:
        if token.kind == ApiToken.Kind.PORTAL:
            return f"What {token.owner} sees in the portal, at each request"
        if token.sees_everything:
            return "All statements"
        parts = {"PIs": token.people, "Projects": token.projects, "Departments": token.departments}
        told = [f"{name}: {', '.join(map(str, each.all()))}" for name, each in parts.items() if each.exists()]
        return ". ".join(told) or "Nothing any more"
