"""What staff do about an e-mail: send it again, or say what became of it."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst

from billing.admin.audited import actor_of
from billing.admin.verbs import Verb

from .. import emails
from ..models import Email
from .permissions import SEND

State = Email.State
AGAIN = (State.SENT, State.WRITTEN, State.REDIRECTED, State.FAILED, State.REFUSED, State.UNCERTAIN)


class ResendForm(forms.Form):
    reason = forms.CharField(
        label="Why it comes again",
        max_length=500,
        help_text="The recipient reads this at the head of the e-mail. It is kept in the audit log.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    outdated = forms.BooleanField(
        required=False,
        label="Send statements that are not current, too",
        help_text="Without this, statements whose charges have changed since are refused.",
    )

    def __init__(self, *args: Any, email: Email, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Nobody wonders why a first e-mail comes.
        if not emails.takes_reason(email):
            del self.fields["reason"]


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
    asked = {"reason": data.get("reason", ""), "outdated": data["outdated"]}
    sent = emails.resend(email=email, **asked, actor=actor_of(request), now=timezone.now())
    if sent.is_trouble:
        raise emails.NotSent(sent)
    if not sent.messages:
        return sent.left_out[0].error if sent.left_out else "Somebody else is sending it."
    (only,) = sent.messages
    if sent.redirected_to:
        return f"Sent to the test address {sent.redirected_to}, and not to {only.recipient}."
    done = "Written to a file for" if sent.is_written else "Sent to"
    return f"{done} {only.recipient}."


def settle(request: HttpRequest, email: Email, data: dict[str, Any]) -> str:
    settled = emails.settle(
        email=email, arrived=data["arrived"], note=data["note"], actor=actor_of(request), now=timezone.now()
    )
    return f"{capfirst(str(settled))}: {settled.get_state_display().lower()}."


def is_in_doubt(email: Email) -> bool:
    """Tell whether nobody knows of an e-mail whether it arrived."""
    return email.state == State.UNCERTAIN or emails.was_left(email)


def may_go_again(email: Email) -> bool:
    """Tell whether an e-mail can be sent again: it was sent or written, or was to be, and no run is at it."""
    return email.state in AGAIN or email.is_small or is_in_doubt(email)


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


VERBS = (
    Verb(
        name="resend",
        label="Send again…",
        button="Send again",
        permission=SEND,
        run=resend,
        form=ResendForm,
        form_for=lambda email: {"email": email},
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
