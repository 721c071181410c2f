"""Words that a guesser tries first here: a password is not made of them."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError


class ContextWordsValidator:
    """Refuse a password that is little more than the names of this program, its site or its task."""

    def __init__(self, words: list[str], left: int = 8) -> None:
        host = urlsplit(settings.SITE_URL).hostname or ""
        self.words = sorted({word.casefold() for word in (*words, *host.split(".")) if len(word) > 2}, key=len)[::-1]
        self.left = left

    def validate(self, password: str, user: object = None) -> None:
        rest = password.casefold()
        for word in self.words:
            rest = rest.replace(word, "")
        if rest != password.casefold() and len(rest) < self.left:
            found = ", ".join(word for word in self.words if word in password.casefold())
            raise ValidationError(
                f"Everybody would try {found} first here, and without that too little of this password is left."
            )

    def get_help_text(self) -> str:
        return "Your password can’t be made of the names of this program, this site or its task."
