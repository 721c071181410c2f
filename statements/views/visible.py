"""What of the portal somebody may see: every page begins here, so the rest is not found."""

import datetime
import functools
from collections.abc import Callable

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from billing.models import User
from billing.models.periods import parse_month
from billing.models.scopes import Scope, scope_of

from ..models import Statement, StatementQuerySet


def scope(request: HttpRequest) -> Scope:
    """Return whose costs this person may see today. It is looked up for each page: whoever was removed sees nothing."""
    assert isinstance(request.user, User)
    return scope_of(request.user, on=timezone.localdate())


def visible(request: HttpRequest) -> StatementQuerySet:
    """Return what this person may see; every page of the portal starts from it, so the rest is 404."""
    return Statement.objects.filter(scope(request).rows())


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


def leading_staff(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Lead staff who follow a PI's link to their own page of the same statement."""

    @functools.wraps(view)
    def answered(request: HttpRequest, number: str, **more: int) -> HttpResponseBase:
        try:
            return view(request, number, **more)
        except Http404:
            if not request.user.has_perm("statements.view_statement"):
                raise
            found = get_object_or_404(Statement, number=number)
            return redirect("admin:statements_statement_change", found.pk)

    return answered


def month_of(text: str) -> datetime.date:
    """Return the month of an address, such as 2025-01; one that is none is not found."""
    try:
        return parse_month(text)
    except ValueError as error:
        raise Http404(str(error)) from error
