"""Whom the institution's sign-in names, and who is let in: by a proxy's header, whatever a client sends."""

import datetime
import io

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.handlers.wsgi import WSGIRequest
from django.urls import reverse
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import create

from billing.models import AuditEvent, Membership, Person, PersonAlias, User
from openchargeback import middleware, proxies, serving, sign_ins
from openchargeback.checks import sign_on_is_whole
from openchargeback.single_sign_on import Identity, Refused, user_of
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

NAME, EMAIL = "HTTP_X_REMOTE_USER", "HTTP_X_REMOTE_EMAIL"


def happened():
    """Return what happened after the cast's roles were written."""
    return AuditEvent.objects.exclude(action="role.synced").order_by("id")


@pytest.fixture(autouse=True)
def _header(settings):
    settings.REMOTE_USER_HEADER = "X-Remote-User"
    settings.REMOTE_USER_EMAIL_HEADER = "X-Remote-Email"
    settings.TRUSTED_PROXIES = ["10.0.0.1"]


def told(name="", email="", door="proxy"):
    return user_of(Identity(name=name, email=email, door=door), now=build.NOW)


def visit(client, name="", email="", address="10.0.0.1", url="/statements/", **more):
    sent = ({NAME: name} if name else {}) | ({EMAIL: email} if email else {})
    return client.get(url, REMOTE_ADDR=address, **sent, **more)


# -- who is who --


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("ada", ""),
        ("ada", "ada@u.edu"),
        ("", "ada@u.edu"),
        ("", " ADA@u.EDU "),
        ("Ada@U.edu", ""),
        ("aking", "ada@u.edu"),
    ],
)
def test_an_account_is_found_by_its_name_or_address(cast, name, email):
    User.objects.create_user("without an address")
    assert told(name, email) == cast.pi


def test_an_account_is_found_by_an_alias_of_its_pi(cast):
    PersonAlias.objects.create(person=cast.pi.person, email="countess@u.edu")
    assert told("lovelace", "Countess@u.edu") == cast.pi
    # Even where the account's own address is another: the alias says that both are hers.
    assert told("ada", "countess@u.edu") == cast.pi


def test_a_pi_without_an_account_gets_one_that_can_do_nothing_but_see_her_own(cast):
    hopper = build.a_pi("hopper@u.edu", name="Hopper")
    user = told("ghopper", "hopper@u.edu")
    hopper.refresh_from_db()
    assert hopper.user == user
    assert (user.username, user.email, user.is_staff, user.is_superuser) == ("ghopper", "hopper@u.edu", False, False)
    assert not user.has_usable_password()
    assert list(user.groups.values_list("name", flat=True)) == ["pi"]
    assert not user.get_all_permissions()
    assert told("ghopper", "hopper@u.edu") == user
    assert list(happened().values_list("action", flat=True)) == ["user.added", "person.changed"]


def test_a_pi_is_tied_to_the_account_that_has_her_address_already(cast):
    build.a_pi("rex@u.edu")
    assert told("", "rex@u.edu") == cast.reviewer
    assert Person.objects.get(email="rex@u.edu").user == cast.reviewer
    assert list(cast.reviewer.groups.values_list("name", flat=True)) == ["reviewer"]


def test_a_name_that_cannot_be_a_user_name_gives_way_to_the_address(cast):
    build.a_pi("hopper@u.edu")
    assert told("uid=grace hopper", "hopper@u.edu").username == "hopper@u.edu"


@pytest.mark.parametrize("role", ["viewer", "reviewer", "finance", "admin"])
def test_staff_come_in_with_the_role_an_admin_gave_them_and_no_other(cast, role):
    user = cast.staff[role]
    assert told(user.username, user.email) == user
    user.refresh_from_db()
    assert user.is_staff
    assert list(user.groups.values_list("name", flat=True)) == [role]


