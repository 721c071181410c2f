"""Who may pay for a held charge: who paid for the same resource before, or whom an attribution rule names by now."""

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from ..attribution.conditions import HOLDS, LOOKS_AT, column_holds, day_holds
from ..attribution.rules import conditions_of
from ..attribution.tags import TagReader
from ..clocks import Clocks
from ..models import AttributionRule, BillingPeriod, Charge, Flag, Policy
from ..models.people import Mailboxes
from ..readers.columns import TEXTS
from ..readers.tags import tags_of
from ..texts import long_month
from .reassignment import Reassignment
from .shares import shares_of, shares_text

# How many months before that of a charge are looked at.
MONTHS = 3
# Reasons that another payer answers.
ANSWERED = frozenset({*Flag.BLOCKING, Flag.Code.MISSING_PROJECT, Flag.Code.INVALID_FUND_ORG, Flag.Code.PI_INACTIVE,
                      Flag.Code.UNKNOWN_FUND_ORG, Flag.Code.PROJECT_ENDED})  # fmt: skip


@dataclass(frozen=True)
class Payer:
    """Who pays, as people read it and as a correction names it."""

    pi: str = ""
    pi_name: str = ""
    project: str = ""
    fund_org: str = ""
    shares: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        funds = self.fund_org or shares_text(dict(self.shares))
        return " · ".join(filter(None, (self.pi_name or self.pi, self.project, funds))) or "nobody"

    @property
    def reassignment(self) -> Reassignment:
        return Reassignment(pi=self.pi, project=self.project, fund_org=self.fund_org, shares=self.shares)


@dataclass(frozen=True)
class Suggestion:
    """Somebody to charge, and why: “as in December 2025”."""

    payer: Payer
    why: str

    @property
    def digest(self) -> str:
        """What stands for it on a page: another suggestion by now is not what was accepted."""
        return hashlib.sha256(repr((self.payer.reassignment, self.why)).encode()).hexdigest()[:16]


@dataclass
class Known:
    """What is known of the resource of a charge: who was charged for it last, and whom to charge now."""

    month: datetime.date | None = None
    payers: list[Payer] = field(default_factory=list)
    suggestion: Suggestion | None = None


def known_of(charges: Sequence[Charge]) -> dict[int, Known]:
    """Return what is known of each of some charges, by id; a bounded number of queries, however many they are.

    The charges come with their texts, PI, project, `charged_in`, and their open flags as `open_flags`.
    """
    found = {charge.pk: Known() for charge in charges}
    before = _charged_before(charges)
    for charge in charges:
        months = before.get((charge.source_id, charge.resource_key), {})
        earlier = [month for month in months if month < charge.charged_in.month]
        if not earlier:
            continue
        known = found[charge.pk]
        known.month = max(earlier)
        known.payers = months[known.month]
        if len(known.payers) == 1 and _may_be(charge, known.payers[0]):
            known.suggestion = Suggestion(known.payers[0], f"As in {long_month(known.month)}.")
    _ask_rules([charge for charge in charges if _is_open(charge) and not found[charge.pk].suggestion], found)
    return found


def by_payer(suggested: Iterable[tuple[int, Suggestion]]) -> dict[Suggestion, list[int]]:
    """Return the charges (ids) of each suggestion, so that one correction serves all of them."""
    found: dict[Suggestion, list[int]] = defaultdict(list)
    for pk, suggestion in suggested:
        found[suggestion].append(pk)
    return dict(found)


def _is_open(charge: Charge) -> bool:
    """Tell whether another payer would answer what holds a charge."""
    return not charge.shared_as and any(flag.code in ANSWERED for flag in charge.open_flags)  # type: ignore[attr-defined]


def _may_be(charge: Charge, payer: Payer) -> bool:
    """Tell whether a payer is somebody else than a charge has now, and known well enough to be charged."""
    now = (charge.pi.email if charge.pi else "", charge.project.code if charge.project else "", charge.fund_org)
    is_complete = bool(payer.pi and (payer.fund_org or payer.shares))
    return is_complete and _is_open(charge) and now != (payer.pi, payer.project, payer.fund_org)


