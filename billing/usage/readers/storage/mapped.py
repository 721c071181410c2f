"""Tables of any system: `du`, Starfish and the like, as CSV whose columns the feed names."""

from collections.abc import Iterator
from pathlib import Path

from ....readers.batches import UnreadableFile
from ..csv_rows import rows_of
from ..fields import MAX_ID, BadField, moment_of, name_of, scaled, whole_number
from ..kinds import Tally
from .readings import Reading, StorageSettings

# What a column can be mapped to.
COLUMNS = ("path", "used", "quota", "files", "time", "account", "user", "system", "file_system", "tier", "quota_type")
NEEDED = ("path", "used")


def readings(path: Path, settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
    """Yield the rows of a table, in constant memory. Amounts are in the unit that is set."""
    rows = rows_of(path, tally)
    positions: dict[str, int] | None = None
    width = 0
    for line, fields in rows:
        if positions is None:
            positions, width = _positions(fields, line, settings), len(fields)
            if settings.has_header:
                continue
        if len(fields) != width:
            raise UnreadableFile(f"The row has {len(fields)} fields where the first line has {width}.", line)
        try:
            yield _reading({name: fields[position] for name, position in positions.items()}, line, settings)
        except BadField as error:
            column = settings.columns.get(error.column, error.column)
            raise BadField(str(error), column).at(line) from None


def _positions(first: list[str], line: int, settings: StorageSettings) -> dict[str, int]:
    """Return where the columns are, by their headings or by their numbers."""
    positions = {}
    headings = [heading.strip().casefold() for heading in first]
    for name, heading in settings.columns.items():
        if settings.has_header and heading.casefold() in headings:
            positions[name] = headings.index(heading.casefold())
        elif not settings.has_header and 0 < int(heading) <= len(first):
            positions[name] = int(heading) - 1
        else:
            known = ", ".join(filter(None, (each.strip() for each in first))) if settings.has_header else len(first)
            raise UnreadableFile(f"The table has no column {heading} for {name}. Its columns: {known}.", line)
    return positions


def _reading(values: dict[str, str], line: int, settings: StorageSettings) -> Reading:
    names = {name: name_of(values.get(name), name) for name in COLUMNS[5:]}
    return Reading(
        path=name_of(values["path"], "path", limit=MAX_ID),
        line=line,
        used=_bytes(values["used"], "used", settings.unit),
        quota=_bytes(values.get("quota", "").strip() or "0", "quota", settings.unit),
        files=whole_number(values.get("files", "").strip() or 0, "files"),
        at=moment_of(values["time"], settings.zone, "time") if "time" in values else None,
        system=names["system"],
        file_system=names["file_system"],
        tier=names["tier"],
        quota_type=names["quota_type"],
        names={name: names[name] for name in ("account", "user") if name in values},
    )


def _bytes(text: str, column: str, unit: int) -> int:
    return whole_number(text, column) if unit == 1 else scaled(text, unit, column)
