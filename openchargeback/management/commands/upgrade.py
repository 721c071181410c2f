"""Bring the database up to date with the program, after a rehearsal on a copy."""

from typing import Any

from django.core.management import CommandError, call_command
from django.core.management.base import CommandParser

from billing.background import heartbeat
from billing.commands import BillingCommand
from openchargeback import upgrading
from openchargeback.upgrading import Rehearsed


class Command(BillingCommand):
    help = (
        "Copy the database, bring the copy up to date, prove and replay its months, and say what has changed. If all "
        "holds, do the same with the database itself."
    )
    permission = "billing.change_user"
    # The checks look at tables and triggers that the migrations are about to make.
    requires_system_checks: list[str] = []
    needs_initialize = False

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rehearse", action="store_true", help="only rehearse, and change nothing")
        parser.add_argument("--on", metavar="URL", default="", help="an empty database for the copy, which stays there")

    def run(self, **options: Any) -> None:
        only_rehearsed: bool = options["rehearse"]
        if not only_rehearsed and heartbeat.is_worker_alive():
            raise CommandError("A background worker is running. Stop the site first, and wait for a minute.")
        rehearsed = upgrading.rehearse(on=options["on"], progress=self.progress)
        text = _as_text(rehearsed)
        is_done = rehearsed.holds and not only_rehearsed
        if is_done:
            self.progress.close()
            call_command("initialize", stdout=self.stderr)
        next_step = "The database is up to date." if is_done else "Nothing was changed: this was a copy."
        self.report(
            {
                "migrations": list(rehearsed.migrations),
                "rows": rehearsed.rows,
                "proved": rehearsed.proved,
                "replayed": rehearsed.replayed,
                "changes": [vars(each) for each in rehearsed.changes],
                "problems": list(rehearsed.problems),
                "upgraded": is_done,
            },
            f"{text}\n{next_step}",
        )
        if not rehearsed.holds:
            raise CommandError(f"After the upgrade this does not hold: {' '.join(rehearsed.problems[:5])}")


def _as_text(rehearsed: Rehearsed) -> str:
    waiting = ", ".join(rehearsed.migrations)
    lines = [
        f"Rehearsed on a copy of {rehearsed.rows:,} rows. "
        + (f"Migrations: {waiting}." if waiting else "No migration waits."),
        f"{rehearsed.proved} months proved, {rehearsed.replayed} rebuilt from their files, and the audit log verified"
        + (": all hold." if rehearsed.holds else "."),
        "Changed in the database:" if rehearsed.changes else "No row was changed.",
        *(f"  {each}" for each in rehearsed.changes),
    ]
    return "\n".join(lines)
