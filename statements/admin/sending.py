"""Sending statements from the web: of a month or of those that are chosen, after a look at who would get what."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billing import doors
from billing.admin import walk
from billing.admin.audited import actor_of
from billing.admin.links import change_url, list_url
from billing.background import jobs
from billing.errors import BillingError
from billing.models import BillingPeriod, Job
from billing.texts import number_in

from .. import emails
from ..models import Email, Statement
from .letters import keep, showing_letter
from .period_form import PeriodForm
from .permissions import SEND

State = Statement.State
MOST_MONTHS = 24
# The button that sends the message that is shown to oneself.
TEST = "test"


@dataclass(frozen=True)
class Choice:
    """What somebody wants sent: the numbers of statements, None for all of a month; and what besides may go."""

    numbers: list[str] | None = None
    outdated: bool = False
    written: bool = False

    @classmethod
    def of(cls, asked: QueryDict) -> "Choice":
        """Read a choice from what was sent; a choice of nothing stays one, and is never everything."""
        is_chosen = "statement" in asked or "chosen" in asked
        numbers = asked.getlist("statement") if is_chosen else None
        return cls(numbers, "outdated" in asked, "written" in asked)

    @property
    def asked(self) -> dict[str, Any]:
        return {"chosen": self.numbers, "outdated": self.outdated, "written": self.written}

    @property
    def arguments(self) -> dict[str, Any]:
        """What a job keeps of it."""
        also = {name: True for name in ("outdated", "written") if getattr(self, name)}
        return also if self.numbers is None else {"statements": self.numbers, **also}


def send_url(*numbers: str) -> str:
    """Return the address of the page that sends these statements, or the month where there are none."""
    url = reverse("admin:statements_statement_send")
    if not numbers:
        return url
    query = QueryDict(mutable=True)
    query.setlist("statement", list(numbers))
    return f"{url}?{query.urlencode()}"


def send_view(screen: admin.ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show who would get what of a month, or of chosen statements; a POST has it sent in the background."""
    if not request.user.has_perm(SEND):
        raise PermissionDenied
    is_look = request.method == "GET" or "look" in request.POST
    asked = request.POST if request.method == "POST" else request.GET
    choice = Choice.of(asked)
    if not is_look:
        return _send(request, choice)
    if choice.numbers is not None:
        return chosen_page(screen, request, choice)
    months = list(_months_with_emails()[:MOST_MONTHS])
    named = asked.get("period", "")[:7]
    period = next((each for each in months if each.iso_month == named), None)
    if months and not named:
        period = months[0]
    return _page(screen, request, choice, period, {"months": months, "asked": named, "letter_at": "get"})


def chosen_page(screen: admin.ModelAdmin, request: HttpRequest, choice: Choice) -> HttpResponse:
    """Show who would get which of the chosen statements."""
    of_choice = Statement.objects.filter(number__in=choice.numbers or ())
    months = list(BillingPeriod.objects.filter(pk__in=of_choice.order_by().values("period")).order_by("month"))
    if len(months) != 1:
        said = "No statement is chosen." if not months else f"These statements are of {len(months)} months."
        messages.error(request, f"{said} Choose statements of one month.")
        return HttpResponseRedirect(list_url(Statement))
    one = of_choice.first() if len(choice.numbers or ()) == 1 else None
    back = change_url(one) if one else list_url(Statement, f"period={months[0].iso_month}")
    context = {"chosen": choice.numbers, "back": back, "one": one, "act_url": send_url()}
    return _page(screen, request, choice, months[0], context)


def _send(request: HttpRequest, choice: Choice) -> HttpResponse:
    """Have the worker send what was looked at."""
    form = PeriodForm(request.POST)
    period = form.cleaned_data["period"] if form.is_valid() else None
    if choice.numbers == []:
        period = None
    elif period and choice.numbers is None:
        period = _months_with_emails().filter(pk=period.pk).first()
    if period is None:
        messages.error(request, "No statement of this month waits to be sent.")
        return HttpResponseRedirect(list_url(Statement))
    job = jobs.enqueue(
        kind=Job.Kind.SEND,
        arguments={"period": period.pk, **choice.arguments},
        actor=actor_of(request),
        now=timezone.now(),
    )
    return HttpResponseRedirect(walk.left(request, period, otherwise=change_url(job)))


def _page(
    screen: admin.ModelAdmin, request: HttpRequest, choice: Choice, period: BillingPeriod | None, more: dict[str, Any]
) -> HttpResponse:
    """Show what would be sent, the words of one of the e-mails, and what is not sent and why."""
    now = timezone.now()
    preview, shown, letter, problem, place = None, None, None, "", 0
    if period:
        try:
            preview = emails.preview(period=period, **choice.asked, actor=actor_of(request), now=now)
            if preview.messages:
                asked = request.POST if request.method == "POST" else request.GET
                at = number_in(asked.get("letter", "")) or 0
                place = at if at < len(preview.messages) else 0
                shown = preview.messages[place]
                letter = emails.letter_to(shown, period=period, now=now)
                _test_where_asked(request, letter)
        except BillingError as error:
            problem = doors.for_page(error, request.user)
    context = {
        **screen.admin_site.each_context(request),
        "title": "Send statements",
        "opts": screen.opts,
        "period": period,
        "preview": preview,
        "several": sum(len(each.statements) > 1 for each in preview.messages) if preview else 0,
        "shown": shown,
        "place": place,
        "letter": letter,
        "letter_name": keep(request.session, letter.letter.html) if letter else "",
        "roles": dict(Email.Role.choices),
        "problem": problem,
        "outdated": choice.outdated,
        "written": choice.written,
        "in_doubt": preview.interrupted if preview else emails.in_doubt(),
        "is_configured": not emails.writes_files(),
        "media": screen.media,
        **more,
    }
    return showing_letter(TemplateResponse(request, "admin/statements/statement/send.html", context))


def _test_where_asked(request: HttpRequest, letter: emails.Preview) -> None:
    """Send the message that is shown to whoever asks for a test of it."""
    if request.method != "POST" or TEST not in request.POST:
        return
    try:
        where = emails.send_test(letter, actor=actor_of(request), now=timezone.now())
    except BillingError as error:
        messages.error(request, doors.for_page(error, request.user))
    else:
        messages.success(request, f"A test was sent to {where}. No statement was sent.")


@admin.action(description="Send selected…", permissions=["send"])
def send_selected(
    screen: admin.ModelAdmin, request: HttpRequest, queryset: "QuerySet[Statement]"
) -> HttpResponse | None:
    """Show who would get which of the selected statements; nothing is sent yet."""
    numbers = list(queryset.order_by("number").values_list("number", flat=True))
    return chosen_page(screen, request, Choice(numbers))


def _months_with_emails() -> QuerySet[BillingPeriod]:
    """Return the months of which something waits to be sent, or is only a file so far; the newest first."""
    waiting = Q(statements__state__in=(State.ISSUED, State.WRITTEN)) | Q(
        statement_emails__state__in=(*Email.TO_SEND, Email.State.WRITTEN, Email.State.REDIRECTED),
        statement_emails__statements__state__in=Statement.LIVE,
    )
    return BillingPeriod.objects.filter(pk__in=BillingPeriod.objects.filter(waiting).values("pk")).order_by("-month")