@pytest.mark.parametrize("name", ["", "root"])
def test_an_address_that_a_reviewer_wrote_to_a_pi_leads_to_no_account_of_staff(client, cast, name):
    mallory = Person.objects.get(user=cast.stranger)
    client.force_login(cast.reviewer)
    rows = {f"{each}-{form}_FORMS": 0 for each in ("aliases", "memberships") for form in ("TOTAL", "INITIAL")}
    client.post(
        reverse("admin:billing_person_change", args=[mallory.pk]),
        rows | {"email": "rex2@elsewhere.edu", "user": cast.admin.pk},
    )
    mallory.refresh_from_db()
    assert (mallory.email, mallory.user) == ("rex2@elsewhere.edu", cast.admin)
    with pytest.raises(Refused, match="has another address here"):
        told(name, "rex2@elsewhere.edu")
    assert told("root", "root@u.edu") == cast.admin


def test_a_superuser_never_comes_in_by_single_sign_on(cast):
    User.objects.create_superuser("boss", "boss@u.edu", "open sesame")
    with pytest.raises(Refused, match="signs in with its password"):
        told("boss", "boss@u.edu")


@pytest.mark.parametrize(
    ("name", "email", "said"),
    [
        ("nobody", "nobody@u.edu", "Nobody here is known as nobody"),
        ("ada", "mallory@u.edu", "More than one account"),
        ("ada", "else@u.edu", "has another address here"),
        ("rex", "else@elsewhere.edu", "has another address here"),
        ("ada,root", "", "a name that is none"),
        ("ada\nroot", "", "a name that is none"),
        ("ada", "not an address", "no e-mail address"),
        ("a" * 300, "", "a name that is none"),
    ],
)
def test_who_is_unknown_ambiguous_or_odd_is_refused(cast, name, email, said):
    before = User.objects.count()
    with pytest.raises(Refused, match=said):
        told(name, email)
    assert User.objects.count() == before


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("evil", "evil@x.edu <fin@u.edu>"),
        ("evil <fin@u.edu>", ""),
        ("evil", "mailto:fin@u.edu?cc=x"),
        ("", "<fin@u.edu>"),
        ("", "fin@u.edu;"),
        ("", "fin@u.edu."),
        ("", "fin @u.edu"),
        ("", "fin@u.\N{FULLWIDTH LATIN SMALL LETTER E}du"),
        ("", "fin@u\N{IDEOGRAPHIC FULL STOP}edu"),
        ("fin\N{ZERO WIDTH SPACE}@u.edu", ""),
        # They fold into a k.
        ("", "\N{KELVIN SIGN}im@u.edu"),
        ("\N{KELVIN SIGN}im@u.edu", ""),
        ("\N{KELVIN SIGN}im", ""),
    ],
)
def test_nobody_is_taken_for_whose_address_stands_in_what_they_call_themselves(cast, name, email):
    User.objects.create_user("kim", "kim@u.edu")
    User.objects.create_user("fin", "fin@u.edu", is_staff=True)
    before = User.objects.count()
    with pytest.raises(Refused):
        told(name, email)
    assert User.objects.count() == before


@pytest.mark.parametrize(("name", "email"), [("", "ada+x@u.edu"), ("ada+x@u.edu", "")])
def test_an_address_with_a_plus_sign_is_nobody_elses(cast, name, email):
    build.a_pi("hopper@u.edu")
    with pytest.raises(Refused, match="Nobody here is known"):
        told(name, email)
    with pytest.raises(Refused, match="Nobody here is known"):
        told(name and "hopper+x@u.edu", email and "hopper+x@u.edu")
    PersonAlias.objects.create(person=cast.pi.person, email="ada+x@u.edu")
    assert told(name, email) == cast.pi


def test_a_domain_is_the_same_in_either_form(cast):
    build.a_pi("edith@universität.example")
    user = told("", "Edith@xn--universitt-y5a.example")
    assert told("", "edith@Universität.example") == user


