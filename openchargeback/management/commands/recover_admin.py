"""Get an admin in again from the shell, when nobody can sign in."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand
from openchargeback import recovery


class Command(BillingCommand):
    help = (
        "Emergency access: switch an account on, unlock it, give it the role admin and print a link that sets its "
        "password once. Its old password and all its sessions end. Recorded in the audit log."
    )
    permission = "billing.change_user"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", metavar="USER", help="the account's user name")
        parser.add_argument("--create", action="store_true", help="make the account where there is none")
        parser.add_argument("--email", default="", help="its address, with --create")
        parser.add_argument(
            "--without-terminal",
            action="store_true",
            help="print the link even where standard output is a file or a pipe, and may be kept",
        )

    def run(self, **options: Any) -> None:
        if not options["without_terminal"] and not sys.stdout.isatty():
            raise CommandError(
                "Standard output is no terminal: the link would be kept where others may read it. "
                "Run this at a terminal, or add --without-terminal."
            )
        done = recovery.recover_admin(
            username=options["username"],
            email=options["email"],
            create=options["create"],
            actor=self.actor,
            now=self.now,
        )
        hours = settings.PASSWORD_RESET_TIMEOUT // 3600
        self.report(
            {"user": done.user.username, "new": done.is_new, "changes": list(done.changes), "link": done.link},
            f"{done.user.username} is an admin ({', '.join(done.changes) or 'as before'}).\n"
            f"Set a password here; the link works once, for {hours} hours:\n{done.link}\n"
            "This is in the audit log (user.recovered).",
        )
