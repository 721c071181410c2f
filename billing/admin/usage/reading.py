"""The page that reads files of usage: they are reduced to what is charged for while it loads, and are not kept.

A file as it came may hold prompts and names that nobody may keep. So it is read from the temporary file of the upload,
which is deleted before the page answers, whatever came of it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from ... import doors
from ...errors import BillingError
from ...files.received import display_name
from ...models import UsageFeed, UsageFile
from ...readers import FileError
from ...texts import long_month
from ...usage import bringing, taking
from ...usage.taking import Taken, UsageRefused
from ..audited import actor_of
from ..imports import words
from ..imports.uploads import UploadForm
from ..links import change_url, list_url
from . import told

PERMISSION = "billing.take_usage"
CHECK = "_check"
# Records that a check prices while somebody waits.
MOST_PRICED = 50_000
# Problems that are shown of a refused file.
PROBLEMS = 200


class FeedField(forms.ModelChoiceField):
    """A usage feed, by the name that people know."""

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.label)


class ReadForm(UploadForm):
    """The feed that files are of, and the files."""

    feed = FeedField(UsageFeed.objects.none(), label="Usage feed", empty_label="Choose a feed")
    field_order = ("feed", "files")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **options})
        field = self.fields["feed"]
        assert isinstance(field, FeedField)
        field.queryset = UsageFeed.objects.filter(is_active=True).order_by("name")


def read_view(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show the form; check files, or read them and go on to the job that prices their months."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    form = ReadForm(initial={"feed": request.GET.get("feed", "")})
    if request.method == "POST":
        form = ReadForm(request.POST, request.FILES)
        try:
            if form.is_valid():
                done = _checked(request, form) if CHECK in request.POST else _read(request, form)
                if isinstance(done, HttpResponse):
                    return done
                context |= done
        finally:
            _delete(request)
    context |= {
        "title": "Read usage",
        "form": form,
        "limit": settings.MAX_UPLOAD_BYTES,
        "may_add": request.user.has_perm("billing.add_usagefeed"),
        "has_feeds": UsageFeed.objects.filter(is_active=True).exists(),
        "back": reverse("admin:billing_usagefile_changelist"),
    }
    return TemplateResponse(request, "admin/billing/usagefile/read.html", context)


def _read(request: HttpRequest, form: ReadForm) -> HttpResponse | dict[str, Any]:
    """Keep the records of the files, and have their months priced; return what is wrong where they cannot be read."""
    feed, files = form.cleaned_data["feed"], form.cleaned_data["files"]
    try:
        with _paths(files) as paths:
            taken, job = bringing.read(
                paths=paths, names=_names(files), feed=feed, actor=actor_of(request), now=timezone.now()
            )
    except (BillingError, FileError) as error:
        return _refused(request, form, error)
    for each in taken:
        tell = messages.info if each.seen else messages.success
        tell(request, _said(each))
    if job is None:
        messages.info(request, "There is no new usage, so no month is priced again.")
        return HttpResponseRedirect(list_url(UsageFile))
    return HttpResponseRedirect(change_url(job))


def _checked(request: HttpRequest, form: ReadForm) -> dict[str, Any]:
    """Say what reading the files would do; nothing is kept."""
    feed, files = form.cleaned_data["feed"], form.cleaned_data["files"]
    try:
        with _paths(files) as paths:
            brought = bringing.bring_in(
                paths=paths,
                names=_names(files),
                feed=feed,
                dry_run=True,
                most=MOST_PRICED,
                actor=actor_of(request),
                now=timezone.now(),
            )
    except (BillingError, FileError) as error:
        return _refused(request, form, error)
    fresh = [each for each in brought.files if not each.seen]
    unpriced = taking.months_of(fresh, feed.time_zone) if not (brought.months or brought.failed) else []
    return {
        "checked": [{"taken": each, "left_out": sorted(each.left_out.items())} for each in brought.files],
        "feed": feed,
        "months": [told.month_told(each.as_data(), is_done=False) for each in brought.months],
        "failed": [(long_month(month), doors.for_page(error, request.user)) for month, error in brought.failed],
        "unpriced": [long_month(month) for month in unpriced],
    }


def _refused(request: HttpRequest, form: ReadForm, error: BillingError | FileError) -> dict[str, Any]:
    """Put on the form why nothing was read; problems in the files are listed by line and column."""
    if isinstance(error, UsageRefused):
        form.add_error(
            "files", "Nothing was read. What is wrong is listed below. Correct it and choose the files again."
        )
        problems = [words.problem_said(each, names_file=True) for each in error.errors]
        return {"problems": problems[:PROBLEMS], "problems_number": len(problems)}
    if isinstance(error, BillingError):
        form.add_error(None, doors.lines_for_page(error, request.user))
    else:
        # The feed itself: its settings do not fit its reader any more.
        form.add_error("feed", list(map(str, error.problems)))
    return {}


def _said(taken: Taken) -> str:
    if taken.seen:
        return f"{taken.name} was read before, as usage file {taken.seen.pk}. It changes nothing."
    left_out = sum(taken.left_out.values())
    more = f", {told.counted(left_out, 'line')} left out" if left_out else ""
    assert taken.file
    return f"Read {taken.name} as usage file {taken.file.pk}: {told.counted(taken.records, 'record')}{more}."


def _names(files: Sequence[UploadedFile]) -> list[str]:
    return [display_name(file.name or "") for file in files]


@contextlib.contextmanager
def _paths(files: Sequence[UploadedFile]) -> Iterator[list[Path]]:
    """Return where uploaded files lie. Small ones are in memory, and lie in a scratch folder as long as this lasts."""
    with taking.scratch() as folder:
        paths = []
        for number, file in enumerate(files):
            if isinstance(file, TemporaryUploadedFile):
                paths.append(Path(file.temporary_file_path()))
                continue
            path = Path(folder) / str(number)
            path.write_bytes(file.read())
            paths.append(path)
        yield paths


def _delete(request: HttpRequest) -> None:
    """Delete the temporary files of an upload, also of one that was refused."""
    for _, files in request.FILES.lists():
        for file in files:
            file.close()
