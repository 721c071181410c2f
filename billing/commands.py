"""What every command shares: who acts and may, `--json`, and refusals as a line on stderr with exit code 1."""

import argparse
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError
from django.utils import timezone

from . import walls
from .audit import Actor
from .errors import BillingError
from .models import BillingPeriod, User
from .money import plain
from .progress import TerminalProgress


class BillingCommand(BaseCommand):
    """A door from the command line to one engine function.

    A subclass defines `permission`, `arguments()` and `run()`. Exit codes: 0 done, 1 refused, 2 wrong usage.
    """

    # What it takes of who is named with --as, the same as on the web; by verb where there are several. Without
    # --as it is the shell's word, and the shell may do everything.
    permission: str | Mapping[str, str]

    # What a person reads goes to stdout, and with --json one object and nothing else.
    def add_arguments(self, parser: CommandParser) -> None:
        self.arguments(parser)
        for each in subparsers_of(parser) or [parser]:
            each.add_argument("--json", action="store_true", help="print one JSON object instead of text")
            each.add_argument("--as", dest="as_user", metavar="USER", help="act as this user, who has to be allowed to")

    def arguments(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json = options.pop("json")
        self.actor = actor_named(options.pop("as_user"))
        if self.actor.user:
            for permission in self.permissions(options):
                require(self.actor.user, permission)
        self.now = timezone.now()
        self.progress = TerminalProgress()
        try:
            self.run(**options)
        except (BillingError, ObjectDoesNotExist) as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except IntegrityError as error:
            if not (said := walls.said(error)):
                raise
            raise CommandError(said) from error
        finally:
            self.progress.close()

    def permissions(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what it takes to do what was asked."""
        return (self.permission if isinstance(self.permission, str) else self.permission[options["verb"]],)

    def run(self, **options: Any) -> None:
        """Do what the command is for, with `self.actor` and `self.now`."""
        raise NotImplementedError

    def report(self, data: dict[str, Any], text: str) -> None:
        """Print `data` as one JSON object under --json, and `text` otherwise."""
        self.progress.close()
        self.stdout.write(json.dumps(data, default=as_json, indent=2, ensure_ascii=False) if self.as_json else text)


def as_json(value: Any) -> str:
    """Write what JSON has no form for: amounts as exact decimal text, dates and all else as printed."""
    if isinstance(value, Decimal):
        return plain(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)


def subparsers_of(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of a command's sub-commands (`periods list`, `periods close`)."""
    return [
        choice
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for choice in action.choices.values()
    ]


def subcommands(parser: CommandParser) -> Any:
    """Give a command sub-commands; naming none is wrong usage.

    Each `add_parser("close", help="…")` of the result takes its own arguments.
    """
    return parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=argparse.ArgumentParser)


def actor_named(username: str | None) -> Actor:
    """Return who acts on the command line; raise CommandError for a user who does not exist or is switched off."""
    if username is None:
        return Actor.from_command()
    try:
        user = User.objects.get_by_natural_key(username)
    except User.DoesNotExist:
        raise CommandError(f"There is no user “{username}” to act as.") from None
    if not user.is_active:
        raise CommandError(f"The account {user} is switched off: nobody acts as {user}.")
    return Actor.from_command(user)


def require(user: User, permission: str) -> None:
    """Raise CommandError with the roles that may, where a user may not."""
    if user.has_perm(permission):
        return
    app, _, code = permission.partition(".")
    roles = Group.objects.filter(permissions__content_type__app_label=app, permissions__codename=code)
    names = ", ".join(roles.order_by("name").values_list("name", flat=True)) or "superusers only"
    raise CommandError(f"{user} may not do this: it takes the permission {permission} (held by {names}).")


def period_named(text: str) -> BillingPeriod:
    """Return the period written `2025-01`; raise CommandError with what exists."""
    try:
        return BillingPeriod.objects.named(text)
    except (ValueError, BillingPeriod.DoesNotExist) as error:
        raise CommandError(str(error)) from error


def table(rows: list[list[str]], headings: list[str], right: frozenset[int] | set[int] = frozenset()) -> str:
    """Set rows in columns; the columns numbered in `right` (amounts) are flush right."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    set_lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([set_lines[0], "  ".join("-" * width for width in widths), *set_lines[1:]])
