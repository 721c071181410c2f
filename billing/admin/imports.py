"""Imports, each with its control totals, and the page where files are uploaded."""

from decimal import Decimal
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone

from .. import importing
from ..background import jobs
from ..importing import doubts, late, tending
from ..importing.outcomes import unread_lines
from ..models import BillingPeriod, Flag, Import, ImportTotal, Job
from ..money import plain
from ..readers.dates import rule_lines
from .audited import FrozenAdmin, actor_of
from .filters import period_filter
from .formatting import badge_column, count_column
from .uploads import PERMISSION, upload
from .verbs import Verb

State = Import.State

TONES = {
    State.RECEIVED: "busy",
    State.CHECKED: "busy",
    State.APPLIED: "good",
    State.FAILED: "bad",
    State.DEFERRED: "warn",
}
COUNTS = (
    ("rows", "Rows"),
    ("new", "New"),
    ("changed", "Changed"),
    ("unchanged", "Unchanged"),
    ("withdrawn", "Withdrawn"),
    ("unseen", "Not seen again"),
    ("flagged", "Flagged"),
)


def withdraw(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str:
    done = importing.withdraw(imported=imported, actor=actor_of(request), now=timezone.now())
    return f"Import {imported.pk} is withdrawn: {done} Issue the statements again where some were out."


class BookForm(forms.Form):
    into = forms.ModelChoiceField(
        BillingPeriod.objects.none(),
        label="Charged in",
        empty_label=None,
        help_text="An open month: its statements and journal show the late changes, with the month they correct.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["into"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = BillingPeriod.objects.taking_changes().order_by("-month")


class DismissForm(forms.Form):
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the import.")


def book(request: HttpRequest, imported: Import, data: dict[str, Any], missing: str = "") -> str | Job:
    acting: dict[str, Any] = {
        "imported": imported,
        "missing": missing,
        "actor": actor_of(request),
        "now": timezone.now(),
    }
    if is_large(imported):
        return importing.decide_later(into=data["into"], **acting)
    return importing.book(into=data["into"], **acting).summary


def is_large(imported: Import) -> bool:
    """Whether reading an import once more takes longer than a page may."""
    rows = imported.imported_files.aggregate(rows=Sum("rows"))["rows"] or 0
    return max(rows, imported.rows) > jobs.LARGE


def apply_deferred(request: HttpRequest, imported: Import, data: dict[str, Any], missing: str = "") -> str | Job:
    acting: dict[str, Any] = {"missing": missing, "actor": actor_of(request), "now": timezone.now()}
    if is_large(imported):
        return importing.decide_later(imported=imported, **acting)
    return importing.apply_deferred(imported=imported, **acting).as_text().split("\n")[0]


def takes_changes(imported: Import) -> bool:
    """Whether a deferred import can be applied by hand to one of its months."""
    return imported.state == State.DEFERRED and any(period.takes_changes for period in late.months_of(imported))


def is_certain(imported: Import) -> bool:
    """Whether an import waits for its month alone, and nobody has to say what becomes of charges that it lacks."""
    return imported.state == State.DEFERRED and not imported.doubts


def is_doubtful(imported: Import) -> bool:
    return imported.state == State.DEFERRED and bool(imported.doubts)


def can_keep(imported: Import) -> bool:
    """Whether keeping what is missing is an answer.

    An older run would put its older amounts over newer ones, and what is written otherwise would be charged twice.
    """
    return is_doubtful(imported) and not (doubts.is_older(imported) or doubts.is_written_anew(imported))


def dismiss(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str:
    importing.dismiss(imported=imported, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Import {imported.pk} is dismissed: nothing of it is booked."


def none_open(imported: Import) -> list[str]:
    if BillingPeriod.objects.taking_changes().exists():
        return []
    return ["No month takes changes. Open one under All months."]


def totals_table(imported: Import) -> list[dict[str, str]]:
    """Return a row per currency and cost column: the files' exact total, what is stored, the rounding."""
    rows = []
    for currency, columns in sorted(imported.totals.items()):
        for column, total in columns.items():
            exact = Decimal(total)
            stored = imported.stored.get(currency, {}).get(column)
            rows.append(
                {
                    "currency": currency,
                    "column": column,
                    "exact": f"{exact:,f}",
                    "stored": f"{Decimal(stored):,f}" if stored else "–",
                    "rounding": plain(exact - Decimal(stored)) if stored else "–",
                }
            )
    return rows


@admin.register(Import)
class ImportAdmin(FrozenAdmin):
    when_empty = "Nothing was imported yet. Import files here."
    list_display = (
        "number",
        "source",
        "name",
        badge_column("state", TONES),
        count_column("rows"),
        count_column("new"),
        count_column("changed"),
        count_column("flagged"),
        "created_at",
        "created_by_name",
    )
    list_filter = ("state", "source", period_filter("scope_totals__period"))
    linked_by = ("booked_in",)
    list_select_related = ("source", "booked_in")
    search_fields = ("name", "files__sha256")
    sortable_by = ("number", "created_at")
    fields = ()
    change_form_template = "admin/billing/import/change_form.html"
    change_list_template = "admin/billing/import/change_list.html"
    verbs = (
        Verb(
            name="apply",
            label="Apply…",
            button="Apply import",
            permission="billing.book_import",
            run=apply_deferred,
            offered=lambda imported: takes_changes(imported) and is_certain(imported),
            question=lambda imported: (
                f"What import {imported.pk} changes is applied to the months that take changes. Decisions made in the "
                "review are kept; what is new may be held. Issue the statements again after it."
            ),
            details="admin/billing/import/original_difference.html",
            is_primary=True,
        ),
        Verb(
            name="book",
            label="Book late changes…",
            button="Book late changes",
            permission="billing.book_import",
            run=book,
            form=BookForm,
            offered=lambda imported: is_certain(imported) and not takes_changes(imported),
            missing=none_open,
            question=lambda imported: (
                f"What import {imported.pk} changes is booked as late changes, to the payers charged then. "
                "The charges of the closed month stay as they are."
            ),
            details="admin/billing/import/original_difference.html",
            is_primary=True,
        ),
        Verb(
            name="apply_keeping",
            label="Apply, keep what is missing…",
            button="Apply and keep",
            permission="billing.book_import",
            run=partial(apply_deferred, missing=Import.Missing.KEEP),
            offered=lambda imported: takes_changes(imported) and can_keep(imported),
            question=lambda imported: (
                f"What import {imported.pk} changes and adds is applied. The charges that it lacks stay: it withdraws "
                "nothing."
            ),
            details="admin/billing/import/original_difference.html",
            is_primary=True,
        ),
        Verb(
            name="book_keeping",
            label="Book, keep what is missing…",
            button="Book and keep",
            permission="billing.book_import",
            run=partial(book, missing=Import.Missing.KEEP),
            form=BookForm,
            offered=lambda imported: can_keep(imported) and not takes_changes(imported),
            missing=none_open,
            question=lambda imported: (
                f"What import {imported.pk} changes and adds is booked as late changes, to the payers charged then. "
                "The charges that it lacks stay as they are."
            ),
            details="admin/billing/import/original_difference.html",
            is_primary=True,
        ),
        Verb(
            name="apply_replacing",
            label="Apply as delivered…",
            button="Apply as delivered",
            permission="billing.book_import",
            run=partial(apply_deferred, missing=Import.Missing.REPLACE),
            offered=lambda imported: takes_changes(imported) and is_doubtful(imported),
            question=lambda imported: (
                f"Import {imported.pk} is applied as it was delivered: charges that it lacks are withdrawn, and its "
                "amounts replace those that are there."
            ),
            details="admin/billing/import/original_difference.html",
            is_dangerous=True,
        ),
        Verb(
            name="book_replacing",
            label="Book as delivered…",
            button="Book as delivered",
            permission="billing.book_import",
            run=partial(book, missing=Import.Missing.REPLACE),
            form=BookForm,
            offered=lambda imported: is_doubtful(imported) and not takes_changes(imported),
            missing=none_open,
            question=lambda imported: (
                f"Import {imported.pk} is booked as it was delivered: charges that it lacks are reversed for those "
                "who were charged them."
            ),
            details="admin/billing/import/original_difference.html",
            is_dangerous=True,
        ),
        Verb(
            name="dismiss",
            label="Dismiss…",
            button="Dismiss import",
            permission="billing.book_import",
            run=dismiss,
            form=DismissForm,
            offered=lambda imported: imported.state == State.DEFERRED,
            question="Nothing of it is booked, and the same files do not ask again. A later import is compared "
            "with what was charged.",
            details="admin/billing/import/original_difference.html",
            is_dangerous=True,
        ),
        Verb(
            name="withdraw",
            label="Withdraw…",
            button="Withdraw import",
            permission="billing.withdraw_import",
            run=withdraw,
            offered=lambda imported: imported.state == State.APPLIED,
            question=lambda imported: (
                f"All charges of import {imported.pk} ({imported.rows:,} rows) leave their periods, and what it "
                "replaced lives again. Decisions made about its charges are kept."
            ),
            is_dangerous=True,
        ),
    )

    @admin.display(description="import", ordering="id")
    def number(self, imported: Import) -> str:
        return f"#{imported.pk}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Import]:
        queryset = super().get_queryset(request)
        # A filter on the period joins one row per scope.
        return queryset.distinct() if "scope_totals__period" in request.GET else queryset

    def get_urls(self) -> list[URLPattern]:
        own = path("upload/", self.admin_site.admin_view(self.upload_view), name="billing_import_upload")
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Whoever looks is told the truth about imports whose process is gone.
        tending.close_left(now=timezone.now())
        return super().changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tending.close_left(now=timezone.now())
        imported = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if imported:
            labels = dict(Flag.Code.choices)
            context_files = imported.imported_files.exists()
            context = {
                "counts": [(label, getattr(imported, name)) for name, label in COUNTS],
                "totals": totals_table(imported),
                "scopes": ImportTotal.objects.filter(imported_in=imported)
                .select_related("period")
                .order_by("period__month", "billing_account_id", "currency"),
                "flags": sorted(((labels.get(code, code), number) for code, number in imported.flags.items())),
                "files": imported.imported_files.select_related("file"),
                "is_applicable": takes_changes(imported),
                "doubts": doubts.messages(imported),
                "can_keep": can_keep(imported),
                "is_older": doubts.is_older(imported),
                "rules": [*rule_lines(imported.rules), *unread_lines(imported.unread)],
                "can_be_tried_again": imported.state == State.FAILED
                and context_files
                and request.user.has_perm(PERMISSION),
                "tone": TONES.get(State(imported.state), ""),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Take files, show what each is taken for, and have the worker import them."""
        return upload(request, context={**self.admin_site.each_context(request), "opts": self.opts})
