"""The screen of usage feeds: what kind of files they have, whose charges it becomes, and what prices it."""

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Max, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ...models import Job, RateSchedule, UsageFeed, UsageFile
from ...models.periods import parse_month
from ...texts import iso_month, long_month
from ...usage import bringing, feeds, taking
from ...usage.readers import KINDS
from ...usage.terms import standing_months
from ..audited import BillingAdmin, actor_of
from ..formatting import badge
from ..rates.classes import ReadMixin
from ..verbs import Verb
from .mapping import ColumnsMixin
from .reading import PERMISSION

# The page of the help that says how a kind of files gets here, and what its settings may say.
PAGES = {
    "slurm": "integrations/slurm",
    "storage": "integrations/storage",
    "ceph_traffic": "integrations/ceph",
    "licenses": "integrations/licenses",
    "kubernetes": "integrations/kubernetes",
    "litellm": "integrations/litellm",
    "openai": "integrations/openai",
    "azure_openai": "integrations/openai",
    "columns": "integrations/lab-services",
}
OTHER_KINDS = "admin-guide/usage"
RECENT = 20


class SettingsField(forms.CharField):
    """The settings of a feed as JSON, written over several lines."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "code"}))
        super().__init__(strip=False, required=False, **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return json.dumps({} if value is None else value, indent=2, ensure_ascii=False)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text.strip():
            return {}
        try:
            return feeds.settings_of_text(text)
        except feeds.SettingsNotUnderstood as error:
            raise ValidationError(str(error)) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except ValidationError:
            return True


class FeedForm(forms.ModelForm):
    """A feed, refused where it could not be read or priced."""

    kind = forms.ChoiceField(label="Kind of files")
    schedule = forms.ChoiceField(label="Rate schedule", required=False)
    settings = SettingsField(label="Settings of the reader")

    class Meta:
        model = UsageFeed
        widgets: ClassVar[dict[str, Any]] = {"notes": forms.Textarea(attrs={"rows": 3})}
        fields = ("name", "display_name", "source", "kind", "settings", "time_zone", "schedule", "is_active", "notes")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        kind, schedule = self.fields.get("kind"), self.fields.get("schedule")
        if isinstance(kind, forms.ChoiceField):
            kind.choices = [("", "Choose one"), *kind_choices()]
        if isinstance(schedule, forms.ChoiceField):
            names = RateSchedule.objects.order_by("name").values_list("name", flat=True).distinct()
            named = dict.fromkeys([*names, self.instance.schedule])
            schedule.choices = [("", "None yet"), *((name, name) for name in named if name)]
            schedule.help_text = "What prices its usage. A month is priced by the version in force in it."
        if "settings" in self.fields:
            self.fields["settings"].help_text = settings_help(self.instance.kind)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            feeds.check(self.instance)
        except ValidationError as error:
            for name, problems in error.message_dict.items():
                self.add_error(name if name in self.fields else None, problems)


def kind_choices() -> list[tuple[str, str]]:
    return sorted(((kind.name, kind.label) for kind in KINDS.values()), key=lambda each: each[1].casefold())


def kind_label(kind: str) -> str:
    return KINDS[kind].label if kind in KINDS else kind


def settings_help(kind: str) -> SafeString:
    """Say what the settings are, with a link to the page of this kind, or to that of every kind."""
    kinds: Iterable[str] = [kind] if kind in KINDS else PAGES
    pages = {PAGES.get(each, OTHER_KINDS): kind_label(each) for each in kinds}
    links = ((reverse("help", args=[page]), label) for page, label in pages.items())
    said = "A JSON object, {} for none. They are explained with the kind of files:"
    return format_html("{} {}", said, format_html_join(", ", '<a href="{}">{}</a>', links))


class MonthForm(forms.Form):
    """A month that a feed has usage of."""

    month = forms.ChoiceField()

    def __init__(self, *args: Any, months: Iterable[Any], **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["month"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(iso_month(month), long_month(month)) for month in months]


def months_with_usage(feed: UsageFeed) -> list[Any]:
    """Return the months that a feed has usage of, or was priced for, the newest first."""
    files = feed.files.filter(state=UsageFile.State.STANDING).only("first", "last")
    priced = feed.months.values_list("period__month", flat=True)
    return sorted({*taking.months_of(list(files), feed.time_zone), *priced}, reverse=True)


def _price(request: HttpRequest, feed: UsageFeed, data: dict[str, Any]) -> Job:
    month = parse_month(data["month"])
    return bringing.price_again_later(feed=feed, month=month, actor=actor_of(request), now=timezone.now())


PRICE = Verb(
    name="price",
    label="Price a month…",
    button="Price the month",
    permission=PERMISSION,
    run=_price,
    form=MonthForm,
    form_for=lambda feed: {"months": months_with_usage(feed)},
    offered=lambda feed: bool(months_with_usage(feed)),
    question="The worker prices all usage of the month by the rates, classes and subsidies as they are now. Later open "
    "months build on it and are priced again too.",
)


@admin.register(UsageFeed)
class UsageFeedAdmin(ReadMixin, ColumnsMixin, BillingAdmin):
    when_empty = "There are no usage feeds yet. Add one for each cluster, storage system, AI gateway or lab service."
    form = FeedForm
    list_display = ("name", "label_text", "kind_text", "source", "schedule_text", "active", "priced_until", "last_file")
    list_filter = ("is_active", "source")
    list_select_related = ("source",)
    search_fields = ("name", "display_name", "kind", "schedule", "source__name")
    search_help_text = "name, kind, schedule or source"
    ordering = ("name",)
    verbs = (PRICE,)
    change_form_template = "admin/billing/usagefeed/change_form.html"
    fieldsets = (
        (None, {"fields": ("name", "display_name", "source", "is_active", "notes")}),
        ("Files", {"fields": ("kind", "settings", "time_zone")}),
        ("Prices", {"fields": ("schedule",)}),
    )
    read_fieldsets = (
        (None, {"fields": ("name", "label_text", "source", "active", "notes")}),
        ("Files", {"fields": ("kind_text", "settings_text", "time_zone")}),
        ("Prices", {"fields": ("schedule_text",)}),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[UsageFeed]:
        standing = Q(files__state=UsageFile.State.STANDING)
        # One aggregate over both would join every file with every month.
        priced = UsageFeed.objects.filter(pk=models.OuterRef("pk")).annotate(last=Max("months__period__month"))
        return (
            super()
            .get_queryset(request)
            .annotate(
                last_read_at=Max("files__read_at", filter=standing),
                last_month=models.Subquery(priced.order_by().values("last")),
            )
        )

    def get_readonly_fields(self, request: HttpRequest, obj: UsageFeed | None = None) -> list[str]:
        # The name is in commands.
        return [*super().get_readonly_fields(request, obj), *(["name"] if obj else [])]

    def has_delete_permission(self, request: HttpRequest, obj: UsageFeed | None = None) -> bool:
        if obj and (obj.files.exists() or obj.months.exists()):
            return False
        return super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: UsageFeed, form: Any, change: bool) -> None:
        """Add or change a feed by the verb that the command calls, which records it."""
        given = [name for name in feeds.FIELDS if name in form.cleaned_data]
        fields = {name: form.cleaned_data[name] for name in given if not change or name in form.changed_data}
        acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
        if change:
            feeds.change(feed=obj, fields=fields, **acting)
            return
        obj.pk = feeds.add(name=obj.name, fields=fields, **acting).pk
        obj._state.adding = False  # noqa: SLF001 (documented by Django)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Write nothing more: a feed has no rows below it, and its event is written."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        feed = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if feed and request.method == "GET":
            months = sorted(standing_months(feed), key=lambda each: each.period.month, reverse=True)
            context = {
                "recent_files": feed.files.select_related("feed")[:RECENT],
                "recent_months": months[:RECENT],
                "may_read": request.user.has_perm(PERMISSION) and feed.is_active,
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    @admin.display(description="display name", ordering="display_name")
    def label_text(self, feed: UsageFeed) -> str:
        return feed.label

    @admin.display(description="kind of files", ordering="kind")
    def kind_text(self, feed: UsageFeed) -> str:
        return kind_label(feed.kind)

    @admin.display(description="settings of the reader")
    def settings_text(self, feed: UsageFeed) -> SafeString | str:
        if not feed.settings:
            return "–"
        return format_html('<code class="wrap">{}</code>', json.dumps(feed.settings, ensure_ascii=False))

    @admin.display(description="rate schedule", ordering="schedule")
    def schedule_text(self, feed: UsageFeed) -> SafeString | str:
        return feed.schedule or badge("none yet", "warn")

    @admin.display(description="state", ordering="is_active")
    def active(self, feed: UsageFeed) -> SafeString:
        return badge("Active", "good") if feed.is_active else badge("Not used")

    @admin.display(description="priced until", ordering="last_month")
    def priced_until(self, feed: UsageFeed) -> str:
        month = feed.last_month  # type: ignore[attr-defined]
        return long_month(month) if month else "never"

    @admin.display(description="last file", ordering="last_read_at")
    def last_file(self, feed: UsageFeed) -> str:
        at = feed.last_read_at  # type: ignore[attr-defined]
        return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else "never"
