"""The first page of the portal: what is charged this month, why it changed, and what comes."""

from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.db.models import Case, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.models import Person, Question, User

from .. import overview
from ..questions import visible as questions
from .funds import meters
from .visible import scope, visible

# PIs that it names of those for whom the reader is a delegate.
NAMED = 3
# Open questions that it lists.
QUESTIONS = 5
# Funds that the page shows, the urgent first.
FUNDS = 4
# Half of the width of the bars, which begin in the middle.
HALF = 100


@dataclass(frozen=True)
class Bar:
    """A change with its bar: to the right for more, to the left for less."""

    change: overview.Change
    x: int
    width: int


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the newest month with statements over all PIs and projects of the reader."""
    seen = scope(request)
    shown = overview.home(seen, visible(request).live(), today=timezone.localdate())
    funds = overview.funds(visible(request).live(), today=timezone.localdate())
    acted_for = Person.objects.filter(pk__in=seen.pis - seen.own).order_by("name", "email")[:NAMED]
    assert isinstance(request.user, User)
    asked = questions.visible_to(request.user, on=timezone.localdate()).open()
    context = {
        # Those that wait for the reader first.
        "questions": asked.select_related("period", "project").order_by(
            Case(When(state=Question.State.REPLIED, then=0), default=1), "-asked_at", "-pk"
        )[:QUESTIONS],
        "more_questions": asked.count() - QUESTIONS,
        "acted_for": acted_for,
        "more_acted_for": len(seen.pis - seen.own) - NAMED,
        "funds": meters(funds[:FUNDS]),
        "more_funds": len(funds) - FUNDS,
        "home": shown,
        "why": [(each, _bars(each)) for each in shown.changes],
        "shows_pi": shown.counts.get("pis", 0) > 1,
    }
    return render(request, "portal/home.html", context)


def _bars(changes: overview.Changes) -> list[Bar]:
    most = max(abs(row.change) for row in changes.rows)
    found = []
    for row in changes.rows:
        width = int(abs(row.change) * HALF / most)
        found.append(Bar(row, HALF if row.change > 0 else HALF - width, width))
    return found
