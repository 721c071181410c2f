"""The page that maps the columns of a table: a file to look at, which column is what, and what comes of it."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from ... import doors
from ...errors import BillingError
from ...files.received import display_name
from ...models import UsageFeed
from ...quantities import plain, unit_of
from ...readers import FileError
from ...setup import kept_sheets
from ...texts import long_date
from ...usage import feeds
from ...usage.readers.cell_moments import DateForm
from ...usage.readers.columns import COLUMNS
from ...usage.readers.previewing import Look, Preview, PreviewRecord, look, preview
from ...usage.readers.settings import OF_FEEDS
from ...usage.readers.suggesting import suggested
from ..audited import actor_of
from ..links import change_url
from .mapping_form import MappingForm

PERMISSION = "billing.change_usagefeed"
SALT = "usage-columns"
# It is looked at while the page loads.
MAX_BYTES = 20 * 1024**2
SAVE, SHEET = "_save", "_sheet"
ROWS = 20
MIDNIGHT = datetime.time(0)


def is_mapped_by_columns(feed: UsageFeed) -> bool:
    return feed.kind == COLUMNS.name


class FileForm(forms.Form):
    file = forms.FileField(
        label="A file of this feed",
        help_text="CSV or Excel, up to 20 MB. It is looked at, and nothing of it is charged. It is deleted when you "
        "save, or after a day.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx,.gz,.zip"}),
    )

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > MAX_BYTES:
            raise forms.ValidationError("The file is larger than 20 MB. Take a part of it, with the header.")
        return file


@dataclass(frozen=True)
class Kept:
    """The file that a page is about: where it is kept, how it is called, and what stands for it on the page."""

    path: Path
    name: str
    token: str


class ColumnsMixin(admin.ModelAdmin):
    """Maps the columns of feeds of tables: uploads a file, shows what a mapping makes of it, and saves the mapping."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.columns_view)
        own = path("<path:object_id>/columns/", view, name="billing_usagefeed_columns")
        return [own, *super().get_urls()]

    def columns_url(self, feed: UsageFeed) -> str:
        return reverse("admin:billing_usagefeed_columns", args=[quote(feed.pk)])

    def buttons(self, request: HttpRequest, subject: UsageFeed) -> list[dict[str, Any]]:
        """Return the buttons of a feed: with one that maps its columns, if it has any to map."""
        found: list[dict[str, Any]] = super().buttons(request, subject)  # type: ignore[misc]
        if is_mapped_by_columns(subject) and request.user.has_perm(PERMISSION):
            is_next = feeds.are_columns_to_be_mapped(subject)
            found.append({"label": "Map columns…", "url": self.columns_url(subject), "is_primary": is_next})
        return found

    def response_add(self, request: HttpRequest, obj: UsageFeed, post_url_continue: str | None = None) -> HttpResponse:
        """Lead to the page that maps columns, where they are still to be mapped."""
        response = super().response_add(request, obj, post_url_continue)
        if not feeds.are_columns_to_be_mapped(obj):
            return response
        messages.info(request, "Next: say which column is what.")
        return HttpResponseRedirect(self.columns_url(obj))

    def columns_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        feed = self.get_object(request, unquote(object_id))
        if feed is None:
            raise Http404("There is no such usage feed.")
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        if not is_mapped_by_columns(feed):
            messages.error(request, f"The files of {feed.label} are no tables whose columns are mapped.")
            return HttpResponseRedirect(change_url(feed))
        upload = (
            FileForm(request.POST, request.FILES) if "file" in request.FILES or _asks_nothing(request) else FileForm()
        )
        upload.label_suffix = ""
        page = _Page(self, request, feed, upload)
        if request.method != "POST":
            return page.response()
        try:
            kept = page.kept()
            return page.of_file(kept) if kept else page.response()
        except FileError as error:
            upload.errors.setdefault("file", upload.error_class([str(each) for each in error.problems[:5]]))
        except BillingError as error:
            messages.error(request, doors.for_page(error, request.user))
        return page.response()


def _asks_nothing(request: HttpRequest) -> bool:
    return request.method == "POST" and "kept" not in request.POST


