"""The PDFs of statements: drawn, kept, and drawn again where they are gone."""

import datetime
import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress

from billing import audit
from billing.audit import Actor
from billing.files import documents
from billing.models import (
    BillingPeriod,
)
from billing.progress import Progress, unwatched
from billing.proof import About
from billing.proof.verifying import Kept

from ..archival import Attachment
from ..drawing import draw
from ..models import Statement
from .charge_files import NAME as CHARGES
from .charge_files import ChargesDisposedOf, ChargesLost, charges_csv_of
from .documents import document_of

log = logging.getLogger(__name__)

# Statements drawn between two commits of their hashes, so that a crash loses little.
DRAWN_AT_ONCE = 100


def render_missing(
    *, period: BillingPeriod, actor: Actor, now: datetime.datetime, progress: Progress = unwatched
) -> int:
    """Draw every statement of a period whose PDF is not there, and return how many.

    Runs after the statements are committed and can be resumed: a file appears whole or not at all,
    and its hash is recorded after it.
    """
    there = documents.names_in(folder_of(period.iso_month))
    drawn = Statement.objects.filter(period=period).order_by("number").values_list("pk", "pdf_path")
    wanted = [pk for pk, path in drawn if path not in there]
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
    kept = b""
    if statement.pdf_path:
        with suppress(FileNotFoundError):
            kept = documents.read(statement.pdf_path)
    if kept:
        if hashlib.sha256(kept).hexdigest() == statement.pdf_sha256:
            return kept
        place = documents.place(statement.pdf_path)
        log.error("%s is not the file that was drawn: statement %s is drawn again.", place, statement.number)
    before = (statement.pdf_path, statement.pdf_sha256)
    data = _write_pdf(statement)
    if before != (statement.pdf_path, statement.pdf_sha256):
        Statement.objects.filter(pk=statement.pk).update(pdf_path=statement.pdf_path, pdf_sha256=statement.pdf_sha256)
    return data


def record_download(*, statement: Statement, what: str, actor: Actor, now: datetime.datetime) -> None:
    """Note that staff took a PI's document out of the system: `what` is pdf, csv or xlsx."""
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("statement.downloaded", statement, after={"format": what})


def kept_files(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the PDFs that were drawn, which are drawn again where they are gone."""
    drawn = Statement.objects.exclude(pdf_path="").order_by("pk")
    for statement in drawn if period is None else drawn.filter(period=period):
        about, place = About("statements.statement", statement.pk), documents.place(statement.pdf_path)
        yield Kept(f"Statement {statement.number}", place, statement.pdf_sha256, about, can_be_made_again=True)


def pdf_path(period: str, number: str) -> str:
    return f"{folder_of(period)}/{number}.pdf"


def folder_of(period: str) -> str:
    return f"statements/{period}"


def _write_pdf(statement: Statement) -> bytes:
    """Draw a statement to its file, whole or not at all, and set its path and hash (unsaved)."""
    data = draw(document_of(statement), _attached_to(statement))
    relative = pdf_path(statement.period.iso_month, statement.number)
    documents.write(relative, data)
    statement.pdf_path = relative
    statement.pdf_sha256 = hashlib.sha256(data).hexdigest()
    return data


def _attached_to(statement: Statement) -> list[Attachment]:
    """Return the file that a statement's PDF holds: its charges, so that one file is statement and evidence."""
    if not statement.charges_sha256:
        return []
    try:
        charges = charges_csv_of(statement)
    except ChargesDisposedOf:
        return []
    except ChargesLost:
        # Better a statement without its evidence than none. Its new hash tells, and the files are verified apart.
        log.exception("Statement %s is drawn without its charges.", statement.number)
        return []
    return [Attachment(CHARGES, charges, "text/csv", f"The charges behind statement {statement.number}")]
