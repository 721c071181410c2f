"""manage.py usage: read files of usage, price the months that they are of, and import the charges."""

import contextlib
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import doors
from billing.commands import BillingCommand
from billing.files import piped
from billing.models.periods import parse_month
from billing.usage import bringing, feeds


class Command(BillingCommand):
    help = (
        "Read files of usage (Slurm, storage, AI gateways, …), price their months by the feed's rate schedule, and "
        "import the charges. Without files, price a month again."
    )
    permission = "billing.take_usage"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", metavar="FILE", help="files of usage; - reads standard input")
        parser.add_argument("-f", "--feed", required=True, metavar="FEED", help="the usage feed that they are of")
        parser.add_argument("-p", "--period", metavar="2026-01", help="without files: the month to price again")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and store nothing")

    def run(self, **options: Any) -> None:
        feed = feeds.named(options["feed"])
        names: list[str] = options["files"]
        if bool(names) == bool(options["period"]):
            raise CommandError("Name files to read, or a month to price again with --period.", returncode=2)
        if names:
            brought = self._bring_in(names, feed, options)
        else:
            try:
                month = parse_month(options["period"])
            except ValueError as error:
                raise CommandError(str(error), returncode=2) from error
            brought = bringing.price_again(
                feed=feed,
                month=month,
                dry_run=options["dry_run"],
                actor=self.actor,
                now=self.now,
                progress=self.progress,
            )
        self.report(brought.as_data(), doors.with_commands(brought.as_text(), brought.next_steps))
        if brought.failed:
            raise bringing.SomeMonthsFailed(brought)
        if waiting := [each.refused for each in brought.months if each.refused]:
            raise waiting[0]

    def _bring_in(self, names: list[str], feed: Any, options: dict[str, Any]) -> bringing.Brought:
        piped.check_names(names)
        with contextlib.ExitStack() as stack:
            through = [piped.is_piped(name) for name in names]
            paths = [
                stack.enter_context(piped.copied(name)) if is_piped else Path(name)
                for name, is_piped in zip(names, through, strict=True)
            ]
            return bringing.bring_in(
                paths=paths,
                names=[
                    piped.called(name) if is_piped else Path(name).name
                    for name, is_piped in zip(names, through, strict=True)
                ],
                feed=feed,
                dry_run=options["dry_run"],
                actor=self.actor,
                now=self.now,
                progress=self.progress,
            )
