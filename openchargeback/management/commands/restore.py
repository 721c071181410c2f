"""Restore a backup into an empty installation."""

import argparse
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

from billing import audit
from billing.audit import anchors
from billing.commands import BillingCommand, moment
from openchargeback import backups
from openchargeback.backups import Restored


class Command(BillingCommand):
    help = (
        "Restore a backup into the database of DATABASE_URL and into VAR_DIR, both of them empty. All of the backup is "
        "verified before anything is changed."
    )
    permission = "billing.change_user"
    # There are no tables yet to check.
    requires_system_checks: list[str] = []
    needs_initialize = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", type=Path, help="the file of a backup")

    def run(self, **options: Any) -> None:
        path: Path = options["source"]
        restored = backups.restore(path, progress=self.progress)
        self.progress.close()
        call_command("initialize", stdout=StringIO())
        restored = backups.settle(restored, path=path, actor=self.actor, now=self.now)
        verified = audit.verify(anchor=anchors.default_path(), progress=self.progress)
        manifest = restored.manifest
        self.report(
            {
                "moment": manifest.moment,
                "version": manifest.version,
                "rows": manifest.row_count,
                "files": len(manifest.files),
                "events": manifest.events,
                "audit_whole": verified.is_whole,
                "jobs_canceled": restored.jobs_canceled,
                "emails_in_doubt": restored.emails_in_doubt,
                "lacking": list(manifest.lacking),
            },
            _as_text(restored),
        )
        if not verified.is_whole:
            said = " ".join(each.message for each in verified.breaks[:3])
            raise CommandError(f"All was restored, and the audit log in the backup is not whole. {said}")


def _as_text(restored: Restored) -> str:
    manifest = restored.manifest
    lines = [
        f"Restored: {manifest.row_count:,} rows, {len(manifest.files):,} files and {manifest.events:,} events of the "
        "audit log, which is whole.",
        f"This is the installation as of {moment(manifest.moment)}. What was done after that is lost: imports, "
        "reviews, statements, journals. Import the files of that time again.",
    ]
    if manifest.lacking:
        lines.append(f"The backup lacked files: {' '.join(manifest.lacking[:5])}")
    if restored.jobs_canceled:
        lines.append(f"Jobs that waited then are canceled: {restored.jobs_canceled}. See `manage.py jobs list`.")
    if restored.emails_in_doubt:
        lines.append(
            f"E-mails that waited then may have been sent since: {restored.emails_in_doubt}. They are in doubt, and "
            "a person decides about each."
        )
    if not restored.is_same_version:
        lines.append(f"Version {manifest.version} made the backup; its tables were brought up to date.")
    lines += [
        "Everybody signs in anew. The settings come from your .env, which is in no backup.",
        "Next: `manage.py verify_files`, `manage.py proof` and `manage.py replay` for each month, `manage.py doctor`, "
        "then `manage.py serve`.",
    ]
    return "\n".join(lines)
