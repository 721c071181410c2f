"""Where the database or the disk is out of order, pages answer 503 and say so: never 400, 500 or a traceback."""

import errno
import os
import re
import time
from contextlib import contextmanager

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.db import InterfaceError, InternalError, OperationalError, connection
from django.test import Client

from billing.files import received
from billing.models import StoredFile
from openchargeback import sign_ins

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

UPLOAD = "/admin/billing/import/upload/"
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|SELECT .* FOR )", re.IGNORECASE | re.DOTALL)
LOCKED = OperationalError("database is locked")


@pytest.fixture
def browser():
    """A browser that is shown what a person is shown, and no exception."""
    return Client(raise_request_exception=False)


@contextmanager
def refusing(error, *, only_writes=False):
    """Have the database refuse everything, or everything that writes; what keeps the test's transaction goes on."""

    def execute(execute, sql, params, many, context):
        if re.match(r"\s*(SAVEPOINT|RELEASE|ROLLBACK)", sql) or only_writes and not WRITES.match(sql):
            return execute(sql, params, many, context)
        raise type(error)(*error.args)

    with connection.execute_wrapper(execute):
        yield
    # The test's own transaction, which nothing reached, goes on.
    connection.needs_rollback = False


def check_unavailable(response, says):
    assert response.status_code == 503, response.content[:300]
    assert int(response["Retry-After"]) > 0
    assert "no-store" in response["Cache-Control"]
    text = response.content.decode()
    assert says in text
    assert "Traceback" not in text
    assert "locked" not in text


ERRORS = [
    (LOCKED, "The database is busy"),
    (OperationalError("connection failed: Connection refused"), "The database cannot be reached"),
    (OperationalError("FATAL: sorry, too many clients already"), "takes no more connections"),
    (InterfaceError("the connection is closed"), "The database cannot be reached"),
    (OperationalError("database or disk is full"), "The disk of the database is full"),
    (InternalError("cannot execute INSERT in a read-only transaction"), "can be read but not written"),
]


@pytest.mark.parametrize(("error", "says"), ERRORS, ids=[says for _, says in ERRORS])
@pytest.mark.parametrize("url", ["/", "/admin/", "/admin/billing/charge/", "/admin/billing/import/", "/statements/"])
def test_a_page_says_that_the_database_is_out_of_order(browser, cast, url, error, says):
    browser.force_login(cast.finance)
    with refusing(error):
        check_unavailable(browser.get(url), says)
    assert browser.get(url).status_code in (200, 302, 404)


@pytest.mark.parametrize("debug", [True, False])
def test_a_session_that_cannot_be_kept_is_not_one_that_is_gone(browser, cast, settings, debug):
    settings.DEBUG = debug
    browser.force_login(cast.finance)
    session = browser.session
    session[sign_ins.BEGUN] = session[sign_ins.SEEN] = int(time.time()) - 600
    session.save()
    with refusing(LOCKED, only_writes=True):
        check_unavailable(browser.get("/admin/"), "The database is busy")
    assert browser.get("/admin/").status_code == 200


def test_signing_in_says_it_too(browser, cast):
    cast.finance.set_password("a long and winding road")
    cast.finance.save()
    form = {"username": cast.finance.username, "password": "a long and winding road"}
    with refusing(LOCKED, only_writes=True):
        check_unavailable(browser.post("/accounts/login/", form), "The database is busy")
    with refusing(LOCKED):
        check_unavailable(browser.post("/accounts/login/", form), "The database is busy")
    assert browser.post("/accounts/login/", form).status_code == 302


def test_a_form_that_cannot_be_stored_says_it(browser, cast):
    cast.finance.set_password("a long and winding road")
    cast.finance.save()
    browser.force_login(cast.finance)
    new = "another road, and as long"
    form = {"old_password": "a long and winding road", "new_password1": new, "new_password2": new}
    with refusing(LOCKED, only_writes=True):
        check_unavailable(browser.post("/accounts/password_change/", form), "The database is busy")
    assert browser.post("/accounts/password_change/", form).status_code == 302


FULL = [(errno.ENOSPC, "The disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "can be read but not written")]


@pytest.mark.parametrize(("number", "says"), FULL)
@pytest.mark.parametrize("debug", [True, False])
def test_an_upload_that_finds_no_room_says_so_and_leaves_nothing(
    browser, cast, settings, monkeypatch, number, says, debug
):
    settings.DEBUG = debug
    browser.force_login(cast.finance)

    def full(*_):
        raise OSError(number, os.strerror(number))

    # While it is received, and while it is put where it stays.
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 10
    with monkeypatch.context() as patched:
        patched.setattr(TemporaryFileUploadHandler, "receive_data_chunk", full)
        check_unavailable(browser.post(UPLOAD, {"files": [SimpleUploadedFile("aws.csv", b"x" * 100)]}), says)
    monkeypatch.setattr(received.os, "fsync", full)
    check_unavailable(browser.post(UPLOAD, {"files": [SimpleUploadedFile("aws.csv", b"x" * 100)]}), says)
    assert not StoredFile.objects.exists()
    assert not [each for each in settings.MEDIA_ROOT.rglob("*") if each.is_file()]


def test_a_fault_of_the_program_is_still_a_500(browser, cast, monkeypatch, settings):
    settings.DEBUG = False
    browser.force_login(cast.finance)

    def breaks(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("openchargeback.views.redirect", breaks)
    assert browser.get("/").status_code == 500
