"""Issuing: payer lines become statements, snapshots that only a new revision can replace."""

import dataclasses
import datetime
import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Max
from django.urls import reverse
from django.utils import timezone

from billing import audit, charging
from billing.audit import Actor
from billing.corrections import entries
from billing.errors import BillingError, ReasonMissing
from billing.fields import AmountSum
from billing.files.writing import write_whole
from billing.models import (
    BillingPeriod,
    BillingReference,
    Charge,
    EntryLine,
    FundingSource,
    PayerLine,
    Person,
    Policy,
    Project,
)
from billing.models.policy import TAG_FIELDS, reference_labels
from billing.money import plain
from billing.months import closing
from billing.progress import Progress, unwatched
from billing.proof.verifying import Kept

from .document import Figures, Line, Original, Resource, Section, StatementDocument
from .drawing import draw
from .models import Statement, StatementLine

log = logging.getLogger(__name__)

BATCH = 500
# Statements drawn between two commits of their hashes, so that a crash loses little.
DRAWN_AT_ONCE = 100

# Kept below a line; the portal shows them all, and what comes after is one sum.
MOST_RESOURCES = 2_000

# What PIs are charged: the center's own lines (absorbed, funded subsidies) are on no statement.
STATED = PayerLine.CHARGED

# A line as people name it: the statement's number and the line's.
LINE = re.compile(r"(\d{4}-\d{2}-\d+-\d+):(\d{1,9})")

# What of the names and texts makes a revision when it changes: whom and what the statement is about. A new
# spelling of a name, a new letterhead or another day until which to ask changes neither who pays nor how much:
# it is printed on what is issued next.
IN_DIGEST = ("pi_email", "project_code", "showback")
DEFAULT_LABELS = reference_labels(TAG_FIELDS)


class StatementsFrozen(closing.PeriodFinalized):
    """Statements were asked of a finalized period."""


class NotLive(BillingError):
    """A statement that is superseded or void already."""


class UnknownLine(BillingError):
    """A line of a statement that is not there."""


@dataclass(frozen=True)
class Issued:
    """A statement in force after a run (or that would be, after a dry one)."""

    number: str
    revision: int
    pi: str
    pi_name: str
    project: str
    fund_orgs: tuple[str, ...]
    figures: Figures
    # What of the figures is no charge of the month itself.
    corrections: Figures
    pdf: str
    is_new: bool
    replaces: str = ""

    @property
    def month(self) -> Figures:
        return self.figures.less(self.corrections)


@dataclass(frozen=True)
class Outdated:
    """A statement in force that is not current: what it says is charged, and what a run would say now."""

    statement: int
    number: str
    charged: Decimal
    now: Decimal
    currency: str


@dataclass(frozen=True)
class Held:
    """What waits for review and is on no statement; billed in the institution's currency."""

    count: int
    billed: Decimal
    foreign: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Generated:
    """What a run issued: every statement in force, and what became of the others."""

    period: str
    currency: str
    is_dry_run: bool
    statements: tuple[Issued, ...]
    held: Held
    issued: int
    superseded: int
    unchanged: int
    drawn: int = 0

    @property
    def figures(self) -> Figures:
        return Figures.total(each.figures for each in self.statements)

    @property
    def corrections(self) -> Figures:
        return Figures.total(each.corrections for each in self.statements)

    @property
    def month(self) -> Figures:
        return self.figures.less(self.corrections)

    @property
    def has_corrections(self) -> bool:
        return any(each.corrections != Figures() for each in self.statements)


@dataclass(frozen=True)
class Pending:
    """How many statements are not current, and what they charge: as the live ones say, and as they would."""

    new: int
    revised: int
    before: Decimal
    after: Decimal

    @property
    def count(self) -> int:
        return self.new + self.revised

    @property
    def difference(self) -> Decimal:
        return self.after - self.before


