"""Rebuilding a period in a scratch database, and the first figure that is not the same."""

import os
import secrets
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from .. import scratch, tracing
from ..models import BillingPeriod
from ..money import ZERO, plain
from ..texts import month_name
from .figures import Difference, Figures, digest_of, figures_of
from .recording import NotReplayable, imports_of, record
from .repricing import Repriced, reprice


@dataclass(frozen=True)
class Replayed:
    """What came of a replay. The digests are SHA-256 of the figures in canonical text: equal, byte for byte, or not."""

    period: str
    imports: int
    charges: int
    lines: int
    charged: Decimal
    stored_digest: str
    rebuilt_digest: str
    differences: int
    first: Difference | None
    kept: str
    usage: Repriced

    @property
    def is_equal(self) -> bool:
        return self.first is None

    def as_data(self) -> dict[str, Any]:
        return {
            "period": self.period,
            "equal": self.is_equal,
            "imports": self.imports,
            "charges": self.charges,
            "lines": self.lines,
            "charged": self.charged,
            "stored_digest": self.stored_digest,
            "rebuilt_digest": self.rebuilt_digest,
            "differences": self.differences,
            "first": {
                "of": self.first.of,
                "figure": self.first.figure,
                "stored": self.first.stored,
                "rebuilt": self.first.rebuilt,
            }
            if self.first
            else None,
            "kept": self.kept or None,
            "usage": self.usage.as_data() if self.usage.months else None,
        }

    def as_text(self) -> str:
        told = (
            f"{month_name(self.period)} rebuilt from {self.imports:,} imports: {self.charges:,} charges, "
            f"{self.lines:,} payer lines, {plain(self.charged)} charged."
        )
        told = "\n".join(filter(None, (self.usage.as_text(), told)))
        if self.first is None:
            lines = [told, f"Byte for byte what is stored: SHA-256 {self.stored_digest}."]
        else:
            lines = [
                told,
                f"Not what is stored: {self.differences:,} differ. The first:",
                f"  {self.first}",
                f"  SHA-256 of the figures: stored {self.stored_digest}, rebuilt {self.rebuilt_digest}.",
            ]
        if self.kept:
            lines.append(f"The scratch database is kept: {self.kept}")
        return "\n".join(lines)


def replay(*, period: BillingPeriod, keep: Path | None = None) -> Replayed:
    """Rebuild a period from its stored files and what was recorded, and compare it with what is stored.

    Usage is priced again first, and its rows compared: they are what is imported. The rebuilding runs in a process of
    its own with a scratch database and a folder of its own; here nothing is written. Compared are the imports' totals,
    the charges of the month and its payer lines, and once the month is closed the lines of its statements and journals
    with the rebuilt payer lines. With `keep` the scratch database stays in that folder.

    Raises NotReplayable: a stored file is missing or not what it was, or a step cannot be taken again.
    """
    imports = imports_of(period)
    usage = reprice(period, imports)
    with ExitStack() as stack:
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replay-"))).resolve()
        else:
            folder = keep.resolve()
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise NotReplayable(f"The folder {folder} is not empty. Name an empty one, or one that is not there.")
        record(period, folder)
        rebuilt = _rebuilt(folder)
    stored = figures_of(period, [each.pk for each in imports])
    found = [*usage.differences, *differences_of(stored, rebuilt)]
    if not found and not period.takes_changes:
        found = _documents_differing(period, rebuilt)
    lines = [figures for name, figures in rebuilt.items() if name.startswith("payer line ")]
    return Replayed(
        period=period.iso_month,
        imports=len(imports),
        charges=sum(name.startswith("charge ") for name in rebuilt),
        lines=len(lines),
        charged=sum((Decimal(figures["charged"]) for figures in lines), ZERO),
        stored_digest=digest_of(stored),
        rebuilt_digest=digest_of(rebuilt),
        differences=len(found),
        first=found[0] if found else None,
        kept=str(keep) if keep else "",
        usage=usage,
    )


def differences_of(stored: Figures, rebuilt: Figures) -> list[Difference]:
    """Return every figure that is not the same on both sides, in order: imports and charges, then payer lines."""
    found = []
    for name in sorted({*stored, *rebuilt}):
        mine, other = stored.get(name), rebuilt.get(name)
        if mine is None or other is None:
            found.append(Difference(name, "it", "there" if mine else "", "there" if other else ""))
            continue
        for figure in sorted({*mine, *other}):
            if mine.get(figure) != other.get(figure):
                found.append(Difference(name, figure, str(mine.get(figure, "")), str(other.get(figure, ""))))
    # A charge explains the import's and the line's figures, so that it comes first.
    return sorted(found, key=lambda each: (not each.of.startswith("charge "), each.of.startswith("payer line ")))


def _rebuilt(folder: Path) -> Figures:
    """Have the scratch process rebuild what was recorded in a folder; return its figures."""
    told = scratch.answer_of(
        "billing.replay.rebuilding",
        folder,
        answer="rebuilt.json",
        environment={
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "openchargeback.settings"),
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DEBUG": "false",
            "STORAGE_BUCKET": "",
        },
        unanswered=lambda errors: NotReplayable(f"The replay ended without an answer: {errors}"),
    )
    if problem := told.get("problem"):
        raise NotReplayable(f"The period cannot be rebuilt. {problem}")
    figures: Figures = told["figures"]
    return figures


def _documents_differing(period: BillingPeriod, rebuilt: Figures) -> list[Difference]:
    """Return the lines of statements in force, and the payer lines of live journals, that say something else."""
    prefix = "payer line "
    due = {
        name.removeprefix(prefix): Decimal(each["charged"]) for name, each in rebuilt.items() if name.startswith(prefix)
    }
    found = []
    journaled: dict[str, Decimal] = defaultdict(Decimal)
    for line in sorted(tracing.holding(period, list(due)), key=lambda each: (each.number, each.line)):
        if not line.stands or not line.is_payer:
            continue
        if line.kind == "statement":
            if line.amount != due[line.payer_key]:
                found.append(
                    Difference(f"statement line {line.name}", "charged", plain(line.amount), plain(due[line.payer_key]))
                )
        else:
            journaled[line.payer_key] += line.amount
    found += [
        Difference(f"journal lines of {key}", "charged", plain(amount), plain(due[key]))
        for key, amount in sorted(journaled.items())
        if amount != due[key]
    ]
    return found
