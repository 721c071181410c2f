"""Pages of errors: what happened, what to do next, the way back, and a reference that finds the event in the log."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import incidents
from billing.background import jobs
from billing.models import Job
from billing.models.standing import KeptForEver
from openchargeback import errors, views
from openchargeback.logs import FORMATTERS, OneLineFilter
from tests import build
from tests.test_pages import Inline

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

REFERENCE = re.compile(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}\b")
JSON = {"accept": "application/json"}


@pytest.fixture
def log():
    """What standard error has in each format: {"text": [...], "json": [...], "keyvalue": [...]}."""
    written: dict[str, list[str]] = {name: [] for name in FORMATTERS}

    class Kept(logging.Handler):
        def emit(self, record):
            for name, formatter in FORMATTERS.items():
                written[name].append(formatter().format(record))

    handler = Kept()
    handler.addFilter(OneLineFilter())
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def not_understood(client, **headers):
    return client.get("/statements/?q=%00", **headers)


def without_token(client, **headers):
    client.handler.enforce_csrf_checks = True
    return client.post(reverse("password_change"), {}, **headers)


def not_found(client, **headers):
    return client.get("/statements/nothing/like/it/", **headers)


def raised(client, **headers):
    return client.get(reverse("home"), **headers)


def too_large(client, **headers):
    return client.post(
        reverse("password_change"), {"a": SimpleUploadedFile("a", b"x" * 100)}, **headers, CONTENT_LENGTH=10**9
    )


ASKED = {
    "400": not_understood,
    "403": raised,
    "403_csrf": without_token,
    "404": not_found,
    "409": raised,
    "413": too_large,
    "500": raised,
    "503": raised,
}

# What the view of the front door raises for these.
RAISED = {
    "403": PermissionDenied(),
    "409": KeptForEver("This statement is issued."),
    "500": ZeroDivisionError("a fault"),
    "503": OperationalError("database is locked"),
}


@pytest.fixture
def provoke(monkeypatch, settings):
    """Return a function that makes an error of a kind, as a browser or a script sees it."""
    settings.DEBUG = False

    def ask(kind, user=None, **headers):
        client = Client(raise_request_exception=False)
        if user is not None:
            client.force_login(user)
        with monkeypatch.context() as patched:
            if failure := RAISED.get(kind):

                def fails(*args):
                    raise failure

                patched.setattr(views, "redirect", fails)
            return ASKED[kind](client, headers=headers)

    return ask


PEOPLE = ("pi", "delegate", "viewer", "reviewer", "finance", "admin")


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("kind", ASKED)
def test_a_page_says_what_happened_what_to_do_and_where_the_log_says_more(provoke, cast, log, kind, who):
    user = getattr(cast, who)
    answer = provoke(kind, user)
    text = answer.content.decode()
    assert answer.status_code == int(kind[:3])
    assert "no-store" in answer["Cache-Control"]
    assert Inline(text).found == []
    assert "manage.py" not in text.split("error-page")[1]
    # One reference: on the page, in the header, and in one line of the log (two where the outage has its own).
    (reference,) = set(REFERENCE.findall(text))
    assert answer["X-Reference"] == reference
    lines = [line for line in log["text"] if reference in line]
    assert len(lines) == (2 if kind == "503" else 1)
    assert all(f"(reference {reference})" in line.splitlines()[0] for line in lines)
    assert all(json.loads(line)["reference"] == reference for line in log["json"] if reference in line)
    assert sum(f"reference={reference}" in line for line in log["keyvalue"]) == len(lines)
    assert len(log["text"]) == len(lines)
    # Everybody goes back to where they work.
    home, label = ("/admin/", "Back to the dashboard") if user.is_staff else ("/statements/", "Back to my statements")
    if kind == "400":
        # Refused before anybody is known.
        home, label = "/", "Back to the start"
    assert re.search(rf'href="{home}">{label}</a>', text)


@pytest.mark.parametrize("kind", ASKED)
def test_a_script_is_told_the_same_as_json(provoke, cast, log, kind):
    answer = provoke(kind, cast.finance, **JSON)
    assert answer.status_code == int(kind[:3])
    said = answer.json()
    assert set(said) == {"error", "detail", "next", "reference"}
    assert all(said.values())
    assert said["reference"] == answer["X-Reference"]
    assert any(json.loads(line)["reference"] == said["reference"] for line in log["json"])


@pytest.mark.parametrize("kind", ["403", "403_csrf", "404", "409", "413"])
def test_staff_keep_their_navigation_and_a_pi_hers(provoke, cast, kind):
    staff = provoke(kind, cast.finance).content.decode()
    assert 'id="nav-sidebar"' in staff
    assert reverse("admin:billing_import_changelist") in staff
    pi = provoke(kind, cast.pi).content.decode()
    assert "nav-sidebar" not in pi
    assert reverse("portal:projects") in pi


@pytest.mark.parametrize("kind", ["500", "503"])
@pytest.mark.parametrize("accept", [{}, JSON])
def test_what_failed_asks_the_database_nothing(rf, cast, kind, accept):
    request = rf.get("/admin/", headers=accept)
    request.user = cast.finance
    failure = ZeroDivisionError() if kind == "500" else OperationalError("database is locked")
    with CaptureQueriesContext(connection) as asked:
        try:
            raise failure
        except Exception:
            assert errors.broke(request).status_code == int(kind)
    assert len(asked) == 0


def test_a_refusal_says_its_own_reason_on_the_page_and_in_the_log(provoke, cast, log):
    assert "This statement is issued." in provoke("409", cast.finance).content.decode()
    assert "This statement is issued." in log["text"][0]
    page = provoke("413", cast.pi).content.decode()
    assert "At most 65.0\xa0MB can be sent at once" in page
    assert "953.7" in log["text"][1]


def test_staff_keep_their_navigation_where_a_list_is_asked_for_what_it_does_not_know(client, cast, settings):
    settings.DEBUG = False
    client.force_login(cast.viewer)
    answer = client.get("/admin/billing/charge/?description__charge_description__regex=x")
    assert answer.status_code == 400
    assert 'id="nav-sidebar"' in answer.content.decode()


def test_a_stranger_is_led_to_the_start(provoke, log):
    page = provoke("404").content.decode()
    assert 'href="/">Back to the start</a>' in page
    assert "nav-sidebar" not in page


def test_no_two_requests_share_a_reference_and_a_page_that_works_shows_none(provoke, cast, client):
    first, second = (provoke("404", cast.pi)["X-Reference"] for _ in range(2))
    assert first != second
    client.force_login(cast.pi)
    assert "X-Reference" not in client.get("/statements/")
    assert incidents.reference() == ""


def test_a_job_that_breaks_off_says_where_the_log_says_why(cast, monkeypatch, log):
    def breaks(**given):
        raise ZeroDivisionError

    monkeypatch.setitem(jobs.kinds._works, Job.Kind.SEND, breaks)
    job = Job.objects.create(kind=Job.Kind.SEND, created_at=build.NOW)
    with pytest.raises(ZeroDivisionError):
        jobs.run(job.pk)
    job.refresh_from_db()
    (reference,) = REFERENCE.findall(job.message)
    assert [reference in line for line in log["text"]] == [True]
    assert "ZeroDivisionError" in log["text"][0]


@pytest.mark.parametrize("form", FORMATTERS)
def test_a_command_that_breaks_off_says_where_the_log_says_why(tmp_path, form):
    root = Path(__file__).resolve().parents[2]
    broken = (
        "import sys; sys.argv = ['manage.py', 'version']; import manage\n"
        "manage.run = lambda arguments: (__import__('django').setup(), 1 / 0)\n"
        "manage.main()"
    )
    environment = {**os.environ, "DEBUG": "true", "VAR_DIR": str(tmp_path), "LOG_FORMAT": form}
    run = subprocess.run(
        [sys.executable, "-c", broken], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    *logged, told = run.stderr.strip().splitlines()
    (reference,) = REFERENCE.findall(told)
    assert told.startswith("manage.py version broke off")
    assert any(reference in line for line in logged)
    assert "ZeroDivisionError" in "\n".join(logged)
