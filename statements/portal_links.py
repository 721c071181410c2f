"""Where a PI finds statements on the web, as documents and e-mails print it."""

from django.conf import settings
from django.urls import reverse


def portal_link() -> str:
    """Return the address of a PI's list of statements."""
    return f"{settings.SITE_URL}{reverse('portal:statements')}"


def statement_link(number: str) -> str:
    """Return the address of a statement's page in the portal."""
    return f"{settings.SITE_URL}{reverse('portal:statement', args=[number])}"
