"""The admin site: navigation by task, with the dashboard as its index."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth import get_permission_codename
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from billing import doors, notices
from billing.models import User

from .system.views import PERMISSION as SYSTEM_PERMISSION


@dataclass(frozen=True)
class Item:
    """An item of the navigation: a registered model, under the name of the task."""

    model: str
    label: str
    query: str = ""


NAVIGATION: dict[str, tuple[Item, ...]] = {
    "This month": (
        Item("Import", "Imports"),
        Item("HeldCharge", "Charges to review"),
        Item("Statement", "Statements"),
        Item("Journal", "Journals"),
        Item("Correction", "Corrections"),
        Item("BillingPeriod", "Billing periods"),
    ),
    "People and funds": (
        Item("Person", "PIs"),
        Item("Project", "Projects"),
        Item("Department", "Departments"),
        Item("FundingSource", "Funding sources"),
        Item("AttributionRule", "Attribution rules"),
        Item("CloudAccount", "Cloud accounts"),
    ),
    "Settings": (
        Item("Source", "Sources"),
        Item("Policy", "Policy"),
        Item("JournalTemplate", "Journal templates"),
        Item("ExchangeRate", "Exchange rates"),
        Item("InvoiceTotal", "Provider invoices"),
    ),
    "Records": (
        Item("Charge", "All charges"),
        Item("PayerLine", "Payer lines"),
        Item("Email", "E-mails"),
        Item("Job", "Background jobs"),
        Item("AuditEvent", "Audit log"),
        Item("User", "Users"),
        Item("Group", "Roles"),
    ),
}


class ChoicesView(AutocompleteJsonView):
    """What a form's search field offers: to whoever may fill in the form, or see the list that is searched."""

    def has_perm(self, request: HttpRequest, obj: Model | None = None) -> bool:
        meta = self.source_field.model._meta
        # Reviewers name delegates, and may not see the page of users.
        return super().has_perm(request, obj) or any(
            request.user.has_perm(f"{meta.app_label}.{get_permission_codename(verb, meta)}")
            for verb in ("add", "change")
        )


# The screens that hand work to the background worker, by how the names of their addresses begin.
QUEUES_WORK = (
    "index",
    *("billing_import_", "billing_job_", "billing_heldcharge_", "billing_charge_", "billing_billingperiod_"),
    *("billing_fundingsource_load", "billing_person_load"),
    *("statements_statement_", "statements_email_", "journals_journal_"),
)


def _notices_for(user: User, url_name: str) -> list[dict[str, Any]]:
    """Return what a member of staff is told on a page, with a link to what they may do about it."""
    return [
        {"text": notice.text, "tone": notice.tone, "link": doors.link_where_allowed(notice.then, user)}
        for notice in notices.notices_for(user, queues_work=url_name.startswith(QUEUES_WORK))
    ]


class OpenChargebackAdminSite(AdminSite):
    site_header = "OpenChargeback"
    site_title = "OpenChargeback"
    index_title = "Dashboard"
    site_url = "/statements/"
    empty_value_display = "–"
    enable_nav_sidebar = True

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # Lazy: pages that show no notices, such as those in a popup, ask nothing.
        url_name = (request.resolver_match.url_name if request.resolver_match else None) or ""
        found = SimpleLazyObject(partial(_notices_for, request.user, url_name))  # type: ignore[arg-type]
        return {**super().each_context(request), "notices": found}

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Group what this person may see by task; a model that no task names stands under Other."""
        listed = super().get_app_list(request, app_label)
        if app_label:
            # Under the names that the navigation gives them.
            labels = {item.model: item.label for items in NAVIGATION.values() for item in items}
            for app in listed:
                for model in app["models"]:
                    model["name"] = labels.get(model["object_name"], model["name"])
                app["models"].sort(key=lambda model: model["name"].casefold())
            return listed
        models = {model["object_name"]: model for app in listed for model in app["models"]}
        groups = []
        for number, (name, items) in enumerate(NAVIGATION.items()):
            shown = [
                {
                    **models[item.model],
                    "name": item.label,
                    "admin_url": models[item.model]["admin_url"] and models[item.model]["admin_url"] + item.query,
                    "add_url": None,
                }
                for item in items
                if item.model in models
            ]
            if number == 0 and listed:
                shown.insert(0, self._page("Dashboard", "admin:index"))
            if name == "Records" and request.user.has_perm("billing.view_charge"):
                shown.insert(0, self._page("Why this number", "admin:billing_charge_why"))
            if name == "Settings" and request.user.has_perm(SYSTEM_PERMISSION):
                shown.append(self._page("System", "system"))
            if shown:
                groups.append(self._group(name, shown))
        named = {item.model for items in NAVIGATION.values() for item in items}
        if rest := [model for name, model in models.items() if name not in named]:
            groups.append(self._group("Other", rest))
        return groups

    def _group(self, name: str, models: list[dict[str, Any]]) -> dict[str, Any]:
        label = name.lower().replace(" ", "-")
        return {"name": name, "app_label": label, "app_url": "", "has_module_perms": True, "models": models}

    def _page(self, name: str, address: str) -> dict[str, Any]:
        """Return the item of a page that is no model's."""
        return {
            "name": name,
            "object_name": name.replace(" ", ""),
            "admin_url": reverse(address),
            "add_url": None,
            "view_only": True,
            "is_exact": True,
        }

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        name = apps.get_app_config(app_label).verbose_name
        return super().app_index(
            request, app_label, {"title": name, "is_page_of_its_own": True, **(extra_context or {})}
        )

    def autocomplete_view(self, request: HttpRequest) -> Any:
        return ChoicesView.as_view(admin_site=self)(request)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from .dashboard import dashboard

        context = {
            **self.each_context(request),
            "title": self.index_title,
            "board": dashboard(month=request.GET.get("period", ""), user=request.user),
            **(extra_context or {}),
        }
        request.current_app = self.name
        return TemplateResponse(request, self.index_template or "admin/index.html", context)
