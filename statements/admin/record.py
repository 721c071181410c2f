"""The page of a statement: what it comes to and what is next; the document, its lines, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing import doors
from billing.admin.corrections import ENTER, correct_url
from billing.admin.links import change_url
from billing.admin.tracing import why_url
from billing.errors import NextStep
from billing.models import AuditEvent
from billing.texts import long_date, long_month

from .. import drawing, emails, issuing
from ..changes import Changes
from ..document import Figures, money_with_currency
from ..models import Email, Statement, StatementLine
from .filters import outdated_in
from .permissions import ISSUE, SEND
from .sending import send_url

State = Statement.State

TONES: dict[str, str] = {
    State.ISSUED: "info",
    # Not good: nobody got it yet.
    State.WRITTEN: "warn",
    State.PORTAL: "",
    State.SENT: "good",
    State.SUPERSEDED: "",
    State.VOID: "bad",
}
EMAIL_TONES: dict[str, str] = {
    Email.State.QUEUED: "info",
    Email.State.CLAIMED: "busy",
    Email.State.SENT: "good",
    # Not good: nobody got it yet.
    Email.State.WRITTEN: "warn",
    Email.State.REDIRECTED: "warn",
    Email.State.FAILED: "bad",
    Email.State.REFUSED: "bad",
    Email.State.UNCERTAIN: "bad",
    Email.State.DROPPED: "",
}
# What of the audit log a page tells about a statement.
TOLD = ("statement.issued", "statement.voided", "statement.downloaded")


@dataclass(frozen=True)
class Standing:
    """How a statement stands, in words, and the one thing to do next, where this person may."""

    text: str
    label: str = ""
    url: str = ""
    is_waiting: bool = False


def context_of(request: HttpRequest, statement: Statement, preserved: str) -> dict[str, Any]:
    """Return what the page shows: the head of it, and the part that the address asks for."""
    asked = request.GET.get("tab", "")
    chosen = asked if asked in TABS else "document"
    return {
        "tone": TONES[State(statement.state)],
        "tab": chosen,
        "tabs": [
            {"label": label, "url": _tab_url(name, preserved), "is_current": name == chosen}
            for name, (label, _) in TABS.items()
        ],
        "standing": standing_of(request, statement),
        **TABS[chosen][1](request, statement),
    }


def _tab_url(name: str, preserved: str) -> str:
    return "?" + "&".join(filter(None, ("" if name == "document" else f"tab={name}", preserved)))


def buttons(request: HttpRequest, statement: Statement) -> list[dict[str, Any]]:
    """Return the buttons beside those of its verbs: the PDF, and to send it where somebody waits for it."""
    found = [{"label": "Open PDF", "url": reverse("admin:statements_statement_pdf", args=[statement.pk])}]
    if statement.charges_sha256:
        found.append(
            {"label": "Charges (CSV)", "url": reverse("admin:statements_statement_charges", args=[statement.pk])}
        )
    if url := _sending_url(request, statement):
        is_next = statement.state != State.PORTAL and statement.pk not in _outdated(request, statement)
        found.append({"label": "Send…", "url": url, "is_primary": is_next})  # type: ignore[dict-item]
    return found


def _sending_url(request: HttpRequest, statement: Statement) -> str:
    """Return where a statement is sent; "" where its PI has it, it is out of force, or somebody else has to send it."""
    if not request.user.has_perm(SEND):
        return ""
    if statement.state in (State.ISSUED, State.PORTAL):
        return send_url(statement.number)
    # A file is sent once there is a mail server.
    is_file = statement.state == State.WRITTEN and not emails.writes_files()
    return f"{send_url(statement.number)}&written=on" if is_file else ""


def _outdated(request: HttpRequest, statement: Statement) -> dict[int, issuing.Outdated]:
    return outdated_in(request, statement.period).found if statement.state in Statement.LIVE else {}


def standing_of(request: HttpRequest, statement: Statement) -> Standing:
    """Say how a statement stands and what is next."""
    if statement.state == State.VOID:
        return Standing(f"It was voided{_on(statement.voided_at)}: {statement.void_reason}")
    if statement.state == State.SUPERSEDED:
        text, by = f"It was replaced{_on(statement.superseded_at)}.", statement.superseded_by
        return Standing(text, f"Statement {by}", change_url(by)) if by else Standing(text)
    if stale := _outdated(request, statement).get(statement.pk):
        return _standing_of_outdated(request, statement, stale)
    return _standing_of_email(request, statement)


def _standing_of_outdated(request: HttpRequest, statement: Statement, stale: issuing.Outdated) -> Standing:
    """Say what a statement would come to now, and where it is brought up to date."""
    now = money_with_currency(stale.now, stale.currency)
    difference = stale.now - stale.charged
    by = f" ({'+' if difference > 0 else ''}{money_with_currency(difference, stale.currency)})" if difference else ""
    text = f"Its charges have changed since it was issued. It would come to {now} now{by}."
    if not request.user.has_perm(ISSUE):
        return Standing(text, is_waiting=True)
    then = NextStep("issue_statements", {"period": statement.period.iso_month})
    label = f"Issue the statements of {long_month(statement.period.month)}…"
    return Standing(text, label, doors.url_of(then), is_waiting=True)


def _standing_of_email(request: HttpRequest, statement: Statement) -> Standing:
    """Say whether its PI has it, and what is next where they do not."""
    mine = [each for each in statement.emails.order_by("-pk") if each.role == Email.Role.PI]
    last = mine[0] if mine else None
    if last and (last.state in Email.TROUBLED or emails.was_left(last)):
        told = {Email.State.FAILED: "was not sent", Email.State.REFUSED: "was refused"}
        said = told.get(Email.State(last.state), "was perhaps sent")
        reason = f": {last.error}" if last.error else "."
        return Standing(f"Its e-mail to {last.recipient} {said}{reason}", "Look at the e-mail", change_url(last), True)
    if statement.state == State.SENT:
        to = f" to {last.recipient}" if last else ""
        return Standing(f"It was e-mailed{to}{_on(statement.sent_at)}.")
    url = _sending_url(request, statement)
    label = "Send it…" if url else ""
    if statement.state == State.WRITTEN:
        text = f"Its e-mail was written to a file{_on(statement.written_at)}: nobody got it yet."
        return Standing(text, label, url, is_waiting=True)
    if statement.state == State.PORTAL:
        why = f": {last.error}" if last and last.is_small else "."
        return Standing(f"It is on the portal, and was not e-mailed{why}", label, url)
    if last and last.state == Email.State.REDIRECTED:
        said = f"Its e-mail went to the test address {last.redirected_to}: its PI did not get it."
        return Standing(said, label, url, is_waiting=True)
    if last and last.state == Email.State.QUEUED and last.error:
        return Standing(last.error, label, url, is_waiting=True)
    return Standing("It is issued and not e-mailed yet.", label, url, is_waiting=True)


def _on(moment: Any) -> str:
    return f" on {long_date(timezone.localdate(moment))}" if moment else ""


def _document(request: HttpRequest, statement: Statement) -> dict[str, Any]:
    document = issuing.document_of(statement)
    return {"document": document, "stand_ins": drawing.stand_ins(document)}


@dataclass
class Group:
    """Lines of a statement that are added up together."""

    label: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)


def _lines(request: HttpRequest, statement: Statement) -> dict[str, Any]:
    """Return the lines, the month's own apart from corrections, each with where it comes from."""
    own = Group(f"This month: {long_month(statement.period.month)}")
    corrections = Group(issuing.document_of(statement).corrections_title)
    may_correct = request.user.has_perm(ENTER) and statement.state in Statement.LIVE
    month = statement.period.iso_month
    for line in statement.lines.all():
        group = corrections if line.is_correction_in(month) else own
        group.rows.append(_row(line, statement, may_correct=may_correct))
        figures = Figures(line.list_cost, line.contracted_cost, line.charged)
        group.figures = Figures.total((group.figures, figures))
    groups = [each for each in (own, corrections) if each.rows]
    return {"groups": groups, "total": Figures.total(each.figures for each in groups), "may_correct": may_correct}


