"""The parts of a file: the file itself, or each table of an archive; decided by its content."""

import datetime
import os
import re
import zipfile
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from ..file_names import shown
from .batches import UnreadableFile
from .kinds import ARCHIVES, EMPTY_ZIP, ZIP, Kind, kind_of_start, kind_of_zip, open_zip
from .manifests import made_at_in
from .opening import open_file
from .streams import BROKEN, broken, check_expansion

BLOCK = 64 * 1024

# Members of an archive, and files of a folder, that come along and are no data.
PASSENGERS = re.compile(
    r"(readme|license|manifest)[^/]*|desktop\.ini|thumbs\.db"
    r"|.*\.(json|md|pdf|html?|xml|ya?ml|sql|png|jpe?g|docx?|sha256|md5|crc)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Part:
    """One table of an import: a file, or a member of an archive.

    `name` is what people are told; `size` is the part's share of the bytes of its file, for progress.
    `expected_rows` is what a manifest says of this part; `manifest` and `manifest_rows`, which all parts
    of one manifest share, what it says of them together (None where it does not say). `may_be_empty` allows
    it a header without rows, which a file by itself, and all files of an import, have only by mistake.
    Where it is of a folder, it is opened only as long as it lies `within` it, links resolved.
    """

    path: Path
    name: str
    member: str = ""
    kind: Kind = Kind.CSV
    size: int = 0
    expected_rows: int | None = None
    manifest: str = ""
    manifest_rows: int | None = None
    may_be_empty: bool = False
    made_at: datetime.datetime | None = None
    within: Path | None = None

    def open(self) -> BufferedReader:
        """Open the file for reading; raise UnreadableFile where that is not possible, or not allowed."""
        return open_file(self.path, self.within)


def parts_of(path: Path, name: str, within: Path | None = None) -> list[Part]:
    """Return what one file consists of: itself, or the members of an archive; decided by its content."""
    try:
        with open_file(path, within) as binary:
            start = binary.read(BLOCK)
            size = os.fstat(binary.fileno()).st_size
            binary.seek(max(0, size - 8))
            end = binary.read(8)
            if start.startswith((ZIP, EMPTY_ZIP)):
                return [replace(part, within=within) for part in _members(path, name, size, binary)]
    except OSError as error:
        raise UnreadableFile(f"The file cannot be read: {error.strerror or error}.") from error
    if not start:
        raise UnreadableFile("The file is empty.")
    return [Part(path=path, name=name, kind=kind_of_start(start, end), size=size, within=within)]


def _members(path: Path, name: str, size: int, binary: BinaryIO) -> list[Part]:
    with open_zip(binary) as archive:
        if kind_of_zip(archive) is Kind.XLSX:
            return [Part(path=path, name=name, kind=Kind.XLSX, size=size)]
        parts: list[Part] = []
        members = sorted(archive.infolist(), key=lambda each: each.filename)
        check_expansion(sum(member.file_size for member in members), sum(member.compress_size for member in members))
        seen: set[str] = set()
        made_at = made_at_in(archive)
        for member in members:
            inner = member.filename
            last = inner.rstrip("/").rpartition("/")[2]
            if member.is_dir() or "__MACOSX/" in inner or last.startswith(("._", ".")) or PASSENGERS.fullmatch(last):
                continue
            if inner in seen:
                raise UnreadableFile(f"The archive has two members of the name {shown(inner)}. Pack it again.")
            seen.add(inner)
            if member.flag_bits & 1:
                raise UnreadableFile("The archive is protected by a password. Unpack it and import the files.")
            check_expansion(member.file_size, member.compress_size)
            parts.append(
                Part(
                    path=path,
                    name=f"{name}/{shown(inner)}",
                    member=inner,
                    kind=_kind_of_member(archive, member),
                    size=member.compress_size,
                    made_at=made_at,
                )
            )
    if not parts:
        raise UnreadableFile("The zip archive holds no data files.")
    return parts


def _kind_of_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Kind:
    try:
        with archive.open(member) as content:
            start = content.read(BLOCK)
    except BROKEN as error:
        raise broken(error) from error
    try:
        if start.startswith(ZIP) and b"[Content_Types].xml" in start:
            return Kind.XLSX
        if start.startswith(ZIP) and member.filename.lower().endswith(".xlsx"):
            return Kind.XLSX
        if start.startswith(ARCHIVES):
            raise UnreadableFile("It is an archive within an archive. Unpack the outer one and import what is in it.")
        return kind_of_start(start)
    except UnreadableFile as error:
        raise UnreadableFile(f"The member {shown(member.filename)}: {error.problems[0].message}") from error
