"""Fields for what people type: cleaned where it is typed, so that what is stored is what everybody sees."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

from ..addresses import normalized_email
from ..texts import cleaned, code_of, folded_code, folds_of, is_missing

# While a sheet of many lines is read, the words of the policy are asked for once.
_words: ContextVar[frozenset[str] | None] = ContextVar("words for nothing", default=None)


@contextmanager
def words_asked_once() -> Iterator[None]:
    """Have `require_said` go by the words that the policy has now, however often it is called."""
    token = _words.set(_words_now())
    try:
        yield
    finally:
        _words.reset(token)


def _words_now() -> frozenset[str]:
    from .policy import Policy

    return folds_of(Policy.objects.current().missing_words)


def require_said(code: str) -> None:
    """Raise ValidationError for a code that the policy takes for none, such as “n/a”."""
    words = _words.get()
    if code and is_missing(code, _words_now() if words is None else words):
        raise ValidationError(
            f"“{code}” means that there is none: leave it empty. Where it is a real code, take the word off the "
            "policy's words for nothing."
        )


class _CleanedText(forms.CharField):
    clean_text: Callable[[str], str] = staticmethod(cleaned)

    def clean(self, value: object) -> Any:
        return super().clean(self.clean_text(value) if isinstance(value, str) else value)


class NameInput(_CleanedText):
    """A name of one line."""


class CodeInput(_CleanedText):
    """A code; none of the words that mean nothing."""

    clean_text = staticmethod(code_of)

    def validate(self, value: Any) -> None:
        super().validate(value)
        require_said(value)


class AddressInput(forms.EmailField):
    """An e-mail address, however it was copied."""

    def clean(self, value: object) -> Any:
        return super().clean(normalized_email(value) if isinstance(value, str) else value)


class _Cleaned(models.Field):
    """Cleans where a value is validated: in forms, and where a list is loaded. What is stored already stays."""

    clean_text: Callable[[str], str]
    input_class: type[forms.Field]

    def clean(self, value: Any, model_instance: Any) -> Any:
        return super().clean(self.clean_text(value) if isinstance(value, str) else value, model_instance)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": self.input_class, **kwargs})

    def deconstruct(self) -> Any:
        # To the database it is what it always was.
        name, _, args, kwargs = super().deconstruct()
        return name, self.as_stored, args, kwargs

    as_stored = "django.db.models.CharField"


class NameField(_Cleaned, models.CharField):
    clean_text, input_class = staticmethod(cleaned), NameInput


class CodeField(_Cleaned, models.CharField):
    clean_text, input_class = staticmethod(code_of), CodeInput


class AddressField(_Cleaned, models.EmailField):
    clean_text, input_class = staticmethod(normalized_email), AddressInput
    as_stored = "django.db.models.EmailField"


class FoldedField(models.CharField):
    """A code as it is compared where case does not matter: follows the field `of` whenever a row is stored.

    The database folds the case of other letters than those of ASCII in its own way, or not at all.
    """

    def __init__(self, *args: Any, of: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **{"editable": False, **kwargs})
        self.of = of

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        folded = folded_code(getattr(model_instance, self.of))
        setattr(model_instance, self.attname, folded)
        return folded

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs
