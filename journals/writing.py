"""Which format is meant by a name, and a journal as formats read it."""

from collections.abc import Iterable

from billing.errors import BillingError
from billing.models import Policy
from billing.money import in_decimals_of
from billing.patterns import compiled

from .formats import BUILT_IN, DRAFT, TEMPLATE, Document, Format, Line, TemplateFormat
from .models import Journal, JournalLine, JournalTemplate

FROZEN = "submitted"


class UnknownFormat(BillingError):
    """A format was asked for that neither the program nor a template has."""


def format_named(name: str) -> Format:
    """Return a built-in format or a template's; `template` is the one template there is. Raises UnknownFormat."""
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
    raise UnknownFormat(f"There is no journal format “{name}”. These exist: {', '.join(format_names())}.")


def format_names() -> list[str]:
    """Return the names of the formats there are: those built in, then the templates'."""
    return [*BUILT_IN, *JournalTemplate.objects.order_by("name").values_list("name", flat=True)]


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
    """Return a journal as formats read it, from its stored lines where they are not at hand."""
    return Document(
        number=journal.number,
        period=journal.period.iso_month,
        state=DRAFT if journal.state == Journal.State.DRAFT else FROZEN,
        posting_date=journal.posting_date,
        currency=journal.currency,
        lines=lines_as_read(journal.lines.order_by("number") if lines is None else lines, journal.currency),
        segments=segment_names(journal),
    )


def lines_as_read(lines: Iterable[JournalLine], currency: str) -> list[Line]:
    """Return lines of journals as formats read them: amounts with the decimals of the currency."""
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