@dataclass
class _Planned:
    """One owner's statement as it ought to be, beside the one in force."""

    pi: Person
    project: Project | None
    reference: BillingReference | None
    content: dict[str, Any]
    lines: list[StatementLine]
    live: Statement | None
    revision: int
    last_number: str
    month: str
    digest: str = ""

    @property
    def figures(self) -> Figures:
        return Figures.total(_figures(line) for line in self.lines)

    @property
    def corrections(self) -> Figures:
        """What of it is no charge of the month itself."""
        return Figures.total(_figures(line) for line in self.lines if line.is_correction_in(self.month))

    @property
    def is_new(self) -> bool:
        return self.live is None or self.live.digest != self.digest

    @property
    def number(self) -> str:
        """As it will be printed; empty where a dry run meets an owner without a reference."""
        if not self.is_new and self.live:
            return self.live.number
        return f"{self.reference.text}-{self.revision}" if self.reference else ""


def generate(
    *,
    period: BillingPeriod,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Generated:
    """Bring a period's statements up to date with its charges, and draw those that have no PDF.

    Makes payer lines first. A statement is issued where none is in force, and as a new revision where
    figures, payers or what is charged changed (see IN_DIGEST), never because its month moved on; an owner
    who has no charges any more gets a revision of zero.
    What did not change stays. A dry run computes the same and writes nothing.

    Raises StatementsFrozen for a finalized period, and the errors of `charging.make_payer_lines`.
    """
    if dry_run:
        _refuse_finalized(period)
        planned = _plan(period, charging.compute(period))
        return _result(period, planned, _held(period), is_dry_run=True)
    progress(0, 0, "Charging")
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        _refuse_finalized(period)
        charging.make_payer_lines(period=period, actor=actor, now=now)
        lines = PayerLine.objects.filter(period=period).select_related("pi", "project", "source", "for_period")
        planned = _plan(period, lines)
        _issue([each for each in planned if each.is_new], period=period, actor=actor, now=now, gesture=gesture)
        result = _result(period, planned, _held(period), is_dry_run=False)
    drawn = render_missing(period=period, actor=actor, now=now, progress=progress)
    return dataclasses.replace(result, drawn=drawn)


def changes_of(period: BillingPeriod) -> int:
    """Return how many statements a run would issue now: 0 means that all are current. Writes nothing."""
    return pending(period, charging.compute(period)).count


def pending(period: BillingPeriod, lines: Iterable[PayerLine]) -> Pending:
    """Return what a run would issue of these payer lines beside the statements in force. Writes nothing."""
    changed = [each for each in _plan(period, lines) if each.is_new]
    live = [each.live for each in changed if each.live]
    return Pending(
        new=len(changed) - len(live),
        revised=len(live),
        before=sum((each.charged for each in live), Decimal(0)),
        after=Figures.total(each.figures for each in changed).charged,
    )


def outdated(period: BillingPeriod) -> list[Outdated]:
    """Return the statements in force that a run would replace now, by number. Writes nothing.

    Of a finalized period there are none: its statements are final. Raises the errors of `charging.compute`.
    """
    if period.status == BillingPeriod.Status.FINALIZED:
        return []
    found = [
        Outdated(each.live.pk, each.live.number, each.live.charged, each.figures.charged, each.live.currency)
        for each in _plan(period, charging.compute(period))
        if each.live and each.is_new
    ]
    return sorted(found, key=lambda each: each.number)


def void(*, statement: Statement, reason: str, actor: Actor, now: datetime.datetime) -> Statement:
    """Take a statement out of force without a successor; the next run issues the owner's next revision.

    Its PI finds the day and the reason in its place.
    Raises ReasonMissing, NotLive, or StatementsFrozen where the period is finalized.
    """
    if not reason.strip():
        raise ReasonMissing("Say why the statement is void: the reason stays with it.")
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(statement.period)
        _refuse_finalized(period)
        locked = Statement.objects.select_for_update(no_key=True).get(pk=statement.pk)
        if locked.state not in Statement.LIVE:
            raise NotLive(f"Statement {locked} is {locked.get_state_display().lower()} already.")
        before = locked.state
        locked.state = Statement.State.VOID
        locked.voided_at, locked.void_reason = now, reason.strip()
        locked.save(update_fields=["state", "voided_at", "void_reason"])
        gesture.record(
            "statement.voided", locked, before={"state": before}, after={"state": locked.state}, note=locked.void_reason
        )
    return locked


def render_missing(
    *, period: BillingPeriod, actor: Actor, now: datetime.datetime, progress: Progress = unwatched
) -> int:
    """Draw every statement of a period whose PDF is not there, and return how many.

    Runs after the statements are committed and can be resumed: a file appears whole or not at all,
    and its hash is recorded after it.
    """
    wanted = [
        pk
        for pk, path in Statement.objects.filter(period=period).order_by("number").values_list("pk", "pdf_path")
        if not path or not (settings.VAR_DIR / path).is_file()
    ]
    for start in range(0, len(wanted), DRAWN_AT_ONCE):
        batch = list(
            Statement.objects.filter(pk__in=wanted[start : start + DRAWN_AT_ONCE])
            .select_related("period", "reference__period")
            .prefetch_related("lines")
            .order_by("number")
        )
        redrawn = []
        for done, statement in enumerate(batch, start=start + 1):
            before = statement.pdf_sha256
            _write_pdf(statement)
            if before not in ("", statement.pdf_sha256):
                redrawn.append((statement, before))
            progress(done, len(wanted), "Drawing statements")
        with audit.gesture(actor=actor, now=now) as gesture:
            Statement.objects.bulk_update(batch, ["pdf_path", "pdf_sha256"])
            for statement, before in redrawn:
                gesture.record(
                    "statement.redrawn", statement, before={"sha256": before}, after={"sha256": statement.pdf_sha256}
                )
    return len(wanted)


def pdf_of(statement: Statement) -> bytes:
    """Return a statement's PDF; it is drawn again where the file is gone, or is not the one that was drawn."""
    path = settings.VAR_DIR / statement.pdf_path if statement.pdf_path else None
    if path and path.is_file():
        kept: bytes = path.read_bytes()
        if hashlib.sha256(kept).hexdigest() == statement.pdf_sha256:
            return kept
        log.error("%s is not the file that was drawn: statement %s is drawn again.", path, statement.number)
    before = (statement.pdf_path, statement.pdf_sha256)
    data = _write_pdf(statement)
    if before != (statement.pdf_path, statement.pdf_sha256):
        Statement.objects.filter(pk=statement.pk).update(pdf_path=statement.pdf_path, pdf_sha256=statement.pdf_sha256)
    return data


def line_named(text: str) -> tuple[BillingPeriod, str] | None:
    """Return the month and the key of the payer line that a statement's line shows: `2025-01-0007-1:3`.

    None for a text of another kind. Raises UnknownLine.
    """
    if not (match := LINE.fullmatch(text.strip())):
        return None
    statement = Statement.objects.select_related("period").filter(number=match[1]).first()
    if statement is None:
        raise UnknownLine(f"There is no statement {match[1]}.")
    line = statement.lines.filter(number=int(match[2])).first()
    if line is None:
        raise UnknownLine(f"Statement {statement} has no line {match[2]}; it has {statement.lines.count()}.")
    return statement.period, line.payer_key


def places_of(period: BillingPeriod, key: str) -> list[entries.Place]:
    """Return the statement in force that shows a payer line, and where."""
    lines = StatementLine.objects.filter(
        payer_key=key, statement__period=period, statement__state__in=Statement.LIVE
    ).select_related("statement")
    return [
        entries.Place(
            f"statement {line.statement}, line {line.number}",
            reverse("admin:statements_statement_change", args=[line.statement_id]),
        )
        for line in lines
    ]


def record_download(*, statement: Statement, what: str, actor: Actor, now: datetime.datetime) -> None:
    """Note that staff took a PI's document out of the system: `what` is pdf, csv or xlsx."""
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("statement.downloaded", statement, after={"format": what})


def document_of(statement: Statement) -> StatementDocument:
    """Return what a statement says, from its snapshot alone: later changes of names do not touch it."""
    content = statement.document
    fund_names: dict[str, str] = content.get("fund_names", {})
    showback = set(content.get("showback", ()))
    month = str(statement.period)
    sections: dict[str, list[Line]] = defaultdict(list)
    first, second = labels = tuple(content.get("reference_labels", DEFAULT_LABELS))
    corrections: dict[str, list[Line]] = defaultdict(list)
    for line in statement.lines.all():
        is_correction = line.is_correction_in(month)
        (corrections if is_correction else sections)[line.fund_org].append(
            Line(
                service=line.service_name,
                source=line.source_label,
                natural_account=line.natural_account,
                figures=_figures(line),
                charge_count=line.charge_count,
                resources=tuple(_resource(each) for each in line.resources),
                for_month=line.for_month if line.for_month != month else "",
                correction=_correction(line.kind),
                is_showback=line.source_name in showback,
                shared_total=line.shared_total,
                currency=statement.currency,
                references=tuple(zip(labels, (line.reference_1, line.reference_2), strict=True)),
                is_correction=is_correction,
                corrects=tuple(line.corrects),
                original=_original(line.original),
            )
        )
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
        sections=_sections(sections, fund_names),
        corrections=_sections(corrections, fund_names),
        replaces=content.get("replaces", ""),
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
    )


