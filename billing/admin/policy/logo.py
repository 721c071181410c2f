"""The page of the logo: what statements print now, another file for it, and none."""

import base64
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from ... import doors
from ...errors import BillingError
from ...models import Policy
from ...setup import logos
from ..audited import actor_of

REMOVE = "_remove"


class LogoForm(forms.Form):
    file = forms.FileField(
        label="Picture",
        help_text="SVG up to 512 KB, or PNG or JPEG up to 2 MB. On paper it is at most 40 points high. An SVG has "
        "shapes in plain colors, and text converted to outlines. Of a PNG, a transparent ground becomes white.",
        widget=forms.ClearableFileInput(attrs={"accept": "image/svg+xml,image/png,image/jpeg"}),
    )


class LogoMixin(admin.ModelAdmin):
    """Sets and removes the logo; each makes a version of the policy."""

    def get_urls(self) -> list[URLPattern]:
        own = path("logo/", self.admin_site.admin_view(self.logo_view), name="billing_policy_logo")
        return [own, *super().get_urls()]

    def logo_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("billing.change_policy"):
            raise PermissionDenied
        is_posted = request.method == "POST" and REMOVE not in request.POST
        form = LogoForm(request.POST, request.FILES) if is_posted else LogoForm()
        form.label_suffix = ""
        try:
            if made := self._made(request, form):
                messages.success(request, f"{str(made).capitalize()} of the policy is in force.")
                return HttpResponseRedirect(reverse("admin:billing_policy_logo"))
        except BillingError as error:
            if is_posted:
                form.add_error("file", doors.lines_for_page(error, request.user))
            else:
                messages.error(request, doors.for_page(error, request.user))
        policy = Policy.objects.current()
        kept = logos.kept_of(policy.logo)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Logo on statements",
            "opts": self.opts,
            "form": form,
            "institution": policy.institution,
            # Drawn anew by us, and never a file as it was uploaded.
            "picture": f"data:{logos.kind_of(kept)};base64,{base64.b64encode(kept).decode()}" if kept else "",
            "back": reverse("admin:billing_policy_changelist"),
        }
        return TemplateResponse(request, "admin/billing/policy/logo.html", context)

    def _made(self, request: HttpRequest, form: LogoForm) -> Policy | None:
        """Do what is asked for, and return the version that was made."""
        who: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
        if request.method == "POST" and REMOVE in request.POST:
            return logos.remove_logo(**who)
        if form.is_bound and form.is_valid():
            # Never more in memory than a logo may have.
            return logos.set_logo(data=form.cleaned_data["file"].read(logos.MOST_BYTES + 1), **who)
        return None
