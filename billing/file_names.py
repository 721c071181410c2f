"""Names of files as people may see them: any bytes may stand in a name, and not all of them can be shown or stored."""

import re

# Bytes that are no UTF-8 (Python keeps them as lone surrogates), control characters, line separators, and marks that
# turn the direction of what follows: none of them belongs into a name, and some make it look like another.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# What file systems take, in bytes.
LONGEST = 255


def shown(name: str) -> str:
    """Return a name, or a path, with a replacement character for each that cannot be shown."""
    return name if name.isascii() and name.isprintable() else _UNFIT.sub("\N{REPLACEMENT CHARACTER}", name)


def is_fit(name: str) -> bool:
    """Tell whether a name can be shown and stored as it is."""
    return not _UNFIT.search(name)


def shortened(name: str, room: int = 0) -> str:
    """Return a name cut so that it is a file's with `room` bytes to spare; its ending stays."""
    limit = LONGEST - room
    if len(name.encode("utf-8", "surrogateescape")) <= limit:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > 16:
        stem, dot, ending = name, "", ""
    kept = stem.encode("utf-8", "replace")[: limit - len((dot + ending).encode("utf-8", "replace"))]
    return kept.decode("utf-8", "ignore") + dot + ending
