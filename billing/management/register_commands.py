"""What the commands of lists share: load one from a spreadsheet, and write it to one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from ..commands import BillingCommand, subcommands
from ..files import piped
from ..files.writing import whole
from ..setup import registers
from ..setup.registers import Register
from ..sheets import FORMATS

# Changes that a terminal shows of a preview, as many as a person reads.
SHOWN = 20


class RegisterCommand(BillingCommand):
    """A command about a list that people keep in spreadsheets; a subclass may have further verbs."""

    register: ClassVar[Register]

    def permissions(self, options: Any) -> tuple[str, ...]:
        if options["verb"] == "load":
            return self.register.permissions
        return (self.register.view_permission,) if options["verb"] == "export" else super().permissions(options)

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        several = self.register.nouns[1]
        loading = verbs.add_parser("load", help=f"add and change {several} from CSV or Excel")
        names = ", ".join(column.name for column in self.register.columns)
        loading.add_argument("file", metavar="FILE", help=f"columns: {names}")
        loading.add_argument("--dry-run", action="store_true", help="say what it would do; store nothing")
        loading.add_argument("--expected", metavar="DIGEST", default="", help="of a dry run: do that and nothing else")
        exporting = verbs.add_parser("export", help=f"write {several} to CSV or Excel, to edit and load again")
        exporting.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="ends in .csv or .xlsx")
        self.more_arguments(verbs)

    def more_arguments(self, verbs: Any) -> None:
        """Add the verbs that this command has besides."""

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {"load": self.load, "export": self.export, **self.more_verbs()}
        doing[options.pop("verb")](**options)

    def more_verbs(self) -> dict[str, Callable[..., None]]:
        return {}

    def load(self, *, file: str, dry_run: bool, expected: str, **options: object) -> None:
        asked: dict[str, Any] = {"is_dry_run": dry_run, "expected": expected, "actor": self.actor, "now": self.now}
        try:
            with piped.opened(file) as content:
                done = registers.load(self.register, file=content, **asked)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        data = {
            "dry_run": done.is_dry_run,
            "added": done.added,
            "changed": done.changed,
            "unchanged": done.unchanged,
            "released": done.released,
            "departments": done.departments,
            "changes": [each.as_data() for each in done.changes],
            "digest": done.digest,
        }
        shown = [f"  {each}" for each in done.changes[:SHOWN]] if dry_run else []
        if dry_run and (more := len(done.changes) - SHOWN) > 0:
            shown.append(f"  … and {more:,} more")
        self.report(data, "\n".join([str(done), *shown]))

    def export(self, *, output: Path, **options: object) -> None:
        form = output.suffix.lower().removeprefix(".")
        if form not in FORMATS:
            raise CommandError(f"{output} is not written: end its name in .csv or .xlsx.")
        try:
            with whole(output) as file:
                count = registers.write(self.register, file=file, form=form, actor=self.actor, now=self.now)
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
        noun = self.register.nouns[count != 1]
        self.report({"rows": count, "file": str(output)}, f"{count:,} {noun} written to {output}.")
