"""Make a new installation ready, or bring one up to date after an upgrade."""

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing import audit, doors, safeguards, schema
from billing.attribution import newcomers
from billing.commands import BillingCommand
from billing.errors import NextStep
from billing.models import Import, Source, User
from openchargeback import privacy, reference, roles
from openchargeback.versions import record_version

from .sync_roles import roles_text


class Command(BillingCommand):
    help = (
        "Migrate the database, write the roles and add missing reference data. All a new installation "
        "needs; safe to repeat, and what you changed stays."
    )
    permission = "billing.change_user"
    # The checks look at tables and triggers that the migration is about to make.
    requires_system_checks: list[str] = []
    needs_initialize = False
    # The demo goes on by itself, and names what is next when it is done.
    stealth_options = ("names_next",)

    def run(self, **options: object) -> None:
        schema.lacking()  # refuses tables of another version, before anything is changed
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        # While migrations wait, safeguards that differ are those of the version before.
        lacking = [] if pending else safeguards.missing(connection)
        call_command("migrate", interactive=False, verbosity=0)
        if pending:
            with audit.gesture(actor=self.actor, now=self.now) as gesture:
                gesture.record("installation.migrated", after={"migrations": [str(each) for each, _ in pending]})
        if lacking:
            with audit.gesture(actor=self.actor, now=self.now) as gesture:
                gesture.record("safeguards.restored", after={"safeguards": [str(each) for each in lacking]})
        closed = privacy.close()
        record_version(actor=self.actor, now=self.now)
        standing = len(safeguards.triggers(connection))
        synced = roles.sync_roles(actor=self.actor, now=self.now)
        loaded = reference.load_reference(actor=self.actor, now=self.now)
        lines = [
            f"Database: {len(pending)} migrations applied." if pending else "Database: up to date.",
            f"Database safeguards: {standing} in place."
            + (f" Missing, and restored: {safeguards.listed(lacking)}." if lacking else ""),
            roles_text(synced),
            f"Sources: added {', '.join(loaded.sources_added)}."
            if loaded.sources_added
            else f"Sources: all present ({', '.join(loaded.sources_kept)}).",
            *([f"Files: {closed:,} that others on this machine could read are closed to them."] if closed else []),
            "Policy: the defaults were added; set your institution's in the admin."
            if loaded.policy_added
            else "Policy: kept.",
            *(
                []
                if newcomers.known(with_people=False).is_checked
                else [
                    "PIs: anyone a tag names is billed. To hold charges of people you do not know, name your own "
                    f"e-mail domains: `{doors.as_command(NextStep('own_domains'))}`, or Policy in the admin."
                ]
            ),
            *([f"Next: {', '.join(steps)}."] if options.get("names_next", True) and (steps := next_steps()) else []),
        ]
        self.report(
            {
                "migrations": [f"{migration.app_label}.{migration.name}" for migration, _ in pending],
                "safeguards": standing,
                "safeguards_restored": [each.trigger for each in lacking],
                "roles": [{"name": role.name, "added": role.added, "removed": role.removed} for role in synced],
                "sources_added": loaded.sources_added,
                "sources_kept": loaded.sources_kept,
                "policy_added": loaded.policy_added,
                "files_closed": closed,
            },
            "\n".join(lines),
        )


def next_steps() -> list[str]:
    """Return what an installation lacks before its first month, a command each."""
    steps = []
    if not User.objects.filter(is_active=True).exists():
        steps.append("`manage.py createsuperuser` for a first account")
    if not Source.objects.exclude(recovery_fund_org="").exists():
        steps.append("`manage.py sources set NAME …` for accounting")
    if not Import.objects.exists():
        steps.append("`manage.py ingest FILE…`")
    return steps
