"""The file that accounts receivable gets: the draft's, or that of what is submitted with it."""

import datetime
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Max
from django.utils import timezone

from billing import audit, charging
from billing.audit import Actor, Gesture
from billing.background import jobs
from billing.errors import NextStep, WrongState
from billing.files import documents
from billing.files.places import Place
from billing.models import BillingPeriod, Job, Policy
from billing.money import ZERO
from billing.months import closing
from billing.progress import Progress
from billing.texts import month_name

from ..filing import OutputRefused, Staged, whole_files
from ..models import CustomerInvoice, ReceivablesExport
from ..posting import Download, DraftOutdated, FileMissing, NothingToSubmit
from .documents import FORMATS, write
from .drafting import facts, is_outdated, outstanding, redraft

DRAFT = "DRAFT"
# On PostgreSQL, numbers of invoices are given out under an advisory lock of this number.
NUMBERS_LOCK = 7_105_002


@dataclass(frozen=True)
class Exported:
    """An export's file, and what is in it; without one where nothing was left to invoice."""

    period: str
    currency: str
    export: ReceivablesExport | None
    file: Path | Place | None

    @property
    def told(self) -> str:
        """What came of it, in words."""
        if self.export is None:
            return f"Nothing to invoice for {month_name(self.period)}: all of it is on submitted invoices already."
        if self.export.state == ReceivablesExport.State.DRAFT:
            return f"Draft {self.export} of receivables is made. Check it, then submit it."
        return f"Receivables {self.export} are submitted: their invoices are numbered and locked."

    @property
    def total(self) -> Decimal:
        return self.export.total if self.export else ZERO


