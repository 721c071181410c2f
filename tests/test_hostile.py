"""Hostile values in every address, filter, form field and header, as every role: no failure of the program.

Seeded: what fails once fails again. Each walk ends when its time is over, so that all of them together, on both
databases, stay below two minutes.
"""

import logging
import os
import random
import re
import time
import traceback
from contextlib import contextmanager
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import reverse

from billing.admin.filters import COMPARED_BY, NARROWED_BY
from billing.models import BillingPeriod
from tests.test_matrix import (  # noqa: F401 (house is the fixture)
    PEOPLE,
    STAFF,
    address_of,
    house,
    routes,
)

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SEED = 11
# Of one walk, in seconds; there are four, on two databases. Longer by hand: HOSTILE_SECONDS=300.
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "14"))

# As they stand in an address: percent-encoded where they have to be.
HOSTILE = {
    "NUL": "%00",
    "NUL inside": "a%00b",
    "half a character": "%ED%A0%80",
    "no UTF-8": "%FF%FE",
    "25 digits": "9" * 25,
    "25 digits below zero": "-" + "9" * 25,
    "5,000 digits": "1" * 5000,
    "5,000 characters": "x" * 5000,
    "1,000 words": "%20".join(["ab"] * 1000),
    "two bytes each": "%C3%A9" * 1600,
    "no date": "2025-02-30",
    "year 0": "0000-00-00",
    "year 1": "0001-01-01",
    "year 9999": "9999-12-31",
    "no number": "NaN",
    "beyond numbers": "1e999999",
    "other digits": "%D9%A1%D9%A2",
    # They are digits to isdigit(), and not to int().
    "a raised digit": "%C2%B2",
    "a circled digit": "%E2%91%A0",
    "wide digits": "%EF%BC%91%EF%BC%92",
    "quotes": "%27%22%3B--",
    "backslash": "%5C%25_",
    "a list": "1,,2,x,",
    "brackets": "%7B%5B(",
    "lines": "a%0D%0AX-Evil:%201",
    "emoji": "%F0%9F%92%A9",
    "a template": "%7B%7B7*7%7D%7D%7B%25if%25%7D",
    "a pattern": "%5E(.%2B)%2B%24",
    "a path": "..%2F..%2Fetc%2Fpasswd",
    "nothing": "",
}
# 302 leads on or to the sign-in page; 401 asks for a token, and tests/statements/test_api.py asks with one; 429 and 502
# say that a lock or the institution's sign-in stands in the way.
FINE = {200, 301, 302, 400, 401, 403, 404, 405, 409, 410, 413, 429}


class Failures(logging.Handler):
    """What the log has of requests that failed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record):
        # What Django refuses with 400 it calls an error, too.
        if record.levelno >= logging.ERROR and not record.name.startswith("django.security"):
            where = traceback.extract_tb(record.exc_info[2])[-3:] if record.exc_info else []
            frames = " < ".join(f"{frame.filename[-40:]}:{frame.lineno}" for frame in reversed(where))
            self.seen.append(
                f"{record.getMessage()[:80]}: {str(record.exc_info and record.exc_info[1])[:200]} {frames}"
            )


@pytest.fixture
def log():
    handler = Failures()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.fixture(autouse=True)
def _as_it_is_served(settings):
    """Locks are on, and both ways of single sign-on; the provider does not answer."""
    settings.AXES_ENABLED = True
    settings.REMOTE_USER_HEADER, settings.REMOTE_USER_EMAIL_HEADER = "X-Remote-User", "X-Remote-Email"
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = "https://127.0.0.1:1", "x"


@contextmanager
def undone():
    """Undo what one request does, for the next."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def client_of(house, who) -> Client:  # noqa: F811
    client = Client(raise_request_exception=False)
    if who != "nobody":
        client.force_login(getattr(house, who))
    return client


class Walk:
    """Requests one after the other, until the time is over."""

    def __init__(self, house, log) -> None:  # noqa: F811
        self.log = log
        self.random = random.Random(SEED)
        self.clients = {who: client_of(house, who) for who in PEOPLE}
        self.done = 0

    def through(self, asked) -> None:
        """Send what is asked, in an order of the seed's; fail with everything that went wrong."""
        asked = list(asked)
        self.random.shuffle(asked)
        wrong = []
        until = time.monotonic() + SECONDS
        for who, method, url, options, said in asked:
            if time.monotonic() > until:
                break
            with undone():
                response = getattr(self.clients[who], method)(url, **options)
                if response.streaming:
                    response.getvalue()
            self.done += 1
            if response.status_code == 502 and "/oidc/" in url:
                self.log.seen.clear()
            elif response.status_code not in FINE or self.log.seen:
                wrong.append(f"{response.status_code} {who} {method} {url[:150]} ({said}) {self.log.seen[-1:]}")
                self.log.seen.clear()
            if len(wrong) > 8:
                break
        assert wrong == [], "\n\n".join(wrong)


