"""The reference by which a page, a command and the log name the same failure, such as `K7QM-3X9D`."""

import contextlib
import secrets
from collections.abc import Iterator
from contextvars import ContextVar

# Without letters and digits that are taken for each other when somebody reads them out.
LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

_current: ContextVar[str] = ContextVar("incident", default="")


def reference() -> str:
    """Return the reference of what is going on in this thread; "" where nothing has one."""
    return _current.get()


@contextlib.contextmanager
def named() -> Iterator[str]:
    """Give what happens inside a reference of its own, which every line of the log then carries."""
    drawn = "".join(secrets.choice(LETTERS) for _ in range(8))
    token = _current.set(f"{drawn[:4]}-{drawn[4:]}")
    try:
        yield _current.get()
    finally:
        _current.reset(token)