def _row(line: StatementLine, statement: Statement, *, may_correct: bool) -> dict[str, Any]:
    line.statement = statement
    named = f"{statement}:{line.number}"
    return {
        "line": line,
        "used": issuing.used_on(line),
        "about": " · ".join(filter(None, (issuing.for_what(line), line.reference_1, line.reference_2))),
        "why_url": why_url(named),
        "correct_url": correct_url(named) if may_correct else "",
    }


@dataclass(frozen=True)
class Revision:
    """A revision with what changed since the one before, and what became of it."""

    statement: Statement
    tone: str
    events: dict[str, list[AuditEvent]]
    mails: list[tuple[Email, str]]
    changes: Changes | None = None

    @property
    def issued_by(self) -> str:
        events = self.events.get("statement.issued")
        return events[0].actor_name if events else str(self.statement.issued_by or "")

    @property
    def voided_by(self) -> str:
        events = self.events.get("statement.voided")
        return events[0].actor_name if events else ""

    @property
    def downloads(self) -> list[AuditEvent]:
        return self.events.get("statement.downloaded", [])


def _history(request: HttpRequest, statement: Statement) -> dict[str, Any]:
    """Return every revision of the reference, the newest first."""
    found = list(
        Statement.objects.filter(reference=statement.reference_id)
        .select_related("period", "issued_by")
        .prefetch_related("lines", "emails")
        .order_by("revision")
    )
    events: dict[int, dict[str, list[AuditEvent]]] = {}
    if request.user.has_perm("billing.view_auditevent"):
        about = AuditEvent.objects.filter(object_type="statement", object_id__in=[str(each.pk) for each in found])
        for event in about.filter(action__in=TOLD).order_by("pk"):
            events.setdefault(int(event.object_id), {}).setdefault(event.action, []).append(event)
    revisions = []
    for number, each in enumerate(found):
        mails = [(mail, EMAIL_TONES[mail.state]) for mail in sorted(each.emails.all(), key=lambda mail: mail.pk)]
        changes = issuing.changes_since(found[number - 1], each) if number else None
        revisions.append(Revision(each, TONES[State(each.state)], events.get(each.pk, {}), mails, changes))
    return {"revisions": revisions[::-1]}


Part = Callable[[HttpRequest, Statement], dict[str, Any]]
TABS: dict[str, tuple[str, Part]] = {
    "document": ("Document", _document),
    "lines": ("Lines", _lines),
    "history": ("History", _history),
}
