"""The preflight on the page of a journal: its findings, each with the link that mends it, and what was acknowledged."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from billing import doors, once_a_page
from billing.admin.audited import actor_of
from billing.admin.links import change_url
from billing.admin.verbs import Missing, Verb
from billing.errors import BillingError

from .. import preflight, writing
from ..models import Journal, WarningAcknowledgement
from ..preflight import Finding, sheets
from .forms import REASON

State = Journal.State
PER_PAGE = 200
SUBMIT = "journals.submit_journal"


class AcknowledgeForm(forms.Form):
    """The kinds of warnings to acknowledge, and why."""

    checks = forms.MultipleChoiceField(label="Warnings", widget=forms.CheckboxSelectMultiple)
    reason = forms.CharField(
        widget=REASON, help_text="Why the journal can go to the ledger in spite of them. Kept with each."
    )

    def __init__(self, *args: Any, journal: Journal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.report = _report_of(journal)
        kinds = {each.check: each.title for each in self.report.open_warnings}
        counts = dict(preflight.counted(self.report.open_warnings))
        field = self.fields["checks"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, f"{title} ({counts[title]:,})") for name, title in kinds.items()]
        field.initial = list(kinds)


def format_of(journal: Journal) -> str:
    """Return the format a journal was written in last, if there still is one; else the ledger's."""
    return journal.format if journal.format in writing.format_names() else "gl"


def _report_of(journal: Journal) -> preflight.Report:
    """Return what the preflight of a draft finds; a page that only shows it checks the journal once."""
    return once_a_page.value(
        f"preflight of {journal.pk}",
        lambda: preflight.check(journal=journal, format=format_of(journal), now=timezone.now()),
    )


def tab(request: HttpRequest, journal: Journal, shown: dict[str, Any]) -> dict[str, Any]:
    """Return what the preflight of a draft finds; of a submitted journal, what was acknowledged before it was."""
    given = list(WarningAcknowledgement.objects.filter(journal=journal).order_by("acknowledged_at", "pk"))
    if journal.state != State.DRAFT:
        return {"acknowledgements": given}
    names = writing.format_names()
    asked = request.GET.get("format", "")
    chosen = asked if asked in names else format_of(journal)
    report = preflight.check(journal=journal, format=chosen, now=timezone.now())
    page = Paginator(report.findings, PER_PAGE).get_page(request.GET.get("page"))
    return {
        "report": report,
        "chosen": chosen,
        "formats": [(name, f"?tab=preflight&format={name}") for name in names],
        "page": page,
        "rows": [(each, _link(request, each), report.acknowledged.get(each.key)) for each in page],
        "page_url": f"?tab=preflight&format={chosen}",
        "exports": [
            (form, reverse("admin:journals_journal_preflight", args=[journal.pk, form]) + f"?format={chosen}")
            for form in sheets.FORMATS
        ],
        "may_export": request.user.has_perm("journals.export_journal"),
    }


def _link(request: HttpRequest, finding: Finding) -> str | SafeString:
    return doors.link_where_allowed(finding.then, request.user)


def missing(journal: Journal) -> list[Missing]:
    """Return what the preflight says has to be done before a draft is submitted; the page of it has all."""
    report = _report_of(journal)
    url = f"{change_url(journal)}?tab=preflight"
    # The reason for its date is asked for on the same page.
    errors = [
        each for each in report.errors if not (each.check == "posting_date" and "Give the reason" in each.message)
    ]
    found = [
        Missing(f"{title}: {count:,} error{'' if count == 1 else 's'}.", url)
        for title, count in preflight.counted(errors)
    ]
    if report.open_warnings:
        count = len(report.open_warnings)
        found.append(
            Missing(
                f"{count:,} warning{'' if count == 1 else 's'} to acknowledge, with the reason.",
                reverse("admin:journals_journal_acknowledge", args=[journal.pk]),
            )
        )
    return found


def export_view(request: HttpRequest, journal: Journal | None, form: str) -> HttpResponse:
    """Write the findings of a draft's preflight to a file."""
    if not request.user.has_perm("journals.export_journal"):
        raise PermissionDenied
    if journal is None or form not in sheets.FORMATS:
        raise Http404("There is no such file.")
    names = writing.format_names()
    asked = request.GET.get("format", "")
    now = timezone.now()
    try:
        report = preflight.check(journal=journal, format=asked if asked in names else format_of(journal), now=now)
    except BillingError as error:
        messages.error(request, doors.for_page(error, request.user))
        return HttpResponseRedirect(change_url(journal))
    content = sheets.write(journal=journal, report=report, form=form, actor=actor_of(request), now=now)
    response = HttpResponse(content, content_type=sheets.FORMATS[form])
    response["Content-Disposition"] = f'attachment; filename="{journal.number}-preflight.{form}"'
    return response


def _acknowledge(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    done = preflight.acknowledge(
        journal=journal,
        format=format_of(journal),
        checks=data["checks"],
        reason=data["reason"],
        actor=actor_of(request),
        now=timezone.now(),
    )
    count = len(done.findings)
    left = f" {done.left:,} left." if done.left else ""
    return f"{count:,} warning{'' if count == 1 else 's'} of {journal} acknowledged.{left}"


def _no_warning(journal: Journal) -> list[Missing]:
    if _report_of(journal).open_warnings:
        return []
    return [Missing(f"{journal} has no warning to acknowledge.", f"{change_url(journal)}?tab=preflight")]


def _warnings(request: HttpRequest, journal: Journal, form: forms.Form) -> dict[str, Any]:
    assert isinstance(form, AcknowledgeForm)
    return {
        "rows": [(each, _link(request, each)) for each in form.report.open_warnings[:PER_PAGE]],
        "warnings_count": len(form.report.open_warnings),
    }


ACKNOWLEDGE = Verb(
    name="acknowledge",
    label="Acknowledge warnings…",
    button="Acknowledge",
    permission=SUBMIT,
    run=_acknowledge,
    form=AcknowledgeForm,
    form_for=lambda journal: {"journal": journal},
    offered=lambda journal: journal.state == State.DRAFT,
    # Whether a journal has warnings takes a look at every line of it. The preflight takes it, and leads here.
    is_in_head=False,
    missing=_no_warning,
    question=lambda journal: (
        f"{journal} can be submitted in spite of its warnings once somebody says why. A warning that says something "
        "else in the next draft is open again."
    ),
    details="admin/journals/journal/warnings.html",
    facts=_warnings,
)
