"""What many tests begin with, made once for those of them that run one after another.

`@standing.fixture` makes such a fixture of a function. The function takes a folder, where its files go, makes rows, and
returns what the tests are given. Each test works behind a savepoint, and has copies of the files, of what is kept of
months, of what was mailed and of what was returned: whatever it does to them, the next one begins as it did.
"""

import copy
import datetime
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.cache.backends import locmem
from django.db import connection, transaction
from django.test import override_settings


@dataclass
class Standing:
    """What stands in the database now, in a transaction that is never committed."""

    made_by: Callable[[Path], Any]
    folder: Path
    given: Any
    sent: list[Any]
    undone: ExitStack
    connected: object
    day: datetime.date

    def is_for(self, wanted: Callable[[Path], Any] | None) -> bool:
        """Whether a test that wants this can begin with it; a new day, or a lost connection, asks for a new one."""
        return (
            self.made_by is wanted
            and self.day == _today()
            and self.connected is connection.connection
            and not connection.needs_rollback
        )


_now: Standing | None = None


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def private(folder: Path) -> dict[str, Any]:
    """Return settings that hash passwords quickly, keep files in a folder, and lock nobody out."""
    from django.conf import settings

    return {
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "VAR_DIR": folder,
        "MEDIA_ROOT": folder / "files",
        "EMAIL_FILE_PATH": str(folder / "mail"),
        "AXES_ENABLED": False,
        # What is kept of a month in one test is not known in the next.
        "CACHES": settings.CACHES
        | {"months": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(folder)}},
    }


def fixture(make: Callable[[Path], Any]) -> Any:
    """Make a fixture of a function that makes rows, and files in the folder that it is given."""

    def given(request, db, tmp_path, _quick_and_private):
        if _has_own_transactions(request.node):
            return make(tmp_path)
        if _now is None or _now.made_by is not make:
            raise RuntimeError(f"{make.__name__} has to be among the arguments of the test or of its fixtures.")
        shutil.copytree(_now.folder, tmp_path, dirs_exist_ok=True)
        for kept in (locmem._caches, locmem._expire_info):
            if str(_now.folder) in kept:
                kept.setdefault(str(tmp_path), type(kept[str(_now.folder)])()).update(kept[str(_now.folder)])
        mail.outbox.extend(copy.deepcopy(_now.sent))
        return copy.deepcopy(_now.given)

    given.makes = make  # type: ignore[attr-defined]
    given.__doc__ = make.__doc__
    return pytest.fixture(name=make.__name__)(given)


def _has_own_transactions(item: pytest.Item) -> bool:
    """Whether a test commits what it does, and the database is emptied after it."""
    marked = item.get_closest_marker("django_db")
    return bool(
        (marked and marked.kwargs.get("transaction")) or {"transactional_db", "live_server"} & {*item.fixturenames}  # type: ignore[attr-defined]
    )


def _wanted(item: pytest.Item) -> Callable[[Path], Any] | None:
    found = {
        definitions[-1].func.makes
        for definitions in item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
        if hasattr(definitions[-1].func, "makes")
    }
    if len(found) > 1:
        raise pytest.UsageError(f"{item.nodeid} begins with two things that are made once: one includes the other.")
    return found.pop() if found else None


def stand(request: pytest.FixtureRequest) -> None:
    """Before the transaction of a test begins: make what the test begins with, unless that stands already."""
    global _now
    wanted = None if _has_own_transactions(request.node) else _wanted(request.node)
    if _now is not None and _now.is_for(wanted):
        return
    fall()
    if wanted is None:
        return
    folder = request.getfixturevalue("tmp_path_factory").mktemp(wanted.__name__)
    with ExitStack() as undone:
        undone.callback(shutil.rmtree, folder, ignore_errors=True)
        undone.enter_context(transaction.atomic())
        undone.callback(transaction.set_rollback, True)
        before, mail.outbox = mail.outbox, []
        try:
            with override_settings(**private(folder)):
                given = wanted(folder)
        finally:
            sent, mail.outbox = mail.outbox, before
        connection.check_constraints()
        _now = Standing(wanted, folder, given, sent, undone.pop_all(), connection.connection, _today())


def fall() -> None:
    """Undo what stands, if anything does."""
    global _now
    if _now is not None:
        was, _now = _now, None
        was.undone.close()