def _sections(lines: dict[str, list[Line]], fund_names: dict[str, str]) -> tuple[Section, ...]:
    return tuple(Section(fund_org, fund_names.get(fund_org, ""), tuple(own)) for fund_org, own in lines.items())


def _original(stored: dict[str, str]) -> Original | None:
    if not stored:
        return None
    amounts = (Decimal(stored[name]) for name in ("rate", "list", "charged"))
    return Original(stored["currency"], *amounts)


def _refuse_finalized(period: BillingPeriod) -> None:
    if period.status == BillingPeriod.Status.FINALIZED:
        raise StatementsFrozen(
            f"Billing period {period} is finalized: its statements are locked. Corrections go into an open month."
        )


def _held(period: BillingPeriod) -> Held:
    home = Policy.objects.current().currency
    rows = (
        Charge.objects.in_month(period)
        .held()
        .order_by()
        .values_list("currency")
        .annotate(count=Count("*"), billed=AmountSum("billed_cost"))
    )
    held = {currency: (count, billed) for currency, count, billed in rows}
    return Held(
        count=sum(count for count, _ in held.values()),
        billed=held.pop(home, (0, Decimal(0)))[1],
        foreign={currency: billed for currency, (_, billed) in sorted(held.items())},
    )


def _plan(period: BillingPeriod, lines: Iterable[PayerLine]) -> list[_Planned]:
    """Return the statement each owner ought to have, in the order of their references."""
    policy = Policy.objects.current()
    stated = [line for line in lines if line.kind in STATED and line.pi is not None]
    resources = charging.resources_of(period, stated)
    originals = charging.originals_of(period, stated)
    corrected = _corrected(period, stated)
    owners: dict[tuple[int, int | None], list[PayerLine]] = defaultdict(list)
    for line in stated:
        owners[line.pi_id or 0, line.project_id].append(line)
    if not policy.issues_zero_statements:
        owners = {owner: own for owner, own in owners.items() if _says_something(own)}
    references = {
        (each.pi_id, each.project_id): each
        for each in BillingReference.objects.filter(period=period).select_related("period")
    }
    # With `line_count`, which is no field of it.
    live: dict[tuple[int, int | None], Any] = {
        (each.pi_id, each.project_id): each
        for each in Statement.objects.live()
        .filter(period=period)
        .select_related("pi", "project", "reference__period")
        .annotate(line_count=Count("lines"))
    }
    revisions = dict(
        Statement.objects.filter(period=period).order_by().values_list("reference").annotate(last=Max("revision"))
    )
    fund_names = dict(FundingSource.objects.exclude(name="").values_list("fund_org", "name"))
    planned = []
    # A vanished owner gets a statement of zero, once.
    vanished = [owner for owner, statement in live.items() if owner not in owners and statement.line_count]
    kept = [owner for owner, statement in live.items() if owner not in owners and not statement.line_count]
    for owner in [*owners, *vanished]:
        own = sorted(owners.get(owner, ()), key=_line_order)
        current = live.get(owner)
        pi = own[0].pi if own else current.pi if current else None
        assert pi is not None
        reference = references.get(owner)
        revision = revisions.get(reference.pk, 0) if reference else 0
        each = _Planned(
            pi=pi,
            project=own[0].project if own else current.project if current else None,
            reference=reference,
            content={},
            lines=[
                _line(number, line, resources.get(line.key, ()), originals.get(line.key), corrected.get(line.key, ()))
                for number, line in enumerate(own, start=1)
            ],
            live=current,
            revision=revision + 1,
            last_number=f"{reference.text}-{revision}" if reference and revision else "",
            month=str(period),
        )
        each.content = _content(each, own, policy, fund_names)
        each.digest = _digest(each, policy.currency)
        planned.append(each)
    for owner in kept:
        current = live[owner]
        planned.append(
            _Planned(
                pi=current.pi,
                project=current.project,
                reference=current.reference,
                content=current.document,
                lines=[],
                live=current,
                revision=current.revision,
                last_number="",
                month=str(period),
                digest=current.digest,
            )
        )
    return sorted(
        planned,
        key=lambda each: (
            each.reference is None,
            each.reference.number if each.reference else 0,
            each.pi.email,
            each.project.code if each.project else "",
        ),
    )


