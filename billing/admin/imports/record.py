"""The page of an import: what it comes to and what it changed, what of it is held, its errors, files and history."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest

from ...fields import AmountSum
from ...importing import doubts
from ...importing.outcomes import unread_lines
from ...models import PATHS, AuditEvent, Charge, Flag, Import, ImportTotal, Person
from ...money import ZERO, plain
from ...readers.dates import rule_lines
from ...texts import iso_month, month_name
from ..links import held_url, list_url
from . import words
from .verbs import can_be_read_again, can_keep, takes_changes

State = Import.State
TONES = {
    State.RECEIVED: "busy",
    State.CHECKED: "busy",
    State.APPLIED: "good",
    State.FAILED: "bad",
    State.DEFERRED: "warn",
}
COUNTS = (
    ("rows", "Rows"),
    ("new", "New"),
    ("changed", "Changed"),
    ("unchanged", "Unchanged"),
    ("withdrawn", "Removed"),
    ("unseen", "Not seen again"),
)
# Of what moved, of errors and of events, as many are shown.
MOVED, ERRORS, EVENTS = 10, 200, 50
# Changes beyond which they are not added up by service and PI while somebody waits.
MOST_CHANGES = 100_000
DOWNLOAD = "billing.view_storedfile"


@dataclass(frozen=True)
class Moved:
    """What an import moved of a service or PI, in one currency: what it removed or replaced, and what it brought."""

    name: str
    currency: str
    before: Decimal
    now: Decimal

    @property
    def delta(self) -> Decimal:
        return self.now - self.before


def context_of(request: HttpRequest, imported: Import, preserved: str) -> dict[str, Any]:
    """Return what the page shows: the head of it, and the part that the address asks for."""
    held = held_of(imported)
    held_number = sum(number for number, _ in held.values())
    counts = {"held": held_number, "errors": len(imported.errors)}
    names = [name for name in TABS if name != "errors" or imported.errors]
    first = "errors" if imported.state == State.FAILED and imported.errors else "result"
    asked = request.GET.get("tab", "")
    chosen = asked if asked in names else first
    may_review = request.user.has_perm("billing.review_charges")
    return {
        "tone": TONES.get(State(imported.state), ""),
        "tab": chosen,
        "tabs": [
            {
                "label": TABS[name][0],
                "url": _tab_url("" if name == first else name, preserved),
                "is_current": name == chosen,
                "count": counts.get(name, 0),
            }
            for name in names
        ],
        "is_busy": imported.state in Import.UNFINISHED,
        "billed": sorted(words.billed_of(imported.stored).items()),
        "months": [month_name(month) for month in months_of(imported)],
        "held": sorted((currency, *sums) for currency, sums in held.items()),
        "held_number": held_number,
        "review_url": held_url(imported.pk) if held_number and may_review else "",
    } | TABS[chosen][1](request, imported)


def _tab_url(name: str, preserved: str) -> str:
    return "?" + "&".join(filter(None, (f"tab={name}" if name else "", preserved)))


def months_of(imported: Import) -> list[str]:
    """Return the months that an import is about, as it keeps them."""
    totals = ImportTotal.objects.filter(imported_in=imported).order_by("period__month")
    months = [iso_month(month) for month in totals.values_list("period__month", flat=True).distinct()]
    return months or sorted(imported.difference)


def _held(imported: Import) -> "QuerySet[Charge]":
    return Charge.objects.held().filter(imported_in=imported).order_by()


def held_of(imported: Import) -> dict[str, tuple[int, Decimal]]:
    """Return how much of an import is held now, by currency."""
    if not imported.flagged:
        return {}
    sums = _held(imported).values_list("currency").annotate(number=Count("pk"), billed=AmountSum("billed_cost"))
    return {currency: (number, billed) for currency, number, billed in sums}


def reasons_of(imported: Import) -> list[dict[str, Any]]:
    """Return the reasons for which charges of an import are held now, the most money first; one may have several."""
    flags = Flag.objects.filter(is_resolved=False, charge__in=_held(imported).values("pk")).order_by()
    sums = flags.values_list("code", "charge__currency").annotate(
        number=Count("charge", distinct=True), billed=AmountSum("charge__billed_cost")
    )
    found: dict[str, dict[str, Any]] = {}
    for code, currency, number, billed in sums:
        reason = found.setdefault(code, {"code": code, "label": Flag.Code(code).label, "number": 0, "billed": []})
        reason["number"] += number
        reason["billed"].append((currency, billed))
    return sorted(found.values(), key=lambda each: (-max(abs(billed) for _, billed in each["billed"]), each["label"]))


def is_first(imported: Import) -> bool:
    """Tell whether an import found nothing that it could change: all of it is new."""
    return not (imported.changed or imported.unchanged or imported.withdrawn or imported.unseen)


def moved_by(imported: Import, column: str, name_of: Callable[[Iterable[Any]], dict[Any, str]]) -> list[Moved]:
    """Return what an applied import moved by a column of charges, the largest moves first."""
    sums: dict[tuple[Any, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    brought = Charge.objects.filter(imported_in=imported)
    displaced = Charge.objects.filter(withdrawn_in=imported).exclude(imported_in=imported)
    for at, charges in enumerate((displaced, brought)):
        rows = charges.order_by().values_list(column, "currency").annotate(billed=AmountSum("billed_cost"))
        for key, currency, billed in rows:
            sums[key, currency][at] += billed
    names = name_of({key for key, _ in sums})
    moved = [Moved(names.get(key, ""), currency, *both) for (key, currency), both in sums.items()]
    return sorted((each for each in moved if each.delta), key=lambda each: (-abs(each.delta), each.name))[:MOVED]


def _people(keys: Iterable[Any]) -> dict[Any, str]:
    return {pk: str(person.display_name) for pk, person in Person.objects.in_bulk([key for key in keys if key]).items()}


def _same(keys: Iterable[Any]) -> dict[Any, str]:
    return {key: str(key) for key in keys}


def before_of(imported: Import) -> Import | None:
    """Return the import in force of the same source and months that came before."""
    earlier = Import.objects.filter(source=imported.source_id, pk__lt=imported.pk, state=State.APPLIED)
    totals = ImportTotal.objects.filter(imported_in=imported)
    return earlier.filter(scope_totals__period__in=totals.values("period")).order_by("-pk").first()


def _result(request: HttpRequest, imported: Import) -> dict[str, Any]:
    context: dict[str, Any] = {
        "counts": [(label, getattr(imported, name)) for name, label in COUNTS],
        "is_applicable": takes_changes(imported),
        "doubts": doubts.messages(imported),
        "can_keep": can_keep(imported),
        "is_older": doubts.is_older(imported),
        "rules": [*rule_lines(imported.rules), *unread_lines(imported.unread)],
        "before": None if is_first(imported) else before_of(imported),
    }
    changes = imported.new + imported.changed + imported.withdrawn
    if imported.state == State.APPLIED and changes and not is_first(imported) and changes <= MOST_CHANGES:
        context |= {
            "by_service": moved_by(imported, PATHS["service_name"], _same),
            "by_pi": moved_by(imported, "pi", _people),
            "brought_url": list_url(Charge, f"imported_in__id__exact={imported.pk}"),
            "displaced_url": list_url(Charge, f"withdrawn_in__id__exact={imported.pk}") if imported.withdrawn else "",
        }
    return context


def _held_part(request: HttpRequest, imported: Import) -> dict[str, Any]:
    return {"reasons": reasons_of(imported) if imported.flagged else []}


def _errors(request: HttpRequest, imported: Import) -> dict[str, Any]:
    columns = Counter(error.get("column") or "" for error in imported.errors)
    return {
        "errors_shown": imported.errors[:ERRORS],
        "columns": columns.most_common() if len(imported.errors) > 1 else [],
        "can_be_tried_again": can_be_read_again(imported) and request.user.has_perm("billing.import_charges"),
    }


def _file(request: HttpRequest, imported: Import) -> dict[str, Any]:
    return {
        "files": list(imported.imported_files.select_related("file")),
        "may_download": request.user.has_perm(DOWNLOAD),
        "totals": totals_table(imported),
        "scopes": ImportTotal.objects.filter(imported_in=imported)
        .select_related("period")
        .order_by("period__month", "billing_account_id", "currency"),
        "rules": [*rule_lines(imported.rules), *unread_lines(imported.unread)],
    }


def _history(request: HttpRequest, imported: Import) -> dict[str, Any]:
    about = AuditEvent.objects.filter(object_type="import", object_id=str(imported.pk))
    events = about.exclude(action="import.received").order_by("-pk")[:EVENTS]
    if not request.user.has_perm("billing.view_auditevent"):
        events = events.none()
    return {
        "events": [
            {"said": event.action.partition(".")[2].replace("_", " ").capitalize(), **vars(event)} for event in events
        ],
        "rests": imported.rests.order_by("pk"),
    }


def totals_table(imported: Import) -> list[dict[str, str]]:
    """Return a row per currency and cost column: the files' exact total, what is stored, the rounding."""
    rows = []
    for currency, columns in sorted(imported.totals.items()):
        for column, total in columns.items():
            exact = Decimal(total)
            stored = imported.stored.get(currency, {}).get(column)
            rows.append(
                {
                    "currency": currency,
                    "column": column,
                    "exact": f"{exact:,f}",
                    "stored": f"{Decimal(stored):,f}" if stored else "–",
                    "rounding": plain(exact - Decimal(stored)) if stored else "–",
                }
            )
    return rows


Part = Callable[[HttpRequest, Import], dict[str, Any]]
TABS: dict[str, tuple[str, Part]] = {
    "errors": ("Errors", _errors),
    "result": ("Result", _result),
    "held": ("Held", _held_part),
    "file": ("File as received", _file),
    "history": ("History", _history),
}