@dataclass
class _Page:
    """The page for one request."""

    screen: ColumnsMixin
    request: HttpRequest
    feed: UsageFeed
    upload: FileForm

    def kept(self) -> Kept | None:
        """Return the file that the page is about, None where none was chosen; raises NoLongerKept."""
        owner = self.request.user.pk
        if self.upload.is_bound:
            if not self.upload.is_valid():
                return None
            file = self.upload.cleaned_data["file"]
            name = kept_sheets.keep(file)
            token = kept_sheets.token_of(name, owner=owner, about=SALT)
            return Kept(kept_sheets.path_of(name), display_name(file.name or ""), token)
        token = self.request.POST.get("kept", "")
        name = kept_sheets.name_of(token, owner=owner, about=SALT)
        return Kept(kept_sheets.path_of(name), display_name(self.request.POST.get("file_name", "")), token)

    def of_file(self, kept: Kept) -> HttpResponse:
        """Show what the mapping makes of a file, or save it."""
        present = {name: value for name, value in self.feed.settings.items() if name not in OF_FEEDS}
        sent = self.request.POST
        is_new = self.upload.is_bound or SHEET in sent
        sheet = sent.get("sheet", "") if "sheet" in sent else str(present.get("sheet") or "")
        found = self._look(kept, sheet)
        if is_new:
            mapping = present or suggested(found)
            form = MappingForm(found)
            form.initial = form.initial_of(mapping)
            return self.shown(kept, found, form, self._previewed(kept, mapping))
        form = MappingForm(found, sent)
        if not form.is_valid():
            return self.shown(kept, found, form, None)
        mapping = form.settings()
        previewed = self._previewed(kept, mapping)
        if SAVE in sent and (saved := self._saved(kept, form, mapping)):
            return saved
        return self.shown(kept, found, form, previewed)

    def _look(self, kept: Kept, sheet: str) -> Look:
        try:
            return look(kept.path, kept.name, sheet=sheet, rows=ROWS)
        except FileError:
            # A sheet of the settings that this workbook does not have.
            if not sheet:
                raise
            return look(kept.path, kept.name, rows=ROWS)

    def _previewed(self, kept: Kept, mapping: Mapping[str, Any]) -> Preview:
        return preview(kept.path, {"time_zone": self.feed.time_zone, **mapping}, ROWS, name=kept.name)

    def _saved(self, kept: Kept, form: MappingForm, mapping: dict[str, Any]) -> HttpResponse | None:
        """Save the mapping, and leave for the feed; None where it is refused, which the form then says."""
        others = {name: value for name, value in self.feed.settings.items() if name in OF_FEEDS}
        try:
            feeds.change(
                feed=self.feed,
                fields={"settings": mapping | others},
                actor=actor_of(self.request),
                now=timezone.now(),
            )
        except ValidationError as error:
            form.add_error(None, error.messages)
            return None
        kept_sheets.drop(kept.path.name)
        messages.success(self.request, f"The columns of {self.feed.label} are mapped. Files can be read now.")
        return HttpResponseRedirect(change_url(self.feed))

    def shown(self, kept: Kept, found: Look, form: MappingForm, previewed: Preview | None) -> HttpResponse:
        return self.response(
            kept=kept,
            look=found,
            form=form,
            forms_of_dates=list(DateForm),
            preview=previewed,
            left_out=sorted(previewed.left_out.items()) if previewed else [],
            records=[_shown(record, previewed) for record in previewed.records] if previewed else [],
        )

    def response(self, **context: Any) -> HttpResponse:
        whole = {
            **self.screen.admin_site.each_context(self.request),
            "title": "Map columns",
            "subtitle": str(self.feed),
            "opts": self.screen.opts,
            "original": self.feed,
            "upload": self.upload,
            "back": change_url(self.feed),
            "media": self.screen.media,
            **context,
        }
        return TemplateResponse(self.request, "admin/billing/usagefeed/columns.html", whole)


def _shown(record: PreviewRecord, previewed: Preview) -> dict[str, Any]:
    """Return a record as the page tells it."""
    values = record.values
    known = {"start", "end", "account", "user", "resource", "free", "id", *previewed.units}
    return {
        "line": record.line,
        "start": _moment(values["start"]),
        "end": _moment(values["end"]),
        "who": values["account"],
        "user": values["user"],
        "resource": values["resource"],
        "free": values["free"],
        "attributes": [(name, value) for name, value in values.items() if name not in known and value],
        "measures": [(plain(values[name]), unit_of(values[name], unit)) for name, unit in previewed.units.items()],
    }


def _moment(at: datetime.datetime) -> str:
    return long_date(at.date()) if at.time() == MIDNIGHT else f"{long_date(at.date())}, {at:%H:%M}"
