"""Objects of a PDF file, written out, and the file that ReportLab makes of them (PDF 32000-1, 7.3 and 7.5)."""

import hashlib
import re
import zlib

from reportlab.pdfbase import pdfdoc

# How hard streams are packed, of 9: a statement is drawn 4% faster than at the usual 6, and is 1% larger.
PACKED = 4


class _Written(pdfdoc.PDFObject):
    """An object that is written out already: ReportLab has no class for most of what these files hold."""

    __RefOnly__ = 1

    def __init__(self) -> None:
        self.content = b""

    def format(self, document: pdfdoc.PDFDocument) -> bytes:
        return self.content


class _Document(pdfdoc.PDFDocument):
    """ReportLab's file, whose identifier we give it: its own is the same for every file, or follows from the time."""

    identifier = b""

    def ID(self) -> bytes:  # noqa: N802 (ReportLab's name)
        return self.identifier

    def format(self) -> bytes:
        """Return the file as ReportLab lays it out. Its own loop asks each object how it is written: a tenth slower."""
        file = pdfdoc.PDFFile(self._pdfVersion)
        names = [self.numberToId[number] for number in range(1, self.objectcounter + 1)]
        for number, name in enumerate(names, start=1):
            each = self.idToObject[name]
            # ReportLab has one of its own.
            content = each.content if isinstance(each, _Written) else pdfdoc.format(each, self, toplevel=1)
            self.idToOffset[name] = file.add(b"%d 0 obj\n%b\nendobj\n" % (number, content))
        table = pdfdoc.PDFCrossReferenceTable()
        table.addsection(0, names)
        end = pdfdoc.PDFTrailer(
            startxref=file.add(table.format(self)),
            Size=len(names) + 1,
            Root=self.Reference(self.Catalog),
            Info=self.Reference(self.info),
            ID=self.ID(),
        )
        file.add(end.format(self))
        return bytes(file.format(self))


class PdfFile:
    """The objects of one file, which ReportLab numbers and writes. Others refer to an object by its name: `12 0 R`."""

    def __init__(self) -> None:
        self.document = _Document(pdfVersion=(1, 7), invariant=1)
        self.objects: dict[str, _Written] = {}

    def reserve(self, count: int) -> list[str]:
        """Return the names of objects that are written later, by `fill`."""
        return [self._register() for _ in range(count)]

    def fill(self, name: str, content: str | bytes) -> None:
        """Write an object whose name was reserved."""
        self.objects[name].content = content if isinstance(content, bytes) else content.encode("latin-1")

    def add(self, content: str | bytes) -> str:
        """Write an object and return its name."""
        name = self._register()
        self.fill(name, content)
        return name

    def _register(self) -> str:
        written = _Written()
        self.document.Reference(written)
        number, version = self.document.idToObjectNumberAndVersion[written.__InternalName__]
        name = f"{number} {version} R"
        self.objects[name] = written
        return name

    def to_bytes(self, *, root: str, info: str) -> bytes:
        """Return the file. Its identifier follows from its content, so that the same content gives the same bytes."""
        document = self.document
        document.Catalog, document.info = self.objects[root], self.objects[info]
        content = b"\n".join(written.content for written in self.objects.values())
        identifier = hashlib.md5(content, usedforsecurity=False).hexdigest()
        document.identifier = f"[<{identifier}> <{identifier}>]".encode()
        return bytes(document.format())


def stream(data: bytes, more: str = "", *, is_packed: bool = True) -> bytes:
    """Return a stream object; `more` goes into its dictionary.

    Its data ends before CR and LF. With LF alone, data that end in CR would be read as one byte shorter.
    """
    written = zlib.compress(data, PACKED) if is_packed else data
    how = " /Filter /FlateDecode" if is_packed else ""
    return b"<< /Length %d%b >>\nstream\n%b\r\nendstream" % (len(written), (how + more).encode(), written)


def string(text: str) -> str:
    """Write a text string: plain where it is ASCII, else as UTF-16 (7.9.2.2)."""
    if text.isascii() and text.isprintable():
        escaped = re.sub(r"([()\\])", r"\\\1", text)
        return f"({escaped})"
    return f"<FEFF{text.encode('utf-16-be').hex().upper()}>"
