"""Amounts, counts and badges in the templates of the admin, set as its columns set them."""

from decimal import Decimal

from django import template
from django.utils.safestring import SafeString

from ..admin import base

register = template.Library()


@register.filter
def amount(value: Decimal | None, currency: str = "") -> str | SafeString:
    return base.amount(value, currency)


@register.filter
def opposite(value: Decimal | str) -> Decimal:
    """Return an amount, or an exact text of one, with the other sign."""
    return -Decimal(value)


@register.filter
def exact(value: Decimal) -> SafeString:
    return base.exact(value)


@register.filter
def count(value: int | None) -> str:
    return base.count(value)


@register.filter
def badge(text: str, tone: str = "") -> SafeString:
    return base.badge(text, tone)
