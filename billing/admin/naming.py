"""Fields where a person types a name: what there is is offered as they type, and something new asks for a tick."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.urls import reverse_lazy

from ..attribution import naming
from ..models import FundingSource, Person, Project

# As many as a list below a field shows.
OFFERED = 12
MODELS: dict[str, Any] = {"pi": Person, "project": Project, "fund_org": FundingSource}


class NameInput(forms.TextInput):
    """A text field that offers the names of one kind there are: pi, project or fund_org."""

    class Media:
        js: ClassVar[list[str]] = ["openchargeback/suggest.js"]

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__()

    def get_context(self, name: str, value: object, attrs: dict[str, Any] | None) -> dict[str, Any]:
        address = f"{reverse_lazy('admin:billing_heldcharge_suggest')}?kind={self.kind}"
        return super().get_context(name, value, {**(attrs or {}), "data-suggest": address})


class CreateField(forms.MultipleChoiceField):
    """A tick for each name that does not exist; a tick for another name counts for nothing."""

    def __init__(self) -> None:
        super().__init__(required=False, label="New", widget=forms.CheckboxSelectMultiple)

    def validate(self, value: object) -> None:
        """Take ticks for names that were on an earlier page."""

    def ask(self, unknown: Iterable[naming.Unknown]) -> None:
        self.choices = [(key_of(each), each.promise) for each in unknown]


def key_of(unknown: naming.Unknown) -> str:
    """Return what a tick for a name sends: it names what is created, so that no tick creates anything else."""
    return f"{unknown.kind}:{unknown.name}"


def suggest_view(request: HttpRequest) -> JsonResponse:
    """Return the names of a kind that fit what was typed so far, as the search of their list finds them."""
    kind = request.GET.get("kind", "")
    if kind not in MODELS:
        raise PermissionDenied
    screen = admin.site.get_model_admin(MODELS[kind])
    if not screen.has_view_permission(request):
        raise PermissionDenied
    fields = {"pi": ("email", "name"), "project": ("code", "name"), "fund_org": ("fund_org", "name")}[kind]
    term = request.GET.get("term", "").replace("\0", "").strip()[:128]
    names, has_doubles = screen.get_search_results(request, MODELS[kind].objects.order_by(fields[0]), term)
    found = (names.distinct() if has_doubles else names).values_list(*fields)[:OFFERED] if term else []
    return JsonResponse({"results": [{"value": value, "label": label} for value, label in found]})


def warn_of_unknown_funds(request: HttpRequest, fund_orgs: Iterable[str]) -> None:
    """Say which of some fund/orgs are not on the loaded list, and what that does to charges."""
    for unknown in naming.unknown(fund_orgs=fund_orgs):
        messages.warning(request, f"{unknown} Charges that it is to pay are held for review.")
