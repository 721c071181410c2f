"""The page of a journal: what it comes to, its lines, what it changes, who did what with it, and its file."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from billing.admin.tracing import why_url
from billing.fields import AmountSum
from billing.models import AuditEvent, Source
from billing.money import ZERO, rounded
from billing.texts import number_in

from .. import summaries
from ..differences import GONE, Difference
from ..models import Journal, JournalLine
from . import listing, preflight

# What narrows the lines: what they are of, and the line of the file that they are in.
NARROWED = {**summaries.KINDS, "file_line": "Line of the file"}

PAYER, RECOVERY = JournalLine.Side.PAYER, JournalLine.Side.RECOVERY

LINES_PER_PAGE = 200
# Events of its history that the page tells; the activity has all.
EVENTS = 100
# Acts between two drafts that may have changed what is charged.
ACTS = 300

# What stands in an address for a line that lacks the value.
NONE = "none"
SEARCHED = ("description", "reference", "pi_name", "pi_email", "project_code", "reference_1", "reference_2")

DONE = {
    "journal.drafted": "Drafted",
    "journal.exported": "Draft file written",
    "journal.submitted": "Submitted",
    "journal.posted": "Recorded as posted",
    "journal.rejected": "Recorded as rejected",
    "journal.reversed": "Reversed",
    "journal.reversal_undone": "Reversal rejected",
    "journal.downloaded": "File downloaded",
    "journal.warnings_acknowledged": "Warnings acknowledged",
    "journal.preflight_exported": "Preflight taken out",
}
# What is no reason for another draft: the journal's own steps, and what only follows from the charges.
NO_REASON = ("journal.", "payer_lines.", "statement.", "email.", "job.", "session.", "proof.", "charges.", "user.")


def context_of(request: HttpRequest, journal: Journal, preserved: str) -> dict[str, Any]:
    """Return what the page shows: the head of it, and the part that the address asks for."""
    earlier = list(_earlier(journal).order_by("pk"))
    is_told = {
        "difference": bool(journal.draft_changes or earlier),
        "preflight": journal.kind != Journal.Kind.REVERSAL,
    }
    tabs = {name: part for name, part in TABS.items() if is_told.get(name, True)}
    asked = request.GET.get("tab", "")
    chosen = asked if asked in tabs else "summary"
    shown: dict[str, Any] = {
        "tone": listing.TONES.get(journal.state, ""),
        "said": listing.SAID[journal.state],
        "tab": chosen,
        "tabs": [
            {
                "label": label,
                "url": tab_url(name, preserved),
                "is_current": name == chosen,
                "count": f"{journal.line_count:,}" if name == "lines" else "",
            }
            for name, (label, _) in tabs.items()
        ],
        "by": journal.debits - journal.credits,
        # What an accrual holds is drafted as if it were not there.
        "charges": journal.kind == Journal.Kind.JOURNAL,
        "earlier": earlier,
        "outdated": listing.outdated(journal),
        "reversals": list(journal.reversals.order_by("id")),
        "may_download": may_download(request, journal),
        "preserved": preserved,
    }
    return shown | tabs[chosen][1](request, journal, shown)


def may_download(request: HttpRequest, journal: Journal) -> bool:
    return bool(journal.file_path) and request.user.has_perm("journals.export_journal")


def tab_url(name: str, preserved: str = "", **narrowed: str) -> str:
    asked = urlencode({name: value for name, value in narrowed.items() if value})
    return "?" + "&".join(filter(None, ("" if name == "summary" else f"tab={name}", asked, preserved)))


def _earlier(journal: Journal) -> "QuerySet[Journal]":
    """Return the journals that are in the ledger, or will be, and came before."""
    live = Journal.objects.live().filter(period=journal.period_id, pk__lt=journal.pk)
    return live if journal.kind == Journal.Kind.JOURNAL else live.none()


def _summary(request: HttpRequest, journal: Journal, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "tables": summaries.summaries(summaries.grouped(journal.lines.all())),
        "lines_url": tab_url("lines", shown["preserved"]),
    }


def _lines(request: HttpRequest, journal: Journal, shown: dict[str, Any]) -> dict[str, Any]:
    asked = {name: request.GET.get(name, "").strip()[:200] for name in (*NARROWED, "q")}
    lines = journal.lines.select_related("file_line").order_by("number")
    for name in summaries.KINDS:
        if asked[name]:
            lines = lines.filter(**{name: "" if asked[name] == NONE else asked[name]})
    if asked["file_line"]:
        lines = lines.filter(file_line__number=number_in(asked["file_line"]) or 0)
    for word in asked["q"].split()[:10]:
        lines = lines.filter(_anywhere(word))
    sums = lines.order_by().aggregate(count=Count("pk"), debits=AmountSum("debit"), credits=AmountSum("credit"))
    pages = Paginator(lines, LINES_PER_PAGE)
    # Counted already.
    pages.count = sums["count"]
    sources = {source.name: source.label for source in Source.objects.order_by("name")}
    chips = [
        {
            "title": NARROWED[name],
            "value": sources.get(asked[name], asked[name]) if name == "source_name" else asked[name],
            "remove_url": tab_url("lines", shown["preserved"], **asked | {name: ""}),
        }
        for name in NARROWED
        if asked[name]
    ]
    kept = [(name, value) for name, values in QueryDict(shown["preserved"]).lists() for value in values]
    return {
        "page": pages.get_page(request.GET.get("page")),
        "asked": asked,
        "chips": chips,
        "kept": kept,
        "sources": sources,
        "lines_count": sums["count"],
        "lines_debits": sums["debits"] or ZERO,
        "lines_credits": sums["credits"] or ZERO,
        "page_url": tab_url("lines", shown["preserved"], **asked),
        "all_url": tab_url("lines", shown["preserved"]),
        "in_files": journal.layout_id is not None,
        "may_trace": request.user.has_perm("billing.view_charge"),
        "why": reverse("admin:billing_charge_why"),
    }


def _anywhere(word: str) -> Q:
    found = Q(fund_org__icontains=word) | Q(service_name__icontains=word)
    for name in SEARCHED:
        found |= Q(**{f"{name}__icontains": word})
    return found


def _difference(request: HttpRequest, journal: Journal, shown: dict[str, Any]) -> dict[str, Any]:
    """Return what changed against the draft before, and what the journal adds to those of the month before it."""
    found = Difference.from_data(journal.draft_changes) if journal.draft_changes else None
    may_trace = request.user.has_perm("billing.view_charge")
    return {
        "difference": found,
        "acts": _acts(found) if found and request.user.has_perm("billing.view_auditevent") else [],
        "added": added_to(journal, shown["earlier"]) if shown["earlier"] else [],
        "changes": [
            (each, why_url(f"{journal.period.iso_month}@{each.payer_key}") if may_trace and each.kind != GONE else "")
            for each in (found.changes if found else ())
        ],
    }


def _acts(found: Difference) -> list[tuple[str, int, str]]:
    """Return what was done between two drafts that may have changed them: each act, how often, and to what last."""
    events = AuditEvent.objects.between(found.earlier.at, found.later.at).order_by("-pk")
    for prefix in NO_REASON:
        events = events.exclude(action__startswith=prefix)
    acts: dict[str, tuple[int, str]] = {}
    for action, label in events.values_list("action", "object_label")[:ACTS]:
        count, first = acts.get(action, (0, label))
        acts[action] = (count + 1, first)
    return [(action.replace(".", " ").replace("_", " "), count, label) for action, (count, label) in acts.items()]


@dataclass(frozen=True)
class Added:
    """What is on journals of a month for one value: on those before, and on this one."""

    label: str
    before: Decimal
    own: Decimal

    @property
    def together(self) -> Decimal:
        return self.before + self.own


@dataclass(frozen=True)
class AddedTable:
    """What a journal adds to those before it, by one column, with the row that all others add up to."""

    title: str
    rows: tuple[Added, ...]
    total: Added


def added_to(journal: Journal, earlier: list[Journal]) -> list[AddedTable]:
    """Return what a journal adds to those before it: what fund/orgs are charged, and what sources recover."""
    before = JournalLine.objects.filter(journal__in=earlier)
    labels = {source.name: source.label for source in Source.objects.all()}
    return [
        _added("Charged by fund/org", _nets(before, PAYER, "fund_org"), _nets(journal.lines, PAYER, "fund_org"), {}),
        _added(
            "Recovered by source",
            _nets(before, RECOVERY, "source_name"),
            _nets(journal.lines, RECOVERY, "source_name"),
            labels,
        ),
    ]


def _nets(lines: Any, side: str, kind: str) -> dict[str, Decimal]:
    """Return what payers are charged, or sources recover, by a column."""
    rows = lines.filter(side=side).order_by().values_list(kind)
    nets = rows.annotate(debits=AmountSum("debit"), credits=AmountSum("credit"))
    sign = 1 if side == PAYER else -1
    return {key: (debits - credits) * sign for key, debits, credits in nets}


def _added(title: str, before: dict[str, Decimal], own: dict[str, Decimal], labels: dict[str, str]) -> AddedTable:
    keys = sorted(own, key=lambda key: (-abs(own[key]), key))
    shown, rest = keys[: summaries.MOST], keys[summaries.MOST :]
    rows = [Added(labels.get(key, key) or NONE, before.get(key, ZERO), own[key]) for key in shown]
    if rest:
        were = sum((before.get(key, ZERO) for key in rest), ZERO)
        rows.append(Added(f"{len(rest):,} others", were, sum((own[key] for key in rest), ZERO)))
    if untouched := set(before) - set(own):
        rows.append(Added("Not on this journal", sum((before[key] for key in untouched), ZERO), ZERO))
    total = Added("Together", sum(before.values(), ZERO), sum(own.values(), ZERO))
    return AddedTable(title, tuple(rows), total)


def _history(request: HttpRequest, journal: Journal, shown: dict[str, Any]) -> dict[str, Any]:
    if not request.user.has_perm("billing.view_auditevent"):
        return {"events": None}
    events = AuditEvent.objects.filter(object_type="journal", object_id=str(journal.pk)).order_by("-pk")
    told = [
        (event, DONE.get(event.action, event.action), _details(event, journal.currency)) for event in events[:EVENTS]
    ]
    return {"events": told}


def _details(event: AuditEvent, currency: str) -> list[str]:
    after = event.after if isinstance(event.after, dict) else {}
    found = []
    if event.action in ("journal.drafted", "journal.submitted"):
        each_side = rounded(Decimal(after.get("debits", "0")), currency)
        found.append(f"{after.get('lines', 0):,} lines, {each_side} {currency} on each side")
    if after.get("document_number"):
        found.append(f"Document {after['document_number']}")
    if after.get("reversal"):
        found.append(f"By {after['reversal']}")
    if after.get("file"):
        found.append(str(after["file"]))
    return found


def _file(request: HttpRequest, journal: Journal, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "file_name": Path(journal.file_path).name if journal.file_path else "",
        "beside": list(journal.files_beside.all()),
    }


Part = Callable[[HttpRequest, Journal, dict[str, Any]], dict[str, Any]]
TABS: dict[str, tuple[str, Part]] = {
    "summary": ("Summary", _summary),
    "lines": ("Lines", _lines),
    "difference": ("Difference", _difference),
    "preflight": ("Preflight", preflight.tab),
    "history": ("History", _history),
    "file": ("Document and file", _file),
}
