"""One part of an import into pieces, whatever it is written in."""

import contextlib
import csv
import gzip
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from .batches import BATCH_ROWS, Batch, UnreadableFile
from .columns import merged
from .csv_file import open_plain, read_text, row_of_text
from .kinds import Kind, open_zip, refuse_other
from .parts import Part
from .streams import BROKEN, MIB, Watched, broken, check_expansion

BLOCK = 64 * 1024
# A workbook or parquet file out of an archive stays in memory up to here, and beyond it on the disk.
IN_MEMORY = 8 * MIB


def read(part: Part, *, has_period: bool = False, batch_rows: int = BATCH_ROWS) -> Iterator[Batch]:
    """Yield the rows of a part in pieces of some `batch_rows`; `bytes_read` counts up to the part's `size`.

    The same rows come out as texts of the same value in every format. Raises UnreadableFile with line,
    column and what to do, also where the part has not as many rows as its manifest says.
    """
    rows = 0
    for batch in _batches(part, has_period=has_period, batch_rows=batch_rows):
        rows += len(batch.lines)
        yield merged(batch)
    if part.expected_rows is not None and rows != part.expected_rows:
        raise UnreadableFile(
            f"{part.manifest or 'The manifest'} says the file has {part.expected_rows:,} rows, and it has {rows:,}. "
            "Copy the files again."
        )


def row_at(part: Part, line: int) -> list[tuple[str, str]]:
    """Return the row of a part that begins on a line (see Batch.lines): each heading with its value as text.

    Columns that charges do not keep are there too. Raises UnreadableFile where there is no such row.
    """
    if part.kind in (Kind.CSV, Kind.GZIP):
        with closing(text_opener(part)()) as binary:
            try:
                return row_of_text(binary, line)
            except (UnicodeDecodeError, csv.Error) as error:
                raise UnreadableFile(f"The row cannot be read: {error}.", line=line) from error
    with contextlib.ExitStack() as stack:
        source = table_source(part, stack)
        if part.kind is Kind.PARQUET:
            from .parquet_file import row_of_parquet

            return row_of_parquet(source, size=part.size or _size(part.path), row=line)
        from .xlsx_file import row_of_xlsx

        return row_of_xlsx(source, row=line)


def _batches(part: Part, *, has_period: bool, batch_rows: int) -> Iterator[Batch]:
    options: dict[str, Any] = {"has_period": has_period, "may_be_empty": part.may_be_empty}
    if part.kind in (Kind.CSV, Kind.GZIP):
        yield from read_text(text_opener(part), **options)
        return
    with contextlib.ExitStack() as stack:
        size = part.size if part.member else part.size or _size(part.path)
        yield from _table_reader(part.kind)(table_source(part, stack), size=size, batch_rows=batch_rows, **options)


def table_source(part: Part, stack: contextlib.ExitStack) -> Any:
    """Return what a workbook or parquet file is read from: its path, or a copy out of its archive for that long."""
    if not part.member:
        return part.path
    copy = stack.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 (the stack closes it)
    _unpack(part, copy)
    return copy


def _table_reader(kind: Kind) -> Callable[..., Iterator[Batch]]:
    # Arrow and openpyxl take half a second to load, which a command that reads no file need not wait for.
    if kind is Kind.PARQUET:
        from .parquet_file import read_parquet

        return read_parquet
    from .xlsx_file import read_xlsx

    return read_xlsx


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise broken(error) from error


def text_opener(part: Part) -> Callable[[], Watched]:
    """Return what opens a part that is text, packed or not, from its start."""
    if part.kind is Kind.GZIP:
        return lambda: _opened_gzip(part)
    return (lambda: _opened_member(part)) if part.member else (lambda: open_plain(part.open))


def _opened_gzip(part: Part) -> Watched:
    raw = part.open()
    unpacked = gzip.GzipFile(fileobj=raw)
    try:
        refuse_other(_peeked(unpacked))
    except BROKEN as error:
        raw.close()
        raise broken(error, line=1) from error
    except UnreadableFile as error:
        raw.close()
        raise UnreadableFile(f"In the gzip archive: {error.problems[0].message}", line=1) from error
    return _Owning(unpacked, owner=raw, packed=raw.tell)


def _peeked(unpacked: gzip.GzipFile) -> bytes:
    return unpacked.peek(512)[:512]


class _Owning(Watched):
    """A watched stream that closes the file under it too."""

    def __init__(self, stream: Any, *, owner: Any, packed: Callable[[], int]) -> None:
        super().__init__(stream, packed=packed, is_packed=True)
        self.owner = owner

    def close(self) -> None:
        super().close()
        self.owner.close()


def _opened_member(part: Part) -> Watched:
    raw = part.open()
    try:
        archive = open_zip(raw)
        member = _member(archive, part.member)
        content = archive.open(member)
    except UnreadableFile:
        raw.close()
        raise
    except BROKEN as error:
        raw.close()
        raise broken(error) from error
    begin = member.header_offset
    return _Owning(content, owner=raw, packed=lambda: max(0, min(raw.tell() - begin, member.compress_size or 1)))


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(name)
    except KeyError:
        raise UnreadableFile(f"The archive has no member {name}.") from None


def _unpack(part: Part, copy: Any) -> None:
    """Copy a member out of its archive, as far as it is as large as a real one."""
    try:
        with part.open() as raw, open_zip(raw) as archive:
            member = _member(archive, part.member)
            expanded = 0
            with archive.open(member) as content:
                while block := content.read(BLOCK):
                    expanded += len(block)
                    check_expansion(expanded, member.compress_size)
                    copy.write(block)
    except BROKEN as error:
        raise broken(error) from error
    copy.seek(0)
