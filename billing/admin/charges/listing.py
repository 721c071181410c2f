"""Columns and actions that the queue and the list of all charges share."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ... import doors, review
from ...background import jobs
from ...errors import BillingError
from ...models import PATHS, Charge, Flag, MonthTotal
from ...review import deciding, learning, review_sheets
from ..attribution import MOST, rule_url
from ..audited import FrozenAdmin, actor_of
from ..large_tables import SearchedApartMixin
from ..links import change_url, link
from ..verbs import SHOW
from .resource import resource_url
from .steps import PERMISSION, Step, facts_of, payers_text, with_rule_offered
from .sums import ChargeList

# What a search looks for of what was delivered.
SEARCHED_TEXTS = (
    *("service_name", "sku_id", "resource_id", "resource_name", "tags", "invoice_id"),
    *("billing_account_id", "billing_account_name", "sub_account_id", "sub_account_name"),
)


class ReviewMixin(SearchedApartMixin, FrozenAdmin):
    """Columns and actions that the queue and the list of all charges share."""

    list_select_related = ("source", "pi", "project", "charged_in", "product", "resource")
    search_fields = (
        *("pi__email", "pi__name", "project__code", "fund_org", "reference_1", "reference_2"),
        *(PATHS[name] for name in SEARCHED_TEXTS),
    )
    kept_once: ClassVar[dict[str, type[Model]]] = {"fund_org": MonthTotal}
    search_help_text = (
        "PI, project, fund/org, service, SKU, resource, account, invoice, tag, grant number or request id"
    )
    ordering = ("-id",)
    list_display_links: Any = None

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("billing.view_charge")

    def has_rule_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_attributionrule")

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChargeList]:
        return ChargeList

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).prefetch_related(review_sheets.open_flags(), "payer_split__shares")

    @admin.display(description="charge")
    def charge_link(self, charge: Charge) -> SafeString:
        return link(reverse("admin:billing_charge_change", args=[charge.pk]), f"{charge.pk}")

    @admin.display(description="reasons")
    def reasons(self, charge: Charge) -> SafeString | str:
        return reason_badges(charge.open_flags)  # type: ignore[attr-defined]

    @admin.display(description="PI and project")
    def owner(self, charge: Charge) -> SafeString | str:
        if charge.shared_as:
            return format_html('shared<br><span class="quiet small">as {}</span>', charge.shared_as)
        if not charge.pi and not charge.project:
            return "–"
        return format_html(
            '<span title="{}">{}</span><br><span class="quiet small">{}</span>',
            charge.pi.email if charge.pi else "",
            charge.pi.display_name if charge.pi else "no PI",
            charge.project.code if charge.project else "no project",
        )

    @admin.display(description="fund/org")
    def payers(self, charge: Charge) -> str:
        return payers_text(charge) or "–"

    @admin.display(description="service and resource")
    def used(self, charge: Charge) -> SafeString | str:
        name = charge.resource_label
        short = f"…{name[-28:]}" if len(name) > 30 else name
        said = link(resource_url(charge), short) if name else ""
        return format_html(
            '{}<br><span class="quiet small" title="{}">{}</span>', charge.service_name or "–", name, said
        )

    @admin.display(description="period")
    def month(self, charge: Charge) -> str:
        return str(charge.charged_in)

    def decide(
        self,
        request: HttpRequest,
        queryset: "QuerySet[Charge]",
        step: Step,
        *,
        sent: Sequence[tuple[str, object]] = (),
        back: str = "",
    ) -> HttpResponse | None:
        """Ask about a selection on a page of its own, then call the step's verb once for all of it.

        `sent` names the selection in what the page sends, to the address that is asked now; None is what an action of
        a list sends. `back` is where one goes who cancels.
        """
        chosen = Charge.objects.filter(pk__in=queryset.order_by().values("pk"))
        number = chosen.count()
        is_confirmed = "confirmed" in request.POST
        of = step.form_for(chosen)
        form = step.form(request.POST, **of) if is_confirmed else step.form(initial=step.initial(chosen), **of)
        form.label_suffix = ""
        if is_confirmed and request.POST["confirmed"] != str(number):
            messages.warning(request, f"The selection changed meanwhile: it has {review.counted(number)} now.")
        elif is_confirmed and SHOW not in request.POST and form.is_valid():
            is_done, answer = self.do(request, chosen, number, step, form.cleaned_data)
            if is_done:
                return answer
        context = {
            **self.admin_site.each_context(request),
            "title": f"{step.label.rstrip('…')} {review.counted(number)}",
            "opts": self.opts,
            "form": form,
            "step": step,
            "number": number,
            **facts_of(request, chosen, step, form),
            "sent": sent or _sent_by_action(request, step),
            "act_url": request.get_full_path(),
            "back": back or request.get_full_path(),
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/billing/charge/decide.html", context)

    def do(
        self, request: HttpRequest, chosen: "QuerySet[Charge]", number: int, step: Step, options: dict[str, Any]
    ) -> tuple[bool, HttpResponse | None]:
        """Take a step for charges, or have the worker take it for very many, and tell what came of it.

        Returns whether it was taken or handed over, and the page to go to, if not the one asked from.
        """
        asked: dict[str, Any] = {"step": step.name, "charges": chosen, "options": options}
        acting: dict[str, Any] = {"actor": actor_of(request), "now": timezone.now()}
        if number > jobs.LARGE:
            job = deciding.decide_later(**asked, **acting)
            messages.info(request, "This takes a while. This page says when it is done.")
            return True, HttpResponseRedirect(change_url(job))
        try:
            decided = deciding.decide(**asked, **acting)
        except BillingError as error:
            messages.error(request, doors.for_page(error, request.user))
            return False, None
        self.tell(request, decided)
        return True, None

    def tell(self, request: HttpRequest, decided: review.Decided) -> None:
        """Say what came of a decision."""
        level = messages.ERROR if not decided.count else messages.WARNING if decided.skipped else messages.SUCCESS
        messages.add_message(request, level, self.told(request, decided))

    def told(self, request: HttpRequest, decided: review.Decided) -> str | SafeString:
        """Return what is said of a decision."""
        return with_rule_offered(request, decided)


def _sent_by_action(request: HttpRequest, step: Step) -> list[tuple[str, object]]:
    """Return what an action of a list sends to name its selection."""
    ids = [(ACTION_CHECKBOX_NAME, pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)]
    return [("action", step.name), ("select_across", request.POST.get("select_across", "0")), *ids]


def action_of(step: Step) -> Callable[..., HttpResponse | None]:
    @admin.action(description=step.label, permissions=["review"])
    def action(modeladmin: ReviewMixin, request: HttpRequest, queryset: "QuerySet[Charge]") -> HttpResponse | None:
        return modeladmin.decide(request, queryset, step)

    action.__name__ = step.name
    return action


@admin.action(description="Make a rule…", permissions=["rule"])
def make_rule(modeladmin: ReviewMixin, request: HttpRequest, queryset: "QuerySet[Charge]") -> HttpResponse | None:
    """Lead to the form for a rule, filled in with what the corrected charges of a selection have in common."""
    chosen = learning.still_corrected(Charge.objects.filter(pk__in=queryset.order_by().values("pk")))
    ids = list(chosen.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
    url = rule_url(charges=ids)
    if not ids:
        messages.error(request, "None of these charges was corrected. Say who pays for them first.")
    elif len(ids) > MOST or len(url) > deciding.RANGES:
        messages.error(request, f"{review.counted(len(ids))} are too many for one rule. Choose fewer that are alike.")
    else:
        return HttpResponseRedirect(url)
    return None


def reason_badges(flags: list[Flag]) -> SafeString | str:
    return format_html_join(
        " ",
        '<span class="badge {}" title="{}">{}</span>',
        (
            (
                "badge-bad" if flag.code in Flag.BLOCKING else "badge-warn",
                f"{flag.get_code_display()}: {flag.detail}" if flag.detail else flag.get_code_display(),
                flag.get_code_display(),
            )
            for flag in flags
        ),
    )
