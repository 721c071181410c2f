"""Amounts, counts and badges in the templates of the admin, set as its columns set them."""

from decimal import Decimal

from django import template
from django.contrib.admin import site
from django.contrib.admin.helpers import AdminReadonlyField
from django.contrib.admin.utils import lookup_field
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import ForeignObjectRel, Model
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString

from ..admin import formatting

register = template.Library()


@register.filter
def amount(value: Decimal | None, currency: str) -> str | SafeString:
    return formatting.amount(value, currency)


@register.filter
def figure(value: Decimal | None, currency: str) -> str | SafeString:
    return formatting.figure(value, currency)


@register.filter
def opposite(value: Decimal | str) -> Decimal:
    """Return an amount, or an exact text of one, with the other sign."""
    return -Decimal(value)


@register.filter
def exact(value: Decimal, currency: str) -> SafeString:
    return formatting.exact(value, currency)


@register.filter
def count(value: int | None) -> str:
    return formatting.count(value)


@register.filter
def badge(text: str, tone: str = "") -> SafeString:
    return formatting.badge(text, tone)


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
