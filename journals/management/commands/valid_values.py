"""Lists of the values that the ledger knows, by segment of the chartstring: loaded, shown, removed."""

from collections.abc import Iterable
from typing import Any

from journals import valid_values
from journals.commands import LedgerListCommand

VIEW, ADD = "journals.view_validvaluelist", "journals.add_validvaluelist"


class Command(LedgerListCommand):
    help = "Keep lists of the funds, orgs, accounts and other values that the ledger knows, for the preflight."
    permission = {"list": VIEW, "show": VIEW, "load": ADD, "remove": ADD}
    kind = valid_values.VALUES
    about = {
        "list": "every version of every list",
        "show": "the values of a segment",
        "load": "replace the values of each segment that a CSV or Excel file names",
        "columns": ", ".join(valid_values.COLUMNS),
        "remove": "check a segment against no list any more",
        "none": "There is no list of valid values. `manage.py valid_values load FILE` loads one.",
        "removed": "The values of {name} are checked against no list any more.",
    }

    def headings(self, version: Any) -> Iterable[str]:
        return ("value", "name")

    def row_of(self, version: Any, row: Any) -> dict[str, str]:
        return {"value": row.value, "name": row.name}
