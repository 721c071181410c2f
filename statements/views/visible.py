"""What of the portal somebody may see: every page begins here, so the rest is not found."""

import datetime
import functools
from collections.abc import Callable

from django.db.models import Q
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from billing.models import User
from billing.models.periods import parse_month

from ..models import Statement, StatementQuerySet


def visible(request: HttpRequest) -> StatementQuerySet:
    """Return what this person may see; every page of the portal starts from it, so the rest is 404."""
    assert isinstance(request.user, User)
    return Statement.objects.visible_to(request.user, on=timezone.localdate())


def own(request: HttpRequest) -> Q:
    """Return what picks the statements of the reader, as a PI by link or by address."""
    assert isinstance(request.user, User)
    return Q(pi__user=request.user) | Q(pi__email__iexact=request.user.email)


class Voided(Exception):
    """A statement was asked for that was voided: its page says when and why, and nothing of what it said."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement


def one_of(request: HttpRequest, number: str) -> Statement:
    """Return a statement of theirs; raise Voided where it was voided."""
    found: Statement = get_object_or_404(
        visible(request)
        .select_related("period", "pi", "project", "reference__period", "superseded_by")
        .prefetch_related("lines"),
        number=number,
    )
    if found.state == Statement.State.VOID:
        raise Voided(found)
    return found


def telling_of_void(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Answer each address of a voided statement with when and why (410)."""

    @functools.wraps(view)
    def answered(request: HttpRequest, number: str, **more: int) -> HttpResponseBase:
        try:
            return view(request, number, **more)
        except Voided as voided:
            of = voided.statement
            current = visible(request).live().filter(reference=of.reference).first()
            response = render(request, "portal/voided.html", {"statement": of, "current": current}, status=410)
            response["Cache-Control"] = "private, no-store"
            return response

    return answered


def month_of(text: str) -> datetime.date:
    """Return the month of an address, such as 2025-01; one that is none is not found."""
    try:
        return parse_month(text)
    except ValueError as error:
        raise Http404(str(error)) from error
