"""Background jobs: what runs, how far it has come, and what came of it."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils import timezone

from .. import jobs
from ..models import BillingPeriod, Job
from .attribution import REAPPLY
from .base import FrozenAdmin, badge_column, change_url

TONES = {Job.State.QUEUED: "info", Job.State.RUNNING: "busy", Job.State.DONE: "good", Job.State.FAILED: "bad"}

# What a job's page says of its result, in the words people know; the rest is shown as it is.
HIDDEN = ("paths", "charges", "message", "difference", "deferred", "digest", "expected", "moves", "examples")


def facts_of(values: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """Return the plain values of a job's arguments or result, with their names as people write them."""
    shown = []
    for name, value in (values or {}).items():
        if name in HIDDEN or value in ("", None, [], {}):
            continue
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, list):
            value = ", ".join(str(each) for each in value if not isinstance(each, dict | list)) or len(value)
        elif isinstance(value, dict):
            value = ", ".join(f"{key}: {each}" for key, each in value.items() if not isinstance(each, dict | list))
        elif isinstance(value, int):
            value = f"{value:,}"
        if value:
            shown.append((name.replace("_", " ").capitalize(), value))
    return shown


def next_step(request: HttpRequest, job: Job, result: dict[str, Any]) -> dict[str, str] | None:
    """Return where to go on from the result of a job that decided about charges, or re-applied rules."""
    if job.kind == Job.Kind.DECIDE and job.is_over:
        return {"url": reverse("admin:billing_heldcharge_changelist"), "text": "Go to the review queue"}
    if job.kind != Job.Kind.ATTRIBUTE or job.state != Job.State.DONE:
        return None
    period = BillingPeriod.objects.named(result["period"])
    if result["dry_run"] and request.user.has_perm(REAPPLY):
        url = reverse("admin:billing_billingperiod_reapply", args=[period.pk])
        return {"url": f"{url}?job={job.pk}", "text": f"See what would change in {period}, and re-apply"}
    return {"url": change_url(period), "text": f"Go to {period}"}


@admin.register(Job)
class JobAdmin(FrozenAdmin):
    when_empty = "There are no background jobs yet. Imports from the web, statements and e-mails run as jobs."
    list_display = (
        "number",
        "kind",
        badge_column("state", TONES),
        "progress",
        "message",
        "created_by",
        "created_at",
        "finished_at",
    )
    list_filter = ("state", "kind")
    list_select_related = ("created_by",)
    sortable_by = ("number",)
    fields = ()
    change_form_template = "admin/billing/job/change_form.html"

    @admin.display(description="job", ordering="id")
    def number(self, job: Job) -> str:
        return f"#{job.pk}"

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        return f"{job.percent} %" if job.state == Job.State.RUNNING and job.total else "–"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Whoever looks is told the truth about jobs whose worker is gone.
        jobs.close_abandoned(now=timezone.now())
        return super().changelist_view(request, extra_context)

    def get_urls(self) -> list[Any]:
        own = path("<int:job_id>/state/", self.admin_site.admin_view(self.state_view), name="billing_job_state")
        return [own, *super().get_urls()]

    def state_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        """Tell how far a job has come, for the page that shows it."""
        jobs.close_abandoned(now=timezone.now())
        job = Job.objects.filter(pk=job_id).first()
        if job is None or not self.has_view_permission(request, job):
            raise Http404("There is no such job.")
        return JsonResponse(
            {
                "state": job.state,
                "percent": job.percent,
                "done": job.done,
                "total": job.total,
                "message": job.message or job.get_state_display(),
                "is_over": job.is_over,
            }
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        jobs.close_abandoned(now=timezone.now())
        job = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if job:
            result = job.result or {}
            context = {
                "facts": facts_of(result),
                "asked": facts_of(job.arguments),
                "errors_found": [error for error in result.get("errors", []) if isinstance(error, dict)],
                "import_id": result.get("import"),
                "next_step": next_step(request, job, result),
                "difference": result.get("difference") or {},
                "deferred": result.get("deferred") or {},
                "tone": TONES.get(Job.State(job.state), ""),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))
