"""A check of the institution's own: one function, named by a dotted path in the settings."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.utils.module_loading import import_string

from ..formats import Document
from .findings import Finding


@dataclass(frozen=True)
class Remark:
    """What a validator says of a journal: of a line by its number, or, without one, of the journal as a whole."""

    message: str
    line: int = 0
    is_warning: bool = False


Validator = Callable[[Document], Iterable[Remark]]


def findings(document: Document) -> Iterator[Finding]:
    """Yield what the validator of the settings says; one that fails or answers something else is an error itself."""
    if not settings.JOURNAL_VALIDATOR:
        return
    try:
        validate: Validator = import_string(settings.JOURNAL_VALIDATOR)
        remarks = list(validate(document))
    except Exception as error:  # noqa: BLE001
        # The site wrote this code, not us: whatever it raises, the journal was not validated.
        told = f"{settings.JOURNAL_VALIDATOR} failed: {type(error).__name__}: {error}"
        yield Finding("validator", f"{told}. The journal was not validated by it."[:500])
        return
    for each in remarks:
        if not isinstance(each, Remark):
            yield Finding("validator", f"{settings.JOURNAL_VALIDATOR} answered {each!r}, which is no Remark."[:500])
            continue
        about = f"{settings.JOURNAL_VALIDATOR}:{each.line}"
        yield Finding("validator", each.message, is_warning=each.is_warning, line=each.line, about=about)
