"""PIs, their delegates and projects, the splits of projects, the funds, and exchange rates."""

import datetime
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from .. import audit
from ..attribution import newcomers
from ..models import (
    Charge,
    ExchangeRate,
    FundException,
    FundingSource,
    Job,
    Membership,
    PayerSplit,
    PayerSplitShare,
    Person,
    PersonAlias,
    Project,
)
from ..models.people import Mailboxes
from ..models.typed import require_said
from ..months import closing
from ..setup import funding, people, releasing
from ..texts import code_of
from .base import (
    BillingAdmin,
    FrozenInline,
    SearchedChoicesMixin,
    Verb,
    actor_of,
    badge,
    count_column,
    period_filter,
    warn_of_unknown_funds,
)
from .lists import ListAdmin

DATE = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
HUNDRED = Decimal(100)
SHARE = re.compile(r"(?P<fund_org>\S.*?)[\s:=]+(?P<percent>[0-9]+(?:\.[0-9]+)?)\s*%?")


class AliasInline(admin.TabularInline):
    model = PersonAlias
    extra = 0
    verbose_name = "e-mail alias"
    verbose_name_plural = "e-mail aliases"


class DelegateInline(SearchedChoicesMixin, admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user", "project")
    verbose_name_plural = "delegates"


class KnownFilter(admin.SimpleListFilter):
    title = "confirmation"
    parameter_name = "known"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Not confirmed"), ("yes", "Known or confirmed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        match self.value():
            case "no":
                return queryset.filter(pk__in=newcomers.strangers().values("pk"))
            case "yes":
                return queryset.exclude(pk__in=newcomers.strangers().values("pk"))
        return queryset


def _confirm(request: HttpRequest, person: Person, data: dict[str, Any]) -> str:
    return str(people.confirm(people=[person], note=data["note"], actor=actor_of(request), now=timezone.now()))


class NoteForm(forms.Form):
    note = forms.CharField(label="Note", required=False, help_text="How you know, for the audit log.")


@admin.register(Person)
class PersonAdmin(ListAdmin):
    when_empty = "There are no PIs yet. They are learned from the tags of charges, or added here."
    list_display = (
        "display_name",
        "email",
        "department",
        count_column("project_number", "projects"),
        "state",
        "known",
        "same_mailbox",
        "user",
    )
    list_filter = (KnownFilter, "department")
    actions = ("confirm",)
    change_list_template = "admin/billing/person/change_list.html"
    readonly_fields = ("known", "same_mailbox")
    loaded_columns = tuple(people.COLUMNS)
    load_permission = "billing.add_person"
    load_list = staticmethod(people.load_people)
    load_kind = Job.Kind.PEOPLE
    load_title = "Load the list of people"
    load_question = (
        "Adds and changes the PIs that the file names; the others stay as they are. Everybody it names is known from "
        "then on, and once a list is loaded, charges of PIs that it does not name are held. A file with a mistake is "
        "not loaded at all."
    )
    verbs = (
        Verb(
            name="confirm",
            label="Confirm this PI…",
            permission="billing.change_person",
            run=_confirm,
            form=NoteForm,
            offered=lambda person: bool(newcomers.unconfirmed([person])),
            question="Confirm this PI once, for all their charges. Charges that were held for "
            "that alone are released, and statements are mailed there.",
            button="Confirm",
            is_primary=True,
        ),
    )
    # Said again: a list with counts keeps no order of the model's, and the pages of a search would run into each other.
    ordering = ("name", "email")
    list_select_related = ("user",)
    search_fields = ("name", "email", "aliases__email", "department")
    autocomplete_fields = ("successor", "user")
    inlines = (AliasInline, DelegateInline)
    fieldsets = (
        (None, {"fields": ("email", "name", "department", "contact_email", "known", "same_mailbox")}),
        ("Leaving", {"fields": (("active_until", "successor"),)}),
        ("Sign-in", {"fields": ("user",)}),
    )

    _known = newcomers.Known(False, (), frozenset())
    _sharing: Mapping[str, list[str]] = MappingProxyType({})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Person]:
        # Once for a page, however many PIs it lists.
        self._known = newcomers.known(with_people=False)
        self._sharing = Mailboxes().sharing()
        return super().get_queryset(request).annotate(project_number=Count("projects"))

    @admin.display(description="same mailbox as")
    def same_mailbox(self, person: Person) -> str:
        return ", ".join(self._sharing.get(person.email, ())) or "–"

    def save_model(self, request: HttpRequest, obj: Person, form: Any, change: bool) -> None:
        if not change:
            people.add_by_hand(obj, actor=actor_of(request), now=timezone.now())
        super().save_model(request, obj, form, change)

    def get_readonly_fields(self, request: HttpRequest, obj: Person | None = None) -> tuple[str, ...]:
        return ("known", "same_mailbox") if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Person | None = None) -> Any:
        # Whom somebody adds by hand is confirmed by that.
        first, *others = self.fieldsets
        fields = tuple(name for name in first[1]["fields"] if obj or name not in ("known", "same_mailbox"))
        return [(None, {"fields": fields}), *others]

    @admin.action(description="Confirm these PIs", permissions=["change"])
    def confirm(self, request: HttpRequest, queryset: QuerySet[Person]) -> None:
        done = people.confirm(people=queryset, actor=actor_of(request), now=timezone.now())
        messages.success(request, str(done))

    @admin.display(description="confirmed")
    def known(self, person: Person) -> str:
        said = people.standing_of(person, self._known)
        return badge(said, "warn" if said == people.NOT_CONFIRMED else "", is_long=True)

    @admin.display(description="name", ordering="name")
    def display_name(self, person: Person) -> str:
        return person.display_name

    @admin.display(description="state")
    def state(self, person: Person) -> str:
        today = timezone.localdate()
        if person.active_until and person.active_until < today:
            return badge(f"Left {person.active_until}", "warn")
        return badge("Active", "good")


