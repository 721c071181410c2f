"""Background jobs: what runs, how far it has come, and what came of it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from .. import doors, sheets
from ..background import jobs
from ..errors import BillingError, NextStep, NoLongerKept
from ..files import exports
from ..importing import tending
from ..models import BillingPeriod, Charge, HeldCharge, Job
from ..texts import month_name, month_names
from .attribution import REAPPLY
from .audited import FrozenAdmin, actor_of
from .formatting import badge_column
from .imports import words
from .links import change_url, held_url, list_url
from .lists import EXPORTED
from .running import title_of
from .tried_links import asked_text, try_url
from .usage import told as usage_told
from .verbs import Verb

TONES = {
    Job.State.QUEUED: "info",
    Job.State.RUNNING: "busy",
    Job.State.DONE: "good",
    Job.State.FAILED: "bad",
    Job.State.CANCELED: "warn",
}

# What a job's page says of its result, in the words people know; the rest is shown as it is.
HIDDEN = (
    *("charges", "message", "difference", "deferred", "digest", "expected", "moves", "examples", "then"),
    *("imports", "warnings", "new_pis", "kept", "file_name", "planned", "plan"),
    *("configured", "currency", "messages", "totals"),
)
NAMES = {"first": "First e-mail to", "written": "Written to files"}
LABELS = {"csv": "CSV", "xlsx": "Excel"}
# What the worker writes for who asked, by the kind of job: the page it was asked on, and how it calls what is there.
EXPORTS = {
    Job.Kind.EXPORT: ("admin:billing_charge_changelist", "charges"),
    Job.Kind.STATEMENTS: ("admin:statements_statement_changelist", "statements"),
    Job.Kind.REPORT_FILE: ("admin:reports", "report"),
}
# What brings charges of an import in.
BROUGHT = (Job.Kind.IMPORT, Job.Kind.APPLY)
# What leads on to the statements of a month.
OF_STATEMENTS = (Job.Kind.GENERATE, Job.Kind.SEND)
# What is loaded from lists, by the kind of job that does.
LISTS = {
    Job.Kind.FUNDS: "billing_fundingsource",
    Job.Kind.PEOPLE: "billing_person",
    Job.Kind.VALUES: "journals_validvaluelist",
    Job.Kind.LOOKUPS: "journals_lookuptable",
    Job.Kind.CALENDAR: "journals_accountingperiod",
    Job.Kind.PROJECTS: "billing_project",
    Job.Kind.DEPARTMENTS: "billing_department",
    Job.Kind.RULES: "billing_attributionrule",
    Job.Kind.ACCOUNTS: "billing_cloudaccount",
    Job.Kind.ACCOUNT_RULES: "journals_accountrule",
}


def facts_of(values: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """Return the plain values of a job's arguments or result, with their names as people write them."""
    shown = []
    for name, value in (values or {}).items():
        if name in HIDDEN or value in ("", None, [], {}, False):
            continue
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, list):
            value = month_names(str(each) for each in value if not isinstance(each, dict | list)) or len(value)
        elif isinstance(value, dict):
            plain = {key: each for key, each in value.items() if each and not isinstance(each, dict | list)}
            value = ", ".join(f"{key}: {each}" for key, each in plain.items()) if plain.get("count", True) else ""
        elif isinstance(value, int):
            value = f"{value:,}"
        if value:
            shown.append((NAMES.get(name) or name.replace("_", " ").capitalize(), month_name(str(value))))
    return shown


def asked_of(job: Job) -> dict[str, Any]:
    """Return what a job was asked for, without the keys of its files."""
    return {name: value for name, value in job.arguments.items() if name != "files"}


def asked_told(job: Job) -> list[tuple[str, Any]]:
    """Return what a job was asked for, by name, in the words that people know."""
    if job.kind == Job.Kind.USAGE:
        return usage_told.asked(job)
    if job.kind == Job.Kind.TRY:
        return asked_text(job.arguments)
    asked = asked_of(job)
    if isinstance(asked.get("period"), int):
        asked["period"] = str(BillingPeriod.objects.filter(pk=asked["period"]).first() or asked["period"])
    return facts_of(asked)


