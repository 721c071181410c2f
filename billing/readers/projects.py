"""Google's cloud project: FOCUS has no column for it, so that the view of Google puts it into `x_Project`."""

import json
from collections.abc import Mapping, Sequence

from .cells import id_of, strict_id_of
from .values import Memo, text_of

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


class Projects:
    """Puts the cloud project where FOCUS has room for it: into the sub account, row by row."""

    def __init__(self) -> None:
        self._known = Memo(project_of)
        self._ids = Memo(id_of)

    def placed(self, columns: Mapping[str, Sequence[str]], size: int) -> tuple[dict[str, Sequence[str]], int]:
        """Return the columns without `x_Project`, and how many rows have their project as sub account now.

        The sub account gives way where it is empty, or only repeats the billing account, as Google's does.
        """
        placed = {name: values for name, values in columns.items() if name != PROJECT}
        projects = self._known.column(columns[PROJECT])
        nothing = [""] * size
        ids: list[str] = list(columns.get("SubAccountId", nothing))
        names: list[str] = list(columns.get("SubAccountName", nothing))
        said = self._ids.column(ids)
        accounts = self._ids.column(columns.get("BillingAccountId", nothing))
        count = 0
        for row, ((project, name), account) in enumerate(zip(projects, accounts, strict=True)):
            if project and said[row] in ("", account):
                ids[row], names[row] = project, name
                count += 1
        if count:
            placed |= {"SubAccountId": ids, "SubAccountName": names}
        return placed, count