class SplitForm(forms.ModelForm):
    """A split with its shares as text: one fund/org and its percent per line."""

    shares_text = forms.CharField(
        label="Shares",
        widget=forms.Textarea(attrs={"rows": 3, "cols": 28, "placeholder": "BIO-001 60\nCHEM-002 40"}),
        help_text="A fund/org and its percent per line; together 100.",
    )

    class Meta:
        model = PayerSplit
        fields = ("valid_from", "valid_until", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["shares_text"] = "\n".join(
                f"{share.fund_org} {share.percent.normalize():f}" for share in self.instance.shares.all()
            )
            if getattr(self.instance, "is_used", False):
                for field in self.fields.values():
                    field.disabled = True
                self.fields["shares_text"].help_text = "Charges use it: end it with a new split from its own day on."

    def clean_shares_text(self) -> dict[str, Decimal]:
        shares: dict[str, Decimal] = {}
        for line in self.cleaned_data["shares_text"].splitlines():
            if not line.strip():
                continue
            if not (match := SHARE.fullmatch(line.strip())):
                raise ValidationError(f"“{line.strip()}” is not a fund/org and a percent, such as BIO-001 60.")
            fund_org = code_of(match["fund_org"])
            require_said(fund_org)
            try:
                percent = Decimal(match["percent"])
            except InvalidOperation as error:
                raise ValidationError(f"“{match['percent']}” is not a percent.") from error
            if fund_org in shares:
                raise ValidationError(f"{fund_org} stands there twice.")
            PayerSplitShare(fund_org=fund_org, percent=percent).clean_fields(exclude={"split"})
            if not percent:
                raise ValidationError(f"The share of {fund_org} is 0: leave it out.")
            shares[fund_org] = percent
        if (total := sum(shares.values(), Decimal(0))) != HUNDRED:
            raise ValidationError(f"The shares sum to {total.normalize():f} percent, not to 100.")
        return shares

    def save_shares(self) -> None:
        """Write the shares as they were given."""
        wanted: dict[str, Decimal] = self.cleaned_data["shares_text"]
        self.instance.shares.exclude(fund_org__in=wanted).delete()
        for fund_org, percent in wanted.items():
            PayerSplitShare.objects.update_or_create(
                split=self.instance, fund_org=fund_org, defaults={"percent": percent}
            )


def used_splits(project: Project) -> set[int]:
    """Return which splits of a project charges use, and so cannot change any more."""
    ids = list(project.payer_splits.values_list("pk", flat=True))
    if not ids:
        return set()
    found = Charge.objects.filter(payer_split__in=ids).order_by().values_list("payer_split", flat=True).distinct()
    return {pk for pk in found if pk}


class SplitFormSet(forms.BaseInlineFormSet):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used = used_splits(self.instance) if self.instance.pk else set()

    def get_queryset(self) -> QuerySet[PayerSplit]:
        splits = super().get_queryset()
        for split in splits:
            split.is_used = split.pk in getattr(self, "used", ())
        return splits

    def _construct_form(self, i: int, **kwargs: Any) -> SplitForm:
        form: SplitForm = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        if form.instance.pk in self.used:
            form.instance.is_used = True
            for field in form.fields.values():
                field.disabled = True
            form.fields["shares_text"].help_text = "Charges use it: it cannot change. Add a new one from its own day."
        return form

    def clean(self) -> None:
        super().clean()
        if any(form.errors for form in self.forms):
            return
        kept = [
            form for form in self.forms if form.cleaned_data.get("shares_text") and not form.cleaned_data.get("DELETE")
        ]
        for form in self.forms:
            if form.cleaned_data.get("DELETE") and form.instance.pk in self.used:
                raise ValidationError("A split that charges use cannot be deleted.")
        spans = sorted(
            (
                form.cleaned_data.get("valid_from") or datetime.date.min,
                form.cleaned_data.get("valid_until") or datetime.date.max,
            )
            for form in kept
        )
        for (_, ends), (starts, _) in zip(spans, spans[1:], strict=False):
            if starts <= ends:
                raise ValidationError(
                    "Two splits hold on the same day. Give the earlier one a last day before the next one's first."
                )


class SplitInline(admin.TabularInline):
    model = PayerSplit
    form = SplitForm
    formset = SplitFormSet
    extra = 0
    fields = ("valid_from", "valid_until", "shares_text", "note")
    verbose_name = "split"
    verbose_name_plural = "splits: who pays, from day to day, in place of the fund/org on the tag"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PayerSplit]:
        return super().get_queryset(request).prefetch_related("shares")


