"""What a page that changes nothing asks the database once, however often it needs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_known: ContextVar[dict[str, Any] | None] = ContextVar("known_of_page", default=None)


@contextmanager
def reading() -> Iterator[None]:
    """Keep what is asked for until the page is done: from top to bottom it follows the same answer."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def value(name: str, read: Callable[[], T]) -> T:
    """Return what `read` gives; on a page that only reads, asked once under a name. Nobody may change it."""
    known = _known.get()
    if known is None:
        return read()
    if name not in known:
        known[name] = read()
    found: T = known[name]
    return found
