"""What the page of a PI, project, department, fund/org or source says of its money, in one common way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from .. import charts, reports
from ..charts import Chart
from ..models import AttributionRule, Question
from ..money import ZERO
from ..reports import Report
from ..texts import iso_month
from ..trends import Trend
from .links import change_url, list_url

MONTHS = 12
PERMISSION = "billing.view_payerline"
# Lists beside the report: name, address, permission, and what each can be narrowed to.
LISTS = (
    ("Statements", "statements_statement", "statements.view_statement", ("pi", "project", "fund")),
    ("Charges", "billing_charge", "billing.view_charge", ("pi", "project", "fund", "source")),
)
# Rules that are named; of more there is their number.
NAMED = 5


@dataclass(frozen=True)
class Link:
    label: str
    url: str


@dataclass(frozen=True)
class Money:
    """A year of somebody's or something's money, and where there is more about it."""

    report: Report
    charted: Trend | None
    chart: Chart | None
    links: Sequence[Link]
    questions: Link | None = None
    rules: Sequence[Link] = ()
    more_rules: int = 0

    @property
    def parts(self) -> list[tuple[str, str, Any]]:
        """List price less discount and subsidy is what is charged: sign, label and amount of each."""
        signs = (("listed", ""), ("discount", "−"), ("subsidy", "−"), ("charged", "="))
        labels = {column.name: column.label for column in self.report.columns}
        return [(sign, labels[name], self.report.value(name) or ZERO) for name, sign in signs]


class MoneyMixin(admin.ModelAdmin):
    """A screen whose records show their money above the form. `money_by` is what narrows a report to one."""

    money_by: ClassVar[str] = ""
    # The attribute that a report names a record by.
    money_key: ClassVar[str] = "code"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        subject = context.get("original")
        if subject is not None and request.method == "POST":
            # A form that was refused: the record carries what was sent, and nothing is charged under that.
            subject = self.get_queryset(request).filter(pk=subject.pk).first()
        if subject is not None and subject.pk and not context.get("is_popup") and request.user.has_perm(PERMISSION):
            context["money"] = money_of(request, self.money_by, getattr(subject, self.money_key), subject)
        return super().render_change_form(request, context, *args, **kwargs)


def money_of(request: HttpRequest, by: str, key: str, subject: Any) -> Money:
    """Return the last twelve months of a record, up to the newest month with payer lines."""
    newest = reports.newest_month()
    first = reports.moved(newest, 1 - MONTHS)
    said = {"report": "value", "from": iso_month(first), "to": iso_month(newest), "by": "month", by: key}
    report = reports.make(reports.read(said))
    charted = report.trend.top(charts.COLORS) if report.trend else None
    params = report.asked.as_params() | {"by": reports.WITHIN.get(by, "month")}
    found = [Link("Report", f"{reverse('admin:reports')}?{urlencode(params)}")]
    query = {"source": {"source__id__exact": subject.pk}}.get(by, {by: key})
    for label, name, permission, narrowed_by in LISTS:
        if by in narrowed_by and request.user.has_perm(permission):
            found.append(Link(label, f"{reverse(f'admin:{name}_changelist')}?{urlencode(query)}"))
    rules = list(_rules(by, key, subject)) if request.user.has_perm("billing.view_attributionrule") else []
    return Money(
        report=report,
        charted=charted,
        chart=charts.stacked(charted.columns) if charted else None,
        links=found,
        questions=_questions(by, subject) if request.user.has_perm("billing.view_question") else None,
        rules=[Link(_said(each), change_url(each)) for each in rules[:NAMED]],
        more_rules=max(0, len(rules) - NAMED),
    )


def _rules(by: str, key: str, subject: Any) -> QuerySet[AttributionRule]:
    """Return the active rules that name a record: as who pays, or as the source they are for."""
    active = AttributionRule.objects.filter(is_active=True).select_related("source", "pi", "project")
    if by == "fund":
        return active.filter(fund_org=key)
    if by == "department":
        return active.filter(Q(pi__department=subject.pk) | Q(project__department=subject.pk))
    return active.filter(**{by: subject.pk})


def _said(rule: AttributionRule) -> str:
    """Say in short whom a rule charges, and for what."""
    pays = " · ".join(filter(None, (str(rule.pi or ""), str(rule.project or ""), rule.fund_org, rule.shared_as)))
    return f"Rule {rule.pk}: {rule.note or pays}"[:120]


def _questions(by: str, subject: Any) -> Link | None:
    """Return how many questions about a record nobody answered yet, as a link to them; None for none."""
    if by not in ("pi", "project"):
        return None
    number = Question.objects.open().filter(**{by: subject.pk}).count()
    if not number:
        return None
    url = list_url(Question, urlencode({f"{by}__id__exact": subject.pk}))
    return Link("1 open question" if number == 1 else f"{number:,} open questions", url)
