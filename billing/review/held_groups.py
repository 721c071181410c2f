"""What is held for review, in groups: by the reason that leads, and within it by who owns the charges."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber

from ..fields import AmountSum
from ..models import PATHS, AccountText, Flag
from ..texts import number_in

# The reasons in the order in which they lead: what no approval answers, then what a correction has to answer first.
_FIRST = (Flag.Code.FUND_NOT_VALID, Flag.Code.FUND_CLOSED, *Flag.BLOCKING)
LEADING: tuple[str, ...] = tuple(dict.fromkeys([*_FIRST, *Flag.Code]))
BLOCKING = frozenset(map(str, Flag.BLOCKING))
# Held without an open reason, such as after an undo. It is written like a code in the key of a group.
NO_REASON = "none"
NO_REASON_LABEL = "No open reason"

# Rows of groups and currencies that are read at once: the most that a page tells of.
MOST = 5_000

# What tells groups apart. A charge with a PI or a project is theirs; one that is shared goes by the name of the shared
# cost, and any other by the account it came from.
_BY = ("lead", "pi_id", "project_id", "shared_as", "unassigned")


@dataclass
class HeldGroup:
    """Held charges that one reason leads and that one PI and project own, or one account where nobody does."""

    code: str
    pi: int | None
    project: int | None
    shared_as: str
    account: str
    pi_name: str = ""
    project_code: str = ""
    account_name: str = ""
    count: int = 0
    billed: dict[str, Decimal] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What its address calls it; `in_group` reads it."""
        if self.pi or self.project:
            return f"{self.code}:owner:{self.pi or ''}-{self.project or ''}"
        return f"{self.code}:shared:{self.shared_as}" if self.shared_as else f"{self.code}:account:{self.account}"

    @property
    def reason(self) -> str:
        return reason_label(self.code)

    @property
    def is_blocking(self) -> bool:
        """Whether approval has to wait until its reason is answered otherwise."""
        return self.code in BLOCKING

    @property
    def owner(self) -> str:
        """The owner as a person reads it."""
        if self.pi or self.project:
            return f"{self.pi_name or 'No PI'} · {self.project_code or 'no project'}"
        if self.shared_as:
            return f"Shared as {self.shared_as}"
        name = f"{self.account_name} ({self.account})" if self.account_name else self.account
        return f"Unassigned · account {name}" if name else "Unassigned"


class UnknownGroup(ValueError):
    """What an address names is no group."""


def reason_label(code: str) -> str:
    return NO_REASON_LABEL if code == NO_REASON else str(Flag.Code(code).label)


def groups_of(charges: "QuerySet[Any]") -> list[HeldGroup]:
    """Return the groups of held charges: reasons in the order in which they lead, the most charges first in each.

    One query, which reads no more than `MOST` rows of groups and currencies.
    """
    names = {"pi_name": "pi__name", "pi_email": "pi__email", "project_code": "project__code"}
    rows = (
        _placed(charges)
        .values(*_BY, "currency")
        .annotate(
            number=Count("pk"),
            billed=AmountSum("billed_cost"),
            account_name=Max(PATHS["sub_account_name"]),
            **{name: Max(path) for name, path in names.items()},
        )
        .order_by("lead", "-number", *_BY[1:])
    )
    found: dict[tuple[Any, ...], HeldGroup] = {}
    for row in rows[:MOST]:
        by = tuple(row[name] for name in _BY)
        group = found.setdefault(by, HeldGroup(_code(by[0]), *by[1:]))
        group.pi_name, group.project_code = row["pi_name"] or row["pi_email"] or "", row["project_code"] or ""
        group.account_name = row["account_name"] or ""
        group.count += row["number"]
        group.billed[row["currency"]] = row["billed"]
    return sorted(found.values(), key=lambda group: (LEADING_PLACE[group.code], -group.count, group.owner))


def in_group(charges: "QuerySet[Any]", key: str) -> "QuerySet[Any]":
    """Keep the charges of the group with this key. Raises UnknownGroup for a text that is no key."""
    return _placed(charges).filter(_condition(key))


def code_in(key: str) -> str:
    """Return the code of the reason of the group with this key. Raises UnknownGroup for a text that is no key."""
    code, kind, rest = _parts(key)
    if code not in LEADING_PLACE or kind not in ("owner", "shared", "account") or rest is None:
        raise UnknownGroup(f"“{key}” is no group of charges.")
    return code


