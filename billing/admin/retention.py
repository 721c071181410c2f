"""Legal holds, placed and lifted here, and the certificates of what was disposed of."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..fiscal_years import label_of
from ..models import Disposal, LegalHold
from ..setup import holds
from .audited import FrozenAdmin, actor_of
from .formatting import badge
from .verbs import Verb

SUBJECTS = ("pi", "project", "fund", "period")


class LiftForm(forms.Form):
    """Why a hold keeps nothing any more."""

    reason = forms.CharField(
        label="Reason",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Such as who released it, and when. It stays with the hold.",
    )


def _lift(request: HttpRequest, hold: LegalHold, data: dict[str, Any]) -> str:
    lifted = holds.lift(hold=hold, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"The hold on {lifted.told} was lifted."


class InForceFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("in_force", "In force"), ("lifted", "Lifted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LegalHold]) -> QuerySet[LegalHold]:
        if self.value() in ("in_force", "lifted"):
            return queryset.filter(lifted_at__isnull=self.value() == "in_force")
        return queryset


@admin.register(LegalHold)
class LegalHoldAdmin(FrozenAdmin):
    when_empty = "Nothing is on legal hold. Place one on a PI, project, fund/org or month whose detail has to be kept."
    list_display = ("on", "reason", "state", "placed_at", "placed_by_name")
    list_filter = (InForceFilter,)
    list_select_related = SUBJECTS
    search_fields = ("reason", "pi__email", "pi__name", "project__code", "fund__fund_org")
    autocomplete_fields = ("pi", "project", "fund")
    readonly_fields = ("on", "state", "placed_at", "placed_by_name", "lifted_at", "lifted_by_name", "lifted_because")
    verbs = (
        Verb(
            name="lift",
            label="Lift the hold…",
            button="Lift the hold",
            permission="billing.lift_legalhold",
            run=_lift,
            form=LiftForm,
            offered=lambda hold: hold.lifted_at is None,
            question="The next disposal may remove what it keeps, if that is past its retention. A hold that was "
            "lifted cannot be taken up again. Place a new one for that.",
            is_dangerous=True,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_legalhold")

    def get_fieldsets(self, request: HttpRequest, obj: LegalHold | None = None) -> Any:
        if obj is not None:
            lifted = (("Lifted", {"fields": ("lifted_at", "lifted_by_name", "lifted_because")}),)
            own = ((None, {"fields": ("on", "reason", "state", "placed_at", "placed_by_name")}),)
            return own + (lifted if obj.lifted_at else ())
        told = "Choose one. What is past its retention is kept for as long as the hold is in force."
        return (("What is held", {"fields": SUBJECTS, "description": told}), (None, {"fields": ("reason",)}))

    def save_model(self, request: HttpRequest, obj: LegalHold, form: Any, change: bool) -> None:
        holds.place(hold=obj, actor=actor_of(request), now=timezone.now())

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: what was placed is recorded by then."""

    @admin.display(description="on hold")
    def on(self, hold: LegalHold) -> str:
        return hold.told

    @admin.display(description="state")
    def state(self, hold: LegalHold) -> SafeString:
        return badge("Lifted") if hold.lifted_at else badge("In force", "warn")


@admin.register(Disposal)
class DisposalAdmin(FrozenAdmin):
    when_empty = "Nothing was disposed of yet."
    list_display = ("number", "years_before", "files_removed", "state", "decided_at", "decided_by_name")
    fields = (
        *("number", "years_before", "files_removed", "state"),
        *("decided_at", "decided_by_name", "completed_at", "sha256", "text"),
    )
    readonly_fields = fields
    sortable_by = ("decided_at",)

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:number>/certificate/",
            self.admin_site.admin_view(self.certificate_view),
            name="billing_disposal_certificate",
        )
        return [own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Disposal]:
        return super().get_queryset(request).annotate(file_count=Count("files"))

    def certificate_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Hand over a certificate, to the byte."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        disposal = Disposal.objects.filter(pk=number).first()
        if disposal is None:
            raise Http404("There is no such certificate.")
        if not self.has_view_permission(request, disposal):
            raise PermissionDenied
        if not disposal.certificate:
            raise Http404("This disposal is not completed: it has no certificate yet.")
        name = f"certificate-of-disposal-{disposal.pk}.txt"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(disposal.certificate.encode(), content_type="text/plain; charset=utf-8", headers=headers)

    @admin.display(description="certificate", ordering="pk")
    def number(self, disposal: Disposal) -> str:
        return f"Certificate {disposal.pk}"

    @admin.display(description="before")
    def years_before(self, disposal: Disposal) -> str:
        return label_of(disposal.before)

    @admin.display(description="files")
    def files_removed(self, disposal: Disposal) -> str:
        return f"{disposal.file_count:,}"  # type: ignore[attr-defined]

    @admin.display(description="state")
    def state(self, disposal: Disposal) -> SafeString:
        return badge("Completed", "good") if disposal.completed_at else badge("Not completed", "bad")

    @admin.display(description="text")
    def text(self, disposal: Disposal) -> SafeString | str:
        if not disposal.certificate:
            return "It has none yet. The next run of the command removes what is left, and writes it."
        return format_html(
            '<p><a href="{}">Download the certificate</a></p>'
            '<pre class="file-start" tabindex="0" role="region" aria-label="Certificate">{}</pre>',
            reverse("admin:billing_disposal_certificate", args=[disposal.pk]),
            disposal.certificate,
        )
