"""List, add and set up sources, and say when each was last heard from."""

import argparse
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.addresses import normalized_email
from billing.commands import BillingCommand, day, moment, subcommands, table
from billing.models import Person, Source
from billing.models.periods import parse_month
from billing.setup import sourcing
from billing.texts import iso_month, long_month

# Option -> field of Source, for what is plain text.
TEXTS = {
    "display_name": "display_name",
    "patterns": "file_name_patterns",
    "debit_account": "debit_account",
    "recovery_fund_org": "recovery_fund_org",
    "recovery_account": "recovery_account",
    "subsidy_fund_org": "subsidy_fund_org",
    "overflow_fund_org": "overflow_fund_org",
    "import_mode": "import_mode",
    "grain": "grain",
    "kind": "kind",
}


class Command(BillingCommand):
    help = "List, add and set up sources: file-name patterns, import mode, and the accounting of their journals."
    permission = {
        "list": "billing.view_source",
        "sync-status": "billing.view_source",
        "add": "billing.add_source",
        "set": "billing.change_source",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="show every source with its accounting and its last import")
        verbs.add_parser("sync-status", help="show per source and period when an import was applied last")
        add = verbs.add_parser("add", help="add a source")
        add.add_argument("name", metavar="NAME", help="lower-case letters, digits, - and _; such as aws")
        add.add_argument("--measure", choices=Source.Measure.values, help="which cost payers are charged")
        settings_of(add)
        change = verbs.add_parser("set", help="set up a source; what is not named stays as it is")
        change.add_argument("name", metavar="NAME")
        change.add_argument("--measure", choices=Source.Measure.values, help="charge another cost, with --from")
        change.add_argument("--from", dest="from_month", metavar="2025-02", help="the month a new --measure begins")
        settings_of(change)

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {
            "list": self.list,
            "add": self.add,
            "set": self.set,
            "sync-status": self.sync_status,
        }
        doing[options.pop("verb")](**options)

    def list(self, **options: object) -> None:
        last = {
            source: max((state.applied_at for state in states if state.applied_at), default=None)
            for source, states in by_source(sourcing.sync_status(now=self.now)).items()
        }
        sources = list(Source.objects.select_related("default_pi").order_by("name"))
        rows = [
            [
                source.name,
                source.label,
                source.get_import_mode_display().partition(":")[0].lower(),
                source.file_name_patterns,
                source.recovery_fund_org or "–",
                source.recovery_account or "–",
                source.debit_account or "–",
                standing(source),
                day(at) if (at := last.get(source.name)) else "never",
            ]
            for source in sources
        ]
        headings = [
            "source",
            "name",
            "import_mode",
            "patterns",
            "recovery fund/org",
            "recovery account",
            "debit account",
            "accounting",
            "last import",
        ]
        self.report(
            {"sources": [described(source) | {"last_import": last.get(source.name)} for source in sources]},
            table(rows, headings) if rows else "There is no source yet. Next: `manage.py sources add NAME`.",
        )

    def add(self, *, name: str, measure: str | None, **options: object) -> None:
        fields = fields_of(options)
        source = sourcing.add(name=name, fields=fields, measure=measure or "", actor=self.actor, now=self.now)
        missing = sourcing.missing_accounting(source)
        then = f" Before its charges can be journaled it needs: {', '.join(missing)}." if missing else ""
        self.report(
            described(source),
            f"Source {source} added. It recognizes the file names: {', '.join(source.patterns) or 'none'}.{then}",
        )

    def set(self, *, name: str, measure: str | None, from_month: str | None, **options: object) -> None:
        source = Source.objects.named(name)
        fields = fields_of(options)
        if bool(measure) != bool(from_month):
            raise CommandError(
                "A new --measure needs --from, the month it begins in, and --from needs a --measure.", returncode=2
            )
        try:
            month = parse_month(from_month) if from_month else None
        except ValueError as error:
            raise CommandError(str(error)) from error
        said = []
        if fields or not month:
            changed = sourcing.change(source=source, fields=fields, actor=self.actor, now=self.now)
            source = changed.source
            said += [
                f"{label_of(field)}: {told(changed.before[field])} → {told(after)}"
                for field, after in changed.after.items()
            ]
        if month and measure:
            sourcing.change_measure(source=source, measure=measure, from_month=month, actor=self.actor, now=self.now)
            said.append(f"cost measure: {measure} from {long_month(month)}")
        missing = sourcing.missing_accounting(source)
        text = f"Source {source}: " + ("; ".join(said) if said else "everything was set so already") + "."
        self.report(described(source), text + (f" Still missing: {', '.join(missing)}." if missing else ""))

    def sync_status(self, **options: object) -> None:
        states = sourcing.sync_status(now=self.now)
        rows = [
            [
                state.source,
                state.period or "–",
                moment(state.applied_at) if state.applied_at else "never",
                "" if state.days_ago is None else str(state.days_ago),
            ]
            for state in states
        ]
        self.report(
            {
                "sources": [
                    {
                        "source": state.source,
                        "period": state.period or None,
                        "import": state.imported,
                        "applied_at": state.applied_at,
                        "days_ago": state.days_ago,
                    }
                    for state in states
                ]
            },
            table(rows, ["source", "period", "last applied", "days ago"], {3}) if rows else "There is no source yet.",
        )


