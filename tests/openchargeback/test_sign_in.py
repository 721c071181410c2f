"""Signing in with a password: locks, links, how long a session lasts, and what ends it."""

import datetime
import re
import time

import pytest
from axes.models import AccessAttempt
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import passwords
from billing.audit import Actor
from billing.models import AuditEvent, User
from openchargeback import sign_ins, throttling
from tests import build

pytestmark = pytest.mark.django_db

GOOD = "correct horse battery 9"


def happened():
    """Return what happened after the cast's roles were written."""
    return AuditEvent.objects.exclude(action="role.synced").order_by("id")


@pytest.fixture
def locks(settings):
    settings.AXES_ENABLED = True


@pytest.fixture
def worker(monkeypatch, django_capture_on_commit_callbacks):
    """Run what is handed to the worker at once."""
    from billing import tasks

    monkeypatch.setattr(passwords, "async_task", lambda name, email: tasks.send_password_link(email))


def attempt(client, name="ada", password="wrong", address="192.0.2.7"):
    return client.post(reverse("login"), {"username": name, "password": password}, REMOTE_ADDR=address)


# -- locks --


def test_wrong_passwords_lock_the_account_from_there_and_say_for_how_long(client, cast, locks):
    assert [attempt(client).status_code for _ in range(5)] == [200, 200, 200, 200, 429]
    locked = attempt(client, password="open sesame")
    assert locked.status_code == 429
    assert locked["Retry-After"] == "1800"
    assert "Try again in 30 minutes" in locked.content.decode()
    assert not locked.context["user"].is_authenticated
    # From elsewhere its owner still comes in: nobody is kept out by somebody else's guessing.
    assert attempt(client, password="open sesame", address="192.0.2.8").status_code == 302


def test_a_lock_is_told_once_in_the_audit_trail_however_often_it_is_tried(client, cast, locks):
    for _ in range(9):
        attempt(client)
    told = list(happened().values_list("action", "actor_name"))
    assert told.count(("session.locked_out", "ada")) == 1
    assert told.count(("session.failed", "ada")) in (4, 5)
    assert len(told) <= 6


def test_a_lock_ends_when_it_said_it_would_whoever_goes_on_trying(client, cast, locks):
    for _ in range(7):
        attempt(client)
    long_ago = timezone.now() - datetime.timedelta(minutes=31)
    AccessAttempt.objects.update(attempt_time=long_ago)
    assert attempt(client, password="open sesame").status_code == 302
    for _ in range(5):
        attempt(client)
    last = AccessAttempt.objects.get().attempt_time
    attempt(client)
    assert AccessAttempt.objects.get().attempt_time == last


def test_an_address_that_tries_many_accounts_is_locked_for_all(client, cast, locks, monkeypatch):
    monkeypatch.setattr(throttling, "WIDER", 2)
    for number in range(9):
        assert attempt(client, f"guess-{number}").status_code == 200
    assert attempt(client, "guess-again").status_code == 429
    assert attempt(client, "ada", "open sesame").status_code == 429
    assert attempt(client, "ada", "open sesame", address="192.0.2.8").status_code == 302


def test_an_account_that_is_tried_from_many_addresses_is_locked_everywhere(client, cast, locks, monkeypatch):
    monkeypatch.setattr(throttling, "WIDER", 2)
    for number in range(9):
        assert attempt(client, address=f"192.0.2.{number}").status_code == 200
    assert attempt(client, address="192.0.2.10").status_code == 429
    assert attempt(client, password="open sesame", address="192.0.2.99").status_code == 429
    assert attempt(client, "mallory", "open sesame", address="192.0.2.99").status_code == 302


def test_what_is_said_is_the_same_whether_an_account_exists_or_not(client, cast):
    User.objects.filter(username="grace").update(is_active=False)

    def said(name):
        text = attempt(client, name).content.decode()
        return re.sub(r'(value|content)="[^"]*"', "", text).replace(name, "NAME")

    assert said("ada") == said("nobody") == said("grace")


