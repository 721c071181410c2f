"""The queue of charges that are held for review, to decide one by one, many at once, or in a spreadsheet."""

from tempfile import SpooledTemporaryFile
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from ... import doors
from ...errors import BillingError, NoLongerKept
from ...models import Charge, HeldCharge
from ...review import review_sheets
from ...setup import kept_sheets
from ..audited import actor_of
from ..filters import period_filter
from ..formatting import amount_column
from ..naming import suggest_view
from .filters import AmountFilter, GroupFilter, PresenceFilter, ReasonFilter
from .groups import GroupsMixin
from .listing import action_of
from .steps import STEPS

SHEET = "review-sheet"
MAX_SHEET_BYTES = 64 * 1024**2
SHOWN_ROWS = 500


class SheetForm(forms.Form):
    file = forms.FileField(label="Spreadsheet", help_text="The .xlsx that “Export to spreadsheet” wrote, filled in.")

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > MAX_SHEET_BYTES:
            raise forms.ValidationError(f"The file exceeds {MAX_SHEET_BYTES // 1024**2} MB. Apply it in parts.")
        return file


@admin.register(HeldCharge)
class HeldChargeAdmin(GroupsMixin):
    when_empty = "Nothing waits for review."
    list_display = (
        "charge_link",
        "reasons",
        amount_column("billed_cost", "billed"),
        "owner",
        "payers",
        "source",
        "used",
        "month",
    )
    list_filter = (period_filter("charged_in"), ReasonFilter, "source", AmountFilter, PresenceFilter, GroupFilter)
    linked_by = ("imported_in",)
    sortable_by = ("charge_link", "billed_cost_amount")
    change_list_template = "admin/billing/charge/queue.html"
    actions: Any = tuple(
        action_of(STEPS[name]) for name in ("approve", "correct", "reject", "charge_to_center", "undo")
    )

    def get_urls(self) -> list[URLPattern]:
        return [
            path("suggest/", self.admin_site.admin_view(suggest_view), name="billing_heldcharge_suggest"),
            path("decide/", self.admin_site.admin_view(self.decide_view), name="billing_heldcharge_decide"),
            path("export/", self.admin_site.admin_view(self.export_view), name="billing_heldcharge_export"),
            path("apply/", self.admin_site.admin_view(self.apply_view), name="billing_heldcharge_apply"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the charge's own page, which it keeps when it leaves the queue."""
        return HttpResponseRedirect(reverse("admin:billing_charge_change", args=[object_id]))

    def export_view(self, request: HttpRequest) -> FileResponse:
        """Write the queue, as filtered, to a spreadsheet."""
        if not self.has_review_permission(request):
            raise PermissionDenied
        charges = self.get_changelist_instance(request).get_queryset(request)
        file = SpooledTemporaryFile(max_size=4 * 1024**2)  # noqa: SIM115 (the response closes it)
        chosen = Charge.objects.filter(pk__in=charges.order_by().values("pk"))
        review_sheets.export(charges=chosen, file=file, actor=actor_of(request), now=timezone.now())
        file.seek(0)
        return FileResponse(
            file,
            as_attachment=True,
            filename=f"charges-to-review-{timezone.localdate():%Y-%m-%d}.xlsx",
            content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        )

    def apply_view(self, request: HttpRequest) -> HttpResponse:
        """Take a spreadsheet, show what it would do, and do that once confirmed."""
        if not self.has_review_permission(request):
            raise PermissionDenied
        if request.method == "POST" and "kept" in request.POST:
            return self._apply_kept(request, request.POST["kept"])
        form = SheetForm(request.POST, request.FILES) if request.method == "POST" else SheetForm()
        form.label_suffix = ""
        context: dict[str, Any] = {}
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                planned = review_sheets.apply(file=file, dry_run=True, actor=actor_of(request), now=timezone.now())
            except review_sheets.SheetRefused as error:
                context = {"errors": error.errors[:SHOWN_ROWS], "error_count": len(error.errors)}
            except BillingError as error:
                form.add_error("file", doors.for_page(error, request.user))
            else:
                context = {"planned": planned, "shown": planned.rows[:SHOWN_ROWS], "file_name": file.name}
                if planned.rows:
                    context["kept"] = kept_sheets.token_of(kept_sheets.keep(file), owner=request.user.pk, about=SHEET)
        return TemplateResponse(
            request,
            "admin/billing/charge/apply.html",
            {
                **self.admin_site.each_context(request),
                "title": "Apply a spreadsheet",
                "opts": self.opts,
                "form": form,
                "back": reverse("admin:billing_heldcharge_changelist"),
                "media": self.media,
                **context,
            },
        )

    def _apply_kept(self, request: HttpRequest, token: str) -> HttpResponse:
        again = HttpResponseRedirect(reverse("admin:billing_heldcharge_apply"))
        try:
            name = kept_sheets.name_of(token, owner=request.user.pk, about=SHEET)
            with kept_sheets.opened(name) as file:
                applied = review_sheets.apply(file=file, actor=actor_of(request), now=timezone.now())
        except NoLongerKept as error:
            messages.error(request, str(error))
            return again
        except BillingError as error:
            messages.error(request, f"{str(error)[:1000]} Upload it again to see every line.")
            return again
        kept_sheets.drop(name)
        messages.success(request, str(applied))
        return HttpResponseRedirect(reverse("admin:billing_heldcharge_changelist"))
