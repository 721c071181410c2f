"""The workbook of a large report, which the worker writes for who asked."""

import datetime
from typing import Any
from urllib.parse import parse_qsl

from billing import reports
from billing.audit import Actor
from billing.files import exports
from billing.models import Job
from billing.progress import Progress

PERMISSION = "billing.view_payerline"


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Write the workbook of a report to a file for who asked."""
    report = reports.make(reports.read(dict(parse_qsl(arguments["filters"]))))
    name, count = exports.keep("xlsx", lambda file: reports.write_xlsx(report, file, progress))
    rows = "1 row" if count == 1 else f"{count:,} rows"
    told = f"{report.asked.title}, {report.asked.span}: {rows} for pivot tables. {exports.KEPT}"
    return {"message": told, "kept": name, "file_name": reports.file_name(report, "xlsx")}