def _says_something(lines: Sequence[PayerLine]) -> bool:
    total = Figures.total(Figures(line.list_cost, line.contracted_cost, line.charged) for line in lines)
    # A transfer between two fund/orgs of one owner comes to nothing, and is there to be seen.
    return bool(total.list_cost or total.charged) or any(line.kind in PayerLine.ENTERED for line in lines)


def _line_order(line: PayerLine) -> tuple[str | bool, ...]:
    return (
        line.fund_org,
        line.source.label,
        # Shares come after what is one's own.
        line.kind == PayerLine.Kind.SHARED,
        line.service_name,
        str(line.for_period),
        line.natural_account,
        line.key,
    )


def _corrected(period: BillingPeriod, lines: Iterable[PayerLine]) -> dict[str, list[str]]:
    """Return, by payer key, the lines of statements in force that corrections and late changes are about."""
    wanted: dict[tuple[int, str], list[str]] = defaultdict(list)
    months = {line.key: line for line in lines if line.kind in (PayerLine.Kind.LATE, *PayerLine.ENTERED)}
    for key, line in months.items():
        if line.kind == PayerLine.Kind.LATE:
            wanted[line.for_period_id, charging.key_as_charged(line)].append(key)
    if len(wanted) < len(months):
        for entered in (
            EntryLine.objects.charged_in(period)
            .exclude(corrects_key="")
            .select_related("entry__for_period", "pi", "project", "source")
        ):
            if (key := charging.key_of_entry(entered)) in months and entered.corrects_period_id:
                wanted[entered.corrects_period_id, entered.corrects_key].append(key)
    found: dict[str, list[str]] = defaultdict(list)
    keys = sorted({key for _, key in wanted})
    for start in range(0, len(keys), BATCH):
        of_keys = StatementLine.objects.filter(
            statement__state__in=Statement.LIVE,
            statement__period__in={month for month, _ in wanted},
            payer_key__in=keys[start : start + BATCH],
        ).order_by("statement__number", "number")
        for month, payer_key, statement, number in of_keys.values_list(
            "statement__period", "payer_key", "statement__number", "number"
        ):
            for key in wanted.get((month, payer_key), ()):
                if (named := f"{statement}:{number}") not in found[key]:
                    found[key].append(named)
    return found


