"""The proof as people get it: with the rows responsible and its bridges; and frozen when a month is finalized."""

import datetime
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from django.db import transaction

from .. import audit
from ..audit import Actor
from ..errors import BillingError, NextStep
from ..files import documents
from ..files.writing import write_whole
from ..models import BillingPeriod, FrozenProof, Policy
from ..months import closing
from ..months.checklist import FINALIZE, PROOF, Item, State
from . import coverage, culprits, invoices, rereading
from .equations import exact_text
from .findings import About, Finding
from .proving import Proof, prove
from .verifying import Kept

FOLDER = "proofs"


class NotWritable(BillingError):
    """A file of a proof cannot be written where it was asked for."""


# Draws a proof's data as a PDF.
Drawer = Callable[[dict[str, Any]], bytes]
_drawer: list[Drawer] = []


def register_drawer(drawer: Drawer) -> None:
    """Have proofs drawn by `drawer`, of the app that has fonts; a later one takes its place."""
    _drawer[:] = [drawer]


@dataclass
class Report:
    """A proof with all that stands beside it, each part looked up once it is asked for."""

    proof: Proof

    @property
    def period(self) -> BillingPeriod:
        return self.proof.period

    @cached_property
    def culprits(self) -> list[Finding]:
        """The rows responsible where the proof does not reconcile."""
        return [] if self.proof.reconciles else culprits.culprits(self.proof)

    @cached_property
    def amortized(self) -> list[invoices.Amortized]:
        return invoices.amortized(self.proof.month)

    @cached_property
    def invoices(self) -> list[invoices.Bridge]:
        return invoices.bridges(self.proof.month)

    @cached_property
    def uncharged(self) -> list[coverage.Uncharged]:
        return coverage.uncharged(self.proof.month)

    def as_data(self) -> dict[str, Any]:
        """Return the whole as JSON keeps it: amounts as exact decimal text."""
        policy = Policy.objects.current()
        return {
            "institution": policy.institution,
            "status": self.period.status,
            **self.proof.as_data(),
            "culprits": [each.as_data() for each in self.culprits],
            "amortized": [_exact(vars(each)) for each in self.amortized],
            "invoices": [_exact(vars(each) | {"difference": each.difference}) for each in self.invoices],
            "uncharged": [_exact(vars(each) | {"about": each.about.as_data()}) for each in self.uncharged],
        }


def report(period: BillingPeriod) -> Report:
    """Return the proof of a period with all that stands beside it."""
    return Report(prove(period))


def freeze(period: BillingPeriod, gesture: audit.Gesture) -> None:
    """Keep the proof of a period that is being finalized, as JSON and PDF with their hashes.

    Both are in the database; their files appear below VAR_DIR/proofs once it is committed. Raises NotReadyToFinalize
    where it does not reconcile, or something is still to be charged, stated or journaled, or a charge does not say what
    was delivered.
    """
    made = report(period)
    proved = made.proof
    if not proved.is_complete:
        said = [*proved.problems(), *(f"{each.title} ({each.source}): {each.note}" for each in proved.open)]
        then = NextStep("proof", {"period": period.iso_month, "id": str(period.pk)})
        raise closing.NotReadyToFinalize(
            period, [Item(PROOF, State.BLOCKED, text, then=then, holds_up=(FINALIZE,)) for text in said]
        )
    if edited := rereading.edited(period):
        raise closing.NotReadyToFinalize(
            period, [Item(PROOF, State.BLOCKED, str(each), holds_up=(FINALIZE,)) for each in edited[: rereading.MOST]]
        )
    data = made.as_data() | {
        "seals": proved.seals(),
        "line_seals": proved.line_seals(),
        "frozen_at": gesture.now.isoformat(),
        "frozen_by": gesture.actor.name,
    }
    text = json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    pdf = draw(data)
    frozen = FrozenProof.objects.create(
        period=period,
        text=text,
        json_sha256=hashlib.sha256(text.encode()).hexdigest(),
        pdf=pdf,
        pdf_sha256=hashlib.sha256(pdf).hexdigest(),
        frozen_at=gesture.now,
        frozen_by=gesture.actor.name,
    )
    gesture.record(
        "proof.frozen",
        period,
        after={"json_sha256": frozen.json_sha256, "pdf_sha256": frozen.pdf_sha256},
    )
    transaction.on_commit(partial(write_files, frozen))


