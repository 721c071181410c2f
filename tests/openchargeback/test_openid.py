"""OpenID Connect against a provider that answers over HTTP: who comes in, and every way an answer can be false."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse
from joserfc import jwk, jws

from billing.models import AuditEvent, User
from openchargeback import openid
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

CLIENT = "openchargeback"
SECRET = "a secret of thirty-two characters"


def encoded(data: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


class Provider:
    """An OpenID provider on loopback: discovery, keys, token and user info; each test bends what it says."""

    def __init__(self) -> None:
        # The client waits for an answer anyway: one key for all tests, of the shortest kind allowed.
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.curve = jwk.ECKey.generate_key("P-256", {"kid": "two", "use": "sig", "alg": "ES256"})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.forget()

    def forget(self) -> None:
        self.metadata: dict = {}
        self.claims: dict = {}
        self.userinfo: dict | None = None
        self.alg = "RS256"
        self.sign_with = None
        self.header: dict = {}
        self.asked: list[str] = []
        self.code = "a-code"
        self.challenge = self.nonce = ""
        self.has_id_token = True

    def agree(self, url: str) -> str:
        """Do what the provider's sign-in page does: return the query string of the way back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == "http://localhost:8000/accounts/oidc/callback/"
        self.challenge, self.nonce = asked["code_challenge"], asked["nonce"]
        return f"code={self.code}&state={asked['state']}"

    def id_token(self) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "248289761001",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": self.nonce,
            "email": "ada@u.edu",
            "email_verified": True,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.alg == "none":
            return f"{encoded({'alg': 'none'})}.{encoded(claims)}."
        key: Any = self.sign_with or {"RS256": self.key, "ES256": self.curve}[self.alg]
        header = {"alg": self.alg, "kid": key.kid} | self.header
        registry = jws.JWSRegistry(algorithms=[self.alg], strict_check_header=False)
        return jws.serialize_compact(header, json.dumps(claims), key, registry=registry)

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict]:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        told = base64.b64decode(authorization.removeprefix("Basic ") or b"").decode()
        if form.get("code") != self.code or proof != self.challenge or told != f"{CLIENT}:{SECRET}":
            return 400, {"error": "invalid_grant"}
        answer = {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 300}
        return 200, answer | ({"id_token": self.id_token()} if self.has_id_token else {})

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (the handler's self is another)
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                if self.path == "/.well-known/openid-configuration":
                    self.answer(
                        200,
                        {
                            "issuer": provider.issuer,
                            "authorization_endpoint": f"{provider.issuer}/authorize",
                            "token_endpoint": f"{provider.issuer}/token",
                            "userinfo_endpoint": f"{provider.issuer}/userinfo",
                            "jwks_uri": f"{provider.issuer}/keys",
                            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
                        }
                        | provider.metadata,
                    )
                elif self.path == "/keys":
                    keys = [key.as_dict(private=False) for key in (provider.key, provider.curve)]
                    self.answer(200, {"keys": keys})
                elif self.path == "/userinfo" and provider.userinfo is not None:
                    assert self.headers["Authorization"] == "Bearer an-access-token"
                    self.answer(200, provider.userinfo)
                else:
                    self.answer(404, {})

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self.answer(*provider.token(form, self.headers.get("Authorization", "")))

            def answer(self, status: int, data: dict) -> None:
                body = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args) -> None:
                pass

        return Handler


@pytest.fixture(scope="module")
def _server():
    provider = Provider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def provider(_server, settings):
    _server.forget()
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = _server.issuer, CLIENT, SECRET
    openid._client.cache_clear()
    yield _server
    openid._client.cache_clear()


def sign_in(client, provider, *, then="", start=""):
    begun = client.get(reverse("oidc_start") + start)
    assert begun.status_code == 302, begun.content.decode()
    back = provider.agree(begun.url)
    return client.get(reverse("oidc_callback") + f"?{back}{then}")


def is_in(client) -> bool:
    return client.get(reverse("portal:statements")).status_code == 200


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_pi_comes_in_and_it_is_in_the_audit_log(client, cast, provider, alg):
    provider.alg = alg
    response = sign_in(client, provider)
    assert response.url == reverse("home")
    assert is_in(client)
    event = AuditEvent.objects.get(action="session.signed_in")
    assert (event.actor, event.after["door"]) == (cast.pi, "oidc")


def test_it_leads_back_to_the_page_that_was_asked_for_and_nowhere_else(client, cast, provider):
    assert sign_in(client, provider, start="?next=/projects/").url == "/projects/"
    client.logout()
    assert sign_in(client, provider, start="?next=https://evil.example/").url == reverse("home")


def test_a_pi_without_an_account_gets_one_without_any_right(client, cast, provider):
    hopper = build.a_pi("hopper@u.edu")
    # Names that the person may choose count for nothing.
    provider.claims = {"email": "Hopper@U.edu", "preferred_username": "root", "groups": ["admin"]}
    sign_in(client, provider)
    hopper.refresh_from_db()
    assert (hopper.user.username, hopper.user.is_staff) == ("hopper@u.edu", False)
    assert list(hopper.user.groups.values_list("name", flat=True)) == ["pi"]


def test_an_address_in_the_user_info_counts_when_it_is_of_the_same_person(client, cast, provider):
    provider.claims = {"email": None, "email_verified": None}
    provider.userinfo = {"sub": "248289761001", "email": "ada@u.edu", "email_verified": True}
    assert sign_in(client, provider).status_code == 302
    client.logout()
    provider.userinfo = {"sub": "somebody else", "email": "ada@u.edu", "email_verified": True}
    assert sign_in(client, provider).status_code == 403


