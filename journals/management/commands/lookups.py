"""Lookup tables, such as worktags by fund/org: loaded, shown, removed."""

from collections.abc import Iterable
from typing import Any

from journals import lookups
from journals.commands import LedgerListCommand

VIEW, ADD = "journals.view_lookuptable", "journals.add_lookuptable"


class Command(LedgerListCommand):
    help = "Keep lookup tables of what the ledger needs beside the fund/org, such as worktags, for layouts to print."
    permission = {"list": VIEW, "show": VIEW, "load": ADD, "remove": ADD}
    kind = lookups.LOOKUPS
    described = {"keys": "found by", "columns": "has"}
    about = {
        "list": "every version of every table",
        "show": "the rows of a table",
        "load": "replace each table that a CSV or Excel file names",
        "columns": f"{', '.join(lookups.COLUMNS)}, what rows are found by, and values",
        "remove": "have nothing looked up in a table any more",
        "none": "There is no lookup table. `manage.py lookups load FILE` loads one.",
        "removed": "Nothing is looked up in {name} any more.",
    }

    def headings(self, version: Any) -> Iterable[str]:
        return (*version.keys, *version.columns)

    def row_of(self, version: Any, row: Any) -> dict[str, str]:
        parts = dict(zip(version.keys, row.parts, strict=True))
        return parts | {name: row.values.get(name, "") for name in version.columns}
