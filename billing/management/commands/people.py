"""List PIs, load or export the list of people, confirm PIs, and name the institution's own e-mail domains."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError

from billing.addresses import normalized_domain
from billing.attribution import newcomers
from billing.commands import table
from billing.management.register_commands import RegisterCommand
from billing.models import Person, Policy
from billing.models.people import Mailboxes
from billing.setup import people, policies, registers


class Command(RegisterCommand):
    help = "List PIs, load or export the list of people, confirm PIs, and name the institution's own e-mail domains."
    register = registers.PEOPLE
    permission = {
        "list": "billing.view_person",
        "confirm": "billing.change_person",
        "domains": "billing.change_policy",
    }

    def more_arguments(self, verbs: Any) -> None:
        listing = verbs.add_parser("list", help="show the PIs, and whether each is confirmed")
        listing.add_argument("--unconfirmed", action="store_true", help="only those whom somebody has to confirm")
        confirming = verbs.add_parser("confirm", help="confirm that these addresses belong to your PIs")
        confirming.add_argument("emails", metavar="EMAIL", nargs="+")
        confirming.add_argument("--note", default="", help="how you know, for the audit log")
        domains = verbs.add_parser("domains", help="name the own e-mail domains, or show them")
        domains.add_argument("domains", metavar="DOMAIN", nargs="*", help="such as u.edu; sub-domains count")
        domains.add_argument("--none", action="store_true", help="remove them all")

    def more_verbs(self) -> dict[str, Callable[..., None]]:
        return {"list": self.show, "confirm": self.confirm, "domains": self.domains}

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
