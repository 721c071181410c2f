"""All charges as delivered, and the page of each: what it was for, who pays, and who decided that."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from ...models import Charge, ReviewDecision, SavedView
from ...readers.dimensions import DIMENSIONS
from .. import chips, saved_views
from ..chips import narrowing_of
from ..filters import period_filter
from ..formatting import amount_column, badge
from ..large_tables import LargeTableMixin
from ..links import list_url
from ..tracing import why_view
from . import record
from .all_list import AllChargesList, SummedPaginator
from .exporting import EXPORT
from .filter_form import FilterForm
from .filters import (
    AmountFromFilter,
    AmountToFilter,
    CategoryFilter,
    ChosenFilter,
    FundFilter,
    PiFilter,
    PresenceFilter,
    ProjectFilter,
    ReasonFilter,
    ResourceFilter,
    ServiceFilter,
    StandingFilter,
)
from .listing import ReviewMixin, action_of, make_rule
from .record import TONES
from .resource import resource_view
from .steps import STEPS, verb_of

State = Charge.State
WAYS = ("previous", "next")
# What the page of a charge shows of other tables.
RELATED = ("source", "pi", "project", "period", "charged_in", "imported_in", "replaces", "payer_split")


@admin.register(Charge)
class ChargeAdmin(LargeTableMixin, ReviewMixin):
    when_empty = "There are no charges yet. Import files, and each of their rows is one."
    list_display = (
        "number",
        "state_badge",
        amount_column("billed_cost", "billed"),
        "owner",
        "payers",
        "source",
        "used",
        "month",
    )
    linked_by = ("charged_in", "imported_in", "period", "project", "withdrawn_in")
    list_filter = (
        period_filter("charged_in"),
        "state",
        "source",
        PiFilter,
        ProjectFilter,
        FundFilter,
        ServiceFilter,
        CategoryFilter,
        AmountFromFilter,
        AmountToFilter,
        ReasonFilter,
        PresenceFilter,
        StandingFilter,
        ResourceFilter,
        ChosenFilter,
    )
    # Django's own link, which leads back to the list as it was narrowed.
    list_display_links = ("number",)
    paginator = SummedPaginator
    change_list_template = "admin/billing/charge/all.html"
    fields: ClassVar[Any] = ()
    change_form_template = "admin/billing/charge/change_form.html"
    verbs = tuple(verb_of(step) for step in STEPS.values())
    actions: Any = (*(action_of(STEPS[name]) for name in ("correct", "reject", "charge_to_center", "undo")), make_rule)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("why/", view(why_view), name="billing_charge_why"),
            path("resource/<slug:source>/<int:number>/", view(resource_view), name="billing_charge_resource"),
            path("export/", view(EXPORT.view), name="billing_charge_export"),
            path("views/save/", view(saved_views.save_view), name="billing_charge_save_view"),
            path("views/<int:number>/delete/", view(saved_views.delete_view), name="billing_charge_delete_view"),
            path("<int:number>/<str:way>/of-list/", view(self.beside_view), name="billing_charge_beside"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AllChargesList]:
        return AllChargesList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list by an address that says what narrows it and nothing else."""
        if leads := chips.without_empty(request, Charge):
            return leads
        form, narrowing = FilterForm(request, PresenceFilter.CHOICES), narrowing_of(request.GET)
        views = saved_views.context_of(request, of=SavedView.List.CHARGES, narrowing=narrowing)
        context = chips.context_of(request, form) | views
        return super().changelist_view(request, context | (extra_context or {}))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Charge | None:
        """Return a charge with what its page shows of other tables, looked up once for a request."""
        found: dict[str, Charge | None] = request.__dict__.setdefault("charges_found", {})
        if object_id not in found:
            found[object_id] = super().get_object(request, object_id, from_field)
        return found[object_id]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Charge]":
        charges: QuerySet[Charge] = super().get_queryset(request)
        at = getattr(request, "resolver_match", None)
        if not at or "object_id" not in at.kwargs:
            return charges
        decided = ReviewDecision.objects.filter(charge=OuterRef("pk")).order_by()
        of_page = (
            charges.select_related(*RELATED, *DIMENSIONS).prefetch_related(None).annotate(is_decided=Exists(decided))
        )
        return of_page.prefetch_related("payer_split__shares", "source__measure_changes")

    def told_of(self, subject: Charge) -> str:
        return record.told_of(subject)

    def beside_view(self, request: HttpRequest, number: int, way: str) -> HttpResponse:
        """Lead to the next or previous charge of the list that a page was opened from; from its end, to the list."""
        if not self.has_view_permission(request) or way not in WAYS:
            raise PermissionDenied
        preserved = self.get_preserved_filters(request)
        asked = QueryDict(preserved).get("_changelist_filters", "")
        charges = EXPORT.listed(request, narrowing_of(QueryDict(asked))).queryset
        if way == "next":
            beside = charges.filter(pk__lt=number).order_by("-pk")
        else:
            beside = charges.filter(pk__gt=number).order_by("pk")
        found = beside.values_list("pk", flat=True).first()
        if found is None:
            messages.info(request, f"There is no {way} charge in this list.")
            return HttpResponseRedirect(list_url(Charge, asked))
        url = reverse("admin:billing_charge_change", args=[found])
        return HttpResponseRedirect(f"{url}?{preserved}" if preserved else url)

    @admin.display(description="charge")
    def number(self, charge: Charge) -> str:
        return str(charge.pk)

    @admin.display(description="state")
    def state_badge(self, charge: Charge) -> SafeString:
        if charge.withdrawn_in_id:
            return badge("Withdrawn")
        return badge(charge.get_state_display(), TONES[State(charge.state)])

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        return [each for each in super().buttons(request, subject) if subject.is_decided or "/undo/" not in each["url"]]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        charge = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if charge:
            preserved = self.get_preserved_filters(request)
            context = record.context_of(request, charge, preserved)
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))
