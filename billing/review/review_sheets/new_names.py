"""Names on a review sheet that do not exist yet: created only where a line says so."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from ...attribution import naming
from ..shares import BadSplit, parse_shares
from .reading import BadCell, Cells, SheetRow


class NewNames:
    """What the lines of a sheet name that does not exist. One `yes` counts for every line with the same name."""

    def __init__(self, lines: Mapping[int, Cells]) -> None:
        self._lines = lines
        self._names = naming.Names()
        self._meant = {
            (each.kind, each.name): each
            for cells in lines.values()
            if cells.get("create", "").casefold() == "yes"
            for _, each in self._unknown(cells)
        }

    def require_known(self, cells: Cells, row: SheetRow | None) -> None:
        """Raise BadCell for a line that names something new that no line says to create."""
        if cells.get("create", "").casefold() not in ("", "yes"):
            raise BadCell("create", f"Write yes, or leave it empty: “{cells['create']}” is neither.")
        if row is None or not row.changes:
            return
        for column, unknown in self._unknown(cells):
            if column in row.changes and (unknown.kind, unknown.name) not in self._meant:
                raise BadCell(column, f"{unknown} If it is new, write yes in the column create.")

    def created_by(self, rows: Iterable[SheetRow]) -> tuple[naming.Unknown, ...]:
        """Return the names that these rows create."""
        changed = [row.line for row in rows if row.changes]
        used = {(each.kind, each.name) for line in changed for _, each in self._unknown(self._lines[line])}
        return tuple(each for key, each in self._meant.items() if key in used)

    def _unknown(self, cells: Cells) -> list[tuple[str, naming.Unknown]]:
        """Return what a line names that does not exist, each with its column."""
        found: list[tuple[str, naming.Unknown]] = []
        for column in ("pi", "project", "fund_org", "split"):
            text = cells.get(column, "")
            if column == "split":
                with suppress(BadSplit):
                    shares = parse_shares(text) if text else {}
                    found += [(column, each) for each in self._names.unknown(fund_orgs=shares)]
            elif column == "fund_org":
                found += [(column, each) for each in self._names.unknown(fund_orgs=[text])]
            elif column == "project" or "@" in text:
                found += [(column, each) for each in self._names.unknown(**{column: text})]
        return found
