"""Objects of a PDF file that ReportLab has no class for, written out already."""

import zlib

from reportlab.pdfbase import pdfdoc


class Raw(pdfdoc.PDFObject):
    """An object of a PDF file, written out already."""

    __RefOnly__ = 1

    def __init__(self, text: str | bytes) -> None:
        self.text = text if isinstance(text, bytes) else text.encode("latin-1")

    def format(self, document: pdfdoc.PDFDocument) -> bytes:
        return self.text


def stream(data: bytes, more: str = "") -> Raw:
    """Return a compressed stream; `more` goes into its dictionary."""
    packed = zlib.compress(data)
    return Raw(
        b"<< /Filter /FlateDecode /Length %d%s >>\nstream\n" % (len(packed), more.encode()) + packed + b"\nendstream"
    )


def reference(document: pdfdoc.PDFDocument, thing: pdfdoc.PDFObject) -> str:
    """Add an object to a document and return how others refer to it: `12 0 R`."""
    document.Reference(thing)
    number, version = document.idToObjectNumberAndVersion[thing.__InternalName__]
    return f"{number} {version} R"
