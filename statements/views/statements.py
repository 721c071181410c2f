"""A person's statements: the list, a statement with the charges behind each line, and its files."""

import io
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing import tracing
from billing.audit import Actor
from billing.models import User

from .. import issuing, overview, sheets
from ..models import Statement, StatementLine
from .visible import leading_staff, month_of, one_of, scope, telling_of_void, visible

PER_PAGE = 50
CHARGES_PER_PAGE = 100

T = TypeVar("T")
log = logging.getLogger(__name__)

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@login_required
@require_safe
def statements(request: HttpRequest) -> HttpResponse:
    """List a person's statements in force, newest month first."""
    mine = visible(request).live()
    found = mine.select_related("period", "pi", "project").order_by("-period__month", "number")
    month, code, words = (request.GET.get(name, "").strip() for name in ("month", "project", "q"))
    if month:
        found = found.filter(period__month=month_of(month))
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
            "shows_pi": mine.exclude(pi__in=scope(request).own).exists(),
            "query": query.urlencode(),
        },
    )


@login_required
@require_safe
@leading_staff
@telling_of_void
def statement(request: HttpRequest, number: str) -> HttpResponse:
    """Show a statement as its PDF does, with every resource, and its other revisions."""
    shown = one_of(request, number)
    others = visible(request).filter(reference=shown.reference).exclude(pk=shown.pk).order_by("-revision")
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
            "ledger": overview.in_ledger(shown) if shown.state in Statement.LIVE else None,
        },
    )


@login_required
@require_safe
@telling_of_void
def pdf(request: HttpRequest, number: str) -> FileResponse:
    found = one_of(request, number)
    _note_staff(request, found, "pdf")
    return download(issuing.pdf_of(found), f"statement-{found.number}.pdf", "application/pdf")


@login_required
@require_safe
@telling_of_void
def as_csv(request: HttpRequest, number: str) -> FileResponse:
    found = one_of(request, number)
    _note_staff(request, found, "csv")
    data = sheets.as_csv(issuing.document_of(found))
    return download(data, f"statement-{found.number}.csv", "text/csv; charset=utf-8")


@login_required
@require_safe
@telling_of_void
def as_xlsx(request: HttpRequest, number: str) -> FileResponse:
    found = one_of(request, number)
    _note_staff(request, found, "xlsx")
    return download(sheets.as_xlsx(issuing.document_of(found)), f"statement-{found.number}.xlsx", XLSX)


@login_required
@require_safe
@telling_of_void
def charges_csv(request: HttpRequest, number: str) -> FileResponse:
    found = one_of(request, number)
    data = _there(issuing.charges_csv_of, found)
    _note_staff(request, found, issuing.CHARGES)
    return download(data, f"statement-{found.number}-{issuing.CHARGES}", "text/csv; charset=utf-8")


@login_required
@require_safe
@leading_staff
@telling_of_void
def line(request: HttpRequest, number: str, line: int) -> HttpResponse:
    """Show the charges behind a line, as they were when the statement was issued."""
    found = one_of(request, number)
    asked = next((each for each in issuing.document_of(found).lines if each.number == line), None)
    if asked is None:
        raise Http404("No StatementLine matches the given query.")
    rows = _there(issuing.charges_of_line, found, line)
    page = Paginator(rows, CHARGES_PER_PAGE).get_page(request.GET.get("page"))
    usage = tracing.usage_of_charges([int(row.charge) for row in page if row.charge])
    charges = [(row, usage.get(int(row.charge)) if row.charge else None) for row in page]
    return render(request, "portal/line.html", {"statement": found, "line": asked, "page": page, "charges": charges})


def _there(read: Callable[..., T], *of: Any) -> T:
    """Read what was kept with a statement; what is lost is not found, and the log says how to put it back."""
    try:
        return read(*of)
    except issuing.ChargesLost as error:
        log.error("%s", error)
        raise Http404(str(error)) from error


def download(data: bytes, name: str, content_type: str) -> FileResponse:
    """Hand out a document to this person alone, never to a cache in between."""
    response = FileResponse(io.BytesIO(data), as_attachment=True, filename=name, content_type=content_type)
    response["Cache-Control"] = "private, no-store"
    return response


def _note_staff(request: HttpRequest, found: Statement, what: str) -> None:
    assert isinstance(request.user, User)
    if request.user.is_staff:
        issuing.record_download(statement=found, what=what, actor=Actor.from_user(request.user), now=timezone.now())
