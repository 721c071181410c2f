"""Imports: every delivery with its control totals, and the page where files are uploaded."""

import shutil
import uuid
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from .. import ingestion, jobs, late, withdrawing
from ..models import BillingPeriod, Flag, Import, ImportTotal, Job, Source
from ..money import plain
from ..readers.values import rule_lines
from ..storing import store_chunks
from .base import (
    FrozenAdmin,
    Verb,
    actor_of,
    badge_column,
    change_url,
    count_column,
    period_filter,
)

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


class ManyFilesInput(forms.FileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """One or more files, chosen or dropped."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        several = data if isinstance(data, list | tuple) else [data] if data else []
        if not several:
            raise forms.ValidationError("Choose at least one file.", code="required")
        return [super(ManyFilesField, self).clean(each, initial) for each in several]


class UploadForm(forms.Form):
    files = ManyFilesField(label="Drop files here, or choose them")  # type: ignore[assignment]
    source = forms.ModelChoiceField(
        Source.objects.filter(is_active=True).order_by("name"),
        required=False,
        empty_label="Guess from the file name",
        help_text="Sources say which file names mean them.",
    )
    period = forms.CharField(
        label="Expected period",
        required=False,
        help_text="Only to check the rows against: 2025-01, or 2025-Q1 for one of three months. "
        "Empty: taken from the file name.",
        widget=forms.TextInput(attrs={"placeholder": "2025-01"}),
    )
    dry_run = forms.BooleanField(label="Dry run: only say what would change", required=False)
    replace = forms.BooleanField(
        label="Go on even if more than half of the month would be withdrawn",
        required=False,
        help_text="Where each file is the whole truth for its month, rows that are gone are withdrawn.",
    )

    def clean_files(self) -> list[UploadedFile]:
        files: list[UploadedFile] = self.cleaned_data["files"]
        if sum(file.size or 0 for file in files) > settings.MAX_UPLOAD_BYTES:
            limit = settings.MAX_UPLOAD_BYTES // 1024**2
            raise forms.ValidationError(
                f"Together the files exceed {limit:,} MB. Upload fewer at a time, or use `manage.py ingest`."
            )
        return files

    def clean_period(self) -> str:
        period: str = self.cleaned_data["period"].strip()
        if period:
            try:
                ingestion.expected_months(period)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from error
        return period


def keep(files: Sequence[UploadedFile]) -> list[str]:
    """Write uploads below VAR_DIR, under names of our own: theirs never become a path."""
    folder = Path(settings.VAR_DIR) / "incoming" / uuid.uuid4().hex
    folder.mkdir(mode=0o750, parents=True)
    paths = []
    try:
        for number, file in enumerate(files, start=1):
            kept = folder / f"{number:03d}"
            with kept.open("xb") as target:
                for chunk in file.chunks():
                    target.write(chunk)
            kept.chmod(0o640)
            paths.append(str(kept))
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return paths


def stored(files: Sequence[UploadedFile]) -> list[int]:
    """Keep uploads by their hash, taken while they are written, and return the ids of what is stored."""
    return [store_chunks(file.chunks(), now=timezone.now()).pk for file in files]


def withdraw(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str:
    done = withdrawing.withdraw(imported=imported, actor=actor_of(request), now=timezone.now())
    return (
        f"Import {imported.pk} is withdrawn: {done.withdrawn:,} charges left, {done.revived:,} live again. "
        "Issue the statements again where some were out."
    )


class BookForm(forms.Form):
    into = forms.ModelChoiceField(
        BillingPeriod.objects.none(),
        label="Month that bears it",
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


def book(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str | Job:
    acting: dict[str, Any] = {"imported": imported, "actor": actor_of(request), "now": timezone.now()}
    if is_large(imported):
        return ingestion.decide_later(into=data["into"], **acting)
    return ingestion.book(into=data["into"], **acting).summary


def is_large(imported: Import) -> bool:
    """Whether reading a delivery once more takes longer than a page may."""
    rows = imported.imported_files.aggregate(rows=Sum("rows"))["rows"] or 0
    return max(rows, imported.rows) > jobs.LARGE


def apply_deferred(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str | Job:
    if is_large(imported):
        return ingestion.decide_later(imported=imported, actor=actor_of(request), now=timezone.now())
    done = ingestion.apply_deferred(imported=imported, actor=actor_of(request), now=timezone.now())
    return done.as_text().split("\n")[0]


def takes_changes(imported: Import) -> bool:
    """Whether a deferred import can be applied by hand to one of its months."""
    return imported.state == State.DEFERRED and any(period.takes_changes for period in late.months_of(imported))


def dismiss(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str:
    late.dismiss(imported=imported, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Import {imported.pk} is dismissed: nothing of it is booked."


def none_open(imported: Import) -> list[str]:
    if BillingPeriod.objects.taking_changes().exists():
        return []
    return ["No month takes changes. Open one under Billing periods."]


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
    when_empty = "Nothing was imported yet. Import files here, or by manage.py ingest."
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
            button="Apply delivery",
            permission="billing.book_import",
            run=apply_deferred,
            offered=takes_changes,
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
            offered=lambda imported: imported.state == State.DEFERRED and not takes_changes(imported),
            missing=none_open,
            question=lambda imported: (
                f"What import {imported.pk} changes is booked as late changes, to the payers charged then. "
                "The charges of the closed month stay as they are."
            ),
            details="admin/billing/import/original_difference.html",
            is_primary=True,
        ),
        Verb(
            name="dismiss",
            label="Dismiss…",
            button="Dismiss delivery",
            permission="billing.book_import",
            run=dismiss,
            form=DismissForm,
            offered=lambda imported: imported.state == State.DEFERRED,
            question="Nothing of it is booked, and the same files do not ask again. A later delivery is compared "
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

    def get_urls(self) -> list[Any]:
        own = path("upload/", self.admin_site.admin_view(self.upload_view), name="billing_import_upload")
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        imported = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if imported:
            labels = dict(Flag.Code.choices)
            context = {
                "counts": [(label, getattr(imported, name)) for name, label in COUNTS],
                "totals": totals_table(imported),
                "scopes": ImportTotal.objects.filter(imported_in=imported)
                .select_related("period")
                .order_by("period__month", "billing_account_id", "currency"),
                "flags": sorted(((labels.get(code, code), number) for code, number in imported.flags.items())),
                "files": imported.imported_files.select_related("file"),
                "is_applicable": takes_changes(imported),
                "rules": rule_lines(imported.rules),
                "tone": TONES.get(State(imported.state), ""),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Take files, keep them, and have the worker import them."""
        if not request.user.has_perm("billing.import_charges"):
            raise PermissionDenied
        form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
        form.label_suffix = ""
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            job = jobs.enqueue(
                kind=Job.Kind.IMPORT,
                arguments={
                    # A dry run keeps nothing: its copies go when it is over.
                    **({"paths": keep(data["files"])} if data["dry_run"] else {"files": stored(data["files"])}),
                    "names": [file.name for file in data["files"]],
                    "source": data["source"].name if data["source"] else "",
                    "period": data["period"],
                    "dry_run": data["dry_run"],
                    "replace": data["replace"],
                },
                actor=actor_of(request),
                now=timezone.now(),
            )
            messages.info(request, "The files are here. This page shows what the worker makes of them.")
            if request.headers.get("Accept") == "application/json":
                # The script that showed the progress of the upload goes on to the job by itself.
                return JsonResponse({"url": change_url(job)})
            return HttpResponseRedirect(change_url(job))
        context = {
            **self.admin_site.each_context(request),
            "title": "Import files",
            "opts": self.opts,
            "form": form,
            "limit": settings.MAX_UPLOAD_BYTES,
            "sources": Source.objects.filter(is_active=True).order_by("name"),
            "back": reverse("admin:billing_import_changelist"),
        }
        return TemplateResponse(request, "admin/billing/import/upload.html", context)
