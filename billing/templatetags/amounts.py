"""Amounts, counts, months and badges in the templates of the admin, set as its columns set them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import template
from django.contrib.admin import site
from django.contrib.admin.helpers import AdminReadonlyField
from django.contrib.admin.utils import lookup_field
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import ForeignObjectRel, Model
from django.forms import BoundField
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from .. import quantities, texts
from ..admin import formatting

register = template.Library()

register.filter("month_name", texts.month_name)


@register.filter
def amount(value: Decimal | None, currency: str) -> str | SafeString:
    return formatting.amount(value, currency)


@register.filter
def figure(value: Decimal | None, currency: str) -> str | SafeString:
    return formatting.figure(value, currency)


@register.filter
def signed(value: Decimal, currency: str) -> str | SafeString:
    return formatting.signed(value, currency)


@register.filter
def sums(billed: Mapping[str, Decimal]) -> SafeString:
    return formatting.sums(billed)


@register.filter
def opposite(value: Decimal | str) -> Decimal:
    """Return an amount, or an exact text of one, with the other sign."""
    return -Decimal(value)


@register.filter
def exact(value: Decimal, currency: str) -> SafeString:
    return formatting.exact(value, currency)


@register.filter
def quantity(value: Decimal | str, unit: str) -> str:
    """Write a quantity with its unit, such as 240 core-hours; nothing where there is none."""
    return quantities.counted(Decimal(value), unit) if value else ""


@register.filter
def count(value: int | None) -> str:
    return formatting.count(value)


@register.filter
def badge(text: str, tone: str = "") -> SafeString:
    return formatting.badge(text, tone)


@register.filter
def named(field: BoundField) -> SafeString:
    """Return the widget of a field in a table, named as its column is."""
    return field.as_widget(attrs={"aria-label": str(field.label)})


@register.filter
def beside(headings: Iterable[Any], values: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    """Return each value of a row with what heads its column."""
    return zip(headings, values, strict=True)


@register.filter
def labeled(cells: Iterable[SafeString], headers: Sequence[Mapping[str, Any]]) -> list[SafeString]:
    """Return the cells of a row of a list, each with the name of its column as `data-label`, which phones show."""
    found = []
    for cell, header in itertools.zip_longest(cells, headers):
        # As Django makes them: `<td class="…">…</td>`, or `th` for the first.
        is_cell = header is not None and cell is not None and cell[:3] in ("<td", "<th")
        label = capfirst(str(header["text"])) if is_cell else ""
        is_plain = not label or "<" in label
        found.append(cell if is_plain else cell[:3] + format_html(' data-label="{}"', label) + cell[3:])
    return [mark_safe(each) for each in found if each is not None]  # noqa: S308 (Django's own cells, label escaped)


@register.simple_tag(takes_context=True)
def readonly(context: template.Context, field: AdminReadonlyField) -> str:
    """Return a read-only value; one that Django links to a page which the viewer may not open, without the link."""
    try:
        model_field, _, value = lookup_field(field.field["field"], field.form.instance, field.model_admin)
    except (AttributeError, ValueError, ObjectDoesNotExist):
        model_field = value = None
    if isinstance(value, Model) and isinstance(getattr(model_field, "remote_field", None), ForeignObjectRel):
        is_shown = site.is_registered(type(value))
        if not is_shown or not site.get_model_admin(type(value)).has_view_or_change_permission(
            context["request"], value
        ):
            return conditional_escape(str(value))
    return str(field.contents())
