"""What a file is, by its first bytes: names lie, contents do not."""

import zipfile
from enum import StrEnum
from typing import IO

from .batches import UnreadableFile
from .streams import BROKEN, broken


class Kind(StrEnum):
    """The physical formats that are read."""

    CSV = "csv"
    GZIP = "csv.gz"
    PARQUET = "parquet"
    XLSX = "xlsx"


ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"

# First bytes of what is not read, and what to do instead.
OTHERS = {
    b"\xff\xfe": "The file is UTF-16, not UTF-8. Save it as “CSV UTF-8”.",
    b"\xfe\xff": "The file is UTF-16, not UTF-8. Save it as “CSV UTF-8”.",
    ZIP: "This is a zip archive or an Excel workbook, not CSV. Import it by itself, or export it as CSV (UTF-8).",
    EMPTY_ZIP: "This is an empty zip archive.",
    GZIP: "This is a gzip archive, not CSV. Unpack it first.",
    PARQUET: "This is a parquet file, not CSV. Import it by itself, or export it as CSV (UTF-8).",
    b"PARE": "This parquet file is encrypted. Export it without encryption.",
    b"%PDF": "This is a PDF, not CSV. Export it as CSV (UTF-8).",
    b"\xd0\xcf\x11\xe0": "This is an old Excel workbook (.xls) or one with a password. Save it as .xlsx without "
    "a password, or as “CSV UTF-8”.",
    b"BZh": "This is a bzip2 archive. Unpack it first.",
    b"\xfd7zXZ": "This is an xz archive. Unpack it first.",
    b"\x28\xb5\x2f\xfd": "This is a zstd archive. Unpack it first.",
    b"7z\xbc\xaf": "This is a 7z archive. Unpack it first.",
    b"Rar!": "This is a rar archive. Unpack it first.",
    b"ORC": "This is an ORC file. Export it as parquet or CSV (UTF-8).",
    b"Obj\x01": "This is an Avro file. Export it as parquet or CSV (UTF-8).",
    b"SQLite format 3": "This is a SQLite database. Export the table as CSV (UTF-8).",
    b"\x89PNG": "This is a picture, not CSV.",
}
ARCHIVES = (ZIP, EMPTY_ZIP, GZIP, b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")
# Texts that are no table: a web page or an error message saved under the name of the file.
_TEXTS = {
    b"<!doctype": "This is a web page, not CSV. The download may have ended at a sign-in page; download it again.",
    b"<html": "This is a web page, not CSV. The download may have ended at a sign-in page; download it again.",
    b"<?xml": "This is XML, not CSV. The download may have ended in an error message; download it again.",
    b"<error": "This is XML, not CSV. The download may have ended in an error message; download it again.",
    b"{": "This is JSON, not CSV. Export the table as CSV (UTF-8) or parquet.",
    b"[": "This is JSON, not CSV. Export the table as CSV (UTF-8) or parquet.",
}


def refuse_other(start: bytes) -> None:
    """Raise UnreadableFile for first bytes that are plainly not those of text in UTF-8."""
    for magic, says in OTHERS.items():
        if start.startswith(magic):
            raise UnreadableFile(says)
    if start[257:262] == b"ustar":
        raise UnreadableFile("This is a tar archive. Unpack it and import the files.")
    words = start[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, says in _TEXTS.items():
        if words.startswith(magic):
            raise UnreadableFile(says)


def is_json(start: bytes) -> bool:
    return start[:200].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


# Parts of a zip archive that make it a document of an office program.
_DOCUMENTS = {
    "xl/workbook.bin": "This is a binary Excel workbook (.xlsb). Save it as .xlsx or as “CSV UTF-8”.",
    "word/document.xml": "This is a Word document, not a table. Import the file of the costs.",
    "ppt/presentation.xml": "This is a presentation, not a table. Import the file of the costs.",
    "content.xml": "This is an OpenDocument file. Save it as .xlsx or as “CSV UTF-8”.",
}


def kind_of_zip(archive: zipfile.ZipFile) -> Kind | None:
    """Return XLSX for a workbook, None for an archive of files; raise UnreadableFile for other documents."""
    names = set(archive.namelist())
    if "xl/workbook.xml" in names:
        return Kind.XLSX
    for name, says in _DOCUMENTS.items():
        if name in names and ("[Content_Types].xml" in names or "mimetype" in names):
            raise UnreadableFile(says)
    return None


def kind_of_start(start: bytes, end: bytes | None = None) -> Kind:
    """Return the format that first bytes (and last ones, where known) belong to; text is taken for CSV."""
    if start.startswith(PARQUET):
        if end is not None and end[-4:] != PARQUET:
            if end[-4:] == b"PARE":
                raise UnreadableFile(OTHERS[b"PARE"])
            raise UnreadableFile("The parquet file ends in the middle: copy or download it again.")
        return Kind.PARQUET
    if start.startswith(GZIP):
        return Kind.GZIP
    refuse_other(start)
    return Kind.CSV


MAX_MEMBERS = 10_000
UNZIPPABLE: tuple[type[Exception], ...] = (*BROKEN, ValueError, MemoryError, OverflowError)


def open_zip(binary: IO[bytes]) -> zipfile.ZipFile:
    """Open an archive; raise UnreadableFile for a damaged one or one of absurdly many members."""
    try:
        archive = zipfile.ZipFile(binary)
    except UNZIPPABLE as error:
        if isinstance(error, OSError) and error.errno:
            raise broken(error) from error
        raise UnreadableFile("The zip archive is damaged or incomplete. Copy or download it again.") from error
    if not all(archive.namelist()):
        archive.close()
        raise UnreadableFile("The zip archive is damaged or incomplete. Copy or download it again.")
    if len(archive.infolist()) > MAX_MEMBERS:
        archive.close()
        raise UnreadableFile(f"The zip archive has more than {MAX_MEMBERS:,} members.")
    return archive
