"""Say whether the audit log is as it was written."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import audit, disposals
from billing.audit import anchors, verifications
from billing.audit.chaining import Verified
from billing.commands import BillingCommand


class Command(BillingCommand):
    help = (
        "Read the whole audit log and find any edit, deletion, insertion or reordering, and an end that was cut "
        "off. Ends with 1 where anything is not as it was written."
    )
    permission = "billing.view_auditevent"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor",
            type=Path,
            metavar="FILE",
            help="the heads noted outside the database, such as a copy kept on another machine "
            "(default: AUDIT_ANCHOR, or audit-head in VAR_DIR)",
        )

    def run(self, **options: Any) -> None:
        path = options["anchor"] or anchors.default_path()
        found = audit.verify(anchor=path, progress=self.progress)
        certificates = disposals.verify()
        # Whoever may only read the files verifies all the same.
        with contextlib.suppress(OSError):
            verifications.note(found, now=self.now)
        self.report(
            {
                "whole": found.is_whole,
                "events": found.events,
                "hash": found.hash,
                "breaks": [dataclasses.asdict(each) for each in found.breaks],
                "further_breaks": found.further,
                "warnings": found.warnings,
                "disposals": [each.as_data() for each in certificates],
                "anchor": {"file": path, "at": found.anchor and found.anchor.at, "lag": found.lag},
            },
            "\n".join([as_text(found, path), *map(str, certificates)]),
        )
        if not found.is_whole:
            number = len(found.breaks) + found.further
            raise CommandError(
                f"The audit log is not as it was written: {number:,} {'break' if number == 1 else 'breaks'}. Keep "
                "the database and its backups as they are, and compare them."
            )
        if altered := [each for each in certificates if each.is_altered]:
            raise CommandError(
                f"{len(altered)} of {len(certificates)} certificates of disposal are not as they were written. Keep "
                "the database and its backups as they are, and compare them."
            )


def as_text(found: Verified, path: Path) -> str:
    """What was found, break by break."""
    if found.is_whole:
        lines = [f"The audit log is whole: {found.events:,} events, each following the one before it."]
        if found.anchor:
            lines.append(f"It agrees with the heads noted in {path}, the last on {found.anchor.when}.")
        if found.anchor and found.lag:
            lines.append(f"The notes lag: {found.lag:,} events came after the last of them.")
        lines += found.warnings
        if found.events:
            lines.append(f"The hash of the last is {found.hash}.")
        return "\n".join(lines)
    lines = [f"{each.kind}: {each.message}" for each in found.breaks]
    return "\n".join([*lines, *([f"… and {found.further:,} more."] if found.further else []), *found.warnings])