def test_names_that_differ_in_case_alone_are_ambiguous_unless_one_is_exact(cast):
    User.objects.create_user("ADA", "other@u.edu")
    assert told("ada") == cast.pi
    with pytest.raises(Refused, match="More than one"):
        told("Ada")


def test_who_is_switched_off_or_has_left_stays_out(cast):
    User.objects.filter(pk=cast.pi.pk).update(is_active=False)
    with pytest.raises(Refused, match="switched off"):
        told("ada")
    gone = build.a_pi("gone@u.edu", active_until=build.NOW.date() - datetime.timedelta(days=1))
    with pytest.raises(Refused, match="was a PI here until"):
        told("", "gone@u.edu")
    assert Person.objects.get(pk=gone.pk).user is None
    Person.objects.update(active_until=build.NOW.date())
    assert told("", "gone@u.edu")


def test_who_left_as_a_pi_and_is_a_delegate_still_comes_in(cast):
    Person.objects.filter(user=cast.stranger).update(active_until="2024-12-31")
    with pytest.raises(Refused):
        told("mallory")
    Membership.objects.create(
        person=cast.pi.person, user=cast.stranger, valid_from="2025-01-01", valid_until="2025-02-03"
    )
    assert told("mallory") == cast.stranger
    Membership.objects.update(valid_until="2025-02-02")
    with pytest.raises(Refused):
        told("mallory")


# -- the header --


def test_whom_the_proxy_names_is_signed_in_and_it_is_in_the_audit_log(client, cast):
    assert visit(client, "ada").status_code == 200
    event = AuditEvent.objects.get(action="session.signed_in")
    assert (event.actor, event.after["door"]) == (cast.pi, "proxy")


@pytest.mark.parametrize("address", ["10.0.0.2", "", "127.0.0.1", "::1", "nonsense"])
def test_the_header_of_anybody_else_is_thrown_away(client, cast, address):
    response = visit(client, "root", "root@u.edu", address=address)
    assert response.status_code == 302
    assert response.url.startswith(reverse("login"))
    assert not happened().exists()


def test_without_the_setting_no_header_signs_in(client, cast, settings):
    settings.REMOTE_USER_HEADER = ""
    assert visit(client, "ada").status_code == 302


def environment(raw: bytes) -> dict:
    """Return what gunicorn makes of a request as it arrives."""
    config = Config()
    config.set("bind", "unix:/nowhere")
    request = Request(config, IterUnreader(iter([raw])), ("10.0.0.1", 1))
    return create(request, io.BytesIO(), ("10.0.0.1", 1), ("127.0.0.1", 80), config)[1]


@pytest.mark.parametrize("spelled", [b"X_Remote_User", b"x_remote-user", b"X-Remote_User", b"x-rEmOtE-uSeR"])
def test_no_spelling_of_the_header_gets_past(client, cast, spelled):
    environ = environment(b"GET /statements/ HTTP/1.1\r\nHost: localhost\r\n" + spelled + b": root\r\n\r\n")
    sent = {name: value for name, value in environ.items() if name.startswith("HTTP_") and name != "HTTP_HOST"}
    assert client.get("/statements/", REMOTE_ADDR="10.9.9.9", **sent).status_code == 302
    # The proxy's own header next to a client's under another spelling: one name, and not two made into one.
    both = environment(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: ada\r\n" + spelled.replace(b"-", b"_") + b": root\r\n\r\n"
    )
    assert both[NAME] in ("ada", "ada,root")


