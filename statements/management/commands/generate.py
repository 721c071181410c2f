"""`manage.py generate`: make payer lines, issue statements, draw them and, if asked, mail them."""

from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand, period_named, table
from statements import delivery
from statements.document import money
from statements.issuing import Generated
from statements.management.commands.send_statements import sent_text


class Command(BillingCommand):
    help = "Issue the statements of a billing period: one per PI and project, as PDF."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="PERIOD", help="the month, such as 2025-01")
        parser.add_argument("--dry-run", action="store_true", help="show what would be issued; write nothing")
        parser.add_argument("--send", action="store_true", help="e-mail each PI their new statements")

    def run(self, **options: Any) -> None:
        generated, sent = delivery.issue_and_send(
            period=period_named(options["period"]),
            dry_run=options["dry_run"],
            send_now=options["send"],
            actor=self.actor,
            now=self.now,
            progress=self.progress,
        )
        text = generated_text(generated)
        if sent:
            text += f"\n\n{sent_text(sent)}"
        elif generated.statements and not generated.is_dry_run:
            text += f"\nNext: `manage.py send_statements -p {generated.period}` mails them."
        self.report(as_data(generated) | {"sent": len(sent.messages) if sent else 0}, text)
        if sent and sent.failed:
            raise delivery.NotDelivered(sent)


def as_data(generated: Generated) -> dict[str, Any]:
    """Return a result as --json prints it and a job keeps it."""
    return {
        "period": generated.period,
        "dry_run": generated.is_dry_run,
        "currency": generated.currency,
        "statements": [
            {
                "number": each.number,
                "revision": each.revision,
                "pi": each.pi,
                "pi_name": each.pi_name,
                "project": each.project,
                "fund_orgs": list(each.fund_orgs),
                "list": each.figures.list_cost,
                "discount": each.figures.discount,
                "subsidy": each.figures.subsidy,
                "due": each.figures.charged,
                "pdf": each.pdf,
                "new": each.is_new,
            }
            for each in generated.statements
        ],
        "issued": generated.issued,
        "superseded": generated.superseded,
        "unchanged": generated.unchanged,
        "held": {
            "count": generated.held.count,
            "billed": generated.held.billed,
            **({"foreign": generated.held.foreign} if generated.held.foreign else {}),
        },
    }


def generated_text(generated: Generated) -> str:
    """Return what a person reads after a run."""
    total = generated.figures
    rows = [
        [
            each.number or "(new)",
            "new" if each.is_new and not each.replaces else "revised" if each.is_new else "",
            each.pi,
            each.project,
            ", ".join(each.fund_orgs),
            money(each.figures.list_cost),
            money(each.figures.discount),
            money(each.figures.subsidy),
            money(each.figures.charged),
        ]
        for each in generated.statements
    ]
    amounts = [money(total.list_cost), money(total.discount), money(total.subsidy), money(total.charged)]
    rows.append(["Total", "", "", "", "", *amounts])
    headings = ["Number", "", "PI", "Project", "Fund/org", "List", "Discount", "Subsidy", f"Due {generated.currency}"]
    said = [table(rows, headings, right={5, 6, 7, 8}), ""]
    would = "would be " if generated.is_dry_run else ""
    said.append(
        f"Statements of {generated.period}: {generated.issued} {would}issued "
        f"({generated.superseded} of them in place of earlier revisions), {generated.unchanged} unchanged."
    )
    if generated.held.count:
        foreign = "".join(f" and {money(billed)} {currency}" for currency, billed in generated.held.foreign.items())
        said.append(
            f"Held for review and on no statement: {generated.held.count:,} charges, billed "
            f"{money(generated.held.billed)} {generated.currency}{foreign}. "
            f"`manage.py review list -p {generated.period}` shows them."
        )
    if generated.is_dry_run:
        said.append("This was a dry run: nothing was written.")
    elif generated.statements:
        said.append(f"{generated.drawn} PDFs drawn, in {generated.statements[0].pdf.rpartition('/')[0]}")
    return "\n".join(said)
