"""The screens' base classes: every write is in the audit log, with before and after."""

import copy
import re
from typing import Any

from django import forms
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.text import capfirst

from .. import audit
from ..audit.snapshots import differences, snapshot
from ..models import User
from .choices import SearchedChoicesMixin, fits
from .filters import NarrowedListMixin
from .naming import warn_of_unknown_funds
from .verbs import VerbsMixin


def actor_of(request: HttpRequest) -> audit.Actor:
    """Return who acts in this request."""
    assert isinstance(request.user, User)
    return audit.Actor.from_user(request.user)


def noun(subject: models.Model) -> str:
    """Return how the audit log calls an object's kind: `funding_source` for a FundingSource."""
    name = type(subject).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def scripts_of_popups() -> forms.Media:
    """Return what adds, changes and views records in a window of its own, beside the field that chooses them."""
    jquery = f"admin/js/vendor/jquery/jquery{'' if settings.DEBUG else '.min'}.js"
    return forms.Media(js=[jquery, "admin/js/jquery.init.js", "admin/js/admin/RelatedObjectLookups.js"])


class BillingAdmin(NarrowedListMixin, SearchedChoicesMixin, VerbsMixin, admin.ModelAdmin):
    """A screen whose every write is in the audit log, with before and after."""

    list_per_page = 50
    list_max_show_all = 500
    show_full_result_count = False
    # Counts beside every filter would be a full count each.
    show_facets = admin.ShowFacets.NEVER
    save_on_top = False
    # What an empty list says: what it will hold, and how that gets there.
    when_empty = ""
    # Fields that name a fund/org: whoever enters one that is not on the loaded list is warned.
    fund_fields: tuple[str, ...] = ()

    @property
    def media(self) -> forms.Media:
        """Return the scripts of every page of the screen; Django would send those of all kinds of forms."""
        return forms.Media(js=["admin/js/core.js", "admin/js/actions.js"])

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what a link fills a form in with, without values that its fields cannot hold."""
        initial = super().get_changeform_initial_data(request)
        fields = {field.name: field for field in self.opts.get_fields() if isinstance(field, models.Field)}
        return {name: value for name, value in initial.items() if name not in fields or fits(fields[name], value)}

    def response_action(
        self, request: HttpRequest, queryset: "models.QuerySet[Any]", *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Do something with the rows that are ticked, without numbers that no row can have."""
        sent = request.POST.copy()
        ticked = sent.getlist(ACTION_CHECKBOX_NAME)
        sent.setlist(ACTION_CHECKBOX_NAME, [each for each in ticked if fits(self.opts.pk, each)])
        request.POST = sent  # type: ignore[assignment]
        return super().response_action(request, queryset, *args, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        # One form is one gesture: the object and its inlines are written and recorded together.
        with audit.gesture(actor=actor_of(request), now=timezone.now()):
            self.lock()
            return super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any | None = None,
    ) -> HttpResponse:
        """Show a form to fill in, and what nobody may change here as a record to read."""
        if not add and not self.has_change_permission(request, obj):
            context["page_template"] = "pages/record.html"
        context["adminform"].form.label_suffix = ""
        for each in context["inline_admin_formsets"]:
            each.formset.form_kwargs["label_suffix"] = ""
            for form in each.formset.forms:
                form.label_suffix = ""
        filled_in = [context["adminform"].form, *(each.formset.empty_form for each in context["inline_admin_formsets"])]
        widgets = [field.widget for form in filled_in for field in form.fields.values()]
        if context.get("is_popup") or any(isinstance(each, RelatedFieldWidgetWrapper) for each in widgets):
            context["media"] = scripts_of_popups() + context["media"]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def message_user(self, request: HttpRequest, message: Any, *args: Any, **kwargs: Any) -> None:
        """Say what was saved without Django's adverb: what failed is an error, and says so."""
        plain = re.sub(r" was (added|changed|deleted) success\w+", r" was \1", str(message))
        kept = mark_safe(plain) if hasattr(message, "__html__") else plain  # noqa: S308 (Django escaped it)
        super().message_user(request, kept, *args, **kwargs)

    def lock(self) -> None:
        """Lock what a form is checked against, so that nobody changes it before the form is saved."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method != "POST":
            return super().delete_view(request, object_id, extra_context)
        with audit.gesture(actor=actor_of(request), now=timezone.now()):
            return super().delete_view(request, object_id, extra_context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        stored = type(obj).objects.filter(pk=obj.pk).first() if change else None
        form.before = snapshot(stored) if stored else None
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        # Here and not in save_model, because links to many are written in between.
        self._record(request, form.instance, form.before, snapshot(form.instance))
        changed = [getattr(form.instance, name) for name in self.fund_fields if name in form.changed_data]
        warn_of_unknown_funds(request, changed)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        # Deleting clears the key of the instance, so that what is recorded is a copy.
        gone = [copy.copy(deleted.instance) for deleted in getattr(formset, "deleted_forms", []) if deleted.instance.pk]
        # Read afresh: the formset's own instances carry the new values already.
        keys = [each.pk for each in formset.queryset] if change else []
        before = {pk: snapshot(stored) for pk, stored in formset.model.objects.in_bulk(keys).items()}
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

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Return what goes with something that is deleted, without the rows that only join it to others."""
        to_delete, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return _without_joins(to_delete), counts, lacking, protected

    # Django's own log would say less, and could be edited: the audit log takes its place.
    def log_addition(self, request: HttpRequest, obj: object, message: object) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: object, message: object) -> Any:
        return None

    def log_deletions(self, request: HttpRequest, queryset: object) -> Any:
        return None

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the events of the audit log about this object."""
        subject = self.get_object(request, unquote(object_id))
        if subject is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not self.has_view_permission(request, subject):
            raise PermissionDenied
        url = reverse("admin:billing_auditevent_changelist")
        return HttpResponseRedirect(f"{url}?object_type={self.opts.model_name}&object_id={subject.pk}")


def _without_joins(listed: list[Any]) -> list[Any]:
    """Leave out of Django's nested list of texts those of its own tables, which have no name for people."""
    tables = [model._meta for model in apps.get_models(include_auto_created=True) if model._meta.auto_created]
    joins = tuple(f"{capfirst(table.verbose_name)}: " for table in tables)
    found: list[Any] = []
    for each in listed:
        if isinstance(each, list):
            found += [within] if (within := _without_joins(each)) else []
        elif not each.startswith(joins):
            found.append(each)
    return found


class FrozenAdmin(BillingAdmin):
    """A screen of records that the system makes: nothing to add, edit or delete, whoever looks."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class FrozenInline(admin.TabularInline):
    """Rows below a record, to be read."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
