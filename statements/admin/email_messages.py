"""A message as it was sent, on pages of the staff: its headers, both parts, and its files to download."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from billing.admin.audited import actor_of
from billing.files import disposed

from .. import emails
from ..models import Email
from ..views.statements import download
from .letters import framed, showing_letter


def message_view(request: HttpRequest, pk: int, screen: admin.ModelAdmin) -> HttpResponse:
    """Show the message of an e-mail as it left."""
    email = _asked(request, pk, screen)
    message = emails.archived(email)
    context = {
        **screen.admin_site.each_context(request),
        "title": "The message as it was sent",
        "opts": screen.opts,
        "original": email,
        "message": message,
        "disposed": "" if message else disposed.said(email.message_path),
        "media": screen.media,
    }
    return showing_letter(TemplateResponse(request, "admin/statements/email/message.html", context))


def html_view(request: HttpRequest, pk: int, screen: admin.ModelAdmin) -> HttpResponse:
    """Show the HTML part of a message, for the frame of its page."""
    return framed(_message(request, pk, screen).html)


def file_view(request: HttpRequest, pk: int, number: int, screen: admin.ModelAdmin) -> FileResponse:
    """Hand out a file of a message to staff, and record it in the audit log."""
    message = _message(request, pk, screen)
    file = next((each for each in message.files if each.number == number), None)
    if file is None:
        raise Http404("The message has no such file.")
    email = Email.objects.get(pk=pk)
    emails.record_download(of=email, file=file, actor=actor_of(request), now=timezone.now())
    return download(file.data, file.name, file.content_type)


def _message(request: HttpRequest, pk: int, screen: admin.ModelAdmin) -> emails.Archived:
    message = emails.archived(_asked(request, pk, screen))
    if message is None:
        raise Http404("The message is not there any more.")
    return message


def _asked(request: HttpRequest, pk: int, screen: admin.ModelAdmin) -> Email:
    """Return the e-mail of an address, for whoever may see it."""
    email = Email.objects.select_related("period", "pi").filter(pk=pk).first()
    if email is None:
        raise Http404("There is no such e-mail.")
    if not screen.has_view_permission(request, email):
        raise PermissionDenied
    return email
