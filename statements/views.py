"""The PI portal: my statements, what is behind each figure, and a project's history."""

import datetime
import functools
import io
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.audit import Actor
from billing.models import Project, User
from billing.models.periods import parse_month
from billing.texts import long_month

from . import emails, issuing, sheets
from .document import Figures, money
from .models import Statement, StatementLine, StatementQuerySet

PER_PAGE = 50
CHARGES_PER_PAGE = 100
# Months in a project's history.
HISTORY = 24
CHART_HEIGHT, BAR_WIDTH, BAR_STEP = 120, 32, 48

T = TypeVar("T")
log = logging.getLogger(__name__)

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def _visible(request: HttpRequest) -> StatementQuerySet:
    """Return what this person may see; every page of the portal starts from it, so the rest is 404."""
    assert isinstance(request.user, User)
    return Statement.objects.visible_to(request.user, on=timezone.localdate())


def _own(request: HttpRequest) -> Q:
    """Return what picks the statements of the reader, as a PI by link or by address."""
    assert isinstance(request.user, User)
    return Q(pi__user=request.user) | Q(pi__email__iexact=request.user.email)


class Voided(Exception):
    """A statement was asked for that was voided: its page says when and why, and nothing of what it said."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement


def _one(request: HttpRequest, number: str) -> Statement:
    """Return a statement of theirs; raise Voided where it was voided."""
    found: Statement = get_object_or_404(
        _visible(request)
        .select_related("period", "pi", "project", "reference__period", "superseded_by")
        .prefetch_related("lines"),
        number=number,
    )
    if found.state == Statement.State.VOID:
        raise Voided(found)
    return found


def _telling_of_void(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Answer each address of a voided statement with when and why (410)."""

    @functools.wraps(view)
    def answered(request: HttpRequest, number: str, **more: int) -> HttpResponseBase:
        try:
            return view(request, number, **more)
        except Voided as voided:
            of = voided.statement
            current = _visible(request).live().filter(reference=of.reference).first()
            response = render(request, "portal/voided.html", {"statement": of, "current": current}, status=410)
            response["Cache-Control"] = "private, no-store"
            return response

    return answered


@login_required
@require_safe
def statements(request: HttpRequest) -> HttpResponse:
    """List a person's statements in force, newest month first."""
    mine = _visible(request).live()
    found = mine.select_related("period", "pi", "project").order_by("-period__month", "number")
    month, code, words = (request.GET.get(name, "").strip() for name in ("month", "project", "q"))
    if month:
        found = found.filter(period__month=_month(month))
    if code:
        found = found.filter(project__code=code)
    lines = StatementLine.objects.order_by()
    for word in words.split()[:5]:
        found = found.filter(
            Q(number__icontains=word)
            | Q(project__code__icontains=word)
            | Q(project__name__icontains=word)
            | Q(pi__name__icontains=word)
            | Q(pi__email__icontains=word)
            | Q(
                pk__in=lines.filter(Q(reference_1__icontains=word) | Q(reference_2__icontains=word)).values("statement")
            )
        )
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return render(
        request,
        "portal/statements.html",
        {
            "page": page,
            "has_corrections": any(each.corrections for each in page),
            "months": mine.order_by("-period__month").values_list("period__month", flat=True).distinct(),
            "projects": mine.filter(project__isnull=False)
            .order_by("project__code")
            .values_list("project__code", flat=True)
            .distinct(),
            "month": month,
            "project": code,
            "words": words,
            "is_filtered": bool(month or code or words),
            # Whose it is, wherever not all are the reader's own.
            "shows_pi": mine.exclude(_own(request)).exists(),
            "query": query.urlencode(),
        },
    )


@login_required
@require_safe
@_telling_of_void
def statement(request: HttpRequest, number: str) -> HttpResponse:
    """Show a statement as its PDF does, with every resource, and its other revisions."""
    shown = _one(request, number)
    others = _visible(request).filter(reference=shown.reference).exclude(pk=shown.pk).order_by("-revision")
    current = next((other for other in others if other.state in Statement.LIVE), None)
    return render(
        request,
        "portal/statement.html",
        {
            "statement": shown,
            "links_charges": bool(shown.charges_sha256),
            "document": issuing.document_of(shown),
            "current": current,
            "others": others,
            "revised": emails.mailed_before([shown]).get(shown.pk),
        },
    )


@login_required
@require_safe
@_telling_of_void
def pdf(request: HttpRequest, number: str) -> FileResponse:
    found = _one(request, number)
    _note_staff(request, found, "pdf")
    return download(issuing.pdf_of(found), f"statement-{found.number}.pdf", "application/pdf")


@login_required
@require_safe
@_telling_of_void
def as_csv(request: HttpRequest, number: str) -> FileResponse:
    found = _one(request, number)
    _note_staff(request, found, "csv")
    data = sheets.as_csv(issuing.document_of(found))
    return download(data, f"statement-{found.number}.csv", "text/csv; charset=utf-8")


@login_required
@require_safe
@_telling_of_void
def as_xlsx(request: HttpRequest, number: str) -> FileResponse:
    found = _one(request, number)
    _note_staff(request, found, "xlsx")
    return download(sheets.as_xlsx(issuing.document_of(found)), f"statement-{found.number}.xlsx", XLSX)


@login_required
@require_safe
@_telling_of_void
def charges_csv(request: HttpRequest, number: str) -> FileResponse:
    found = _one(request, number)
    data = _there(issuing.charges_csv_of, found)
    _note_staff(request, found, issuing.CHARGES)
    return download(data, f"statement-{found.number}-{issuing.CHARGES}", "text/csv; charset=utf-8")


