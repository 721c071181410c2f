"""The staff's page of reports: what its address asks for, what else could be chosen, and the report as a file."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from billing import charts, fiscal_years, reports
from billing.admin.audited import actor_of
from billing.admin.formatting import figure
from billing.admin.naming import NameInput
from billing.background import jobs
from billing.charts import Chart
from billing.models import BillingPeriod, Job, Policy, Source, User
from billing.models.departments import DepartmentTree
from billing.reports import Asked, Report, Row
from billing.reports.tables import COUNT, PERCENT, Value, percent_text
from billing.sheets import FORMATS
from billing.texts import iso_month, long_month
from billing.trends import Trend

# Rows of a table on the page; the files have all.
ROWS = 100
# Fiscal years offered as links.
YEARS = 6
FILES = {
    "csv": (reports.as_csv, FORMATS["csv"]),
    "xlsx": (reports.as_xlsx, FORMATS["xlsx"]),
    "pdf": (reports.as_pdf, "application/pdf"),
}


class FilterForm(forms.Form):
    """What a report can be asked for. Each field is named as the address names it."""

    report = forms.CharField(widget=forms.HiddenInput)
    from_month = forms.ChoiceField(label="From")
    to_month = forms.ChoiceField(label="To")
    by = forms.ChoiceField(label="By")
    show = forms.ChoiceField(label="Compare", choices=list(reports.MEASURES.items()))
    as_of = forms.DateField(label="As of", widget=forms.DateInput(attrs={"type": "date"}))
    source = forms.ChoiceField(label="Source")
    department = forms.ChoiceField(label="Department")
    pi = forms.CharField(label="PI", widget=NameInput("pi"))
    project = forms.CharField(label="Project", widget=NameInput("project"))
    service = forms.CharField(label="Service")
    fund = forms.CharField(label="Fund/org", widget=NameInput("fund_org"))

    def __init__(self, name: str, said: Mapping[str, str]) -> None:
        initial = {**said, "report": name, "from_month": said.get("from", ""), "to_month": said.get("to", "")}
        super().__init__(initial=initial, label_suffix="", auto_id="report_%s", use_required_attribute=False)
        months = BillingPeriod.objects.shown().order_by("-month").values_list("month", flat=True)
        offered = [(iso_month(each), long_month(each)) for each in months]
        ways = [(by, reports.LABELS[by]) for by in reports.WAYS[name]]
        tree = [(each.code, "\u2003" * depth + each.display_name) for each, depth in DepartmentTree().in_order()]
        sources = [(each.name, each.label) for each in Source.objects.order_by("name")]
        anything = ("", "All")
        for key, choices in {
            "from_month": offered,
            "to_month": offered,
            "by": ways,
            "source": [anything, *sources],
            "department": [anything, *tree],
        }.items():
            self._offer(key, choices)
        if name != "years":
            del self.fields["show"]
        if name not in reports.DATED:
            del self.fields["as_of"]
        if not tree:
            del self.fields["department"]
        for key in set(_refused(name)) & set(self.fields):
            del self.fields[key]

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        choice_field = self.fields[name]
        assert isinstance(choice_field, forms.ChoiceField)
        asked = self.initial.get(name, "")
        if asked and asked not in dict(choices):
            # A month without a billing period stays what is asked for.
            choices = [*choices, (asked, _month_text(asked) if name.endswith("_month") else asked)]
        choice_field.choices = choices

    def add_prefix(self, field_name: str) -> str:
        """Return what the address calls a field: `from` is no name in Python."""
        return field_name.removesuffix("_month")


@dataclass(frozen=True)
class Link:
    """Something to choose, and the address that chooses it."""

    label: str
    url: str
    is_chosen: bool = False
    # Whether it asks the worker for something, and so is a button.
    is_asking: bool = False


@dataclass(frozen=True)
class Shown:
    """A row as the page shows it: its label leads to what is within it, and its cells are written out.

    Each cell and text has the heading of its column, which phones show.
    """

    label: str
    url: str
    cells: tuple[tuple[str, object, str], ...]
    depth: int = 0
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """What the page shows, or why it cannot."""

    form: FilterForm
    reports: list[Link]
    problem: str = ""
    report: Report | None = None
    # The same with all its columns, for files.
    made: Report | None = None
    years: list[Link] = field(default_factory=list)
    currencies: list[Link] = field(default_factory=list)
    # What narrows it, each with the address that widens it again.
    chips: list[tuple[str, str, str]] = field(default_factory=list)
    files: list[Link] = field(default_factory=list)
    rows: list[Shown] = field(default_factory=list)
    total: tuple[tuple[str, object, str], ...] = ()
    chart: Chart | None = None
    charted: Trend | None = None
    kept: list[tuple[str, str]] = field(default_factory=list)
    # Where its last month is accrued.
    accrue_url: str = ""

    @property
    def sum_parts(self) -> list[tuple[str, str, object]]:
        """List price less discount and subsidy is what is charged: sign, label and amount of each."""
        if not self.report or self.report.asked.name != "value":
            return []
        signs = (("listed", ""), ("discount", "−"), ("subsidy", "−"), ("charged", "="))
        labels = {column.name: column.label for column in self.report.columns}
        return [(sign, labels[name], self.report.value(name)) for name, sign in signs]


def page_of(request: HttpRequest) -> Page:
    """Return what an address asks for."""
    said = {name: str(text).replace("\0", "").strip()[:500] for name, text in request.GET.items()}
    user = request.user
    assert isinstance(user, User)
    name = said.get("report", "") if said.get("report") in reports.TITLES else "value"
    said = _fitting({**said, "report": name})
    try:
        asked = reports.read(said)
    except reports.ReportRefused as refused:
        return Page(FilterForm(name, said), links(name, said, user), problem=str(refused))
    made = reports.make(asked)
    report = made.brief()
    params = asked.as_params()
    charted = report.trend.top(charts.COLORS) if report.trend else None
    return Page(
        form=FilterForm(name, params),
        reports=links(name, params, user),
        report=report,
        made=made,
        years=_years(asked),
        currencies=[
            Link(each, address(params | {"currency": each}), each == report.currency) for each in report.currencies
        ],
        chips=[
            (reports.NARROWING[each], text, address({key: value for key, value in params.items() if key != each}))
            for each, text in asked.only.items()
        ],
        files=[_file_link(made, form) for form in FILES],
        rows=list(_rows(report)),
        total=_cells(report, report.total),
        chart=charts.stacked(charted.columns) if charted else None,
        charted=charted,
        kept=[("currency", asked.currency)] if asked.currency else [],
        accrue_url=_accrue_url(made, user),
    )


def _accrue_url(report: Report, user: User) -> str:
    if report.asked.name != "unposted" or report.is_empty or not user.has_perm("journals.export_journal"):
        return ""
    return f"{reverse('admin:journals_journal_accrue')}{address({'period': iso_month(report.asked.last)})}"


def _file_link(report: Report, form: str) -> Link:
    url = address(report.asked.as_params() | {"file": form})
    return Link(f"Download {form.upper()}", url, is_asking=form == "xlsx" and reports.is_large(report))


def asked_of_worker(request: HttpRequest, page: Page) -> Job | None:
    """Have the worker write a large workbook; return the job, None where nothing such was asked for."""
    form = request.GET.get("file", "")
    if request.method != "POST" or page.report is None or form != "xlsx":
        return None
    arguments = {"format": form, "filters": urlencode(page.report.asked.as_params())}
    return jobs.enqueue(kind=Job.Kind.REPORT_FILE, arguments=arguments, actor=actor_of(request), now=timezone.now())


def file_of(request: HttpRequest, page: Page) -> HttpResponse | None:
    """Return the report as a file, None where there is no such kind of file or no report."""
    form = request.GET.get("file", "")
    if page.made is None or form not in FILES:
        return None
    if form == "xlsx" and reports.is_large(page.made):
        # An address that somebody kept: to ask the worker takes a button.
        messages.info(request, "This workbook is large: the worker writes it. Choose Download XLSX.")
        return HttpResponseRedirect(f"{reverse('admin:reports')}{address(page.made.asked.as_params())}")
    write, kind = FILES[form]
    response = HttpResponse(write(page.made), content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{reports.file_name(page.made, form)}"'
    return response


def address(params: Mapping[str, str]) -> str:
    return f"?{urlencode(params)}"


def _fitting(said: dict[str, str]) -> dict[str, str]:
    """Leave out what another report could be asked, and this one cannot: its tab leads on all the same."""
    kept = dict(said)
    if kept.get("by") not in reports.WAYS[kept["report"]]:
        kept.pop("by", None)
    for key in _refused(kept["report"]):
        kept.pop(key, None)
    if kept["report"] not in reports.DATED:
        kept.pop("as_of", None)
    return kept


def _refused(name: str) -> tuple[str, ...]:
    """Return what a report cannot be narrowed to."""
    return reports.NOT_NARROWED.get(name, ((), ""))[0]


def links(name: str, params: Mapping[str, str], user: User) -> list[Link]:
    """Return the reports, and the trends of charges beside them, as links; `name` is the one that is shown."""
    page = reverse("admin:reports")
    found = [
        Link(title, f"{page}{address({**params, 'report': key})}", key == name) for key, title in reports.TITLES.items()
    ]
    if user.has_perm("billing.view_charge"):
        found.append(Link("Trends", reverse("admin:trends"), name == "trends"))
    return found


def _years(asked: Asked) -> list[Link]:
    """Return the fiscal years with payer lines, each as a link to its months."""
    policy = Policy.objects.current()
    found = []
    for year in reports.years(policy)[:YEARS]:
        first, last = policy.months_of_fiscal_year(year)
        chosen = replace(asked, first=first, last=last)
        is_chosen = (asked.first, asked.last) == (first, last)
        found.append(Link(fiscal_years.label_of(year), address(chosen.as_params()), is_chosen))
    return found


def _rows(report: Report) -> Iterator[Shown]:
    """Yield the rows; of very many the largest, and the others as one."""
    asked, rows = report.asked, report.rows
    is_tree = any(row.parts for row in rows)
    for row in rows if is_tree else rows[:ROWS]:
        texts = tuple(zip(report.texts, row.texts, strict=True))
        yield Shown(row.label, _url_within(asked, row), _cells(report, row.values), row.depth, texts)
    if rest := () if is_tree else rows[ROWS:]:
        cells = _cells(report, reports.summed(report.columns, rest))
        yield Shown(f"{len(rest):,} others, in the files", "", cells, texts=tuple((each, "") for each in report.texts))


def _url_within(asked: Asked, row: Row) -> str:
    """Return the address of the report narrowed to a row, by what comes next; "" where nothing does."""
    if not row.key:
        return ""
    params = asked.as_params()
    if asked.by in ("month", "year"):
        by = next(by for by in reports.WAYS[asked.name] if by not in ("month", "year", "giver", "program"))
        span = _span(asked.by, row.key)
        return address(params | span | {"by": by})
    within = reports.WITHIN.get(asked.by, "")
    if within not in reports.WAYS[asked.name]:
        return ""
    name = "department" if asked.by == "college" else asked.by
    return address(params | {"by": within, name: row.key})


def _span(by: str, key: str) -> dict[str, str]:
    if by == "month":
        return {"from": key, "to": key}
    first, last = Policy.objects.current().months_of_fiscal_year(int(key))
    return {"from": iso_month(first), "to": iso_month(last)}


def _cells(report: Report, values: Sequence[Value]) -> tuple[tuple[str, object, str], ...]:
    """Return the cells of a row, each with the heading of its column and with its class."""
    cells: list[tuple[str, object, str]] = []
    for column, value in zip(report.columns, values, strict=True):
        if column.kind == PERCENT:
            cells.append((column.label, percent_text(value), "ratio"))
        elif column.kind == COUNT:
            cells.append((column.label, f"{value:,}", "num"))
        else:
            cells.append((column.label, figure(value, report.currency), "num"))
    return tuple(cells)


def _month_text(text: str) -> str:
    try:
        return long_month(datetime.date.fromisoformat(f"{text}-01"))
    except ValueError:
        return text
