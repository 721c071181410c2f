"""Delegates as a PI names and removes them herself: with a scope, audited, and gone at once."""

import datetime

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.audit import Actor
from billing.models import AuditEvent, Membership, Person, Project, User
from billing.models.scopes import scope_of
from billing.setup import delegates
from statements import issuing
from statements.emails import addressing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

DELEGATES = "/delegates/"
TODAY = timezone.localdate


@pytest.fixture
def house(cast):
    """Ada has statements of two projects and no delegate yet; Joanna has an account."""
    build.a_charge("40.00", pi="ada@u.edu", project="genomics")
    build.a_charge("12.00", pi="ada@u.edu", project="proteins")
    build.a_charge("66.00", pi="mallory@u.edu", project="mischief")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    Membership.objects.all().delete()
    cast.joanna = build.a_user("joanna", "delegate")
    return cast


def ada():
    return Person.objects.get(email="ada@u.edu")


def name(client, who="joanna@u.edu", **more):
    return client.post(DELEGATES, {"who": who, "may": "see", **more})


def seen(user):
    return list(
        Statement.objects.visible_to(user, on=TODAY()).order_by("number").values_list("project__code", flat=True)
    )


def test_a_pi_names_a_delegate_who_sees_everything_of_hers(client, house):
    client.force_login(house.pi)
    page = client.get(DELEGATES).content.decode()
    assert "Nobody but you sees your statements here." in page
    answer = name(client, may="act", copies="on")
    assert (answer.status_code, answer.url) == (302, DELEGATES)
    held = Membership.objects.get()
    assert (held.person, held.user, held.project, held.valid_from) == (ada(), house.joanna, None, TODAY())
    assert (held.may_act, held.receives_statements) == (True, True)
    assert seen(house.joanna) == ["genomics", "proteins"]
    page = client.get(DELEGATES).content.decode()
    assert "joanna@u.edu" in page
    assert "See, ask and propose" in page
    event = AuditEvent.objects.get(action="membership.added")
    assert (event.actor, event.via) == (house.pi, "web")
    assert (event.after["delegate"], event.after["pi"], event.after["may_act"]) == ("joanna", "ada@u.edu", True)
    # Joanna reads for whom she acts, and names nobody.
    client.force_login(house.joanna)
    page = client.get(DELEGATES).content.decode()
    assert "For whom you act" in page
    assert "Ada Lovelace" in page
    assert "Name a delegate" not in page
    assert name(client, "grace@u.edu").status_code == 404
    assert client.get(reverse("portal:home")).context["home"].due[0].charged == 52


def test_a_delegate_of_one_project_sees_that_project(client, house):
    client.force_login(house.pi)
    name(client, "joanna", project=Project.objects.get(code="proteins").pk)
    assert seen(house.joanna) == ["proteins"]
    scope = scope_of(house.joanna, on=TODAY())
    project = Project.objects.get(code="proteins").pk
    assert not scope.may_act(ada().pk, project)
    # A project of somebody else cannot be given away.
    answer = name(client, "grace@u.edu", project=Project.objects.get(code="mischief").pk)
    assert answer.status_code == 200
    assert Membership.objects.count() == 1


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("nobody@u.edu", "“nobody@u.edu” has no account here yet. Ask the billing office to make one"),
        ("nobody", "has no account here yet"),
        ("ada@u.edu", "is your own account"),
        ("off@u.edu", "is switched off"),
        ("", "This field is required."),
        ("grace", "is a delegate for all your projects already"),
    ],
)
def test_who_cannot_be_named_is_said(client, house, who, said):
    build.a_user("off")
    User.objects.filter(username="off").update(is_active=False)
    delegates.name_delegate(pi=ada(), who="grace@u.edu", actor=SOMEBODY, now=timezone.now())
    client.force_login(house.pi)
    answer = name(client, who)
    assert answer.status_code == 200
    assert said in " ".join(answer.content.decode().replace("&quot;", "“").split())
    assert Membership.objects.count() == 1


def test_a_user_name_that_is_another_s_address_is_not_guessed(house):
    User.objects.create_user("joanna@u.edu", "other@u.edu", "open sesame")
    with pytest.raises(delegates.NotNamed, match="Write the other"):
        delegates.name_delegate(pi=ada(), who="joanna@u.edu", actor=SOMEBODY, now=timezone.now())


