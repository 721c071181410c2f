"""Loading the list of fund/orgs that may be charged: all of a file, or nothing with the lines that are wrong."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any

from django.core.exceptions import ValidationError

from .. import audit
from ..attribution.holding import Settled
from ..audit import Actor
from ..audit.snapshots import snapshot
from ..errors import BillingError
from ..models import FaTreatment, FundException, FundingSource, Policy, Project
from ..readers.cells import Kind, check_code, unwrapped
from ..readers.values import BadValue
from ..texts import cleaned, code_of, folded_code, folds_of, is_missing, long_date, odd_characters, quoted
from . import releasing
from .lists import ListRefused, Loaded, Loading, read_list

COLUMNS = {
    "fund_org": Kind.CODE,
    "name": Kind.TEXT,
    "sponsored": Kind.YES,
    "fa": Kind.TEXT,
    "valid_from": Kind.DATE,
    "valid_until": Kind.DATE,
    "last_posting_date": Kind.DATE,
    "projects": Kind.CODE,
}
DATES = ("valid_from", "valid_until", "last_posting_date")
YES, NO = frozenset({"1", "y", "yes", "true", "x"}), frozenset({"", "0", "n", "no", "false"})
DATE_WORDS = {
    "valid_from": "first day of service",
    "valid_until": "last day of service",
    "last_posting_date": "last posting date",
}
CHANGED = ("fund_org", "name", "is_sponsored", "fa_treatment", *DATES)
BATCH = 500


class FundsRefused(ListRefused):
    """A list of funds that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "No fund was loaded."


class ExceptionRefused(BillingError):
    """An exception of a fund/org that says nothing, or that there is no reason for."""


@dataclass(frozen=True)
class LoadedFunds(Loaded):
    """What a list of funds changed. Funds that it does not name stay as they are."""

    NOUNS = ("fund", "funds")


@dataclass(frozen=True)
class Excepted:
    """Exceptions that were recorded or revoked, and what became of the charges that were held."""

    exceptions: tuple[FundException, ...]
    settled: Settled

    def __str__(self) -> str:
        fund = self.exceptions[0].fund
        verb = "revoked" if self.exceptions[0].revoked_at else "recorded"
        dates = "; ".join(each.dates for each in self.exceptions)
        released = releasing.told(self.settled.cleared, self.settled.billed)
        return f"Exception of {fund} {verb}: {dates}. {released}".strip()


