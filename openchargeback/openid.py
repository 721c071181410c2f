"""OpenID Connect: leads to the institution's provider and reads what it answers (code flow with PKCE, state, nonce).

Authlib checks signature, audience, times and nonce (OpenID Connect Core 1.0, 3.1.3.7). Here stands what it
leaves to its user: which algorithms count, that the issuer is ours, and whose word about an e-mail is taken.
"""

import functools
import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from billing.errors import BillingError

from .single_sign_on import Identity

if TYPE_CHECKING:
    from authlib.integrations.django_client import DjangoOAuth2App

log = logging.getLogger(__name__)

# Signatures by a key that only the provider has: no `none`, and none that our own secret could make.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SECONDS = 10
# How far the clocks of two machines may be apart.
LEEWAY = 60


class NotVouched(BillingError):
    """The provider's answer does not hold, or the provider did not answer; the message is for the person."""


def is_on() -> bool:
    return bool(settings.OIDC_ISSUER and settings.OIDC_CLIENT_ID)


def lead_there(request: HttpRequest) -> HttpResponse:
    """Send the browser to the provider, remembering state, nonce and PKCE verifier in the session."""
    try:
        answer: HttpResponse = _provider().authorize_redirect(request, settings.SITE_URL + reverse("oidc_callback"))
    except Exception as error:
        raise _unreachable(error) from error
    return answer


def identity_from(request: HttpRequest) -> Identity:
    """Return whom the provider vouches for in its answer, or raise NotVouched."""
    try:
        provider = _provider()
        claims_options = {
            "iss": {"essential": True, "values": [_issuer(provider)]},
            "sub": {"essential": True},
            "aud": {"essential": True, "values": [settings.OIDC_CLIENT_ID]},
            "exp": {"essential": True},
            "nonce": {"essential": True},
        }
        token = provider.authorize_access_token(request, claims_options=claims_options, leeway=LEEWAY)
        claims = dict(token.get("userinfo") or {})
        if not claims:
            raise ValueError("the answer has no ID token")
        if settings.OIDC_EMAIL_CLAIM not in claims and provider.server_metadata.get("userinfo_endpoint"):
            more = dict(provider.userinfo(token=token))
            if more.get("sub") != claims["sub"]:
                raise ValueError("the user info is not of the person in the ID token")
            claims = more | claims
    except Exception as error:
        # What a provider or a stranger can make fail here has many types; none of them is a sign-in.
        log.warning("OpenID Connect: %s: %s", type(error).__name__, error)
        raise NotVouched(
            "Sign-in did not complete. Try again; if it keeps failing, tell the billing office."
        ) from error
    return _identity(claims)


def _identity(claims: dict[str, Any]) -> Identity:
    email = claims.get(settings.OIDC_EMAIL_CLAIM)
    if not isinstance(email, str) or not email.strip():
        raise NotVouched(f"The institution’s sign-in sent no e-mail address (claim {settings.OIDC_EMAIL_CLAIM}).")
    # Some providers send the truth value as a text.
    if settings.OIDC_REQUIRE_VERIFIED_EMAIL and claims.get("email_verified") not in (True, "true"):
        raise NotVouched(f"The institution’s sign-in does not vouch that {email} is yours (email_verified).")
    # Other names, such as preferred_username, may be chosen by the person or change (Core 1.0, 5.7).
    return Identity(name="", email=email.strip(), door="oidc")


def _provider() -> "DjangoOAuth2App":
    """Return the client, with the provider's metadata read and narrowed to what counts here."""
    provider = _client(settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET, settings.OIDC_SCOPES)
    metadata = provider.load_server_metadata()
    _issuer(provider)
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    metadata["id_token_signing_alg_values_supported"] = [each for each in offered if each in ALGORITHMS]
    if not metadata["id_token_signing_alg_values_supported"]:
        raise ValueError(f"the provider signs with none of {', '.join(ALGORITHMS)}")
    return provider


def _issuer(provider: "DjangoOAuth2App") -> str:
    issuer = str(provider.server_metadata.get("issuer", ""))
    # The one thing we know of the provider for certain (Discovery 1.0, 4.3).
    if issuer.rstrip("/") != settings.OIDC_ISSUER:
        raise ValueError(f"the provider calls itself {issuer}, not {settings.OIDC_ISSUER}")
    return issuer


@functools.lru_cache(maxsize=1)
def _client(issuer: str, client_id: str, client_secret: str, scopes: str) -> "DjangoOAuth2App":
    # Not with the program: reading Authlib takes a while, and most requests never need it.
    from authlib.integrations.django_client import OAuth

    return OAuth().register(
        "institution",
        client_id=client_id,
        client_secret=client_secret or None,
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_kwargs={
            "scope": scopes,
            "code_challenge_method": "S256",
            "default_timeout": SECONDS,
            **({} if client_secret else {"token_endpoint_auth_method": "none"}),
        },
        overwrite=True,
    )


def _unreachable(error: Exception) -> NotVouched:
    log.warning("OpenID Connect: %s: %s", type(error).__name__, error)
    return NotVouched("The institution’s sign-in cannot be reached. Try again in a moment, or use a password.")