def export(
    *,
    period: BillingPeriod,
    output: Path | None = None,
    submit: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Exported:
    """Draft a period's invoices from today's charges and write their file; with `submit`, number and freeze them.

    Payer lines are brought up to date first, except in a finalized period, where they are locked. The file goes to
    `output`, .csv or .xlsx, or below VAR_DIR/receivables; a submitted export's is kept there always, as CSV.

    Raises OutputRefused, NothingToSubmit, and the errors of `charging.make_payer_lines`; then nothing is changed.
    """
    output = _output_named(output, submit=submit)
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        if period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        made = redraft(period, gesture)
        currency = Policy.objects.current().currency
        if made is None:
            if submit:
                raise NothingToSubmit(f"There is nothing to invoice for {period}: all of it is on submitted invoices.")
            return Exported(period.iso_month, currency, None, None)
        if submit:
            _freeze(made, staged, gesture)
        else:
            gesture.record("receivables.exported", made, after={"invoices": made.invoice_count})
        if output:
            staged.add(output, write(made, output.suffix.lower().removeprefix(".")))
        elif not submit:
            staged.keep(_own_file(made), write(made, "csv"))
        return Exported(period.iso_month, currency, made, output or documents.where(_own_file(made)))


def export_later(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker draft the period's invoices; who asks while it does gets the same job."""
    arguments = {"period": period.iso_month}
    return jobs.enqueue(kind=Job.Kind.INVOICE, subject=period.iso_month, arguments=arguments, actor=actor, now=now)


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Draft invoices as a background job. `arguments`: period."""
    exported = export(period=BillingPeriod.objects.named(arguments["period"]), actor=actor, now=now)
    return {"message": exported.told, "then": NextStep("list_receivables").as_data()}


def submit(*, export: ReceivablesExport, actor: Actor, now: datetime.datetime) -> ReceivablesExport:
    """Number and freeze the invoices of a draft as it was seen, and keep its file.

    Raises WrongState for what is no draft, and DraftOutdated where today's charges would make another.

    1. The month is locked, so that its charges change under nobody else.
    2. The draft is locked, so that it is submitted once.
    3. What customers owe today is compared with it, then its invoices get their numbers.
    """
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(export.period)
        drafts = ReceivablesExport.objects.select_for_update(of=("self",), no_key=True).select_related("period")
        made = drafts.get(pk=export.pk)
        if made.state != ReceivablesExport.State.DRAFT:
            raise WrongState(f"Receivables {made} are submitted already.")
        if period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        if is_outdated(made, outstanding(period)):
            raise DraftOutdated(
                f"Charges or customers changed since {made} was drafted. Draft it again, check it, and submit it.",
                then=NextStep("export_receivables", {"period": period.iso_month}),
            )
        _freeze(made, staged, gesture)
        return made


def download(*, export: ReceivablesExport, form: str, actor: Actor, now: datetime.datetime) -> Download:
    """Hand out an export's file in one of FORMATS, and record it in the audit log. Raises FileMissing."""
    with audit.gesture(actor=actor, now=now) as gesture:
        name = f"{Path(_own_name(export)).stem}.{form}"
        content = content_of(export) if form == "csv" else write(export, form)
        gesture.record("receivables.downloaded", export, after={"file": name})
        return Download(name, content)


def content_of(export: ReceivablesExport) -> bytes:
    """Return an export's CSV file; one that a crash kept from appearing is made again from the frozen lines.

    Raises FileMissing where it is not the one that was submitted.
    """
    if not export.file_sha256:
        return write(export, "csv")
    try:
        content = documents.read(export.file_path)
    except FileNotFoundError:
        content = write(export, "csv")
        if _sha256(content) == export.file_sha256:
            documents.write(export.file_path, content)
    if _sha256(content) != export.file_sha256:
        raise FileMissing(
            f"The file {Path(export.file_path).name} is not the one that was submitted as {export} (SHA-256 "
            f"{export.file_sha256[:12]}…): restore it from a backup."
        )
    return content


def _freeze(export: ReceivablesExport, staged: Staged, gesture: Gesture) -> None:
    """Number a draft's invoices, keep its file, and stamp it."""
    number = _next_invoice_number()
    for invoice in export.invoices.order_by("position"):
        invoice.number, invoice.date = number, timezone.localdate(gesture.now)
        invoice.save(update_fields=["number", "date"])
        number += 1
    export.state = ReceivablesExport.State.SUBMITTED
    export.submitted_at, export.submitted_by = gesture.now, gesture.actor.user
    content = write(export, "csv")
    export.file_path = _own_file(export)
    staged.keep(export.file_path, content)
    export.file_sha256 = _sha256(content)
    export.save()
    gesture.record("receivables.submitted", export, before={"state": "draft"}, after=facts(export))


def _next_invoice_number() -> int:
    """Return the number after the last invoice's: none is left out, for it is given with what is submitted, or not.

    On SQLite the transaction holds the only write lock already.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [NUMBERS_LOCK])
    last: int | None = CustomerInvoice.objects.aggregate(last=Max("number"))["last"]
    return (last or 0) + 1


def _own_name(export: ReceivablesExport) -> str:
    mark = f"-{DRAFT}" if export.state == ReceivablesExport.State.DRAFT else ""
    return f"{export.number}{mark}.csv"


def _own_file(export: ReceivablesExport) -> str:
    """Return the name of its document."""
    return f"receivables/{export.period.iso_month}/{_own_name(export)}"


def _output_named(output: Path | None, *, submit: bool) -> Path | None:
    """Return the file to write: a draft's name says DRAFT, a submitted one's does not. Raises OutputRefused."""
    if output is None:
        return None
    if output.suffix.lower().removeprefix(".") not in FORMATS:
        raise OutputRefused(f"{output.name} is no CSV file or spreadsheet: name a file that ends in .csv or .xlsx.")
    if DRAFT in output.stem.upper():
        if submit:
            raise OutputRefused(f"{output.name} is named for a draft, and submitted invoices are none.")
    elif not submit:
        output = output.with_name(f"{output.stem}-{DRAFT}{output.suffix}")
    if output.is_dir() or not output.parent.is_dir():
        # The same refusal as when it is written, before any work is done.
        Staged().add(output, b"")
    return output


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