def settings_of(parser: argparse.ArgumentParser) -> None:
    """Add the options that `add` and `set` share; an empty text clears a field."""
    parser.add_argument("--display-name", help="as statements print it")
    parser.add_argument("--patterns", help="whole parts of file names, separated by commas (of a new source: its name)")
    parser.add_argument("--import-mode", choices=Source.ImportMode.values, help="what a second file for a period means")
    parser.add_argument("--grain", choices=Source.Grain.values, help="keep every row, or add up days or months")
    parser.add_argument("--kind", choices=Source.Kind.values, help="a service of our own, or an outside provider's")
    parser.add_argument("--debit-account", help="account code of payers, where a row names none")
    parser.add_argument("--recovery-fund-org", help="fund/org that receives the income")
    parser.add_argument("--recovery-account", help="account code of the income")
    parser.add_argument("--subsidy-fund-org", help="fund/org that pays what users do not; empty: forgone")
    parser.add_argument("--overflow-fund-org", help="fund/org charged where a row names none")
    parser.add_argument("--default-pi", metavar="EMAIL", help="PI of rows that name none; empty for nobody")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--journaled", dest="is_journaled", action="store_true", default=None, help="charge back")
    mode.add_argument(
        "--showback", dest="is_journaled", action="store_false", default=None, help="show on statements, never journal"
    )
    parser.add_argument(
        "--holds-prepayments",
        choices=("yes", "no"),
        help="its recovery is deferred revenue: what is bought before use lies there",
    )


def fields_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that options name; raise CommandError for a PI who does not exist."""
    fields = {field: options[option].strip() for option, field in TEXTS.items() if options.get(option) is not None}
    if options.get("is_journaled") is not None:
        fields["is_journaled"] = options["is_journaled"]
    if options.get("holds_prepayments"):
        fields["holds_prepayments"] = options["holds_prepayments"] == "yes"
    if (address := options.get("default_pi")) is not None:
        fields["default_pi"] = pi_named(address) if address.strip() else None
    return fields


def label_of(field: str) -> str:
    return str(getattr(Source._meta.get_field(field), "verbose_name", field))


def told(value: Any) -> str:
    """Write a field's value as people say it."""
    return {True: "yes", False: "no"}.get(value, value or "–")


def pi_named(address: str) -> Person:
    person = Person.objects.owning(address)
    if not person:
        told = normalized_email(address)
        raise CommandError(f"There is no PI with the address {told}. The admin lists them under PIs.")
    return person


def described(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "display_name": source.display_name,
        "active": source.is_active,
        "kind": source.kind,
        "import_mode": source.import_mode,
        "grain": source.grain,
        "patterns": source.patterns,
        "measure": source.cost_measure,
        "measure_changes": [
            {"from": iso_month(change.from_month), "measure": change.measure}
            for change in source.measure_changes.order_by("from_month")
        ],
        "journaled": source.is_journaled,
        "holds_prepayments": source.holds_prepayments,
        "debit_account": source.debit_account,
        "recovery_fund_org": source.recovery_fund_org,
        "recovery_account": source.recovery_account,
        "subsidy_fund_org": source.subsidy_fund_org,
        "overflow_fund_org": source.overflow_fund_org,
        "default_pi": source.default_pi.email if source.default_pi else None,
        "missing": sourcing.missing_accounting(source),
    }


def standing(source: Source) -> str:
    if not source.is_journaled:
        return "showback"
    return "incomplete" if sourcing.missing_accounting(source) else "complete"


def by_source(states: list[sourcing.SyncState]) -> dict[str, list[sourcing.SyncState]]:
    grouped: dict[str, list[sourcing.SyncState]] = {}
    for state in states:
        grouped.setdefault(state.source, []).append(state)
    return grouped
