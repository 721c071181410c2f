"""A subsidy that is filled in and not saved, tried on months that were charged."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ... import doors
from ...errors import BillingError
from ...usage import trying
from ..links import change_url, list_url
from .trying import file_tried, months_tried

# The button of the form, beside the one that saves.
TRY = "_try"


class TryingSubsidiesMixin(admin.ModelAdmin):
    """Tries a subsidy as its form has it; nothing of the form is saved."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("try/<slug:key>/", wrap(self.try_view), name="billing_usagesubsidy_try"),
            path("try/<slug:key>/tried.<slug:form>", wrap(self.tried_view), name="billing_usagesubsidy_tried"),
        ]
        return [*own, *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method == "POST" and TRY in request.POST:
            subsidy = self.get_object(request, object_id) if object_id else None
            may = self.has_change_permission(request, subsidy) if object_id else self.has_add_permission(request)
            if not may or object_id and subsidy is None:
                raise PermissionDenied
            form = self.get_form(request, subsidy, change=bool(subsidy))(request.POST, instance=subsidy)
            if form.is_valid():
                key = trying.remember(trying.of_subsidy(form.instance))
                return HttpResponseRedirect(reverse("admin:billing_usagesubsidy_try", args=[key]))
        # What is wrong with the form is shown beside its fields.
        return super().changeform_view(request, object_id, form_url, extra_context)

    def try_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show what a subsidy would charge for months; the worker tries it where they are large."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), "opts": self.opts, "back": list_url(self.model)}
        try:
            subject = trying.recalled(key)
        except BillingError as error:
            context |= {"title": "Try a subsidy", "refused": doors.for_page(error, request.user)}
        else:
            subsidy = subject.other.subsidy
            assert subsidy
            stored = self.model.objects.filter(code=subsidy.code).first()
            context |= {
                **months_tried(request, subject, "admin:billing_usagesubsidy_tried", key),
                "title": f"Try {subsidy.name}",
                "original": subsidy.name,
                "by": f"this subsidy: {trying.words.subsidy_text(subsidy)}",
                "back": change_url(stored) if stored else list_url(self.model),
            }
        return TemplateResponse(request, "admin/billing/rateschedule/try.html", context)

    def tried_view(self, request: HttpRequest, key: str, form: str) -> HttpResponse | FileResponse:
        """Give what was tried as a file, as long as it is kept."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            subject = trying.recalled(key)
        except BillingError as error:
            raise Http404(str(error)) from error
        assert subject.other.subsidy
        page = reverse("admin:billing_usagesubsidy_try", args=[key])
        return file_tried(request, subject, form, name=f"{subject.other.subsidy.code}_tried", page=page)
