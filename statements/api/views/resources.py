"""The resources of the API: an index, four lists, and one statement."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing.models import ApiToken

from .. import asking, pages, scope
from ..fields import STATEMENT, row_of
from ..refusals import not_found
from .answering import answering

VERSION = "v1"


@answering
def index(request: HttpRequest, token: ApiToken) -> dict[str, Any]:
    """Name the resources and the token."""
    asking.parameters_of(request.GET, ())
    return {
        "version": VERSION,
        "token": {"name": token.name, "kind": token.kind, "valid_until": token.valid_until.isoformat()},
        "resources": {name: request.build_absolute_uri(reverse(f"api:{name}")) for name in pages.RESOURCES},
    }


def _list(request: HttpRequest, token: ApiToken, name: str) -> dict[str, Any]:
    asked = asking.parameters_of(request.GET, asking.OF_STATEMENTS if name == "statements" else asking.OF_ROWS)
    found = asking.narrowed(scope.visible_to(token, on=timezone.localdate()), asked)
    page = pages.page_of(pages.RESOURCES[name], found, asked)
    return {"data": page.rows, "next": _next(request, page.after) if page.after else None}


def _next(request: HttpRequest, after: asking.Cursor) -> str:
    query = request.GET.copy()
    query["cursor"] = "-".join(map(str, after))
    return f"{request.build_absolute_uri(request.path)}?{query.urlencode()}"


@answering
def statements(request: HttpRequest, token: ApiToken) -> dict[str, Any]:
    return _list(request, token, "statements")


@answering
def lines(request: HttpRequest, token: ApiToken) -> dict[str, Any]:
    return _list(request, token, "lines")


@answering
def charges(request: HttpRequest, token: ApiToken) -> dict[str, Any]:
    return _list(request, token, "charges")


@answering
def usage(request: HttpRequest, token: ApiToken) -> dict[str, Any]:
    return _list(request, token, "usage")


@answering
def statement(request: HttpRequest, token: ApiToken, number: str) -> dict[str, Any]:
    """Return one statement by its number, whatever became of it."""
    asking.parameters_of(request.GET, ())
    found = scope.visible_to(token, on=timezone.localdate()).filter(number=number)
    one = found.select_related("period", "pi", "project", "reference__period", "superseded_by").first()
    if one is None:
        raise not_found()
    return row_of(STATEMENT, one)
