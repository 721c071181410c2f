"""Write the roles of roles.py to the database."""

from django.core.management.base import CommandParser

from billing.commands import BillingCommand
from openchargeback import roles


class Command(BillingCommand):
    help = "Give each role (a group) exactly the permissions the program says; safe to repeat."
    permission = "billing.change_user"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--table", action="store_true", help="print who may do what as a table, and change nothing")

    def run(self, **options: object) -> None:
        if options["table"]:
            self.report({"table": {name: sorted(held) for name, held in roles.ROLES.items()}}, roles.table())
            return
        synced = roles.sync_roles(actor=self.actor, now=self.now)
        self.report(
            {"roles": [{"name": role.name, "added": role.added, "removed": role.removed} for role in synced]},
            roles_text(synced),
        )


def roles_text(synced: list[roles.SyncedRole]) -> str:
    """Say which roles changed, in one line."""
    changed = [role for role in synced if role.added or role.removed]
    if not changed:
        return f"{len(synced)} roles are up to date: {', '.join(role.name for role in synced)}."
    return "Roles: " + "; ".join(
        f"{role.name} {len(role.added)} permissions added, {len(role.removed)} removed" for role in changed
    )
