"""Files of usage that were read: what became of their lines, and taking one back. The files themselves are not kept."""

from functools import cached_property
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ...models import Job, UsageFile
from ...usage import bringing
from ..audited import FrozenAdmin, actor_of
from ..choice_chips import ChoiceChip, address_by, choice_chips
from ..formatting import badge_column, count_column
from ..verbs import Verb
from . import told
from .reading import PERMISSION, read_view

STATE = "state__exact"
TONES = {UsageFile.State.STANDING: "good"}


class WithdrawForm(forms.Form):
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the file.")


def _withdraw(request: HttpRequest, file: UsageFile, data: dict[str, Any]) -> str | Job:
    withdrawn, job = bringing.withdraw_later(
        file=file, reason=data["reason"], actor=actor_of(request), now=timezone.now()
    )
    return job or f"Usage file {withdrawn.pk} is withdrawn. It had no usage in it, so no month changes."


def _what_is_priced_again(file: UsageFile) -> str:
    months = told.months_said([file], file.feed)
    then = (
        f"The worker then prices {months} again without it, and the later months that build on it."
        if months
        else "No month has usage of it."
    )
    return f"“{file.name}” counts no longer. {then} Its records are kept, and it can be read again."


WITHDRAW = Verb(
    name="withdraw",
    label="Withdraw…",
    button="Withdraw file",
    permission=PERMISSION,
    run=_withdraw,
    form=WithdrawForm,
    offered=lambda file: file.state == UsageFile.State.STANDING,
    question=_what_is_priced_again,
    is_dangerous=True,
)


class FileList(ChangeList):
    """A page of files, with how many are of each state."""

    @cached_property
    def state_chips(self) -> list[ChoiceChip]:
        whole = self.get_queryset(self.request, exclude_parameters=[STATE])
        numbers = dict(whole.order_by().values_list("state").annotate(number=Count("pk")))
        every = ChoiceChip("", "All", sum(numbers.values()))
        found = [ChoiceChip(value, label, numbers.get(value, 0)) for value, label in UsageFile.State.choices]
        chosen = str(self.get_filters_params().get(STATE, [""])[0])
        return choice_chips([every, *found], chosen=chosen, url_of=address_by(self, STATE))

    def get_results(self, request: HttpRequest) -> None:
        self.request = request
        super().get_results(request)


@admin.register(UsageFile)
class UsageFileAdmin(FrozenAdmin):
    when_empty = "No file of usage was read yet. Read files here: their records are kept, and their months priced."
    list_display = (
        "number",
        "feed",
        badge_column("state", TONES),
        "days",
        count_column("records"),
        "left_out_count",
        "read_on",
        "by",
    )
    list_filter = ("feed", "state")
    list_select_related = ("feed",)
    search_fields = ("name", "original_sha256")
    search_help_text = "name or SHA-256"
    sortable_by = ("number", "records_count")
    fields = ()
    verbs = (WITHDRAW,)
    change_list_template = "admin/billing/usagefile/change_list.html"
    change_form_template = "admin/billing/usagefile/change_form.html"

    @admin.display(description="file", ordering="id")
    def number(self, file: UsageFile) -> SafeString:
        return format_html('{}<span class="quiet small plainly block">{}</span>', file.pk, file.name[:60])

    @admin.display(description="usage of")
    def days(self, file: UsageFile) -> str:
        return told.days_of(file)

    @admin.display(description="left out")
    def left_out_count(self, file: UsageFile) -> str:
        return f"{sum(file.left_out.values()):,}"

    @admin.display(description="read", ordering="read_at")
    def read_on(self, file: UsageFile) -> str:
        return date_format(timezone.localtime(file.read_at), "DATETIME_FORMAT")

    @admin.display(description="by")
    def by(self, file: UsageFile) -> str:
        return file.read_by_name or "the system"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FileList]:
        return FileList

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.read_view)
        return [path("read/", view, name="billing_usagefile_read"), *super().get_urls()]

    def read_view(self, request: HttpRequest) -> HttpResponse:
        """Read files of usage within this request, and have the worker price their months."""
        return read_view(request, {**self.admin_site.each_context(request), "opts": self.opts})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        file = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if file:
            context = {
                "tone": TONES.get(UsageFile.State(file.state), ""),
                "days": told.days_of(file),
                "totals": told.totals_lines(file),
                "left_out": sorted(file.left_out.items(), key=lambda each: (-each[1], each[0])),
                "left_out_number": sum(file.left_out.values()),
                "months": told.with_latest(file.months)
                .select_related("feed", "period", "schedule")
                .order_by("-pk")[:50],
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))
