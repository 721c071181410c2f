"""Objects as reports and --json tell them."""

from typing import Any


def fields_of(subject: object, *names: str) -> dict[str, Any]:
    """Return attributes of an object by their names, in this order."""
    return {name: getattr(subject, name) for name in names}
