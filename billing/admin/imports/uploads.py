"""The page of uploads: files are stored, then shown with the source and month of each, and imported when told."""

import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property

from ... import importing
from ...background import jobs
from ...files.received import display_name, local_copy, store_chunks
from ...importing import planning, standing
from ...importing.outcomes import OfAnotherSource, WouldWithdraw
from ...models import Import, Job, Source, StoredFile
from ...readers import FileError, open_delivery
from ...readers.manifests import names_in_manifest
from ...texts import number_in
from ..audited import actor_of
from ..links import change_url

# Where a session keeps the files that a person has yet to import.
CHOSEN = "chosen_files"
PERMISSION = "billing.import_charges"


class ManyFilesInput(forms.FileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """One or more files, chosen or dropped."""

    widget = ManyFilesInput

    def clean(self, data: object, initial: object = None) -> list[UploadedFile]:
        several = data if isinstance(data, list | tuple) else [data] if data else []
        if not several:
            raise forms.ValidationError("Choose at least one file.", code="required")
        return [super(ManyFilesField, self).clean(each, initial) for each in several]


class UploadForm(forms.Form):
    files = ManyFilesField(allow_empty_file=True, label="Drop files here, or choose them")  # type: ignore[assignment]

    def clean_files(self) -> list[UploadedFile]:
        files: list[UploadedFile] = self.cleaned_data["files"]
        if sum(file.size or 0 for file in files) > settings.MAX_UPLOAD_BYTES:
            limit = settings.MAX_UPLOAD_BYTES // 1024**2
            raise forms.ValidationError(f"Together the files exceed {limit:,} MB. Upload fewer at a time.")
        return files


class SourceField(forms.ModelChoiceField):
    """A source, by the name that people know."""

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.label)


