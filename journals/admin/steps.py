"""What is done with a journal on its page: submitted, drafted again, answered, reversed; each asks first."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing import doors
from billing.admin import walk
from billing.admin.audited import actor_of
from billing.admin.verbs import Missing, Verb
from billing.errors import BillingError
from billing.models import Job, Policy
from billing.money import rounded
from billing.months import checklist
from billing.texts import long_date, month_name

from .. import posting, summaries, writing
from ..differences import Difference
from ..drafting import PostingDateRefused, date_reason_needed, require_posting_date
from ..models import Journal
from . import listing, preflight
from .forms import PostedForm, RejectedForm, ReverseForm, SubmitForm

State, Kind = Journal.State, Journal.Kind


def submit(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    journal = posting.submit(
        journal=journal,
        format=data["format"],
        date_reason=data.get("date_reason", ""),
        actor=actor_of(request),
        now=timezone.now(),
    )
    if journal.kind == Kind.ACCRUAL:
        reversal = journal.reversals.get()
        counts = " Both count as posted." if journal.state == State.POSTED else ""
        return f"Accrual {journal} is submitted, and {reversal}, its reversal, too.{counts} Download both files."
    if journal.state == State.POSTED:
        return f"Journal {journal} is submitted and counts as posted. Download its file for the ledger."
    return f"Journal {journal} is submitted. Download its file for the ledger, and record the answer here."


def redraft(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str | Job:
    if journal.reversal_date:
        again = posting.accrue(
            period=journal.period,
            format=preflight.format_of(journal),
            **_date_kept(journal),
            reversal_date=journal.reversal_date,
            actor=actor_of(request),
            now=timezone.now(),
        )
        return f"Accrual {again} is drafted again from what the ledger lacks today. Check it, then submit it."
    asked: dict[str, Any] = {
        "period": journal.period,
        "format": preflight.format_of(journal),
        **_date_kept(journal),
        "actor": actor_of(request),
        "now": timezone.now(),
    }
    if checklist.is_large(journal.period):
        return posting.export_later(**asked)
    exported = posting.export(**asked)
    if exported.journal is None:
        return f"Nothing is left to journal for {month_name(exported.period)}: the draft is gone."
    changes = exported.journal.draft_changes
    is_changed = changes and Difference.from_data(changes).later.at == exported.journal.drafted_at
    told = "“Difference” says what changed." if is_changed else "It says the same as before."
    return f"Journal {exported.number} is drafted again from today's charges. {told} Check it, then submit it."


def _date_kept(journal: Journal) -> dict[str, Any]:
    """Return the date of a draft, to be that of the next; a day that the ledger no longer takes is chosen anew."""
    try:
        require_posting_date(journal.period, journal.posting_date, timezone.now())
    except PostingDateRefused:
        return {"posting_date": None}
    return {"posting_date": journal.posting_date, "date_reason": journal.date_reason}


def _about_date(journal: Journal) -> dict[str, Any]:
    """Return for what a draft still needs a reason."""
    needed = date_reason_needed(journal.period, journal.posting_date, timezone.now())
    return {"date_reason_needed": "" if journal.date_reason else needed}


def posted(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    journal = posting.post(
        journal=journal, document_number=data["document_number"], actor=actor_of(request), now=timezone.now()
    )
    return f"Journal {journal} is posted as document {journal.document_number}."


def rejected(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    journal = posting.reject(
        journal=journal,
        reason=data["reason"],
        file_lines=data["file_lines"],
        actor=actor_of(request),
        now=timezone.now(),
    )
    if journal.kind != Kind.JOURNAL:
        also = " Its reversal is rejected with it." if journal.kind == Kind.ACCRUAL else ""
        return f"{journal.get_kind_display()} {journal} is rejected.{also}"
    return f"Journal {journal} is rejected. What it held is in the next draft of {journal.period}."


def reverse_(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    done = posting.reverse(
        journal=journal,
        reason=data["reason"],
        posting_date=data["posting_date"],
        actor=actor_of(request),
        now=timezone.now(),
    )
    held = " What it held is in the next draft." if done.journal.kind == Kind.JOURNAL else ""
    return f"{done.journal.get_kind_display()} {done.journal} is reversed by {done.reversal}.{held}"


def _missing(journal: Journal) -> Sequence[Missing]:
    """Return what has to be done before a draft is submitted: draft it again, or what the preflight says."""
    url = reverse("admin:journals_journal_redraft", args=[journal.pk])
    if told := listing.outdated(journal):
        return [Missing(f"{told} Draft it again first.", url)]
    return preflight.missing(journal)


def _to_submit(request: HttpRequest, journal: Journal, form: forms.Form) -> dict[str, Any]:
    """Return what is about to be frozen: what it comes to, and how its file begins in the format chosen."""
    names = writing.format_names()
    asked = request.GET.get("format", "")
    if asked in names:
        form.initial["format"] = asked
    chosen = form.data.get("format", "") if form.is_bound else form.initial["format"]
    lines: list[str] = []
    problem = ""
    if chosen in names:
        try:
            lines = posting.first_lines(journal, chosen)
        except BillingError as error:
            problem = doors.for_page(error, request.user)
    walking = {walk.WALK: "on"} if walk.is_walking(request) else {}
    return {
        "tables": summaries.summaries(summaries.grouped(journal.lines.all())),
        "formats": [(name, f"?{urlencode({'format': name} | walking)}") for name in names],
        "chosen": chosen,
        "first_lines": lines,
        "file_problem": problem,
        "duty": posting.refusal(journal, actor_of(request).user),
        "awaits_answer": Policy.objects.current().requires_ledger_answer,
    }


def _to_redraft(request: HttpRequest, journal: Journal, form: forms.Form) -> dict[str, Any]:
    """Return what the draft would say otherwise if it were made from today's charges."""
    if journal.kind == Kind.ACCRUAL:
        return {"is_said": True}
    try:
        found = posting.kept_prospect(journal.period, waits=False)
    except BillingError as error:
        return {"problem": doors.for_page(error, request.user)}
    shown = {"prospect": found, "difference": found.difference if found else None, "is_foreseen": True}
    return shown | {"progress": None if found else checklist.progress_of(journal.period)}


