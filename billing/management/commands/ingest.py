"""manage.py ingest: import files."""

import contextlib
import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import doors
from billing.commands import BillingCommand
from billing.files import piped
from billing.importing import inbox, planning
from billing.models import Source


class Command(BillingCommand):
    help = (
        "Import FOCUS files. Each is imported as a whole or not at all; files of the same source and month are parts "
        "of one import."
    )
    permission = "billing.import_charges"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "files", nargs="*", metavar="FILE", help="files, folders or manifests; - reads standard input"
        )
        parser.add_argument(
            "--inbox",
            metavar="DIR",
            help="import everything complete in this folder and put it into done or failed",
        )
        parser.add_argument(
            "--settle",
            type=int,
            default=int(inbox.SETTLE.total_seconds()),
            metavar="SECONDS",
            help="with --inbox: how long a file must have been unchanged (default: %(default)s)",
        )
        parser.add_argument("-s", "--source", metavar="SOURCE", help="the source of all files (default: by name)")
        parser.add_argument(
            "-p", "--period", default="", help="the expected period, such as 2025-01 or 2025-Q1 (default: by file name)"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and store nothing")
        parser.add_argument(
            "--replace", action="store_true", help="take the files as delivered: remove what they lack, and do not ask"
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="import for this source, though accounts or providers are not those of its earlier files",
        )

    def run(self, **options: Any) -> None:
        source = Source.objects.named(options["source"]) if options["source"] else None
        if options["inbox"]:
            self.run_inbox(source, options)
            return
        if not options["files"]:
            raise CommandError("Name the files to import, or a folder to watch with --inbox.", returncode=2)
        names: list[str] = options["files"]
        piped.check_names(names)
        with contextlib.ExitStack() as stack:
            is_piped = [piped.is_piped(name) for name in names]
            given = [
                planning.guessed(
                    path=stack.enter_context(piped.copied(name)) if through else Path(name),
                    name=piped.called(name) if through else Path(name).name,
                    source=source,
                    period=options["period"],
                    replace=options["replace"],
                    force=options["force"],
                )
                for name, through in zip(names, is_piped, strict=True)
            ]
            outcomes = planning.run(
                planned=planning.plan(given),
                dry_run=options["dry_run"],
                # What comes through a pipe lies in no folder, in which a manifest could name files.
                beside=not any(is_piped),
                actor=self.actor,
                now=self.now,
                progress=self.progress,
            )
        if len(given) == 1:
            self.tell_one(outcomes[0])
        else:
            self.tell_each(outcomes)

    def tell_one(self, outcome: planning.Outcome) -> None:
        """Report on the only file, or raise what refused it."""
        if outcome.refused:
            if self.as_json:
                self.report(outcome.as_data(), "")
            raise outcome.refused
        assert outcome.result
        self.report(outcome.as_data(), doors.with_commands(outcome.result.as_text(), outcome.next_steps))

    def tell_each(self, outcomes: list[planning.Outcome]) -> None:
        """Report on every import, and fail where one was refused."""
        texts = []
        for each in outcomes:
            text = each.result.as_text() if each.result else str(each.refused)
            texts.append(f"{', '.join(each.names)}:\n{doors.with_commands(text, each.next_steps)}")
        self.report({"imports": [each.as_data() for each in outcomes]}, "\n\n".join(texts))
        if any(each.refused for each in outcomes):
            raise planning.SomeRefused(outcomes)

    def run_inbox(self, source: Source | None, options: dict[str, Any]) -> None:
        if options["files"] or options["period"] or options["dry_run"] or options["replace"] or options["force"]:
            raise CommandError("--inbox goes with --source and --settle only.", returncode=2)
        taken = inbox.take_in(
            inbox=Path(options["inbox"]),
            settle=datetime.timedelta(seconds=options["settle"]),
            source=source,
            actor=self.actor,
            now=self.now,
            progress=self.progress,
        )
        self.report(taken.as_data(), taken.as_text())
        said = []
        if failed := [each.name for each in taken.unsuccessful if each.outcome == inbox.FAILED]:
            said.append(f"Not imported: {', '.join(failed)}. The report beside each says why.")
        if waiting := [each.name for each in taken.unsuccessful if each.outcome == inbox.WAITING]:
            said.append(f"Waits for a decision: {', '.join(waiting)}. See `manage.py imports list --deferred`.")
        if kept := [each.name for each in taken.unsuccessful if each.outcome not in (inbox.FAILED, inbox.WAITING)]:
            said.append(f"Still in the inbox, and tried again by the next run: {', '.join(kept)}.")
        if said:
            raise CommandError(" ".join(said))
