"""List PIs, load the list of people, confirm PIs, and name the institution's own e-mail domains."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.addresses import normalized_domain
from billing.attribution import newcomers
from billing.commands import BillingCommand, subcommands, table
from billing.files import piped
from billing.models import Person, Policy
from billing.models.people import Mailboxes
from billing.setup import people, policies


class Command(BillingCommand):
    help = "List PIs, load the list of people, confirm PIs, and name the institution's own e-mail domains."
    permission = {
        "list": "billing.view_person",
        "load": "billing.add_person",
        "confirm": "billing.change_person",
        "domains": "billing.change_policy",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        listing = verbs.add_parser("list", help="show the PIs, and whether each is confirmed")
        listing.add_argument("--unconfirmed", action="store_true", help="only those whom somebody has to confirm")
        loading = verbs.add_parser("load", help="load the list of people from CSV or Excel")
        loading.add_argument("file", metavar="FILE", help=f"columns: {', '.join(people.COLUMNS)}")
        loading.add_argument("--dry-run", action="store_true", help="say what it would do; store nothing")
        confirming = verbs.add_parser("confirm", help="confirm that these addresses belong to your PIs")
        confirming.add_argument("emails", metavar="EMAIL", nargs="+")
        confirming.add_argument("--note", default="", help="how you know, for the audit log")
        domains = verbs.add_parser("domains", help="name the own e-mail domains, or show them")
        domains.add_argument("domains", metavar="DOMAIN", nargs="*", help="such as u.edu; sub-domains count")
        domains.add_argument("--none", action="store_true", help="remove them all")

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {
            "list": self.show,
            "load": self.load,
            "confirm": self.confirm,
            "domains": self.domains,
        }
        doing[options.pop("verb")](**options)

    def show(self, *, unconfirmed: bool, **options: object) -> None:
        known, sharing = newcomers.known(), Mailboxes().sharing()
        found = (newcomers.strangers() if unconfirmed else Person.objects.all()).select_related("department")
        found = found.order_by("email")
        data: Any = [
            {
                "email": person.email,
                "name": person.name,
                "department": person.department.display_name if person.department else "",
                "department_code": person.department.code if person.department else "",
                "listed": person.is_listed,
                "confirmed_by": person.confirmed_by_name,
                "confirmed_at": person.confirmed_at,
                "known": known.knows(person.email) or bool(person.confirmed_at),
                "standing": people.standing_of(person, known),
                "same_mailbox": sharing.get(person.email, []),
            }
            for person in found
        ]
        rows = [[each["email"], each["name"], each["department"], each["standing"]] for each in data]
        if not rows:
            text = "Nobody waits to be confirmed." if unconfirmed else "There are no PIs yet."
        else:
            text = table(rows, ["PI", "name", "department", "confirmed"])
            lines = [people.same_mailbox(each["email"], each["same_mailbox"]) for each in data if each["same_mailbox"]]
            text = "\n".join([text, *([""] * bool(lines)), *lines])
        self.report({"people": data}, text)

    def load(self, *, file: str, dry_run: bool, **options: object) -> None:
        try:
            with piped.opened(file) as content:
                done = people.load_people(file=content, is_dry_run=dry_run, actor=self.actor, now=self.now)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        data = {
            "dry_run": done.is_dry_run,
            "added": done.added,
            "changed": done.changed,
            "unchanged": done.unchanged,
            "released": done.released,
            "departments": done.departments,
        }
        shown = [f"  {each}" for each in done.examples] if dry_run else []
        self.report(data, "\n".join([str(done), *shown]))

    def confirm(self, *, emails: list[str], note: str, **options: object) -> None:
        named = [Person.objects.named(email) for email in emails]
        done = people.confirm(people=named, note=note, actor=self.actor, now=self.now)
        data = {
            "confirmed": done.confirmed,
            "known": done.known,
            "released": done.released,
            "billed": done.billed,
        }
        self.report(data, str(done))

    def domains(self, *, domains: list[str], none: bool, **options: object) -> None:
        if domains and none:
            raise CommandError("Name domains, or --none to remove them all.", returncode=2)
        if domains or none:
            named = [normalized_domain(domain.strip().removeprefix("@")) for domain in domains]
            policies.change_policy(changes={"own_domains": named}, actor=self.actor, now=self.now)
        present = Policy.objects.current().own_domains
        text = f"Own e-mail domains: {', '.join(present)}." if present else "No own e-mail domains are set."
        self.report({"domains": present}, text)
