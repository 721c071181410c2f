"""What stands between a request and its view: the limit of an upload, before a byte of it is read."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# Forms of strangers (the sign-in page), and of people: review sheets and lists of funds. Only the page
# for deliveries takes more.
STRANGERS_BYTES = 1024**2
PEOPLES_BYTES = 65 * 1024**2
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
        if length <= STRANGERS_BYTES:
            # Nearly every request: asks nothing about who sends it.
            return self.get_response(request)
        limit = PEOPLES_BYTES if request.user.is_authenticated else STRANGERS_BYTES
        if request.path == DELIVERIES and request.user.is_authenticated and request.user.is_staff:
            # The form's other fields and the seams between files come on top.
            limit = settings.MAX_UPLOAD_BYTES + 1024**2
        if length > limit:
            return render(request, "413.html", {"limit": limit}, status=413)
        return self.get_response(request)