def steps_of(request: HttpRequest, result: dict[str, Any], held: int = 0) -> list[dict[str, str]]:
    """Return the links to the next steps that a result holds, one or several, of those that this person may do.

    `held` is how many charges of the import are held now: to these the review leads.
    """
    told = result.get("then")
    steps = [NextStep(each["name"], each["about"]) for each in (told if isinstance(told, list) else [told]) if each]
    return [
        {"url": held_url(result["import"]), "text": review_text(held)}
        if step.name == "review" and held
        else {"url": doors.url_of(step), "text": doors.label_of(step)}
        for step in steps
        if request.user.has_perm(doors.wording_of(step).permission or "billing.view_job")
    ]


def review_text(held: int) -> str:
    return f"{held:,} held: review {'it' if held == 1 else 'them'}"


def held_now(result: dict[str, Any]) -> dict[int, int]:
    """Return how many charges of each import of a job are held now."""
    numbers = [each["import"] for each in result.get("imports", [result]) if each.get("import")]
    held = Charge.objects.held().filter(imported_in__in=numbers) if numbers else Charge.objects.none()
    return dict(held.order_by().values_list("imported_in").annotate(number=Count("pk")))


def next_steps(request: HttpRequest, job: Job, result: dict[str, Any], held: dict[int, int]) -> list[dict[str, str]]:
    """Return where to go on from the result of a job; `held` is how many charges of its imports are held now."""
    steps = steps_of(request, result, held.get(result.get("import") or 0, 0))
    if job.kind == Job.Kind.IMPORT and job.is_over and job.arguments.get("dry_run"):
        return [{"url": f"{reverse('admin:billing_import_upload')}?job={job.pk}", "text": "Back to the files"}]
    if job.kind in OF_STATEMENTS and job.state == Job.State.DONE:
        return steps + statement_steps(request, job, result)
    if steps:
        return steps
    if job.kind == Job.Kind.TRY and job.state == Job.State.DONE:
        url = try_url(job.arguments)
        return [{"url": url, "text": "See what it would charge"}] if url else []
    if job.kind == Job.Kind.IMPORT:
        return held_of_all(request, result, held)
    if job.kind in LISTS or is_export(job):
        return (list_steps if job.kind in LISTS else export_steps)(request, job)
    if job.kind == Job.Kind.DECIDE and job.is_over:
        return [{"url": reverse("admin:billing_heldcharge_changelist"), "text": "Go to the review queue"}]
    if job.kind != Job.Kind.ATTRIBUTE or job.state != Job.State.DONE:
        return []
    period = BillingPeriod.objects.named(result["period"])
    if result["dry_run"] and request.user.has_perm(REAPPLY):
        url = reverse("admin:billing_billingperiod_reapply", args=[period.pk])
        return [{"url": f"{url}?job={job.pk}", "text": f"See what would change in {period}, and re-apply"}]
    return [{"url": change_url(period), "text": f"Go to {period}"}]


def held_of_all(request: HttpRequest, result: dict[str, Any], held: dict[int, int]) -> list[dict[str, str]]:
    """Return the link to the queue, where several imports brought something that is held."""
    if not held or not request.user.has_perm("billing.review_charges"):
        return []
    months = {month for each in result.get("imports", []) if each["import"] in held for month in each["periods"]}
    query = f"period={months.pop()}" if len(months) == 1 else ""
    return [{"url": list_url(HeldCharge, query), "text": review_text(sum(held.values()))}]


def statement_steps(request: HttpRequest, job: Job, result: dict[str, Any]) -> list[dict[str, str]]:
    """Return where to go on from statements that were issued or sent: to them or their e-mails, and to their month."""
    if not result.get("period"):
        return []
    model = "email" if job.kind == Job.Kind.SEND else "statement"
    found = []
    if request.user.has_perm(f"statements.view_{model}"):
        url = reverse(f"admin:statements_{model}_changelist")
        text = "Show the e-mails" if model == "email" else "Show the statements"
        found.append({"url": f"{url}?period={result['period']}", "text": text})
    month = f"{reverse('admin:index')}?period={result['period']}"
    return [*found, {"url": month, "text": f"Go on with {month_name(result['period'])}"}]


def list_steps(request: HttpRequest, job: Job) -> list[dict[str, str]]:
    """Return where to go on from a list that the worker read."""
    name = f"admin:{LISTS[Job.Kind(job.kind)]}"
    if not job.is_over:
        return []
    if job.state != Job.State.DONE:
        return [{"url": reverse(f"{name}_load"), "text": "Choose a file again"}]
    if job.arguments["dry_run"] and job.created_by_id == request.user.pk:
        return [{"url": f"{reverse(f'{name}_load')}?job={job.pk}", "text": "See what it would do, and load it"}]
    return [{"url": reverse(f"{name}_changelist"), "text": "Go to the list"}]