@admin.register(Project)
class ProjectAdmin(BillingAdmin):
    when_empty = "There are no projects yet. They are learned from the tags of charges, or added here."
    list_display = ("code", "name", "pi", "default_fund_org", count_column("split_number", "splits"), "end_date")
    list_filter = (("end_date", admin.EmptyFieldListFilter),)
    ordering = ("code",)
    list_select_related = ("pi",)
    search_fields = ("code", "name", "pi__name", "pi__email")
    autocomplete_fields = ("pi",)
    inlines = (SplitInline,)
    fund_fields = ("default_fund_org",)
    fieldsets = (
        (None, {"fields": ("code", "name", "pi", "default_fund_org")}),
        ("Ending", {"fields": (("end_date", "reconciliation_end_date"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        return super().get_queryset(request).annotate(split_number=Count("payer_splits"))

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is not PayerSplit:
            super().save_formset(request, form, formset, change)
            return
        before = {
            each.pk: {share.fund_org: f"{share.percent.normalize():f}" for share in each.shares.all()}
            for each in formset.get_queryset()
        }
        super().save_formset(request, form, formset, change)
        with audit.gesture(actor=actor_of(request), now=timezone.now()) as gesture:
            for split_form in formset.forms:
                is_gone = split_form.cleaned_data.get("DELETE")
                if is_gone or "shares_text" not in split_form.changed_data or not split_form.instance.pk:
                    continue
                split_form.save_shares()
                warn_of_unknown_funds(request, split_form.cleaned_data["shares_text"])
                gesture.record(
                    "payer_split.shares_set",
                    split_form.instance,
                    before=before.get(split_form.instance.pk),
                    after={
                        fund_org: f"{percent.normalize():f}"
                        for fund_org, percent in split_form.cleaned_data["shares_text"].items()
                    },
                )


class ExceptionForm(forms.Form):
    """Dates of a fund/org to move outward, and why."""

    valid_until = forms.DateField(
        label="Valid until", required=False, widget=DATE, help_text="A later last day of service."
    )
    last_posting_date = forms.DateField(
        label="Last posting date", required=False, widget=DATE, help_text="A later one."
    )
    valid_from = forms.DateField(
        label="Valid from", required=False, widget=DATE, help_text="An earlier first day of service."
    )
    reason = forms.CharField(
        label="Reason",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Such as the number of the no-cost extension. It stays with the fund/org.",
    )


def _in_force(fund: FundingSource) -> QuerySet[FundException]:
    return FundException.objects.filter(fund=fund, revoked_at__isnull=True)


def _except(request: HttpRequest, fund: FundingSource, data: dict[str, Any]) -> str:
    return str(funding.record_exception(fund=fund, **data, actor=actor_of(request), now=timezone.now()))


def _revoke(request: HttpRequest, fund: FundingSource, data: dict[str, Any]) -> str:
    return str(funding.revoke_exceptions(fund=fund, actor=actor_of(request), now=timezone.now()))


def _what_is_revoked(fund: FundingSource) -> str:
    dates = "; ".join(each.dates for each in _in_force(fund))
    return f"Revokes: {dates}. The dates of the list hold again. What was charged meanwhile stays charged."


class ExceptionInline(FrozenInline):
    model = FundException
    fields = ("dates", "reason", "recorded_by_name", "recorded_at", "standing")
    readonly_fields = ("dates", "standing")
    verbose_name_plural = "exceptions"

    @admin.display(description="allows")
    def dates(self, exception: FundException) -> str:
        return exception.dates

    @admin.display(description="state")
    def standing(self, exception: FundException) -> str:
        if exception.revoked_at:
            return badge(f"Revoked by {exception.revoked_by_name}", "warn")
        return badge("In force", "good")


@admin.register(FundingSource)
class FundingSourceAdmin(ListAdmin):
    when_empty = (
        "No list of fund/orgs is loaded yet, so none is unknown. Load yours, and what is not on it is held for review."
    )
    list_display = ("fund_org", "name", "is_sponsored", "valid_from", "valid_until", "last_posting_date", "state")
    list_filter = ("is_sponsored", ("valid_until", admin.EmptyFieldListFilter))
    search_fields = ("fund_org", "name")
    autocomplete_fields = ("projects",)
    change_list_template = "admin/billing/fundingsource/change_list.html"
    inlines = (ExceptionInline,)
    loaded_columns = tuple(funding.COLUMNS)
    load_permission = "billing.add_fundingsource"
    load_list = staticmethod(funding.load_funds)
    load_kind = Job.Kind.FUNDS
    load_title = "Load funding sources"
    load_question = (
        "Adds and changes the funds that the file names; the others stay as they are. "
        "A file with a mistake is not loaded at all."
    )
    verbs = (
        Verb(
            name="except",
            label="Record an exception…",
            permission="billing.add_fundexception",
            run=_except,
            form=ExceptionForm,
            question="Moves dates of this fund/org outward, whatever the list says, such as for a no-cost extension. "
            "Charges that were held for these dates alone are released.",
            button="Record",
        ),
        Verb(
            name="revoke",
            label="Revoke the exception…",
            permission="billing.add_fundexception",
            run=_revoke,
            offered=lambda fund: _in_force(fund).exists(),
            question=_what_is_revoked,
            button="Revoke",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[FundingSource]:
        return super().get_queryset(request).prefetch_related("exceptions")

    def get_inlines(self, request: HttpRequest, obj: FundingSource | None) -> list[Any]:
        return [ExceptionInline] if obj and obj.exceptions.exists() else []

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        with audit.gesture(actor=actor_of(request), now=timezone.now()) as gesture:
            settled = releasing.release(gesture=gesture)
        if told := releasing.told(settled.cleared, settled.billed):
            messages.info(request, told)

    @admin.display(description="today")
    def state(self, fund: FundingSource) -> str:
        today = timezone.localdate()
        if fund.valid_from and fund.valid_from > today:
            return badge("Not yet valid", "info")
        excepted = [each for each in fund.exceptions.all() if not each.revoked_at]
        if fund.valid_until and fund.valid_until < today:
            if any(each.valid_until and each.valid_until >= today for each in excepted):
                return badge("Valid by exception", "good")
            return badge("Expired", "warn")
        return badge("Valid", "good")


@admin.register(ExchangeRate)
class ExchangeRateAdmin(BillingAdmin):
    when_empty = (
        "There are no rates yet. A source that delivers in another currency needs one for each month before "
        "it can be charged."
    )
    list_display = ("period", "currency", "rate", "entered_by")
    list_filter = (period_filter("period"), "currency")
    list_select_related = ("period", "entered_by")

    def _is_shut(self, rate: ExchangeRate | None) -> bool:
        return rate is not None and not rate.period.takes_changes

    # The rates of a month are part of what was charged in it.
    def has_change_permission(self, request: HttpRequest, obj: ExchangeRate | None = None) -> bool:
        return not self._is_shut(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ExchangeRate | None = None) -> bool:
        return not self._is_shut(obj) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: ExchangeRate | None = None) -> tuple[str, ...]:
        # Another month or currency is another rate.
        return ("period", "currency") if obj else ()

    def save_model(self, request: HttpRequest, obj: ExchangeRate, form: Any, change: bool) -> None:
        obj.entered_by = actor_of(request).user
        obj.currency = obj.currency.upper()
        if change:
            # Held open for the rest of the gesture, so that no close comes between.
            closing.require_open(obj.period)
        super().save_model(request, obj, form, change)
