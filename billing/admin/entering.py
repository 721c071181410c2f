"""Pages that enter a correction: filled in, shown with what it would charge, then entered once."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from .. import corrections, doors, once
from ..errors import BillingError
from ..models import Correction, Policy
from ..money import plain
from .audited import actor_of
from .links import change_url, list_url

ENTER = "billing.enter_corrections"
State = Correction.State


class EnteringMixin(admin.ModelAdmin):
    """Has pages that enter a correction."""

    def entering(
        self,
        request: HttpRequest,
        form_class: type[forms.Form],
        *,
        title: str,
        run: Callable[..., corrections.Entered],
        initial: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not request.user.has_perm(ENTER):
            raise PermissionDenied
        is_posted = request.method == "POST"
        form = form_class(request.POST) if is_posted else form_class(initial=initial)
        form.label_suffix = ""
        planned = None
        # “Change” comes back to the form as it was filled in.
        if is_posted and form.is_valid() and "again" not in request.POST:
            given = {"actor": actor_of(request), "now": timezone.now()}
            try:
                planned = run(form.cleaned_data, dry_run=True, **given)
                if "confirmed" in request.POST:
                    confirmed = request.POST["confirmed"]
                    token = once.token_in(confirmed)
                    # Without its token it could be entered twice: it is shown again, with one.
                    if token and confirmed == f"{token}/{seen_of(planned)}":
                        entered = run(form.cleaned_data, **given)
                        messages.success(request, said_of(entered.correction))
                        return HttpResponseRedirect(change_url(entered.correction))
                    changed = "What it comes to changed meanwhile. Look at it again."
                    messages.warning(request, changed if token else "Look at it once more, then enter it.")
            except BillingError as error:
                planned = None
                form.add_error(None, doors.lines_for_page(error, request.user))
            except ValidationError as error:
                planned = None
                form.add_error(None, error.messages)
        if planned:
            for field in form.fields.values():
                field.widget = field.hidden_widget()
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "planned": planned,
            "seen": f"{once.token()}/{seen_of(planned)}" if planned else "",
            "second": Policy.objects.current().corrections_need_second_person,
            "back": list_url(self.model),
            "media": self.media + form.media,
            **(context or {}),
        }
        return TemplateResponse(request, "admin/billing/correction/enter.html", context)


def seen_of(entered: corrections.Entered) -> str:
    """Return what somebody saw who confirms a correction: the month it is charged in and its amounts."""
    return "/".join([entered.correction.charged_in.iso_month, *(plain(line.amount) for line in entered.lines)])


def said_of(correction: Correction) -> str:
    if correction.state == State.PROPOSED:
        return f"{str(correction).capitalize()} is entered. It is charged once somebody else has approved it."
    return (
        f"{str(correction).capitalize()} is entered. "
        f"It is on the next statements and journal of {correction.charged_in}."
    )
