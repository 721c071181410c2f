"""The tie-out of a period: from the files' own totals to the ledger."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import proof
from billing.commands import BillingCommand, period_named, table
from billing.money import plain

HEADINGS = ["source", "", "amount", "", "rows"]


class Command(BillingCommand):
    help = "Show that what was delivered for a period is accounted for; exit 1 where it does not come out."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", metavar="2025-01", required=True, help="the billing period")

    def run(self, **options: Any) -> None:
        proved = proof.prove(period_named(options["period"]))
        self.report(proved.as_data(), as_text(proved))
        if not proved.comes_out:
            raise CommandError(proved.verdict)


def as_text(proved: proof.Proof) -> str:
    """Write a proof for a terminal."""
    parts = []
    for code, title in proof.TITLES.items():
        equations = [each for each in proved.equations if each.code == code]
        if not equations:
            continue
        rows = []
        for each in equations:
            name = each.source + (f" ({each.of_currency})" if each.of_currency else "")
            for sign, terms in (("", each.left), ("=", each.right)):
                for number, term in enumerate(terms):
                    label = f"{sign if number == 0 else ''}{' ' if sign else ''}{term.label}".rstrip()
                    rows.append([name, label, proof.exact_text(term.amount), each.currency, f"{term.count:,}"])
                    name = ""
            if each.verdict != proof.Verdict.OK:
                off = f"{plain(each.difference)}" if each.difference else ""
                rows.append(["", f"→ {each.verdict.value}: {each.note}", off, "", ""])
        parts.append(f"{title}\n{table(rows, HEADINGS, {2, 4})}")
    said = "".join(f"\n- {each}" for each in proved.problems())
    parts.append(f"{proved.verdict}{said}")
    return "\n\n".join(parts)
