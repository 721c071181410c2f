"""Google's cloud project: FOCUS has no column for it, so that the view of Google puts it into `x_Project`."""

import json

from .cells import id_of, strict_id_of
from .values import text_of

PROJECT = "x_Project"
PARTS = ("id", "name")


def project_of(text: str) -> tuple[str, str]:
    """Return the id and the name of the project that an `x_Project` field holds, each "" where there is none.

    The field is an object with `id` and `name`, as JSON, or the id alone. Taxes and support have none.
    """
    bare = text_of(text)
    if not bare.startswith("{"):
        return strict_id_of(bare), ""
    try:
        found = json.loads(bare)
        # A lone half of a surrogate pair, which JSON can write, cannot be stored.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # Nothing to attribute by, as if it were absent: the row is held if nothing else says who pays.
        return "", ""
    folded = {name.casefold(): value for name, value in found.items()}
    return id_of(_part(folded.get("id"))), _part(folded.get("name"))


def _part(value: object) -> str:
    return text_of(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""
