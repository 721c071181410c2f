"""The review queue on the command line: look, decide, correct, and the spreadsheet out and back."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import review
from billing.attribution import naming
from billing.commands import BillingCommand, amount, amounts, period_named, subcommands, table
from billing.files import piped, whole
from billing.models import Charge, Flag, Person, ReviewDecision, Source
from billing.models.charges import ChargeQuerySet
from billing.review import review_sheets

HEADINGS = ["id", "period", "source", "PI", "project", "fund/org", "service", "resource", "billed", "reasons"]


class Command(BillingCommand):
    help = "Review held charges: list, approve, reject, charge to center, reattribute, undo, or by spreadsheet."
    permission = {
        "list": "billing.view_charge",
        "approve": "billing.review_charges",
        "reject": "billing.review_charges",
        "charge-to-center": "billing.review_charges",
        "reattribute": "billing.review_charges",
        "undo": "billing.review_charges",
        "export": "billing.review_charges",
        "apply": "billing.review_charges",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        each = verbs.add_parser("list", help="show the charges that wait for review, with the reasons")
        _filters(each)

        each = verbs.add_parser("approve", help="let the PI or fund/orgs pay")
        _selection(each)

        each = verbs.add_parser("reject", help="let nobody pay")
        _ids(each)
        each.add_argument(
            "--reason",
            default=ReviewDecision.Reason.OTHER.value,
            choices=ReviewDecision.Reason.values,
            help="why nobody should pay (default: other, which needs a note)",
        )
        each.add_argument(
            "--provider-credits",
            choices=("yes", "no"),
            help="whether the outside provider that bills them will credit them; no: they are charged to the center",
        )
        _note(each)

        each = verbs.add_parser("charge-to-center", help="let the center's own fund/org pay")
        _ids(each)
        _note(each)

        each = verbs.add_parser("reattribute", help="say who pays instead; what is not given stays")
        _ids(each)
        each.add_argument("--pi", default="", metavar="EMAIL", help="the PI's e-mail address or an alias")
        each.add_argument("--project", default="", metavar="CODE", help="the code of a project")
        each.add_argument("--fund-org", default="", metavar="FUND_ORG")
        each.add_argument("--split", default="", metavar="A=60,B=40", help="fund/orgs with their percent, 100 in all")
        each.add_argument("--natural-account", default="", metavar="ACCOUNT")
        each.add_argument("--cost-center", default="", metavar="CENTER")
        each.add_argument("--approve", action="store_true", help="and approve in the same act")
        each.add_argument(
            "--create",
            action="store_true",
            help="create the PI or project if it does not exist; take a fund/org that is not on the list",
        )
        _note(each)

        each = verbs.add_parser("undo", help="undo the last decision about each charge")
        _ids(each)
        _note(each)

        each = verbs.add_parser("export", help="write the held charges to a spreadsheet")
        each.add_argument("file", metavar="FILE.xlsx", type=Path)
        _filters(each)

        each = verbs.add_parser("apply", help="take decisions from a spreadsheet: all of it or nothing")
        each.add_argument("file", metavar="FILE.xlsx", type=Path)
        each.add_argument("--dry-run", action="store_true", help="show what it would do, and do nothing")

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options['verb'].replace('-', '_')}")(options)

    def run_list(self, options: dict[str, Any]) -> None:
        charges = (
            _filtered(options)
            .select_related("source", "pi__successor", "project", "charged_in", "payer_split", "product", "resource")
            .prefetch_related(review_sheets.open_flags(), "payer_split__shares")
            .order_by("pk")
        )
        data, rows = [], []
        totals: dict[str, Decimal] = {}
        for charge in charges.iterator(chunk_size=2_000):
            flags: list[Flag] = charge.open_flags  # type: ignore[attr-defined]
            has_left = any(flag.code == Flag.Code.PI_INACTIVE for flag in flags)
            heir = review.successor_of(charge) if has_left else None
            values = {
                "id": charge.pk,
                "period": charge.charged_in.iso_month,
                "source": charge.source.name,
                "pi": charge.pi.email if charge.pi else "",
                "successor": heir.email if heir else "",
                "project": charge.project.code if charge.project else "",
                "fund_org": charge.fund_org,
                "service": charge.service_name,
                "resource": charge.resource_label,
                "billed": charge.billed_cost,
                "currency": charge.currency,
                "flags": [{"code": flag.code, "detail": flag.detail} for flag in flags],
                "state": charge.state,
            }
            data.append(values)
            totals[charge.currency] = totals.get(charge.currency, Decimal(0)) + charge.billed_cost
            split = charge.payer_split
            payers = (
                review.shares_text({share.fund_org: share.percent for share in split.shares.all()})
                if split
                else charge.fund_org
            )
            rows.append(
                [
                    *(str(values[name]) for name in ("id", "period", "source", "pi", "project")),
                    payers,
                    charge.service_name,
                    charge.resource_label[-40:],
                    amount(charge.billed_cost, charge.currency),
                    ", ".join(
                        f"{flag.code} (successor: {heir.email})"
                        if heir and flag.code == Flag.Code.PI_INACTIVE
                        else flag.code
                        for flag in flags
                    ),
                ]
            )
        if not rows:
            self.report({"charges": []}, "No charge waits for review.")
            return
        self.report(
            {"charges": data},
            f"{table(rows, HEADINGS, {0, 8})}\n\n{review.counted(len(rows))} held, {amounts(totals)} billed.",
        )

    def run_approve(self, options: dict[str, Any]) -> None:
        charges = options["id"] if options["id"] else _filtered(options)
        self._told(
            review.approve(charges=charges, note=options["note"], actor=self.actor, now=self.now), bool(options["id"])
        )

    def run_reject(self, options: dict[str, Any]) -> None:
        self._told(
            review.reject(
                charges=options["id"],
                reason=options["reason"],
                note=options["note"],
                provider_credits={"yes": True, "no": False}.get(options["provider_credits"] or ""),
                actor=self.actor,
                now=self.now,
            )
        )

    def run_charge_to_center(self, options: dict[str, Any]) -> None:
        self._told(review.charge_to_center(charges=options["id"], note=options["note"], actor=self.actor, now=self.now))

    def run_reattribute(self, options: dict[str, Any]) -> None:
        reassignment = review.Reassignment(
            pi=options["pi"],
            project=options["project"],
            fund_org=options["fund_org"],
            natural_account=options["natural_account"],
            cost_center=options["cost_center"],
            shares=tuple(review.parse_shares(options["split"]).items()) if options["split"] else (),
        )
        try:
            decided = review.reattribute(
                charges=options["id"],
                reassignment=reassignment,
                approve=options["approve"],
                create=options["create"],
                note=options["note"],
                actor=self.actor,
                now=self.now,
            )
        except naming.NotThere as error:
            raise CommandError(f"{error} Next: correct the name, or run the same with --create.") from error
        self._told(decided)

    def run_undo(self, options: dict[str, Any]) -> None:
        self._told(review.undo(charges=options["id"], note=options["note"], actor=self.actor, now=self.now))

    def run_export(self, options: dict[str, Any]) -> None:
        path: Path = options["file"]
        try:
            with whole(path) as file:
                count = review_sheets.export(charges=_filtered(options), file=file, actor=self.actor, now=self.now)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        self.report(
            {"charges": count, "file": str(path)},
            f"{review.counted(count)} written to {path}. Fill in who pays and the decisions, then run "
            f"`manage.py review apply {path}`.",
        )

    def run_apply(self, options: dict[str, Any]) -> None:
        path: Path = options["file"]
        try:
            with piped.opened(str(path)) as file:
                applied = review_sheets.apply(file=file, dry_run=options["dry_run"], actor=self.actor, now=self.now)
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        lines = [
            f"line {row.line}: charge {row.charge_id} {', '.join([*_changes(row), row.decision]).strip(', ')}"
            for row in applied.rows
        ]
        self.report(
            {
                "file": str(path),
                "dry_run": applied.is_dry_run,
                **applied.counts,
                "untouched": applied.untouched,
                "creates": applied.creates,
                "rows": [
                    {
                        "line": row.line,
                        "id": row.charge_id,
                        "changes": {name: {"from": old, "to": new} for name, (old, new) in row.changes.items()},
                        "decision": row.decision,
                        "reason": row.reason,
                        "note": row.note,
                    }
                    for row in applied.rows
                ],
            },
            "\n".join([*(lines if applied.is_dry_run else []), str(applied)]),
        )

    def _told(self, decided: review.Decided, is_asked_by_name: bool = True) -> None:
        """Report what was done; charges asked for one by one and all refused are an error."""
        if is_asked_by_name and not decided.count:
            raise CommandError(str(decided))
        self.report(
            {
                "decision": decided.done,
                "count": decided.count,
                "skipped": decided.skipped,
                "skipped_ids": sorted(decided.why_skipped),
                "created": list(decided.created),
                "removed": list(decided.removed),
            },
            str(decided),
        )


def _changes(row: review_sheets.SheetRow) -> list[str]:
    return [f"{name} {old or '–'} → {new or '–'}" for name, (old, new) in row.changes.items()]


def _ids(parser: Any) -> None:
    parser.add_argument("--id", type=int, nargs="+", required=True, metavar="N", help="the charges, as `list` shows")


def _selection(parser: Any) -> None:
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--id", type=int, nargs="+", metavar="N", help="the charges, as `list` shows them")
    chosen.add_argument("-p", "--period", metavar="2025-01", help="all held charges of this billing period")
    _narrowing(parser)
    _note(parser)


def _filters(parser: Any) -> None:
    parser.add_argument("-p", "--period", metavar="2025-01", help="only this billing period")
    _narrowing(parser)


def _narrowing(parser: Any) -> None:
    parser.add_argument("--reason", choices=Flag.Code.values, metavar="CODE", help="only held for this reason")
    parser.add_argument("--source", metavar="NAME", help="only of this source")
    parser.add_argument("--pi", metavar="EMAIL", help="only of this PI (e-mail address or alias)")


def _note(parser: Any) -> None:
    parser.add_argument("--note", default="", help="kept with the decision")


def _filtered(options: dict[str, Any]) -> ChargeQuerySet:
    """Return the held charges that the options ask for."""
    charges = Charge.objects.held()
    if options["period"]:
        charges = charges.filter(charged_in=period_named(options["period"]))
    if options["reason"]:
        charges = charges.flagged(options["reason"])
    if options["source"]:
        charges = charges.filter(source=Source.objects.named(options["source"]))
    if options["pi"]:
        charges = charges.filter(pi=Person.objects.named(options["pi"]))
    return charges
