"""The admin site: navigation by task, with the dashboard as its index."""

from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from billing.models import User

from .working_period import working_period


class ChoicesView(AutocompleteJsonView):
    """What a form's search field offers: to whoever may fill in the form, or see the list that is searched."""

    def has_perm(self, request: HttpRequest, obj: Model | None = None) -> bool:
        meta = self.source_field.model._meta
        # Reviewers name delegates, and may not see the page of users.
        return super().has_perm(request, obj) or any(
            request.user.has_perm(f"{meta.app_label}.{get_permission_codename(verb, meta)}")
            for verb in ("add", "change")
        )


class OpenChargebackAdminSite(AdminSite):
    site_header = "OpenChargeback"
    site_title = "OpenChargeback"
    index_title = "Month"
    site_url = "/statements/"
    empty_value_display = "–"
    # Django's own is a list of models; ours is by task, and part of the page's frame.
    enable_nav_sidebar = False

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # Here and below, what reads the screens is imported once they are there.
        from . import frame

        context = super().each_context(request)
        return {**context, **frame.context_for(request)} if self.has_permission(request) else context

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("search/", self.admin_view(self.search_view), name="search"),
            path("trends/", self.admin_view(self.trends_view), name="trends"),
            path("reports/", self.admin_view(self.reports_view), name="reports"),
            path("dismiss/", self.admin_view(self.dismiss_view), name="dismiss"),
            *super().get_urls(),
        ]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Name the lists of an app as the navigation names them."""
        from .navigation import LISTS

        listed = super().get_app_list(request, app_label)
        labels = {each.model: each.label for each in LISTS.values()}
        for app in listed:
            for model in app["models"]:
                model["name"] = labels.get(model["object_name"], model["name"])
            app["models"].sort(key=lambda model: model["name"].casefold())
        return listed

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        name = apps.get_app_config(app_label).verbose_name
        return super().app_index(request, app_label, {"title": name, **(extra_context or {})})

    def autocomplete_view(self, request: HttpRequest) -> Any:
        return ChoicesView.as_view(admin_site=self)(request)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from .dashboard import dashboard, running_now

        assert isinstance(request.user, User)
        if request.GET.get("part") == "running":
            # Asked for again and again while something runs: nothing else of the page is worked out.
            return TemplateResponse(
                request, "admin/running.html", {"running": running_now(), "alone_url": "?part=running"}
            )
        working = working_period(request)
        context = {
            **self.each_context(request),
            "title": self.index_title,
            "board": dashboard(period=working.period, months=working.months, user=request.user),
            **(extra_context or {}),
        }
        request.current_app = self.name
        return TemplateResponse(request, self.index_template or "admin/index.html", context)

    def trends_view(self, request: HttpRequest) -> HttpResponse:
        """Show the charges of many months side by side, or give them out as a file."""
        from billing import trend_pages

        from . import report_pages, trends

        if not request.user.has_perm(trends.PERMISSION):
            raise PermissionDenied
        assert isinstance(request.user, User)
        asked = trends.asked(request)
        if asked.trend and "csv" in request.GET:
            return trend_pages.as_csv(asked, asked.trend)
        request.current_app = self.name
        return TemplateResponse(
            request,
            "admin/trends.html",
            {
                **self.each_context(request),
                "title": "Trends",
                "asked": asked,
                "report_links": report_pages.links("trends", {}, request.user),
            },
        )

    def reports_view(self, request: HttpRequest) -> HttpResponse:
        """Show a report, or give it out as a file."""
        from . import report_files, report_pages

        if not request.user.has_perm(report_files.PERMISSION):
            raise PermissionDenied
        asked = report_pages.page_of(request)
        if job := report_pages.asked_of_worker(request, asked):
            return HttpResponseRedirect(reverse("admin:billing_job_change", args=[job.pk]))
        if file := report_pages.file_of(request, asked):
            return file
        request.current_app = self.name
        return TemplateResponse(
            request, "admin/reports.html", {**self.each_context(request), "title": "Reports", "asked": asked}
        )

    def dismiss_view(self, request: HttpRequest) -> HttpResponse:
        """Set a failure aside, as the month's page offers it."""
        from . import failures

        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        failures.dismiss(request)
        period = working_period(request).period
        return HttpResponseRedirect(
            f"{reverse('admin:index')}?period={period.iso_month}" if period else reverse("admin:index")
        )

    def search_view(self, request: HttpRequest) -> TemplateResponse:
        """Show what fits a text, of everything that this person may see."""
        from . import searching

        text = request.GET.get("q", "")
        period = working_period(request).period
        context = {
            **self.each_context(request),
            "title": "Search",
            "text": text.strip(),
            "searched_text": text,
            "found": searching.search(request, self, text, period),
            "trace_url": searching.trace_url(request, text.strip()),
            "month": period,
        }
        request.current_app = self.name
        return TemplateResponse(request, "admin/search.html", context)