def test_no_address_fails_whatever_stands_in_it(house, log):  # noqa: F811
    walk = Walk(house, log)
    asked = []
    for route in routes():
        address = address_of(route, house.admin) if "(?P" not in route else "/admin/billing/"
        for said, value in HOSTILE.items():
            who = walk.random.choice(("admin", "admin", *PEOPLE))
            hostile = "/" + re.sub(r"<[^>]+>", value, route) if "<" in route and "(?P" not in route else address
            if hostile == address and walk.random.random() > 0.25:
                continue
            query = f"?{walk.random.choice(('q', 'p', 'page', 'month', 'period', 'what', 'next', 'format'))}={value}"
            asked.append((who, "get", hostile + query, {}, said))
            if walk.random.random() < 0.1:
                asked.append((who, "post", hostile, {}, said))
    walk.through(asked)
    assert walk.done


@pytest.mark.parametrize("said", [said for said in HOSTILE if "digit" in said])
def test_no_number_of_a_page_fails_whatever_its_digits(house, log, said):  # noqa: F811
    client, value = client_of(house, "admin"), HOSTILE[said]
    period = BillingPeriod.objects.earliest("month")
    for url in (
        *(f"/admin/billing/import/upload/?again={value}", f"/admin/billing/import/upload/?job={value}"),
        *(f"/admin/billing/charge/why/?what=1&page={value}", f"/admin/billing/charge/why/?what=2025-01-0001-1:{value}"),
        *(
            f"/admin/billing/charge/why/?what={what}{value}"
            for what in ("2025-01-", "2025-01-0001", "abcdef:", "charge ")
        ),
        *(f"/admin/billing/billingperiod/{period.pk}/reapply/?job={value}", f"/admin/billing/fund/load/?job={value}"),
        f"/admin/billing/attributionrule/add/?charges={value}",
    ):
        assert client.get(url).status_code in FINE, url
        assert not log.seen, url


def parameters_of(screen) -> set[str]:
    """Return what an address of a list may carry: its filters, its links, and what every list knows."""
    names = {"q", "o", "p", "all", "e", "_to_field", "_popup", "_facets", "_changelist_filters", "zz", "pk__in"}
    for declared in (*screen.list_filter, *screen.linked_by):
        if isinstance(declared, type):
            assert issubclass(declared, admin.SimpleListFilter)
            names.add(str(declared.parameter_name))
        else:
            name = declared[0] if isinstance(declared, tuple) else declared
            names |= {name, f"{name}__id__exact"}
            names |= {f"{name}__{narrowed}" for narrowed in (*NARROWED_BY, *COMPARED_BY)}
    return names


def test_no_filter_of_any_list_fails_whatever_it_is_given(house, log):  # noqa: F811
    walk = Walk(house, log)
    asked = []
    for model, screen in admin.site._registry.items():
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for name in sorted(parameters_of(screen)):
            values = walk.random.sample(sorted(HOSTILE), 4)
            asked += [(walk.random.choice(STAFF), "get", f"{url}?{name}={HOSTILE[said]}", {}, said) for said in values]
        first = reverse("admin:autocomplete")
        for name in screen.autocomplete_fields:
            query = f"app_label={model._meta.app_label}&model_name={model._meta.model_name}&field_name={name}"
            for said in walk.random.sample(sorted(HOSTILE), 4):
                asked.append(("admin", "get", f"{first}?{query}&term={HOSTILE[said]}", {}, said))
                asked.append(("admin", "get", f"{first}?{query}{HOSTILE[said]}&term=a&page={HOSTILE[said]}", {}, said))
    for name in ("month", "project", "q", "page"):
        for said, value in HOSTILE.items():
            asked.append(("pi", "get", f"/statements/?{name}={value}", {}, said))
    walk.through(asked)
    assert walk.done


