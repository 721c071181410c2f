"""What the commands that keep lists of the ledger share: list, show, load, remove."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, day, moment, subcommands, table
from billing.files import piped

from . import ledger_lists
from .ledger_lists import ListKind


class LedgerListCommand(BillingCommand):
    """A command of one kind of list."""

    kind: ClassVar[ListKind]
    # What it says of its verbs, of the columns of a file, of no list, and of one that was removed.
    about: ClassVar[dict[str, str]]
    # What a version says beside its name, number and rows: its fields, and their headings.
    described: ClassVar[dict[str, str]] = {}

    def arguments(self, parser: CommandParser) -> None:
        metavar = self.kind.what.upper()
        verbs = subcommands(parser)
        verbs.add_parser("list", help=self.about["list"])
        verbs.add_parser("show", help=self.about["show"]).add_argument("name", metavar=metavar)
        loading = verbs.add_parser("load", help=self.about["load"])
        loading.add_argument("file", metavar="FILE", help=f"columns: {self.about['columns']}")
        loading.add_argument("--dry-run", action="store_true", help="say what it would do; store nothing")
        verbs.add_parser("remove", help=self.about["remove"]).add_argument("name", metavar=metavar)

    def row_of(self, version: Any, row: Any) -> dict[str, str]:
        """Return the cells of a row before its days, by their headings."""
        raise NotImplementedError

    def headings(self, version: Any) -> Iterable[str]:
        raise NotImplementedError

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, **_: object) -> None:
        kind = self.kind
        found = list(kind.versions.objects.order_by("name", "-version"))
        rows = [
            [each.name, str(each.version), *(", ".join(getattr(each, name)) for name in self.described)]
            + [f"{each.row_count:,}", moment(each.loaded_at), each.loaded_by_name]
            + ["replaced" if each.replaced_at else "in force"]
            for each in found
        ]
        headings = [kind.what, "version", *self.described.values(), kind.nouns[1], "loaded", "by", ""]
        told = table(rows, headings, {1, 2 + len(self.described)}) if rows else self.about["none"]
        self.report({f"{kind.what}s": [self.said_of(each) for each in found]}, told)

    def run_show(self, *, name: str, **_: object) -> None:
        version = self.kind.named(name)
        lines = [(each, self.row_of(version, each)) for each in self.kind.rows_of(version)]
        data = [cells | {"valid_from": each.valid_from, "valid_until": each.valid_until} for each, cells in lines]
        rows = [[*cells.values(), day(each.valid_from), day(each.valid_until)] for each, cells in lines]
        headings = [*self.headings(version), "valid from", "valid until"]
        self.report(self.said_of(version) | {"lines": data}, table(rows, headings))

    def run_load(self, *, file: str, dry_run: bool, **_: object) -> None:
        try:
            with piped.opened(file) as content:
                done = ledger_lists.load(self.kind, file=content, is_dry_run=dry_run, actor=self.actor, now=self.now)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        what, rows = self.kind.what, self.kind.nouns[1]
        lists = [
            {what: each.name, rows: each.rows, **{verb: list(told) for verb, told in each.changes.items()}}
            for each in done.lists
        ]
        self.report({"dry_run": dry_run, f"{what}s": lists}, str(done))

    def run_remove(self, *, name: str, **_: object) -> None:
        removed = ledger_lists.remove(self.kind, name=name, actor=self.actor, now=self.now)
        self.report(self.said_of(removed), self.about["removed"].format(name=name))

    def said_of(self, version: Any) -> dict[str, Any]:
        """Return what `--json` says of a version."""
        return {
            self.kind.what: version.name,
            "version": version.version,
            **{name: getattr(version, name) for name in self.described},
            self.kind.nouns[1]: version.row_count,
            "loaded": version.loaded_at,
            "loaded_by": version.loaded_by_name,
            "in_force": version.replaced_at is None,
        }
