"""The structure of a PDF for those who cannot see it: headings, paragraphs and tables (PDF 32000-1, 14.7)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reportlab.pdfbase import pdfdoc

from .pdf_objects import Raw, reference


@dataclass
class _Element:
    role: str
    parent: int
    attributes: str = ""
    kids: list[int] = field(default_factory=list)
    # Where its content stands: page and number of the marked content on that page.
    page: int = -1
    mark: int = -1


class Structure:
    """The tree of a document's parts, and the marks that tie content to it."""

    def __init__(self) -> None:
        self.elements = [_Element("Document", parent=-1)]
        self.inside = [0]
        self.marks: list[list[int]] = []

    def start_page(self) -> None:
        self.marks.append([])

    @contextmanager
    def part(self, role: str) -> Iterator[None]:
        """Group what is added inside: Table, TR, Sect."""
        self.inside.append(self._add(role))
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
        element = self.elements[self._add(role, attributes)]
        element.page = len(self.marks) - 1
        element.mark = len(self.marks[-1])
        self.marks[-1].append(len(self.elements) - 1)
        return f"/{role} <</MCID {element.mark}>> BDC"

    def _add(self, role: str, attributes: str = "") -> int:
        parent = self.inside[-1]
        self.elements.append(_Element(role, parent, attributes))
        number = len(self.elements) - 1
        self.elements[parent].kids.append(number)
        return number

    def add_to(self, document: pdfdoc.PDFDocument) -> None:
        """Write the tree into a document whose pages are all there."""
        pages = [_reference_to(document, page) for page in document.Pages.pages]
        parts = [Raw("") for _ in self.elements]
        names = [reference(document, part) for part in parts]
        parents = Raw(
            "<< /Nums ["
            + " ".join(
                f"{page} [{' '.join(names[element] for element in marks)}]" for page, marks in enumerate(self.marks)
            )
            + "] >>"
        )
        root = Raw(
            f"<< /Type /StructTreeRoot /K [{names[0]}] /ParentTree {reference(document, parents)} "
            f"/ParentTreeNextKey {len(self.marks)} >>"
        )
        root_name = reference(document, root)
        for element, part in zip(self.elements, parts, strict=True):
            parent = names[element.parent] if element.parent >= 0 else root_name
            content = (
                f"/Pg {pages[element.page]} /K {element.mark}"
                if element.mark >= 0
                else f"/K [{' '.join(names[kid] for kid in element.kids)}]"
            )
            part.text = f"<< /S /{element.role} /P {parent} {content}{element.attributes} >>".encode()
        for number, page in enumerate(document.Pages.pages):
            # ReportLab writes only the keys it knows.
            page = document.idToObject[page.name] if isinstance(page, pdfdoc.PDFObjectReference) else page
            page.__NoDefault__ = [*pdfdoc.PDFPage.__NoDefault__, "StructParents", "Tabs"]
            page.StructParents = number
            page.Tabs = "/S"
        document.Catalog.StructTreeRoot = root
        document.Catalog.MarkInfo = Raw("<< /Marked true >>")


def _reference_to(document: pdfdoc.PDFDocument, page: pdfdoc.PDFObject) -> str:
    name = page.name if isinstance(page, pdfdoc.PDFObjectReference) else page.__InternalName__
    number, version = document.idToObjectNumberAndVersion[name]
    return f"{number} {version} R"
