"""How amounts, counts and choices are set on a page, and as columns of a list."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import reduce
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..fields import WIDE
from ..money import ZERO, plain, rounded, to_cents, written


def amount(value: Decimal | int | str | None, currency: str) -> str | SafeString:
    """Set an amount in cents with thousands separators and its currency; its further decimals are in the tooltip."""
    return _amount(value, currency, f" {currency}")


def figure(value: Decimal | int | str | None, currency: str) -> str | SafeString:
    """Set an amount like `amount`, where its currency stands beside or above it."""
    return _amount(value, currency, "")


def signed(value: Decimal, currency: str) -> str | SafeString:
    """Set a change of an amount, with its sign: +12.50 or -12.50."""
    return format_html("{}{}", "+" if to_cents(value, currency) > 0 else "", figure(value, currency))


def sums(billed: Mapping[str, Decimal]) -> SafeString:
    """Set the sums of several currencies as a sentence names them: they are never added."""
    return format_html_join(" and ", "{}", ((amount(total, currency),) for currency, total in sorted(billed.items())))


def _amount(value: Decimal | int | str | None, currency: str, named: str) -> str | SafeString:
    if value is None:
        return "–"
    exact = Decimal(value)
    cents = to_cents(exact, currency)
    return format_html(
        '<span class="amount{}" title="{}">{}{}</span>',
        " negative" if cents < 0 else "",
        plain(exact, currency) if exact != cents else "",
        rounded(exact, currency),
        named,
    )


def exact(value: Decimal, currency: str) -> SafeString:
    """Set an amount to its last digit, with thousands separators."""
    text = written(value.normalize(WIDE) if value else ZERO, currency)
    return format_html('<span class="amount{}">{}</span>', " negative" if text.startswith("-") else "", text)


def count(value: int | None) -> str:
    """Set a number of things with thousands separators."""
    return "–" if value is None else f"{value:,}"


def yes_or_no(value: bool | None) -> str | SafeString:
    """Set an answer in words: a "no" is as good as a "yes", and no error."""
    return "–" if value is None else "Yes" if value else format_html('<span class="quiet">{}</span>', "No")


def badge(text: object, tone: str = "", *, is_long: bool = False) -> SafeString:
    """Set a short word in a colored pill: tone is good, warn, bad, busy, info or nothing. A long one may wrap."""
    classes = " ".join(filter(None, (tone and f"badge-{tone}", "badge-long" if is_long else "")))
    return format_html('<span class="badge {}">{}</span>', classes, text)


def amount_column(
    field: str, label: str = "", *, currency: str = "currency", named: bool = True, order: str | None = None
) -> Callable[..., str | SafeString]:
    """Return a right-aligned column of an amount: `field` and `currency` are attributes or annotations.

    A foreign key's are reached by two underscores. The currency is printed unless it is not to be `named`.
    Use it in `list_display`, in `fields`, or as a class attribute whose name ends in `_amount`.
    """

    # As a class attribute it is called with the admin first, in list_display with the object only.
    def column(*args: Any) -> str | SafeString:
        value, of = getattr(args[-1], field), reduce(getattr, currency.split("__"), args[-1])
        return (amount if named else figure)(value, of)

    column.__name__ = f"{field}_amount"
    column.short_description = label or field.replace("_", " ")  # type: ignore[attr-defined]
    column.admin_order_field = order or field  # type: ignore[attr-defined]
    return column


def count_column(field: str, label: str = "", *, order: str | None = None) -> Callable[..., str]:
    """Return a right-aligned column of a number of things."""

    def column(*args: object) -> str:
        return count(getattr(args[-1], field))

    column.__name__ = f"{field}_count"
    column.short_description = label or field.replace("_", " ")  # type: ignore[attr-defined]
    column.admin_order_field = order or field  # type: ignore[attr-defined]
    return column


def badge_column(field: str, tones: Mapping[Any, str], label: str = "") -> Callable[..., SafeString]:
    """Return a column of a choice as a badge, colored by its value."""

    def column(*args: object) -> SafeString:
        value = getattr(args[-1], field)
        return badge(getattr(args[-1], f"get_{field}_display")(), tones.get(value, ""))

    column.__name__ = f"{field}_badge"
    column.short_description = label or field.replace("_", " ")  # type: ignore[attr-defined]
    column.admin_order_field = field  # type: ignore[attr-defined]
    return column