def test_a_name_nobody_has_is_hashed_too(client, db, monkeypatch):
    hashed = []
    monkeypatch.setattr(User, "set_password", lambda self, raw: hashed.append(raw))
    attempt(client, "nobody", "wrong")
    assert hashed == ["wrong"]


# -- links --


def ask(client, email, address="192.0.2.7"):
    return client.post(reverse("password_reset"), {"email": email}, REMOTE_ADDR=address)


def test_a_link_is_mailed_sets_a_password_and_unlocks(
    client, cast, locks, worker, django_capture_on_commit_callbacks, settings
):
    settings.SITE_URL = "https://billing.example.edu"
    for _ in range(5):
        attempt(client)
    with django_capture_on_commit_callbacks(execute=True):
        ask(client, "ADA@u.edu")
    assert mail.outbox[0].to == ["ada@u.edu"]
    link = re.search(r"https://billing\.example\.edu(/accounts/reset/\S+)", mail.outbox[0].body)[1]
    form = client.get(link, follow=True)
    done = client.post(form.request["PATH_INFO"], {"new_password1": GOOD, "new_password2": GOOD})
    assert done.status_code == 302
    assert attempt(client, password=GOOD).status_code == 302
    assert AuditEvent.objects.filter(action="user.password_changed", object_id=str(cast.pi.pk)).exists()
    assert "no longer works" in Client().get(link, follow=True).content.decode()


def test_the_answer_is_the_same_for_an_address_that_nobody_has(client, cast, monkeypatch):
    handed = []
    monkeypatch.setattr(passwords, "async_task", lambda *task: handed.append(task))
    known, unknown = ask(client, "ada@u.edu"), ask(client, "nobody@u.edu")
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    assert not mail.outbox
    assert AuditEvent.objects.filter(action="user.password_link_asked", object_id="").count() == 2


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!none"}])
def test_who_is_switched_off_or_never_had_a_password_is_sent_none(cast, change):
    User.objects.filter(username="ada").update(**change)
    assert not passwords.send_link(email="ada@u.edu", actor=build.SOMEBODY, now=build.NOW)
    assert not mail.outbox


def test_an_account_is_sent_three_links_an_hour_at_most(cast):
    sent = [passwords.send_link(email="ada@u.edu", actor=build.SOMEBODY, now=build.NOW) for _ in range(4)]
    assert sent == [True, True, True, False]
    assert passwords.send_link(email="ada@u.edu", actor=build.SOMEBODY, now=build.NOW + passwords.HOUR)


