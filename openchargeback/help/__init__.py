"""Help beside each screen: the documentation of the repository, shown on the site and searched there."""

from .pages import Found, Page, Section, contents, image, page, search
from .screens import place_of

__all__ = ["Found", "Page", "Section", "contents", "image", "page", "place_of", "search"]
