"""What every screen shares: audited writes, frozen records, amounts, badges, and buttons that call a verb."""

import copy
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.admin.widgets import AutocompleteMixin, AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst, smart_split

from .. import audit, doors
from ..attribution import naming
from ..audit.snapshots import differences, snapshot
from ..errors import BillingError
from ..fields import WIDE
from ..models import BillingPeriod, Job, Source, User
from ..money import ZERO, plain, rounded, to_cents, written

# How much of what somebody looks for in a list is looked for: each further word is another condition of the query.
SEARCHED_WORDS, SEARCHED_CHARACTERS = 10, 200
# How a list may be narrowed by a field that it declares. No pattern is among these: one that takes for ever to match
# would stop the site.
NARROWED_BY, COMPARED_BY = ("exact", "in", "isnull", "isempty"), ("gte", "gt", "lte", "lt")
# Rows counted before a list says "more than": counting a million for a page number helps nobody.
COUNTED = 10_000


def actor_of(request: HttpRequest) -> audit.Actor:
    """Return who acts in this request."""
    assert isinstance(request.user, User)
    return audit.Actor.from_user(request.user)


def amount(value: Decimal | int | str | None, currency: str) -> str | SafeString:
    """Set an amount in cents with thousands separators and its currency; its further decimals are in the tooltip."""
    return _amount(value, currency, f" {currency}")


def figure(value: Decimal | int | str | None, currency: str) -> str | SafeString:
    """Set an amount like `amount`, where its currency stands beside or above it."""
    return _amount(value, currency, "")


def _amount(value: Decimal | int | str | None, currency: str, named: str) -> str | SafeString:
    if value is None:
        return "–"
    exact = Decimal(value)
    cents = to_cents(exact, currency)
    return format_html(
        '<span class="amount{}" title="{}">{}{}</span>',
        " negative" if cents < 0 else "",
        plain(exact, currency) if exact != cents else "",
        rounded(exact, currency),
        named,
    )


def exact(value: Decimal, currency: str) -> SafeString:
    """Set an amount to its last digit, with thousands separators."""
    text = written(value.normalize(WIDE) if value else ZERO, currency)
    return format_html('<span class="amount{}">{}</span>', " negative" if text.startswith("-") else "", text)


def count(value: int | None) -> str:
    """Set a number of things with thousands separators."""
    return "–" if value is None else f"{value:,}"


def badge(text: object, tone: str = "", *, is_long: bool = False) -> SafeString:
    """Set a short word in a colored pill: tone is good, warn, bad, busy, info or nothing. A long one may wrap."""
    classes = " ".join(filter(None, (tone and f"badge-{tone}", "badge-long" if is_long else "")))
    return format_html('<span class="badge {}">{}</span>', classes, text)


def link(url: str, text: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text)


def change_url(subject: models.Model) -> str:
    """Return the address of an object's page in the admin."""
    meta = subject._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(subject.pk)])


