"""The row of a stored file that a charge was made of, as it was delivered."""

from dataclasses import dataclass

from ..files.received import local_copy
from ..models import Charge, ImportedFile, Policy
from ..readers import FileError, UnreadableFile, row_at
from ..readers.parts import parts_of

# Columns of rows that usage was priced to: its record, and who used it.
RECORD, USER = "x_UsageId", "x_UsageUser"


@dataclass(frozen=True)
class Origin:
    """Where a charge comes from: the file, its line, and what stands there.

    `problem` says why the row cannot be shown, where it cannot. `told` says what else there is to know:
    that rows were added up, or that the charge takes another back.
    """

    file: ImportedFile | None
    line: int
    row: tuple[tuple[str, str], ...] = ()
    told: str = ""
    problem: str = ""


def row_of(charge: Charge) -> Origin:
    """Return the row as delivered that a charge was made of, read from the stored file.

    A charge that takes another back stands in no file: it is that other charge's row, with its amounts
    negated. Of rows that were added up, it is the first.
    """
    file, line, told = place_of(charge)
    if file is None:
        return Origin(None, line, told=told, problem="No file is kept of this charge.")
    return read(file, line, told)


def read(file: ImportedFile, line: int, told: str = "") -> Origin:
    """Return a line of a file of an import, or why it cannot be shown."""
    try:
        return Origin(file, line, tuple(line_of(file, line)), told)
    except FileError as error:
        return Origin(file, line, told=told, problem=str(error))


def place_of(charge: Charge) -> tuple[ImportedFile | None, int, str]:
    """Return the file and the line that a charge comes from, and what there is to know of it; reads no file."""
    origin = charge.reverses or charge
    files = ImportedFile.objects.select_related("file").filter(imported_in=origin.imported_in_id)
    return files.filter(number=origin.file_number).first(), origin.line_number, told_of(charge, origin)


def told_of(charge: Charge, origin: Charge) -> str:
    """Say what there is to know of a charge whose row is that of `origin`."""
    told = []
    if origin != charge:
        told.append(f"It reverses charge {origin.pk}: the same row, with its amounts negated.")
    if origin.row_count > 1:
        told.append(f"The first of {origin.row_count:,} rows that were added up.")
    return " ".join(told)


def _without_user(row: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out who used what, unless the policy says that charges of usage name users."""
    user = dict(row).get(USER)
    if not user or Policy.objects.current().shows_users:
        return row
    # An id of a record may have the name, too.
    return [(name, value.replace(user, "…") if name == RECORD else value) for name, value in row if name != USER]


def line_of(file: ImportedFile, line: int) -> list[tuple[str, str]]:
    """Return the headings and values of a line of a stored file; raise FileError where it cannot be read."""
    for part in parts_of(local_copy(file.file), file.name):
        if part.member == file.member:
            return _without_user(row_at(part, line))
    raise UnreadableFile(f"The archive has no member {file.member}.")