def draw(data: dict[str, Any]) -> bytes:
    """Return the PDF of a proof's data."""
    return _drawer[0](data) if _drawer else b""


def write_files(frozen: FrozenProof) -> None:
    """Write the files of a frozen proof, each whole or not at all; they can be written again."""
    documents.write(name_of(frozen, "json"), frozen.text.encode())
    documents.write(name_of(frozen, "pdf"), bytes(frozen.pdf))


def write_pdf(*, period: BillingPeriod, path: Path | None = None, actor: Actor, now: datetime.datetime) -> str:
    """Write the PDF of a month's proof, as frozen or as things stand; return where.

    Without a path that is the month's own file below VAR_DIR/proofs, marked as a draft until it is finalized.
    Raises NotWritable.
    """
    content = download(period=period, extension="pdf", actor=actor, now=now)
    is_frozen = FrozenProof.objects.filter(period=period).exists()
    own = f"{FOLDER}/proof-{period.iso_month}{'' if is_frozen else '-DRAFT'}.pdf"
    place = str(path or documents.place(own))
    try:
        if path:
            write_whole(path, content)
        else:
            documents.write(own, content)
    except OSError as error:
        raise NotWritable(f"{place} cannot be written: {error.strerror}.") from error
    return place


def name_of(frozen: FrozenProof, extension: str) -> str:
    """Return the name of a document of a frozen proof."""
    return f"{FOLDER}/proof-{frozen.period.iso_month}.{extension}"


def kept_files(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the files of frozen proofs, which are written again from the database."""
    frozen = FrozenProof.objects.defer("text", "pdf").select_related("period").order_by("period__month")
    for each in frozen if period is None else frozen.filter(period=period):
        for extension, sha256 in (("json", each.json_sha256), ("pdf", each.pdf_sha256)):
            what = f"Reconciliation of {each.period} as {extension.upper()}"
            about = About("billing.billingperiod", each.period_id)
            yield Kept(what, documents.place(name_of(each, extension)), sha256, about, can_be_made_again=True)


def json_of(period: BillingPeriod) -> bytes:
    """Return the JSON of a month's proof: as frozen, to the byte, or as things stand."""
    if frozen := FrozenProof.objects.filter(period=period).first():
        return frozen.text.encode()
    data = report(period).as_data()
    return (json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def pdf_of(period: BillingPeriod, *, now: datetime.datetime) -> bytes:
    """Return the PDF of a month's proof: as frozen, or as things stand."""
    if frozen := FrozenProof.objects.filter(period=period).first():
        return bytes(frozen.pdf)
    return draw(report(period).as_data() | {"made_at": now.isoformat()})


def download(*, period: BillingPeriod, extension: str, actor: Actor, now: datetime.datetime) -> bytes:
    """Return a month's proof as a file (json or pdf) that somebody takes along; the audit log notes it."""
    content = json_of(period) if extension == "json" else pdf_of(period, now=now)
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("proof.downloaded", period, after={"format": extension})
    return content


def _exact(values: dict[str, Any], currency: str | None = None) -> dict[str, Any]:
    """Write amounts as exact texts: of the currency beside them, or the one that each is under."""
    of: str | None = values.get("currency", currency)
    return {
        name: exact_text(value, of or name)
        if isinstance(value, Decimal)
        else _exact(value)
        if isinstance(value, dict)
        else value
        for name, value in values.items()
    }
