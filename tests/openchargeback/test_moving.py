"""Moving to another database: what is refused, and that a move that fails leaves both sides as they were."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing.background import heartbeat
from billing.models import AuditEvent
from openchargeback import moving, transfer
from openchargeback.transfer import CannotLoad
from tests import build
from tests.test_pages import with_events

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'target.sqlite3'}"


def move(url):
    return moving.move(url, actor=build.SOMEBODY, now=build.NOW)


def test_a_move_that_fails_leaves_both_as_they_were_and_can_be_made_again(url, monkeypatch):
    build.a_charge()
    with_events()
    before = AuditEvent.objects.count()
    copy = transfer.copy

    def fail(*arguments, **options):
        copy(*arguments, **options)
        raise CannotLoad("The database does not take the rows of billing_charge: too long")

    monkeypatch.setattr(transfer, "copy", fail)
    with pytest.raises(CannotLoad):
        move(url)
    assert AuditEvent.objects.count() == before
    monkeypatch.undo()
    moved = move(url)
    assert moved.rows > 10
    assert AuditEvent.objects.latest("pk").action == "installation.moved"
    with pytest.raises(moving.NotMoved, match="is not empty, and nothing is moved over what is there"):
        move(url)


def test_what_is_no_other_database_is_refused(url, monkeypatch, tmp_path):
    with pytest.raises(CommandError, match=r"“mysql://u:\*\*\*@h/billing” is not the address of a database"):
        call_command("move_database", "mysql://u:secret@h/billing", stdout=StringIO())
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        monkeypatch.setitem(given, "NAME", str(tmp_path / "own.sqlite3"))
    own = f"sqlite:///{given['NAME']}"
    if connection.vendor == "postgresql":
        own = f"postgres://{given['USER']}@{given['HOST']}:{given['PORT'] or 5432}/{given['NAME']}"
    with pytest.raises(transfer.NotConnected, match="This is the database that the installation has now"):
        move(own)
    with pytest.raises(transfer.NotConnected, match=r"at postgres://u:\*\*\*@127.0.0.1:1/x does not answer"):
        move("postgres://u:secret@127.0.0.1:1/x")


def test_nothing_is_moved_while_a_worker_runs(url):
    heartbeat.beat()
    with pytest.raises(moving.NotMoved, match="Stop the site and its worker first"):
        move(url)
