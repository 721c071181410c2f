"""Tokens: shown once and hashed, found in constant time, refused when they ended, and counted without a race."""

import dataclasses
import datetime
import hashlib
import re

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import api_tokens
from billing.api_tokens import Scope
from billing.audit import Actor
from billing.models import ApiToken, AuditEvent, User
from tests import build
from tests.build import NOW

pytestmark = pytest.mark.django_db

TODAY = NOW.date()
DAY = datetime.timedelta(days=1)


@pytest.fixture
def secret(cast):
    """The secret of a token of Ada's."""
    return build.a_token(cast.pi)


def said_of(authorization, now=NOW):
    with pytest.raises(api_tokens.TokenRefused) as refused:
        api_tokens.token_of(authorization, now=now)
    return str(refused.value)


def test_a_token_is_kept_as_its_hash_alone(cast, secret):
    assert re.fullmatch(r"ocb_[0-9a-f]{8}_[\w-]{43}", secret)
    token = ApiToken.objects.get()
    assert token.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
    assert token.prefix == secret[:12]
    # Nor does anything else of the database hold what follows the prefix.
    assert secret[12:] not in str(list(ApiToken.objects.values()))
    assert secret[12:] not in str(list(AuditEvent.objects.values()))


def test_a_token_is_found_by_its_secret_and_by_nothing_like_it(cast, secret):
    assert api_tokens.token_of(f"Bearer {secret}", now=NOW).owner == cast.pi
    assert api_tokens.token_of(f"bearer  {secret}", now=NOW).owner == cast.pi
    other = "A" if secret[-1] != "A" else "B"
    for wrong in (secret[:-1] + other, secret[:-1], secret + "A", secret.upper(), secret[:12], "ocb_", "é", ""):
        assert said_of(f"Bearer {wrong}") == "There is no such token."
    for scheme in ("", secret, f"Basic {secret}", f"Token {secret}"):
        assert said_of(scheme) == "Send a token: Authorization: Bearer ocb_…"


def test_secrets_are_compared_in_constant_time(secret, monkeypatch):
    """Whether there is such a prefix or not, two hashes are compared, by the function that takes as long for all."""
    compared = []

    def comparing(one, other):
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(api_tokens, "constant_time_compare", comparing)
    api_tokens.token_of(f"Bearer {secret}", now=NOW)
    said_of(f"Bearer ocb_00000000_{'A' * 43}")
    said_of("Bearer nonsense")
    assert len(compared) == 3
    assert all(len(one) == len(other) == 64 for one, other in compared)


def test_a_token_that_ended_is_refused_with_the_reason(cast, secret):
    token = ApiToken.objects.get()
    last = datetime.datetime.combine(token.valid_until, datetime.time(23, 59), datetime.UTC)
    assert api_tokens.token_of(f"Bearer {secret}", now=last) == token
    assert said_of(f"Bearer {secret}", last + DAY).startswith("This token expired")
    User.objects.filter(pk=cast.pi.pk).update(is_active=False)
    assert said_of(f"Bearer {secret}") == "The account that this token belongs to is switched off."
    User.objects.filter(pk=cast.pi.pk).update(is_active=True)
    api_tokens.revoke(token=token, actor=build.SOMEBODY, now=NOW)
    assert said_of(f"Bearer {secret}") == "This token was revoked."
    # Of a token that is not right, nobody learns that it was once.
    assert said_of(f"Bearer {secret[:-1]}") == "There is no such token."


def test_a_service_token_works_as_long_as_its_maker_may_make_such(cast):
    secret = build.a_service_token(cast.admin, Scope(everything=True))
    assert api_tokens.token_of(f"Bearer {secret}", now=NOW).sees_everything
    cast.admin.groups.set([Group.objects.get(name="finance")])
    assert "may no longer make such tokens" in said_of(f"Bearer {secret}")