def export_steps(request: HttpRequest, job: Job) -> list[dict[str, str]]:
    """Return where to go on from an export: to its file, for who asked for it, as long as it is kept."""
    page, what = exported_from(job)
    asked, which = job.arguments.get("filters", ""), "this" if job.kind == Job.Kind.REPORT_FILE else "these"
    again = {"url": f"{reverse(page)}{'?' if asked else ''}{asked}", "text": f"Go to {which} {what}"}
    if not may_download(request, job):
        return [again] if job.is_over else []
    form = job.arguments["format"]
    kept = exports.is_kept(job.result["kept"], now=timezone.now()) if job.result else False
    url = reverse("admin:billing_job_download", args=[job.pk])
    return [{"url": url, "text": f"Download the {LABELS[form]} file"}, again] if kept else [again]


def may_download(request: HttpRequest, job: Job) -> bool:
    """Tell whether a job made a file for this person, who may still see what is in it."""
    is_theirs = is_export(job) and job.created_by_id == request.user.pk and job.state == Job.State.DONE
    needed = [jobs.permission_of(job.kind)]
    if job.kind == Job.Kind.LIST:
        needed.append(EXPORTED[job.arguments["register"]].permission)
    return is_theirs and request.user.has_perms(needed)


def is_export(job: Job) -> bool:
    """Tell whether the worker writes a file for who asked."""
    return job.kind in EXPORTS or job.kind == Job.Kind.LIST


def exported_from(job: Job) -> tuple[str, str]:
    """Return the page that an export was asked on, and how it calls what is there."""
    if job.kind != Job.Kind.LIST:
        return EXPORTS[Job.Kind(job.kind)]
    exported = EXPORTED[job.arguments["register"]]
    opts = exported.model._meta
    return f"admin:{opts.app_label}_{opts.model_name}_changelist", exported.nouns[1]


def imports_of(request: HttpRequest, job: Job, result: dict[str, Any], held: dict[int, int]) -> list[dict[str, Any]]:
    """Return what came of each import of a job, as its page shows it."""
    is_dry_run = bool(job.arguments.get("dry_run"))
    found = result.get("imports", [])
    if job.kind == Job.Kind.IMPORT and "state" in result:
        # Of one import alone, what came of it is the result.
        found = [result | {"files": job.arguments.get("names", [])}]
    return [
        each
        | {
            "tone": "bad" if each["errors"] else "warn" if each["deferred"] or each["flagged"] else "good",
            "state_text": words.states().get(each["state"], each["state"].capitalize()),
            "problems": [words.problem_said(problem, names_file=len(each["files"]) > 1) for problem in each["errors"]],
            "said": words.counts_said(each, is_done=not is_dry_run),
            "steps": [] if is_dry_run else steps_of(request, each, held.get(each["import"], 0)),
            "billed": sorted(words.billed_of(each["totals"]).items()),
        }
        for each in found
    ]


def so_far(job: Job, result: dict[str, Any]) -> str:
    """Say how many of several imports of a job that runs are done."""
    wanted = len(job.arguments.get("imports", []))
    return f"{len(result.get('imports', []))} of {wanted} imports done" if wanted > 1 else ""


def run_cancel(request: HttpRequest, job: Job, values: dict[str, Any]) -> str:
    return jobs.cancel(job=job, actor=actor_of(request), now=timezone.now())


def run_retry(request: HttpRequest, job: Job, values: dict[str, Any]) -> Job:
    return jobs.retry(job=job, actor=actor_of(request), now=timezone.now())


CANCEL = Verb(
    name="cancel",
    label="Cancel…",
    button="Cancel this job",
    permission="billing.cancel_job",
    question="End this job? What it finished before stays done. An import or booking is then not applied at all.",
    offered=lambda job: not job.is_over and not job.cancel_asked_at,
    run=run_cancel,
    is_dangerous=True,
)
RETRY = Verb(
    name="retry",
    label="Retry…",
    button="Retry",
    permission="billing.retry_job",
    question="Ask for the same again, as a new job in your name?",
    offered=lambda job: job.can_be_retried,
    run=run_retry,
    is_primary=True,
)


