"""Show the program with a sample institution: two months, from files to journals, then the site."""

import dataclasses
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser

from billing.commands import BillingCommand, table
from billing.money import rounded
from openchargeback import demo, serving


class Command(BillingCommand):
    help = "Load a sample institution, run its two months, print what was done and the accounts, and serve the site."
    permission = "billing.change_user"
    requires_system_checks: list[str] = []
    needs_initialize = False

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="end after the months are run")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=serving.port_number, default=8000)

    def run(self, **options: Any) -> None:
        call_command("initialize", names_next=False, stdout=self.stderr if self.as_json else self.stdout)
        serving.link_to(options["port"])
        shown = demo.run(actor=self.actor, now=self.now, progress=self.progress)
        address = f"http://localhost:{options['port']}"
        self.report(
            {**dataclasses.asdict(shown), "var_dir": str(settings.VAR_DIR), "address": address},
            as_text(shown, address, is_served=not options["no_serve"]),
        )
        if not options["no_serve"]:
            call_command("serve", host=options["host"], port=options["port"])


def as_text(shown: demo.Shown, address: str, *, is_served: bool) -> str:
    """What was done, where the files lie, and who can sign in."""
    lines = ["", f"{shown.institution}: the sample institution", ""]
    for month in shown.months:
        money = partial(_money, currency=month.currency)
        held = f", {month.held} held for review" if month.held else ""
        lines.append(f"{month.period}  {month.status}: {month.charges} charges, {money(month.billed)} billed{held}")
        if month.decided:
            lines.append(f"         {month.decided} charges reviewed now")
        mailed = f", {month.sent} e-mails written now" if month.sent else ""
        lines.append(f"         {month.statements} statements, {money(month.due)} charged{mailed}")
        if month.journal:
            lines.append(
                f"         journal {month.journal} ({month.journal_state}): "
                f"debits {money(month.debits)} = credits {money(month.credits)}"
            )
            lines.append(f"         {month.journal_file}")
        if month.receivables:
            invoices = f"receivables {month.receivables} ({month.receivables_state})"
            lines.append(f"         {invoices}: {money(month.invoiced)} on invoices")
    accounts = [[account.username, account.role, account.password] for account in shown.accounts]
    lines += [
        "",
        f"Statements  {settings.VAR_DIR / 'statements'}",
        f"Journals    {settings.VAR_DIR / 'journals'}",
        f"E-mails     {settings.EMAIL_FILE_PATH}" if _mail_goes_to_files() else "E-mails     sent by EMAIL_URL",
        "",
        "Accounts (their passwords are new, and shown this once):",
        table(accounts, ["user", "role", "password"]),
        "",
        f"The site: {address}" if is_served else "`DEMO=true make serve` serves the site.",
        "",
        f"All of this lies in {settings.VAR_DIR}, apart from an installation of your own. Other commands work on the",
        "sample with DEMO=true before them. To start for real, see docs/getting-started: configure .env, then run",
        "`manage.py initialize`, `manage.py createsuperuser` and `make serve`.",
        "",
    ]
    return "\n".join(lines)


def _money(amount: Decimal, currency: str) -> str:
    return f"{rounded(amount, currency)} {currency}"


def _mail_goes_to_files() -> bool:
    return bool(settings.EMAIL_BACKEND.endswith("filebased.EmailBackend"))
