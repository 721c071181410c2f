"""The structure of a PDF for those who cannot see it: headings, paragraphs, tables and links (PDF 32000-1, 14.7)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .pdf_objects import PdfFile, string

# A heading of a column and of a row, for who cannot see the table.
COLUMN_SCOPE = " /A << /O /Table /Scope /Column >>"
ROW_SCOPE = " /A << /O /Table /Scope /Row >>"


@dataclass
class _Link:
    """A place on a page that opens an address; `text` says so to who cannot see it."""

    number: int
    page: int
    box: tuple[float, float, float, float]
    address: str
    text: str
    element: int


@dataclass
class _Element:
    role: str
    parent: int
    attributes: str = ""
    # Elements by their number, marked content and links as they are written.
    kids: list[int | str | _Link] = field(default_factory=list)
    # Where its own content stands, if it has any.
    page: int = -1


@dataclass(frozen=True)
class _Heading:
    text: str
    page: int
    top: float


class Structure:
    """The tree of a document's parts, and the marks that tie content to it."""

    def __init__(self) -> None:
        self.elements = [_Element("Document", parent=-1)]
        self.inside = [0]
        self.marks: list[list[int]] = []
        self.links: list[_Link] = []
        self.headings: list[_Heading] = []

    def start_page(self) -> None:
        self.marks.append([])

    @contextmanager
    def part(self, role: str, attributes: str = "") -> Iterator[None]:
        """Group what is added inside: Table, TR, P with a link."""
        self.inside.append(self._add(role, attributes))
        try:
            yield
        finally:
            self.inside.pop()

    def open(self, role: str) -> None:
        """Start a group that ends later, such as a table that goes on over pages."""
        self.inside.append(self._add(role))

    def close(self) -> None:
        self.inside.pop()

    def mark(self, role: str, attributes: str = "") -> str:
        """Add a leaf and return the operator that opens its content; EMC closes it."""
        # Most elements of a document are leaves: this is `_add` and `_mark` in one, which draws a statement 3% faster.
        parent, page, number = self.inside[-1], self.marks[-1], len(self.elements)
        mark = str(len(page))
        self.elements.append(_Element(role, parent, attributes, [mark], len(self.marks) - 1))
        self.elements[parent].kids.append(number)
        page.append(number)
        return f"/{role} <</MCID {mark}>> BDC"

    def mark_inside(self) -> str:
        """Return the operator that opens content of the open group itself, on the page that its other content is on."""
        return self._mark(self.inside[-1])

    def _mark(self, number: int) -> str:
        element = self.elements[number]
        page = self.marks[-1]
        element.page = len(self.marks) - 1
        element.kids.append(str(len(page)))
        page.append(number)
        return f"/{element.role} <</MCID {len(page) - 1}>> BDC"

    def link(self, box: tuple[float, float, float, float], address: str, text: str) -> None:
        """Make a place on the page open an address, as a part of the open Link."""
        link = _Link(len(self.links), len(self.marks) - 1, box, address, text, self.inside[-1])
        self.links.append(link)
        self.elements[self.inside[-1]].kids.append(link)

    def bookmark(self, text: str, top: float) -> None:
        """List a heading that begins on this page, `top` points above its lower edge. The first is the title."""
        self.headings.append(_Heading(text, len(self.marks) - 1, top))

    def _add(self, role: str, attributes: str = "") -> int:
        parent = self.inside[-1]
        self.elements.append(_Element(role, parent, attributes))
        number = len(self.elements) - 1
        self.elements[parent].kids.append(number)
        return number

    def add_to(self, file: PdfFile, pages: list[str]) -> tuple[str, list[list[str]]]:
        """Write the tree for pages of these names. Return its root, and the annotations of each page."""
        (root,) = file.reserve(1)
        names = file.reserve(len(self.elements))
        annotations = self._add_links(file, pages)
        objects = [f"<< /Type /OBJR /Obj {annotation} >>" for annotation in annotations]
        for element, name in zip(self.elements, names, strict=True):
            kids = [
                names[kid] if isinstance(kid, int) else kid if isinstance(kid, str) else objects[kid.number]
                for kid in element.kids
            ]
            parent = names[element.parent] if element.parent >= 0 else root
            page = f" /Pg {pages[element.page]}" if element.page >= 0 else ""
            inside = kids[0] if len(kids) == 1 else f"[{' '.join(kids)}]"
            file.fill(name, f"<< /S /{element.role} /P {parent}{page} /K {inside}{element.attributes} >>")
        # Pages come first in the tree of parents, each with the elements of its marks; then each link.
        parents = [f"{page} [{' '.join(names[each] for each in marks)}]" for page, marks in enumerate(self.marks)]
        parents += [f"{len(pages) + link.number} {names[link.element]}" for link in self.links]
        tree = file.add(f"<< /Nums [{' '.join(parents)}] >>")
        file.fill(
            root,
            f"<< /Type /StructTreeRoot /K [{names[0]}] /ParentTree {tree} /ParentTreeNextKey {len(parents)} >>",
        )
        by_page: list[list[str]] = [[] for _ in pages]
        for link in self.links:
            by_page[link.page].append(annotations[link.number])
        return root, by_page

    def _add_links(self, file: PdfFile, pages: list[str]) -> list[str]:
        """Write the annotation of each link (12.5.6.5), and return their names."""
        return [
            file.add(
                f"<< /Type /Annot /Subtype /Link /Rect [{' '.join(f'{edge:.2f}' for edge in link.box)}] "
                f"/Border [0 0 0] /F 4 /P {pages[link.page]} /StructParent {len(pages) + link.number} "
                f"/Contents {string(link.text)} /A << /S /URI /URI {string(link.address)} >> >>"
            )
            for link in self.links
        ]

    def add_bookmarks(self, file: PdfFile, pages: list[str]) -> str:
        """Write the document's outline (12.3.3): its title, and below that each heading."""
        root, *names = file.reserve(1 + len(self.headings))
        title, *below = names
        file.fill(root, f"<< /Type /Outlines /First {title} /Last {title} /Count {len(names)} >>")
        for at, (heading, name) in enumerate(zip(self.headings, names, strict=True)):
            if at:
                around = f"/Parent {title}"
                around += f" /Prev {names[at - 1]}" if at > 1 else ""
                around += f" /Next {names[at + 1]}" if at + 1 < len(names) else ""
            else:
                around = f"/Parent {root}"
                around += f" /First {below[0]} /Last {below[-1]} /Count {len(below)}" if below else ""
            place = f"[{pages[heading.page]} /XYZ 0 {heading.top:.2f} null]"
            file.fill(name, f"<< /Title {string(heading.text)} {around} /Dest {place} >>")
        return root
