"""A PDF file as it is written: numbered objects, and the table that finds them (PDF 32000-1, 7.3 and 7.5)."""

import hashlib
import re
import zlib


class PdfFile:
    """The objects of one file. Others refer to an object by its name: `12 0 R`."""

    def __init__(self) -> None:
        self.objects: list[bytes] = []

    def reserve(self, count: int) -> list[str]:
        """Return the names of objects that are written later, by `fill`."""
        first = len(self.objects) + 1
        self.objects.extend([b""] * count)
        return [f"{number} 0 R" for number in range(first, first + count)]

    def fill(self, name: str, content: str | bytes) -> None:
        """Write an object whose name was reserved."""
        number, _, _ = name.partition(" ")
        self.objects[int(number) - 1] = content if isinstance(content, bytes) else content.encode("latin-1")

    def add(self, content: str | bytes) -> str:
        """Write an object and return its name."""
        self.objects.append(content if isinstance(content, bytes) else content.encode("latin-1"))
        return f"{len(self.objects)} 0 R"

    def to_bytes(self, *, root: str, info: str) -> bytes:
        """Return the file. Its identifier follows from its content, so that the same content gives the same bytes."""
        # The second line tells programs that move files that this one is not text.
        parts = [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"]
        at = len(parts[0])
        entries = [b"0000000000 65535 f\r\n"]
        for number, content in enumerate(self.objects, start=1):
            entries.append(b"%010d 00000 n\r\n" % at)
            part = b"%d 0 obj\n%b\nendobj\n" % (number, content)
            parts.append(part)
            at += len(part)
        size = len(entries)
        identifier = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        parts.append(b"xref\n0 %d\n%b" % (size, b"".join(entries)))
        parts.append(
            f"trailer\n<< /Size {size} /Root {root} /Info {info} /ID [<{identifier}> <{identifier}>] >>\n"
            f"startxref\n{at}\n%%EOF\n".encode()
        )
        return b"".join(parts)


def stream(data: bytes, more: str = "", *, is_packed: bool = True) -> bytes:
    """Return a stream object; `more` goes into its dictionary.

    Its data ends before CR and LF. With LF alone, data that end in CR would be read as one byte shorter.
    """
    written = zlib.compress(data) if is_packed else data
    how = " /Filter /FlateDecode" if is_packed else ""
    return b"<< /Length %d%b >>\nstream\n%b\r\nendstream" % (len(written), (how + more).encode(), written)


def string(text: str) -> str:
    """Write a text string: plain where it is ASCII, else as UTF-16 (7.9.2.2)."""
    if text.isascii() and text.isprintable():
        escaped = re.sub(r"([()\\])", r"\\\1", text)
        return f"({escaped})"
    return f"<FEFF{text.encode('utf-16-be').hex().upper()}>"
