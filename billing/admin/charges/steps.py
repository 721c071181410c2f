"""The verbs of the review as the admin offers them: buttons for one charge, actions for many."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ... import doors, review
from ...background import jobs
from ...errors import BillingError
from ...models import Charge, ReviewDecision
from ...review import deciding, learning, review_sheets, selections
from ...review.before_after import BeforeAfter, before_and_after
from ..attribution import rule_url, then_text, when_text
from ..audited import actor_of
from ..links import list_url
from ..verbs import SHOW, Verb
from .forms import CorrectForm, NoteForm, RejectForm

State = Charge.State
PERMISSION = "billing.review_charges"


@dataclass(frozen=True)
class Step:
    """A verb of the review as the admin offers it: for one charge or for many."""

    name: str
    label: str
    button: str
    question: str
    states: frozenset[str]
    form: type[forms.Form] = NoteForm
    # What the form proposes for a selection.
    initial: Callable[["QuerySet[Charge]"], dict[str, Any]] = lambda charges: {}
    # What the form is made with for a selection.
    form_for: Callable[["QuerySet[Charge]"], dict[str, Any]] = lambda charges: {}
    is_dangerous: bool = False
    is_primary: bool = False


def _proposed(charges: "QuerySet[Charge]") -> dict[str, Any]:
    return {"pi": review.proposed_pi(charges)}


STEPS = {
    step.name: step
    for step in (
        Step(
            name="approve",
            label="Approve…",
            button="Approve",
            question="The PI's fund/orgs pay what is approved.",
            states=frozenset({State.HELD}),
            is_primary=True,
        ),
        Step(
            name="correct",
            label="Correct…",
            button="Correct",
            question="Choose who pays. The imported data and all earlier decisions are kept.",
            states=frozenset({State.CLEAR, State.HELD, State.APPROVED}),
            form=CorrectForm,
            initial=_proposed,
        ),
        Step(
            name="reject",
            label="Reject…",
            button="Reject",
            question="Nobody pays for what is rejected. It is on no statement and in no journal.",
            states=frozenset({State.CLEAR, State.HELD}),
            form=RejectForm,
            form_for=lambda charges: {"charges": charges},
            is_dangerous=True,
        ),
        Step(
            name="charge_to_center",
            label="Charge to center…",
            button="Charge to center",
            question="The center's own fund/org pays, through the journal.",
            states=frozenset({State.CLEAR, State.HELD}),
        ),
        Step(
            name="undo",
            label="Undo…",
            button="Undo the last decision",
            question="Reverses the last decision: the charge is held again, or assigned as before.",
            states=frozenset(State),
        ),
    )
}


def verb_of(step: Step) -> Verb:
    def run(request: HttpRequest, charge: Charge, data: dict[str, Any]) -> str:
        acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
        decided = deciding.decide(step=step.name, charges=[charge.pk], options=data, **acting)
        if not decided.count:
            raise deciding.NothingDecided(str(decided))
        return with_rule_offered(request, decided)

    return Verb(
        name=step.name,
        label=step.label,
        button=step.button,
        permission=PERMISSION,
        question=step.question,
        form=step.form,
        form_for=lambda charge: step.form_for(Charge.objects.filter(pk=charge.pk)),
        initial=lambda charge: step.initial(Charge.objects.filter(pk=charge.pk)),
        run=run,
        offered=lambda charge: (
            charge.state in step.states and not charge.withdrawn_in_id and charge.charged_in.takes_changes
        ),
        details="admin/billing/charge/selection.html",
        facts=lambda request, charge, form: facts_of(request, Charge.objects.filter(pk=charge.pk), step, form),
        is_dangerous=step.is_dangerous,
        is_primary=step.is_primary,
    )


def facts_of(request: HttpRequest, charges: "QuerySet[Charge]", step: Step, form: forms.Form) -> dict[str, Any]:
    """Return what a page shows of the charges that a step is about to decide: amounts, reasons and payers."""
    acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
    selection = selections.weigh(charges, approving=step.name == "approve", **acting)
    foreseen = as_rule = None
    if isinstance(form, CorrectForm):
        form.show_current(charges)
        foreseen = _foreseen(request, charges, form)
        as_rule = _as_rule(request, foreseen) if foreseen else None
    shown = (
        charges.select_related("source", "pi", "project", "charged_in", "product", "resource")
        .prefetch_related(review_sheets.open_flags(), "payer_split__shares")
        .order_by("-id")[: selection.count if selection.is_small else selections.SHOWN]
    )
    why = selection.why_blocked or {}
    rows = [
        {"charge": charge, "payers": payers_text(charge), "why_blocked": why.get(charge.pk, "")} for charge in shown
    ]
    return {
        "selection": selection,
        "rows": rows,
        "before_after": foreseen,
        "as_rule": as_rule,
        "may_show": isinstance(form, CorrectForm) and selection.count <= jobs.LARGE,
    }


def _foreseen(request: HttpRequest, charges: "QuerySet[Charge]", form: CorrectForm) -> BeforeAfter | None:
    """Return what a correction would do, where somebody filled in the form and asked for that."""
    if not (form.is_bound and SHOW in request.POST and form.is_valid()):
        return None
    reassignment, approve = form.cleaned_data["reassignment"], form.cleaned_data["approve"]
    acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
    try:
        return before_and_after(charges, reassignment=reassignment, approve=approve, **acting)
    except BillingError as error:
        messages.error(request, doors.for_page(error, request.user))
    return None


@dataclass(frozen=True)
class AsRule:
    """The rule that a correction would make, and what it fits beside the charges corrected: by month, with its list."""

    when: str = ""
    then: str = ""
    months: tuple[tuple[learning.Foreseen, str], ...] = ()
    # Why it makes none.
    problem: str = ""


def _as_rule(request: HttpRequest, foreseen: BeforeAfter) -> AsRule | None:
    """Return what a rule made of a correction would reach, for those who may make one.

    Nothing where the correction names somebody who does not exist yet: a rule cannot name them either.
    """
    if foreseen.created or not (foreseen.charges and request.user.has_perm("billing.add_attributionrule")):
        return None
    try:
        rule = learning.rule_once_corrected(foreseen.charges)
    except BillingError as error:
        return AsRule(problem=str(error))
    found = learning.foresee_besides(rule, [charge.pk for charge in foreseen.charges])
    named = [urlencode({"charges": deciding.ranges_of(sorted(month.largest))}) for month in found]
    listed = zip(found, (list_url(Charge, query) for query in named), strict=True)
    return AsRule(when_text(rule), then_text(rule), tuple(listed))


def with_rule_offered(request: HttpRequest, decided: review.Decided) -> str | SafeString:
    """Return what came of a decision, and after a correction the link that makes a rule of it."""
    is_correction = decided.done.startswith(review.DONE[ReviewDecision.Action.REATTRIBUTE])
    if not (decided.count and is_correction and request.user.has_perm("billing.add_attributionrule")):
        return str(decided)
    return format_html('{} <a href="{}">Make a rule of this</a>', decided, rule_url(gesture=decided.gesture))


def payers_text(charge: Charge) -> str:
    """Return the fund/org that pays, or the shares of several."""
    if split := charge.payer_split:
        return review.shares_text({share.fund_org: share.percent for share in split.shares.all()})
    return charge.fund_org
