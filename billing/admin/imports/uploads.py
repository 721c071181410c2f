"""The page of uploads: files are stored, then shown with the source and month of each, and imported when told."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
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
from django.utils.safestring import SafeString

from ... import importing
from ...fields import WIDE
from ...files.received import local_copy
from ...importing import planning, standing
from ...importing.outcomes import OfAnotherSource, SourceUnknown, WouldWithdraw
from ...models import Import, Source, StoredFile
from ...money import ZERO
from ...readers.columns import NOTHING_OF_FOCUS
from ...readers.manifests import names_in_manifest
from ...texts import number_in
from ..formatting import badge
from ..links import change_url
from . import words
from .checks import STATES, Checks, Found, enqueue, lines_of
from .chosen import Chosen, Row, lacking
from .fields import PeriodField, SourceField

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


class RowForm(forms.Form):
    """What a person may say of one file."""

    source = SourceField(
        Source.objects.filter(is_active=True).order_by("name"), required=False, empty_label="Choose a source"
    )
    period = PeriodField(label="Expected period")
    replace = forms.BooleanField(
        label="Import as delivered, even if this removes charges that are missing", required=False
    )
    force = forms.BooleanField(label="This is a file of this source", required=False)

    def __init__(self, *args: Any, row: Row, sources: Iterable[Source], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        source = self.fields["source"]
        assert isinstance(source, SourceField)
        # They are looked up once for all files.
        source.choices = [("", "Choose a source"), *((each.pk, each.label) for each in sources)]
        for name, label in (("source", "Source"), ("period", "Expected period")):
            self.fields[name].widget.attrs["aria-label"] = f"{label} of {row.name}"
        for name in ("force", "replace"):
            if name not in row.needs and not getattr(row, name):
                del self.fields[name]


@dataclass
class RowOnPage:
    """A file of the list, with its form and what is known of it."""

    row: Row
    form: RowForm
    stored: StoredFile
    before: Import | None
    source: Source | None
    planned: planning.Planned | None = None
    found: Found = field(default_factory=Found)
    # The files of the same import, this one among them.
    parts: "list[RowOnPage]" = field(default_factory=list)

    @property
    def given(self) -> planning.Given:
        return planning.Given(
            local_copy(self.stored),
            self.row.name,
            self.source,
            self.row.period,
            replace=self.row.replace,
            force=self.row.force,
            stored=self.row.file,
        )

    @cached_property
    def is_manifest(self) -> bool:
        return bool(names_in_manifest(local_copy(self.stored)))

    @property
    def lacks_source(self) -> bool:
        return self.planned is not None and self.planned.source is None

    @property
    def state(self) -> str:
        """What is to be said of it, in one word of `STATES`."""
        if self.row.is_unreadable and not self.found.result:
            return "broken"
        if self.found.state != "unchecked":
            return self.found.state
        is_asked = self.lacks_source or self.period_problem or (self.row.note and self.row.needs)
        return "waits" if is_asked else "unchecked"

    @property
    def badge(self) -> SafeString:
        label, tone = STATES[self.state]
        return badge(label, tone)

    @property
    def is_fit(self) -> bool:
        """Whether nothing about this file stands in the way of an import."""
        is_refused = self.found.state == "unchecked" and "force" in self.row.needs and not self.row.force
        is_broken = self.state == "broken" or self.lacks_source or bool(self.period_problem)
        return not (is_broken or is_refused) and self.found.is_importable

    @property
    def is_importable(self) -> bool:
        """Whether it can be imported as it is: with all the files that it is one import with."""
        return all(each.is_fit for each in self.parts)

    @cached_property
    def period_problem(self) -> str:
        """What is wrong with its period."""
        try:
            importing.expected_months(self.row.period)
        except ValueError as error:
            return str(error) if self.row.period else ""
        return ""

    @property
    def together(self) -> list[str]:
        return [name for name in self.planned.names if name != self.row.name] if self.planned else []

    @property
    def lines(self) -> list[str]:
        """What was found, a sentence or two each."""
        if self.row.is_unreadable and not self.found.result:
            return [self.row.note]
        found = lines_of(self.found, [self.row.name], of_several=bool(self.together))
        if not found and self.row.note:
            return [self.row.note]
        return found

    @property
    def next_step(self) -> str:
        """What a person does next about it."""
        if self.lacks_source:
            return "Choose its source."
        if self.state == "broken":
            return "Correct the file and drop it here again. It takes the place of this one."
        steps = {error.get("step") for error in self.found.errors}
        if steps & {OfAnotherSource.step, SourceUnknown.step}:
            return "Choose its source, or confirm this one."
        if WouldWithdraw.step in steps:
            return "Import it: it waits for a decision. Or say that it is right."
        if self.state == "seen":
            return "Take it off the list."
        return ""

    @property
    def may_be_usage(self) -> bool:
        """Whether it has nothing of FOCUS, as a file of usage has."""
        return self.state == "broken" and any(line.endswith(NOTHING_OF_FOCUS) for line in self.lines)

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


def on_page(chosen: Chosen, checks: Checks, data: Any = None) -> list[RowOnPage]:
    """Return the list as the page shows it; `data` is what was sent."""
    before = standing.imported_in(chosen.stored)
    sources = {source.name: source for source in Source.objects.filter(is_active=True).order_by("name")}
    shown = [
        RowOnPage(
            row, RowForm(row=row, sources=()), chosen.stored[row.file], before.get(row.file), sources.get(row.source)
        )
        for row in chosen.rows
    ]
    look_up(shown, checks)
    for each in shown:
        row = each.row
        row.needs = list(dict.fromkeys([*row.needs, *lacking(each.found.errors)["needs"]]))
        initial = {"source": each.source and each.source.pk, "period": row.period}
        initial |= {"replace": row.replace, "force": row.force}
        # A file that was added in another window meanwhile is not in what was sent.
        sent = data if data and f"{row.key}-period" in data else None
        each.form = RowForm(sent, initial=initial, prefix=row.key, row=row, sources=sources.values(), label_suffix="")
    return shown


def look_up(rows: Sequence[RowOnPage], checks: Checks) -> list[planning.Planned]:
    """Note on files which import each is part of, and what is known of it; return these imports."""
    planned = planning.plan([each.given for each in rows])
    found = [checks.of(each) for each in planned]
    for each in rows:
        at = next(at for at, one in enumerate(planned) if _is_of(each.row, one))
        each.planned, each.found = planned[at], found[at]
    for each in rows:
        each.parts = [other for other in rows if other.planned is each.planned]
    return planned


def _is_of(row: Row, planned: planning.Planned) -> bool:
    return any((given.stored, given.name) == (row.file, row.name) for given in planned.files)


def upload(request: HttpRequest, *, context: dict[str, Any]) -> HttpResponse:
    """Take files and keep them, show what each is taken for, and have the worker import them."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    chosen, checks = Chosen(request), Checks(request)
    if chosen.gone:
        messages.warning(request, f"No longer kept, choose them again: {', '.join(chosen.gone)}.")
    if request.method == "GET" and _take_up(request, chosen):
        return _here()
    form = UploadForm(label_suffix="")
    is_list = request.method == "POST" and "listed" in request.POST
    rows = on_page(chosen, checks, request.POST if is_list else None)
    answer: HttpResponse | None = None
    if is_list:
        answer = _decide(request, chosen, checks, rows)
    elif request.method == "POST":
        form = UploadForm(request.POST, request.FILES, label_suffix="")
        answer = _add(request, chosen, checks, rows, form)
    if answer:
        return answer
    taken = [each for each in rows if each.is_importable]
    context |= {
        "title": "Import files",
        "form": form,
        "rows": rows,
        "taken": taken,
        "comes_to": _comes_to(taken),
        "summary": _summary(rows),
        "is_busy": any(each.state == "checking" for each in rows),
        "limit": settings.MAX_UPLOAD_BYTES,
        "sources": Source.objects.filter(is_active=True).order_by("name"),
        "back": reverse("admin:billing_import_changelist"),
    }
    return TemplateResponse(request, "admin/billing/import/upload.html", context)


