"""What a statement says, read back from its snapshot."""

import datetime
from collections import defaultdict
from decimal import Decimal
from typing import Any

from billing.models import (
    PayerLine,
)
from billing.models.policy import TAG_FIELDS, reference_labels

from ..changes import Changes, changes_from
from ..document import Figures, Line, Original, Resource, Section, StatementDocument
from ..models import Statement, StatementLine
from . import asides
from .snapshots import figures_of, usage_of

DEFAULT_LABELS = reference_labels(TAG_FIELDS)


def document_of(statement: Statement) -> StatementDocument:
    """Return what a statement says, from its snapshot alone: later changes of names do not touch it."""
    content = statement.document
    sections: dict[str, list[Line]] = defaultdict(list)
    first, second = tuple(content.get("reference_labels", DEFAULT_LABELS))
    corrections: dict[str, list[Line]] = defaultdict(list)
    for stored in statement.lines.all():
        line = _line(stored, statement)
        (corrections if line.is_correction else sections)[stored.fund_org].append(line)
    return StatementDocument(
        number=statement.number,
        reference=statement.reference.text,
        revision=statement.revision,
        month=statement.period.month,
        issued_on=datetime.date.fromisoformat(content["issued_on"]),
        currency=statement.currency,
        institution=content["institution"],
        pi_name=content["pi_name"],
        pi_email=content["pi_email"],
        figures=Figures(statement.list_cost, statement.contracted_cost, statement.charged),
        sections=_sections(sections, content),
        corrections=_sections(corrections, content),
        replaces=content.get("replaces", ""),
        changes=_changes(statement),
        department=content.get("department", ""),
        address=tuple(content.get("address", ())),
        contact_name=content.get("contact_name", ""),
        contact_email=content.get("contact_email", ""),
        contact_phone=content.get("contact_phone", ""),
        pi_department=content.get("pi_department", ""),
        project_code=content.get("project_code", ""),
        project_name=content.get("project_name", ""),
        review_until=statement.review_until,
        footer=content.get("footer", ""),
        portal_url=content.get("portal_url", ""),
        reference_labels=(first, second),
        **asides.read_back(content),
    )


def _line(line: StatementLine, statement: Statement) -> Line:
    content, month = statement.document, statement.period.iso_month
    labels = tuple(content.get("reference_labels", DEFAULT_LABELS))
    return Line(
        service=line.service_name,
        source=line.source_label,
        natural_account=line.natural_account,
        figures=figures_of(line),
        charge_count=line.charge_count,
        resources=tuple(_resource(each) for each in line.resources),
        for_month=line.for_month if line.for_month != month else "",
        correction=_correction(line.kind),
        is_showback=line.source_name in content.get("showback", ()),
        shared_total=line.shared_total,
        currency=statement.currency,
        references=tuple(zip(labels, (line.reference_1, line.reference_2), strict=True)),
        is_correction=line.is_correction_in(month),
        corrects=tuple(line.corrects),
        charged_before=line.charged_before,
        service_from=line.service_from,
        service_until=line.service_until,
        **_split(line),
        original=_original(line.original),
        number=line.number,
        usage=usage_of(line.usage),
    )


def _changes(statement: Statement) -> Changes | None:
    if not (kept := statement.document.get("changes")):
        return None
    return changes_from(kept, now=statement.charged, currency=statement.currency)


def _sections(lines: dict[str, list[Line]], content: dict[str, Any]) -> tuple[Section, ...]:
    names, ends = content.get("fund_names", {}), content.get("fund_ends", {})
    return tuple(
        Section(
            fund_org,
            names.get(fund_org, "") if fund_org else ", ".join(content.get("customers", ())),
            tuple(own),
            ends_on=datetime.date.fromisoformat(ends[fund_org]) if fund_org in ends else None,
        )
        for fund_org, own in lines.items()
    )


def _split(line: StatementLine) -> dict[str, Decimal]:
    """Return which part of a cost a line is, where several fund/orgs pay for it."""
    if not line.split:
        return {}
    return {"split_percent": Decimal(line.split["percent"]), "split_whole": Decimal(line.split["whole"])}


def _original(stored: dict[str, str]) -> Original | None:
    if not stored:
        return None
    amounts = (Decimal(stored[name]) for name in ("rate", "list", "charged"))
    return Original(stored["currency"], *amounts)


def _resource(stored: dict[str, Any]) -> Resource:
    return Resource(
        name=stored["name"],
        resource_id=stored["id"],
        count=stored["count"],
        figures=Figures(Decimal(stored["list"]), Decimal(stored["contracted"]), Decimal(stored["charged"])),
        further=stored.get("further", 0),
        original=Decimal(stored["original"]) if "original" in stored else None,
        usage=usage_of(stored["usage"]),
    )


def for_what(line: StatementLine) -> str:
    """Say which other month a statement's line is for and what it changes there; empty for its own month."""
    return _said(line).for_what


def share_of(line: StatementLine) -> str:
    """Say which part of a shared cost a statement's line is; empty for any other."""
    return _said(line).share


def used_on(line: StatementLine) -> str:
    """Say how much was used on a statement's line, in up to two units: `60% of 257.33 core-hours`."""
    return _said(line).used


def _said(line: StatementLine) -> Line:
    """Return a line with what its texts are made of."""
    return Line(
        service="",
        source="",
        natural_account="",
        figures=figures_of(line),
        for_month=line.for_month if line.for_month != line.statement.period.iso_month else "",
        correction=_correction(line.kind),
        shared_total=line.shared_total,
        currency=line.statement.currency,
        usage=usage_of(line.usage),
    )


def _correction(kind: str) -> str:
    """Say what a line changes of a month, where it is no plain charge."""
    return PayerLine.Kind(kind).label if kind == PayerLine.Kind.LATE or kind in PayerLine.ENTERED else ""