def list_url(model: type[models.Model], query: str = "") -> str:
    """Return the address of a model's list in the admin, with a query such as `state=held`."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{query}" if query else url


def amount_column(
    field: str, label: str = "", *, currency: str = "currency", named: bool = True, order: str | None = None
) -> Callable[..., str | SafeString]:
    """Return a right-aligned column of an amount: `field` and `currency` are attributes or annotations.

    A foreign key's are reached by two underscores. The currency is printed unless it is not to be `named`.
    Use it in `list_display`, in `fields`, or as a class attribute whose name ends in `_amount`.
    """

    # As a class attribute it is called with the admin first, in list_display with the object only.
    def column(*args: Any) -> str | SafeString:
        value, of = getattr(args[-1], field), reduce(getattr, currency.split("__"), args[-1])
        return (amount if named else figure)(value, of)

    column.__name__ = f"{field}_amount"
    column.short_description = label or field.replace("_", " ")  # type: ignore[attr-defined]
    column.admin_order_field = order or field  # type: ignore[attr-defined]
    return column


def count_column(field: str, label: str = "", *, order: str | None = None) -> Callable[..., str]:
    """Return a right-aligned column of a number of things."""

    def column(*args: Any) -> str:
        return count(getattr(args[-1], field))

    column.__name__ = f"{field}_count"
    column.short_description = label or field.replace("_", " ")  # type: ignore[attr-defined]
    column.admin_order_field = order or field  # type: ignore[attr-defined]
    return column


def badge_column(field: str, tones: Mapping[Any, str], label: str = "") -> Callable[..., SafeString]:
    """Return a column of a choice as a badge, colored by its value."""

    def column(*args: Any) -> SafeString:
        value = getattr(args[-1], field)
        return badge(getattr(args[-1], f"get_{field}_display")(), tones.get(value, ""))

    column.__name__ = f"{field}_badge"
    column.short_description = label or field.replace("_", " ")  # type: ignore[attr-defined]
    column.admin_order_field = field  # type: ignore[attr-defined]
    return column


def period_filter(field: str, title: str = "billing period") -> type[admin.SimpleListFilter]:
    """Return a list filter on a foreign key to BillingPeriod, addressed as `?period=2025-01`."""

    class PeriodFilter(admin.SimpleListFilter):
        parameter_name = "period" if field in ("period", "charged_in", "month") else field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            months = BillingPeriod.objects.shown().order_by("-month").values_list("month", flat=True)[:36]
            return [(f"{month:%Y-%m}", date_format(month, "F Y")) for month in months]

        def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
            if not self.value():
                return queryset
            try:
                month = datetime.datetime.strptime(str(self.value()), "%Y-%m").date()  # noqa: DTZ007
            except ValueError:
                return queryset.none()
            return queryset.filter(**{f"{field}__month": month})

    PeriodFilter.title = title
    return PeriodFilter


def source_filter(field: str) -> type[admin.SimpleListFilter]:
    """Return a list filter on the name of a source on the lines of a document (`field`), as `?source=aws`."""

    class SourceFilter(admin.SimpleListFilter):
        title = "source"
        parameter_name = "source"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(source.name, str(source)) for source in Source.objects.order_by("name")]

        def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
            if not self.value():
                return queryset
            # A document with several such lines is listed once.
            return queryset.filter(pk__in=queryset.model.objects.filter(**{field: self.value()}).values("pk"))

    return SourceFilter


class BoundedPaginator(Paginator):
    """Pages of a large table: counts no further than COUNTED, so a list of millions opens at once."""

    @cached_property
    def count(self) -> int:
        return int(self.object_list[: COUNTED + 1].count())  # type: ignore[attr-defined]

    @property
    def is_more(self) -> bool:
        return self.count > COUNTED

    @property
    def counted(self) -> str:
        return count(COUNTED)


def noun(subject: models.Model) -> str:
    """Return how the audit trail calls an object's kind: `funding_source` for a FundingSource."""
    name = type(subject).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


