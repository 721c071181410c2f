"""Spans of days of which an end may be open (pure)."""

import datetime

Span = tuple[datetime.date | None, datetime.date | None]


def overlap(one: Span, other: Span) -> bool:
    """Tell whether two spans have a day in common."""
    least, most = datetime.date.min, datetime.date.max
    return (one[0] or least) <= (other[1] or most) and (other[0] or least) <= (one[1] or most)


def holds_on(span: Span, day: datetime.date) -> bool:
    """Tell whether a day is within a span."""
    first, last = span
    return (first is None or first <= day) and (last is None or day <= last)