@admin.action(description="Cancel", permissions=["cancel"])
def cancel_selected(modeladmin: "JobAdmin", request: HttpRequest, queryset: "QuerySet[Job]") -> None:
    """Cancel the selected jobs that have not ended."""
    modeladmin.do_each(request, queryset, "canceled", lambda job: jobs.cancel(**modeladmin.asked(request, job)))


@admin.action(description="Retry", permissions=["retry"])
def retry_selected(modeladmin: "JobAdmin", request: HttpRequest, queryset: "QuerySet[Job]") -> None:
    """Ask again for the selected jobs that failed or were canceled, in the order in which they were asked for."""
    modeladmin.do_each(request, queryset, "asked for again", lambda job: jobs.retry(**modeladmin.asked(request, job)))


@admin.register(Job)
class JobAdmin(FrozenAdmin):
    when_empty = "There are no background jobs yet. Imports from the web, statements and e-mails run as jobs."
    list_display = (
        "number",
        "kind",
        badge_column("state", TONES),
        "progress",
        "says",
        "created_by",
        "created_at",
        "finished_at",
    )
    list_filter = ("state", "kind")
    list_select_related = ("created_by",)
    sortable_by = ("number",)
    fields = ()
    verbs = (RETRY, CANCEL)
    actions: Any = (retry_selected, cancel_selected)
    change_form_template = "admin/billing/job/change_form.html"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Job | None:
        """Return a job, looked up once for a request: half of a page would tell of it before and half after its end."""
        found: dict[str, Job | None] = request.__dict__.setdefault("jobs_found", {})
        if object_id not in found:
            found[object_id] = super().get_object(request, object_id, from_field)
        return found[object_id]

    @admin.display(description="job", ordering="id")
    def number(self, job: Job) -> str:
        return f"#{job.pk}"

    @admin.display(description="message")
    def says(self, job: Job) -> str:
        return jobs.KEPT if job.is_kept else job.message

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        return f"{job.percent}%" if job.state == Job.State.RUNNING and job.total else "–"

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CANCEL.permission)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RETRY.permission)

    def asked(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        return {"job": job, "actor": actor_of(request), "now": timezone.now()}

    def do_each(self, request: HttpRequest, queryset: "QuerySet[Job]", done: str, do: Callable[[Job], object]) -> None:
        """Do something with each of the selected jobs; say of how many, and why not of the others."""
        count = 0
        for job in queryset.order_by("pk"):
            try:
                do(job)
            except BillingError as error:
                messages.warning(request, doors.for_page(error, request.user))
            else:
                count += 1
        if count:
            messages.success(request, f"{count} {'job' if count == 1 else 'jobs'} {done}.")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Whoever looks is told the truth about jobs whose worker is gone.
        tending.close_left(now=timezone.now())
        return super().changelist_view(request, extra_context)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:job_id>/download/", view(self.download_view), name="billing_job_download"),
            *super().get_urls(),
        ]

    def download_view(self, request: HttpRequest, job_id: int) -> FileResponse | HttpResponseRedirect:
        """Hand over the file that a job made for this person."""
        job = Job.objects.filter(pk=job_id).first()
        if job is None or not may_download(request, job):
            raise Http404("There is no such file.")
        form = job.arguments["format"]
        try:
            file = exports.opened((job.result or {}).get("kept", ""), now=timezone.now())
        except NoLongerKept as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(change_url(job))
        name = (job.result or {})["file_name"]
        return FileResponse(file, as_attachment=True, filename=name, content_type=sheets.FORMATS[form])

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tending.close_left(now=timezone.now())
        job = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if job:
            result = job.result or {}
            held = held_now(result) if job.kind in BROUGHT else {}
            imports = imports_of(request, job, result, held)
            is_usage = job.kind == Job.Kind.USAGE
            context = {
                "facts": [] if imports or is_usage else facts_of(result),
                "asked": asked_told(job),
                "usage_months": usage_told.months_of_job(result) if is_usage else [],
                "errors_found": [error for error in result.get("errors", []) if isinstance(error, dict)],
                "import_id": result.get("import"),
                "next_steps": next_steps(request, job, result, held),
                "imports": imports,
                "warnings": result.get("warnings") or [],
                "new_pis": [] if imports else result.get("new_pis") or [],
                "difference": result.get("difference") or {},
                "deferred": result.get("deferred") or {},
                "told": jobs.told(job),
                "title_of_job": title_of(job),
                "so_far": so_far(job, result),
                "tone": TONES.get(Job.State(job.state), ""),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))
