"""Licenses: who holds seats of which feature, as FlexLM's `lmstat -a` and `lmstat -i` report it at a moment."""

import datetime
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from ...readers.batches import UnreadableFile
from ...texts import long_moment
from ..level_policies import ByTime
from ..records import Measure, Shape
from .fields import UTC, BadField, moment_in_name, name_of
from .gathering import Record, batches_of
from .kinds import Kind, Tally
from .opened import lines_of
from .settings import Given

SEATS = {"seat": 1}
SHAPE = Shape(
    # `use` is checkout, reservation or capacity.
    attributes=("system", "feature", "vendor", "use"),
    measures=(
        Measure("seats", SEATS),
        # How many there are, whoever holds them: one record for each feature and report, which nobody is charged for.
        Measure("issued", SEATS),
    ),
    are_levels=True,
)
CAPACITY, RESERVED = "capacity", "reserved"

_STATUS = re.compile(r"\bstatus on \w{3} (\d{1,2})/(\d{1,2})(?:/(\d{4}))? (\d{1,2}):(\d{2})")
_SERVER = re.compile(r"License server status: (?:\d*@)?([^,\s]+)")
_FEATURE = re.compile(r"Users of (\S+):\s+\((.*)\)\s*$")
_TOTAL = re.compile(r"Total of (\d+) licenses? issued;\s+Total of (\d+) licenses? in use")
_VENDOR = re.compile(r"\"\S+\" v\S+, vendor: ([^,\s]+)")
_RESERVATION = re.compile(r"\s+(\d+) RESERVATIONs? for (\w+) (.+) \([^()]*\)\s*$")
# User, host and display, of which each may have blanks in it; then the version, the server, and since when.
_CHECKOUT = re.compile(r"\s+(\S+) .*\([^()]*\) \([^()]*\), start \w{3} [\d/]+ [\d:]+(?:, (\d+) licenses?\b)?")
_QUEUED = re.compile(r"\s+\S+ .* queued for \d+ licenses?")
_ISSUED_HEADER = re.compile(r"Feature\s+Version\s+#licenses\s+Expires\s+Vendor")
_ISSUED = re.compile(r"(\S+)\s+\S+\s+(\d+)\s+\S+\s+(\S+)\s*$")

NO_YEAR = "The report does not say its year. Put the day into the file's name, such as lmstat-2026-01-31.txt."
NO_TIME = "lmstat -i does not say when it ran. Put the day into the file's name, such as lmstat-2026-01-31.txt."
NO_REPORT = "The file has no report. Run lmstat -a, or lmstat -i, and write what it prints into the file."


@dataclass(frozen=True)
class LicenseSettings:
    """`system` is what the license server is called; its first host where it is empty.

    Seats that are reserved are free unless `charges_reservations`: then the group they are reserved for is the account.
    """

    system: str = ""
    zone: ZoneInfo = UTC
    taken_at: datetime.datetime | None = None
    charges_reservations: bool = False
    policy: ByTime = ByTime()


def settings_of(settings: Mapping[str, Any]) -> LicenseSettings:
    """Return the settings of a feed, or raise BadSettings."""
    given = Given(settings)
    zone = given.zone("time_zone")
    found = LicenseSettings(
        system=given.text("system"),
        zone=zone,
        taken_at=given.moment("taken_at", zone),
        charges_reservations=given.flag("charges_reservations"),
        policy=ByTime(60 * given.number("longest_hold_minutes", 60, least=1, most=24 * 60)),
    )
    given.done()
    return found


def shape(settings: LicenseSettings) -> Shape:
    """Return what records of licenses have."""
    return SHAPE


@dataclass
class _Feature:
    """A feature in a report: how many seats there are, how many are said to be in use, and who holds which."""

    name: str
    issued: int = 0
    in_use: int = 0
    vendor: str = ""
    users: Counter[str] = field(default_factory=Counter)
    reservations: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class _Report:
    """What one run of lmstat printed."""

    at: int
    # It is of lmstat -i: a table of what is licensed.
    is_table: bool = False
    system: str = ""
    features: list[_Feature] = field(default_factory=list)