def test_an_address_asks_for_twenty_links_an_hour_at_most(client, cast, monkeypatch):
    monkeypatch.setattr(passwords, "ASKED_AN_HOUR", 2)
    assert [ask(client, "x@u.edu").status_code for _ in range(3)] == [302, 302, 429]
    assert ask(client, "x@u.edu", address="192.0.2.8").status_code == 302


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "too short"),
        ("ada@u.edu-xyz", "too similar"),
        ("password1234", "too common"),
        ("openchargeback", "openchargeback"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(client, cast, password, said):
    client.force_login(cast.pi)
    sent = {"old_password": "open sesame", "new_password1": password, "new_password2": password}
    page = client.post(reverse("password_change"), sent).content.decode()
    assert said in page
    assert client.login(username="ada", password="open sesame")


def test_a_long_password_of_any_characters_is_taken_as_it_is(client, cast):
    client.force_login(cast.pi)
    password = " ünïcode and blanks 🙂 " + "x" * 100
    sent = {"old_password": "open sesame", "new_password1": password, "new_password2": password}
    assert client.post(reverse("password_change"), sent).status_code == 302
    assert client.login(username="ada", password=password)
    assert not client.login(username="ada", password=password.strip())


def test_passwords_are_hashed_with_argon2():
    from openchargeback import settings

    assert settings.PASSWORD_HASHERS[0].endswith("Argon2PasswordHasher")


# -- sessions --


def is_in(client) -> bool:
    return client.get(reverse("portal:statements")).status_code == 200


def test_changing_the_password_signs_out_everywhere_else(client, cast):
    elsewhere = Client()
    client.force_login(cast.pi)
    elsewhere.force_login(cast.pi)
    assert is_in(elsewhere)
    key = client.session.session_key
    sent = {"old_password": "open sesame", "new_password1": GOOD, "new_password2": GOOD}
    assert client.post(reverse("password_change"), sent).status_code == 302
    assert is_in(client)
    assert client.session.session_key != key
    assert not is_in(elsewhere)
    assert AuditEvent.objects.filter(action="user.password_changed", actor=cast.pi).exists()


def test_a_password_set_by_a_link_signs_out_everywhere(client, cast):
    client.force_login(cast.pi)
    link = passwords.make_link(user=cast.pi, actor=Actor.from_user(cast.admin), now=build.NOW)
    other = Client()
    form = other.get(link, follow=True)
    other.post(form.request["PATH_INFO"], {"new_password1": GOOD, "new_password2": GOOD})
    assert not is_in(client)


def test_signing_out_and_being_switched_off_end_a_session_at_once(client, cast):
    client.force_login(cast.pi)
    kept = client.cookies["sessionid"].value
    client.post(reverse("logout"))
    client.cookies["sessionid"] = kept
    assert not is_in(client)
    client.force_login(cast.pi)
    User.objects.filter(pk=cast.pi.pk).update(is_active=False)
    assert not is_in(client)


def test_signing_in_gives_a_new_session(client, cast):
    client.get(reverse("login"))
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies["sessionid"] = session.session_key
    attempt(client, password="open sesame")
    assert client.session.session_key != session.session_key


@pytest.mark.parametrize(
    ("begun", "seen", "stays"),
    [(0, 0, True), (29 * 60, 29 * 60, True), (31 * 60, 31 * 60, False), (11 * 3600, 60, True), (13 * 3600, 60, False)],
)
def test_a_session_ends_when_it_is_old_or_idle(client, cast, begun, seen, stays):
    client.force_login(cast.pi)
    session = client.session
    session[sign_ins.BEGUN] -= begun
    session[sign_ins.SEEN] -= seen
    session.save()
    assert is_in(client) == stays
    assert AuditEvent.objects.filter(action="session.expired").exists() != stays
    if stays:
        assert client.session[sign_ins.SEEN] >= int(time.time()) - 60


def test_pages_are_kept_by_no_cache_and_ask_nothing_of_the_browser(client, cast, settings):
    client.force_login(cast.admin)
    pages = {
        url: client.get(url) for url in (reverse("portal:statements"), reverse("admin:index"), "/nowhere/", "/admin")
    }
    pages["sign-in"] = client.get(reverse("login"))
    # Pages that some middleware answers with, before the others are asked.
    pages["no such host"] = client.get("/", HTTP_HOST="elsewhere.example")
    pages["no token"] = Client(enforce_csrf_checks=True).post(reverse("login"), {})
    pages["too large"] = Client().post(reverse("login"), b"x" * 2 * 1024**2, content_type="text/plain")
    settings.REMOTE_USER_HEADER = "X-Remote-User"
    pages["not known"] = Client().get("/statements/", HTTP_X_REMOTE_USER="<b>who</b>")
    told = [pages[name].status_code for name in ("no such host", "no token", "too large", "not known")]
    assert told == [400, 403, 413, 403]
    for url, response in pages.items():
        assert "no-store" in response["Cache-Control"], url
        assert "camera=()" in response["Permissions-Policy"]
        assert response["Referrer-Policy"] == "same-origin"
        assert response["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["X-Frame-Options"] == "DENY"
        for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            assert directive in response["Content-Security-Policy"]


def test_a_way_back_leads_nowhere_else(client, cast):
    for wanted in ("https://evil.example", "//evil.example", "javascript:alert(1)"):
        sent = {"username": "ada", "password": "open sesame", "next": wanted}
        assert client.post(reverse("login"), sent).url == reverse("home")
