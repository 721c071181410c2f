"""Sessions in the database; that it cannot be written is said as what it is."""

from django import db
from django.contrib.sessions.backends import db as kept
from django.contrib.sessions.backends.base import UpdateError


class SessionStore(kept.SessionStore):
    """Django's, except that a database that is locked or away does not count as a session that is gone."""

    def save(self, must_create: bool = False) -> None:
        try:
            super().save(must_create)
        except UpdateError as error:
            # Whoever is signed in would be told, with 400, that they signed out meanwhile.
            if isinstance(error.__context__, db.OperationalError | db.InterfaceError | db.InternalError):
                raise error.__context__ from None
            raise