def _line(
    number: int,
    line: PayerLine,
    resources: Sequence[charging.ResourceShare],
    original: charging.Original | None,
    corrects: Sequence[str],
) -> StatementLine:
    return StatementLine(
        number=number,
        payer_key=line.key,
        kind=line.kind,
        for_month=str(line.for_period),
        fund_org=line.fund_org,
        source_name=line.source.name,
        source_label=line.source.label,
        natural_account=line.natural_account,
        service_name=line.service_name,
        list_cost=line.list_cost,
        contracted_cost=line.contracted_cost,
        charged=line.charged,
        shared_total=line.shared_total,
        charge_count=line.charge_count,
        reference_1=line.reference_1,
        reference_2=line.reference_2,
        corrects=list(corrects),
        original={
            "currency": original.currency,
            "rate": f"{original.rate.normalize():f}",
            "list": plain(original.list_cost),
            "charged": plain(original.charged),
        }
        if original
        else {},
        resources=_stored_resources(resources, original.resources if original else {}),
    )


def _stored_resources(
    shares: Sequence[charging.ResourceShare], originals: Mapping[tuple[str, str], Decimal]
) -> list[dict[str, Any]]:
    """Write resources as JSON keeps them, the largest first; the small rest of very many is one sum."""
    ordered = sorted(
        shares, key=lambda share: (-abs(share.charged), -abs(share.list_cost), share.name, share.resource_id)
    )
    kept, rest = ordered[:MOST_RESOURCES], ordered[MOST_RESOURCES:]
    stored = [
        {
            "name": share.name,
            "id": share.resource_id,
            "count": share.count,
            "list": plain(share.list_cost),
            "contracted": plain(share.contracted_cost),
            "charged": plain(share.charged),
            **({"original": plain(originals[share.name, share.resource_id])} if originals else {}),
        }
        for share in kept
    ]
    if rest:
        total = Figures.total(Figures(share.list_cost, share.contracted_cost, share.charged) for share in rest)
        stored.append(
            {
                "name": "",
                "id": "",
                "further": len(rest),
                "count": sum(share.count for share in rest),
                "list": plain(total.list_cost),
                "contracted": plain(total.contracted_cost),
                "charged": plain(total.charged),
                **(
                    {"original": plain(sum((originals[each.name, each.resource_id] for each in rest), Decimal(0)))}
                    if originals
                    else {}
                ),
            }
        )
    return stored


