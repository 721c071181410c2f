"""What a draft says otherwise than the one before it: lines added, gone and changed (pure, but for its lines)."""

import datetime
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from billing.money import ZERO, plain

from .models import Journal, JournalLine

# Lines that are kept one by one, those that change most. Of the others it is known what they come to.
MOST = 200

ADDED, GONE, CHANGED = "added", "gone", "changed"

# A line of a payer, as its account tells it: the payer line it posts, the fund/org and the account code.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Change:
    """One payer's line before and after; its recovery changes by as much on the other side."""

    kind: str
    payer_key: str
    fund_org: str
    natural_account: str
    source_name: str
    service_name: str
    pi: str
    project_code: str
    before: Decimal
    after: Decimal
    # Why, where the two drafts alone tell it.
    reason: str = ""

    @property
    def by(self) -> Decimal:
        return self.after - self.before


@dataclass(frozen=True)
class Recovery:
    """What a source recovers on an account, before and after: credits less debits."""

    source_name: str
    fund_org: str
    natural_account: str
    before: Decimal
    after: Decimal

    @property
    def by(self) -> Decimal:
        return self.after - self.before


@dataclass(frozen=True)
class Side:
    """A draft as a whole: what it held, and when it was made, empty for one that is not made yet."""

    lines: int
    debits: Decimal
    credits: Decimal
    drafted_at: str = ""

    @property
    def at(self) -> datetime.datetime | None:
        return datetime.datetime.fromisoformat(self.drafted_at) if self.drafted_at else None


