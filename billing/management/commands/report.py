"""A report of months: what usage was worth, what was given, what was charged."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import reports
from billing.commands import BillingCommand, figure, table
from billing.files.writing import write_whole
from billing.reports import Report
from billing.reports.tables import AMOUNT, PERCENT, Value, percent_text
from billing.texts import shown

FORMS = {".csv": reports.as_csv, ".xlsx": reports.as_xlsx, ".pdf": reports.as_pdf}


class Command(BillingCommand):
    help = "Report what usage was worth, what was given and what was charged, over months or a fiscal year."
    permission = "billing.view_payerline"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", choices=tuple(reports.TITLES), help=", ".join(reports.TITLES))
        parser.add_argument("--from", dest="first", metavar="2025-07", help="the first month")
        parser.add_argument("--to", dest="last", metavar="2026-06", help="the last month")
        parser.add_argument("--year", metavar="2026", help="a fiscal year, in place of months")
        parser.add_argument("--by", metavar="WHAT", help=f"one of {', '.join(reports.LABELS)}")
        parser.add_argument("--show", choices=tuple(reports.MEASURES), help="what year over year compares")
        parser.add_argument("--currency", metavar="USD", help="where there are several")
        parser.add_argument("--as-of", metavar="2026-06-30", help="of unposted: as of this posting date")
        for name, label in reports.NARROWING.items():
            parser.add_argument(
                f"--{name}", metavar=name.upper(), help=f"only this {label.lower() if name != 'pi' else label}"
            )
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it as .csv, .xlsx or .pdf")

    def run(self, **options: Any) -> None:
        if options["year"] and (options["first"] or options["last"]):
            raise CommandError("Name a fiscal year or months, not both.")
        names = {"report": "name", "from": "first", "to": "last"}
        said = {
            each: options[names.get(each, each)]
            for each in (*names, "year", "by", "show", "currency", "as_of", *reports.NARROWING)
        }
        path = options["output"]
        if path and path.suffix.lower() not in FORMS:
            raise CommandError(f"{path} is not written: end its name in .csv, .xlsx or .pdf.")
        report = reports.make(reports.read({name: text for name, text in said.items() if text}))
        data, text = report.as_data(), "\n\n".join(_paragraphs(report.brief()))
        if path:
            try:
                write_whole(path, FORMS[path.suffix.lower()](report))
            except OSError as error:
                raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
            data["file"] = str(path)
            text = f"{report.asked.title}, {report.asked.span}: written to {path}."
        self.report(data, text)


def _paragraphs(report: Report) -> Iterator[str]:
    """Yield the title, the table with its total, and the notes."""
    asked = report.asked
    narrowed = "".join(f", {label} {text}" for label, text in asked.narrowed)
    yield f"{asked.title}, {asked.span}, {report.currency}{narrowed}"
    if report.is_empty:
        yield f"There is nothing in these months. {report.asked.when_empty}"
    else:
        rows = [
            [f"{'  ' * row.depth}{row.label}", *map(shown, row.texts), *_figures(report, row.values)]
            for row in report.rows
        ]
        rows.append(["Total", *("" for _ in report.texts), *_figures(report, report.total)])
        headings = [report.heading, *report.texts, *(column.label for column in report.columns)]
        yield table(rows, headings, set(range(1 + len(report.texts), len(headings))))
    yield from report.notes


def _figures(report: Report, values: Sequence[Value]) -> list[str]:
    return [
        percent_text(value)
        if column.kind == PERCENT
        else figure(value, report.currency)  # type: ignore[arg-type]
        if column.kind == AMOUNT
        else f"{value:,}"
        for column, value in zip(report.columns, values, strict=True)
    ]