def test_a_header_that_was_added_to_instead_of_replaced_is_refused(client, cast):
    both = environment(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: root\r\nX-Remote-User: ada\r\n\r\n")
    response = visit(client, both[NAME])
    assert response.status_code == 403
    assert "a name that is none" in response.content.decode()


def test_the_session_ends_when_the_header_is_gone_and_changes_with_it(client, cast):
    assert visit(client, "ada").context["user"] == cast.pi
    assert visit(client, "mallory").context["user"] == cast.stranger
    assert visit(client).status_code == 302
    # The cookie is worth nothing by itself, nor from elsewhere.
    visit(client, "ada")
    assert visit(client, "ada", address="10.0.0.2").status_code == 302


def test_a_session_begun_with_a_password_stays_what_it_is(client, cast):
    client.force_login(cast.finance)
    assert visit(client, "ada").context["user"] == cast.finance
    assert visit(client).context["user"] == cast.finance


def test_signing_out_stays_signed_out_until_going_on(client, cast):
    visit(client, "ada")
    page = client.post(reverse("logout"), REMOTE_ADDR="10.0.0.1", **{NAME: "ada"}, follow=True)
    assert not page.context["user"].is_authenticated
    assert "Go on as ada" in page.content.decode()


def test_a_refusal_is_a_page_and_is_written_down_once(client, cast, settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "refusals"}}
    for _ in range(3):
        response = visit(client, "eve", "eve@u.edu")
        assert response.status_code == 403
        assert "Nobody here is known as eve" in response.content.decode()
    assert AuditEvent.objects.filter(action="session.refused", actor_name="eve").count() == 1


def test_refusals_without_an_identity_are_written_down_for_each_address(rf, settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "nobodies"}}
    nobody = Identity(name="", email="", door="oidc")
    for address in ("192.0.2.7", "192.0.2.7", "192.0.2.8"):
        asked = rf.get("/", REMOTE_ADDR=address)
        asked.user = AnonymousUser()
        assert sign_ins.refused(asked, nobody, Refused("No answer was asked for.")).status_code == 403
    events = AuditEvent.objects.filter(action="session.refused").order_by("pk")
    assert [event.after["address"] for event in events] == ["192.0.2.7", "192.0.2.8"]


def test_somebody_switched_off_is_out_at_once(client, cast):
    visit(client, "ada")
    User.objects.filter(pk=cast.pi.pk).update(is_active=False)
    assert visit(client, "ada").status_code == 403


