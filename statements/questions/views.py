"""The portal's pages of questions: asking about a line, proposing for a project, the list and each thread."""

import datetime
import logging

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import questions
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import Policy, Project, Question, User
from billing.questions import Subject

from .. import issuing
from ..models import Statement
from . import lines, visible
from .forms import AskForm, MessageForm, ProposeForm

PER_PAGE = 50
ask_or_show = require_http_methods(["GET", "HEAD", "POST"])
log = logging.getLogger(__name__)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _actor(request: HttpRequest) -> Actor:
    return Actor.from_user(_user(request))


def _today() -> datetime.date:
    return timezone.localdate()


@login_required
@never_cache
@ask_or_show
def ask(request: HttpRequest, number: str, line: int) -> HttpResponse:
    """Ask about a line of a statement in force, or with `?charge=` about one of its charges."""
    statement = get_object_or_404(
        Statement.objects.visible_to(_user(request), on=_today())
        .select_related("period", "pi", "project", "reference__period")
        .prefetch_related("lines"),
        number=number,
    )
    if not visible.may_act(_user(request), statement.pi_id, statement.project_id, on=_today()):
        raise Http404("No Statement matches the given query.")
    if statement.state not in Statement.LIVE:
        # Its page says what is in force now.
        return HttpResponseRedirect(reverse("portal:statement", args=[number]))
    subject = _subject(statement, line, request.GET.get("charge", ""))
    policy = Policy.objects.current()
    funds = questions.funds_for(
        pi=statement.pi,
        project=statement.project,
        first=statement.period.month,
        last=statement.period.last_day,
        besides=set(subject.paid_by),
    )
    form = AskForm(request.POST or None, funds=funds)
    if request.method == "POST" and form.is_valid():
        try:
            asked = questions.ask(
                subject=subject,
                reason=form.cleaned_data["reason"],
                text=form.cleaned_data["text"],
                proposed=form.shares(),
                basis=form.cleaned_data["basis"],
                actor=_actor(request),
                now=timezone.now(),
            )
        except BillingError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _said_of(asked))
            return HttpResponseRedirect(reverse("portal:question", args=[asked.pk]))
    in_time = questions.is_in_time(statement.period, timezone.now())
    reach = questions.reach_of(statement.period, subject.payer_key, only=subject.charge) if in_time else None
    shown = {
        "statement": statement,
        "number": line,
        "subject": subject,
        "form": form,
        "in_time": in_time,
        "reach": reach,
        "holds": reach and reach.own and policy.questions_hold_charges,
        "open": Question.objects.open().filter(
            period=statement.period, payer_key=subject.payer_key, charge=subject.charge
        ),
    }
    return render(request, "portal/ask.html", shown)


def _subject(statement: Statement, line: int, charge: str) -> Subject:
    try:
        return lines.subject_of(statement, line, charge=charge)
    except lines.NoSuchLine as error:
        raise Http404(str(error)) from error
    except issuing.ChargesLost as error:
        log.error("%s", error)
        raise Http404(str(error)) from error


def _said_of(question: Question) -> str:
    held = question.charges.filter(ended_at__isnull=True).exclude(was="").count()
    if held:
        what = "charge is" if held == 1 else "charges are"
        return f"Your question is sent. {held:,} {what} not charged until it is answered, or until the month closes."
    return "Your question is sent. The staff have it, and you get an e-mail with their answer."


@login_required
@never_cache
@ask_or_show
def propose(request: HttpRequest, pk: int) -> HttpResponse:
    """Propose who pays for what a project uses from a day on."""
    project = get_object_or_404(Project.objects.select_related("pi"), pk=pk)
    is_theirs = project.pi_id and visible.may_act(_user(request), project.pi_id, project.pk, on=_today())
    if not (is_theirs and project.pi and Policy.objects.current().pis_propose):
        raise Http404("No Project matches the given query.")
    funds = questions.funds_for(pi=project.pi, project=project, first=_today(), last=_today())
    form = ProposeForm(request.POST or None, funds=funds, today=_today())
    if request.method == "POST" and form.is_valid():
        try:
            asked = questions.propose(
                pi=project.pi,
                project=project,
                reason=form.cleaned_data["reason"],
                text=form.cleaned_data["text"],
                proposed=form.shares(),
                basis=form.cleaned_data["basis"],
                starts_on=form.cleaned_data["starts_on"],
                actor=_actor(request),
                now=timezone.now(),
            )
        except BillingError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Your proposal is sent. You get an e-mail once it is applied or answered.")
            return HttpResponseRedirect(reverse("portal:question", args=[asked.pk]))
    context = {
        "project": project,
        "form": form,
        "paid_by": questions.paid_by(project, _today()),
        "open": Question.objects.open().filter(payer_key="", pi=project.pi, project=project),
    }
    return render(request, "portal/propose.html", context)


@login_required
@never_cache
@require_safe
def question_list(request: HttpRequest) -> HttpResponse:
    """List the questions about what somebody may see: open ones first asked last, or all."""
    mine = visible.visible_to(_user(request), on=_today())
    counts = mine.aggregate(all=Count("pk"), open=Count("pk", filter=Q(state__in=Question.OPEN)))
    shows_all = "all" in request.GET
    found = (mine if shows_all else mine.open()).select_related("pi", "project", "period").order_by("-pk")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "counts": counts, "shows_all": shows_all, "query": "all=" if shows_all else ""}
    return render(request, "portal/questions.html", context)


@login_required
@never_cache
@ask_or_show
def question(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a question with its thread, and take a further message."""
    found = _one(request, pk)
    may_act = visible.may_act(_user(request), found.pi_id, found.project_id, on=_today())
    form = MessageForm(request.POST or None, label_suffix="")
    if request.method == "POST":
        if not may_act:
            raise Http404("No Question matches the given query.")
        if form.is_valid():
            try:
                questions.write(
                    question=found, text=form.cleaned_data["text"], actor=_actor(request), now=timezone.now()
                )
            except BillingError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Your message is sent.")
                return HttpResponseRedirect(reverse("portal:question", args=[pk]))
    statement = Statement.objects.live().filter(reference=found.reference_id).first() if found.reference_id else None
    context = {
        "question": found,
        "thread": found.messages.order_by("pk"),
        "form": form,
        "statement": statement,
        "held": found.charges.filter(ended_at__isnull=True).exclude(was="").count(),
        "reach": _reach_of(found),
        "corrections": found.corrections.approved().select_related("charged_in"),
        "may_write": may_act and found.is_open,
        "may_withdraw": may_act and Question.State.WITHDRAWN in Question.TRANSITIONS[Question.State(found.state)],
    }
    return render(request, "portal/question.html", context)


def _reach_of(question: Question) -> questions.Reach | None:
    """Return what an open question about a line of a month that takes changes could hold, and what not."""
    if not (question.is_open and question.payer_key and question.period and question.period.takes_changes):
        return None
    return questions.reach_of(question.period, question.payer_key, only=question.charge_id)


@login_required
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a question back."""
    found = _one(request, pk)
    if not visible.may_act(_user(request), found.pi_id, found.project_id, on=_today()):
        raise Http404("No Question matches the given query.")
    try:
        questions.withdraw(question=found, actor=_actor(request), now=timezone.now())
    except BillingError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Your question is withdrawn.")
    return HttpResponseRedirect(reverse("portal:question", args=[pk]))


def _one(request: HttpRequest, pk: int) -> Question:
    """Return a question that this person may read; any other does not exist for them."""
    mine = visible.visible_to(_user(request), on=_today())
    found: Question = get_object_or_404(mine.select_related("pi", "project", "period", "reference"), pk=pk)
    return found
