"""`manage.py send_statements`: e-mail the statements that are issued and not sent, one e-mail per recipient."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, period_named
from statements import emails, reporting
from statements.models import Email


class Command(BillingCommand):
    help = "E-mail the statements of a billing period that are issued and not sent: one e-mail per recipient."
    permission = "statements.send_statements"

    def arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("-p", "--period", metavar="PERIOD", help="the month, such as 2025-01")
        what.add_argument("--again", type=int, metavar="ID", help="send this e-mail again; lists name its number")
        what.add_argument(
            "--arrived", type=int, metavar="ID", help="mark as sent an e-mail that a stopped run left behind"
        )
        what.add_argument(
            "--lost", type=int, metavar="ID", help="the same, where it did not arrive and is not to be sent again"
        )
        parser.add_argument(
            "--statement",
            action="append",
            metavar="NUMBER",
            help="of the period send this statement alone; repeat it for several",
        )
        parser.add_argument(
            "--reason", default="", metavar="WHY", help="with --again: why it comes again; its recipient reads it"
        )
        parser.add_argument("--dry-run", action="store_true", help="show who would get what; send and write nothing")
        parser.add_argument("--outdated", action="store_true", help="also send statements that are not current")
        parser.add_argument(
            "--written", action="store_true", help="also send e-mails that were only written to files so far"
        )

    def run(self, **options: Any) -> None:
        if options["reason"] and options["again"] is None:
            raise CommandError("--reason goes with --again only.", returncode=2)
        if options["period"] is None:
            for flag in ("dry_run", "written", "statement"):
                if options[flag]:
                    raise CommandError(f"--{flag.replace('_', '-')} goes with --period only.", returncode=2)
            self._one(options)
            return
        period = period_named(options["period"])
        asked = {"chosen": options["statement"], "outdated": options["outdated"], "written": options["written"]}
        if options["dry_run"]:
            sent = emails.preview(period=period, **asked, actor=self.actor, now=self.now)
            self.report(reporting.sent_data(sent), reporting.sent_text(sent))
            return
        sent = emails.send(period=period, **asked, actor=self.actor, now=self.now, progress=self.progress)
        self._report(sent)

    def _one(self, options: dict[str, Any]) -> None:
        """Send one e-mail again, or say what became of it."""
        pk = next(options[name] for name in ("again", "arrived", "lost") if options[name] is not None)
        email = Email.objects.select_related("period", "pi").filter(pk=pk).first()
        if email is None:
            raise CommandError(f"There is no e-mail #{pk}.")
        if options["again"] is not None:
            asked = {"reason": options["reason"], "outdated": options["outdated"]}
            sent = emails.resend(email=email, **asked, actor=self.actor, now=self.now)
            self._report(sent)
            return
        email = emails.settle(email=email, arrived=options["arrived"] is not None, actor=self.actor, now=self.now)
        state = email.get_state_display().lower()
        self.report({"id": email.pk, "recipient": email.recipient, "state": email.state}, f"E-mail #{pk}: {state}.")

    def _report(self, sent: emails.Sent) -> None:
        self.report(reporting.sent_data(sent), reporting.sent_text(sent))
        if sent.is_trouble:
            raise emails.NotSent(sent)
