"""What the environment sets, read so that a mistake in it is a sentence that names the setting."""

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

KINDS = {int: "a whole number", bool: "true or false"}
TRUE, FALSE = environ.Env.BOOLEAN_TRUE_STRINGS, ("", "0", "false", "off", "no", "n")


class Environment(environ.Env):
    """Counts an empty value as one that is not set, as a copied line of `.env.example` may leave it.

    An empty list is one of nothing: `TRUSTED_PROXIES=` trusts nobody. Raises ImproperlyConfigured for a value of
    another kind.
    """

    def get_value(
        self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, parse_default: bool = False
    ) -> Any:
        text = self.ENVIRON.get(var, "").strip()
        if cast is list and not text and var in self.ENVIRON:
            return []
        if not text and default is not self.NOTSET:
            return default
        if cast is bool and text.lower() not in (*TRUE, *FALSE):
            raise ImproperlyConfigured(f"{var}={text}: write {KINDS[bool]}.")
        try:
            return super().get_value(var, cast=cast, default=default, parse_default=parse_default)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var}={text}: write {KINDS[cast]}.") from error