VERBS = (
    Verb(
        name="submit",
        label="Submit…",
        button="Submit journal",
        permission="journals.submit_journal",
        run=submit,
        form=SubmitForm,
        offered=lambda journal: journal.state == State.DRAFT,
        question=lambda journal: (
            f"The {journal.line_count:,} lines of {journal} are frozen: {rounded(journal.debits, journal.currency)} "
            f"{journal.currency} of debits, and as much of credits. Its file is kept. "
            + (
                f"Its reversal for {long_date(journal.reversal_date)} is submitted with it."
                if journal.reversal_date
                else "Later changes go into the next journal."
            )
        ),
        form_for=_about_date,
        initial=lambda journal: {"format": preflight.format_of(journal)},
        missing=_missing,
        details="admin/journals/journal/to_submit.html",
        facts=_to_submit,
        is_primary=True,
    ),
    preflight.ACKNOWLEDGE,
    Verb(
        name="redraft",
        label="Draft again…",
        button="Draft again",
        permission="journals.export_journal",
        run=redraft,
        offered=lambda journal: journal.state == State.DRAFT,
        question=lambda journal: (
            f"{journal} is drafted from today's charges and accounting, in place of what it holds now."
        ),
        details="admin/journals/journal/to_redraft.html",
        facts=_to_redraft,
    ),
    Verb(
        name="posted",
        label="Record as posted…",
        button="Record as posted",
        permission="journals.post_journal",
        run=posted,
        form=PostedForm,
        offered=lambda journal: journal.state == State.SUBMITTED,
        question="The ledger took the journal. If it refused it, go back and choose “Record as rejected” instead.",
        is_primary=True,
    ),
    Verb(
        name="rejected",
        label="Record as rejected…",
        button="Record as rejected",
        permission="journals.post_journal",
        run=rejected,
        form=RejectedForm,
        offered=lambda journal: journal.state == State.SUBMITTED,
        question=lambda journal: (
            "The ledger refused the journal. What it held goes into the next draft."
            if journal.kind == Kind.JOURNAL
            else "The ledger refused the accrual. Its reversal is rejected with it."
            if journal.kind == Kind.ACCRUAL
            else "The ledger refused the reversal. What it was to reverse stays in the ledger."
        ),
        is_dangerous=True,
    ),
    Verb(
        name="reverse",
        label="Reverse…",
        button="Reverse journal",
        permission="journals.post_journal",
        run=reverse_,
        form=ReverseForm,
        initial=lambda journal: {"posting_date": posting.reversal_date(journal, timezone.now())},
        offered=lambda journal: (
            journal.state == State.POSTED
            and journal.kind != Kind.REVERSAL
            and not Journal.objects.reversals_of(journal).exists()
        ),
        question=lambda journal: (
            f"A journal of the opposite lines reverses {journal}, document "
            f"{journal.document_number or '(none recorded)'}."
            + (" What it held goes into the next draft." if journal.kind == Kind.JOURNAL else "")
        ),
        is_dangerous=True,
    ),
)
