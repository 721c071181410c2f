"""Who pays for usage, as far as its price depends on it: by tags, rules and accounts, as an import will find it."""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..attribution.attributor import NOWHERE, Attributor
from ..errors import BillingError
from ..models import Person, Policy, Project, RateClassMember, UsageFeed
from ..models.departments import DepartmentTree
from ..readers.coded import combined
from ..readers.tags import tags_of
from ..texts import folded_code
from .pricing.fitting import coded
from .pricing.terms import Payer, Scope
from .records import Records

Numbers = npt.NDArray[Any]
# Columns of records that a tag may say, beside the attributes of their kind.
TAGGED = ("account", "user", "resource")


# Columns of a table of payers that are not what records say.
PAYER = ("pi", "project", "department", "rate_class", "tags")
SAID = "said:"


class PayersChanged(BillingError):
    """Records say something that nobody was found for when they were priced."""


@dataclass(frozen=True)
class Paying:
    """Who pays for what: `said` by records, in the columns `names`, with the payer and the tags (JSON) beside it."""

    names: tuple[str, ...]
    said: tuple[Mapping[str, str], ...]
    payers: tuple[Payer, ...]
    tags: tuple[str, ...]

    def as_table(self) -> pa.Table:
        """Return who pays as a table that can be kept."""
        columns = {f"{SAID}{name}": [each[name] for each in self.said] for name in self.names}
        columns |= {name: [getattr(each, name) for each in self.payers] for name in PAYER if name != "tags"}
        columns["tags"] = list(self.tags)
        return pa.table({name: pa.array(texts, pa.string()) for name, texts in columns.items()})


def paying_of(table: pa.Table) -> Paying:
    """Return who pays, as `Paying.as_table` wrote it."""
    names = tuple(name.removeprefix(SAID) for name in table.column_names if name.startswith(SAID))
    rows = table.to_pylist()
    said = tuple({name: row[f"{SAID}{name}"] for name in names} for row in rows)
    payers = (
        Payer(
            pi=row["pi"],
            project=row["project"],
            department=row["department"],
            account=of.get("account", ""),
            user=of.get("user", ""),
            rate_class=row["rate_class"],
        )
        for row, of in zip(rows, said, strict=True)
    )
    return Paying(names, said, tuple(payers), tuple(row["tags"] for row in rows))


