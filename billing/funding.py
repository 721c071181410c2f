"""Loading the list of fund/orgs that may be charged: all of a file, or nothing with the lines that are wrong."""

import csv
import datetime
import io
from dataclasses import dataclass
from typing import IO, Any

from django.core.exceptions import ValidationError

from . import audit
from .audit import Actor
from .errors import BillingError
from .models import FundingSource, Project
from .snapshots import differences, snapshot

COLUMNS = ("fund_org", "name", "sponsored", "valid_from", "valid_until", "last_posting_date", "projects")
DATES = ("valid_from", "valid_until", "last_posting_date")
YES, NO = frozenset({"1", "y", "yes", "true", "x"}), frozenset({"", "0", "n", "no", "false"})
BATCH = 500
# What is told of a file with more mistakes than anybody reads.
SHOWN = 50


@dataclass(frozen=True)
class LineError:
    """What is wrong on a line of the list."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return (
            f"line {self.line}, {self.column}: {self.message}" if self.column else f"line {self.line}: {self.message}"
        )


class FundsRefused(BillingError):
    """A list of funds that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    def __init__(self, errors: list[LineError], said: str = "") -> None:
        self.errors = errors
        more = len(errors) - SHOWN
        lines = [str(error) for error in errors[:SHOWN]] + ([f"… and {more:,} more"] if more > 0 else [])
        super().__init__("\n".join([said or "No fund was loaded.", *lines]))


@dataclass(frozen=True)
class LoadedFunds:
    """What a list of funds changed. Funds that it does not name stay as they are."""

    added: int
    changed: int
    unchanged: int


def load_funds(*, file: IO[bytes], actor: Actor, now: datetime.datetime) -> LoadedFunds:
    """Add and change funds from a CSV file with the columns of COLUMNS, of which only `fund_org` is a must.

    A column that the file lacks leaves that field as it is; an empty cell clears it. Project codes
    in `projects` are separated by semicolons and must exist.

    Raises FundsRefused with every mistake by line and column.
    """
    rows = _read(file)
    with audit.gesture(actor=actor, now=now) as gesture:
        projects = {code.casefold(): pk for pk, code in Project.objects.values_list("pk", "code")}
        errors: list[LineError] = []
        wanted: dict[str, tuple[int, dict[str, Any]]] = {}
        for line, row in rows:
            values = _parse(line, row, projects, errors)
            fund_org = values.get("fund_org", "")
            if fund_org in wanted:
                errors.append(LineError(line, "fund_org", f"{fund_org} is on line {wanted[fund_org][0]} already"))
            elif fund_org:
                wanted[fund_org] = (line, values)
        stored = {fund.fund_org: fund for fund in FundingSource.objects.all()}
        before = {name: snapshot(fund, with_links=False) for name, fund in stored.items() if name in wanted}
        linked = _links()
        added, changed, links = [], [], {}
        for fund_org, (line, values) in wanted.items():
            codes = values.pop("projects", None)
            is_new = fund_org not in stored
            fund = stored.get(fund_org) or FundingSource(fund_org=fund_org)
            for name, value in values.items():
                setattr(fund, name, value)
            try:
                fund.clean_fields()
                fund.validate_constraints(exclude={"fund_org"})
            except ValidationError as error:
                errors += [LineError(line, "", message) for message in error.messages]
            differs = codes is not None and codes != linked.get(fund.pk, set())
            if differs:
                links[fund_org] = codes
            if is_new:
                added.append(fund)
            elif differs or snapshot(fund, with_links=False) != before[fund_org]:
                changed.append(fund)
        if errors:
            raise FundsRefused(sorted(errors, key=lambda error: error.line))
        FundingSource.objects.bulk_create(added, batch_size=BATCH)
        FundingSource.objects.bulk_update(changed, ["name", "is_sponsored", *DATES], batch_size=BATCH)
        _link(links, {fund.fund_org: fund.pk for fund in [*added, *changed]})
        for fund in added:
            gesture.record("funding_source.added", fund, after=snapshot(fund, with_links=False))
        for fund in changed:
            old, new = differences(before[fund.fund_org], snapshot(fund, with_links=False))
            if fund.fund_org in links:
                old["projects"], new["projects"] = sorted(linked.get(fund.pk, ())), sorted(links[fund.fund_org])
            gesture.record("funding_source.changed", fund, before=old, after=new)
        loaded = LoadedFunds(len(added), len(changed), len(wanted) - len(added) - len(changed))
        gesture.record("funds.loaded", after={"added": loaded.added, "changed": loaded.changed})
        return loaded


def _read(file: IO[bytes]) -> list[tuple[int, dict[str, str]]]:
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FundsRefused([], "The file is not UTF-8 text. Save it as “CSV UTF-8”.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        headings = [
            str(name or "").strip().casefold().replace("/", "_").replace(" ", "_") for name in reader.fieldnames or ()
        ]
        reader.fieldnames = headings
        if "fund_org" not in headings:
            raise FundsRefused([], f"The file has no column fund_org. Its columns may be: {', '.join(COLUMNS)}.")
        if unknown := sorted(set(headings) - set(COLUMNS) - {""}):
            raise FundsRefused([], f"Unknown columns: {', '.join(unknown)}. There may be: {', '.join(COLUMNS)}.")
        rows = []
        for row in reader:
            if None in row:
                raise FundsRefused([LineError(reader.line_num, "", "has more cells than the first line has columns")])
            if any((cell or "").strip() for cell in row.values()):
                rows.append((reader.line_num, {name: (cell or "").strip() for name, cell in row.items() if name}))
    except csv.Error as error:
        raise FundsRefused([LineError(reader.line_num, "", str(error))]) from error
    if not rows:
        raise FundsRefused([], "The file names no fund/org.")
    return rows


def _parse(line: int, row: dict[str, str], projects: dict[str, int], errors: list[LineError]) -> dict[str, Any]:
    values: dict[str, Any] = {"fund_org": row["fund_org"]}
    if not row["fund_org"]:
        errors.append(LineError(line, "fund_org", "is empty"))
    if "name" in row:
        values["name"] = row["name"]
    if "sponsored" in row:
        said = row["sponsored"].casefold()
        if said not in YES | NO:
            errors.append(LineError(line, "sponsored", f"“{row['sponsored']}” is neither yes nor no"))
        values["is_sponsored"] = said in YES
    for name in DATES:
        if name in row:
            try:
                values[name] = datetime.date.fromisoformat(row[name]) if row[name] else None
            except ValueError:
                errors.append(LineError(line, name, f"“{row[name]}” is not a date such as 2025-06-30"))
    if "projects" in row:
        codes = {code.strip() for code in row["projects"].split(";") if code.strip()}
        if unknown := sorted(code for code in codes if code.casefold() not in projects):
            errors.append(LineError(line, "projects", f"there is no project {', '.join(unknown)}"))
        values["projects"] = {projects[code.casefold()] for code in codes if code.casefold() in projects}
    return values


def _links() -> dict[int, set[int]]:
    links: dict[int, set[int]] = {}
    for fund_id, project_id in FundingSource.projects.through.objects.values_list("fundingsource_id", "project_id"):
        links.setdefault(fund_id, set()).add(project_id)
    return links


def _link(links: dict[str, set[int]], ids: dict[str, int]) -> None:
    through = FundingSource.projects.through
    through.objects.filter(fundingsource_id__in=[ids[fund_org] for fund_org in links]).delete()
    through.objects.bulk_create(
        [
            through(fundingsource_id=ids[fund_org], project_id=project_id)
            for fund_org, codes in links.items()
            for project_id in sorted(codes)
        ],
        batch_size=BATCH,
    )
