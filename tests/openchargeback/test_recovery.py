"""Emergency access: an admin comes in again, and it is in the audit log."""

import io

import pytest
from django.contrib.auth.management.commands import changepassword
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from billing.models import AuditEvent, User
from openchargeback import recovery
from tests import build

pytestmark = pytest.mark.django_db

GOOD = "correct horse battery 9"


def happened():
    """Return what happened after the cast's roles were written."""
    return AuditEvent.objects.exclude(action="role.synced").order_by("id")


def recover(*arguments, **options):
    out = io.StringIO()
    call_command("recover_admin", *arguments, "--without-terminal", stdout=out, **options)
    return out.getvalue()


def come_in(link: str) -> Client:
    client = Client()
    form = client.get(link.removeprefix("http://localhost:8000"), follow=True)
    client.post(form.request["PATH_INFO"], {"new_password1": GOOD, "new_password2": GOOD})
    return client


def test_an_admin_who_was_locked_and_switched_off_comes_in_again(client, cast, settings):
    settings.AXES_ENABLED = True
    client.force_login(cast.admin)
    for _ in range(5):
        Client().post(reverse("login"), {"username": "root", "password": "wrong"})
    User.objects.filter(pk=cast.admin.pk).update(is_active=False, is_staff=False)
    cast.admin.groups.clear()
    said = recover("root")
    for change in ("switched on", "old password removed, all sessions ended", "role admin given", "unlocked"):
        assert change in said
    # Whoever was in with the old password is out.
    assert client.get(reverse("admin:index")).status_code == 302
    again = come_in(next(line for line in said.splitlines() if "/accounts/reset/" in line))
    response = again.post(reverse("login"), {"username": "root", "password": GOOD})
    assert response.url == reverse("home")
    assert again.get(reverse("admin:billing_user_changelist")).status_code == 200


def test_it_is_in_the_audit_log_with_the_shells_login(cast):
    recover("root")
    event = AuditEvent.objects.get(action="user.recovered")
    assert (event.via, event.object_id) == ("command", str(cast.admin.pk))
    assert event.actor_name.startswith("system (")
    assert AuditEvent.objects.filter(action="user.password_link_made", gesture=event.gesture).exists()
    assert "/accounts/reset/" not in str(list(AuditEvent.objects.values()))


def test_a_superuser_made_in_the_shell_is_in_the_audit_log(cast):
    call_command("createsuperuser", "--noinput", username="boss", email="boss@u.edu", stdout=io.StringIO())
    event = happened().get()
    assert (event.action, event.object_label, event.via) == ("user.added", "boss", "command")
    assert event.actor_name.startswith("system (")
    assert event.after == {"email": "boss@u.edu", "is_superuser": True}
    with pytest.raises(CommandError, match="already taken"):
        call_command("createsuperuser", "--noinput", username="boss", email="b@u.edu", stdout=io.StringIO())
    assert happened().count() == 1


def test_a_password_set_in_the_shell_is_in_the_audit_log_and_unlocks(cast, settings, monkeypatch):
    settings.AXES_ENABLED = True
    for _ in range(5):
        Client().post(reverse("login"), {"username": "root", "password": "wrong"})
    before = happened().count()
    monkeypatch.setattr(changepassword.Command, "_get_pass", lambda self, prompt="": GOOD)
    call_command("changepassword", "root", stdout=io.StringIO())
    event = happened()[before:].get()
    assert (event.action, event.object_label, event.via) == ("user.password_changed", "root", "command")
    assert GOOD not in str(list(AuditEvent.objects.values()))
    assert Client().post(reverse("login"), {"username": "root", "password": GOOD}).status_code == 302


def test_an_account_is_made_only_when_asked_for(cast):
    with pytest.raises(CommandError, match="There is no user “roof”. Did you mean root"):
        recover("roof")
    assert not User.objects.filter(username="roof").exists()
    recover("roof", "--create", "--email", "Roof@U.edu")
    made = User.objects.get(username="roof")
    assert (made.email, made.is_staff, made.is_superuser) == ("roof@u.edu", True, False)
    assert list(made.groups.values_list("name", flat=True)) == ["admin"]


def test_without_roles_it_says_what_to_run(db):
    with pytest.raises(recovery.CannotRecover, match="manage.py initialize"):
        recovery.recover_admin(username="root", actor=build.SOMEBODY, now=build.NOW)


def test_the_link_is_printed_at_a_terminal_only_unless_asked_otherwise(cast):
    with pytest.raises(CommandError, match="no terminal"):
        call_command("recover_admin", "root", stdout=io.StringIO())
    assert cast.admin.has_usable_password()
    assert not happened().exists()
