"""A list whose filters are chips in one row, each with a link that removes it, and a form that asks for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models import ForeignKey
from django.http import HttpRequest, HttpResponseRedirect, QueryDict
from django.utils.functional import cached_property

from ..texts import month_name
from .links import list_url
from .saved_views import in_order

# What an address says beside how the list is narrowed.
SUMS = "sums"
PLACES = ("p", "o", "e", SUMS)
ANY = ("", "Any")


@dataclass(frozen=True)
class Chip:
    """One way in which the list is narrowed, and the address of the list without it."""

    title: str
    value: str
    remove_url: str


class ChipsMixin(ChangeList):
    """A page of a list that says in words what narrows it."""

    # Where nothing narrows the list.
    clear_url = "?"

    @cached_property
    def is_narrowed(self) -> bool:
        """Whether a filter may keep anything off the list."""
        return bool(self.narrowed_by)

    @cached_property
    def chips(self) -> list[Chip]:
        """What the list is narrowed by, in words."""
        found, told = [], set()
        for spec in self.filter_specs:
            told |= set(spec.expected_parameters() or ())
            everything, *choices = list(spec.choices(self))
            chosen = [str(choice["display"]) for choice in choices if choice["selected"]]
            if chosen:
                found.append(Chip(str(spec.title), ", ".join(chosen), str(everything["query_string"])))
        for name, values in self.narrowed_by.items():
            # A filter that has nothing to choose from is not shown, and narrows nothing.
            if name not in told and name.partition("__")[0] in self._fields:
                found.append(self._chip_of_link(name, values))
        return found

    @cached_property
    def _fields(self) -> set[str]:
        return {field.name for field in self.opts.get_fields()}

    def _chip_of_link(self, name: str, values: Sequence[str]) -> Chip:
        """Say what a link from another page narrows the list by, such as `project__id__exact`."""
        model_field = self.opts.get_field(name.partition("__")[0])
        said = ", ".join(values)
        if isinstance(model_field, ForeignKey) and name.endswith("__exact"):
            try:
                said = str(model_field.related_model._default_manager.get(pk=values[0]))  # noqa: SLF001 (documented by Django)
            except (ObjectDoesNotExist, ValueError, OverflowError):
                said = "not found"
        return Chip(str(getattr(model_field, "verbose_name", name)), said, self.get_query_string(remove=[name]))

    @cached_property
    def narrowed_by(self) -> dict[str, list[str]]:
        """The filters of its address, without the search."""
        return self.get_filters_params()

    @cached_property
    def narrowing(self) -> str:
        """How the list is narrowed and searched, as its address says it: in one order, so that two can be compared."""
        asked = QueryDict(mutable=True)
        for name, values in self.narrowed_by.items():
            asked.setlist(name, list(values))
        asked["q"] = self.query
        return narrowing_of(asked)


class AllFiltersForm(forms.Form):
    """The form of all filters: each field is named as the address names the filter, and it works without script."""

    def __init__(self, request: HttpRequest, offered: Mapping[str, list[tuple[str, str]]]) -> None:
        super().__init__(
            initial={name: request.GET.get(name, "") for name in self.base_fields},
            label_suffix="",
            auto_id="filter_%s",
            use_required_attribute=False,
        )
        for name, choices in offered.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [ANY, *choices]
            asked = request.GET.get(name, "")
            if asked and asked not in dict(choices):
                # An older month stays what is asked for.
                field.choices.append((asked, month_name(asked)))


def narrowing_of(asked: QueryDict) -> str:
    """Return what of an address narrows the list, in one order of names and without what is empty."""
    kept = asked.copy()
    for name in PLACES:
        kept.pop(name, None)
    return in_order(kept)


def without_empty(request: HttpRequest, model: type[models.Model]) -> HttpResponseRedirect | None:
    """Lead from an address with empty filters, as a form sends them, to one that says what narrows and nothing else."""
    if request.method == "GET" and any(not value for name in request.GET for value in request.GET.getlist(name)):
        return HttpResponseRedirect(list_url(model, narrowing_of(request.GET)))
    return None


def context_of(request: HttpRequest, form: AllFiltersForm) -> dict[str, Any]:
    """Return what the row of chips needs beside the list itself."""
    asked = QueryDict(narrowing_of(request.GET)).lists()
    # What the form of all filters does not ask stays as it is.
    kept = [(name, value) for name, values in asked if name not in form.fields for value in values]
    return {"filter_form": form, "filter_media": form.media, "kept": kept}