def _resource(stored: dict[str, Any]) -> Resource:
    return Resource(
        name=stored["name"],
        resource_id=stored["id"],
        count=stored["count"],
        figures=Figures(Decimal(stored["list"]), Decimal(stored["contracted"]), Decimal(stored["charged"])),
        further=stored.get("further", 0),
        original=Decimal(stored["original"]) if "original" in stored else None,
    )


def for_what(line: StatementLine) -> str:
    """Say which other month a statement's line is for and what it changes of it; empty for its own."""
    kept = Line(
        service="",
        source="",
        natural_account="",
        figures=Figures(),
        for_month=line.for_month if line.for_month != str(line.statement.period) else "",
        correction=_correction(line.kind),
    )
    return kept.for_what


def _correction(kind: str) -> str:
    """Say what a line changes of a month, where it is no plain charge."""
    return PayerLine.Kind(kind).label if kind == PayerLine.Kind.LATE or kind in PayerLine.ENTERED else ""


def _figures(line: StatementLine) -> Figures:
    return Figures(line.list_cost, line.contracted_cost, line.charged)


def _content(
    planned: _Planned, lines: Sequence[PayerLine], policy: Policy, fund_names: dict[str, str]
) -> dict[str, Any]:
    """Return the names and texts as they stand today: the statement keeps them."""
    pi, project = planned.pi, planned.project
    return {
        "institution": policy.institution,
        "department": policy.department,
        "address": [line.strip() for line in policy.address.splitlines() if line.strip()],
        "contact_name": policy.contact_name,
        "contact_email": policy.contact_email,
        "contact_phone": policy.contact_phone,
        "footer": policy.statement_footer,
        "pi_name": pi.display_name,
        "pi_email": pi.email,
        "pi_department": pi.department,
        "project_code": project.code if project else "",
        "project_name": project.name if project else "",
        "fund_names": {line.fund_org: fund_names[line.fund_org] for line in lines if line.fund_org in fund_names},
        "reference_labels": reference_labels(policy.tag_keys),
        "showback": sorted({line.source.name for line in lines if not line.source.is_journaled}),
    }