# -- proxies --


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        # What a client claims stands further left.
        ("10.0.0.1", "127.0.0.1, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.9", "192.0.2.7"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("192.0.2.1", "192.0.2.7", "192.0.2.1"),
        ("", "192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:192.0.2.1", "192.0.2.7", "192.0.2.1"),
        ("fe80::1%eth0", "192.0.2.7", "fe80::1"),
        # With the port of the client, as Azure's and Amazon's gateways write it.
        ("10.0.0.1", "192.0.2.7:51234", "192.0.2.7"),
        ("10.0.0.1", "127.0.0.1, 192.0.2.7:51234, 10.0.0.9:80", "192.0.2.7"),
        ("10.0.0.1", "[2001:db8::7]:123", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", '"[2001:db8::7]:123"', "2001:db8::7"),
        ("10.0.0.1", '"192.0.2.7:80"', "192.0.2.7"),
        # One address, one way to write it: limits count by it.
        ("10.0.0.1", "2001:DB8:0::0007", "2001:db8::7"),
        ("10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        # What stands left of rubbish is a claim as well.
        ("10.0.0.1", "192.0.2.7, unknown, 10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "192.0.2.7, 192.0.2.8:port", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7:1:2", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7:999999", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::7", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::7]x", "10.0.0.1"),
        ("10.0.0.1", ",, ,", "10.0.0.1"),
        ("10.0.0.1", "x" * 5000, "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_hop_that_no_proxy_of_ours_is(peer, forwarded, client):
    assert proxies.client_of(peer, forwarded, ["10.0.0.0/24", "unix"]) == client


def test_where_and_how_a_request_came_is_taken_from_a_trusted_proxy_alone(client, cast):
    client.post(
        reverse("login"), {"username": "x", "password": "y"}, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.7"
    )
    client.post(
        reverse("login"), {"username": "x", "password": "y"}, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="192.0.2.7"
    )
    assert [event.after["address"] for event in happened()] == ["192.0.2.7", "192.0.2.1"]


def test_a_stranger_cannot_claim_to_come_by_https(client, settings, db):
    settings.SECURE_SSL_REDIRECT, settings.SECURE_PROXY_SSL_HEADER = True, ("HTTP_X_FORWARDED_PROTO", "https")
    url = reverse("login")
    assert client.get(url, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_PROTO="https").status_code == 200
    assert client.get(url, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_PROTO="https").status_code == 301


@pytest.mark.parametrize(
    ("headers", "is_https"),
    [
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "HTTPS"}, True),
        ({"X-Forwarded-Proto": "http"}, False),
        # A proxy that adds to what a client sent, instead of replacing it.
        ({"X-Forwarded-Proto": "https, http"}, False),
        ({"X-Forwarded-Proto": "https, https"}, True),
        ({"X-Forwarded-Ssl": "on"}, False),
        ({"X-Forwarded-Protocol": "ssl"}, False),
        ({"Forwarded": "for=192.0.2.7;proto=https;host=evil.example"}, False),
    ],
)
@pytest.mark.parametrize("peer", ["10.0.0.1", "127.0.0.1", "192.0.2.1", ""])
def test_only_the_scheme_header_of_a_trusted_proxy_makes_a_request_https(rf, settings, headers, is_https, peer):
    """As gunicorn builds it by its own defaults, which believe this machine and every socket."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    seen = as_gunicorn_builds_it(headers, peer)
    assert seen.is_secure() == (is_https and peer == "10.0.0.1")
    assert seen.get_host() == "testserver"


def test_a_server_that_ends_tls_itself_is_believed(settings, monkeypatch):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    monkeypatch.setattr(middleware, "_ends_tls", lambda request: True)
    assert as_gunicorn_builds_it({}, "192.0.2.1", scheme="https").is_secure()
    assert as_gunicorn_builds_it({"X-Forwarded-Proto": "http"}, "192.0.2.1", scheme="https").is_secure()


def as_gunicorn_builds_it(headers, peer, scheme=""):
    """Return the request as it comes through the first middleware, from a head that gunicorn reads."""
    lines = ["GET / HTTP/1.1", "Host: testserver", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, "", ""]).encode()
    config = Config()
    address = (peer, 4321) if peer else "/run/web.sock"
    read = Request(config, IterUnreader(iter([head])), address)
    read.scheme = scheme or read.scheme
    _, environ = create(read, io.BytesIO(), address, ("127.0.0.1", 8000), config)
    seen = []
    middleware.TrustedProxyMiddleware(seen.append)(WSGIRequest(environ))
    return seen[0]


def test_the_web_server_is_told_to_believe_nobody(settings):
    command = serving.commands(host="127.0.0.1", port=8000, web_workers=1)["web"]
    config = Config()
    for name, value in vars(config.parser().parse_args(command[3:])).items():
        if value is not None and name != "args":
            config.set(name, value)
    assert config.forwarded_allow_ips == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"TRUSTED_PROXIES": ["proxy.example.edu"]}, "E001"),
        ({"TRUSTED_PROXIES": []}, "E002"),
        ({"REMOTE_USER_HEADER": ""}, "E003"),
        ({"OIDC_ISSUER": "https://login.example.edu"}, "E004"),
        ({"OIDC_ISSUER": "http://login.example.edu", "OIDC_CLIENT_ID": "x", "DEBUG": False}, "E005"),
    ],
)
def test_single_sign_on_that_is_set_up_by_halves_is_refused_at_the_start(settings, changed, code):
    assert sign_on_is_whole(None) == []
    for name, value in changed.items():
        setattr(settings, name, value)
    assert [error.id for error in sign_on_is_whole(None)] == [f"openchargeback.{code}"]


def test_a_group_named_pi_that_holds_something_is_not_given_by_accident(cast):
    assert not Group.objects.get(name="pi").permissions.exists()
