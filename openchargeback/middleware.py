"""What stands between a request and its view: the limit of an upload, before a byte of it is read."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# Review sheets, lists of funds and ordinary forms; only the page for deliveries takes more.
SMALL_UPLOAD_BYTES = 32 * 1024**2
DELIVERIES = "/admin/billing/import/upload/"


class UploadLimitMiddleware:
    """Refuse a body that is too large. It must stand behind authentication: only staff send large ones."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = 0
        limit = SMALL_UPLOAD_BYTES
        if request.path == DELIVERIES and request.user.is_authenticated and request.user.is_staff:
            # The form's other fields and the seams between files come on top.
            limit = settings.MAX_UPLOAD_BYTES + 1024**2
        if length > limit:
            return render(request, "413.html", {"limit": limit}, status=413)
        return self.get_response(request)