def _digest(planned: _Planned, currency: str) -> str:
    """Return the SHA-256 of the figures, payers and texts for which a statement is revised when they change."""
    printed = {
        "content": {key: planned.content[key] for key in IN_DIGEST},
        "currency": currency,
        "lines": [
            [
                line.payer_key,
                line.for_month,
                line.fund_org,
                line.source_name,
                line.natural_account,
                line.service_name,
                plain(line.list_cost),
                plain(line.contracted_cost),
                plain(line.charged),
                line.charge_count,
                line.resources,
                # Only where there is one, so that statements from before there were shared costs stay as they are.
                *([plain(line.shared_total)] if line.shared_total is not None else []),
                *([line.reference_1, line.reference_2] if line.reference_1 or line.reference_2 else []),
                *([line.original] if line.original else []),
            ]
            for line in planned.lines
        ],
    }
    text = json.dumps(printed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _review_until(period: BillingPeriod) -> datetime.date | None:
    """Return the day until which PIs may ask; known while the month is in review."""
    return period.review_until if period.status == BillingPeriod.Status.REVIEW else None


def _issue(
    planned: Sequence[_Planned],
    *,
    period: BillingPeriod,
    actor: Actor,
    now: datetime.datetime,
    gesture: audit.Gesture,
) -> None:
    """Store new revisions and take the ones they replace out of force, all of them in a few statements."""
    currency = Policy.objects.current().currency
    old = [each.live for each in planned if each.live]
    for start in range(0, len(old), BATCH):
        # First, because only one statement of a reference may be in force at any time.
        Statement.objects.filter(pk__in=[each.pk for each in old[start : start + BATCH]]).update(
            state=Statement.State.SUPERSEDED, superseded_at=now
        )
    issued_on = timezone.localtime(now).date().isoformat()
    made = Statement.objects.bulk_create(
        [
            Statement(
                number=each.number,
                reference=each.reference,
                revision=each.revision,
                period=period,
                pi=each.pi,
                project=each.project,
                digest=each.digest,
                document={
                    **each.content,
                    "replaces": each.last_number,
                    "issued_on": issued_on,
                    "portal_url": settings.SITE_URL + reverse("portal:statement", args=[each.number]),
                },
                currency=currency,
                list_cost=each.figures.list_cost,
                contracted_cost=each.figures.contracted_cost,
                charged=each.figures.charged,
                corrections_list_cost=each.corrections.list_cost,
                corrections_contracted_cost=each.corrections.contracted_cost,
                corrections=each.corrections.charged,
                review_until=_review_until(period),
                issued_at=now,
                issued_by=actor.user,
            )
            for each in planned
        ],
        batch_size=BATCH,
    )
    lines = []
    for each, statement in zip(planned, made, strict=True):
        for line in each.lines:
            line.statement = statement
            lines.append(line)
        if each.live:
            before = each.live.state
            each.live.superseded_by = statement
            gesture.record(
                "statement.superseded",
                each.live,
                before={"state": before},
                after={"state": Statement.State.SUPERSEDED.value, "superseded_by": statement.number},
            )
        gesture.record(
            "statement.issued",
            statement,
            after={
                "digest": statement.digest,
                "list": plain(statement.list_cost),
                "contracted": plain(statement.contracted_cost),
                "charged": plain(statement.charged),
            },
        )
    StatementLine.objects.bulk_create(lines, batch_size=BATCH)
    Statement.objects.bulk_update(old, ["superseded_by"], batch_size=BATCH)


def _result(period: BillingPeriod, planned: Sequence[_Planned], held: Held, *, is_dry_run: bool) -> Generated:
    statements = tuple(
        Issued(
            number=each.number,
            revision=each.revision if each.is_new or not each.live else each.live.revision,
            pi=each.pi.email,
            pi_name=each.pi.display_name,
            project=each.project.code if each.project else "",
            fund_orgs=tuple(dict.fromkeys(line.fund_org for line in each.lines)),
            figures=each.figures,
            corrections=each.corrections,
            pdf="" if is_dry_run else str(settings.VAR_DIR / _pdf_path(str(period), each.number)),
            is_new=each.is_new,
            replaces=each.last_number if each.is_new else "",
        )
        for each in planned
    )
    issued = sum(each.is_new for each in planned)
    return Generated(
        period=str(period),
        currency=Policy.objects.current().currency,
        is_dry_run=is_dry_run,
        statements=statements,
        held=held,
        issued=issued,
        superseded=sum(each.is_new and each.live is not None for each in planned),
        unchanged=len(planned) - issued,
    )


def kept_files(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the PDFs that were drawn, which are drawn again where they are gone."""
    drawn = Statement.objects.exclude(pdf_path="").order_by("pk")
    for statement in drawn if period is None else drawn.filter(period=period):
        path = Path(settings.VAR_DIR) / statement.pdf_path
        url = reverse("admin:statements_statement_change", args=[statement.pk])
        yield Kept(f"Statement {statement.number}", path, statement.pdf_sha256, url, can_be_made_again=True)


def _pdf_path(period: str, number: str) -> str:
    return f"statements/{period}/{number}.pdf"


def _write_pdf(statement: Statement) -> bytes:
    """Draw a statement to its file, whole or not at all, and set its path and hash (unsaved)."""
    data = draw(document_of(statement))
    relative = _pdf_path(str(statement.period), statement.number)
    path = Path(settings.VAR_DIR) / relative
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_whole(path, data)
    statement.pdf_path = relative
    statement.pdf_sha256 = hashlib.sha256(data).hexdigest()
    return data