@dataclass(frozen=True)
class Missing:
    """Something that stands between an object and a verb, with where to see to it."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class Verb:
    """A button on an object's page: asks on a page of its own, then calls one engine function.

    `run(request, subject, data)` gets the cleaned data of `form` and returns what to tell the person.
    A BillingError it raises is shown there and nothing happens.
    """

    name: str
    label: str
    permission: str
    # Returns what to tell the person, or the job that does it in the background.
    run: Callable[[HttpRequest, Any, dict[str, Any]], str | Job]
    question: str | Callable[[Any], str] = ""
    button: str = ""
    form: type[forms.Form] | Callable[..., forms.Form] = forms.Form
    # What the form is made with for the object, beside what it proposes.
    form_for: Callable[[Any], dict[str, Any]] | None = None
    # What the form proposes for the object.
    initial: Callable[[Any], dict[str, Any]] | None = None
    offered: Callable[[Any], bool] = lambda subject: True
    missing: Callable[[Any], Sequence[Any]] | None = None
    # A template that shows more of the object (`original`) below the question, and what it needs beside that.
    details: str = ""
    facts: Callable[[HttpRequest, Any, forms.Form], dict[str, Any]] | None = None
    is_dangerous: bool = False
    is_primary: bool = False

    def question_for(self, subject: Any) -> str:
        return self.question(subject) if callable(self.question) else self.question


class VerbsMixin(admin.ModelAdmin):
    """Buttons on the page of an object, each with a confirmation page that posts to one verb."""

    verbs: tuple[Verb, ...] = ()
    verb_template = "admin/verb.html"

    def get_urls(self) -> list[Any]:
        meta = self.opts
        own = [
            path(
                f"<path:object_id>/{verb.name}/",
                self.admin_site.admin_view(self._view_of(verb)),
                name=f"{meta.app_label}_{meta.model_name}_{verb.name}",
            )
            for verb in self.verbs
        ]
        return own + super().get_urls()

    def _view_of(self, verb: Verb) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            return self.verb_view(request, object_id, verb)

        return view

    def verb_url(self, verb: Verb, subject: models.Model) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{verb.name}"
        return reverse(name, args=[quote(subject.pk)])

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        """Return the verbs this person may use on this object in its present state."""
        return [
            {
                "label": verb.label,
                "url": self.verb_url(verb, subject),
                "is_dangerous": verb.is_dangerous,
                "is_primary": verb.is_primary,
            }
            for verb in self.verbs
            if request.user.has_perm(verb.permission) and verb.offered(subject)
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        subject = self.get_object(request, unquote(object_id)) if self.verbs else None
        context = {"buttons": self.buttons(request, subject) if subject else [], **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def verb_view(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        subject = self.get_object(request, unquote(object_id))
        if subject is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not request.user.has_perm(verb.permission):
            raise PermissionDenied
        back = change_url(subject)
        if not verb.offered(subject):
            what = verb.label.rstrip("…")
            messages.error(request, f"“{what}” is not possible for {subject} as it is now.")
            return HttpResponseRedirect(back)
        proposed: dict[str, Any] = {"initial": verb.initial(subject)} if verb.initial else {}
        about = verb.form_for(subject) if verb.form_for else {}
        form = verb.form(request.POST, **about) if request.method == "POST" else verb.form(**proposed, **about)
        form.label_suffix = ""
        if request.method == "POST" and form.is_valid():
            try:
                said = verb.run(request, subject, form.cleaned_data)
            except BillingError as error:
                messages.error(request, doors.for_page(error, request.user))
            except ValidationError as error:
                messages.error(request, " ".join(error.messages))
            else:
                if isinstance(said, Job):
                    messages.info(request, "This takes a while. This page shows how far it has come.")
                    return HttpResponseRedirect(change_url(said))
                messages.success(request, said)
                return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": verb.label.rstrip("…"),
            "subtitle": str(subject),
            "opts": self.opts,
            "original": subject,
            "form": form,
            "question": verb.question_for(subject),
            "details": verb.details,
            **(verb.facts(request, subject, form) if verb.facts else {}),
            "missing": verb.missing(subject) if verb.missing else (),
            "button": verb.button or verb.label.rstrip("…"),
            "is_dangerous": verb.is_dangerous,
            "back": back,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, self.verb_template, context)


def warn_of_unknown_funds(request: HttpRequest, fund_orgs: Iterable[str]) -> None:
    """Say which of some fund/orgs are not on the loaded list, and what that does to charges."""
    for unknown in naming.unknown(fund_orgs=fund_orgs):
        messages.warning(request, f"{unknown} Charges that it is to pay are held for review.")


def searched(text: str) -> str:
    """Return of what somebody looks for as much as a query is made of; quoted words are one."""
    words = list(smart_split(text[:SEARCHED_CHARACTERS]))
    is_short = len(text) <= SEARCHED_CHARACTERS and len(words) <= SEARCHED_WORDS
    return text if is_short else " ".join(words[:SEARCHED_WORDS])


def _taken(field: "models.Field[Any, Any]", value: Any) -> bool:
    of = field.target_field if isinstance(field, models.ForeignKey) else field
    try:
        # Whether the database has numbers as large is what the validators know.
        of.run_validators(of.to_python(value))
    except (ValidationError, OverflowError):
        return False
    return True


def _is_moment(text: str) -> bool:
    """Tell whether an address names a time with its zone, and one that every other zone has, too."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return False
    return moment is not None and timezone.is_aware(moment) and datetime.MINYEAR < moment.year < datetime.MAXYEAR


