"""Markdown of the documentation as HTML: anchors at headings, links to help pages, no HTML of its own."""

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

# HTML in a page is shown as text.
_reader = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True)
class Section:
    """A heading, its anchor and depth (1 for the title), and the text under it until the next heading."""

    heading: str
    anchor: str
    depth: int
    text: str


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it: both places have the same links."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def read(text: str, *, folder: str, address_of: Callable[[str], str]) -> tuple[str, tuple[Section, ...]]:
    """Return a page's HTML without its title, and its sections.

    `address_of` gives the address of a file of the documentation, by its path below `docs`; "" where it is not shown.
    A link to such a file is then shown as text.
    """
    tokens = _reader.parse(text)
    sections = _with_anchors(tokens)
    for token in tokens:
        if token.children:
            token.children = _with_links(token.children, folder=folder, address_of=address_of)
    is_titled = bool(tokens) and tokens[0].type == "heading_open" and tokens[0].tag == "h1"
    html = _reader.renderer.render(tokens[3:] if is_titled else tokens, _reader.options, {})
    # What is wider than the page is scrolled by itself, also by the keyboard.
    scrolled = '<div class="table-scroll" tabindex="0" role="region" aria-label="Table"><table>'
    html = html.replace("<table>", scrolled).replace("</table>", "</table></div>")
    return html.replace("<pre>", '<pre tabindex="0">'), sections


def _with_anchors(tokens: list[Token]) -> tuple[Section, ...]:
    found: list[Section] = []
    heading, anchor, depth = "", "", 1
    words: list[str] = []
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            if heading or words:
                found.append(Section(heading, anchor, depth, " ".join(words)))
            heading, words = _plain(tokens[number + 1]), []
            anchor, depth = anchor_of(tokens[number + 1].content), int(token.tag[1:])
            token.attrSet("id", anchor)
        elif token.type == "inline" and tokens[number - 1].type != "heading_open":
            words.append(_plain(token))
        elif token.type in ("fence", "code_block"):
            words.append(" ".join(token.content.split()))
    return (*found, Section(heading, anchor, depth, " ".join(words)))


def _plain(token: Token) -> str:
    texts = (" " if each.type in ("softbreak", "hardbreak") else each.content for each in token.children or ())
    return "".join(texts)


def _with_links(children: Sequence[Token], *, folder: str, address_of: Callable[[str], str]) -> list[Token]:
    """Lead the links and images of one paragraph to the site; take away those that lead to what is not shown."""
    kept: list[Token] = []
    is_open: list[bool] = []
    for token in children:
        if token.type == "link_open":
            address = _address(str(token.attrGet("href") or ""), folder, address_of)
            is_open.append(bool(address))
            if address:
                token.attrSet("href", address)
        elif token.type == "link_close":
            if not is_open.pop():
                continue
        elif token.type == "image":
            address = _address(str(token.attrGet("src") or ""), folder, address_of)
            if not address or urlsplit(address).scheme:
                kept.extend(token.children or ())
                continue
            token.attrSet("src", address)
        if token.type == "link_open" and not is_open[-1]:
            continue
        kept.append(token)
    return kept


def _address(target: str, folder: str, address_of: Callable[[str], str]) -> str:
    split = urlsplit(target)
    if split.scheme:
        return target if split.scheme == "https" else ""
    if not split.path:
        return target
    address = address_of(posixpath.normpath(posixpath.join(folder, split.path)))
    return f"{address}#{split.fragment}" if address and split.fragment else address
