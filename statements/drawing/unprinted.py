"""What a statement cannot print: characters that no font has, and what stands in their place."""

import dataclasses
from collections.abc import Iterator

from ..document import StatementDocument
from ..lettering import cleaned, unprinted


def stand_ins(document: StatementDocument) -> dict[str, str]:
    """Return, by each character that no font has, what is printed for it: `[spouting whale]` or `[U+E000]`."""
    found = dict.fromkeys(character for text in _texts_of(document) for character in unprinted(text))
    return {character: cleaned(character) for character in found}


def _texts_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _texts_of(each)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _texts_of(getattr(value, field.name))
