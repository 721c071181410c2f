"""What every command shares: who acts and may, `--json`, and refusals as a line on stderr with exit code 1."""

import argparse
import datetime
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import db
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.core.management.color import no_style
from django.db import IntegrityError, OperationalError
from django.utils import timezone

from . import doors, safeguards, schema
from .audit import Actor
from .background import outages
from .currencies import refusal
from .errors import BillingError
from .models import BillingPeriod, User
from .money import plain, rounded, written
from .progress import TerminalProgress
from .texts import ascii_json, shown, shown_json, shown_lines


class Terminal(OutputWrapper):
    """Where a command writes: nothing that a file, a tag or a person typed acts on the terminal or breaks the command.

    What moves the cursor, hides or turns the direction is written out (`\\x1b`), and so is what the terminal's encoding
    has no character for. Line feeds are the command's own: texts that may have some are `shown` before.
    """

    def __init__(self, out: Any, ending: str = "\n") -> None:
        # Django wraps what it is given; a command that calls another hands on what is wrapped already.
        super().__init__(getattr(out, "_out", out), ending)

    def write(  # type: ignore[override]
        self, msg: str = "", style_func: Any = None, ending: str | None = None
    ) -> None:
        text = shown_lines(str(msg))
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        super().write(text.encode(encoding, "backslashreplace").decode(encoding), style_func, ending)

    def write_json(self, text: str) -> None:
        """Write a text of JSON, which stays the same JSON."""
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = ascii_json(text)
        self.write(shown_json(text))


class NeedsInitialize(BaseCommand):
    """A command that works on the database: before anything else it asks whether `initialize` made it ready."""

    needs_initialize = True

    # Django sets both when a command is made, and again when it is called with others.
    @property
    def stdout(self) -> Terminal:
        return self._stdout

    @stdout.setter
    def stdout(self, stream: object) -> None:
        self._stdout = Terminal(stream)

    @property
    def stderr(self) -> Terminal:
        return self._stderr

    @stderr.setter
    def stderr(self, stream: object) -> None:
        self._stderr = Terminal(stream)
        self._stderr.style_func = getattr(stream, "style_func", None)

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Check the installation, told without colors: those that Django sets into its text would be written out."""
        style, self.style = self.style, no_style()
        try:
            super().check(*args, **kwargs)
        finally:
            self.style = style

    def execute(self, *args: object, **options: object) -> str | None:
        try:
            if self.needs_initialize:
                require_initialized()
            return super().execute(*args, **options)
        except BrokenPipeError:
            # Who reads has enough (`| head`): nothing went wrong here. manage.py ends quietly.
            raise
        except OSError as error:
            raise CommandError(outages.said_of_file(error)) from error
        except db.Error as error:
            if outage := outages.outage_of(error):
                raise CommandError(str(outage)) from error
            raise

    def get_version(self) -> str:
        return settings.VERSION


def require_initialized() -> None:
    """Raise CommandError where tables are missing or of another version, or the database does not answer."""
    try:
        if not schema.lacking():
            return
        state = "The database is empty" if schema.is_empty() else "The database is not up to date"
    except OperationalError as error:
        raise CommandError(f"The database cannot be reached: {str(error).strip()}") from error
    except schema.AnotherVersion as error:
        raise CommandError(str(error)) from error
    raise CommandError(f"{state}: run `manage.py initialize` first.")


class BillingCommand(NeedsInitialize):
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
        except BillingError as error:
            raise CommandError(doors.for_terminal(error)) from error
        except ObjectDoesNotExist as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except IntegrityError as error:
            if not (said := safeguards.said(error)):
                raise
            raise CommandError(said) from error
        finally:
            self.progress.close()

    def permissions(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what it takes to do what was asked."""
        return (self.permission if isinstance(self.permission, str) else self.permission[options["verb"]],)

    def run(self, **options: object) -> None:
        """Do what the command is for, with `self.actor` and `self.now`."""
        raise NotImplementedError

    def report(self, data: dict[str, Any], text: str) -> None:
        """Print `data` as one JSON object under --json, and `text` otherwise."""
        self.progress.close()
        if self.as_json:
            written_out = json.dumps(in_its_currency(data), default=as_json, indent=2, ensure_ascii=False)
            self.stdout.write_json(written_out)
        else:
            self.stdout.write(text)


def in_its_currency(data: object, currency: str | None = None) -> Any:
    """Write the amounts in what a command reports as text with the decimals of their currency: yen have none.

    The currency is the one named beside them, or around them; sums of several are under the names of theirs.
    """
    if isinstance(data, Decimal):
        return plain(data, currency)
    if isinstance(data, Mapping):
        named = data.get("currency")
        currency = named if isinstance(named, str) and named else currency
        return {
            key: in_its_currency(value, key if isinstance(key, str) and not refusal(key) else currency)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [in_its_currency(value, currency) for value in data]
    return data


def as_json(value: object) -> str:
    """Write what JSON has no form for: amounts as exact decimal text, dates and all else as printed."""
    if isinstance(value, Decimal):
        return plain(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)


def subparsers_of(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of a command's sub-commands (`periods list`, `periods close`)."""
    # argparse has no public name for what was added to a parser.
    return [
        choice
        for action in parser._actions  # noqa: SLF001 (see above)
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 (see above)
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
    names = ", ".join(doors.holders(permission)) or "superusers only"
    raise CommandError(f"{user} may not do this: it takes the permission {permission} (held by {names}).")


def period_named(text: str) -> BillingPeriod:
    """Return the period written `2025-01`; raise CommandError with what exists."""
    try:
        return BillingPeriod.objects.named(text)
    except (ValueError, BillingPeriod.DoesNotExist) as error:
        raise CommandError(str(error)) from error


def amount(value: Decimal | None, currency: str) -> str:
    """Write an amount in cents as the pages do, `20,227.00 USD`, `20,227 JPY`; a dash for none."""
    return "–" if value is None else f"{rounded(value, currency)} {currency}"


def figure(value: Decimal | None, currency: str) -> str:
    """Write an amount like `amount`, where its currency stands beside it."""
    return "–" if value is None else rounded(value, currency)


def exact_figure(value: Decimal | None, currency: str | None) -> str:
    """Write an amount to its last digit, with thousands separators: what has to add up exactly."""
    return "–" if value is None else written(value, currency)


def amounts(by_currency: Mapping[str, Decimal]) -> str:
    """Write sums of several currencies, which are never added: `1.00 EUR, 20,227.00 USD`."""
    return ", ".join(amount(value, currency) for currency, value in sorted(by_currency.items()))


def day(value: datetime.date | None) -> str:
    """Write a day as commands and files do: `2026-11-28`, in the installation's time zone; a dash for none."""
    if isinstance(value, datetime.datetime):
        value = timezone.localtime(value).date()
    return value.isoformat() if value else "–"


def day_named(text: str | None) -> datetime.date | None:
    """Return the day written `2025-01-31`; raise CommandError for anything else."""
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"“{text}” is not a date. Write it such as 2025-01-31.") from None


def moment(value: datetime.datetime | None) -> str:
    """Write a time as commands do: `2026-11-28 14:03`, in the installation's time zone; a dash for none."""
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M}" if value else "–"


def table(rows: list[list[str]], headings: list[str], right: frozenset[int] | set[int] = frozenset()) -> str:
    """Set rows in columns; the columns numbered in `right` (amounts) are flush right. A row is one line."""
    lines = [[shown(cell) for cell in line] for line in (headings, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    set_lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([set_lines[0], "  ".join("-" * width for width in widths), *set_lines[1:]])
