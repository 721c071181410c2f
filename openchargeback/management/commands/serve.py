"""Run the web server and the background worker together."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand
from openchargeback import privacy, serving


class Command(BillingCommand):
    help = "Serve the site and run its background work, until Ctrl+C or a signal ends both."
    permission = "billing.change_user"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
        parser.add_argument("--port", type=serving.port_number, default=8000)
        parser.add_argument("--web-workers", type=int, default=min(4, os.cpu_count() or 1), metavar="N")

    def run(self, **options: Any) -> None:
        host, port = options["host"], options["port"]
        serving.require_ready()
        serving.require_free(host, port, patience=5.0)
        privacy.close()
        serving.link_to(port)
        shown = "localhost" if host in ("127.0.0.1", "::1") else host
        served = serving.run_together(
            serving.commands(host=host, port=port, web_workers=options["web_workers"]),
            started=lambda: self.stderr.write(announcement(f"http://{shown}:{port}"), self.style.NOTICE),
        )
        if not served.asked:
            raise CommandError(
                f"The {served.child} process ended with code {served.exit_code}; the rest was ended with it. "
                "What it wrote above says why."
            )
        self.report({"served": f"http://{shown}:{port}", "ended": "asked"}, "Ended.")


def announcement(address: str) -> str:
    """Say where the site is, and why a browser that goes there is sent to https."""
    text = f"Serving at {address} (Ctrl+C ends it)."
    if settings.IS_DEMO:
        text += " This is the sample institution, with data of its own."
    elif settings.IS_TRIAL:
        text += " This machine alone can open it. For others set ALLOWED_HOSTS and SITE_URL: docs/operations."
    elif getattr(settings, "SECURE_SSL_REDIRECT", False):
        text += " Pages need https: reach it through your proxy, or set INSECURE_HTTP=true for a trial without one."
    return text
