"""The screens of usage: feeds, the files that were read and the page that reads them, and the months priced of them."""

from . import feeds, files, months

__all__ = ["feeds", "files", "months"]