class _ShownAgain(AutocompleteMixin):
    """Shows again what was sent, as far as it can be a key: Django's own fails on anything else."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        key = self.field.remote_field.model._meta.pk
        return super().optgroups(name, [each for each in value if each == "" or _taken(key, each)], attrs)


class _SearchedOne(_ShownAgain, AutocompleteSelect):
    pass


class _SearchedMany(_ShownAgain, AutocompleteSelectMultiple):
    pass


class SeveralField(forms.ModelMultipleChoiceField):
    """Several records by their keys; what no key can be is refused here, where the database would fail at it."""

    def clean(self, value: Any) -> Any:
        assert self.queryset is not None
        key = self.queryset.model._meta.pk
        if wrong := [each for each in value or () if not _taken(key, each)]:
            message = self.error_messages["invalid_pk_value"]
            raise ValidationError(message, code="invalid_pk_value", params={"pk": str(wrong[0])[:100]})
        return super().clean(value)


class SearchedChoicesMixin(BaseModelAdmin):
    """Search fields in forms, for whatever is sent in them."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", _SearchedOne(db_field, self.admin_site, using=kwargs.get("using")))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", _SearchedMany(db_field, self.admin_site, using=kwargs.get("using")))
        kwargs.setdefault("form_class", SeveralField)
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class BillingAdmin(SearchedChoicesMixin, VerbsMixin, admin.ModelAdmin):
    """A screen whose every write is in the audit trail, with before and after."""

    list_per_page = 50
    list_max_show_all = 500
    show_full_result_count = False
    # Counts beside every filter would be a full count each.
    show_facets = admin.ShowFacets.NEVER
    save_on_top = False
    # What an empty list says: what comes here, and how.
    when_empty = ""
    # Fields that name a fund/org: one that is not on the loaded list is said to be none.
    fund_fields: tuple[str, ...] = ()
    # Fields by which links of ours narrow the list, beside its filters.
    linked_by: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Take from an address what the filters and links of the list declare, and nothing else.

        Django would take any lookup on any field of the model: patterns, and fields that the list does not show.
        """
        fields = set(self.linked_by)
        for declared in self.get_list_filter(request) if request else self.list_filter:
            if isinstance(declared, type) and issubclass(declared, admin.SimpleListFilter):
                if lookup == declared.parameter_name:
                    return True
            else:
                fields.add(str(declared[0] if isinstance(declared, list | tuple) else declared))
        if lookup not in {narrowed for field in fields for narrowed in self._narrowings(field)}:
            return False
        name, _, compared = lookup.partition("__")
        is_of_time = isinstance(self.opts.get_field(name), models.DateTimeField)
        return not is_of_time or compared == "isnull" or _is_moment(str(value))

    def _narrowings(self, name: str) -> Iterable[str]:
        field = self.opts.get_field(name)
        if isinstance(field, models.ForeignKey | models.ManyToManyField):
            # A filter by a related object names its key. On the relation itself, SQLite fails at a key beyond 64 bits.
            key = field.target_field.name if isinstance(field, models.ForeignKey) else "id"
            yield from (f"{name}__{key}__exact", f"{name}__isnull")
            return
        if isinstance(field, models.DateTimeField):
            yield from (f"{name}__{narrowed}" for narrowed in ("isnull", *COMPARED_BY))
            return
        compared = COMPARED_BY if isinstance(field, models.DateField) else ()
        yield from (name, *(f"{name}__{narrowed}" for narrowed in (*NARROWED_BY, *compared)))

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, searched(search_term))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = capfirst(self.opts.verbose_name_plural)
        if searched(words := request.GET.get(SEARCH_VAR, "")) != words:
            messages.warning(
                request,
                f"Only the first {SEARCHED_WORDS} words and {SEARCHED_CHARACTERS} characters are looked for.",
            )
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Leave out of an address what no field takes: a form is filled in by a link, or else is empty."""
        initial = super().get_changeform_initial_data(request)
        fields = {field.name: field for field in self.opts.get_fields() if isinstance(field, models.Field)}
        return {name: value for name, value in initial.items() if name not in fields or _taken(fields[name], value)}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        # One form is one gesture: the object and its inlines are written and told of together.
        with audit.gesture(actor=actor_of(request), now=timezone.now()):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method != "POST":
            return super().delete_view(request, object_id, extra_context)
        with audit.gesture(actor=actor_of(request), now=timezone.now()):
            return super().delete_view(request, object_id, extra_context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        stored = type(obj)._default_manager.filter(pk=obj.pk).first() if change else None
        request._before = snapshot(stored) if stored else None  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        # Here and not in save_model, because links to many are written in between.
        before = getattr(request, "_before", None)
        self._record(request, form.instance, before, snapshot(form.instance))
        changed = [getattr(form.instance, name) for name in self.fund_fields if name in form.changed_data]
        warn_of_unknown_funds(request, changed)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        # Deleting clears the key of the instance, so that what is recorded is a copy.
        gone = [copy.copy(deleted.instance) for deleted in getattr(formset, "deleted_forms", []) if deleted.instance.pk]
        # Read afresh: the formset's own instances carry the new values already.
        keys = [each.pk for each in formset.queryset] if change else []
        before = {pk: snapshot(stored) for pk, stored in formset.model._default_manager.in_bulk(keys).items()}
        super().save_formset(request, form, formset, change)
        for created in formset.new_objects:
            self._record(request, created, None, snapshot(created))
        for changed, _fields in formset.changed_objects:
            self._record(request, changed, before.get(changed.pk), snapshot(changed))
        for deleted in gone:
            self._record(request, deleted, before.get(deleted.pk), None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        gone = copy.copy(obj)
        before = snapshot(obj)
        super().delete_model(request, obj)
        self._record(request, gone, before, None)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        with audit.gesture(actor=actor_of(request), now=timezone.now()):
            for subject in queryset:
                self._record(request, subject, snapshot(subject), None)
            super().delete_queryset(request, queryset)

    def _record(
        self, request: HttpRequest, subject: models.Model, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        what = "added" if before is None else "deleted" if after is None else "changed"
        if before is not None and after is not None:
            before, after = differences(before, after)
            if not after:
                return
        with audit.gesture(actor=actor_of(request), now=timezone.now()) as gesture:
            gesture.record(f"{noun(subject)}.{what}", subject, before=before, after=after)

    # Django's own log would say less, and could be edited: the audit trail takes its place.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return None

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the events of the audit trail about this object."""
        subject = self.get_object(request, unquote(object_id))
        if subject is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not self.has_view_permission(request, subject):
            raise PermissionDenied
        url = reverse("admin:billing_auditevent_changelist")
        return HttpResponseRedirect(f"{url}?object_type={self.opts.model_name}&object_id={subject.pk}")

    def form_view(
        self,
        request: HttpRequest,
        *,
        permission: str,
        title: str,
        button: str,
        form_class: Callable[..., forms.Form],
        run: Callable[[dict[str, Any]], tuple[str, models.Model | None]],
        question: str = "",
        initial: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Ask for what a verb needs, on a page of its own that belongs to no object, and call it.

        `run(data)` returns what to tell the person and the object to show next (None: the list).
        """
        if not request.user.has_perm(permission):
            raise PermissionDenied
        back = list_url(self.model)
        form = form_class(request.POST, request.FILES) if request.method == "POST" else form_class(initial=initial)
        form.label_suffix = ""
        if request.method == "POST" and form.is_valid():
            try:
                said, subject = run(form.cleaned_data)
            except BillingError as error:
                form.add_error(None, doors.lines_for_page(error, request.user))
            except ValidationError as error:
                form.add_error(None, error)
            else:
                messages.success(request, said)
                return HttpResponseRedirect(change_url(subject) if subject else back)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "question": question,
            "button": button,
            "back": back,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, self.verb_template, context)


class FrozenAdmin(BillingAdmin):
    """A screen of records that the system makes: nothing to add, edit or delete, whoever looks."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FrozenInline(admin.TabularInline):
    """Rows below a record, to be read."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LargeTableMixin(admin.ModelAdmin):
    """For tables of millions: bounded counts, and no order that has no index."""

    paginator = BoundedPaginator
    list_max_show_all = 0
    sortable_by = ()
