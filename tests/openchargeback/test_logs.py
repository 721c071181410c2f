"""A line of the log is one line, whatever somebody put into what it says."""

import json
import logging
import sys

import pytest
from django.test import Client
from django.urls import reverse

from openchargeback.logs import FORMATTERS, JsonFormatter, KeyValueFormatter, OneLineFilter, TextFormatter
from openchargeback.settings import LOGGING

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

HOSTILE = "fund \x1b[2J\r\n2026-01-01 00:00:00,000 INFO billing: forged\x85\u2028\u202e\x9b"


def record(message=HOSTILE, exc_info=None):
    return logging.LogRecord("billing", logging.INFO, __file__, 1, message, None, exc_info)


def test_no_text_ends_a_line_of_the_log():
    for formatter in (TextFormatter(), JsonFormatter(), KeyValueFormatter()):
        line = formatter.format(record())
        assert len(line.splitlines()) == 1, formatter
        assert not set(line) & set("\x1b\x9b\u202e\x85\r"), formatter
    assert "\\x1b[2J\\r\\n2026-01-01" in TextFormatter().format(record())
    assert json.loads(JsonFormatter().format(record()))["message"] == HOSTILE


def test_no_line_of_a_traceback_can_be_taken_for_one_of_the_log():
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        text = TextFormatter().format(record("It failed.", sys.exc_info()))
    first, *others = text.split("\n")
    assert first.endswith("It failed.")
    assert all(line.startswith("    ") for line in others)
    assert not set(text) & set("\x1b\x9b\u202e\r")


@pytest.fixture
def lines(monkeypatch):
    """What standard error has, by the handler that the settings name."""
    written: list[str] = []

    class Kept(logging.Handler):
        def emit(self, made):
            written.extend(FORMATTERS["text"]().format(made).splitlines())

    handler = Kept()
    handler.addFilter(OneLineFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


def test_the_handler_takes_tracebacks_from_what_a_client_did():
    assert LOGGING["handlers"]["stderr"]["filters"] == ["one_line"]
    # And nobody else writes what Django says.
    assert not logging.getLogger("django").handlers


def test_a_403_is_one_line(client, cast, lines):
    client.force_login(cast.viewer)
    assert client.get(reverse("admin:billing_policy_edit")).status_code == 403
    assert len(lines) == 1
    assert "Forbidden (Permission denied): /admin/billing/policy/edit/" in lines[0]


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/admin/billing/charge/?description__charge_description__regex=x", {}),
        ("/admin/billing/charge/?_to_field=pi", {}),
        ("/statements/%00/", {}),
        ("/statements/?q=%00", {}),
        ("/", {"host": "evil.example"}),
        ("/", {"host": "a\x1b[31m"}),
    ],
)
def test_a_400_is_one_line(client, cast, lines, url, headers):
    client.force_login(cast.viewer)
    assert client.get(url, headers=headers).status_code == 400
    assert len(lines) == 1, lines
    assert lines[0].isprintable()


def test_a_404_and_a_form_without_its_token_are_one_line_each(client, cast, lines):
    client.force_login(cast.pi)
    assert client.get("/statements/nothing%0Alike%1B%5B31m/").status_code == 404
    assert Client(enforce_csrf_checks=True).post(reverse("login"), {}).status_code == 403
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_what_fails_keeps_its_traceback(cast, lines, monkeypatch):
    from openchargeback import views

    monkeypatch.setattr(views, "redirect", lambda *args: 1 / 0)
    client = Client(raise_request_exception=False)
    client.force_login(cast.pi)
    assert client.get("/").status_code == 500
    assert any("ZeroDivisionError" in line for line in lines)