def first_of(charges: "QuerySet[Any]", wanted: dict[str, int]) -> dict[str, list[int]]:
    """Return the newest charges of some groups by their keys, ids only: as many of each as `wanted` says."""
    if not wanted:
        return {}
    of_these, owners = Q(), Q()
    for key in wanted:
        of_these |= _condition(key)
        owners |= _owner(key)
    place = Window(RowNumber(), partition_by=[F(name) for name in _BY], order_by=F("pk").desc())
    most = max(wanted.values())
    # The owners by themselves, too: their reasons alone are looked up then.
    rows = _placed(charges.filter(owners)).filter(of_these).annotate(place=place).filter(place__lte=most)
    found: dict[str, list[int]] = {key: [] for key in wanted}
    for pk, *by in rows.order_by("-pk").values_list("pk", *_BY):
        ids = found[HeldGroup(_code(by[0]), *by[1:]).key]
        if len(ids) < wanted[HeldGroup(_code(by[0]), *by[1:]).key]:
            ids.append(pk)
    return found


def summed(groups: Iterable[HeldGroup]) -> tuple[int, dict[str, Decimal]]:
    """Return how many charges groups hold, and what is billed for them, by currency: these are never added."""
    count, billed = 0, {}  # type: int, dict[str, Decimal]
    for group in groups:
        count += group.count
        for currency, amount in group.billed.items():
            billed[currency] = billed.get(currency, Decimal(0)) + amount
    return count, dict(sorted(billed.items()))


LEADING_PLACE = {code: place for place, code in enumerate((*LEADING, NO_REASON))}


def _placed(charges: "QuerySet[Any]") -> "QuerySet[Any]":
    """Add to charges what tells their groups apart: `lead`, the place of the reason that leads, and `unassigned`."""
    places = Case(
        *(When(code=code, then=Value(place)) for place, code in enumerate(LEADING)), output_field=IntegerField()
    )
    still = Flag.objects.filter(charge=OuterRef("pk"), is_resolved=False).order_by()
    leads = still.annotate(place=places).order_by("place").values("place")[:1]
    is_nobodys = Q(pi__isnull=True, project__isnull=True, shared_as="")
    account = Case(
        When(~is_nobodys, then=Value("")),
        When(~Q(**{PATHS["sub_account_id"]: ""}), then=F(PATHS["sub_account_id"])),
        default=F(PATHS["billing_account_id"]),
        output_field=TextField(),
    )
    return charges.order_by().annotate(
        lead=Coalesce(Subquery(leads), Value(LEADING_PLACE[NO_REASON])),
        unassigned=account,
    )


def _code(place: int) -> str:
    return (*LEADING, NO_REASON)[place]


def _parts(key: str) -> tuple[str, str, str | None]:
    code, _, rest = key.partition(":")
    kind, mark, name = rest.partition(":")
    return code, kind, name if mark else None


def _condition(key: str) -> Q:
    """Match the charges of a group; they are as `_placed` returns them."""
    return Q(lead=LEADING_PLACE[code_in(key)]) & _owner(key)


def _owner(key: str) -> Q:
    """Match the charges with the owner of a group, or without any."""
    _, kind, rest = _parts(key)
    if kind == "owner":
        pi, _, project = (rest or "").partition("-")
        if not all(each == "" or number_in(each) is not None for each in (pi, project)):
            raise UnknownGroup(f"“{key}” is no group of charges.")
        owner = Q(pi_id=int(pi)) if pi else Q(pi_id__isnull=True)
        return owner & (Q(project_id=int(project)) if project else Q(project_id__isnull=True))
    nobodys = Q(pi_id__isnull=True, project_id__isnull=True)
    if kind == "shared":
        return nobodys & Q(shared_as=rest) & ~Q(shared_as="")
    # As `unassigned` names them. By their ids: PostgreSQL expects few charges without an owner, and would compare the
    # texts of all accounts with each of them.
    named = AccountText.objects.filter(Q(sub_account_id=rest) | Q(sub_account_id="", billing_account_id=rest))
    return nobodys & Q(shared_as="", account__in=named.values("pk"))