def test_removing_asks_first_and_then_shows_nothing_at_once_in_a_session_that_is_open(client, house):
    earlier = timezone.now() - datetime.timedelta(days=30)
    held = delegates.name_delegate(
        pi=ada(), who="joanna", receives_statements=True, actor=Actor.from_user(house.pi), now=earlier
    )
    number = Statement.objects.get(project__code="genomics").number
    hers, joannas = client, type(client)()
    joannas.force_login(house.joanna)
    address = reverse("portal:statement", args=[number])
    assert joannas.get(address).status_code == 200
    hers.force_login(house.pi)
    asked = hers.get(f"{DELEGATES}{held.pk}/remove/")
    assert "After this they see nothing of it, at once" in asked.content.decode()
    assert joannas.get(address).status_code == 200
    assert hers.post(f"{DELEGATES}{held.pk}/remove/").url == DELEGATES
    assert joannas.get(address).status_code == 404
    assert "52.00" not in joannas.get(reverse("portal:home")).content.decode()
    assert addressing.delegates_of([ada()], TODAY()) == {}
    held.refresh_from_db()
    assert held.valid_until == TODAY() - datetime.timedelta(days=1)
    event = AuditEvent.objects.get(action="membership.removed")
    assert (event.actor, event.before["delegate"], event.before["receives_statements"]) == (house.pi, "joanna", True)
    # Twice is once, and the page of one who is gone is not there.
    assert hers.post(f"{DELEGATES}{held.pk}/remove/").status_code == 404
    delegates.remove_delegate(membership=held, actor=SOMEBODY, now=timezone.now())
    assert AuditEvent.objects.filter(action="membership.removed").count() == 1


def test_one_named_and_removed_on_one_day_sees_nothing(client, house):
    client.force_login(house.pi)
    name(client)
    held = Membership.objects.get()
    client.post(f"{DELEGATES}{held.pk}/remove/")
    assert seen(house.joanna) == []
    assert not Membership.objects.exists()
    assert AuditEvent.objects.get(action="membership.removed").before["delegate"] == "joanna"
    # She can be named again.
    assert name(client).status_code == 302
    assert seen(house.joanna) == ["genomics", "proteins"]


def test_what_a_delegate_may_do_is_changed_and_told_once(client, house):
    client.force_login(house.pi)
    name(client)
    held = Membership.objects.get()
    address = f"{DELEGATES}{held.pk}/"
    assert 'value="see" selected' in client.get(address).content.decode()
    assert client.post(address, {"may": "act", "copies": "on"}).url == DELEGATES
    held.refresh_from_db()
    assert (held.may_act, held.receives_statements) == (True, True)
    client.post(address, {"may": "act", "copies": "on"})
    event = AuditEvent.objects.get(action="membership.changed")
    assert (event.before, event.after) == (
        {"may_act": False, "receives_statements": False},
        {"may_act": True, "receives_statements": True},
    )
    assert scope_of(house.joanna, on=TODAY()).may_act(ada().pk, None)


@pytest.mark.parametrize("who", ["stranger", "joanna", "viewer", "admin"])
def test_nobody_else_changes_or_removes_a_delegate(client, house, who):
    held = delegates.name_delegate(pi=ada(), who="joanna", actor=SOMEBODY, now=timezone.now())
    client.force_login(getattr(house, who))
    for address in (f"{DELEGATES}{held.pk}/", f"{DELEGATES}{held.pk}/remove/"):
        assert client.get(address).status_code == 404
        assert client.post(address, {"may": "act"}).status_code == 404
    held.refresh_from_db()
    assert held.valid_until is None
    assert not held.may_act
    page = client.get(DELEGATES).content.decode()
    assert ("joanna@u.edu" in page) is False


def test_ten_pis_are_all_named_to_their_delegate(client, house):
    for number in range(10):
        pi = build.a_pi(f"pi{number}@u.edu", name=f"PI {number}")
        delegates.name_delegate(pi=pi, who="joanna", actor=SOMEBODY, now=timezone.now())
    client.force_login(house.joanna)
    page = client.get(DELEGATES).content.decode()
    assert all(f"<bdi>PI {number}</bdi>" in page for number in range(10))
