"""System checks: a configuration that would let anybody in, or nobody, is refused at the start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from . import proxies


@register(Tags.security)
def sign_on_is_whole(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse single sign-on that is set up by halves."""
    found: list[CheckMessage] = []
    try:
        proxies.require_proxies(settings.TRUSTED_PROXIES)
    except proxies.BadProxy as error:
        found.append(Error(f"TRUSTED_PROXIES: {error}", id="openchargeback.E001"))
    if settings.REMOTE_USER_HEADER and not settings.TRUSTED_PROXIES:
        found.append(
            Error(
                "REMOTE_USER_HEADER is set and TRUSTED_PROXIES is empty: nobody could sign in by it.",
                hint="Name the address of the proxy that sets the header.",
                id="openchargeback.E002",
            )
        )
    if settings.REMOTE_USER_EMAIL_HEADER and not settings.REMOTE_USER_HEADER:
        found.append(
            Error("REMOTE_USER_EMAIL_HEADER does nothing without REMOTE_USER_HEADER.", id="openchargeback.E003")
        )
    if bool(settings.OIDC_ISSUER) != bool(settings.OIDC_CLIENT_ID):
        found.append(Error("OIDC_ISSUER and OIDC_CLIENT_ID belong together.", id="openchargeback.E004"))
    if settings.OIDC_ISSUER and not settings.DEBUG and not settings.OIDC_ISSUER.startswith("https://"):
        found.append(Error("OIDC_ISSUER has to be an https address.", id="openchargeback.E005"))
    return found
