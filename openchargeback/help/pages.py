"""The pages of the help: which there are and for whom, as HTML, and a search through them in memory."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.urls import reverse

from . import markdown
from .markdown import Section

DOCS = Path(settings.BASE_DIR) / "docs"
INDEX = "README"
# The pages about what PIs and delegates see, the first where they begin.
PORTAL = "user-guide/portal"
OF_PORTAL = (PORTAL, "user-guide/for-pis", "user-guide/questions", "user-guide/api")
# How the program is made, for who changes it, is no help on a screen.
FOLDERS = ("admin-guide", "user-guide", "integrations", "getting-started", "operations", "security")
IMAGES = {".png": "image/png", ".svg": "image/svg+xml"}
# As many as a person looks through, and how much of each is shown.
MOST_FOUND = 30
EXCERPT = 180


@dataclass(frozen=True)
class Page:
    """One page: `slug` is its place below docs, `html` its text without the title."""

    slug: str
    html: str
    sections: tuple[Section, ...]

    @property
    def title(self) -> str:
        return self.sections[0].heading

    @property
    def address(self) -> str:
        return address_of(self.slug)

    @property
    def contents(self) -> tuple[Section, ...]:
        return tuple(each for each in self.sections if each.depth in (2, 3))


@dataclass(frozen=True)
class Found:
    """A section in which every word of a search is: its page, where it is, and the words around the first of them."""

    page: Page
    section: Section
    before: str
    match: str
    after: str

    @property
    def address(self) -> str:
        return f"{self.page.address}#{self.section.anchor}"


def address_of(slug: str) -> str:
    """Return the address of a help page."""
    return reverse("help") if slug == INDEX else reverse("help", args=[slug])


def contents(*, is_staff: bool) -> list[Page]:
    """Return the pages that somebody may read, in the order of the index."""
    if not is_staff:
        return [_page(slug) for slug in OF_PORTAL]
    return [_page(slug) for slug in _slugs()]


def page(slug: str, *, is_staff: bool) -> Page | None:
    """Return a page by its slug, which for the first page of a folder is the folder's; None where there is none."""
    known = OF_PORTAL if not is_staff else _slugs()
    return _page(slug) if slug in known else None


def image(name: str) -> tuple[Path, str] | None:
    """Return the file of an image and its type; None where there is none."""
    path = DOCS / "images" / name
    kind = IMAGES.get(path.suffix)
    return (path, kind) if kind and path in set((DOCS / "images").iterdir()) else None


def search(words: str, *, is_staff: bool) -> list[Found]:
    """Return the sections that have every word, in any case: first those that have them in the heading."""
    wanted = words.casefold().split()[:8]
    if not wanted:
        return []
    found: list[tuple[int, Found]] = []
    for each in contents(is_staff=is_staff):
        for section in each.sections:
            heading, text = f"{each.title} {section.heading}".casefold(), section.text.casefold()
            if all(word in heading or word in text for word in wanted):
                missing = sum(word not in section.heading.casefold() for word in wanted)
                found.append((missing, Found(each, section, *_excerpt(section.text, wanted))))
    # Sorting keeps the order of the pages among equals.
    return [each for _, each in sorted(found, key=lambda pair: pair[0])][:MOST_FOUND]


def _excerpt(text: str, wanted: list[str]) -> tuple[str, str, str]:
    first = re.search("|".join(map(re.escape, wanted)), text, re.IGNORECASE)
    if first is None:
        return (text[:EXCERPT] + ("…" if len(text) > EXCERPT else ""), "", "")
    begin = max(0, first.start() - EXCERPT // 3)
    if begin:
        begin = text.find(" ", begin, first.start()) + 1 or begin
    end = first.end() + EXCERPT - (first.start() - begin)
    before = ("…" if begin else "") + text[begin : first.start()]
    after = text[first.end() : end] + ("…" if end < len(text) else "")
    return before, first[0], after


def _slugs() -> tuple[str, ...]:
    """Return the pages for staff in the order in which the index names them; those it does not name come last."""
    there = {_slug_of(path.relative_to(DOCS).as_posix()) for folder in FOLDERS for path in (DOCS / folder).glob("*.md")}
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    named = (_slug_of(target) for target in re.findall(r"\]\(([^)#]+\.md)\)", index))
    return tuple(dict.fromkeys([INDEX, *(each for each in named if each in there), *sorted(there)]))


def _slug_of(path: str) -> str:
    """Return the slug of a file: `admin-guide/imports` of admin-guide/imports.md, `admin-guide` of its README."""
    slug = path.removesuffix(".md")
    return slug if slug == INDEX else slug.removesuffix("/README")


def _path_of(slug: str) -> Path:
    path = DOCS / f"{slug}.md"
    return path if path.exists() else DOCS / slug / "README.md"


def _page(slug: str) -> Page:
    path = _path_of(slug)
    # Read again when the file is another one: after an upgrade, or while somebody writes it.
    return _read(slug, path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=128)
def _read(slug: str, path: Path, changed: int) -> Page:
    folder = path.parent.relative_to(DOCS).as_posix()
    html, sections = markdown.read(path.read_text(encoding="utf-8"), folder=folder, address_of=_address_in_docs)
    return Page(slug, html, sections)


def _address_in_docs(path: str) -> str:
    """Return the address at which a file of the documentation is shown; "" for one that is not."""
    if path.startswith("images/"):
        return reverse("help_image", args=[path.removeprefix("images/")])
    slug = _slug_of(path)
    return address_of(slug) if path.endswith(".md") and slug in _slugs() else ""