class Fields(HTMLParser):
    """The forms of a page: where each posts to, its fields, and what stands in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.select = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag == "form":
            is_post = names.get("method", "").lower() == "post" and "logout" not in (names.get("action") or "")
            self.forms.append((names.get("action") or "", {} if is_post else None))
        elif self.forms and self.forms[-1][1] is not None and tag in ("input", "textarea", "select"):
            if name := names.get("name"):
                if names.get("type") in ("checkbox", "radio") and "checked" not in names:
                    self.forms[-1][1].setdefault(name, "")
                else:
                    self.forms[-1][1][name] = names.get("value") or ""
                self.select = name if tag == "select" else ""
        elif tag == "option" and self.select and "selected" in names:
            self.forms[-1][1][self.select] = names.get("value") or ""


def pages_with_forms(house) -> list[tuple[str, str]]:  # noqa: F811
    """Return who opens which page."""
    found = [("nobody", f"/accounts/{name}/") for name in ("login", "password_reset")]
    found += [("pi", "/accounts/password_change/"), ("admin", "/admin/password_change/")]
    for route in routes():
        if route.startswith("admin/") and "(?P" not in route and "login" not in route and "logout" not in route:
            found.append(("admin", address_of(route, house.admin)))
    return found


def test_no_field_of_any_form_fails_whatever_is_sent(house, log):  # noqa: F811
    walk = Walk(house, log)
    asked = []
    for who, url in pages_with_forms(house):
        with undone():
            page = walk.clients[who].get(url)
            if page.streaming:
                # Read to its end, the client closes it.
                page.getvalue()
            if page.status_code != 200 or page.streaming or not page["Content-Type"].startswith("text/html"):
                continue
            forms = [(action, fields) for action, fields in Fields(page.content.decode()).forms if fields]
        for action, fields in forms:
            to = url if not action or action.startswith(".") else action
            names = [name for name in fields if name not in ("csrfmiddlewaretoken", "once")]
            # A field of each form at a time, the other fields as they stand there; and all of them at once.
            chosen = walk.random.sample(names, min(len(names), 3))
            for hostile in ([name] for name in chosen):
                said = walk.random.choice(sorted(HOSTILE))
                asked.append((who, "post", to, _sent(fields, hostile, HOSTILE[said]), f"{hostile} {said}"))
            said = walk.random.choice(sorted(HOSTILE))
            asked.append((who, "post", to, _sent(fields, names, HOSTILE[said]), f"all {said}"))
    for said, value in HOSTILE.items():
        sent = {"username": "ada", "password": "wrong", "next": "/"}
        for name in sent:
            asked.append(("nobody", "post", "/accounts/login/", _sent(sent, [name], value), f"{name} {said}"))
        asked.append(("nobody", "post", "/accounts/password_reset/", _sent({}, ["email"], value), f"e-mail {said}"))
    walk.through(asked)
    assert walk.done


def _sent(fields, hostile, value) -> dict[str, str]:
    whole = {name: quote(given) for name, given in fields.items()} | dict.fromkeys(hostile, value)
    body = "&".join(f"{quote(name)}={given}" for name, given in whole.items())
    return {"data": body, "content_type": "application/x-www-form-urlencoded"}


HEADERS = (
    *("HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT"),
    *("HTTP_FORWARDED", "HTTP_REFERER", "HTTP_USER_AGENT", "HTTP_COOKIE", "HTTP_ACCEPT_LANGUAGE", "HTTP_ACCEPT"),
    *("HTTP_X_REMOTE_USER", "HTTP_X_REMOTE_EMAIL", "HTTP_ORIGIN", "HTTP_X_CSRFTOKEN", "HTTP_IF_MODIFIED_SINCE"),
    *("HTTP_RANGE", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_X_REQUESTED_WITH", "HTTP_TRANSFER_ENCODING"),
)
# As a web server hands them on: bytes, read as Latin-1.
IN_HEADERS = {
    "NUL": "a\0b",
    "bytes": "\xff\xfe",
    "half a character": "\xed\xa0\x80",
    "5,000 characters": "x" * 5000,
    "25 digits": "9" * 25,
    "lines": "a\r\nX-Evil: 1",
    "an address": "[::1]:99999, 1.2.3.4:x, ,fe80::1%eth0",
    "a network card": "fe80::1%eth0",
    "cookies": 'sessionid="\\000abc"; csrftoken=\xff; messages="[[1,2]]"; x=; =y; \x80',
    "a name": "rex@u.edu",
    "no name": "<script>, {{7*7}}",
    "steering": "\x1b[31mred\x9b",
    "nothing": "",
}


def test_no_header_fails_whatever_is_in_it(house, log, settings):  # noqa: F811
    settings.TRUSTED_PROXIES = ["10.0.0.1"]
    walk = Walk(house, log)
    asked = []
    for name in HEADERS:
        for said, value in IN_HEADERS.items():
            peer = walk.random.choice(("10.0.0.1", "192.0.2.1", "", "fe80::1%eth0"))
            who = walk.random.choice(PEOPLE)
            sent = {name: value, "REMOTE_ADDR": peer}
            url = walk.random.choice(("/statements/", "/admin/billing/charge/", "/accounts/login/"))
            asked.append((who, "get", url, sent, f"{name} {said}"))
            form = {"data": {"username": "ada", "password": "wrong"}}
            asked.append(("nobody", "post", "/accounts/login/", {**form, **sent}, f"{name} {said}"))
    walk.through(asked)
    assert walk.done
