"""The e-mails that bring statements: who got what, sent again, or settled where nobody knows."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.admin.audited import FrozenAdmin
from billing.admin.filters import period_filter
from billing.admin.formatting import badge
from billing.admin.links import change_url, link

from .. import emails
from ..models import Email
from .email_messages import file_view, html_view, message_view
from .email_texts import texts_view
from .email_verbs import VERBS, is_in_doubt
from .letters import kept_view
from .record import EMAIL_TONES

# What is shown of an e-mail of which there is something to say.
WHERE_SET = ("error", "what_next", "again_because", "repeated", "redirected_to", "attempts", "try_again_at")


class EmailStateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("trouble", "Needs attention"), *Email.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Email]) -> QuerySet[Email]:
        if self.value() == "trouble":
            left = [each.pk for each in emails.uncertain()]
            return queryset.filter(Q(state__in=Email.TROUBLED) | Q(pk__in=left))
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Email)
class EmailAdmin(FrozenAdmin):
    when_empty = "No e-mail was sent yet. Statements are sent by month, from their list."
    change_list_template = "admin/statements/email/change_list.html"
    list_display = ("number", "period", "pi_name", "recipient", "role", "status", "sent_at", "why_and_next")
    list_filter = (period_filter("period"), EmailStateFilter)
    list_select_related = ("period", "pi")
    search_fields = ("pi__name", "pi__email", "recipient", "subject", "statements__number")
    sortable_by = ("number",)
    fields = (
        "period",
        "pi",
        "recipient",
        "role",
        "subject",
        "statements_sent",
        "status",
        "error",
        "what_next",
        "message",
        "again_because",
        "repeated",
        "redirected_to",
        "attempts",
        "try_again_at",
        "asked_by",
        "created_at",
        "claimed_at",
        "written_at",
        "sent_at",
    )
    readonly_fields = fields
    verbs = VERBS

    def get_urls(self) -> list[URLPattern]:
        def shown(view: Callable[..., HttpResponseBase]) -> Any:
            return self.admin_site.admin_view(partial(view, screen=self))

        own = [
            path("texts/", shown(texts_view), name="statements_email_texts"),
            path("preview/<str:name>/", self.admin_site.admin_view(kept_view), name="statements_email_preview"),
            path("<int:pk>/message/", shown(message_view), name="statements_email_message"),
            path("<int:pk>/message/html/", shown(html_view), name="statements_email_html"),
            path("<int:pk>/message/files/<int:number>/", shown(file_view), name="statements_email_file"),
        ]
        return own + super().get_urls()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Leave out what has nothing to say of this e-mail."""
        if obj is None:
            return self.fields
        said = {
            "what_next": bool(emails.what_next(obj)),
            "repeated": obj.repeats_id is not None,
            "attempts": obj.attempts > 1,
        }
        empty = {name for name in WHERE_SET if not said.get(name, bool(getattr(obj, name, "")))}
        return tuple(name for name in self.fields if name not in empty)

    @admin.display(description="PI")
    def pi_name(self, email: Email) -> str:
        return email.pi.display_name

    @admin.display(description="e-mail", ordering="id")
    def number(self, email: Email) -> str:
        return f"#{email.pk}"

    @admin.display(description="state")
    def status(self, email: Email) -> SafeString:
        if email.state == Email.State.CLAIMED and is_in_doubt(email):
            return badge(Email.State.UNCERTAIN.label, EMAIL_TONES[Email.State.UNCERTAIN])
        return badge(email.get_state_display(), EMAIL_TONES[email.state])

    @admin.display(description="reason, and what is next")
    def why_and_next(self, email: Email) -> str:
        is_left = email.state == Email.State.CLAIMED and is_in_doubt(email)
        why = emails.INTERRUPTED if is_left else email.error[:160]
        if email.state == Email.State.REDIRECTED:
            why = f"Went to {email.redirected_to}."
        then = emails.what_next(email)
        if not then:
            return why or "–"
        return format_html('{}<span class="quiet small block">{}</span>', why, then)

    @admin.display(description="what is next")
    def what_next(self, email: Email) -> str:
        return emails.what_next(email)

    @admin.display(description="message")
    def message(self, email: Email) -> str:
        if not email.message_path:
            return "–"
        return link(reverse("admin:statements_email_message", args=[email.pk]), "Read it as it was sent")

    @admin.display(description="repeats")
    def repeated(self, email: Email) -> str:
        return link(change_url(email.repeats), str(email.repeats)) if email.repeats else "–"

    @admin.display(description="statements")
    def statements_sent(self, email: Email) -> str:
        return ", ".join(email.statements.order_by("number").values_list("number", flat=True))
