"""What a file is, by its first bytes: names lie, contents do not."""

import json
import re
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
    b"BZh": "This is a bzip2 archive. Unpack it first.",
    b"\xfd7zXZ": "This is an xz archive. Unpack it first.",
    b"\x28\xb5\x2f\xfd": "This is a zstd archive. Unpack it first.",
    b"7z\xbc\xaf": "This is a 7z archive. Unpack it first.",
    b"Rar!": "This is a rar archive. Unpack it first.",
    b"ORC": "This is an ORC file. Export it as parquet or CSV (UTF-8).",
    b"Obj\x01": "This is an Avro file. Export it as parquet or CSV (UTF-8).",
    b"SQLite format 3": "This is a SQLite database. Export the table as CSV (UTF-8).",
    b"\x89PNG": "This is a picture, not CSV.",
    b"\xff\xd8\xff": "This is a picture, not CSV.",
    b"GIF8": "This is a picture, not CSV.",
    b"{\\rtf": "This is a text document (RTF), not a table. Import the file of the costs.",
    b"ARROW1": "This is an Arrow file. Export it as parquet or CSV (UTF-8).",
    b"FEA1": "This is a Feather file. Export it as parquet or CSV (UTF-8).",
    b"PGDMP": "This is a dump of a PostgreSQL database. Export the table as CSV (UTF-8).",
    b"\x04\x22\x4d\x18": "This is an lz4 archive. Unpack it first.",
    b"\xff\x06\x00\x00sNaPpY": "This is a snappy archive. Unpack it first.",
    b"\x1f\x9d": "This is a compressed file (.Z). Unpack it first.",
    b"MSCF": "This is a cabinet archive. Unpack it first.",
}
ARCHIVES = (ZIP, EMPTY_ZIP, GZIP, b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")
# What old office programs and Outlook keep, by the names of its streams (UTF-16), which stand within the first blocks.
_COMPOUND = b"\xd0\xcf\x11\xe0"
_STREAMS = {
    "EncryptedPackage": "This workbook or document is protected by a password. Save it without one.",
    "__properties_version1.0": "This is an e-mail (.msg), not a table. Save what is attached to it, and import that.",
    "WordDocument": "This is an old Word document, not a table. Import the file of the costs.",
    "PowerPoint Document": "This is an old presentation, not a table. Import the file of the costs.",
    "Workbook": "This is an old Excel workbook (.xls). Save it as .xlsx, or as “CSV UTF-8”.",
}
_COMPOUND_OF_SOME_KIND = (
    "This is an old Excel workbook (.xls) or one with a password. Save it as .xlsx without a password, or as "
    "“CSV UTF-8”."
)
# Texts that are no table: a web page or an error message saved under the name of the file.
_WEB_PAGE = "This is a web page, not CSV. The download may have ended at a sign-in page; download it again."
_XML = "This is XML, not CSV. The download may have ended in an error message; download it again."
_JSON = "This is JSON, not CSV. Export the table as CSV (UTF-8) or parquet."
JSON_LINES = "This is JSON lines, not CSV: each line is an object. Export the table as CSV (UTF-8) or parquet."
_TEXTS = {
    b"<?xml": _XML,
    b"<error": _XML,
    **dict.fromkeys((b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<meta", b"<script"), _WEB_PAGE),
    b"<": "This is a web page or XML, not CSV. Export the table as CSV (UTF-8).",
    b"[": _JSON,
}
# A line of an object, and whatever begins the next.
_ANOTHER_OBJECT = re.compile(rb"\}\s*[\r\n]\s*\{")
_MAIL = re.compile(
    rb"(from|received|return-path|delivered-to|mime-version|message-id|x-[a-z-]+|arc-[a-z-]+|dkim-signature): "
    rb"[^\r\n]*\r?\n"
    rb"([ \t][^\r\n]*\r?\n)*[a-z-]+:",
    re.IGNORECASE,
)


def refuse_other(start: bytes) -> None:
    """Raise UnreadableFile for first bytes that are plainly not those of text in UTF-8."""
    for magic, says in OTHERS.items():
        if start.startswith(magic):
            raise UnreadableFile(says)
    if start[257:262] == b"ustar":
        raise UnreadableFile("This is a tar archive. Unpack it and import the files.")
    if start.startswith(_COMPOUND):
        raise UnreadableFile(
            next(
                (says for stream, says in _STREAMS.items() if stream.encode("utf-16-le") in start),
                _COMPOUND_OF_SOME_KIND,
            )
        )
    _refuse_text(start.removeprefix(b"\xef\xbb\xbf").lstrip())


def _refuse_text(text: bytes) -> None:
    """Raise UnreadableFile for a text that is no table, such as a web page or an e-mail."""
    words = text[:200].lower()
    if words.startswith(b"<?xml") and (b"excel.sheet" in words or b"office:spreadsheet" in text.lower()):
        raise UnreadableFile("This is an Excel workbook as XML. Save it as .xlsx, or as “CSV UTF-8”.")
    if words.startswith((b"<?xml", b"<!doctype")) and b"<html" in text.lower():
        raise UnreadableFile(_WEB_PAGE)
    for magic, says in _TEXTS.items():
        if words.startswith(magic):
            raise UnreadableFile(says)
    if words.startswith(b"{"):
        raise UnreadableFile(JSON_LINES if are_json_lines(text) else _JSON)
    if _MAIL.match(text):
        raise UnreadableFile("This is an e-mail, not a table. Save what is attached to it, and import that.")


def are_json_lines(start: bytes) -> bool:
    """Tell JSON lines (NDJSON) from one object: the first line is whole, and another follows."""
    first, _, rest = start.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    if not first.startswith(b"{"):
        return False
    try:
        found = json.loads(first.decode())
    except (ValueError, RecursionError):
        return bool(_ANOTHER_OBJECT.search(start)) and first.strip() != b"{"
    # A single row is one object as a manifest is, but what it says is a row.
    return rest.lstrip().startswith(b"{") or any(name in found for name in ("BilledCost", "billedCost", "billed_cost"))


def is_json(start: bytes) -> bool:
    text = start[:200].removeprefix(b"\xef\xbb\xbf").lstrip()
    # {\rtf begins a text document.
    return text.startswith(b"{") and not text.startswith(b"{\\")


# Parts of a zip archive that make it a document of an office program.
_DOCUMENTS = {
    "xl/workbook.bin": "This is a binary Excel workbook (.xlsb). Save it as .xlsx or as “CSV UTF-8”.",
    "word/document.xml": "This is a Word document, not a table. Import the file of the costs.",
    "ppt/presentation.xml": "This is a presentation, not a table. Import the file of the costs.",
    "content.xml": "This is an OpenDocument file (.ods, .odt). Save it as .xlsx or as “CSV UTF-8”.",
    "Index/Document.iwa": "This is an Apple Numbers document. Export it as .xlsx or as CSV (UTF-8).",
    "Index.zip": "This is an Apple Numbers document. Export it as .xlsx or as CSV (UTF-8).",
}


def kind_of_zip(archive: zipfile.ZipFile) -> Kind | None:
    """Return XLSX for a workbook, None for an archive of files; raise UnreadableFile for other documents."""
    names = set(archive.namelist())
    if "xl/workbook.xml" in names:
        return Kind.XLSX
    for name, says in _DOCUMENTS.items():
        if name in names and (name.startswith("Index") or "[Content_Types].xml" in names or "mimetype" in names):
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
