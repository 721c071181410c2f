"""How often a password may be tried: per account and address, per account, per address."""

from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# An account tried from many addresses, and an address that tries many accounts, are locked after this many times
# the attempts of one pair. More generous, for a lock is also a way to keep somebody out, and a campus may
# share an address.
WIDER = 10


class SignInHandler(AxesDatabaseHandler):
    """Axes, which locks a pair of account and address, with limits on each alone."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        failures: int = super().get_failures(request, credentials)
        return settings.AXES_FAILURE_LIMIT if self._is_flooded(request, credentials) else failures

    def _is_flooded(self, request: HttpRequest, credentials: dict[str, Any] | None) -> bool:
        recent = AccessAttempt.objects.filter(attempt_time__gte=get_cool_off_threshold(request))
        username = get_client_username(request, credentials)
        address = request.axes_ip_address  # type: ignore[attr-defined]
        tried = [recent.filter(username=username)] if username else []
        tried += [recent.filter(ip_address=address)] if address else []
        return any(
            (each.aggregate(total=Sum("failures_since_start"))["total"] or 0) >= WIDER * settings.AXES_FAILURE_LIMIT
            for each in tried
        )


def locked_out(request: HttpRequest, *args: object) -> HttpResponse:
    """Say for how long, with 429 (RFC 6585) and Retry-After."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    response = render(
        request,
        "registration/locked_out.html",
        {"limit": settings.AXES_FAILURE_LIMIT, "minutes": seconds // 60},
        status=429,
    )
    response["Retry-After"] = str(seconds)
    return response
