"""Billing periods: the list of months, and the page where a month moves on."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .. import doors, month_items
from ..models import BillingPeriod, Charge, MonthTotal
from ..models.periods import parse_month
from ..months import checklist, closing, crossing, elsewhere
from ..proof import recounting
from ..texts import long_date, long_month
from .attribution import REAPPLY, reapply_view
from .audited import FrozenAdmin, actor_of
from .formatting import amount, badge_column, count, count_column
from .links import link, list_url
from .month import shown_list
from .proof import proof_view
from .verbs import Missing, Verb

Status = BillingPeriod.Status

TONES = {Status.OPEN: "info", Status.REVIEW: "warn", Status.CLOSED: "busy", Status.FINALIZED: "good"}


@dataclass(frozen=True)
class Step:
    """One step of a period's life, as the tracker shows it."""

    name: str
    label: str
    is_done: bool
    is_current: bool
    at: datetime.datetime | None = None
    by: str = ""
    detail: str = ""


def steps_of(period: BillingPeriod) -> list[Step]:
    """Return the life of a period as four steps, each done, current or to come."""
    order = [Status.OPEN, Status.REVIEW, Status.CLOSED, Status.FINALIZED]
    reached = order.index(Status(period.status))
    detail = f"until {date_format(period.review_until)}" if period.review_until else "may be skipped"
    told: dict[str, tuple[datetime.datetime | None, str, str]] = {
        Status.OPEN: (period.opened_at, period.opened_by, "accepting imports"),
        Status.REVIEW: (period.review_at, period.review_by, detail),
        Status.CLOSED: (period.closed_at, period.closed_by, "no more changes"),
        Status.FINALIZED: (period.finalized_at, period.finalized_by, "posted and locked"),
    }
    labels = {Status.OPEN: "Open", Status.REVIEW: "In review", Status.CLOSED: "Closed", Status.FINALIZED: "Finalized"}
    steps = []
    for number, status in enumerate(order):
        at, by, detail = told[status]
        is_reached = number <= reached
        steps.append(
            Step(
                name=status,
                label=labels[status],
                is_done=number < reached or status == period.status == Status.FINALIZED,
                is_current=number == reached and status != Status.FINALIZED,
                at=at if is_reached else None,
                by=by if is_reached else "",
                detail="skipped" if number < reached and at is None else detail,
            )
        )
    return steps


@dataclass
class Sums:
    """What a month's charges come to; amounts by currency, for currencies are never added."""

    charges: int = 0
    held: int = 0
    billed: dict[str, Decimal] = field(default_factory=dict)


def sums_of(periods: Sequence[BillingPeriod]) -> dict[int, Sums]:
    """Return the sums of several months, by their ids."""
    found = {period.pk: Sums() for period in periods}
    totals = MonthTotal.objects.filter(charged_in__in=list(found))
    for row in totals.summed("charged_in", "state", "currency"):
        sums = found[row["charged_in"]]
        sums.charges += row["number"]
        sums.held += row["number"] if row["state"] == Charge.State.HELD else 0
        # No defaultdict: a template would look up “items” in it as a currency.
        sums.billed[row["currency"]] = sums.billed.get(row["currency"], Decimal(0)) + row["billed"]
    return found


