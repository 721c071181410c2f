"""Dispose of the detail of past fiscal years."""

import argparse
import re
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from billing.commands import BillingCommand, table
from billing.fiscal_years import label_of
from billing.models import Disposal
from billing.texts import long_month, month_name
from openchargeback import disposing
from openchargeback.disposing import Line

HEADINGS = ["what", "month", "files", "bytes"]


class Command(BillingCommand):
    help = (
        "Remove the detail of the fiscal years before one permanently: files as received, usage records, charges "
        "attached to statements, and e-mails as sent. Totals, hashes and the audit log stay. Legal holds and awards "
        "are honored."
    )
    permission = "billing.dispose_records"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--before", type=_fiscal_year, required=True, metavar="FY2019", help="the first fiscal year that is kept"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would go and what is held back")

    def run(self, **options: Any) -> None:
        if options["dry_run"]:
            plan = disposing.plan(before=options["before"], now=self.now)
            going, held = disposing.summed(plan.items), disposing.summed(plan.held_back)
            told = f"Detail before {label_of(plan.before)} (before {long_month(plan.first_kept)})."
            self.report(
                {
                    "dry_run": True,
                    "before": plan.before,
                    "first_kept": plan.first_kept,
                    "removed": [each.as_data() for each in going],
                    "files": [each.name for each in plan.items],
                    "held_back": [each.as_data() for each in held],
                },
                "\n".join(
                    [told, *(_told(going, held, "Would be removed") or ["There is none."]), "Nothing was changed."]
                ),
            )
            return
        done = disposing.dispose(before=options["before"], actor=self.actor, now=self.now, progress=self.progress)
        held = disposing.summed(done.plan.held_back)
        lines = [f"Finished what an earlier run began: {_certified(each)}" for each in done.finished]
        if done.disposal:
            going = disposing.lines_of(done.disposal.files.all())
            lines += [*_told(going, held, "Removed"), _certified(done.disposal)]
        else:
            lines += [*_told([], held, "Removed"), f"Nothing before {label_of(options['before'])} can be removed."]
        self.report(
            {
                "dry_run": False,
                "before": options["before"],
                "finished": [_as_data(each) for each in done.finished],
                "certificate": _as_data(done.disposal) if done.disposal else None,
                "removed": [each.as_data() for each in going] if done.disposal else [],
                "held_back": [each.as_data() for each in held],
            },
            "\n".join(lines),
        )


def _fiscal_year(text: str) -> int:
    if found := re.fullmatch(r"(?:FY)?(\d{4})", text, re.IGNORECASE):
        return int(found[1])
    raise argparse.ArgumentTypeError(f"“{text}” is not a fiscal year, such as FY2019")


def _told(going: Sequence[Line], held: Sequence[Line], verb: str) -> list[str]:
    parts = []
    if going:
        parts.append(f"{verb} ({filesizeformat(sum(each.size for each in going))}):\n{_table(going)}")
    if held:
        rows = [[*_row(each), each.why] for each in held]
        parts.append(f"Held back:\n{table(rows, [*HEADINGS, 'why'], right={2, 3})}")
    return parts


def _table(lines: Sequence[Line]) -> str:
    return table([_row(each) for each in lines], HEADINGS, right={2, 3})


def _row(line: Line) -> list[str]:
    return [line.label, month_name(line.month), f"{line.files:,}", f"{line.size:,}"]


def _certified(disposal: Disposal) -> str:
    return f"Certificate {disposal.pk} is on the page Disposals. Its SHA-256 is {disposal.sha256}."


def _as_data(disposal: Disposal) -> dict[str, Any]:
    return {"number": disposal.pk, "sha256": disposal.sha256, "text": disposal.certificate}
