"""Saved views above a list: links to how somebody narrowed it, made, renamed and deleted where they are used."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from ..models import Charge, SavedView, User
from .links import list_url

SHARE = "billing.share_savedview"
# The month is no part of a view, unless it is asked for: a view opens in the month that is shown.
MONTH = "period"


@dataclass(frozen=True)
class ShownView:
    """A view as the list links to it."""

    view: SavedView
    url: str
    is_current: bool
    is_own: bool
    may_change: bool


class ViewForm(forms.ModelForm):
    """The name of a view, whether all staff see it, and whether it keeps the month shown."""

    keeps_month = forms.BooleanField(label="Keep this month", required=False)

    class Meta:
        model = SavedView
        fields = ("name", "is_shared")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["is_shared"].label = "Share with all staff"
        if not user.has_perm(SHARE):
            del self.fields["is_shared"]


def context_of(request: HttpRequest, *, of: str, narrowing: str) -> dict[str, Any]:
    """Return what a list shows of its views; `narrowing` is how the list is narrowed now."""
    user = request.user
    assert isinstance(user, User)
    month = QueryDict(narrowing).get(MONTH, "")
    views = []
    for view in SavedView.objects.seen_by(user, of=of):
        query = with_month(view.query, month)
        is_own = view.owner_id == user.pk
        views.append(ShownView(view, f"?{query}", query == narrowing, is_own, view.may_be_changed_by(user)))
    current = next((each for each in views if each.is_current and each.may_change), None)
    rename = ViewForm(user=user, instance=current.view, auto_id="rename_%s") if current else None
    return {
        "narrowing": narrowing,
        "views": views,
        "current_view": current,
        "view_form": ViewForm(user=user, auto_id="view_%s"),
        "rename_form": rename,
    }


def with_month(query: str, month: str) -> str:
    """Return a view's query for a month, where it keeps none itself."""
    asked = QueryDict(query, mutable=True)
    if month and MONTH not in asked:
        asked[MONTH] = month
    return in_order(asked)


def in_order(asked: QueryDict) -> str:
    """Return an address in one order of its names, without what is empty."""
    kept = QueryDict(mutable=True)
    for name in sorted(asked):
        if values := [value for value in asked.getlist(name) if value]:
            kept.setlist(name, values)
    return kept.urlencode()


@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    """Save how the list of charges is narrowed, or rename the view that the form names."""
    user = _seeing_charges(request)
    number = request.POST.get("view", "")
    view = _changeable(user, number) if number else SavedView(owner=user, list=SavedView.List.CHARGES)
    asked = QueryDict(request.POST.get("query", ""), mutable=True)
    form = ViewForm(request.POST, user=user, instance=view)
    if not number:
        if not request.POST.get("keeps_month"):
            asked.pop(MONTH, None)
        view.query = in_order(asked)
    try:
        if not form.is_valid():
            raise ValidationError([str(error) for errors in form.errors.values() for error in errors])
        # The form leaves out what it does not show, such as the owner.
        view.full_clean()
    except ValidationError as error:
        messages.error(request, f"The view is not saved. {' '.join(error.messages)}")
    else:
        form.save()
        messages.success(request, f"The view “{view.name}” is saved.")
    return HttpResponseRedirect(_back(request))


@require_POST
def delete_view(request: HttpRequest, number: int) -> HttpResponse:
    """Delete a view; what it shows stays as it is."""
    view = _changeable(_seeing_charges(request), str(number))
    name = view.name
    view.delete()
    messages.success(request, f"The view “{name}” is deleted. No charge changed.")
    return HttpResponseRedirect(_back(request))


def _seeing_charges(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)
    if not user.has_perm("billing.view_charge"):
        raise PermissionDenied
    return user


def _changeable(user: User, number: str) -> SavedView:
    seen = SavedView.objects.seen_by(user, of=SavedView.List.CHARGES)
    view = get_object_or_404(seen, pk=int(number) if number.isascii() and number.isdigit() else 0)
    if not view.may_be_changed_by(user):
        raise PermissionDenied
    return view


def _back(request: HttpRequest) -> str:
    return list_url(Charge, in_order(QueryDict(request.POST.get("query", ""))))