@dataclass(frozen=True)
class Difference:
    """Two drafts beside each other. The changes add up: `before` and `after` are all that payers are charged."""

    earlier: Side
    later: Side
    before: Decimal
    after: Decimal
    added: int = 0
    gone: int = 0
    changed: int = 0
    # Lines of the same amount whose list price or discount alone is another.
    repriced: int = 0
    changes: tuple[Change, ...] = ()
    recoveries: tuple[Recovery, ...] = ()

    @property
    def by(self) -> Decimal:
        return self.after - self.before

    @property
    def debits_by(self) -> Decimal:
        return self.later.debits - self.earlier.debits

    @property
    def lines_by(self) -> str:
        return f"{self.later.lines - self.earlier.lines:+,}"

    @property
    def untraced(self) -> list[tuple[Change, str]]:
        """The changes of what is not drafted yet, which nothing can be traced from: each without an address."""
        return [(each, "") for each in self.changes]

    @property
    def count(self) -> int:
        return self.added + self.gone + self.changed

    @property
    def is_any(self) -> bool:
        return bool(self.count or self.repriced or any(each.by for each in self.recoveries))

    @property
    def unshown(self) -> int:
        return self.count - len(self.changes)

    @property
    def unshown_by(self) -> Decimal:
        """What the changes come to that are not told one by one."""
        return self.by - sum((each.by for each in self.changes), ZERO)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON keeps it: amounts as exact texts."""
        data: dict[str, Any] = _as_texts(asdict(self))
        return data

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Difference":
        return cls(
            **data
            | {name: Side(**_as_amounts(data[name])) for name in ("earlier", "later")}
            | {name: Decimal(data[name]) for name in ("before", "after")}
            | {
                "changes": tuple(Change(**_as_amounts(each)) for each in data["changes"]),
                "recoveries": tuple(Recovery(**_as_amounts(each)) for each in data["recoveries"]),
            }
        )


def side_of(journal: Journal) -> Side:
    """Return a draft as a whole, as it is now."""
    return Side(journal.line_count, journal.debits, journal.credits, journal.drafted_at.isoformat())


def difference(
    earlier: Side, before: Iterable[JournalLine], later: Side, after: Iterable[JournalLine], *, most: int = MOST
) -> Difference:
    """Compare the lines of two drafts: those of payers one by one, recoveries added up by source and account."""
    was, was_recovered = _by_place(before)
    now, now_recovered = _by_place(after)
    repriced = 0
    moved: dict[Subject, list[Key]] = defaultdict(list)
    for key in {**was, **now}:
        if _amount(was, key) != _amount(now, key):
            moved[_subject((now.get(key) or was[key]).line)].append(key)
        elif _prices(was, key) != _prices(now, key):
            repriced += 1
    changes = [_change(key, was, now, keys) for keys in moved.values() for key in keys]
    changes.sort(key=lambda each: (-abs(each.by), each.payer_key, each.fund_org, each.natural_account))
    kinds = [each.kind for each in changes]
    places = sorted({**was_recovered, **now_recovered})
    recoveries = (Recovery(*place, was_recovered.get(place, ZERO), now_recovered.get(place, ZERO)) for place in places)
    return Difference(
        earlier=earlier,
        later=later,
        before=sum((each.amount for each in was.values()), ZERO),
        after=sum((each.amount for each in now.values()), ZERO),
        added=kinds.count(ADDED),
        gone=kinds.count(GONE),
        changed=kinds.count(CHANGED),
        repriced=repriced,
        changes=tuple(changes[:most]),
        recoveries=tuple(each for each in recoveries if each.by)[:most],
    )


@dataclass
class _Held:
    """What a draft holds of a payer at one place."""

    line: JournalLine
    amount: Decimal = ZERO
    list_cost: Decimal = ZERO
    contracted_cost: Decimal = ZERO


Held = dict[Key, _Held]
# What a line is for, whoever pays it: month, kind, PI, project, source and service.
Subject = tuple[str, ...]


def _subject(line: JournalLine) -> Subject:
    return (line.for_month, line.kind, line.pi_email, line.project_code, line.source_name, line.service_name)


def _amount(held: Held, key: Key) -> Decimal:
    return held[key].amount if key in held else ZERO


def _prices(held: Held, key: Key) -> tuple[Decimal, Decimal]:
    return (held[key].list_cost, held[key].contracted_cost) if key in held else (ZERO, ZERO)


def _by_place(lines: Iterable[JournalLine]) -> tuple[Held, dict[tuple[str, str, str], Decimal]]:
    """Return what payers are charged by place, and what sources recover by account."""
    held: Held = {}
    recovered: dict[tuple[str, str, str], Decimal] = {}
    for line in lines:
        if line.side == JournalLine.Side.PAYER:
            each = held.setdefault((line.payer_key, line.fund_org, line.natural_account), _Held(line))
            each.amount += line.debit - line.credit
            each.list_cost += line.list_cost
            each.contracted_cost += line.contracted_cost
        else:
            place = (line.source_name, line.fund_org, line.natural_account)
            recovered[place] = recovered.get(place, ZERO) + line.credit - line.debit
    return held, recovered


def _change(key: Key, was: Held, now: Held, moved: list[Key]) -> Change:
    """Return what became of one line; `moved` are all that changed of what it is for."""
    line = (now.get(key) or was[key]).line
    before, after = _amount(was, key), _amount(now, key)
    # What is charged 0.00 is no line of the ledger.
    kind = ADDED if not before else GONE if not after else CHANGED
    return Change(
        kind=kind,
        payer_key=key[0],
        fund_org=key[1],
        natural_account=key[2],
        source_name=line.source_name,
        service_name=line.service_name,
        pi=line.pi_name or line.pi_email,
        project_code=line.project_code,
        before=before,
        after=after,
        reason=_reason(key, kind, was, now, moved),
    )


def _reason(key: Key, kind: str, was: Held, now: Held, moved: list[Key]) -> str:
    """Say from or to which account an amount moved: where as much for the same thing went or came."""
    by = _amount(now, key) - _amount(was, key)
    places = [each for each in moved if each != key and _amount(now, each) - _amount(was, each) == -by]
    if not places:
        return ""
    where = " ".join(filter(None, places[0][1:])) or "no account"
    came = kind == ADDED or (kind == CHANGED and by > 0)
    return f"Moved {'from' if came else 'to'} {where}"


def _as_texts(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {name: _as_texts(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_texts(each) for each in value]
    return value


def _as_amounts(data: dict[str, Any]) -> dict[str, Any]:
    names = ("before", "after", "debits", "credits")
    return {name: Decimal(value) if name in names else value for name, value in data.items()}
