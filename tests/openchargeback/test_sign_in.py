"""Signing in with a password: locks, links, how long a session lasts, and what ends it."""

import datetime
import logging
import re
import threading
import time
from unittest.mock import Mock

import pytest
from axes.models import AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from billing.audit import Actor
from billing.models import AuditEvent, User
from billing.setup import passwords
from openchargeback import recovery, sign_ins, throttling
from openchargeback.logs import JsonFormatter
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

GOOD = "correct horse battery 9"


def happened():
    """Return what happened after the cast's roles were written."""
    return AuditEvent.objects.exclude(action="role.synced").order_by("id")


@pytest.fixture
def locks(settings):
    settings.AXES_ENABLED = True


@pytest.fixture
def at_once(monkeypatch):
    """Send in the request what is sent beside it."""
    system = Actor(name="system", via="task")
    monkeypatch.setattr(
        passwords,
        "send_beside",
        lambda email: passwords.send_link(email=email, actor=system, now=timezone.now()),
    )


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


def test_a_lock_is_told_once_in_the_audit_log_however_often_it_is_tried(client, cast, locks):
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


MISTAKE = "Tr0ub4dor&3-in-the-wrong-field"


def test_a_password_typed_for_a_name_is_kept_nowhere(client, cast, locks, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(6):
        attempt(client, MISTAKE)
    assert AuditEvent.objects.filter(action="session.failed").exists()
    assert AuditEvent.objects.filter(action="session.locked_out").exists()
    kept = [AuditEvent, AccessAttempt, AccessFailureLog, AccessLog, AccessAttemptExpiration, Session]
    rows = [str(row) for model in kept for row in model.objects.values()] + [
        JsonFormatter().format(r) for r in caplog.records
    ]
    assert len(rows) > 5
    assert [row for row in rows if MISTAKE[2:] in row or MISTAKE[:8] in row] == []
    # Its first letters and a hash tell a person that it was the same one again.
    names = set(AuditEvent.objects.filter(action__startswith="session.").values_list("actor_name", flat=True))
    assert names == {AccessAttempt.objects.get().username}
    assert re.fullmatch(r"Tr…[0-9a-f]{12}", names.pop())


def test_the_hash_of_a_name_needs_the_secret_key_and_tells_names_apart(db, settings):
    kept = sign_ins.kept_of(MISTAKE)
    assert kept == sign_ins.kept_of(MISTAKE) != sign_ins.kept_of(f"{MISTAKE}.")
    settings.SECRET_KEY = "another"
    assert sign_ins.kept_of(MISTAKE) != kept
    # Of a short one no letter, nor of one that would steer a terminal.
    assert sign_ins.kept_of("hunter2").startswith("…")
    assert sign_ins.kept_of("\x1b[31m-and-so-on").startswith("…")


def test_an_accounts_name_is_kept_as_it_is(client, cast, locks):
    attempt(client, "ada")
    assert AuditEvent.objects.get(action="session.failed").actor_name == "ada" == AccessAttempt.objects.get().username
    # Another spelling of it is no account's.
    attempt(client, "ADA-LOVELACE")
    assert AuditEvent.objects.latest("pk").actor_name.startswith("AD…")


@pytest.mark.parametrize("length", [10, 150, 151, 255, 256, 5000])
def test_a_name_of_any_length_is_a_wrong_one_and_counts(client, cast, locks, length):
    answers = [attempt(client, "x" * length) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert "Please enter a correct username and password" in answers[0].content.decode()
    assert AccessAttempt.objects.get().failures_since_start == 5


# -- links --


def ask(client, email, address="192.0.2.7"):
    return client.post(reverse("password_reset"), {"email": email}, REMOTE_ADDR=address)


def test_a_link_is_mailed_sets_a_password_and_unlocks(
    client, cast, locks, at_once, django_capture_on_commit_callbacks, settings
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
    monkeypatch.setattr(passwords, "send_beside", lambda email: None)
    known, unknown = ask(client, "ada@u.edu"), ask(client, "nobody@u.edu")
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    assert not mail.outbox
    assert AuditEvent.objects.filter(action="user.password_link_asked", object_id="").count() == 2


@pytest.fixture
def stalled(monkeypatch):
    """A mail server that answers nobody until the test says so; what it was asked to send."""
    release, asked = threading.Event(), []

    def send_link(*, email, actor, now):
        asked.append(email)
        assert release.wait(20)

    monkeypatch.setattr(passwords, "send_link", send_link)
    monkeypatch.setattr(passwords.connections, "close_all", lambda: None)
    yield asked
    release.set()
    # Nothing of this test is left in the queue of the next.
    passwords._sender.submit(int).result(20)


def test_a_stalled_mail_server_holds_up_neither_the_page_nor_the_queue(
    client, cast, stalled, django_capture_on_commit_callbacks
):
    began = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        answers = [ask(client, f"{name}@u.edu").status_code for name in ("ada", "grace", "nobody")]
    assert answers == [302, 302, 302]
    assert time.monotonic() - began < 10
    # Nothing of it is in the worker's queue.
    assert not OrmQ.objects.exists()
    while not stalled:
        time.sleep(0.01)
    assert stalled == ["ada@u.edu"]


def test_requests_beyond_what_may_wait_are_dropped_and_logged(stalled, monkeypatch, caplog):
    monkeypatch.setattr(passwords, "_places", threading.BoundedSemaphore(2))
    assert [passwords.send_beside(f"{number}@u.edu") for number in range(3)] == [True, True, False]
    assert "could not" not in caplog.text
    assert "was not sent" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_link_is_sent_beside_the_request(cast):
    assert passwords.send_beside("ada@u.edu")
    passwords._sender.submit(int).result(20)
    assert [message.to for message in mail.outbox] == [["ada@u.edu"]]
    assert AuditEvent.objects.filter(action="user.password_link_made").exists()


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
        ("123456789012", "a row"),
        ("098765432109", "a row"),
        ("abcdefghijkl", "a row"),
        ("qwertzuiop123", "a row"),
        ("1qaz2wsx3edc4rfv", "a row"),
        ("aaaaaaaaaaaa", "again and again"),
        ("abcabcabcabc", "again and again"),
        ("passwordpassword", "again and again"),
        ("Sunshine7Sunshine7Sun", "again and again"),
        ("111122223333", "a few characters"),
        ("abababababac", "a few characters"),
        ("Sunshine2025!", "a common one"),
        ("!!iloveyou!!99", "a common one"),
        ("p@ssw0rd-7731", "a common one"),
        ("Dragon-123456", "a common one"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(client, cast, password, said):
    client.force_login(cast.pi)
    sent = {"old_password": "open sesame", "new_password1": password, "new_password2": password}
    page = client.post(reverse("password_change"), sent).content.decode()
    assert said in page
    assert client.login(username="ada", password="open sesame")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery 9",
        "tr0ub4dor&3-zyx",
        "Wm7-kp2-qx9-vb4",
        "mein Hund heißt Otto",
        "x9!" + "la" * 3 + "Kd72m",
    ],
)
def test_a_password_that_is_not_easily_guessed_is_taken(cast, password):
    validate_password(password, cast.pi)


def test_a_long_password_of_any_characters_is_taken_as_it_is(client, cast):
    client.force_login(cast.pi)
    password = " ünïcode and blanks 🙂 " + "x" * 100
    sent = {"old_password": "open sesame", "new_password1": password, "new_password2": password}
    assert client.post(reverse("password_change"), sent).status_code == 302
    assert client.login(username="ada", password=password)
    assert not client.login(username="ada", password=password.strip())


@pytest.mark.parametrize("password", ["ab" * 150_000, "1" * 300_000 + "a1", "ab" * 149_999 + "x"])
def test_a_password_longer_than_any_is_refused_at_once(client, cast, password):
    begun = time.process_time()
    with pytest.raises(ValidationError, match="too long"):
        validate_password(password, cast.pi)
    assert client.post(reverse("login"), {"username": "ada", "password": password}).status_code == 200
    client.force_login(cast.pi)
    sent = {"old_password": "open sesame", "new_password1": password, "new_password2": password}
    page = client.post(reverse("password_change"), sent)
    assert page.status_code == 200
    assert "No password has more than 1,000 characters." in page.content.decode()
    assert time.process_time() - begun < 5


def test_a_password_longer_than_any_is_not_hashed(client, cast, monkeypatch):
    asked = Mock(return_value=None)
    monkeypatch.setattr("django.contrib.auth.forms.authenticate", asked)
    page = client.post(reverse("login"), {"username": "ada", "password": "x" * 1_001})
    assert "No password has more than 1,000 characters." in page.content.decode()
    assert not asked.called


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


def off_and_on_by_the_admin_page(cast, user):
    admin = Client()
    admin.force_login(cast.admin)
    for is_active in ({}, {"is_active": "on"}):
        groups = list(user.groups.values_list("pk", flat=True))
        sent = {"username": user.username, "email": user.email, "groups": groups, **is_active}
        assert admin.post(reverse("admin:billing_user_change", args=[user.pk]), sent).status_code == 302


def off_and_on_by_saving(cast, user):
    for is_active in (False, True):
        found = User.objects.get(pk=user.pk)
        found.is_active = is_active
        found.save()


def off_and_on_in_two_processes(cast, user):
    """What one of them read before, and saves as a whole, does not take back what the other did."""
    stale = User.objects.get(pk=user.pk)
    User.objects.filter(pk=user.pk).update(is_active=False)
    stale.first_name = "Augusta"
    stale.save()


def off_by_update_and_on_by_recovery(cast, user):
    User.objects.filter(pk=user.pk).update(is_active=False)
    recovery.recover_admin(username=user.username, actor=build.SOMEBODY, now=build.NOW)


def another_role_by_the_admin_page(cast, user):
    admin = Client()
    admin.force_login(cast.admin)
    groups = [Group.objects.get(name="viewer").pk]
    sent = {"username": user.username, "email": user.email, "groups": groups, "is_active": "on"}
    assert admin.post(reverse("admin:billing_user_change", args=[user.pk]), sent).status_code == 302


def a_role_more(cast, user):
    user.groups.add(Group.objects.get(name="viewer"))


def a_role_less(cast, user):
    user.groups.clear()


def a_role_from_its_other_end(cast, user):
    Group.objects.get(name="viewer").user_set.add(user)


def a_role_that_loses_everybody(cast, user):
    Group.objects.get(name="pi").user_set.clear()


def every_right(cast, user):
    User.objects.filter(pk=user.pk).update(is_superuser=True)


def a_password_by_the_command(cast, user):
    found = User.objects.get(pk=user.pk)
    found.set_password(GOOD)
    found.save()


@pytest.mark.parametrize(
    "change",
    [
        *(off_and_on_by_the_admin_page, off_and_on_by_saving, off_and_on_in_two_processes),
        *(off_by_update_and_on_by_recovery, another_role_by_the_admin_page, a_role_more, a_role_less),
        *(a_role_from_its_other_end, a_role_that_loses_everybody, every_right, a_password_by_the_command),
    ],
)
def test_a_session_from_before_never_comes_back(client, cast, change):
    attempt(client, password="open sesame")
    assert is_in(client)
    change(cast, User.objects.get(username="ada"))
    User.objects.filter(username="ada").exclude(is_active=True).update(is_active=True)
    assert not is_in(client)
    # By the door it comes in again.
    client.force_login(User.objects.get(username="ada"))
    assert is_in(client)


def test_a_session_by_single_sign_on_ends_with_its_account_too(client, cast, settings):
    settings.REMOTE_USER_HEADER = "X-Remote-User"
    assert client.get("/statements/", HTTP_X_REMOTE_USER="ada").status_code == 200
    kept = client.session.session_key
    off_and_on_by_saving(cast, cast.pi)
    assert client.get("/statements/", HTTP_X_REMOTE_USER="ada").status_code == 200
    # The proxy names her still: that is another session.
    assert client.session.session_key != kept


def test_what_is_no_right_leaves_a_session_as_it_is(client, cast):
    client.force_login(cast.pi)
    found = User.objects.get(username="ada")
    found.first_name = "Augusta"
    found.save()
    found.groups.set(found.groups.all())
    User.objects.filter(username="ada").update(last_name="King")
    assert is_in(client)


def test_a_link_from_before_an_account_was_switched_off_sets_no_password(client, cast):
    link = passwords.make_link(user=cast.pi, actor=build.SOMEBODY, now=timezone.now())
    off_and_on_by_saving(cast, cast.pi)
    assert "no longer works" in client.get(link, follow=True).content.decode()
    again = passwords.make_link(user=User.objects.get(pk=cast.pi.pk), actor=build.SOMEBODY, now=timezone.now())
    assert "no longer works" not in client.get(again, follow=True).content.decode()


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
