"""What a PDF says to a program that reads it: its structure, and the text along it."""

import io
import re
from dataclasses import dataclass, field

from pypdf import PdfReader

MARKED = re.compile(
    rb"(?P<tag>/\w+) (?:<<(?P<about>[^>]*(?:<[^>]*>)?[^>]*)>> BDC|BMC)|(?P<end>\bEMC\b)"
    rb"|/(?P<font>T\d+) [\d.]+ Tf|<(?P<codes>[0-9A-F]+)>"
)


@dataclass
class Part:
    """An element of the structure, with the text of its own content and the parts in it."""

    role: str
    text: str = ""
    scope: str = ""
    # What is said in place of a picture.
    alternative: str = ""
    parts: list["Part"] = field(default_factory=list)
    annotations: list = field(default_factory=list)

    def all(self, *roles):
        """Return every part of these roles in this one, in the order of reading."""
        found = [self] if self.role in roles else []
        for part in self.parts:
            found += part.all(*roles)
        return found

    @property
    def aloud(self):
        """All that is read of it, in the order of reading."""
        return self.text + "".join(part.aloud for part in self.parts)


def structure_of(data):
    """Return the part that is the whole document."""
    pdf = PdfReader(io.BytesIO(data))
    texts = {page.indirect_reference.idnum: _texts(page) for page in pdf.pages}

    def part(element, page):
        element = element.get_object()
        page = element.raw_get("/Pg").idnum if "/Pg" in element else page
        found = Part(element["/S"][1:], scope=element.get("/A", {}).get("/Scope", "")[1:])
        found.alternative = element.get("/Alt", "")
        kids = element.get("/K", [])
        for kid in kids if isinstance(kids, list) else [kids]:
            if isinstance(kid, int):
                found.text += texts[page][kid]
            elif kid.get_object().get("/Type") == "/OBJR":
                found.annotations.append(kid.get_object()["/Obj"].get_object())
            else:
                found.parts.append(part(kid, page))
        return found

    return part(pdf.trailer["/Root"]["/StructTreeRoot"]["/K"][0], 0)


def _texts(page):
    """Return the text of each marked content of a page, by its number."""
    fonts = {
        name[1:]: _characters(font.get_object()["/ToUnicode"].get_data().decode())
        for name, font in page["/Resources"]["/Font"].items()
    }
    found: dict[int, str] = {}
    inside: list[int | None] = []
    font: dict[int, str] = {}
    for match in MARKED.finditer(page.get_contents().get_data()):
        if match["end"]:
            inside.pop()
        elif match["tag"]:
            number = re.search(rb"/MCID (\d+)", match["about"] or b"")
            # What has no number of its own, such as a language, belongs to what it is in.
            inside.append(int(number[1]) if number else inside[-1] if inside else None)
            if number:
                found[int(number[1])] = ""
        elif match["font"]:
            font = fonts[match["font"].decode()]
        elif match["codes"] and inside and inside[-1] is not None:
            codes = match["codes"].decode()
            found[inside[-1]] += "".join(font[int(codes[at : at + 4], 16)] for at in range(0, len(codes), 4))
    return found


def _characters(cmap):
    return {
        int(code, 16): bytes.fromhex(text).decode("utf-16-be")
        for code, text in re.findall(r"^<([0-9A-F]{4})> <([0-9A-F]*)>$", cmap, re.MULTILINE)
    }
