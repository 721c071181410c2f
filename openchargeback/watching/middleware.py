"""The addresses of probes, `/healthz`, `/readyz` and `/metrics`, and the count of all other requests.

It stands before what decides who speaks for whom, because it believes no header: it looks at the peer itself.
"""

import hmac
import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from . import readiness, requests
from .figures import Standing

SAFE = ("GET", "HEAD")
# What a proxy adds: with any of these, somebody else asks than the peer.
BY_A_PROXY = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_VIA")

Respond = Callable[[HttpRequest], HttpResponse]


class WatchingMiddleware:
    """Answers probes, whatever name of the site they ask for, and counts what everybody else asks for."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = PROBES.get(request.path)
        if probe is None:
            return requests.counted(request, self.get_response)
        response = probe(request) if request.method in SAFE else HttpResponseNotAllowed(SAFE)
        response.headers["Cache-Control"] = "no-store"
        return response


def health(request: HttpRequest) -> HttpResponse:
    """Say that this process answers. It asks nobody else: a database that is away is no reason to start it anew."""
    return HttpResponse("ok\n", content_type="text/plain")


def ready(request: HttpRequest) -> HttpResponse:
    """Say whether all that people need is in order, 200 or 503; with `?worker=no`, whether the worker runs or not."""
    found = readiness.checks()
    needed = {name: holds for name, holds in found.items() if name != readiness.WORKER or _wants_worker(request)}
    is_ready = all(needed.values())
    checks = {name: "ok" if holds else "failed" for name, holds in found.items()}
    return JsonResponse({"ready": is_ready, "checks": checks}, status=200 if is_ready else 503)


def _wants_worker(request: HttpRequest) -> bool:
    return request.GET.get(readiness.WORKER) != "no"


def metrics(request: HttpRequest) -> HttpResponse:
    """Give the figures to who knows METRICS_TOKEN; without one, to programs on this machine. Nobody else finds them."""
    if not _may_read(request):
        return HttpResponse("Not found\n", status=404, content_type="text/plain")
    standing = CollectorRegistry()
    standing.register(Standing(timezone.now()))
    text = generate_latest(requests.registry()) + generate_latest(standing)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.META.get("HTTP_AUTHORIZATION", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    return _is_of_this_machine(request.META.get("REMOTE_ADDR", "")) and not any(
        header in request.META for header in BY_A_PROXY
    )


def _is_of_this_machine(address: str) -> bool:
    # A peer without an address came through a Unix socket, which is where a proxy comes through.
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


PROBES: dict[str, Respond] = {"/healthz": health, "/readyz": ready, "/metrics": metrics}