FALSE = {
    "a wrong nonce": {"claims": {"nonce": "another"}},
    "no nonce": {"claims": {"nonce": None}},
    "another audience": {"claims": {"aud": "another"}},
    "no audience": {"claims": {"aud": None}},
    "several audiences and another party": {"claims": {"aud": [CLIENT, "another"], "azp": "another"}},
    "expired": {"claims": {"exp": int(time.time()) - 3600}},
    "no end": {"claims": {"exp": None}},
    "from the future": {"claims": {"iat": int(time.time()) + 3600, "nbf": int(time.time()) + 3600}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "no subject": {"claims": {"sub": None}},
    "no signature": {"alg": "none"},
    "signed by the secret": {"alg": "HS256", "sign_with": jwk.OctKey.import_key(SECRET, {"kid": "one"})},
    "no ID token": {"has_id_token": False},
    "an unverified address": {"claims": {"email_verified": False}},
    "an address nobody vouches for": {"claims": {"email_verified": None}},
    "an address that is none": {"claims": {"email": "ada"}},
    "no address": {"claims": {"email": None}},
    "an address that is a list": {"claims": {"email": ["ada@u.edu"]}},
    "a stranger": {"claims": {"email": "nobody@u.edu"}},
}


@pytest.mark.parametrize("bent", FALSE.values(), ids=FALSE)
def test_an_answer_that_does_not_hold_lets_nobody_in(client, cast, provider, bent):
    for name, value in bent.items():
        setattr(provider, name, value)
    before = User.objects.count()
    response = sign_in(client, provider)
    assert response.status_code == 403
    assert "You cannot sign in" in response.content.decode()
    assert not is_in(client)
    assert User.objects.count() == before
    assert not AuditEvent.objects.filter(action="session.signed_in").exists()
    # It is the bend that was refused: unbent, the same person comes in.
    provider.forget()
    assert sign_in(client, provider).status_code == 302


def test_a_signature_by_another_key_lets_nobody_in(client, cast, provider):
    provider.sign_with = jwk.RSAKey.generate_key(2048, {"kid": "one"})
    assert sign_in(client, provider).status_code == 403
    # Nor does a key that the token brings along itself.
    provider.header = {"jwk": provider.sign_with.as_dict(private=False)}
    assert sign_in(client, provider).status_code == 403


def test_an_answer_nobody_asked_for_or_asked_for_twice_is_refused(client, cast, provider):
    assert client.get(reverse("oidc_callback") + "?code=a-code&state=made-up").status_code == 403
    begun = client.get(reverse("oidc_start"))
    back = provider.agree(begun.url)
    # Started in one browser, ended in another.
    assert type(client)().get(reverse("oidc_callback") + f"?{back}").status_code == 403
    assert client.get(reverse("oidc_callback") + f"?{back}").status_code == 302
    client.logout()
    assert client.get(reverse("oidc_callback") + f"?{back}").status_code == 403


def test_the_code_is_worth_nothing_without_the_proof(client, cast, provider):
    begun = client.get(reverse("oidc_start"))
    back = provider.agree(begun.url)
    provider.challenge = "of another browser"
    assert client.get(reverse("oidc_callback") + f"?{back}").status_code == 403


def test_saying_no_at_the_provider_is_a_page(client, cast, provider):
    client.get(reverse("oidc_start"))
    response = client.get(reverse("oidc_callback") + "?error=access_denied&state=x")
    assert response.status_code == 403
    assert "Sign-in did not complete" in response.content.decode()


def test_a_provider_that_calls_itself_otherwise_is_not_asked(client, cast, provider):
    provider.metadata = {"issuer": "https://evil.example"}
    assert client.get(reverse("oidc_start")).status_code == 502
    assert provider.asked == ["/.well-known/openid-configuration"]


def test_a_provider_that_signs_by_secrets_alone_is_refused(client, cast, provider):
    provider.metadata = {"id_token_signing_alg_values_supported": ["HS256", "none"]}
    assert client.get(reverse("oidc_start")).status_code == 502


def test_a_provider_that_does_not_answer_is_a_page(client, cast, provider, settings):
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    response = client.get(reverse("oidc_start"))
    assert response.status_code == 502
    assert "cannot be reached" in response.content.decode()
    # And a password still works.
    assert client.login(username="ada", password="open sesame")


def test_addresses_count_unverified_only_where_a_setting_says_so(client, cast, provider, settings):
    settings.OIDC_REQUIRE_VERIFIED_EMAIL = False
    provider.claims = {"email_verified": None}
    assert sign_in(client, provider).status_code == 302


def test_the_address_may_be_in_a_claim_of_another_name(client, cast, provider, settings):
    settings.OIDC_EMAIL_CLAIM = "mail"
    provider.claims = {"mail": "mallory@u.edu"}
    sign_in(client, provider)
    assert AuditEvent.objects.get(action="session.signed_in").actor == cast.stranger


def test_a_client_without_a_secret_relies_on_the_proof_alone(client, cast, provider, settings, monkeypatch):
    settings.OIDC_CLIENT_SECRET = ""
    monkeypatch.setattr(provider, "token", lambda form, authorization: Provider.token(provider, form, basic()))
    assert sign_in(client, provider).status_code == 302


def basic() -> str:
    return "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()


def test_the_page_offers_it_where_it_is_on_and_not_where_it_is_off(client, cast, provider, settings):
    settings.OIDC_NAME = "Example University"
    assert "Sign in with Example University" in client.get(reverse("login")).content.decode()
    settings.OIDC_ISSUER = ""
    assert "Sign in with" not in client.get(reverse("login")).content.decode()
    assert client.get(reverse("oidc_start")).status_code == 404
    assert client.get(reverse("oidc_callback")).status_code == 404
