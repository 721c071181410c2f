"""The audit log on the command line: the latest events, and an export that anybody can check."""

import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from billing import audit
from billing.audit.chaining import content_of
from billing.commands import BillingCommand, subcommands, table
from billing.files import whole
from billing.models import AuditEvent


class Command(BillingCommand):
    help = "Show the audit log, or write it as JSON lines with hashes that an outsider can check."
    permission = "billing.view_auditevent"

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        listed = verbs.add_parser("list", help="the latest events")
        listed.add_argument("--last", type=int, default=50, metavar="N", help="how many (default: 50)")
        exported = verbs.add_parser("export", help="events as JSON lines, oldest first")
        exported.add_argument("-o", "--output", metavar="FILE", help="write here, not to standard output")
        for each in (listed, exported):
            each.add_argument("--since", type=moment, metavar="WHEN", help="a day or a time: 2025-01-31T08:00")
            each.add_argument("--until", type=last_moment, metavar="WHEN", help="the day is included, the time is not")
            each.add_argument("--action", default="", help="such as charge.approved, or charge for all about charges")
            each.add_argument("--actor", default="", metavar="NAME", help="who did it, as the audit log writes it")

    def run(self, **options: Any) -> None:
        events = AuditEvent.objects.between(options["since"], options["until"])
        if options["action"]:
            events = events.named(options["action"])
        if options["actor"]:
            events = events.filter(actor_name=options["actor"])
        if options["verb"] == "list":
            self._list(events.order_by("-pk")[: max(0, options["last"])])
        else:
            self._export(events, options["output"])

    def _list(self, events: QuerySet[AuditEvent]) -> None:
        shown = list(events)[::-1]
        rows = [
            [
                f"{timezone.localtime(event.at):%Y-%m-%d %H:%M:%S}",
                event.actor_name,
                event.via,
                event.action,
                event.object_label,
            ]
            for event in shown
        ]
        self.report(
            {"events": [{"id": event.pk, **content_of(event), "hash": event.hash} for event in shown]},
            table(rows, ["when (" + str(timezone.get_current_timezone()) + ")", "who", "via", "action", "object"])
            if rows
            else "There are no such events.",
        )

    def _export(self, events: QuerySet[AuditEvent], output: str | None) -> None:
        if output is None:
            audit.export(events=events, write=self.stdout.write_json, actor=self.actor, now=self.now)
            return
        try:
            # Who did what is not for everybody on the machine.
            with whole(Path(output), mode=0o600) as file:
                count = audit.export(
                    events=events, write=lambda line: file.write(line.encode()), actor=self.actor, now=self.now
                )
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
        self.report({"events": count, "file": output}, f"{count:,} events written to {output}.")


def moment(text: str) -> datetime.datetime:
    """Return a day's beginning or a time, in the site's time zone where the text names none."""
    found = parse_datetime(text) if "T" in text or " " in text else None
    if found is None:
        day = parse_date(text)
        if day is None:
            raise ValueError(f"“{text}” is neither a day nor a time.")
        found = datetime.datetime.combine(day, datetime.time())
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def last_moment(text: str) -> datetime.datetime:
    """Return the end of a day, or a time."""
    found = moment(text)
    return found if "T" in text or " " in text else found + datetime.timedelta(days=1)
