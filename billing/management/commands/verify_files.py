"""Say whether the files that were kept are the ones that came or were made."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, period_named
from billing.files.places import MIB
from billing.proof.verifying import Verified, verify


class Command(BillingCommand):
    help = (
        "Read the files that were kept (files as received, statements, journals, proofs) and compare the SHA-256 "
        "of each with the one recorded. Ends with 1 where one is gone or is not the one that was recorded."
    )
    permission = "billing.view_import"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", metavar="2025-01", help="only the files of this billing period")

    def run(self, **options: Any) -> None:
        period = period_named(options["period"]) if options["period"] else None
        found = verify(period, progress=self.progress)
        self.report(
            {
                "whole": not found.altered,
                "files": found.files,
                "disposed": found.disposed,
                "bytes": found.size,
                "altered": [{"what": each.what, "file": str(each.place), "text": each.text} for each in found.altered],
            },
            as_text(found),
        )
        if found.altered:
            number = len(found.altered)
            raise CommandError(
                f"{number:,} {'file is' if number == 1 else 'files are'} not as recorded. Put back what a backup of "
                "VAR_DIR has, and verify again."
            )


def as_text(found: Verified) -> str:
    """What was found, file by file."""
    if found.altered:
        return "\n".join(str(each) for each in found.altered)
    if not found.files:
        return "No files are kept yet."
    there = found.files - found.disposed
    files = "1 file is" if there == 1 else f"{there:,} files are"
    told = f"{files} as recorded ({found.size / MIB:,.1f} MiB read)."
    return f"{told} {found.disposed:,} more were disposed of." if found.disposed else told
