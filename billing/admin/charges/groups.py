"""The queue in groups: by reason and owner, each decided in one click, with what is known of every charge beside it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from ... import doors, review
from ...currencies import minor_units
from ...errors import BillingError
from ...fields import PLACES, WIDE
from ...models import Charge, Flag, FundingSource, HeldCharge, Person
from ...models.dimensions import DIMENSION_MODELS
from ...models.periods import parse_month
from ...review import flags, held_groups, review_sheets, suggestions, undoing
from ...review.held_groups import HeldGroup
from ...review.suggestions import Known, Suggestion
from ...texts import number_in
from .. import question_links
from ..audited import actor_of
from ..choice_chips import ChoiceChip, choice_chips
from ..links import change_url, list_url
from .listing import ReviewMixin
from .steps import STEPS, payers_text

# What the address of the page in groups may say; anything else is the list.
SAID = frozenset({"period", "open", "only", "p"})
# Groups of one page; charges that it shows of the first ones, of each of them, and of the one that is opened.
GROUPS, SHOWN, SHOWN_EACH, OPENED = 25, 24, 5, 100
# As many decisions of this session can be undone one after the other by a key.
REMEMBERED = 20
UNDOABLE = "undoable_decisions"
# Charges whose suggestions are accepted together.
ACCEPTED = 500


@dataclass(frozen=True)
class Row:
    """A charge as the page shows it."""

    charge: Charge
    known: Known
    payers: str

    @property
    def units(self) -> str:
        return _units({self.charge.currency: self.charge.billed_cost})

    @property
    def blocked(self) -> str:
        """Why it cannot be approved as it is, and what is possible; nothing where it can."""
        code = next((each.code for each in self.charge.open_flags if each.is_blocking), "")  # type: ignore[attr-defined]
        return _ways(code) if code else ""


@dataclass
class Shown:
    """A group as the page shows it, with those of its charges that are in sight."""

    group: HeldGroup
    rows: list[Row] = field(default_factory=list)
    # Where a blocking reason is answered otherwise than by a correction: text and address.
    otherwise: tuple[str, str] = ("", "")
    # Where it is opened, and where all of it is listed.
    open_url: str = ""
    list_url: str = ""
    is_opened: bool = False

    @property
    def units(self) -> str:
        return _units(self.group.billed)

    @property
    def unshown(self) -> int:
        return self.group.count - len(self.rows)

    @property
    def suggestion(self) -> Suggestion | None:
        """Whom all its charges may be charged to alike, where all are in sight."""
        found = {row.known.suggestion for row in self.rows}
        return found.pop() if len(found) == 1 and not self.unshown and self.group.count > 1 else None

    @property
    def ways(self) -> str:
        """What is possible in place of an approval."""
        return _ways(self.group.code)


class NotPossible(BillingError):
    """Something was asked of the queue that is not possible, or not any more."""


class GroupsMixin(ReviewMixin):
    """Shows the queue in groups where its address names nothing that narrows a list, and decides about them."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET" and set(request.GET) <= SAID:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return TemplateResponse(request, "admin/billing/charge/groups.html", self._page(request))
        return super().changelist_view(request, {**_undo_of(request), **(extra_context or {})})

    def _page(self, request: HttpRequest) -> dict[str, Any]:
        period, query = request.GET.get("period", ""), request.GET.copy()
        charges = _of_month(period)
        groups = held_groups.groups_of(charges)
        only = request.GET.get("only", "")
        reasons = {
            code: held_groups.summed(each for each in groups if each.code == code)
            for code in dict.fromkeys(each.code for each in groups)
        }
        paged = Paginator([each for each in groups if only in ("", each.code)], GROUPS).get_page(query.get("p"))
        shown = self._shown(request, charges, list(paged), request.GET.get("open", ""))
        query.pop("p", None)
        query.pop("open", None)
        flat = {"view": "list"} | ({"period": period} if period else {})
        return {
            **self.admin_site.each_context(request),
            **_undo_of(request),
            "title": "Review",
            "opts": self.opts,
            "media": self.media,
            "when_empty": self.when_empty,
            "total": held_groups.summed(groups),
            "is_cut": len(groups) >= held_groups.MOST,
            "reasons": _chips(reasons, only, period),
            "only": only,
            "period": period,
            "here": query.urlencode(),
            "back": request.GET.urlencode(),
            "parts": _parts(shown, reasons),
            "paged": paged,
            "flat_url": f"{reverse('admin:billing_heldcharge_changelist')}?{urlencode(flat)}",
            "may_decide": self.has_review_permission(request),
        }

    def _shown(
        self, request: HttpRequest, charges: "QuerySet[HeldCharge]", groups: Sequence[HeldGroup], opened: str
    ) -> list[Shown]:
        """Return the groups of a page; charges are shown of the first ones, and of the one that is opened."""
        wanted: dict[str, int] = {}
        for group in groups:
            if group.key == opened:
                wanted[group.key] = min(group.count, OPENED)
            elif sum(wanted.values()) < SHOWN:
                wanted[group.key] = min(group.count, SHOWN_EACH)
        ids = held_groups.first_of(charges, wanted)
        rows = rows_of([pk for each in ids.values() for pk in each])
        query = {name: request.GET[name] for name in ("period", "only", "p") if request.GET.get(name)}
        in_list = {"view": "list"} | ({"period": query["period"]} if "period" in query else {})
        shown = []
        for group in groups:
            found = [rows[pk] for pk in ids.get(group.key, ()) if pk in rows]
            open_url = f"?{urlencode(query | {'open': group.key})}#opened"
            listed = list_url(HeldCharge, urlencode(in_list | {"group": group.key}))
            otherwise = _otherwise(request, group, found)
            shown.append(Shown(group, found, otherwise, open_url, listed, group.key == opened))
        return shown

    def decide_view(self, request: HttpRequest) -> HttpResponse:
        """Do what a button or key of the page asks for: at once, or after a page that asks for what is missing."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_review_permission(request):
            raise PermissionDenied
        back = _back_of(request)
        verb, _, target = request.POST.get("do", "").partition(" ")
        answer: HttpResponse | None = None
        try:
            if verb == "undo":
                answer = self._undo(request)
            elif verb == "accept":
                self._accept(request, target)
            else:
                answer = self._take(request, verb, target, back)
        except (BillingError, held_groups.UnknownGroup) as error:
            messages.error(
                request, doors.for_page(error, request.user) if isinstance(error, BillingError) else str(error)
            )
        return answer or HttpResponseRedirect(back)

    def _take(self, request: HttpRequest, verb: str, target: str, back: str) -> HttpResponse | None:
        """Take a step of the review for one charge, one group, or what is selected; an approval asks nothing."""
        step = STEPS.get(verb)
        if step is None:
            raise NotPossible("Choose what to do: approve, correct, reject or charge to the center.")
        ids, keys = _named(target) if target else _selected(request.POST)
        if not ids and not keys:
            raise NotPossible("Choose charges first: tick them, or a whole group.")
        chosen = _chosen(request.POST.get("period", ""), ids, keys)
        if verb != "approve":
            sent: list[tuple[str, object]] = [("do", verb), ("period", request.POST.get("period", ""))]
            sent += [("back", request.POST.get("back", "")), *((ACTION_CHECKBOX_NAME, pk) for pk in ids)]
            sent += [("group", f"{key}|{count}") for key, count in keys.items()]
            return self.decide(request, chosen, step, sent=sent, back=back)
        for key in keys if target else ():
            if held_groups.code_in(key) in held_groups.BLOCKING:
                reason = held_groups.reason_label(held_groups.code_in(key))
                raise NotPossible(f"{reason}: these charges cannot be approved as they are. Correct who pays first.")
        _, answer = self.do(request, chosen, chosen.count(), step, {"note": ""})
        return answer

    def _accept(self, request: HttpRequest, target: str) -> None:
        """Correct charges as was suggested, and approve them, unless something else would be suggested by now."""
        named, _, digest = target.rpartition("|")
        ids, keys = _named(named)
        chosen = _chosen(request.POST.get("period", ""), ids, keys)
        rows = rows_of(list(chosen.order_by("pk").values_list("pk", flat=True)[:ACCEPTED]))
        suggested = [(pk, row.known.suggestion) for pk, row in rows.items() if row.known.suggestion]
        alike = [(pk, each) for pk, each in suggested if each.digest == digest]
        if not alike or len(alike) != len(rows):
            raise NotPossible(
                "What is suggested for these charges changed meanwhile. Look at it again, then accept it."
            )
        for suggestion, pks in suggestions.by_payer(alike).items():
            decided = review.reattribute(
                charges=pks,
                reassignment=suggestion.payer.reassignment,
                approve=True,
                note=suggestion.why,
                actor=actor_of(request),
                now=timezone.now(),
            )
            self.tell(request, decided)

    def _undo(self, request: HttpRequest) -> HttpResponse | None:
        """Undo one act of somebody, where nobody decided about its charges since."""
        try:
            gesture = uuid.UUID(request.POST.get("gesture", ""))
        except ValueError:
            raise NotPossible("There is nothing to undo.") from None
        chosen = undoing.decided_last_by(gesture)
        number = chosen.count()
        if not number:
            _forget(request, str(gesture))
            raise NotPossible("There is nothing to undo: these charges were decided about again, or undone, since.")
        is_done, answer = self.do(request, Charge.objects.filter(pk__in=chosen.values("pk")), number, STEPS["undo"], {})
        if is_done:
            _forget(request, str(gesture))
        return answer

    def tell(self, request: HttpRequest, decided: review.Decided) -> None:
        """Say what came of a decision, with the button that undoes it."""
        if _can_be_undone(decided):
            _remember(request, decided)
        super().tell(request, decided)

    def told(self, request: HttpRequest, decided: review.Decided) -> Any:
        said = super().told(request, decided)
        if not _can_be_undone(decided):
            return said
        button = '<button type="submit" class="btn small" form="review-undo" name="gesture" value="{}">Undo</button>'
        return format_html("{} " + button, said, decided.gesture)


def _ways(code: str) -> str:
    """Say what is possible where a reason cannot be approved as it is."""
    way = flags.WAYS.get(Flag.Code(code))
    return f"Cannot be approved as it is. Correct who pays{f', or {way}' if way else ''}."


def rows_of(ids: Sequence[int]) -> dict[int, Row]:
    """Return charges by their ids as the page shows them, in a bounded number of queries."""
    names = [model.NAME for model in DIMENSION_MODELS]
    found = (
        HeldCharge.objects.filter(pk__in=ids)
        .select_related("source", "pi", "project", "charged_in", *names)
        .prefetch_related(review_sheets.open_flags(), "payer_split__shares")
        .order_by("-pk")
    )
    charges: list[Charge] = list(found) if ids else []
    known = suggestions.known_of(charges)
    return {charge.pk: Row(charge, known[charge.pk], payers_text(charge)) for charge in charges}


def _of_month(period: str) -> "QuerySet[Any]":
    """Return what is held in a month, or in all of them."""
    charges = HeldCharge.objects.all()
    if not period:
        return charges
    try:
        return charges.filter(charged_in__month=parse_month(period))
    except ValueError:
        return charges.none()


def _chips(reasons: Mapping[str, tuple[int, Mapping[str, Decimal]]], only: str, period: str) -> list[ChoiceChip]:
    """Return the reasons as chips; each says below what its charges come to."""
    if not reasons:
        return []
    month = {"period": period} if period else {}
    every = ChoiceChip("", "All", sum(number for number, _ in reasons.values()))
    found = [ChoiceChip(code, held_groups.reason_label(code), number) for code, (number, _) in reasons.items()]
    return choice_chips(
        [every, *found],
        chosen=only,
        url_of=lambda code: f"?{urlencode(month | ({'only': code} if code else {}))}",
    )


def _parts(shown: Sequence[Shown], reasons: Mapping[str, tuple[int, Mapping[str, Decimal]]]) -> list[dict[str, Any]]:
    """Return the groups of a page under their reasons, each with what the whole reason comes to."""
    return [
        {
            "code": code,
            "reason": held_groups.reason_label(code),
            "count": reasons[code][0],
            "billed": reasons[code][1],
            "groups": [each for each in shown if each.group.code == code],
        }
        for code in dict.fromkeys(each.group.code for each in shown)
    ]


def _otherwise(request: HttpRequest, group: HeldGroup, rows: Sequence[Row]) -> tuple[str, str]:
    """Return where somebody who may answers what no approval does: a fund/org's exception, a PI's confirmation."""
    if group.code in flags.OVER and rows and request.user.has_perm("billing.add_fundexception"):
        return "Record an exception", list_url(FundingSource, urlencode({"q": rows[0].payers}))
    if group.code == "unknown_pi" and group.pi and request.user.has_perm("billing.change_person"):
        return "Confirm the PI", change_url(Person(pk=group.pi))
    if group.code == "disputed" and rows and (url := question_links.in_group([row.charge.pk for row in rows])):
        return "Answer the question", url
    return "", ""


def _named(target: str) -> tuple[list[int], dict[str, int]]:
    """Read the charge or group that a button is for: `12`, or a key with the number of charges seen, `key|12`."""
    key, mark, seen = target.rpartition("|")
    number = number_in(seen)
    if number is None:
        raise NotPossible("There is no such charge.")
    return ([], {key: number}) if mark else ([number], {})


def _selected(sent: QueryDict) -> tuple[list[int], dict[str, int]]:
    """Read the charges and whole groups that are ticked."""
    ids = [number for each in sent.getlist(ACTION_CHECKBOX_NAME) if (number := number_in(each)) is not None]
    keys = {key: number for each in sent.getlist("group") for key, number in _named(each)[1].items()}
    return ids, keys


def _chosen(period: str, ids: Sequence[int], keys: Mapping[str, int]) -> "QuerySet[Charge]":
    """Return charges and groups of the queue. Raises NotPossible where a group is another by now than was seen."""
    wanted = Q(pk__in=list(ids))
    for key, seen in keys.items():
        of_group = held_groups.in_group(_of_month(period), key)
        if (now := of_group.count()) != seen:
            raise NotPossible(f"The group changed meanwhile: it has {review.counted(now)} now. Look at it again.")
        wanted |= Q(pk__in=of_group.values("pk"))
    return Charge.objects.filter(wanted)


def _back_of(request: HttpRequest) -> str:
    """Return the address of the page that was asked from: of the list, or of the groups as they stood open."""
    said = QueryDict(request.POST.get("back", ""), mutable=True)
    kept = {name: said[name] for name in said if name in SAID or name == "view"}
    return list_url(HeldCharge, urlencode(kept))


def _undo_of(request: HttpRequest) -> dict[str, Any]:
    """Return what a page needs to undo the last decision of this session."""
    kept = request.session.get(UNDOABLE, [])
    return {"undoable": {"gesture": kept[-1][0], "said": kept[-1][1]} if kept else None}


def _can_be_undone(decided: review.Decided) -> bool:
    return bool(decided.count) and decided.done != review.DONE[review.UNDO]


def _remember(request: HttpRequest, decided: review.Decided) -> None:
    """Keep a decision of this session, so that the last one can be undone from any page of the queue."""
    said = f"{review.counted(decided.count)} {decided.done}"
    request.session[UNDOABLE] = [*request.session.get(UNDOABLE, []), [decided.gesture, said]][-REMEMBERED:]


def _forget(request: HttpRequest, gesture: str) -> None:
    request.session[UNDOABLE] = [each for each in request.session.get(UNDOABLE, []) if each[0] != gesture]


def _units(billed: Mapping[str, Decimal]) -> str:
    """Write amounts for the script, which adds them up as whole numbers: `USD:2:6184000000` in units of 10⁻⁸."""
    each = (
        f"{currency}:{minor_units(currency)}:{int(amount.scaleb(PLACES, context=WIDE))}"
        for currency, amount in billed.items()
    )
    return " ".join(each)