@login_required
@require_safe
@_telling_of_void
def line(request: HttpRequest, number: str, line: int) -> HttpResponse:
    """Show the charges behind a line, as they were when the statement was issued."""
    found = _one(request, number)
    asked = next((each for each in issuing.document_of(found).lines if each.number == line), None)
    if asked is None:
        raise Http404("No StatementLine matches the given query.")
    rows = _there(issuing.charges_of_line, found, line)
    page = Paginator(rows, CHARGES_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "portal/line.html", {"statement": found, "line": asked, "page": page})


def _there(read: Callable[..., T], *of: Any) -> T:
    """Read what was kept with a statement; what is lost is not found, and the log says how to put it back."""
    try:
        return read(*of)
    except issuing.ChargesLost as error:
        log.error("%s", error)
        raise Http404(str(error)) from error


@login_required
@require_safe
def projects(request: HttpRequest) -> HttpResponse:
    """List the projects a person has statements of, with the latest month of each."""
    of_mine = _visible(request).live().filter(project__isnull=False)
    found = (
        Project.objects.filter(pk__in=of_mine.values("project"))
        .annotate(
            months=Count("statements__period", filter=Q(statements__in=of_mine), distinct=True),
            latest=Max("statements__period__month", filter=Q(statements__in=of_mine)),
        )
        .order_by("code")
    )
    return render(
        request, "portal/projects.html", {"page": Paginator(found, PER_PAGE).get_page(request.GET.get("page"))}
    )


@dataclass(frozen=True)
class Month:
    """A project's month: its list price, what is charged with corrections, and where its bars stand in the chart."""

    month: datetime.date
    currency: str
    list_cost: Decimal
    charged: Decimal
    x: int = 0
    list_height: int = 0
    list_y: int = 0
    charged_height: int = 0
    charged_y: int = 0

    @property
    def middle(self) -> int:
        return self.x + BAR_WIDTH // 2

    @property
    def summary(self) -> str:
        listed, charged = money(self.list_cost, self.currency), money(self.charged, self.currency)
        return f"{long_month(self.month)}: list price {listed}, charged {charged}"


@login_required
@require_safe
def project(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a project cost month by month, as a table and as bars."""
    # A project without a statement of theirs does not exist for them.
    found = get_object_or_404(Project.objects.filter(pk__in=_visible(request).live().values("project")), pk=pk)
    mine = (
        _visible(request)
        .live()
        .filter(project=found)
        .select_related("period", "pi")
        .order_by("-period__month", "number")
    )
    by_month: dict[datetime.date, list[Statement]] = {}
    for each in mine:
        if each.period.month not in by_month and len(by_month) == HISTORY:
            break
        by_month.setdefault(each.period.month, []).append(each)
    if not by_month:
        raise Http404("No Project matches the given query.")
    currencies = {each.currency for own in by_month.values() for each in own}
    # Amounts of two currencies have no common scale.
    rows = [each for own in by_month.values() for each in own]
    months = _with_bars(rows, min(currencies)) if len(currencies) == 1 else []
    return render(
        request,
        "portal/project.html",
        {
            "project": found,
            "months": months,
            "statements": rows,
            "has_corrections": any(each.corrections for each in rows),
            "currency": min(currencies),
            "total": Figures.total(
                Figures(each.month_list_cost, each.month_contracted_cost, each.charged - each.corrections)
                for each in rows
            ),
            "total_corrections": sum((each.corrections for each in rows), Decimal(0)),
            "total_charged": sum((each.charged for each in rows), Decimal(0)),
            "chart_width": len(months) * BAR_STEP + 8,
            "chart_height": CHART_HEIGHT,
            "bar_width": BAR_WIDTH,
        },
    )


def _with_bars(statements: Iterable[Statement], currency: str) -> list[Month]:
    """Return the months, oldest first, with bars from a base line; what is below zero has no bar."""
    amounts: dict[datetime.date, list[Decimal]] = {}
    for each in sorted(statements, key=lambda each: each.period.month):
        of_month = amounts.setdefault(each.period.month, [Decimal(0), Decimal(0)])
        of_month[0] += each.month_list_cost
        of_month[1] += each.charged
    highest = max((max(both) for both in amounts.values()), default=Decimal(0))

    def height(amount: Decimal) -> int:
        return int(max(amount, Decimal(0)) * CHART_HEIGHT / highest) if highest > 0 else 0

    return [
        Month(
            month=month,
            currency=currency,
            list_cost=list_cost,
            charged=charged,
            x=4 + number * BAR_STEP,
            list_height=(list_height := height(list_cost)),
            list_y=CHART_HEIGHT - list_height,
            charged_height=(charged_height := height(charged)),
            charged_y=CHART_HEIGHT - charged_height,
        )
        for number, (month, (list_cost, charged)) in enumerate(amounts.items())
    ]


def download(data: bytes, name: str, content_type: str) -> FileResponse:
    """Hand out a document to this person alone, never to a cache in between."""
    response = FileResponse(io.BytesIO(data), as_attachment=True, filename=name, content_type=content_type)
    response["Cache-Control"] = "private, no-store"
    return response


def _note_staff(request: HttpRequest, found: Statement, what: str) -> None:
    assert isinstance(request.user, User)
    if request.user.is_staff:
        issuing.record_download(statement=found, what=what, actor=Actor.from_user(request.user), now=timezone.now())


def _month(text: str) -> datetime.date:
    """Return the month of an address, such as 2025-01; one that is none is not found."""
    try:
        return parse_month(text)
    except ValueError as error:
        raise Http404(str(error)) from error