def _summary(rows: Sequence[RowOnPage]) -> list[tuple[str, int, str]]:
    """Return how many files there are of each state: its name, the number, and its color."""
    numbers = Counter(each.state for each in rows)
    return [(label.lower(), numbers[state], tone) for state, (label, tone) in STATES.items() if numbers[state]]


def _comes_to(rows: Sequence[RowOnPage]) -> str:
    """Say what the checked files come to: rows, and money by currency; nothing where one is not checked."""
    results = {id(each.planned): each.found.result for each in rows}
    if not all(results.values()):
        return ""
    billed: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for result in results.values():
        for currency, exact in words.billed_of(result["totals"]).items():
            billed[currency] = WIDE.add(billed[currency], exact)
    number = sum(result["rows"] for result in results.values())
    return (
        ", ".join(filter(None, (f"{number:,} row{'' if number == 1 else 's'}", words.money(billed)))) if number else ""
    )


def _here() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:billing_import_upload"))


def _take_up(request: HttpRequest, chosen: Chosen) -> bool:
    """Put on the list what the address names: a refused import (`again`). What a check found (`job`) is there."""
    if (number := number_in(request.GET.get("again", ""))) is not None:
        if imported := Import.objects.filter(pk=number).select_related("source").first():
            chosen.add_again(imported)
        return True
    return number_in(request.GET.get("job", "")) is not None