class OpenForm(forms.Form):
    month = forms.CharField(
        label="Month",
        help_text="Year and month, such as 2025-01. Importing a file opens its month by itself.",
        widget=forms.TextInput(attrs={"placeholder": "2025-01", "autofocus": True}),
    )
    notes = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the period, for the record."
    )

    def clean_month(self) -> datetime.date:
        try:
            return parse_month(self.cleaned_data["month"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class NotesForm(forms.Form):
    notes = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the period, for the record."
    )


class CloseForm(NotesForm):
    """Asks to tick what a close leaves undone, where it leaves anything."""

    field_order = ("leave", "notes")

    leave = forms.BooleanField(required=False, label="Close anyway")

    def __init__(self, *args: Any, left: Sequence[checklist.Item] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        if not left:
            del self.fields["leave"]
            return
        self.fields["leave"].required = True
        self.fields["leave"].error_messages["required"] = "Tick this to close the month before that is done."
        self.fields["leave"].help_text = format_html(
            "Not done yet:<ul>{}</ul>",
            format_html_join("", "<li>{}: {}</li>", ((each.label, each.text) for each in left)),
        )


class ReviewForm(forms.Form):
    until = forms.DateField(
        label="Review until",
        help_text="The last day on which PIs and reviewers can ask for changes; statements print it.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class CarryForm(forms.Form):
    """Asks why, where a fiscal year-end or an award's end is crossed."""

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept in the audit log.")

    def __init__(self, *args: Any, needed: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["reason"]
        field.required = bool(needed)
        field.help_text = " ".join([*needed, "Kept in the audit log."])


class ReopenForm(forms.Form):
    to = forms.ChoiceField(
        label="Back to", choices=[(Status.OPEN, "Open"), (Status.REVIEW, "In review")], initial=Status.OPEN
    )
    until = forms.DateField(
        label="Review until",
        required=False,
        help_text="For “In review” only; empty: the day it was to end before.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept in the audit log.")


def review(request: HttpRequest, period: BillingPeriod, data: dict[str, Any]) -> str:
    period = closing.start_review(period=period, until=data["until"], actor=actor_of(request), now=timezone.now())
    until = long_date(data["until"])
    return f"{period} is in review until {until}. Issue the statements, so that PIs can look at them."


def close(request: HttpRequest, period: BillingPeriod, data: dict[str, Any]) -> str | SafeString:
    closing.close(period=period, notes=data["notes"], actor=actor_of(request), now=timezone.now())
    period.refresh_from_db()
    said = f"{period} is closed: its charges and decisions are locked."
    item = checklist.of(period, waits=False).next
    if item is None or item.then is None:
        return said
    return format_html("{} Next: {} {}", said, item.text, doors.link_for(item.then, request.user))


def remove(request: HttpRequest, period: BillingPeriod, data: dict[str, Any]) -> str:
    closing.remove(period=period, actor=actor_of(request), now=timezone.now())
    return f"{period} is removed. The next import for it brings it back."


def recount(request: HttpRequest, period: BillingPeriod, data: dict[str, Any]) -> str:
    return str(recounting.recount(period=period, actor=actor_of(request), now=timezone.now()))


def carry(request: HttpRequest, period: BillingPeriod, data: dict[str, Any]) -> str:
    return str(closing.carry_over(period=period, reason=data["reason"], actor=actor_of(request), now=timezone.now()))


def reopen(request: HttpRequest, period: BillingPeriod, data: dict[str, Any]) -> str:
    period = closing.reopen(
        period=period,
        reason=data["reason"],
        to=data["to"],
        until=data["until"],
        actor=actor_of(request),
        now=timezone.now(),
    )
    return f"{period} is {period.get_status_display().lower()} again. Close it when the changes are made."


def finalize(request: HttpRequest, period: BillingPeriod, data: dict[str, Any]) -> str:
    closing.finalize(period=period, notes=data["notes"], actor=actor_of(request), now=timezone.now())
    return f"{period} is finalized: it is permanently locked."


def missing_for(period: BillingPeriod, step: str) -> list[Missing]:
    """Return what keeps a month from a step, by its checklist, with the way to each."""
    items = checklist.of(period, waits=False).keeping_from(step)
    return [Missing(item.text, doors.url_of(item.then) if item.then else "") for item in items]


def queue_url(period: BillingPeriod, reason: str = "") -> str:
    """Return the address of the charges that wait for review in a month, for one reason or all."""
    query = f"?period={period.iso_month}" + (f"&reason={reason}" if reason else "")
    return reverse("admin:billing_heldcharge_changelist") + query


class PeriodList(ChangeList):
    """The months on the page, with the sums of their charges."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        periods = list(self.result_list)
        sums = sums_of(periods)
        for period in periods:
            period.sums = sums[period.pk]
        self.result_list = periods


@admin.register(BillingPeriod)
class BillingPeriodAdmin(FrozenAdmin):
    when_empty = "There is no billing period yet. The first import opens its month, or open one here."
    list_display = (
        "month_link",
        badge_column("status", TONES),
        "charges_count",
        "billed_amount",
        "held_count",
        count_column("statement_number", "statements"),
        "closed_at",
        "finalized_at",
    )
    list_filter = ("status",)
    list_per_page = 24
    sortable_by = ("month_link",)
    date_hierarchy = None
    fields = ("period_text", "status", "opened", "in_review", "closed", "finalized")
    readonly_fields = fields
    change_form_template = "admin/billing/billingperiod/change_form.html"
    change_list_template = "admin/billing/billingperiod/change_list.html"
    verbs = (
        Verb(
            name="review",
            label="Put in review…",
            button="Put in review",
            permission="billing.open_period",
            run=review,
            form=ReviewForm,
            offered=lambda period: period.status in (Status.OPEN, Status.REVIEW),
            question="Statements issued during the review say until when changes can be asked for.",
        ),
        Verb(
            name="carry",
            label="Carry over what is held…",
            button="Carry over",
            permission="billing.close_period",
            run=carry,
            form=CarryForm,
            form_for=lambda period: {"needed": crossing.reason_needed(period, crossing.month_after(period))},
            offered=lambda period: period.takes_changes and Charge.objects.in_month(period).held().exists(),
            question=lambda period: (
                f"{month_items.held_text(period)} in {period}. "
                f"What is held waits in {long_month(crossing.month_after(period))} from here on, and is charged there "
                "once it is decided. Statements say which month it is for. Reopening the period does not undo this."
            ),
        ),
        Verb(
            name="close",
            label="Close period…",
            button="Close period",
            permission="billing.close_period",
            run=close,
            form=CloseForm,
            form_for=lambda period: {"left": checklist.of(period, waits=False).left_behind(checklist.CLOSE)},
            offered=lambda period: period.takes_changes,
            missing=lambda period: missing_for(period, checklist.CLOSE),
            question=lambda period: (
                f"After this no charge, decision or attribution of {period} changes any more. "
                "It can be reopened with a reason until it is finalized."
            ),
            is_primary=True,
        ),
        Verb(
            name="reopen",
            label="Reopen…",
            button="Reopen",
            permission="billing.reopen_period",
            run=reopen,
            form=ReopenForm,
            offered=lambda period: period.status == Status.CLOSED,
            question="Statements and journals already sent out stay as they are. Later changes make new revisions.",
            details="admin/billing/billingperiod/elsewhere.html",
            facts=lambda request, period, form: {
                "original": period,
                "elsewhere": elsewhere.booked_elsewhere(period),
            },
        ),
        Verb(
            name="finalize",
            label="Finalize…",
            button="Finalize permanently",
            permission="billing.finalize_period",
            run=finalize,
            form=NotesForm,
            offered=lambda period: period.status == Status.CLOSED,
            missing=lambda period: missing_for(period, checklist.FINALIZE),
            question=lambda period: f"{period} becomes read-only permanently. This cannot be undone.",
            is_primary=True,
        ),
        Verb(
            name="recount",
            label="Count charges again…",
            button="Count again",
            permission="billing.close_period",
            run=recount,
            offered=lambda period: period.takes_changes,
            # The reconciliation leads here where it found them wrong.
            is_in_head=False,
            question=lambda period: (
                f"Lists and the dashboard show totals of {period} that each change of a charge keeps up to date. "
                "Where its reconciliation says that they are wrong, this adds up the charges again."
            ),
        ),
        Verb(
            name="remove",
            label="Remove empty month…",
            button="Remove it",
            permission="billing.open_period",
            run=remove,
            offered=lambda period: period.takes_changes and not closing.contents_of(period),
            question=lambda period: (
                f"Nothing counts in {period}: it leaves the lists. What was withdrawn stays in the audit log, and the "
                "next import for this month brings it back."
            ),
            is_dangerous=True,
        ),
    )

    def verb_view(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        response = super().verb_view(request, object_id, verb)
        # Its page is gone with it.
        gone = verb.name == "remove" and response.status_code == 302 and self.get_object(request, object_id) is None
        return HttpResponseRedirect(list_url(BillingPeriod)) if gone else response

    def get_queryset(self, request: HttpRequest) -> QuerySet[BillingPeriod]:
        # By the relation's name: this app knows nothing of statements.
        return (
            super()
            .get_queryset(request)
            .filter(removed_at__isnull=True)
            .annotate(
                statement_number=Count(
                    "statements", filter=Q(statements__state__in=("issued", "written", "portal", "sent"))
                )
            )
        )

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return PeriodList

    @admin.display(description="period", ordering="month")
    def month_link(self, period: BillingPeriod) -> str:
        return str(period)

    @admin.display(description="charges")
    def charges_count(self, period: Any) -> str:
        return count(period.sums.charges)

    @admin.display(description="billed")
    def billed_amount(self, period: Any) -> str | SafeString:
        billed = period.sums.billed
        return format_html_join(", ", "{}", ((amount(billed[key], key),) for key in sorted(billed))) or "–"

    @admin.display(description="held")
    def held_count(self, period: Any) -> str | SafeString:
        if not period.sums.held:
            return "0"
        return link(queue_url(period), count(period.sums.held))

    @admin.display(description="period")
    def period_text(self, period: BillingPeriod) -> str:
        return str(period)

    def _stamp(self, at: datetime.datetime | None, by: str) -> str | SafeString:
        if not at:
            return "–"
        stamp = date_format(timezone.localtime(at), "DATETIME_FORMAT")
        return format_html("{} by <bdi>{}</bdi>", stamp, by) if by else stamp

    def opened(self, period: BillingPeriod) -> str | SafeString:
        return self._stamp(period.opened_at, period.opened_by)

    def in_review(self, period: BillingPeriod) -> str | SafeString:
        stamp = self._stamp(period.review_at, period.review_by)
        return format_html("{}, until {}", stamp, period.review_until) if period.review_until else stamp

    def closed(self, period: BillingPeriod) -> str | SafeString:
        return self._stamp(period.closed_at, period.closed_by)

    def finalized(self, period: BillingPeriod) -> str | SafeString:
        return self._stamp(period.finalized_at, period.finalized_by)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        period = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if period:
            sums = sums_of([period])[period.pk]
            listed = checklist.of(period, waits=False)
            context = {
                "steps": steps_of(period),
                "sums": sums,
                "queue_url": queue_url(period),
                "checklist": listed,
                "items": shown_list(listed, request.user),
                "step_notes": closing.notes_of(period),
                "elsewhere": elsewhere.booked_elsewhere(period),
                "statement_number": period.statement_number,
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def get_urls(self) -> list[URLPattern]:
        admin_view = self.admin_site.admin_view
        return [
            path("open/", admin_view(self.open_view), name="billing_billingperiod_open"),
            path("<path:object_id>/proof/", admin_view(self.proof_view), name="billing_billingperiod_proof"),
            path("<path:object_id>/reapply/", admin_view(self.reapply_view), name="billing_billingperiod_reapply"),
            *super().get_urls(),
        ]

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        buttons = super().buttons(request, subject)
        if subject.takes_changes and request.user.has_perm(REAPPLY):
            url = reverse("admin:billing_billingperiod_reapply", args=[subject.pk])
            buttons.insert(0, {"label": "Re-apply rules…", "url": url})
        buttons.insert(
            0, {"label": "Reconciliation", "url": reverse("admin:billing_billingperiod_proof", args=[subject.pk])}
        )
        return buttons

    def proof_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show that what was delivered for a month is accounted for."""
        return proof_view(self, request, self.get_object(request, object_id))

    def reapply_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Apply tags, rules and defaults again to the charges of a month, after a look at what that does."""
        period = self.get_object(request, object_id)
        if period is None:
            raise Http404("There is no such billing period.")
        return reapply_view(self, request, period)

    def open_view(self, request: HttpRequest) -> HttpResponse:
        """Open a month by hand, before its first file."""

        def run(data: dict[str, Any]) -> tuple[str, BillingPeriod]:
            period = closing.open_period(
                month=data["month"], notes=data["notes"], actor=actor_of(request), now=timezone.now()
            )
            return f"{period} is open. Import the files of each source.", period

        return self.form_view(
            request,
            permission="billing.open_period",
            title="Open a billing period",
            button="Open period",
            form_class=OpenForm,
            run=run,
        )
