"""What every test shares: a scratch VAR_DIR, quick passwords, and the fixed cast."""

import gc
import os
import tempfile

# Before Django reads its settings: tests write files to a folder of their own and need no secret.
os.environ.setdefault("DEBUG", "true")
os.environ["VAR_DIR"] = tempfile.mkdtemp(prefix="openchargeback-tests-")
os.environ["EMAIL_URL"] = ""

import pytest
from hypothesis import settings as of_hypothesis

from tests import build, standing, totals

# Every look for cycles goes through all that Django, Arrow and Hypothesis keep alive; fewer looks take 8 % off a run.
gc.set_threshold(200_000, 50, 100)

# No test is timed: a machine that others use takes as long as it takes.
of_hypothesis.register_profile("untimed", deadline=None)
of_hypothesis.load_profile("untimed")


def pytest_addoption(parser):
    parser.addoption(
        "--only-on-databases",
        action="store_true",
        help="leave out what has nothing to do with the database, and was tested on another one already",
    )


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--only-on-databases"):
        return
    chosen = [item for item in items if _is_on_the_database(item)]
    config.hook.pytest_deselected(items=sorted({*items} - {*chosen}, key=lambda item: item.nodeid))
    items[:] = chosen


def _is_on_the_database(item) -> bool:
    if item.get_closest_marker("same_on_either"):
        return False
    is_marked = any(item.get_closest_marker(name) for name in ("django_db", "own_database"))
    return is_marked or not {"db", "transactional_db", "live_server"}.isdisjoint(item.fixturenames)


@pytest.fixture(scope="session", autouse=True)
def _may_flush(django_test_environment):
    """Let Django empty the test database after tests with transactions of their own, row by row.

    PostgreSQL truncates a table by making its files anew, and waits for the disk at each: seconds for all tables, each
    time, where next to nothing is in them.
    """
    from django.conf import settings
    from django.db.backends.postgresql.operations import DatabaseOperations

    truncated = DatabaseOperations.sql_flush

    def deletions(self, style, tables, *, reset_sequences=False, allow_cascade=False):
        if reset_sequences:
            return truncated(self, style, tables, reset_sequences=True, allow_cascade=allow_cascade)
        return [f"DELETE FROM {self.quote_name(table)}" for table in tables]

    settings.MAY_FLUSH = True
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DatabaseOperations, "sql_flush", deletions)
        yield


@pytest.fixture(scope="session")
def _nothing_stands_at_the_end(django_db_setup, django_db_blocker):
    yield
    with django_db_blocker.unblock():
        standing.fall()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    # What gives a test the database, and begins its transaction.
    if fixturedef.argname == "_django_db_helper":
        request.getfixturevalue("_nothing_stands_at_the_end")
        with request.getfixturevalue("django_db_blocker").unblock():
            standing.stand(request)


@pytest.fixture(autouse=True)
def _quick_and_private(settings, tmp_path):
    """Hash passwords quickly, keep files in the test's own folder, and lock nobody out."""
    for name, value in standing.private(tmp_path).items():
        setattr(settings, name, value)


@pytest.fixture(autouse=True)
def _totals_are_kept(request):
    """Whatever a test did, the totals of months are what its charges come to, unless it bent one of them on purpose."""
    marker = request.node.get_closest_marker("django_db")
    uses = {"db", "transactional_db", "live_server"} & {*request.fixturenames}
    if marker is None and not uses:
        yield
        return
    is_of_transactions = bool(uses - {"db"} or (marker and marker.kwargs.get("transaction")))
    # Asked for here, so that the database is still there afterwards.
    request.getfixturevalue("transactional_db" if is_of_transactions else "db")
    yield
    if request.node.get_closest_marker("bends_charges") is None and totals.can_be_asked():
        totals.require_kept()


@pytest.fixture
def cast(db) -> "build.Cast":
    """The PI, her delegate, a stranger, and the staff: a viewer, a reviewer, finance and an admin."""
    return build.the_cast()
