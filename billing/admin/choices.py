"""Fields that choose records by their keys or by what is typed, safe for whatever is sent in them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.widgets import (
    AutocompleteMixin,
    AutocompleteSelect,
    AutocompleteSelectMultiple,
    RelatedFieldWidgetWrapper,
)
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

# As many as an error names.
NAMED = 5
# How the text field of a browser without script is called, after the field it stands beside.
TYPED = "-typed"


def fits(field: "models.Field[Any, Any]", value: object) -> bool:
    """Tell whether a value can be one of a field."""
    of = field.target_field if isinstance(field, models.ForeignKey) else field
    try:
        # Whether the database has numbers as large is what the validators know.
        of.run_validators(of.to_python(value))
    except (ValidationError, OverflowError):
        return False
    return True


class Typed(str):
    """What was typed to name a record, where no script offers any to choose from."""


class _Combobox(AutocompleteMixin):
    """A select for combobox.js, with a text field beside it for a browser without script.

    It shows again what was sent, as far as it can be a key: Django's own fails on anything else.
    """

    allow_multiple_selected: bool

    def build_attrs(self, base_attrs: dict[str, Any], extra_attrs: dict[str, Any] | None = None) -> dict[str, Any]:
        meta = self.field.model._meta
        query = {"app_label": meta.app_label, "model_name": meta.model_name, "field_name": self.field.name}
        # Not what Django's script asks for.
        attrs: dict[str, Any] = super(AutocompleteMixin, self).build_attrs(base_attrs, extra_attrs)  # type: ignore[misc]
        return attrs | {"data-combobox": f"{self.get_url()}?{urlencode(query)}"}

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        key = self.field.remote_field.model._meta.pk
        return super().optgroups(name, [each for each in value if each == "" or fits(key, each)], attrs)

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        sent = value if isinstance(value, list | tuple) else [value]
        typed = ", ".join(each for each in sent if isinstance(each, Typed))
        if typed:
            value = [each for each in sent if not isinstance(each, Typed)] if self.allow_multiple_selected else None
        select = super().render(name, value, attrs, renderer)  # type: ignore[misc]
        hint = "Or names, with commas between" if self.allow_multiple_selected else "Or type a name"
        return format_html(
            '{}<noscript><input type="text" name="{}" value="{}" placeholder="{}" aria-label="{}"></noscript>',
            *(select, name + TYPED, typed, hint, hint),
        )

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        chosen = super().value_from_datadict(data, files, name)  # type: ignore[misc]
        typed = str(data.get(name + TYPED, "")).strip()
        if self.allow_multiple_selected:
            return [*(chosen or ()), *(Typed(each.strip()) for each in typed.split(",") if each.strip())]
        return Typed(typed) if typed else chosen

    @property
    def media(self) -> forms.Media:
        return forms.Media(js=["openchargeback/combobox.js"])


class _SearchedOne(_Combobox, AutocompleteSelect):
    pass


class _SearchedMany(_Combobox, AutocompleteSelectMultiple):
    pass


Search = Callable[[models.QuerySet[Any], str], tuple[models.QuerySet[Any], bool]]


def found(queryset: models.QuerySet[Any], text: str, search: Search, names: Iterable[str]) -> models.Model:
    """Return the one record that a text names: the only one that the search finds, or the one that is called so.

    Raises ValidationError if there is none or more than one.
    """
    if not text.isprintable() or len(text) > 200:
        raise ValidationError("Type a name of 200 characters at most, on one line.", code="invalid_choice")
    is_called_so = models.Q(pk=None)
    for name in names:
        is_called_so |= models.Q(**{f"{name}__iexact": text})
    called_so = list(queryset.filter(is_called_so)[:2])
    if len(called_so) == 1:
        return called_so[0]
    rows, has_doubles = search(queryset, text)
    fitting = list((rows.distinct() if has_doubles else rows)[: NAMED + 1])
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ValidationError(f"Nothing matches “{text}”.", code="invalid_choice")
    named = "; ".join(str(each) for each in fitting[:NAMED]) + ("; …" if len(fitting) > NAMED else "")
    raise ValidationError(f"“{text}” matches more than one: {named}. Type more of the name.", code="invalid_choice")


class SearchedField(forms.ModelChoiceField):
    """One record, by its key or by what was typed."""

    def __init__(self, queryset: Any, *, find: Callable[[models.QuerySet[Any], str], Any], **kwargs: Any) -> None:
        self.find = find
        super().__init__(queryset, **kwargs)

    def to_python(self, value: Any) -> Any:
        assert self.queryset is not None
        return self.find(self.queryset, value) if isinstance(value, Typed) else super().to_python(value)


class SeveralField(forms.ModelMultipleChoiceField):
    """Several records by their keys; what no key can be is refused here, where the database would fail at it."""

    def clean(self, value: Any) -> Any:
        assert self.queryset is not None
        key = self.queryset.model._meta.pk
        if wrong := [each for each in value or () if not fits(key, each)]:
            message = self.error_messages["invalid_pk_value"]
            raise ValidationError(message, code="invalid_pk_value", params={"pk": str(wrong[0])[:100]})
        return super().clean(value)


class SeveralSearchedField(SeveralField):
    """Several records, each by its key or by what was typed."""

    def __init__(self, queryset: Any, *, find: Callable[[models.QuerySet[Any], str], Any], **kwargs: Any) -> None:
        self.find = find
        super().__init__(queryset, **kwargs)

    def clean(self, value: Any) -> Any:
        assert self.queryset is not None
        return super().clean(
            [self.find(self.queryset, each).pk if isinstance(each, Typed) else each for each in value or ()]
        )


class SearchedChoicesMixin(BaseModelAdmin):
    """Search fields in forms, for whatever is sent in them."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            # A cross beside a choice would delete what is chosen, and not the choice.
            field.widget.can_delete_related = False
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", _SearchedOne(db_field, self.admin_site, using=kwargs.get("using")))
            kwargs |= {"form_class": SearchedField, "find": self._find(db_field, request)}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", _SearchedMany(db_field, self.admin_site, using=kwargs.get("using")))
            kwargs |= {"form_class": SeveralSearchedField, "find": self._find(db_field, request)}
        kwargs.setdefault("form_class", SeveralField)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _find(self, db_field: Any, request: HttpRequest) -> Callable[[models.QuerySet[Any], str], models.Model]:
        screen = self.admin_site.get_model_admin(db_field.remote_field.model)
        # Names of the record itself, and not of what it belongs to.
        names = [name for name in screen.get_search_fields(request) if "__" not in name]
        return partial(found, search=partial(screen.get_search_results, request), names=names)
