"""Say what of this installation is not as it should be, and where it stands how to mend it."""

import argparse
from typing import Any

from django.core.management import CommandError

from billing.commands import BillingCommand
from openchargeback import system

MARKS = {"ok": "ok", "warn": "look", "bad": "MEND", "": ""}


class Command(BillingCommand):
    help = "Look at every part of this installation, and say what has to be mended. Ends with 1 if anything has."
    permission = "billing.view_user"
    needs_initialize = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--strict", action="store_true", help="end with 1 for what only should be looked at, too")

    def run(self, **options: Any) -> None:
        asked = ("bad", "warn") if options["strict"] else ("bad",)
        groups = system.gather(now=self.now)
        facts = [fact for group in groups for fact in group.facts]
        broken = [fact for fact in facts if fact.state in asked]
        self.report({"ok": not broken, "groups": [_as_data(group) for group in groups]}, _as_text(groups))
        if broken:
            raise CommandError(f"Not in order: {', '.join(fact.label for fact in broken)}.")


def _as_data(group: system.Group) -> dict[str, Any]:
    return {"code": group.code, "title": group.title, "facts": [vars(fact) for fact in group.facts]}


def _as_text(groups: list[system.Group]) -> str:
    lines = []
    for group in groups:
        lines += ["", group.title]
        for fact in group.facts:
            lines.append(f"  {MARKS[fact.state]:<5} {fact.label}: {fact.value}")
            if fact.help and fact.state in ("warn", "bad"):
                lines.append(f"        see docs/{_file(fact.help)}")
    return "\n".join(lines[1:])


def _file(help: str) -> str:
    """Return the file of the documentation that a page of help comes from, with its heading."""
    slug, _, anchor = help.partition("#")
    name = slug if "/" in slug else f"{slug}/README"
    return f"{name}.md" + (f"#{anchor}" if anchor else "")
