"""Questions of PIs: their list by state, each with its thread, and what staff answer."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import questions, review
from ..models import Charge, DisputedCharge, Question, ReviewDecision
from ..questions import LONGEST
from ..texts import long_date
from .audited import FrozenAdmin, actor_of
from .charges.forms import CreditField
from .choice_chips import ChoiceChip, address_by, choice_chips
from .filters import period_filter
from .formatting import amount, badge
from .links import change_url, list_url
from .verbs import Verb

REVIEW, APPROVE, ENTER = "billing.review_charges", "billing.approve_move", "billing.enter_corrections"
State = Question.State
TONES: dict[Any, str] = {State.ASKED: "warn", State.APPROVAL: "warn", State.ANSWERED: "good"}
APPLY = "Apply as proposed…"
# Charges that a page lists one by one.
SHOWN = 25
# What waits for whom, among the chips of the list.
CHIPS: dict[Any, str] = {State.ASKED: "To answer", State.APPROVAL: "To approve"}
# What the list shows where its address says nothing, and all of it.
WAITING, ALL = "", "all"
MAILED = "Whoever asked gets it by e-mail, and reads it on the page of the question."


# Why nobody should pay; “other” needs the note that the answer is.
REASONS = [("", "Choose…"), *ReviewDecision.Reason.choices]


class AnswerForm(forms.Form):
    text = forms.CharField(
        label="Answer", max_length=LONGEST, widget=forms.Textarea(attrs={"rows": 4}), help_text=MAILED
    )


class NoteForm(forms.Form):
    text = forms.CharField(
        label="Answer",
        required=False,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=f"Empty: says that it was done. {MAILED}",
    )


class RejectForm(AnswerForm):
    reason = forms.ChoiceField(choices=REASONS, label="Why nobody should pay")
    provider_credits = CreditField()
    field_order = ("reason", "provider_credits", "text")

    def __init__(self, *args: Any, question: Question, **options: Any) -> None:
        super().__init__(*args, **options)
        if not review.are_billed(Charge.objects.filter(pk__in=questions.charges_of(question))):
            del self.fields["provider_credits"]


def is_undecided(question: Question) -> bool:
    """Tell whether staff may still answer: it is open, and does not wait for finance."""
    return question.is_open and question.state != State.APPROVAL


def takes_decisions(question: Question) -> bool:
    """Tell whether the charges that a question is about may still be decided about."""
    return is_undecided(question) and question.period is not None and question.period.takes_changes


def is_held(question: Question) -> bool:
    return question.charges.filter(ended_at__isnull=True).exclude(was="").exists()


def may_be_applied(question: Question) -> bool:
    return bool(question.proposed) and is_undecided(question) and (question.is_of_project or takes_decisions(question))


def waits_for_move(question: Question) -> bool:
    """Tell whether finance has a move to approve; a correction that answers it is approved on its own page."""
    return question.state == State.APPROVAL and not question.corrections.proposed().exists()


def run_of(verb: Callable[..., Question]) -> Callable[[HttpRequest, Question, dict[str, Any]], str]:
    """Return what a button does: an answer by an engine function."""

    def run(request: HttpRequest, question: Question, data: dict[str, Any]) -> str:
        return said_of(verb(question=question, **data, actor=actor_of(request), now=timezone.now()))

    return run


def said_of(question: Question) -> str:
    name = str(question).capitalize()
    if question.state == State.ANSWERED:
        return f"{name} is answered: {question.get_outcome_display().lower()}."
    if question.state == State.APPROVAL:
        return f"{name} moves a sponsored award: it waits for approval by finance."
    return f"{name}: your message is sent."


VERBS = (
    Verb(
        name="apply",
        label=APPLY,
        button="Apply as proposed",
        permission=REVIEW,
        run=run_of(questions.apply),
        form=NoteForm,
        offered=may_be_applied,
        question=lambda question: f"{question.paid_by or 'Nobody'} → {question.proposed_text}. {question.about}.",
        is_primary=True,
    ),
    Verb(
        name="approve_move",
        label="Approve the move…",
        button="Approve the move",
        permission=APPROVE,
        run=run_of(questions.approve_move),
        form=NoteForm,
        offered=waits_for_move,
        question=lambda question: f"{question.paid_by or 'Nobody'} → {question.proposed_text}. {question.about}.",
        is_primary=True,
    ),
    Verb(
        name="decline_move",
        label="Decline the move…",
        button="Decline the move",
        permission=APPROVE,
        run=run_of(questions.decline_move),
        form=AnswerForm,
        offered=waits_for_move,
        question="The question waits for staff again.",
    ),
    Verb(
        name="reply",
        label="Reply…",
        button="Send reply",
        permission=REVIEW,
        run=run_of(questions.reply),
        form=AnswerForm,
        offered=lambda question: question.is_open,
        question="The question stays open, and waits for whoever asked.",
        is_primary=True,
    ),
    Verb(
        name="leave",
        label="Stays as it is…",
        button="It stays as it is",
        permission=REVIEW,
        run=run_of(questions.leave),
        form=AnswerForm,
        offered=is_undecided,
        question="Charges that were held for it are charged as before.",
    ),
    Verb(
        name="charge_as_it_is",
        label="Approve charges…",
        button="Approve the charges",
        permission=REVIEW,
        run=run_of(questions.charge_as_it_is),
        form=AnswerForm,
        offered=lambda question: takes_decisions(question) and is_held(question),
        question="A decision on record: the charges are right, and their fund/orgs pay.",
    ),
    Verb(
        name="reject",
        label="Reject charges…",
        button="Reject the charges",
        permission=REVIEW,
        run=run_of(questions.reject),
        form=RejectForm,
        form_for=lambda question: {"question": question},
        offered=takes_decisions,
        question="Nobody pays for what is rejected. It is on no statement and in no journal.",
        is_dangerous=True,
    ),
)


class StateFilter(admin.SimpleListFilter):
    """What waits for staff, unless something else is asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(str(state), str(state.label)) for state in State] + [(ALL, "All")]

    @property
    def chosen(self) -> str:
        return self.value() or WAITING

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if self.chosen == WAITING:
            return queryset.filter(state__in=Question.WAITING)
        return queryset if self.chosen == ALL else queryset.filter(state=self.chosen)