def read(path: Path, name: str, settings: LicenseSettings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield who held seats, report by report: a file may have many of them. See Kind.

    Hosts, displays and process numbers are not kept. In constant memory, but for one report.
    """
    try:
        yield from batches_of(_records(path, name, settings, tally), SHAPE, tally)
    except BadField as error:
        raise error.at(None) from None


def _records(path: Path, name: str, settings: LicenseSettings, tally: Tally) -> Iterator[Record]:
    reports = 0
    for report in _reports(path, name, settings, tally):
        reports += 1
        if not report.features:
            at = datetime.datetime.fromtimestamp(report.at, settings.zone)
            tally.left_out["report without an answer of the license server"] += 1
            tally.notes.append(f"The license server did not answer: {long_moment(at)}.")
        _tell_unlisted(report, tally)
        yield from _of_report(report, settings)
    if not reports:
        raise UnreadableFile(NO_REPORT)


def _reports(path: Path, name: str, settings: LicenseSettings, tally: Tally) -> Iterator[_Report]:
    report: _Report | None = None
    for number, line in lines_of(path):
        tally.lines += 1
        if found := _STATUS.search(line):
            if report:
                yield report
            report = _Report(_moment(found, number, name, settings))
        elif _ISSUED_HEADER.match(line):
            if report:
                yield report
            report = _Report(_moment_of_file(name, settings), is_table=True)
        elif report:
            try:
                _read_line(line, report, tally)
            except BadField as error:
                raise error.at(number) from None
    if report:
        yield report


def _read_line(line: str, report: _Report, tally: Tally) -> None:
    """Take what a line of a report says; most say nothing that is kept."""
    feature = report.features[-1] if report.features else None
    if found := _FEATURE.match(line):
        total = _TOTAL.search(found[2])
        if not total:
            tally.left_out["feature without a count of licenses"] += 1
        issued, in_use = map(int, total.groups() if total else (0, 0))
        report.features.append(_Feature(name_of(found[1], "feature"), issued, in_use))
    elif found := _SERVER.match(line):
        report.system = name_of(found[1], "server")
    elif report.is_table and (found := _ISSUED.match(line)):
        report.features.append(
            _Feature(name_of(found[1], "feature"), int(found[2]), vendor=name_of(found[3], "vendor"))
        )
    elif feature is None:
        return
    elif found := _VENDOR.search(line):
        feature.vendor = name_of(found[1], "vendor")
    elif found := _RESERVATION.match(line):
        feature.reservations[name_of(found[2], "reservation"), name_of(found[3], "reservation")] += int(found[1])
    elif _QUEUED.match(line):
        tally.left_out["user who waits for a license"] += 1
    elif found := _CHECKOUT.match(line):
        feature.users[name_of(found[1], "user")] += int(found[2] or 1)


def _moment(found: re.Match[str], line: int, name: str, settings: LicenseSettings) -> int:
    month, day, year, hour, minute = (int(part) if part else 0 for part in found.groups())
    if not year:
        known = settings.taken_at
        if known is None and (moment := moment_in_name(name, settings.zone)) is not None:
            known = datetime.datetime.fromtimestamp(moment, settings.zone)
        if known is None:
            raise UnreadableFile(NO_YEAR, line)
        year = known.year
    try:
        return int(datetime.datetime(year, month, day, hour, minute, tzinfo=settings.zone).timestamp())
    except ValueError:
        raise UnreadableFile("The time of the report is no time: month/day/year is expected.", line) from None


def _moment_of_file(name: str, settings: LicenseSettings) -> int:
    if settings.taken_at is not None:
        return int(settings.taken_at.timestamp())
    moment = moment_in_name(name, settings.zone)
    if moment is None:
        raise UnreadableFile(NO_TIME)
    return moment


def _tell_unlisted(report: _Report, tally: Tally) -> None:
    """Say where a report says that more seats are in use than it lists: nobody can be charged for these."""
    for feature in report.features:
        listed = feature.users.total() + feature.reservations.total()
        if listed < feature.in_use:
            tally.left_out["seat in use that the report does not list"] += feature.in_use - listed


def _of_report(report: _Report, settings: LicenseSettings) -> Iterator[Record]:
    system = settings.system or report.system or "flexlm"
    by_name: dict[str, _Feature] = {}
    for each in report.features:
        # A feature of several vendors or versions has several entries.
        feature = by_name.setdefault(each.name, _Feature(each.name, vendor=each.vendor))
        feature.issued += each.issued
        feature.users += each.users
        feature.reservations += each.reservations
    for feature in by_name.values():
        resource = f"{system}/{feature.name}"
        common: dict[str, str | int] = {
            **{"start": report.at, "end": report.at, "resource": resource},
            **{"system": system, "feature": feature.name, "vendor": feature.vendor},
        }
        # It is there in every report, so that a report in which nobody holds a seat is one too.
        yield {**common, "id": resource, "use": "capacity", "free": CAPACITY, "issued": feature.issued}
        for user, seats in feature.users.items():
            yield {**common, "id": f"{resource}:{user}", "user": user, "use": "checkout", "seats": seats}
        for (what, holder), seats in feature.reservations.items():
            record = {**common, "id": f"{resource}:{what} {holder}", "use": "reservation", "seats": seats}
            yield record | ({"account": holder} if settings.charges_reservations else {"free": RESERVED})


KIND = Kind("licenses", "Licenses: FlexLM", settings_of, shape, read, takes_time_from_name=True)
