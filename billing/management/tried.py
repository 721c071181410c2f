"""What commands that try something have in common: on which months, and how what came of it is told."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, table
from billing.files.writing import whole
from billing.usage import trying


def add_arguments(parser: CommandParser) -> None:
    """Add the months to try something on, and a file for its lines."""
    parser.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="2026-01",
        help="a month, or tiger:2026-01 of one feed; again for more; else the last three of each feed",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write every line to FILE, .csv or .xlsx")


def report(command: BillingCommand, subject: trying.Subject, *, on: Sequence[str], output: str | None) -> None:
    """Try something on months and report it; raise CommandError where a month could not be tried."""
    if output:
        form_of(output, trying.FORMATS)
    asked = trying.named_months(subject, on)
    tried = trying.kept(asked)
    if tried is None:
        tried = trying.try_now(asked, now=command.now, progress=command.progress)
    tell(command, tried, output)


def tell(command: BillingCommand, tried: trying.Tried, output: str | None) -> None:
    """Report what was tried; raise CommandError where a month could not be."""
    form = form_of(output, trying.FORMATS) if output else ""
    lines = trying.words.text_of(tried)
    if output:
        with whole(Path(output)) as file:
            trying.write(tried, file, form)
        lines.append(f"Every line is in {output}.")
    if tried.found:
        amounts = ["charged", "would be", "difference"]
        lines += ["", table(trying.words.pi_rows(tried), ["PI", *amounts], {1, 2, 3})]
        lines += ["", table(trying.words.journal_rows(tried), ["fund/org", "account", *amounts], {2, 3, 4})]
    data: dict[str, Any] = trying.words.data_of(tried) | {"file": output}
    command.report(data, "\n".join(lines))
    if tried.problems:
        raise CommandError(trying.words.untried(tried))


def form_of(output: str, forms: Iterable[str]) -> str:
    """Return the form that the ending of a file's name says; raise CommandError for another."""
    form = output.rpartition(".")[2].lower()
    if form not in forms:
        endings = ", ".join(f".{each}" for each in forms)
        raise CommandError(f"{output} ends in none of {endings}: its ending says its form.", returncode=2)
    return form
