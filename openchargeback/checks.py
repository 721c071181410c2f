"""System checks: a configuration that would let anybody in, or nobody, is refused at the start."""

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils.module_loading import import_string

from billing.file_names import shown

from . import privacy, proxies

# As many as a person reads.
NAMED = 5


@register(Tags.security)
def sign_on_is_whole(app_configs: object, **kwargs: object) -> list[CheckMessage]:
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


@register()
def journal_validator_is_there(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Refuse a validator of journals that cannot be imported: no journal could be submitted."""
    if not settings.JOURNAL_VALIDATOR:
        return []
    try:
        found = import_string(settings.JOURNAL_VALIDATOR)
    except Exception as error:  # noqa: BLE001
        # Importing runs its module: whatever that raises, it is not there.
        told = f"JOURNAL_VALIDATOR: {settings.JOURNAL_VALIDATOR} cannot be imported: {error}."
        return [Error(told, hint="Name a function as package.module.function.", id="openchargeback.E006")]
    if callable(found):
        return []
    return [Error(f"JOURNAL_VALIDATOR: {settings.JOURNAL_VALIDATOR} is no function.", id="openchargeback.E007")]


@register(Tags.security, deploy=True)
def files_are_private(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """Name files that others on the machine could read or change; `initialize` and `serve` close what they can."""
    found = list(privacy.exposed())
    if not found:
        return []
    named = ", ".join(shown(str(path)) for path in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [
        Warning(
            f"Others on this machine can read or change {named}{more}.",
            hint="Bring the installation up to date again as the user they belong to, or correct their permissions.",
            id="openchargeback.W001",
        )
    ]
