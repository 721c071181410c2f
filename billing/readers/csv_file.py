"""FOCUS as text: CSV, with commas, semicolons or tabs."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from .batches import BATCH_ROWS, Batch, UnreadableFile
from .columns import recognized, require_focus

DELIMITERS = (",", ";", "\t", "|")
# A Tags field can be long; a field beyond this is an unclosed quote or an attack.
MAX_FIELD = 8 * 1024 * 1024
MAX_HEADER_BYTES = 1024 * 1024

# First bytes that are plainly not text in UTF-8.
_OTHERS = {
    b"\xff\xfe": "The file is UTF-16, not UTF-8. Save it as “CSV UTF-8”.",
    b"\xfe\xff": "The file is UTF-16, not UTF-8. Save it as “CSV UTF-8”.",
    b"PK\x03\x04": "This is a zip archive or an Excel workbook, not CSV. Export it as CSV (UTF-8).",
    b"\x1f\x8b": "This is a gzip archive, not CSV. Unpack it first.",
    b"PAR1": "This is a parquet file, not CSV. Export it as CSV (UTF-8).",
    b"%PDF": "This is a PDF, not CSV. Export it as CSV (UTF-8).",
    b"\xd0\xcf\x11\xe0": "This is an old Excel workbook, not CSV. Save it as “CSV UTF-8”.",
}


def read_csv(path: Path, *, has_period: bool = False, batch_rows: int = BATCH_ROWS) -> Iterator[Batch]:
    """Yield the rows of a FOCUS CSV file in batches, in constant memory.

    Only the columns that charges keep are taken; they may come in any order and case. Blank lines
    are passed over. Raises UnreadableFile (line, column, what to do) for a file that is missing,
    empty, without rows, not CSV, not UTF-8 or not FOCUS, and for rows of another length than the header.
    """
    csv.field_size_limit(MAX_FIELD)
    with _open(path) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        try:
            yield from _batches(binary, text, has_period=has_period, batch_rows=batch_rows)
        except UnicodeDecodeError as error:
            raise _undecodable(path) from error


def _batches(binary: BinaryIO, text: io.TextIOWrapper, *, has_period: bool, batch_rows: int) -> Iterator[Batch]:
    header_line = text.readline(MAX_HEADER_BYTES)
    skipped = 0
    while header_line and not header_line.strip():
        header_line = text.readline(MAX_HEADER_BYTES)
        skipped += 1
    if not header_line:
        raise UnreadableFile("The file is empty.")
    if "\0" in header_line or len(header_line) >= MAX_HEADER_BYTES:
        raise UnreadableFile("This is not a CSV file. Export it as CSV (UTF-8).", line=1)
    delimiter = max(DELIMITERS, key=lambda each: (len(recognized(_split(header_line, each))), each == ","))
    headings = _split(header_line, delimiter)
    positions = recognized(headings)
    require_focus(headings, positions, has_period=has_period)

    reader = csv.reader(text, delimiter=delimiter, strict=True)
    width = len(headings)
    found = False
    taken = batch_rows
    while taken == batch_rows:
        before = skipped + 1 + reader.line_num
        try:
            rows = list(islice(reader, batch_rows))
        except csv.Error as error:
            raise UnreadableFile(
                f"The line cannot be read as CSV: {error}. A quote that is never closed is the usual cause.",
                line=skipped + 1 + reader.line_num,
            ) from error
        taken = len(rows)
        lines: Sequence[int] = range(before + 1, before + taken + 1)
        if before + taken != skipped + 1 + reader.line_num or [] in rows:
            rows, lines = _numbered(rows, before)
        if not rows:
            continue
        found = True
        try:
            columns = list(zip(*rows, strict=True))
        except ValueError:
            columns = []
        if len(columns) != width:
            line, row = next((line, row) for line, row in zip(lines, rows, strict=True) if len(row) != width)
            raise UnreadableFile(
                f"The row has {len(row)} fields where the header has {width}. "
                f"A text with a {'comma' if delimiter == ',' else 'delimiter'} in it has to stand in quotes.",
                line=line,
            )
        yield Batch(
            lines=lines,
            columns={name: columns[position] for name, position in positions.items()},
            bytes_read=binary.tell(),
        )
    if not found:
        raise UnreadableFile("The file has a header and no rows.", line=1)


def _numbered(rows: list[list[str]], before: int) -> tuple[list[list[str]], list[int]]:
    """Return the rows that are not blank and the line each begins on, where some take several lines."""
    kept, lines = [], []
    for row in rows:
        if row:
            kept.append(row)
            lines.append(before + 1)
        text = "".join(row)
        before += 1 + text.count("\n") + text.count("\r") - text.count("\r\n")
    return kept, lines


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return []


def _open(path: Path) -> BinaryIO:
    """Open a file for reading; raise UnreadableFile for what is plainly something else."""
    if path.is_dir():
        raise UnreadableFile("This is a folder, not a file.")
    try:
        binary = path.open("rb")
        start = binary.peek(8)[:8]
    except FileNotFoundError:
        raise UnreadableFile("There is no such file.") from None
    except OSError as error:
        raise UnreadableFile(f"The file cannot be opened: {error.strerror}.") from error
    other = next((says for magic, says in _OTHERS.items() if start.startswith(magic)), "")
    if other:
        binary.close()
        raise UnreadableFile(other, line=1)
    return binary


def _undecodable(path: Path) -> UnreadableFile:
    """Find the line that is not UTF-8; text is decoded in blocks, so the decoder cannot say."""
    with path.open("rb") as binary:
        for number, line in enumerate(binary, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return UnreadableFile(
                    f"The line is not UTF-8 (byte 0x{line[error.start]:02X} at position {error.start + 1}). "
                    "Save the file as “CSV UTF-8”.",
                    line=number,
                )
    return UnreadableFile("The file is not UTF-8. Save it as “CSV UTF-8”.")
