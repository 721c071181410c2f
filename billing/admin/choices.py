"""Fields that choose records by their keys, safe for whatever is sent in them."""

from typing import Any

from django import forms
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.widgets import AutocompleteMixin, AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest


def fits(field: "models.Field[Any, Any]", value: object) -> bool:
    """Tell whether a value can be one of a field."""
    of = field.target_field if isinstance(field, models.ForeignKey) else field
    try:
        # Whether the database has numbers as large is what the validators know.
        of.run_validators(of.to_python(value))
    except (ValidationError, OverflowError):
        return False
    return True


class _ShownAgain(AutocompleteMixin):
    """Shows again what was sent, as far as it can be a key: Django's own fails on anything else."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        key = self.field.remote_field.model._meta.pk
        return super().optgroups(name, [each for each in value if each == "" or fits(key, each)], attrs)


class _SearchedOne(_ShownAgain, AutocompleteSelect):
    pass


class _SearchedMany(_ShownAgain, AutocompleteSelectMultiple):
    pass


class SeveralField(forms.ModelMultipleChoiceField):
    """Several records by their keys; what no key can be is refused here, where the database would fail at it."""

    def clean(self, value: Any) -> Any:
        assert self.queryset is not None
        key = self.queryset.model._meta.pk
        if wrong := [each for each in value or () if not fits(key, each)]:
            message = self.error_messages["invalid_pk_value"]
            raise ValidationError(message, code="invalid_pk_value", params={"pk": str(wrong[0])[:100]})
        return super().clean(value)


class SearchedChoicesMixin(BaseModelAdmin):
    """Search fields in forms, for whatever is sent in them."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", _SearchedOne(db_field, self.admin_site, using=kwargs.get("using")))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", _SearchedMany(db_field, self.admin_site, using=kwargs.get("using")))
        kwargs.setdefault("form_class", SeveralField)
        return super().formfield_for_manytomany(db_field, request, **kwargs)
