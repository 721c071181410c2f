"""Many statements at once: a month or a fiscal year of what the reader may see, as a zip file or a workbook."""

from tempfile import TemporaryFile

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import audit
from billing.audit import Actor
from billing.background import jobs
from billing.errors import NoLongerKept
from billing.files import exports
from billing.importing import tending
from billing.models import Job, User

from .. import taking
from .visible import scope, visible

# Collected before, as many as the page names.
RECENT = 5


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def downloads(request: HttpRequest) -> HttpResponseBase:
    """Offer months and fiscal years; a POST hands out the statements of one, or has the worker collect them."""
    if request.method == "POST":
        return _taken(request)
    months, years = taking.times(visible(request).live())
    asked = request.GET.get("of", "")
    collected = Job.objects.filter(kind=Job.Kind.COLLECT, created_by=_user(request)).order_by("-pk")[:RECENT]
    context = {"months": months, "years": years, "asked": asked, "collected": [(job, _time(job)) for job in collected]}
    return render(request, "portal/downloads.html", context)


def _taken(request: HttpRequest) -> HttpResponseBase:
    form = request.POST.get("form", "")
    try:
        time = taking.Time.named(request.POST.get("of", ""))
    except taking.NoSuchTime as error:
        messages.error(request, str(error))
        return redirect("portal:downloads")
    chosen = time.of(visible(request).live())
    if form not in taking.FORMATS or not chosen.exists():
        messages.error(request, f"There is no statement of {time.label} for you.")
        return redirect("portal:downloads")
    user, now = _user(request), timezone.now()
    actor = Actor.from_user(user)
    if form == "xlsx" and taking.is_large(chosen):
        arguments = {"of": time.name}
        job = jobs.enqueue(
            kind=Job.Kind.COLLECT, subject=f"{user.pk} {time.name}", arguments=arguments, actor=actor, now=now
        )
        return redirect("portal:collected", job.pk)
    if user.is_staff:
        with audit.gesture(actor=actor, now=now) as gesture:
            gesture.record("statement.downloaded", after={"format": form, "of": time.name, "count": chosen.count()})
    name = f"statements-{time.name}.{form}"
    response: StreamingHttpResponse
    if form == "zip":
        response = StreamingHttpResponse(taking.zipped(chosen), content_type=taking.FORMATS[form])
        response["Content-Disposition"] = f'attachment; filename="{name}"'
    else:
        file = TemporaryFile()  # noqa: SIM115 (the response closes it)
        taking.write_workbook(chosen, file)
        file.seek(0)
        response = FileResponse(file, as_attachment=True, filename=name, content_type=taking.FORMATS[form])
    response["Cache-Control"] = "private, no-store"
    return response


@login_required
@require_safe
def collected(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how far the worker has come with what the reader asked for."""
    tending.close_left(now=timezone.now())
    job = _own(request, pk)
    kept = (job.result or {}).get("kept", "")
    is_there = job.state == Job.State.DONE and exports.is_kept(kept, now=timezone.now())
    context = {"job": job, "time": _time(job), "told": jobs.told(job), "is_there": is_there}
    return render(request, "portal/collected.html", context)


@login_required
@require_safe
def collected_file(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Hand out what the worker collected, to who asked for it and may still see all of it."""
    job = _own(request, pk)
    result = job.result or {}
    if job.state != Job.State.DONE:
        raise Http404("There is no such file.")
    if result.get("digest") != taking.digest_of(scope(request)):
        messages.error(request, "What you may see has changed since this was collected. Collect it again.")
        return redirect("portal:downloads")
    try:
        file = exports.opened(result.get("kept", ""), now=timezone.now())
    except NoLongerKept as error:
        messages.error(request, str(error))
        return redirect("portal:downloads")
    response = FileResponse(
        file,
        as_attachment=True,
        filename=f"statements-{job.arguments['of']}.xlsx",
        content_type=taking.FORMATS["xlsx"],
    )
    response["Cache-Control"] = "private, no-store"
    return response


def _own(request: HttpRequest, pk: int) -> Job:
    return get_object_or_404(Job, pk=pk, kind=Job.Kind.COLLECT, created_by=_user(request))


def _time(job: Job) -> taking.Time:
    return taking.Time.named(job.arguments["of"])


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