class QuestionList(ChangeList):
    """A page of questions, with how many are in each state."""

    state_chips: list[ChoiceChip]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        specs = self.filter_specs
        every = self.get_queryset(request, exclude_parameters=[StateFilter.parameter_name])
        # What was made for the counts has the same filters, and is not what the page shows.
        self.filter_specs = specs
        chosen = next(each for each in specs if isinstance(each, StateFilter)).chosen
        number = Counter(every.order_by().values_list("state", flat=True))
        choices = [
            ChoiceChip(WAITING, "Waiting for us", sum(number[state] for state in Question.WAITING), tone="warn"),
            *(ChoiceChip(str(state), CHIPS.get(state, str(state.label)), number[state]) for state in State),
            ChoiceChip(ALL, "All", sum(number.values())),
        ]
        self.state_chips = choice_chips(choices, chosen=chosen, url_of=address_by(self, StateFilter.parameter_name))


@admin.register(Question)
class QuestionAdmin(FrozenAdmin):
    when_empty = "No question waits. PIs and their delegates ask from the lines of their statements."
    list_display = ("number", "what", "asker", "comes_to", "proposal", "due", "state_shown")
    list_filter = (StateFilter, period_filter("period"), "kind", "reason")
    list_select_related = ("pi", "project", "period")
    linked_by = ("pi", "project", "charge")
    search_fields = ("=id", "about", "line", "pi__email", "pi__name", "project__code", "asked_by_name")
    search_help_text = "Number, what it is about, statement line, PI or project"
    sortable_by = ("number",)
    fields = ()
    change_list_template = "admin/billing/question/change_list.html"
    change_form_template = "admin/billing/question/change_form.html"
    verbs = VERBS

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QuestionList]:
        return QuestionList

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("pi", "project", "period", "charge")

    @admin.display(description="question", ordering="id")
    def number(self, question: Question) -> str:
        return str(question).capitalize()

    @admin.display(description="about")
    def what(self, question: Question) -> SafeString:
        where = f"{question.period}, {question.line_text}" if question.period else ""
        told = f"{question.get_reason_display()}{f' · {where}' if where else ''}"
        return format_html('<bdi>{}</bdi><br><span class="quiet small">{}</span>', question.about, told)

    @admin.display(description="asked")
    def asker(self, question: Question) -> SafeString:
        return format_html(
            '<bdi title="{}">{}</bdi><br><span class="quiet small">{} by {}</span>',
            question.pi.email,
            question.pi.display_name,
            long_date(timezone.localdate(question.asked_at)),
            question.asked_by_name,
        )

    @admin.display(description="amount")
    def comes_to(self, question: Question) -> str | SafeString:
        return "–" if question.amount is None else amount(question.amount, question.currency)

    @admin.display(description="proposed")
    def proposal(self, question: Question) -> str:
        return question.proposed_text or "–"

    @admin.display(description="answer due", ordering="respond_by")
    def due(self, question: Question) -> str | SafeString:
        day = question.respond_by
        told = long_date(day)
        is_late = question.state in Question.WAITING and day < timezone.localdate()
        return badge(told, "bad") if is_late else told

    @admin.display(description="state", ordering="state")
    def state_shown(self, question: Question) -> SafeString:
        return badge(question.get_outcome_display() or question.get_state_display(), TONES.get(question.state, ""))

    def buttons(self, request: HttpRequest, subject: Question) -> list[dict[str, Any]]:
        # What is proposed is applied by the button beside it, and one button leads.
        found = [each for each in super().buttons(request, subject) if each["label"] != APPLY]
        may_correct = is_undecided(subject) and subject.line and request.user.has_perm(ENTER)
        if may_correct and subject.period and not subject.period.takes_changes:
            found.insert(0, {"label": "Enter a correction…", "url": correction_url(subject), "is_primary": True})
        is_led = may_be_applied(subject) and request.user.has_perm(REVIEW)
        return [
            each | {"is_primary": each["is_primary"] and not number and not is_led} for number, each in enumerate(found)
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        question = self.get_object(request, object_id)
        context = context_of(request, question) if question and self.has_view_permission(request, question) else {}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


def context_of(request: HttpRequest, question: Question) -> dict[str, Any]:
    """Return what the page of a question shows: its thread, its charges, and what came of it."""
    ids = questions.charges_of(question)
    charges = Charge.objects.filter(pk__in=ids[:SHOWN]).select_related("resource", "product").order_by("pk")
    marks = DisputedCharge.objects.filter(question=question, ended_at__isnull=True)
    applied = reverse("admin:billing_question_apply", args=[question.pk])
    may_apply = may_be_applied(question) and request.user.has_perm(REVIEW)
    decisions = ReviewDecision.objects.filter(gesture=question.gesture) if question.gesture else None
    return {
        "tone": TONES.get(question.state, ""),
        "thread": question.messages.order_by("pk"),
        "charges": [(each, change_url(each)) for each in charges],
        "charge_number": len(ids),
        "held_number": marks.exclude(was="").count(),
        "is_late": question.state in Question.WAITING and question.respond_by < timezone.localdate(),
        "apply_url": applied if may_apply else "",
        "waits_for_finance": question.state == State.APPROVAL and not request.user.has_perm(APPROVE),
        "decided": decisions.count() if decisions is not None else 0,
        "corrections": [(each, change_url(each)) for each in question.corrections.order_by("pk")],
        "pi_url": change_url(question.pi),
        "project_url": change_url(question.project) if question.project else "",
        "all_url": list_url(Question, urlencode({"state": ALL, "pi__id__exact": question.pi_id})),
    }


def correction_url(question: Question) -> str:
    """Return the address of the form of a correction, filled in with what the question proposes."""
    kind = "transfer" if question.proposed else "refund"
    filled = {"line": question.line, "question": question.pk, "kind": kind}
    shares = "; ".join(f"{fund_org}={percent}" for fund_org, percent in sorted(question.proposed.items()))
    to = shares if len(question.proposed) > 1 else "".join(question.proposed)
    return f"{reverse('admin:billing_correction_enter')}?{urlencode(filled | ({'to': to} if to else {}))}"