def record_exception(
    *,
    fund: FundingSource,
    reason: str,
    valid_from: datetime.date | None = None,
    valid_until: datetime.date | None = None,
    last_posting_date: datetime.date | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Excepted:
    """Move dates of a fund/org outward, such as for a no-cost extension, and release the charges that waited for it.

    The list stays as it was loaded. Raises ExceptionRefused.
    """
    reason = reason.strip()
    if not reason:
        raise ExceptionRefused(f"Say why {fund} gets an exception: the reason stays with it.")
    given = {"valid_from": valid_from, "valid_until": valid_until, "last_posting_date": last_posting_date}
    if not any(given.values()):
        raise ExceptionRefused("Give at least one date: a first or last day of service, or a last posting date.")
    for name, date in given.items():
        listed = getattr(fund, name)
        words = DATE_WORDS[name]
        if date and listed is None:
            raise ExceptionRefused(f"{fund} has no {words}: there is nothing to except it from.")
        if date and (date >= listed if name == "valid_from" else date <= listed):
            raise ExceptionRefused(
                f"The {words} of {fund} is {long_date(listed)}: an exception moves it "
                f"{'back' if name == 'valid_from' else 'on'}."
            )
    with audit.gesture(actor=actor, now=now) as gesture:
        exception = FundException.objects.create(
            fund=fund, reason=reason, recorded_at=now, recorded_by=actor.user, recorded_by_name=actor.name, **given
        )
        gesture.record("fund_exception.recorded", exception, after=snapshot(exception), note=reason)
        return Excepted((exception,), releasing.release(gesture=gesture))


def revoke_exceptions(*, fund: FundingSource, actor: Actor, now: datetime.datetime) -> Excepted:
    """Have the exceptions of a fund/org hold no longer: its dates are those of the list again.

    What was charged meanwhile stays charged; held charges are held against the list.
    Raises ExceptionRefused where none is in force.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        in_force = FundException.objects.select_for_update(no_key=True).filter(fund=fund, revoked_at__isnull=True)
        revoked = list(in_force.order_by("pk"))
        if not revoked:
            raise ExceptionRefused(f"{fund} has no exception in force.")
        for each in revoked:
            each.revoked_at, each.revoked_by_name = now, actor.name
            each.save(update_fields=["revoked_at", "revoked_by_name"])
            gesture.record(
                "fund_exception.revoked",
                each,
                before={"revoked_at": None, "revoked_by_name": ""},
                after={"fund": fund.fund_org, "revoked_at": now, "revoked_by_name": actor.name},
            )
        return Excepted(tuple(revoked), releasing.release(gesture=gesture))


def load_funds(*, file: IO[bytes], is_dry_run: bool = False, actor: Actor, now: datetime.datetime) -> LoadedFunds:
    """Add and change funds from a CSV or Excel file with the columns of COLUMNS, of which only `fund_org` is a must.

    A column that the file lacks leaves that field as it is; an empty cell clears it. Project codes
    in `projects` are separated by semicolons and must exist. Charges that were held for what the list now answers are
    released. A dry run stores nothing.

    Raises FundsRefused with every mistake by line and column.
    """
    rows = read_list(file, columns=COLUMNS, refused=FundsRefused, nobody="The file names no fund/org.")
    with audit.gesture(actor=actor, now=now) as gesture:
        before = _links()
        loading, links = _loading(rows, before)
        loading.require_right(FundsRefused)
        done = LoadedFunds(len(loading.added), len(loading.changed), loading.unchanged, is_dry_run=is_dry_run)
        if is_dry_run:
            return done
        changed = [fund for fund, _ in loading.changed]
        FundingSource.objects.bulk_create(loading.added, batch_size=BATCH)
        FundingSource.objects.bulk_update(changed, CHANGED, batch_size=BATCH)
        _link(links, {fund.fund_org: fund.pk for fund in [*loading.added, *changed]})
        loading.record(
            gesture,
            kind="funding_source",
            links=lambda fund: (
                ({"projects": sorted(before.get(fund.pk, ()))}, {"projects": sorted(links[fund.fund_org])})
                if fund.fund_org in links
                else ({}, {})
            ),
        )
        gesture.record("funds.loaded", after=loading.counts)
        return replace(done, released=releasing.release(gesture=gesture).cleared)


def _loading(
    rows: list[tuple[int, dict[str, str]]], linked: Mapping[int, set[int]]
) -> tuple[Loading[FundingSource], dict[str, set[int]]]:
    """Give every fund on the list what its line says, unsaved; and the projects of those that get others."""
    loading: Loading[FundingSource] = Loading()
    projects = {folded_code(code): pk for pk, code in Project.objects.values_list("pk", "code")}
    missing = folds_of(Policy.objects.current().missing_words)
    # A list loaded before codes were cleaned may have one otherwise: it is the same fund.
    funds = sorted(FundingSource.objects.all(), key=lambda fund: fund.fund_org == code_of(fund.fund_org))
    stored = {code_of(fund.fund_org): fund for fund in funds}
    links: dict[str, set[int]] = {}
    for line, row in rows:
        values = _values_of(line, row, missing, loading)
        codes = _projects_of(line, row, projects, loading) if "projects" in row else None
        fund_org = values["fund_org"]
        if not fund_org or not loading.is_first(line, "fund_org", key=fund_org, name=fund_org):
            continue
        fund = stored.get(fund_org) or FundingSource(fund_org=fund_org)
        if codes is not None and codes != linked.get(fund.pk, set()):
            links[fund_org] = codes
        loading.fill(line, fund, values, wrong=_wrong, is_linked_anew=fund_org in links)
    return loading, links


def _values_of(
    line: int, row: dict[str, str], missing: Collection[str], loading: Loading[FundingSource]
) -> dict[str, Any]:
    values: dict[str, Any] = {"fund_org": code_of(row["fund_org"])}
    if not row["fund_org"]:
        loading.refuse(line, "fund_org", "is empty")
    elif is_missing(values["fund_org"], missing):
        loading.refuse(line, "fund_org", f"{quoted(row['fund_org'])} means that there is none")
    elif odd := odd_characters(values["fund_org"]):
        loading.refuse(line, "fund_org", f"{quoted(row['fund_org'])}: {odd}")
    if "name" in row:
        values["name"] = cleaned(row["name"])
    if "sponsored" in row:
        said = row["sponsored"].casefold()
        if said not in YES | NO:
            loading.refuse(line, "sponsored", f"“{row['sponsored']}” is neither yes nor no")
        values["is_sponsored"] = said in YES
    if "fa" in row:
        values["fa_treatment"] = row["fa"].strip().casefold()
        if values["fa_treatment"] not in ("", *FaTreatment.values):
            allowed = ", ".join(FaTreatment.values)
            loading.refuse(line, "fa", f"{quoted(row['fa'])} is none of {allowed}, and not empty")
    return values | {name: loading.day(line, row, name) for name in DATES if name in row}


def _projects_of(line: int, row: dict[str, str], projects: dict[str, int], loading: Loading[FundingSource]) -> set[int]:
    """Return the projects that a line names."""
    codes = {code_of(unwrapped(code)) for code in row["projects"].split(";") if code.strip()}
    for code in sorted(codes):
        try:
            check_code(code)
        except BadValue as error:
            loading.refuse(line, "projects", str(error))
    if unknown := sorted(code for code in codes if folded_code(code) not in projects):
        loading.refuse(line, "projects", f"there is no project {', '.join(unknown)}")
    return {projects[folded_code(code)] for code in codes if folded_code(code) in projects}


def _wrong(fund: FundingSource) -> list[tuple[str, str]]:
    """Return what is wrong with a fund's fields and dates."""
    try:
        fund.clean_fields()
        if fund.valid_from and fund.valid_until and fund.valid_until < fund.valid_from:
            # Says so. Asked of every fund, it would be a query each.
            fund.validate_constraints(exclude={"fund_org"})
    except ValidationError as error:
        return [("", message) for message in error.messages]
    return []


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
