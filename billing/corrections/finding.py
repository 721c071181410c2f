"""Payer lines: which one a text means, and where each is shown."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.db.models import Model, QuerySet

from ..errors import BillingError
from ..models import BillingPeriod, BillingReference, PayerLine

REFERENCE = re.compile(r"\d{4}-\d{2}-\d{1,9}")


class NothingToCorrect(BillingError):
    """No payer line is meant by what was asked."""


@dataclass(frozen=True)
class Place:
    """Where a payer line is to be seen: the line of a statement or a journal, and that document itself."""

    label: str
    subject: Model


# How apps further on name payer lines: by the line of a statement, say. A finder returns the month
# that the line is charged in and its key, or None for a text that is not of its kind.
LineFinder = Callable[[str], tuple[BillingPeriod, str] | None]
_line_finders: dict[str, LineFinder] = {}


def register_line_finder(name: str, finder: LineFinder) -> None:
    """Have `finder` asked which payer line a text means; a second one of the same name replaces it."""
    _line_finders[name] = finder


# Where payer lines are shown, by apps further on: of a month and a key.
PlaceFinder = Callable[[BillingPeriod, str], list[Place]]
_place_finders: dict[str, tuple[int, PlaceFinder]] = {}


def register_place_finder(name: str, finder: PlaceFinder, *, position: int) -> None:
    """Have `finder` asked where a payer line is shown; a second one of the same name replaces it.

    Places are listed by `position`: statements, which people know, before journals.
    """
    _place_finders[name] = (position, finder)


def places_of(period: BillingPeriod, key: str) -> list[Place]:
    """Return the lines of statements and journals that show a payer line of a month."""
    finders = sorted(_place_finders.values(), key=lambda each: each[0])
    return [place for _, find in finders for place in find(period, key)]


def lines_named(texts: Iterable[str]) -> list[PayerLine]:
    """Return the payer lines meant by texts, each as `line_named` takes it, or a reference: all it was charged.

    Raises NothingToCorrect.
    """
    found: dict[int, PayerLine] = {}
    for text in texts:
        if text.strip():
            lines = lines_of_reference(text) if REFERENCE.fullmatch(text.strip()) else [line_named(text)]
            found |= {line.pk: line for line in lines}
    if not found:
        raise NothingToCorrect("Say what is corrected: a line of a statement, a payer line, or a reference.")
    return list(found.values())


def line_named(text: str) -> PayerLine:
    """Return the payer line meant by a statement's number and line, by its own number, or by its key.

    Raises NothingToCorrect.
    """
    text = text.strip()
    lines = lines_with_owners()
    for name in sorted(_line_finders):
        if found := _line_finders[name](text):
            period, key = found
            if line := lines.filter(period=period, key=key).first():
                return line
            raise NothingToCorrect(f"{text} is on no payer line of {period} any more: look at the newest statement.")
    if text.isdecimal():
        if line := lines.filter(pk=int(text[:18])).first():
            return line
    else:
        keyed = list(lines.filter(key=text).order_by("period__month"))
        if len(keyed) > 1:
            numbers = ", ".join(f"{line.pk} in {line.period}" for line in keyed)
            raise NothingToCorrect(f"Several months have a payer line of this key. Name one by its number: {numbers}.")
        if keyed:
            return keyed[0]
    raise NothingToCorrect(
        f"There is no payer line “{text}”. Name the line of a statement (2025-01-0007-1:3), a payer line's number, "
        "or its key; or a reference (2025-01-0007) for all of its lines."
    )


def lines_of_reference(
    text: str, *, fund_org: str = "", source: str = "", service_name: str | None = None
) -> list[PayerLine]:
    """Return the lines that users were charged under a reference such as 2025-01-0007, or some of them.

    Raises NothingToCorrect.
    """
    if not REFERENCE.fullmatch(text.strip()):
        raise NothingToCorrect(f"“{text}” is no reference. Statements and the ledger print it: 2025-01-0007.")
    month, _, number = text.strip().rpartition("-")
    try:
        period = BillingPeriod.objects.named(month)
    except (BillingPeriod.DoesNotExist, ValueError) as error:
        raise NothingToCorrect(f"There is no reference {text}. {error}") from error
    reference = BillingReference.objects.filter(period=period, number=int(number[:9])).first()
    if reference is None:
        raise NothingToCorrect(f"There is no reference {text} in {period}.")
    lines = lines_with_owners().filter(reference=reference, kind__in=PayerLine.CHARGED, pi__isnull=False)
    if fund_org:
        lines = lines.filter(fund_org=fund_org)
    if source:
        lines = lines.filter(source__name=source)
    if service_name is not None:
        lines = lines.filter(service_name=service_name)
    found = list(lines.order_by("key"))
    if not found:
        raise NothingToCorrect(f"Nobody was charged anything like that under {text}.")
    return found


def lines_with_owners() -> QuerySet[PayerLine]:
    """Return payer lines with all that is told of them."""
    return PayerLine.objects.select_related(
        "period", "for_period", "pi", "project", "source", "customer", "reference__period"
    )


def told(line: PayerLine) -> str:
    """Name a payer line to a person."""
    return f"The line of {line.paid_by} for {line.service_name or line.source.label} in {line.period}"