@dataclass(frozen=True)
class PaidRecords:
    """Records with a column `payer`, the place of who pays for each."""

    records: Records
    paying: Paying

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the records, as `Records` says."""
        if columns is not None and "payer" not in columns:
            return self.records.blocks(columns)
        return self._with_payers(columns)

    def _with_payers(self, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        names = self.paying.names
        places = {tuple(each[name] for name in names): place for place, each in enumerate(self.paying.said)}
        asked = None if columns is None else [name for name in columns if name != "payer"]
        read = None if asked is None else list(dict.fromkeys([*asked, *names]))
        for block in self.records.blocks(read):
            numbers, said = combinations_of(block, names)
            payers = np.array([places[each] for each in said], dtype=np.int32)[numbers]
            known = block if asked is None else block.select(asked)
            yield known.append_column("payer", pa.array(payers, pa.int32()))


def payers_as(records: Records, paying: Paying) -> PaidRecords:
    """Return records with who paid for them when they were priced; raises PayersChanged."""
    said = _said(records, paying.names)
    if tuple(said) != paying.said:
        raise PayersChanged("What its usage says of who pays is not what it was priced with.")
    return PaidRecords(records, paying)


def tag_columns(feed: UsageFeed, policy: Policy) -> dict[str, str]:
    """Return which tag says which column: by the feed's settings, or the policy's key for projects the account."""
    given = feed.settings.get("tags")
    if isinstance(given, dict):
        return {str(key): str(column) for key, column in given.items()}
    keys = policy.tag_keys.get("project_id") or ["project_id"]
    return {keys[0]: "account"}


def payers_of(records: Records, feed: UsageFeed, month: datetime.date) -> PaidRecords:
    """Return records with who pays for them.

    Records of one account, user and resource have one payer; attributes count where a tag says them.
    """
    policy = Policy.objects.current()
    columns = tag_columns(feed, policy)
    known = next(iter(records.blocks())).column_names
    names = [name for name in dict.fromkeys(["account", "user", "resource", *columns.values()]) if name in known]
    combinations = _said(records, names)
    attributor = Attributor(source=feed.source, policy=policy)
    terms = Terms(month)
    payers, tags = [], []
    for said in combinations:
        text = _tags_of(columns, said)
        place = NOWHERE
        places = attributor.places(_focus_columns(feed, said), [_noon(month)])
        if places:
            place = places[0]
        attribution = attributor.attribute(tags_of(text), place)
        payers.append(terms.payer(attribution.pi_email, attribution.project_code, said))
        tags.append(text)
    return PaidRecords(records, Paying(tuple(names), tuple(combinations), tuple(payers), tuple(tags)))


def _noon(month: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(month, datetime.time(12), tzinfo=datetime.UTC)


def _focus_columns(feed: UsageFeed, said: Mapping[str, str]) -> "_Columns":
    return _Columns(
        {
            "SubAccountId": [said.get("account", "")],
            "SubAccountName": [said.get("account", "")],
            "BillingAccountId": [feed.name],
            "BillingAccountName": [feed.label],
            "ResourceId": [said.get("resource", "")],
            "ResourceName": [said.get("resource", "")],
        }
    )


class _Columns(dict[str, Sequence[str]]):
    """Columns of one row; what a rule asks for beside them is empty."""

    def __missing__(self, name: str) -> Sequence[str]:
        return [""]


def _tags_of(columns: Mapping[str, str], said: Mapping[str, str]) -> str:
    pairs = {key: said.get(column, "") for key, column in columns.items()}
    found = {key: value for key, value in pairs.items() if value}
    return json.dumps(found, sort_keys=True, ensure_ascii=False) if found else ""


def _said(records: Records, names: Sequence[str]) -> list[dict[str, str]]:
    """Return the distinct combinations of some columns, in the order of their texts, whatever that of the records."""
    found: set[tuple[str, ...]] = set()
    for block in records.blocks(names):
        found.update(combinations_of(block, names)[1])
    return [dict(zip(names, each, strict=True)) for each in sorted(found)]


def combinations_of(block: pa.Table, names: Sequence[str]) -> tuple[Numbers, list[tuple[str, ...]]]:
    """Return the distinct combinations of texts in some columns, and which of them each row has."""
    if not block.num_rows:
        return np.zeros(0, dtype=np.int64), []
    columns = [coded(block.column(name)) for name in names]
    numbers, firsts = combined([codes.astype(np.int64) for _, codes in columns])
    at = [(texts, codes[firsts].tolist()) for texts, codes in columns]
    told = ([str(texts[code] or "") for code in places] for texts, places in at)
    return numbers, list(zip(*told, strict=True))


class Terms:
    """What is known of payers in a month: their departments and rate classes."""

    def __init__(self, month: datetime.date) -> None:
        self.people = dict(Person.objects.values_list("email", "department_id"))
        self.projects = {
            folded_code(code): (department, owner)
            for code, department, owner in Project.objects.values_list("code", "department_id", "pi__email")
        }
        self.departments = DepartmentTree()
        self.classes: dict[tuple[Scope, str], str] = {}
        members = RateClassMember.objects.filter(valid_from__lte=month).select_related("pi", "project", "department")
        for member in members.order_by("valid_from", "pk"):
            if member.valid_until is None or member.valid_until >= month:
                self.classes[Scope(member.scope), folded_code(member.owner)] = member.rate_class

    def payer(self, pi: str, project: str, said: Mapping[str, str]) -> Payer:
        """Return the payer of a row; a project's class goes before its PI's, and that before a department's."""
        department = self.projects.get(folded_code(project), (None, ""))[0] or self.people.get(pi)
        codes = self._codes_up_from(department) if department else []
        rate_class = self.classes.get((Scope.PROJECT, folded_code(project)), "") if project else ""
        rate_class = rate_class or (self.classes.get((Scope.PI, folded_code(pi)), "") if pi else "")
        for code in codes:
            rate_class = rate_class or self.classes.get((Scope.DEPARTMENT, folded_code(code)), "")
        return Payer(
            pi=pi,
            project=project,
            department=codes[0] if codes else "",
            account=said.get("account", ""),
            user=said.get("user", ""),
            rate_class=rate_class,
        )

    def _codes_up_from(self, department: int) -> list[str]:
        """Return the codes of a department and of those that it is within, the innermost first."""
        above = self.departments.above(department)
        return [each.code for each in (self.departments.by_id[department], *reversed(above))]
