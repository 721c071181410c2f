"""Changing the policy: a form, tried against a month as often as one likes, and a page that decides."""

import copy
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from ... import doors
from ...errors import BillingError
from ...models import BillingPeriod, Policy
from ...setup import policies, trying
from ...texts import number_in
from ..audited import actor_of
from .forms import PolicyForm, segments_of
from .settings import changed_settings

# The buttons of the two pages; what is sent without one asks for the page that decides.
TRY, EDIT, MAKE = "_try", "_edit", "_make"
# What the pages send beside the settings: the month to try against, and the version that was looked at.
MONTH, SEEN = "month", "seen"
# What each page writes anew.
FRAME = ("csrfmiddlewaretoken", "once")


class ChangingMixin(admin.ModelAdmin):
    """Edits the policy in force; what is decided on becomes a version."""

    def get_urls(self) -> list[URLPattern]:
        own = path("edit/", self.admin_site.admin_view(self.edit_view), name="billing_policy_edit")
        return [own, *super().get_urls()]

    def edit_view(self, request: HttpRequest) -> HttpResponse:
        """Show the policy in force as a form, try it against a month, and make a version once that is decided."""
        if not request.user.has_perm("billing.change_policy"):
            raise PermissionDenied
        present = Policy.objects.current()
        is_posted = request.method == "POST"
        form = PolicyForm(request.POST if is_posted else None, instance=copy.copy(present))
        frame = self.admin_site.each_context(request)
        months, month = _months(request, frame)
        context = {
            **frame,
            "opts": self.opts,
            "form": form,
            "present": present,
            "next_version": (present.pk or 0) + 1,
            "months": months,
            "month": month,
            "back": reverse("admin:billing_policy_changelist"),
        }
        if not is_posted or EDIT in request.POST or not form.is_valid():
            return self._form_page(request, context)
        try:
            return self._decided(request, form, context)
        except BillingError as error:
            form.add_error(None, doors.lines_for_page(error, request.user))
        except ValidationError as error:
            form.add_error(None, error.messages)
        return self._form_page(request, context)

    def _decided(self, request: HttpRequest, form: PolicyForm, context: dict[str, Any]) -> HttpResponse:
        """Do what a button of the form asks for. Raises BillingError and ValidationError with what is wrong."""
        present, month = context["present"], context["month"]
        changes = form.changes(present)
        if MAKE in request.POST:
            seen = number_in(request.POST.get(SEEN, ""))
            made = policies.change_policy(changes=changes, actor=actor_of(request), now=timezone.now(), seen=seen)
            messages.success(request, f"{str(made).capitalize()} of the policy is in force, for imports from now on.")
            return HttpResponseRedirect(context["back"])
        changed = policies.changed_from(present, changes)
        if month:
            context["trial"] = trying.try_change(present=present, changed=changed, period=month)
        if TRY in request.POST:
            if example := form.cleaned_data["example"]:
                context["tried"] = segments_of(example, form.cleaned_data["fund_org_segments"])
                messages.info(request, f"“{example}” fits. Nothing is saved yet.")
            return self._form_page(request, {**context, "is_tried": True, "is_same": not changes})
        if not changes and present.pk:
            raise policies.NothingChanged(
                f"Nothing is different from {present} of the policy: there is nothing to save."
            )
        sent = [
            (name, value) for name in request.POST if name not in (*FRAME, SEEN) for value in request.POST.getlist(name)
        ]
        context |= {
            "title": f"Make version {context['next_version']} of the policy",
            "settings": changed_settings(present, changed, changes),
            "sent": [*sent, (SEEN, present.pk or 0)],
        }
        return TemplateResponse(request, "admin/billing/policy/decide.html", context)

    def _form_page(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(request, "admin/billing/policy/edit.html", {**context, "title": "Change policy"})


def _months(request: HttpRequest, frame: dict[str, Any]) -> tuple[Sequence[BillingPeriod], BillingPeriod | None]:
    """Return the months to try a change against, and the one that is chosen: at first the one worked on."""
    working = frame["working"]
    chosen = number_in(request.POST.get(MONTH, ""))
    asked = next((each for each in working.months if each.pk == chosen), None)
    month = asked or working.period
    offered = list(working.offered)
    return (offered if month is None or month in offered else [*offered, month]), month
