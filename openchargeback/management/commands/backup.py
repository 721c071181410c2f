"""Back up this installation, or look at the backups there are."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management import CommandError
from django.template.defaultfilters import filesizeformat

from billing.commands import BillingCommand, moment, table
from openchargeback import backups
from openchargeback.backups import Kept, Manifest


class Command(BillingCommand):
    help = (
        "Write a backup into a folder: the database, the files and the head of the audit log, in one file. It may run "
        "while people work and imports run, and is read back before it gets its name."
    )
    permission = "billing.change_user"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("target", type=Path, help="the folder, on another disk; with --verify a backup in it")
        asked = parser.add_mutually_exclusive_group()
        asked.add_argument("--verify", action="store_true", help="read a backup and compare every hash, and no more")
        asked.add_argument("--list", action="store_true", dest="listed", help="list the backups in the folder")
        parser.add_argument("--keep", type=_positive, metavar="N", help="then remove all but the newest N")
        parser.add_argument("--keep-days", type=_positive, metavar="N", help="then remove those older than N days")

    def execute(self, *args: Any, **options: Any) -> str | None:
        # What lies in a folder can be looked at on any machine, with a database or without.
        self.needs_initialize = not (options["verify"] or options["listed"])
        return super().execute(*args, **options)

    def run(self, **options: Any) -> None:
        target: Path = options["target"]
        retained = options["keep"] or options["keep_days"]
        if (options["verify"] or options["listed"]) and retained:
            raise CommandError("--keep and --keep-days remove old backups once a new one is made, and not otherwise.")
        if options["verify"]:
            self._verify(target)
        elif options["listed"]:
            self._list(target)
        else:
            self._back_up(target, options)

    def _back_up(self, folder: Path, options: dict[str, Any]) -> None:
        made = backups.back_up(folder, actor=self.actor, now=self.now, progress=self.progress)
        removed = backups.remove_old(
            made.path.parent,
            installation=made.manifest.installation,
            number=options["keep"],
            days=options["keep_days"],
            now=self.now,
        )
        lines = [
            f"Backed up to {made.path} ({filesizeformat(made.size)}), and read back.",
            _told(made.manifest),
            f"SHA-256 {made.sha256}",
            *([f"Removed: {', '.join(each.name for each in removed)}."] if removed else []),
            "Not in it: .env with SECRET_KEY, DATABASE_URL and the like. Keep that too. Sessions are left out.",
        ]
        self.report(
            {
                "file": str(made.path),
                "size": made.size,
                "sha256": made.sha256,
                "removed": [str(each) for each in removed],
                **_as_data(made.manifest),
            },
            "\n".join(lines),
        )
        _require_complete(made.manifest)

    def _verify(self, path: Path) -> None:
        manifest = backups.verify(path, progress=self.progress)
        self.report(
            {"file": str(path), **_as_data(manifest)},
            f"{path} is as it was written on {moment(manifest.moment)}.\n{_told(manifest)}",
        )
        _require_complete(manifest)

    def _list(self, folder: Path) -> None:
        found = backups.kept_in(folder)
        rows = [
            [each.path.name, moment(each.manifest.moment), each.manifest.version, *_figures(each.manifest)]
            if each.manifest
            else [each.path.name, "not whole", "", "", "", ""]
            for each in found
        ]
        headings = ["file", "as of", "version", "rows", "files", "events"]
        self.report(
            {"backups": [_listed(each) for each in found]},
            table(rows, headings, right={3, 4, 5}) if found else f"There is no backup in {folder}.",
        )


def _positive(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"“{text}” is not a number, 1 or more")


def _told(manifest: Manifest) -> str:
    rows, files, events = _figures(manifest)
    return (
        f"It has {rows} rows of {len(manifest.rows)} tables, {files} {'file' if files == '1' else 'files'} "
        f"({filesizeformat(manifest.file_size)}) and {events} events of the audit log."
    )


def _figures(manifest: Manifest) -> list[str]:
    return [f"{manifest.row_count:,}", f"{len(manifest.files):,}", f"{manifest.events:,}"]


def _listed(kept: Kept) -> dict[str, Any]:
    told = {"file": str(kept.path), "size": kept.size, "whole": kept.manifest is not None, "problem": kept.problem}
    return told | (_as_data(kept.manifest) if kept.manifest else {})


def _as_data(manifest: Manifest) -> dict[str, Any]:
    return {
        "moment": manifest.moment,
        "version": manifest.version,
        "database": manifest.database,
        "rows": manifest.row_count,
        "files": len(manifest.files),
        "events": manifest.events,
        "head": manifest.head,
        "lacking": list(manifest.lacking),
    }


def _require_complete(manifest: Manifest) -> None:
    """End with 1 where the database names files that could not be backed up as they were received."""
    if lacking := manifest.lacking:
        more = f" And {len(lacking) - 5} more." if len(lacking) > 5 else ""
        raise CommandError(
            f"Files that the database names could not be backed up: {' '.join(lacking[:5])}{more} All else is in the "
            "backup. `manage.py verify_files` says where they belong."
        )
