"""What a guesser tries first: the words of this place, rows of the keyboard, one thing again and again."""

import itertools
import re
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.forms import Field, PasswordInput

from .secret_keys import is_repeated

# What fingers run along, one way or the other.
ROWS = (
    *("abcdefghijklmnopqrstuvwxyz", "01234567890123456789"),
    # Keyboards: American, German, French.
    *("qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü+", "yxcvbnm,.-", "azertyuiop", "qsdfghjklm", "wxcvbn"),
    *("1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p", "qazwsxedcrfvtgbyhnujmikolp"),
    "!@#$%^&*()",
)
PAIRS = frozenset(pair for row in ROWS for each in (row, row[::-1]) for pair in map("".join, itertools.pairwise(each)))
# How much has to be left of a password without what is easily guessed.
LEFT = 8
FEWEST_DIFFERENT = 5
LEET = str.maketrans("013457@$!", "oleastasi")


# More than anybody remembers or a manager makes. The rules look at no more: one of them takes time as the square of it.
LONGEST = 1_000


class LengthValidator:
    """Refuse a password that is longer than any."""

    def validate(self, password: str, user: object = None) -> None:
        if len(password) > LONGEST:
            raise ValidationError(f"This password is too long: {LONGEST:,} characters are enough.")

    def get_help_text(self) -> str:
        return f"Your password can have up to {LONGEST:,} characters."


class ContextWordsValidator:
    """Refuse a password that is little more than the names of this program, its site or its task."""

    def __init__(self, words: list[str], left: int = LEFT) -> None:
        host = urlsplit(settings.SITE_URL).hostname or ""
        self.words = sorted({word.casefold() for word in (*words, *host.split(".")) if len(word) > 2}, key=len)[::-1]
        self.left = left

    def validate(self, password: str, user: object = None) -> None:
        rest = password[:LONGEST].casefold()
        for word in self.words:
            rest = rest.replace(word, "")
        if rest != password[:LONGEST].casefold() and len(rest) < self.left:
            found = ", ".join(word for word in self.words if word in password.casefold())
            raise ValidationError(
                f"Everybody would try {found} first here, and without that too little of this password is left."
            )

    def get_help_text(self) -> str:
        return "Your password can’t be made of the names of this program, this site or its task."


class PatternValidator:
    """Refuse a password that is a row of the keyboard, a few characters, or one thing again and again."""

    def validate(self, password: str, user: object = None) -> None:
        text = password[:LONGEST].casefold()
        if is_repeated(text):
            raise ValidationError(
                "This password is the same thing again and again. Take one that nobody can see in it."
            )
        if len(set(text)) < FEWEST_DIFFERENT:
            raise ValidationError("This password is made of a few characters only. Take more different ones.")
        if len(without_runs(text)) < LEFT:
            raise ValidationError(
                "This password is little more than a row such as 12345, abcde or qwertz. Take one that is no row."
            )

    def get_help_text(self) -> str:
        return "Your password can’t be a row of the keyboard, or the same thing again and again."


class DressedPasswordValidator(CommonPasswordValidator):
    """Refuse a common password with a few digits or signs around it, or written in them: P@ssw0rd-2025."""

    def validate(self, password: str, user: object = None) -> None:
        text = password[:LONGEST].strip().casefold()
        for each in (text, text.translate(LEET)):
            core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", each)
            beside = len(without_runs(text)) - len(core)
            if core in self.passwords and beside < LEFT:
                raise ValidationError(
                    "This password is a common one with little around it. Add more that is yours alone."
                )

    def get_help_text(self) -> str:
        return "Your password can’t be a commonly used one with a few digits or signs around it."


class BoundedPasswords:
    """Makes a form refuse passwords that are longer than any before anything is done with them."""

    fields: dict[str, Field]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field.widget, PasswordInput):
                field.validators.append(
                    MaxLengthValidator(LONGEST, f"No password has more than {LONGEST:,} characters.")
                )


class SignInForm(BoundedPasswords, AuthenticationForm):
    pass


class NewPasswordForm(BoundedPasswords, SetPasswordForm):
    pass


class ChangedPasswordForm(BoundedPasswords, PasswordChangeForm):
    pass


def without_runs(text: str) -> str:
    """Return a text with each run along a row, or of one character, shrunk to its first: abcd!!!7 to a!7."""
    kept = text[:1]
    for before, each in itertools.pairwise(text):
        if each != before and before + each not in PAIRS:
            kept += each
    return kept
