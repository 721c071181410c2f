"""Which format is meant by a name, and a journal as formats read it."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from django.db import models
from django.utils import timezone

from billing.errors import BillingError
from billing.models import FundingSource, Policy
from billing.money import in_decimals_of
from billing.patterns import compiled

from . import accounting_calendar, layouts
from .formats import BUILT_IN, DRAFT, TEMPLATE, Document, Format, Line, TemplateFormat
from .lookups import lookups_for
from .models import Journal, JournalFileLine, JournalLayout, JournalLine, JournalTemplate

FROZEN = "submitted"


class UnknownFormat(BillingError):
    """A format was asked for that is none of the program's, and no template or released layout."""


def format_named(name: str) -> Format:
    """Return a built-in format, a template's or a released layout's; `template` is the one template there is.

    Raises UnknownFormat.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    templates = {template.name: template for template in JournalTemplate.objects.order_by("name")}
    if name == TEMPLATE:
        if len(templates) == 1:
            return as_format(next(iter(templates.values())))
        if not templates:
            raise UnknownFormat("There is no journal template yet: add one in the admin under Journal templates.")
        raise UnknownFormat(f"There are several templates: name one of {', '.join(templates)} with -f.")
    if name in templates:
        return as_format(templates[name])
    if layout := _released().filter(name=name).first():
        return layouts.as_format(layout)
    if JournalLayout.objects.filter(name=name).exists():
        raise UnknownFormat(f"No version of the layout “{name}” is released. Release one under Journal layouts.")
    raise UnknownFormat(f"There is no journal format “{name}”. These exist: {', '.join(format_names())}.")


def format_names() -> list[str]:
    """Return the names of the formats there are: those built in, the templates' and the released layouts'."""
    templates = JournalTemplate.objects.order_by("name").values_list("name", flat=True)
    return [*BUILT_IN, *templates, *_released().values_list("name", flat=True)]


def format_of(journal: Journal) -> Format:
    """Return the format of a journal's file; a submitted one keeps the version of its layout. Raises UnknownFormat."""
    return layouts.as_format(journal.layout) if journal.layout else format_named(journal.format)


def _released() -> "models.QuerySet[JournalLayout]":
    return JournalLayout.objects.filter(state=JournalLayout.State.RELEASED).order_by("name")


def as_format(template: JournalTemplate) -> TemplateFormat:
    return TemplateFormat(
        name=template.name,
        header=template.header,
        line=template.line,
        footer=template.footer,
        is_csv=template.is_csv,
        extension=template.extension,
    )


def document_of(journal: Journal, lines: Iterable[JournalLine] | None = None) -> Document:
    """Return a journal as formats read it, from its stored lines where they are not at hand.

    A submitted journal reads as it did when its file was written, whatever the policy says since.
    """
    place = journal.fiscal_year, journal.fiscal_period
    if None in place:
        place = accounting_calendar.fiscal_place(journal.posting_date, timezone.localdate())
    return Document(
        number=journal.number,
        period=journal.period.iso_month,
        state=DRAFT if journal.state == Journal.State.DRAFT else FROZEN,
        posting_date=journal.posting_date,
        currency=journal.currency,
        lines=lines_as_read(journal.lines.order_by("number") if lines is None else lines, journal.currency),
        segments=segment_names(journal),
        made_at=timezone.localtime(journal.submitted_at or journal.drafted_at),
        batch=journal.batch or 1,
        fiscal_year=place[0] or 0,
        fiscal_period=place[1] or 0,
        groups=_groups_of(journal),
        lookups=lookups_for(journal),
    )


def _groups_of(journal: Journal) -> tuple[tuple[int, ...], ...] | None:
    """Return which lines each line of the file of a submitted journal stands for; None where none is kept."""
    kept = JournalFileLine.objects.filter(journal=journal) if journal.layout_id else JournalFileLine.objects.none()
    pairs = kept.order_by("number", "line__number").values_list("number", "line__number")
    groups = tuple(tuple(line for _, line in group) for _, group in groupby(pairs, key=itemgetter(0)))
    return groups or None


def lines_as_read(lines: Iterable[JournalLine], currency: str) -> list[Line]:
    """Return lines of journals as formats read them: amounts with the decimals of the currency."""
    sponsored = frozenset(FundingSource.objects.filter(is_sponsored=True).values_list("fund_org", flat=True))
    return [
        Line(
            number=line.number,
            is_payer=line.side == JournalLine.Side.PAYER,
            fund_org=line.fund_org,
            natural_account=line.natural_account,
            debit=in_decimals_of(line.debit, currency),
            credit=in_decimals_of(line.credit, currency),
            reference=line.reference,
            description=line.description,
            kind=line.kind,
            month=line.for_month,
            pi_email=line.pi_email,
            pi_name=line.pi_name,
            project=line.project_code,
            source=line.source_name,
            service=line.service_name,
            list_cost=in_decimals_of(line.list_cost, currency),
            contracted_cost=in_decimals_of(line.contracted_cost, currency),
            segments=line.segments,
            grant_number=line.reference_1,
            request_id=line.reference_2,
            is_sponsored=line.fund_org in sponsored,
        )
        for line in lines
    ]


def segment_names(journal: Journal | None = None) -> tuple[str, ...]:
    """Return the columns of segments: those a frozen journal was parsed into, else the Policy's, in its order."""
    pattern = Policy.objects.current().fund_org_segments
    names = (
        tuple(sorted(groups, key=groups.__getitem__)) if pattern and (groups := compiled(pattern).groupindex) else ()
    )
    if journal and journal.state != Journal.State.DRAFT:
        line = journal.lines.order_by("number").exclude(segments={}).first()
        frozen = line.segments if line else {}
        if set(frozen) != set(names):
            return tuple(sorted(frozen))
    return names
