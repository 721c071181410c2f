"""Pictures on paper: a PNG in red, green and blue becomes an object of the file, as packed as it came; SVG is read."""

import functools
import struct
from dataclasses import dataclass

from billing import vectors
from billing.vectors import Vector

from ..pdf_objects import PdfFile

START = b"\x89PNG\r\n\x1a\n"
# Of the header, what the file has to be: 8 bits a color, red, green and blue, packed as all PNGs, rows in their order.
PLAIN = (8, 2, 0, 0, 0)


@dataclass(frozen=True)
class Picture:
    """A picture, and its size in pixels."""

    width: int
    height: int
    # A row after the other, each by its difference to what is left of it and above, and all of it deflated.
    packed: bytes

    def add_to(self, file: PdfFile) -> str:
        """Write the picture into a file and return its name (PDF 32000-1, 8.9.5 and 7.4.4.4)."""
        head = (
            f"<< /Type /XObject /Subtype /Image /Width {self.width} /Height {self.height} /ColorSpace /DeviceRGB "
            f"/BitsPerComponent 8 /Filter /FlateDecode /Length {len(self.packed)} "
            f"/DecodeParms << /Predictor 15 /Colors 3 /BitsPerComponent 8 /Columns {self.width} >> >>\nstream\n"
        )
        return file.add(head.encode() + self.packed + b"\r\nendstream")


@functools.lru_cache(maxsize=8)
def picture_of(data: bytes) -> Picture | Vector:
    """Read a PNG of the plainest kind (ISO 15948, 5), or a plain drawing as SVG. Raises ValueError for another."""
    return _picture_of(data) if data.startswith(START) else vectors.read(data)


def _picture_of(png: bytes) -> Picture:
    at, packed = len(START), []
    width = height = 0
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, *how = struct.unpack(">IIBBBBB", data)
            if tuple(how) != PLAIN:
                raise ValueError("This PNG is not in plain red, green and blue.")
        elif kind == b"IDAT":
            packed.append(data)
        at += 12 + length
    return Picture(width, height, b"".join(packed))
