"""How many requests were answered, and how fast: counted in each process, and added up where they are asked for."""

import os
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, multiprocess

from ..web_process import COUNTS

AREAS = ("admin", "api", "accounts", "static", "help")
OTHERS = "portal"
METHODS = ("GET", "HEAD", "POST")

_own = CollectorRegistry()
_answered = Counter(
    "openchargeback_requests", "Requests that were answered.", ("area", "method", "status"), registry=_own
)
_seconds = Histogram(
    "openchargeback_request_seconds",
    "How long they took.",
    ("area",),
    buckets=(0.05, 0.1, 0.3, 1, 3, 10, 30, 120),
    registry=_own,
)


def counted(request: HttpRequest, respond: Callable[[HttpRequest], HttpResponse]) -> HttpResponse:
    """Answer a request, and count it under its part of the site: no address of a person or a statement is a label."""
    first = request.path.strip("/").partition("/")[0]
    area = first if first in AREAS else OTHERS
    method = request.method if request.method in METHODS else "other"
    began = time.perf_counter()
    response = respond(request)
    _seconds.labels(area).observe(time.perf_counter() - began)
    _answered.labels(area, method, str(response.status_code)).inc()
    return response


def registry() -> CollectorRegistry:
    """Return what all processes counted."""
    if not os.environ.get(COUNTS):
        return _own
    of_all = CollectorRegistry()
    multiprocess.MultiProcessCollector(of_all)
    return of_all