def test_making_and_revoking_is_in_the_audit_log_and_using_is_not(cast, secret):
    token = ApiToken.objects.get()
    api_tokens.token_of(f"Bearer {secret}", now=NOW)
    api_tokens.revoke(token=token, actor=Actor.from_user(cast.admin), now=NOW)
    with pytest.raises(api_tokens.AlreadyRevoked):
        api_tokens.revoke(token=token, actor=Actor.from_user(cast.admin), now=NOW)
    made, revoked = AuditEvent.objects.filter(action__startswith="api_token.").order_by("pk")
    assert (made.action, made.actor_name, made.object_label) == ("api_token.made", "ada", str(token))
    assert made.after == {"kind": "portal", "owner": "ada", "valid_until": token.valid_until.isoformat()}
    assert (revoked.action, revoked.actor_name, revoked.after) == ("api_token.revoked", "root", {"owner": "ada"})
    token.refresh_from_db()
    assert (token.revoked_by_name, token.last_used_at) == ("root", NOW)


@pytest.mark.parametrize("days", [-1, 367])
def test_a_token_lasts_a_year_at_most(cast, days):
    with pytest.raises(api_tokens.NoSuchLife):
        build.a_token(cast.pi, days=days)
    assert not ApiToken.objects.exists()


def test_a_name_is_of_one_token_until_it_is_revoked(cast, secret):
    with pytest.raises(api_tokens.NameTaken):
        build.a_token(cast.pi)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiToken.objects.create(
            owner=cast.pi, name="notebook", prefix="ocb_0", kind="portal", created_at=NOW, valid_until=TODAY
        )
    build.a_token(cast.stranger)
    api_tokens.revoke(token=ApiToken.objects.get(owner=cast.pi), actor=build.SOMEBODY, now=NOW)
    build.a_token(cast.pi)


def test_a_person_has_so_many_tokens_that_work(cast):
    for number in range(api_tokens.MOST):
        build.a_token(cast.pi, name=f"token {number}")
    with pytest.raises(api_tokens.TooManyTokens):
        build.a_token(cast.pi, name="one more")
    ApiToken.objects.filter(name="token 0").update(valid_until=TODAY - DAY)
    build.a_token(cast.pi, name="one more")


def test_a_service_token_sees_everything_or_a_part_never_both_or_neither(cast):
    ada = build.a_pi("ada@u.edu")
    for scope in (Scope(), Scope(everything=True, people=[ada])):
        with pytest.raises(api_tokens.NoScope):
            build.a_service_token(cast.admin, scope)


def test_a_portal_token_cannot_see_everything(secret):
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiToken.objects.update(sees_everything=True)


# Throttling -----------------------------------------------------------------------------------------------------------


def test_a_token_asks_so_often_a_minute_and_is_told_when_again(settings, secret):
    settings.API_REQUESTS_PER_MINUTE = 3
    seconds = datetime.timedelta(seconds=1)
    for each in range(3):
        api_tokens.token_of(f"Bearer {secret}", now=NOW + each * 10 * seconds)
    with pytest.raises(api_tokens.TooManyRequests) as refused:
        api_tokens.token_of(f"Bearer {secret}", now=NOW + 40 * seconds)
    assert refused.value.seconds == 20
    token = ApiToken.objects.get()
    assert (token.window_requests, token.last_used_at) == (3, NOW + 20 * seconds)
    api_tokens.token_of(f"Bearer {secret}", now=NOW + 60 * seconds)
    assert ApiToken.objects.get().window_requests == 1


def test_each_token_is_counted_by_itself(settings, cast, secret):
    settings.API_REQUESTS_PER_MINUTE = 1
    other = build.a_token(cast.pi, name="other")
    for each in (secret, other):
        api_tokens.token_of(f"Bearer {each}", now=NOW)
        with pytest.raises(api_tokens.TooManyRequests):
            api_tokens.token_of(f"Bearer {each}", now=NOW)


def test_a_request_costs_two_queries(secret):
    with CaptureQueriesContext(connection) as captured:
        api_tokens.token_of(f"Bearer {secret}", now=NOW)
    assert [each["sql"].split()[0] for each in captured] == ["SELECT", "UPDATE"]


# Pages ----------------------------------------------------------------------------------------------------------------


