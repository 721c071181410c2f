"""The page on which staff write the words of e-mails: tried on a statement, sent to oneself, and kept as a version."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billing import doors
from billing.admin.audited import actor_of
from billing.errors import BillingError
from billing.models import Policy
from billing.texts import number_in

from .. import emails
from ..models import Statement
from .letters import keep, showing_letter

CHANGE = "billing.change_policy"
# The buttons of the page.
TEST, MAKE = "_test", "_make"
# What the words may use, for the page.
VALUES = (
    ("month, period", "January 2026; the same as files and addresses have it"),
    ("pi, pi_email", "the PI's name and address"),
    ("copy_for, you_get_this", "of a copy: for whom it is; why the reader gets the e-mail, and who else does"),
    ("again", "why it comes again; empty the first time"),
    ("institution, department, footer", "from the policy"),
    ("contact_name, contact_email, contact_phone", "from the policy"),
    ("count, revised", "how many statements; how many of them replace one that was e-mailed"),
    ("list, discount, subsidy, corrections, due", "sums"),
    ("total_label", "what the sums are of"),
    ("held", "4 charges, $763.08 as billed, are still in review …; or empty"),
    ("notices", "what the institution says on every statement"),
    ("review_until", "while the month is in review"),
    ("attached, left_off", "names of the files; of those too large to attach"),
    ("portal_url", "the portal"),
    (
        "statements",
        "for each: number, kind, project, fund_orgs, invoice, url, list, discount, subsidy, corrections, due",
    ),
    ("", "replaces, was, was_sent_on, difference, changes; month_before, due_before, since_month_before; ends"),
    ("others", "the PI's other statements in force: number, project, due, url"),
    ("own_text, subject", "in the HTML: the text above, and the subject"),
)


class TextsForm(forms.Form):
    subject = forms.CharField(
        max_length=200, label="Subject", help_text="Values stand in double braces: {{ month }}, {{ due }}."
    )
    text = forms.CharField(
        required=False,
        label="Text",
        help_text="What is read without HTML. Empty: the text that comes with the program.",
        widget=forms.Textarea(attrs={"rows": 12, "class": "mono", "spellcheck": "true"}),
    )
    html = forms.CharField(
        required=False,
        label="HTML",
        help_text="Empty: the HTML that comes with the program, with your text in it. Values only, as in the text.",
        widget=forms.Textarea(attrs={"rows": 14, "class": "mono", "spellcheck": "false"}),
    )
    statement = forms.ChoiceField(required=False, label="Try it on", help_text="As its PI would get it now.")

    def __init__(self, *args: Any, statements: list[Statement], **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        choices = [(each.number, f"{each.number}, {each.pi.display_name}") for each in statements]
        choice = self.fields["statement"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = choices
        if not choices:
            del self.fields["statement"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        # A browser sends other line ends than are kept.
        return data | {name: data[name].replace("\r\n", "\n") for name in ("text", "html") if name in data}


def texts_view(request: HttpRequest, screen: admin.ModelAdmin) -> HttpResponse:
    """Show the words of e-mails, and how one reads with them; have them tested, or made a version of the policy."""
    if not request.user.has_perm(CHANGE):
        raise PermissionDenied
    present, statements = Policy.objects.current(), emails.examples()
    words = {"subject": present.email_subject, "text": present.email_text, "html": present.email_html}
    is_posted = request.method == "POST"
    form = TextsForm(request.POST if is_posted else None, initial=words, statements=statements)
    preview = None
    if not is_posted or form.is_valid():
        data = form.cleaned_data if is_posted else words
        try:
            if MAKE in request.POST:
                return _made(request, data)
            preview = _previewed(request, present, data, statements)
        except BillingError as error:
            if not is_posted:
                messages.error(request, doors.for_page(error, request.user))
            else:
                form.add_error(None, doors.lines_for_page(error, request.user))
        except ValidationError as error:
            form.add_error(None, error.messages)
    context = {
        **screen.admin_site.each_context(request),
        "title": "E-mail texts",
        "opts": screen.opts,
        "form": form,
        "present": present,
        "seen": present.pk or 0,
        "preview": preview,
        "letter_name": keep(request.session, preview.letter.html) if preview else "",
        "values": VALUES,
        "shipped_text": emails.shipped_text(),
        "shipped_html": emails.shipped_html(),
        "media": screen.media,
    }
    return showing_letter(TemplateResponse(request, "admin/statements/email/texts.html", context))


def _made(request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
    """Make a version of the policy with these words."""
    seen = number_in(request.POST.get("seen", "")) or 0
    words = {name: data[name] for name in ("subject", "text", "html")}
    made = emails.change_texts(**words, seen=seen, actor=actor_of(request), now=timezone.now())
    messages.success(request, f"{str(made).capitalize()} of the policy is in force: e-mails have these words from now.")
    return HttpResponseRedirect(reverse("admin:statements_email_texts"))


def _previewed(
    request: HttpRequest, present: Policy, data: dict[str, Any], statements: list[Statement]
) -> emails.Preview | None:
    """Return how an e-mail reads with these words, and send it to whoever asks for a test."""
    words = {name: data[name] for name in ("subject", "text", "html")}
    policy = emails.changed(present, **words)
    named = data.get("statement")
    statement = next((each for each in statements if each.number == named), statements[0] if statements else None)
    if statement is None:
        return None
    now = timezone.now()
    preview = emails.sample(statement, policy=policy, now=now)
    if TEST in request.POST:
        where = emails.send_test(preview, actor=actor_of(request), now=now)
        messages.success(request, f"A test was sent to {where}. Nothing is saved.")
    return preview