def _charged_before(charges: Sequence[Charge]) -> dict[tuple[int, int], dict[datetime.date, list[Payer]]]:
    """Return by source and resource who was charged in each of the months before, the most charges first.

    Rows without an id and a name are of no resource.
    """
    keys = {charge.resource_key for charge in charges if charge.resource.folded_id}
    if not keys:
        return {}
    first = min(charge.charged_in.month for charge in charges)
    last = max(charge.charged_in.month for charge in charges)
    months = BillingPeriod.objects.filter(month__gte=_earlier(first, MONTHS), month__lt=last)
    by = ("source_id", "resource_key", "charged_in__month", "pi__email", "pi__name", "project__code", "fund_org")
    asked = (
        Charge.objects.live()
        .filter(resource__in=keys, charged_in__in=months.order_by().values("pk"), state__in=Charge.CHARGED_TO_OWNER)
        .filter(shared_as="", pi__isnull=False)
        .order_by()
        .values_list(*by, "payer_split")
        .annotate(number=Count("pk"))
        .order_by("-number", "pi__email", "project__code", "fund_org")
    )
    rows = list(asked)
    splits = shares_of({row[-2] for row in rows if row[-2]})
    found: dict[tuple[int, int], dict[datetime.date, list[Payer]]] = defaultdict(lambda: defaultdict(list))
    for source, resource, month, email, name, project, fund_org, split, _ in rows:
        shares = tuple(sorted(splits[split].items())) if split else ()
        found[source, resource][month].append(Payer(email or "", name or "", project or "", fund_org, shares))
    return found


def _earlier(month: datetime.date, number: int) -> datetime.date:
    """Return the month so many months before."""
    count = month.year * 12 + month.month - 1 - number
    return datetime.date(count // 12, count % 12 + 1, 1)


def _ask_rules(charges: Sequence[Charge], found: dict[int, Known]) -> None:
    """Suggest what the first rule says that fits a charge: it may have been made since the import."""
    rules = list(
        AttributionRule.objects.filter(is_active=True, pi__isnull=False).select_related("pi", "project").order_by(
            "priority", "id"
        )
    ) if charges else []  # fmt: skip
    if not rules:
        return
    policy, clocks = Policy.objects.current(), Clocks()
    reader = TagReader(policy, mailboxes=Mailboxes(folds_plus=policy.folds_plus_addresses), projects=())
    asked = [(rule, conditions_of(rule)) for rule in rules]
    for charge in charges:
        by_key = reader.by_key(tags_of(charge.tags))
        day = clocks.local(charge.charge_period_start, charge.imported_in_id).date()
        for rule, conditions in asked:
            if rule.source_id not in (None, charge.source_id) or not day_holds(conditions, day):
                continue
            given = [(name, pattern) for name in LOOKS_AT if (pattern := getattr(conditions, name))]
            texts = {name: tuple(getattr(charge, TEXTS[column]) for column in LOOKS_AT[name]) for name, _ in given}
            if not all(column_holds(name, pattern, texts[name]) for name, pattern in given):
                continue
            if reader.answers(conditions, by_key) != HOLDS:
                continue
            payer = _payer_by(rule, charge)
            if _may_be(charge, payer):
                found[charge.pk].suggestion = Suggestion(payer, f"As attribution rule {rule.pk} says.")
            break


def _payer_by(rule: AttributionRule, charge: Charge) -> Payer:
    """Return who pays if a rule decides: what it leaves open stays as it is, or is the project's own fund."""
    assert rule.pi is not None
    project = rule.project or charge.project
    fund_org = rule.fund_org or charge.fund_org or (project.default_fund_org if project else "")
    return Payer(rule.pi.email, rule.pi.name, project.code if project else "", fund_org)
