"""The e-mails that bring statements: who got what, sent again, or settled where nobody knows."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.filters import period_filter
from billing.admin.formatting import badge
from billing.admin.verbs import Verb

from .. import emails
from ..models import Email
from .permissions import SEND
from .record import EMAIL_TONES


class ResendForm(forms.Form):
    outdated = forms.BooleanField(
        required=False,
        label="Send statements that are not current, too",
        help_text="Without this, statements whose charges have changed since are refused.",
    )


class SettleForm(forms.Form):
    arrived = forms.TypedChoiceField(
        label="What became of it",
        choices=(("yes", "It arrived"), ("no", "It did not arrive, and is not to be sent again")),
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
    )
    note = forms.CharField(
        label="How you know",
        required=False,
        help_text="Kept in the audit log.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


def resend(request: HttpRequest, email: Email, data: dict[str, Any]) -> str:
    sent = emails.resend(email=email, outdated=data["outdated"], actor=actor_of(request), now=timezone.now())
    if sent.is_trouble:
        raise emails.NotSent(sent)
    if not sent.messages:
        return sent.left_out[0].error if sent.left_out else "Somebody else is sending it."
    (only,) = sent.messages
    done = "Written to a file for" if sent.is_written else "Sent to"
    return f"{done} {only.recipient}."


def settle(request: HttpRequest, email: Email, data: dict[str, Any]) -> str:
    settled = emails.settle(
        email=email, arrived=data["arrived"], note=data["note"], actor=actor_of(request), now=timezone.now()
    )
    return f"{capfirst(str(settled))}: {settled.get_state_display().lower()}."


def is_in_doubt(email: Email) -> bool:
    """Tell whether nobody knows of an e-mail whether it arrived."""
    return email.state == Email.State.UNCERTAIN or emails.was_left(email)


def may_go_again(email: Email) -> bool:
    """Tell whether an e-mail can be sent again: it was sent or written, or was to be, and no run is at it."""
    states = (Email.State.SENT, Email.State.WRITTEN, Email.State.FAILED, Email.State.UNCERTAIN)
    return email.state in states or is_in_doubt(email)


def resend_question(email: Email) -> str:
    """Say whom an e-mail goes to when it is sent again, and what may come of it."""
    said = (
        f"It goes to {email.recipient} ({email.get_role_display()}) at their present address. It has those "
        "of its statements that are in force and that they may see today."
    )
    if is_in_doubt(email):
        said = f"It may have arrived already; then they get it twice. {said}"
    if emails.writes_files():
        said += " E-mail is not configured: it is written to a file, and nothing leaves this machine."
    return said


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
    list_display = ("number", "period", "pi_name", "recipient", "role", "status", "sent_at", "error_start")
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
        "created_at",
        "claimed_at",
        "written_at",
        "sent_at",
        "message_path",
    )
    readonly_fields = fields
    verbs = (
        Verb(
            name="resend",
            label="Send again…",
            button="Send again",
            permission=SEND,
            run=resend,
            form=ResendForm,
            offered=may_go_again,
            question=resend_question,
        ),
        Verb(
            name="settle",
            label="Say what became of it…",
            button="Record it",
            permission=SEND,
            run=settle,
            form=SettleForm,
            offered=is_in_doubt,
            question="The run that sent this was stopped, or the connection was lost, so nobody knows whether it "
            "arrived. Ask the recipient, or look at the mail server's log.",
        ),
    )

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

    @admin.display(description="reason")
    def error_start(self, email: Email) -> str:
        if email.state == Email.State.CLAIMED and is_in_doubt(email):
            return emails.INTERRUPTED
        return email.error[:120] or "–"

    @admin.display(description="statements")
    def statements_sent(self, email: Email) -> str:
        return ", ".join(email.statements.order_by("number").values_list("number", flat=True))
