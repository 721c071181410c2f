"""Chips above a list, one of them chosen: each leads to a part of it, such as a state, and says what that comes to."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from django.contrib.admin.views.main import ChangeList


@dataclass(frozen=True)
class ChoiceChip:
    """A part of a list: how many it holds, what they come to, and the address of the list of it alone.

    `value` is what the address says of it, "" for what the list shows where its address says nothing. Sums are by
    currency and never added together. A tone marks what somebody has to act on.
    """

    value: str
    label: str
    count: int
    sums: Mapping[str, Decimal] = field(default_factory=dict)
    tone: str = ""
    url: str = ""
    is_current: bool = False


def choice_chips(
    choices: Iterable[ChoiceChip], *, chosen: str | None, url_of: Callable[[str], str]
) -> list[ChoiceChip]:
    """Return the choices to show, with their addresses: the first, the chosen one, and each that holds something."""
    return [
        replace(each, tone=each.tone if each.count else "", url=url_of(each.value), is_current=each.value == chosen)
        for number, each in enumerate(choices)
        if each.count or each.value == chosen or not number
    ]


def address_by(changelist: ChangeList, parameter: str) -> Callable[[str], str]:
    """Return what makes the address of a list with another value of one parameter, and all else as it is narrowed."""
    # Django removes what begins with a name, such as `period` with `p`; None removes one name alone.
    return lambda value: changelist.get_query_string({parameter: value or None})