class RowForm(forms.Form):
    """What a person may say of one file."""

    source = SourceField(
        Source.objects.filter(is_active=True).order_by("name"), required=False, empty_label="Choose a source"
    )
    period = forms.CharField(
        required=False, max_length=16, widget=forms.TextInput(attrs={"placeholder": "2025-01", "size": 9})
    )
    replace = forms.BooleanField(
        label="Import as delivered, even if this removes charges that are missing", required=False
    )
    force = forms.BooleanField(label="This is a file of this source", required=False)

    def __init__(self, *args: Any, row: "Row", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, words in (("source", "Source"), ("period", "Expected period")):
            self.fields[name].widget.attrs["aria-label"] = f"{words} of {row.name}"
        if "force" not in row.needs:
            del self.fields["force"]

    def clean_period(self) -> str:
        period: str = self.cleaned_data["period"].strip()
        if period:
            try:
                importing.expected_months(period)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from error
        return period


@dataclass
class Row:
    """A file that was uploaded and waits for its import, as a session keeps it."""

    file: int
    name: str
    source: str = ""
    period: str = ""
    replace: bool = False
    force: bool = False
    # What an earlier attempt lacked: `replace`, `force`; and what it said.
    needs: list[str] = field(default_factory=list)
    note: str = ""
    guess: str = ""
    key: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


class Chosen:
    """The files that a person has yet to import: kept in the session, so that they survive a reload and an error."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        rows = [Row(**each) for each in request.session.get(CHOSEN, [])]
        self.stored = StoredFile.objects.in_bulk([row.file for row in rows])
        self.gone = [row.name for row in rows if row.file not in self.stored]
        self.rows = [row for row in rows if row.file in self.stored]
        if self.gone:
            self.save()

    def save(self) -> None:
        self.request.session[CHOSEN] = [asdict(row) for row in self.rows]

    def add(self, files: Iterable[UploadedFile]) -> None:
        """Store files by their hash, and put each on the list with the source and month that its name speaks of."""
        for file in files:
            stored = store_chunks(file.chunks(), now=timezone.now())
            name = display_name(file.name or "")
            if any(row.file == stored.pk and row.name == name for row in self.rows):
                continue
            self.stored[stored.pk] = stored
            source, note = guessed_source(stored, name)
            period = importing.period_in_name(name)
            self.rows.append(Row(stored.pk, name, source, period, guess=source, note=note))
        self.save()

    def add_again(self, imported: Import) -> None:
        """Put the files of an import that was refused on the list, with what it lacked."""
        lacked = lacking(imported.errors)
        files = imported.imported_files.select_related("file").order_by("number")
        for name, file in dict.fromkeys((each.name.removesuffix(f"/{each.member}"), each.file) for each in files):
            self.rows = [row for row in self.rows if (row.file, row.name) != (file.pk, name)]
            self.stored[file.pk] = file
            self.rows.append(
                Row(
                    file.pk,
                    name,
                    imported.source.name if imported.source else "",
                    imported.expected_period or importing.period_in_name(name),
                    **lacked,
                )
            )
        self.save()

    def add_refusals(self, job: Job) -> None:
        """Note on the files of the list what a dry run of them was refused for."""
        result = job.result or {}
        names = job.arguments.get("names", [])
        for each in result.get("imports") or [{"files": names, "errors": result.get("errors", [])}]:
            for row in self.rows:
                if row.name in each["files"] and each["errors"]:
                    told = lacking(each["errors"])
                    row.note, row.needs, row.force = told["note"], told["needs"], told["force"]
        self.save()

    def take(self, forms_of: "list[RowOnPage]") -> None:
        """Note what a person said of each file."""
        for each in forms_of:
            each.form.full_clean()
            data = each.form.cleaned_data
            if "source" in data:
                each.row.source = data["source"].name if data["source"] else ""
            each.row.period = data.get("period", each.form["period"].value() or "")[:16]
            each.row.replace = data.get("replace", each.row.replace)
            each.row.force = data.get("force", each.row.force)
        self.save()

    def drop(self, keys: Iterable[str]) -> None:
        keys = set(keys)
        self.rows = [row for row in self.rows if row.key not in keys]
        self.save()


@dataclass
class RowOnPage:
    """A file of the list, with its form and what is known of it."""

    row: Row
    form: RowForm
    stored: StoredFile
    before: Import | None
    together: list[str] = field(default_factory=list)

    @property
    def given(self) -> planning.Given:
        source = Source.objects.filter(name=self.row.source).first() if self.row.source else None
        return planning.Given(
            local_copy(self.stored),
            self.row.name,
            source,
            self.row.period,
            replace=self.row.replace,
            force=self.row.force,
            stored=self.row.file,
        )

    @cached_property
    def is_manifest(self) -> bool:
        return bool(names_in_manifest(local_copy(self.stored)))

    @property
    def guess_text(self) -> str:
        """Say where the source comes from."""
        if self.row.guess and self.row.guess == self.row.source:
            return "Guessed from the file name"
        if not self.row.source:
            return "It goes with its files" if self.is_manifest else "No source recognizes this name"
        return ""

    @property
    def before_text(self) -> str:
        if not self.before:
            return ""
        day = date_format(timezone.localtime(self.before.created_at), "DATE_FORMAT")
        source = self.before.source
        if source and source.name != self.row.source:
            return f"The same file was imported for {source.label} on {day} (import {self.before.pk})."
        return f"The same file was imported on {day} (import {self.before.pk}). Importing it again changes nothing."


def lacking(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a refusal said of a file, and the tick boxes that would let it in."""
    steps = {error.get("step", "") for error in errors}
    needs = [name for name, of in (("replace", WouldWithdraw), ("force", OfAnotherSource)) if of.step in steps]
    # What was confirmed before is refused for another reason now, and need not be confirmed again.
    confirmed = any(error.get("confirmed") for error in errors)
    return {
        "needs": [*needs, *(["force"] if confirmed else [])],
        "note": " ".join(error["message"] for error in errors[:2]),
        "force": confirmed,
    }


def guessed_source(stored: StoredFile, name: str) -> tuple[str, str]:
    """Return the source that a file's name, or those of an archive's members, fits, and what is wrong with the file."""
    guess, note = Source.objects.for_file_name(name), ""
    try:
        path = local_copy(stored)
        parts = [] if names_in_manifest(path) else open_delivery([path], [name], beside=False)
    except FileError as error:
        parts, note = [], " ".join(problem.message for problem in error.problems[:2])
    if guess is None and parts:
        guesses = {Source.objects.for_file_name(part.name) for part in parts}
        guess = guesses.pop() if len(guesses) == 1 else None
    return guess.name if guess else "", note


def on_page(chosen: Chosen, data: Any = None) -> list[RowOnPage]:
    """Return the list as the page shows it; `data` is what was sent."""
    before = standing.imported_in(chosen.stored)
    sources = {source.name: source.pk for source in Source.objects.filter(is_active=True)}
    shown = []
    for row in chosen.rows:
        initial = {
            "source": sources.get(row.source),
            "period": row.period,
            "replace": row.replace,
            "force": row.force,
        }
        # A file that was added in another window meanwhile is not in what was sent.
        sent = data if data and f"{row.key}-period" in data else None
        form = RowForm(sent, initial=initial, prefix=row.key, row=row, label_suffix="")
        last = before.get(row.file)
        shown.append(RowOnPage(row, form, chosen.stored[row.file], last))
    return shown


def upload(request: HttpRequest, *, context: dict[str, Any]) -> HttpResponse:
    """Take files and keep them, show what each is taken for, and have the worker import them."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    chosen = Chosen(request)
    if chosen.gone:
        messages.warning(request, f"No longer kept, choose them again: {', '.join(chosen.gone)}.")
    if request.method == "GET" and _take_up(request, chosen):
        return _here()
    form = UploadForm(label_suffix="")
    rows = on_page(chosen)
    if request.method == "POST":
        if "listed" in request.POST:
            rows = on_page(chosen, request.POST)
            answer = _decide(request, chosen, rows)
        else:
            form = UploadForm(request.POST, request.FILES, label_suffix="")
            answer = _add(request, chosen, form)
        if answer:
            return answer
    planned = planning.plan([each.given for each in rows])
    for each in rows:
        group = next(group for group in planned if any(given.name == each.row.name for given in group.files))
        each.together = [name for name in group.names if name != each.row.name]
    context |= {
        "title": "Import files",
        "form": form,
        "rows": rows,
        "limit": settings.MAX_UPLOAD_BYTES,
        "sources": Source.objects.filter(is_active=True).order_by("name"),
        "back": reverse("admin:billing_import_changelist"),
    }
    return TemplateResponse(request, "admin/billing/import/upload.html", context)


def _here() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:billing_import_upload"))


def _take_up(request: HttpRequest, chosen: Chosen) -> bool:
    """Put on the list what the address names: a refused import (`again`), or what a dry run found (`job`)."""
    if (number := number_in(request.GET.get("again", ""))) is not None:
        if imported := Import.objects.filter(pk=number).select_related("source").first():
            chosen.add_again(imported)
        return True
    if (number := number_in(request.GET.get("job", ""))) is not None:
        asked = Job.objects.filter(pk=number, created_by=request.user.pk, kind=Job.Kind.IMPORT)
        if job := asked.first():
            chosen.add_refusals(job)
        return True
    return False


def _add(request: HttpRequest, chosen: Chosen, form: UploadForm) -> HttpResponse | None:
    """Keep the files that were sent; None where the form has to be mended first."""
    if not form.is_valid():
        return None
    chosen.add(form.cleaned_data["files"])
    if request.headers.get("Accept") == "application/json":
        # The script that showed the progress of the upload goes on by itself.
        return JsonResponse({"url": reverse("admin:billing_import_upload")})
    return _here()


def _decide(request: HttpRequest, chosen: Chosen, rows: list[RowOnPage]) -> HttpResponse | None:
    """Do what was asked of the list; None where something has to be mended first."""
    rows = [each for each in rows if each.form.is_bound]
    chosen.take(rows)
    if "remove" in request.POST:
        chosen.drop([request.POST["remove"]])
        return _here()
    if "clear" in request.POST:
        chosen.drop([row.key for row in chosen.rows])
        return _here()
    if not rows or not {"import", "dry_run"} & set(request.POST):
        return _here()
    planned = planning.plan([each.given for each in rows])
    for group in planned:
        if group.source is None:
            for each in rows:
                if each.row.name in group.names and not each.row.source:
                    each.form.add_error("source", "Choose a source.")
    if not all(each.form.is_valid() for each in rows):
        return None
    is_dry_run = "dry_run" in request.POST
    imports = [group.as_arguments() for group in planned]
    job = jobs.enqueue(
        kind=Job.Kind.IMPORT,
        arguments={
            "imports": imports,
            "files": [number for each in imports for number in each["files"]],
            "names": [name for each in imports for name in each["names"]],
            "dry_run": is_dry_run,
        },
        actor=actor_of(request),
        now=timezone.now(),
    )
    if not is_dry_run:
        chosen.drop([each.row.key for each in rows])
    return HttpResponseRedirect(change_url(job))
