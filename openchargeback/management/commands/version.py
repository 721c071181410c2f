"""Say which version of the program this is."""

import platform

import django

from billing.commands import BillingCommand
from openchargeback import __version__


class Command(BillingCommand):
    help = "Print the version of the program, and of what it runs on."
    permission = "billing.view_charge"
    requires_system_checks: list[str] = []
    needs_initialize = False

    def run(self, **options: object) -> None:
        python = platform.python_version()
        self.report(
            {"version": __version__, "django": django.get_version(), "python": python},
            f"OpenChargeback {__version__} (Django {django.get_version()}, Python {python})",
        )