def test_a_pi_makes_a_token_sees_it_once_uses_it_and_revokes_it(client, cast):
    client.force_login(cast.pi)
    assert "You have no token that works." in client.get(reverse("api:tokens")).content.decode()
    page = client.post(reverse("api:token_make"), {"name": "notebook", "days": "30"}).content.decode()
    (secret,) = set(re.findall(r">(ocb_[\w-]+)</textarea>", page))
    assert client.get("/api/v1/", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    listed = client.get(reverse("api:tokens")).content.decode()
    assert secret[:12] in listed
    assert secret[12:] not in listed
    token = ApiToken.objects.get()
    address = reverse("api:token_revoke", args=[token.pk])
    # It is asked about first.
    assert "cannot be undone" in client.get(address).content.decode()
    assert ApiToken.objects.get().revoked_at is None
    answer = client.post(address, follow=True).content.decode()
    assert "was revoked" in answer
    assert "No longer valid" in answer
    assert client.get("/api/v1/", headers={"authorization": f"Bearer {secret}"}).status_code == 401
    assert "was revoked before" in client.get(address, follow=True).content.decode()


def test_a_form_that_is_sent_again_makes_no_second_token(client, cast):
    client.force_login(cast.pi)
    sent = {"name": "notebook", "days": "30"}
    client.post(reverse("api:token_make"), sent)
    again = client.post(reverse("api:token_make"), sent).content.decode()
    assert "You have a token with this name." in again
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize("sent", [{}, {"name": "x", "days": "1000"}, {"name": " ", "days": "30"}, {"name": "x" * 61}])
def test_a_form_that_is_wrong_makes_nothing(client, cast, sent):
    client.force_login(cast.pi)
    assert client.post(reverse("api:token_make"), sent).status_code == 200
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("who", ["delegate", "stranger", "viewer", "reviewer", "finance", "admin"])
def test_a_token_of_somebody_else_is_not_found_in_the_portal(client, cast, secret, who):
    client.force_login(getattr(cast, who))
    address = reverse("api:token_revoke", args=[ApiToken.objects.get().pk])
    assert client.get(address).status_code == client.post(address).status_code == 404
    assert secret[:12] not in client.get(reverse("api:tokens")).content.decode()
    assert ApiToken.objects.get().revoked_at is None


def test_an_admin_makes_a_service_token_and_revokes_any(client, cast, secret):
    client.force_login(cast.admin)
    today = datetime.date.today()  # noqa: DTZ011 (as the page has it)
    project = build.a_project("genomics")
    add = reverse("admin:billing_apitoken_add")
    sent = {"name": "ColdFront", "valid_until": today.isoformat(), "projects": [project.pk]}
    page = client.post(add, sent).content.decode()
    (shown,) = set(re.findall(r">(ocb_[\w-]+)</textarea>", page))
    made = ApiToken.objects.get(kind="service")
    assert (made.owner, list(made.projects.all()), made.sees_everything) == (cast.admin, [project], False)
    event = AuditEvent.objects.get(action="api_token.made", object_id=str(made.pk))
    assert event.after["projects"] == ["genomics"]
    shown_later = client.get(reverse("admin:billing_apitoken_change", args=[made.pk])).content.decode()
    assert "genomics" in shown_later
    assert shown[12:] not in shown_later
    listed = client.get(reverse("admin:billing_apitoken_changelist")).content.decode()
    assert made.prefix in listed
    assert secret[:12] in listed
    hers = ApiToken.objects.get(kind="portal")
    revoke = reverse("admin:billing_apitoken_revoke", args=[hers.pk])
    assert "cannot be undone" in client.get(revoke).content.decode()
    client.post(revoke)
    hers.refresh_from_db()
    assert hers.revoked_by_name == "root"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"projects": []}, "Choose either all statements"),
        ({"sees_everything": "on"}, "Choose either all statements"),
        ({"valid_until": "2020-01-01"}, "Choose a last day from today on"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_a_service_token_that_is_wrong_is_not_made(client, cast, changed, said):
    client.force_login(cast.admin)
    today = datetime.date.today()  # noqa: DTZ011 (as the page has it)
    sent = {"name": "ColdFront", "valid_until": today.isoformat(), "projects": [build.a_project().pk]} | changed
    assert said in client.post(reverse("admin:billing_apitoken_add"), sent).content.decode()
    assert not ApiToken.objects.exists()


def test_a_scope_that_is_chosen_is_told_in_full():
    """What a service token can be given is what the audit log tells of it."""
    assert {each.name for each in dataclasses.fields(Scope)} == {"everything", "people", "projects", "departments"}