def _add(
    request: HttpRequest, chosen: Chosen, checks: Checks, rows: list[RowOnPage], form: UploadForm
) -> HttpResponse | None:
    """Keep the files that were sent, and have them checked; None where the form has to be mended first."""
    if not form.is_valid():
        return None
    chosen.add(form.cleaned_data["files"], [each.row.key for each in rows if each.state == "broken"])
    _ask(chosen, checks)
    if request.headers.get("Accept") == "application/json":
        # The script that showed the progress of the upload goes on by itself.
        return JsonResponse({"url": reverse("admin:billing_import_upload")})
    return _here()


def _ask(chosen: Chosen, checks: Checks) -> None:
    """Have the files checked as they are on the list now."""
    rows = on_page(chosen, checks)
    planned = look_up([each for each in rows if not each.period_problem], checks)
    checks.ask(planned, {number: stored.size for number, stored in chosen.stored.items()})


def _decide(request: HttpRequest, chosen: Chosen, checks: Checks, rows: list[RowOnPage]) -> HttpResponse | None:
    """Do what was asked of the list; None where something has to be mended first."""
    rows = [each for each in rows if each.form.is_bound]
    chosen.take((each.row, each.form) for each in rows)
    if "remove" in request.POST:
        chosen.drop([request.POST["remove"]])
        _ask(chosen, checks)
        return _here()
    if "clear" in request.POST:
        chosen.drop([row.key for row in chosen.rows])
        return _here()
    if not rows or "import" not in request.POST:
        _ask(chosen, checks)
        return _here()
    if not all(each.form.is_valid() for each in rows):
        return None
    return _import(request, chosen, checks, rows)


def _import(request: HttpRequest, chosen: Chosen, checks: Checks, rows: list[RowOnPage]) -> HttpResponse | None:
    """Have the files imported that nothing stands in the way of; the others stay on the list."""
    sources = {source.name: source for source in Source.objects.filter(is_active=True)}
    for each in rows:
        each.source = sources.get(each.row.source)
    planned = look_up(rows, checks)
    taken = {id(each.planned) for each in rows if each.is_importable}
    if not taken:
        for each in rows:
            if each.lacks_source and not each.row.source:
                each.form.add_error("source", "Choose a source.")
        messages.error(request, "Nothing here can be imported as it is. See below what each file needs.")
        return None
    checks.end()
    job = enqueue(request, [each.as_arguments() for each in planned if id(each) in taken], is_dry_run=False)
    chosen.drop([each.row.key for each in rows if id(each.planned) in taken])
    if chosen.rows:
        _ask(chosen, checks)
        left = ", ".join(row.name for row in chosen.rows[:5])
        messages.warning(request, f"Still on the list of files to import: {left}.")
    return HttpResponseRedirect(change_url(job))
