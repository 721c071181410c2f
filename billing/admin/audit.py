"""The audit log: every event, with what was there before and after."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..models import AuditEvent
from ..texts import month_name
from .audited import FrozenAdmin
from .large_tables import LargeTableMixin
from .links import link, list_url

# What events are about: the first word of their action.
NOUNS = {
    "period": "Billing periods",
    "proof": "Reconciliations",
    "import": "Imports",
    "usage": "Usage files and priced months",
    "usage_feed": "Usage feeds",
    "charge": "Charges",
    "charges": "Review sheets",
    "correction": "Corrections",
    "question": "Questions",
    "payer_lines": "Payer lines",
    "statement": "Statements",
    "email": "E-mails",
    "journal": "Journals",
    "receivables": "Receivables",
    "policy": "Policy",
    "source": "Sources",
    "person": "PIs",
    "person_alias": "E-mail aliases",
    "membership": "Delegates",
    "project": "Projects",
    "department": "Departments",
    "customer": "Customers",
    "payer_split": "Splits",
    "attribution_rule": "Attribution rules",
    "cloud_account": "Cloud accounts",
    "funding_source": "Funding sources",
    "funds": "Lists of funds",
    "legal_hold": "Legal holds",
    "disposal": "Disposals",
    "fund_exception": "Exceptions of fund/orgs",
    "people": "Lists of people",
    "projects": "Lists of projects",
    "departments": "Lists of departments",
    "attribution_rules": "Lists of attribution rules",
    "account_rules": "Lists of account rules",
    "cloud_accounts": "Lists of cloud accounts",
    "exchange_rate": "Exchange rates",
    "rate_schedule": "Rate schedules",
    "rate_study": "Rate studies",
    "cost_pool": "Costs of rate studies",
    "shared_cost": "Shared costs",
    "shared_cost_part": "Parts of shared costs",
    "rate_class_member": "Rate classes",
    "usage_subsidy": "Subsidies",
    "allocation": "Allocations",
    "invoice": "Provider invoices",
    "invoice_total": "Provider invoices, corrected",
    "cost_measure_change": "Cost measures",
    "account_rule": "Account rules",
    "accounting_period": "Accounting periods",
    "accounting_calendar": "Accounting calendars",
    "valid_values": "Valid values",
    "lookup_table": "Lookup tables",
    "answer_mapping": "Forms of the ledger's answers",
    "journal_layout": "Journal layouts",
    "journal_template": "Journal templates",
    "user": "Users",
    "api_token": "API tokens",
    "role": "Roles",
    "session": "Sign-ins",
    "job": "Background jobs",
    "failure": "Failures dismissed",
    "audit": "Exports of the audit log",
    "installation": "Upgrades, backups and moves",
    "safeguards": "Database safeguards",
}


class NounFilter(admin.SimpleListFilter):
    title = "what it is about"
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return list(NOUNS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        noun = self.value()
        return queryset & AuditEvent.objects.named(noun) if noun else queryset


class DoorFilter(admin.SimpleListFilter):
    title = "door"
    parameter_name = "via"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("web", "Web"), ("command", "Command"), ("task", "Background task")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(via=self.value()) if self.value() else queryset


def written(value: object) -> str:
    """Write a kept value so that a person can read it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int):
        return month_name(str(value))
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def before_and_after(before: object, after: object) -> str | SafeString:
    """Set two snapshots side by side, field by field."""
    if not isinstance(before, dict | None) or not isinstance(after, dict | None):
        return format_html("<p><del>{}</del> → <ins>{}</ins></p>", written(before), written(after))
    names = list(dict.fromkeys([*(before or {}), *(after or {})]))
    if not names:
        return "–"
    rows = format_html_join(
        "",
        '<tr><th scope="row">{}</th><td><del>{}</del></td><td><ins>{}</ins></td></tr>',
        (
            (name.replace("_", " "), written((before or {}).get(name)), written((after or {}).get(name)))
            for name in names
        ),
    )
    return format_html(
        '<table class="before-after"><thead><tr><th scope="col">Field</th><th scope="col">Before</th>'
        '<th scope="col">After</th></tr></thead><tbody>{}</tbody></table>',
        rows,
    )


@admin.register(AuditEvent)
class AuditEventAdmin(LargeTableMixin, FrozenAdmin):
    list_display = ("when", "action", "label", "actor_name", "via", "summary")
    list_display_links = ("when", "action")
    list_filter = (NounFilter, DoorFilter, "at")
    linked_by = ("object_type", "object_id", "gesture", "actor_name", "action")
    search_fields = ("actor_name", "object_label", "note")
    search_help_text = "Who, which object, or words of a note."
    fields = (
        "when",
        "actor_name",
        "via",
        "action",
        "subject",
        "note",
        "changes",
        "whole_gesture",
        "previous_hash",
        "hash",
    )
    readonly_fields = fields

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Audit log", **(extra_context or {})})

    @admin.display(description="when", ordering="at")
    def when(self, event: AuditEvent) -> str:
        # To the second: events of one day are told apart by it.
        return date_format(timezone.localtime(event.at), "M j, Y, H:i:s")

    @admin.display(description="object")
    def label(self, event: AuditEvent) -> str:
        return event.object_label

    @admin.display(description="what changed")
    def summary(self, event: AuditEvent) -> str:
        if event.note:
            return event.note if len(event.note) <= 80 else event.note[:79] + "…"
        if isinstance(event.before, dict) and isinstance(event.after, dict):
            names = [name.replace("_", " ") for name in event.after][:5]
            return ", ".join(names) + (" …" if len(event.after) > 5 else "")
        return ""

    @admin.display(description="object")
    def subject(self, event: AuditEvent) -> str | SafeString:
        if not event.object_type:
            return "–"
        url = list_url(AuditEvent, f"object_type={event.object_type}&object_id={event.object_id}")
        return format_html(
            "{} ({})", event.object_label, link(url, f"all events of {event.object_type} {event.object_id}")
        )

    @admin.display(description="before and after")
    def changes(self, event: AuditEvent) -> str | SafeString:
        return before_and_after(event.before, event.after)

    @admin.display(description="gesture")
    def whole_gesture(self, event: AuditEvent) -> str | SafeString:
        return link(list_url(AuditEvent, f"gesture={event.gesture}"), "All that was done in the same act")
