"""Rules learned from reassignments: what reassigned charges have in common, and what a rule would have decided."""

import datetime
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from glob import escape
from itertools import islice
from typing import TypeVar

from django.db.models import Q, QuerySet

from ..attribution import NOWHERE, Attribution, Attributor, Directory, Place
from ..attribution.conditions import LOOKS_AT, column_holds
from ..clocks import Clocks
from ..errors import BillingError
from ..models import PATHS, AttributionRule, BillingPeriod, Charge, Policy, ReviewDecision, Source, saying
from ..models.attribution import PATTERNS
from ..readers.columns import TEXTS
from ..readers.dimensions import DIMENSIONS
from ..readers.tags import Tags, tags_of
from ..readers.values import Memo
from ..texts import code_of, folded_code
from .locked_charges import DECIDED_FIELDS, decided_values
from .outcome import counted

Value = TypeVar("Value")

# Charges looked at for a page; beyond that a month is previewed where rules are re-applied to it, by the worker.
TRIED = 50_000
CHUNK = 5_000
# Open months that a rule is tried on before it is there.
OPEN_MONTHS = 2
# Moves shown of one month, and charges that a link to it lists.
MOVES, LISTED = 10, 100

REASSIGNMENTS = (ReviewDecision.Action.REATTRIBUTE, ReviewDecision.Action.SPLIT)
DETAILS = ("cost_center", "natural_account")

# What tells charges apart, the more lasting first: who is billed and where, then what was used.
BY_COLUMN = ("sub_account", "resource", "service", "billing_account", "charge_category", "commitment_status")
NEEDED = tuple(dict.fromkeys(column for name in BY_COLUMN for column in LOOKS_AT[name]))
# How rules are compared: what they are for, what they set, and when they speak.
SAID = (*PATTERNS, "tag_value", "valid_from", "valid_until", "priority", "is_active", "overrides_tags")
SETS = ("source_id", "pi_id", "project_id", "fund_org", "cost_center", "natural_account", "shared_as")


class NotCorrected(BillingError):
    """A rule was to be made of charges of which nobody said who pays."""


class NothingInCommon(BillingError):
    """A rule was to be made of charges that share no payer, or nothing that tells them from other charges."""


@dataclass(frozen=True)
class Payer:
    """Who pays, as people read it."""

    pi: str = ""
    project: str = ""
    fund_org: str = ""
    shared_as: str = ""

    def __str__(self) -> str:
        if self.shared_as:
            return f"shared as {self.shared_as}"
        return ", ".join(filter(None, (self.pi, self.project, self.fund_org))) or "nobody"


@dataclass
class Move:
    """Charges that a rule moves from one payer to another."""

    before: Payer
    after: Payer
    count: int = 0
    billed: dict[str, Decimal] = field(default_factory=dict)

    @property
    def is_change(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class Foreseen:
    """What a rule would have decided of a month: the charges it fits, and from whom to whom they go."""

    period: BillingPeriod
    fits: int
    moves: tuple[Move, ...]
    # Of the charges it fits, those of which a person said who pays: they stay as decided.
    decided: int = 0
    # Too many charges to look at for a page.
    is_too_large: bool = False
    # The ids of the charges it fits, those of the most money, as many as an address may name.
    largest: tuple[int, ...] = ()

    @property
    def changed(self) -> int:
        return sum(move.count for move in self.moves if move.is_change)

    @property
    def billed(self) -> dict[str, Decimal]:
        """What the charges that move come to, by currency."""
        return _billed(move for move in self.moves if move.is_change)

    @property
    def billed_in_all(self) -> dict[str, Decimal]:
        """What all the charges that it fits come to, by currency."""
        return _billed(self.moves)

    @property
    def is_cut(self) -> bool:
        """Whether it fits more charges than `largest` names."""
        return self.fits > len(self.largest)

    @property
    def shown(self) -> list[Move]:
        return [move for move in self.moves if move.is_change][:MOVES]

    @property
    def unshown(self) -> int:
        return len([move for move in self.moves if move.is_change]) - len(self.shown)


def _billed(moves: Iterable[Move]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for move in moves:
        for currency, amount in move.billed.items():
            found[currency] += amount
    return dict(sorted(found.items()))


def corrected_by(gesture: str) -> QuerySet[Charge]:
    """Return the charges that an act of the review corrected and that still stand as corrected."""
    try:
        act = uuid.UUID(gesture)
    except ValueError:
        return Charge.objects.none()
    decided = ReviewDecision.objects.filter(gesture=act, action__in=REASSIGNMENTS)
    return still_corrected(Charge.objects.filter(pk__in=decided.values("charge")))


def corrected_with(charge: Charge) -> str:
    """Return the act that corrected a charge last, as its decisions name it; nothing if none did."""
    last = ReviewDecision.objects.filter(charge=charge.pk, action__in=REASSIGNMENTS).order_by("-pk").first()
    return str(last.gesture) if last else ""


def still_corrected(charges: QuerySet[Charge]) -> QuerySet[Charge]:
    """Return those of some charges of which a person said who pays."""
    return charges.filter(withdrawn_in__isnull=True, attributed_by=Charge.AttributedBy.DECISION)


def rule_from(charges: QuerySet[Charge]) -> AttributionRule:
    """Return the rule, not saved, that would have said of charges what their reassignment said.

    Its conditions are what all of them share, and only what tells them from other charges of their source.
    It goes over tags where these say otherwise, and before the rules that said otherwise. Raises
    NotCorrected and NothingInCommon.
    """
    corrected = still_corrected(charges).select_related("source", "pi", "project", "charged_in", *DIMENSIONS)
    found = list(corrected.order_by("pk")[:TRIED])
    if not found:
        raise NotCorrected("None of these charges was corrected. Say who pays for them first.")
    return _rule_of(found)


def rule_once_corrected(decided: Collection[Charge]) -> AttributionRule:
    """Return the rule that charges would make, were they saved as they are in memory; raise as `rule_from` does."""
    own = {charge.pk: charge for charge in decided if charge.attributed_by == Charge.AttributedBy.DECISION}
    if not own:
        raise NotCorrected("None of these charges would be corrected.")
    # What decisions are made on lacks the texts that conditions look at.
    found = list(Charge.objects.filter(pk__in=own).select_related("source", "charged_in", *DIMENSIONS).order_by("pk"))
    for charge in found:
        for name, value in zip(DECIDED_FIELDS, decided_values(own[charge.pk]), strict=True):
            setattr(charge, name, value)
    return _rule_of(found)


def _rule_of(found: Sequence[Charge]) -> AttributionRule:
    rule = AttributionRule()
    for name in ("pi_id", "project_id", "fund_org"):
        if (value := _common(getattr(charge, name) for charge in found)) is not None:
            setattr(rule, name, value)
    if not (rule.pi or rule.project or rule.fund_org):
        raise NothingInCommon("These charges were corrected to different payers. Make a rule for each payer.")
    rule.source = _common(charge.source for charge in found)
    _outdo_what_said_otherwise(rule, found)
    others = _others(rule, found)
    conditions = _conditions(_candidates(found), others)
    if others and not conditions:
        raise NothingInCommon("These charges share nothing that tells them from others. Choose charges that are alike.")
    for name, value in conditions:
        setattr(rule, name, value)
    rule.note = f"Made from the correction of {counted(len(found))}."
    return rule


def foresee(rule: AttributionRule, *, month: BillingPeriod | None = None) -> list[Foreseen]:
    """Return what a rule would have decided of a month and of the one before it, had it been there at their imports.

    Not given a month, it is the newest that has charges.
    """
    with_charges = BillingPeriod.objects.filter(pk__in=Charge.objects.order_by().values("charged_in").distinct())
    if month is None:
        month = with_charges.order_by("-month").first()
    if month is None or not rule.is_active:
        return []
    before = (month.month - datetime.timedelta(days=1)).replace(day=1)
    months = with_charges.filter(month__in=(before, month.month)).order_by("-month")
    return [_foresee(rule, each) for each in months]


def foresee_besides(rule: AttributionRule, charges: Collection[int]) -> list[Foreseen]:
    """Return what a rule fits of the newest months that take changes, beside the charges that it is made of."""
    with_charges = Charge.objects.order_by().values("charged_in").distinct()
    months = BillingPeriod.objects.taking_changes().filter(pk__in=with_charges).order_by("-month")
    return [_foresee(rule, each, besides=frozenset(charges)) for each in months[:OPEN_MONTHS]]


def _common(values: Iterable[Value]) -> Value | None:
    """Return the value that all have, None if they differ or it is empty."""
    found = set(values)
    return found.pop() or None if len(found) == 1 else None


def _outdo_what_said_otherwise(rule: AttributionRule, charges: Sequence[Charge]) -> None:
    """Have a rule go over tags, and before rules, that said of charges otherwise than their reassignment."""
    wanted = {
        "pi_email": rule.pi.email if rule.pi else "",
        "project_code": folded_code(rule.project.code) if rule.project else "",
        "fund_org": rule.fund_org,
    }
    speakers: set[int] = set()
    detailed: dict[str, set[str]] = {name: set() for name in DETAILS}
    tagged_details: dict[str, set[str]] = {name: set() for name in DETAILS}
    policy = Policy.objects.current()
    directory = Directory(policy)
    for source in {charge.source for charge in charges}:
        attributor = Attributor(source=source, policy=policy, directory=directory)
        own = [charge for charge in charges if charge.source_id == source.pk]
        for charge, tags, place in _placed(own, attributor):
            said = attributor.said_by_tags(tags)
            now = attributor.attribute(tags, place)
            folded = {name: getattr(now, name) for name in wanted} | {"project_code": folded_code(now.project_code)}
            tagged = {name: said[name] for name in wanted} | {"project_code": folded_code(said["project_code"])}
            rule.overrides_tags |= bool(now.problem) or any(
                value and tagged[name] and tagged[name] != value for name, value in wanted.items()
            )
            if any(value and folded[name] != value for name, value in wanted.items()):
                speakers |= {int(each.split()[1]) for each in now.deciders.split("; ") if each.startswith("rule ")}
            for name in DETAILS:
                # What the reassignment did not change is no business of the rule.
                detailed[name].add(getattr(charge, name) if getattr(charge, name) != getattr(now, name) else "")
                tagged_details[name].add(said[name])
    for name, values in detailed.items():
        setattr(rule, name, _common(values) or "")
        rule.overrides_tags |= bool(getattr(rule, name)) and bool(tagged_details[name] - {"", getattr(rule, name)})
    earlier = AttributionRule.objects.filter(pk__in=speakers).values_list("priority", flat=True)
    rule.priority = min([rule.priority, *(max(each - 1, 0) for each in earlier)])


@dataclass(frozen=True)
class _Row:
    """What conditions look at of one charge."""

    tags: Mapping[str, str]
    texts: Mapping[str, tuple[str, ...]]


# A condition as fields of a rule, and its test.
Candidate = tuple[dict[str, str], Callable[[_Row], bool]]


def _candidates(charges: Sequence[Charge]) -> list[Candidate]:
    """Return the conditions that hold for all of some charges, the preferred first, each with its test."""
    policy = Policy.objects.current()
    asked = [
        folded_code(key) for name in ("project_id", "pi_email", "fund_org") for key in policy.tag_keys.get(name, [])
    ]
    about_payers = {key: rank for rank, key in reversed(list(enumerate(asked)))}
    shared = _shared_tags(charges, _prefixes(policy))
    tags = [_by_tag(key, shared[key]) for key in sorted(shared, key=lambda key: (about_payers.get(key, 99), key))]
    leading = [each for each in tags if folded_code(each[0]["tag_key"]) in about_payers]
    columns = [each for name in BY_COLUMN if (each := _by_column(name, charges))]
    return [*leading, *columns[:2], *(each for each in tags if each not in leading), *columns[2:]]


def _prefixes(policy: Policy) -> tuple[str, ...]:
    """Return what the policy lets stand before a tag's key, the longest first."""
    found = {folded_code(prefix) for prefix in policy.tag_prefixes} - {""}
    return tuple(sorted(found, key=lambda prefix: (-len(prefix), prefix)))


def _bare(key: str, prefixes: tuple[str, ...]) -> str:
    """Return a tag's key without its prefix, as it is compared: rules forgive prefixes."""
    folded = folded_code(key)
    return next((folded.removeprefix(prefix) for prefix in prefixes if folded.startswith(prefix)), folded)


def _shared_tags(charges: Sequence[Charge], prefixes: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Return the tags that all of some charges have with the same value: key and value, by the key without prefix."""
    shared: dict[str, tuple[str, str]] | None = None
    for charge in charges:
        pairs = {_bare(key, prefixes): (key, value) for key, value in tags_of(charge.tags).pairs.items()}
        own = {bare: (code_of(key)[-len(bare) :], code_of(value)) for bare, (key, value) in pairs.items() if bare}
        kept = own if shared is None else shared
        shared = {
            key: said
            for key, said in kept.items()
            if key in own and said[1] and said[1].casefold() == own[key][1].casefold() and len(escape(said[1])) <= 254
        }
    return shared or {}


def _by_tag(folded: str, said: tuple[str, str]) -> Candidate:
    key, value = said

    def holds(row: _Row) -> bool:
        return row.tags.get(folded, "").casefold() == value.casefold()

    return {"tag_key": key[:254], "tag_value": escape(value)}, holds


def _by_column(name: str, charges: Sequence[Charge]) -> Candidate | None:
    """Return a condition on columns that holds for all of some charges; an id is preferred to a name."""
    for column in LOOKS_AT[name]:
        text = _common(getattr(charge, TEXTS[column]).strip() for charge in charges)
        limit = getattr(AttributionRule._meta.get_field(name), "max_length", 0)
        if text and len(escape(text)) <= limit and not (name == "charge_category" and text == Charge.Category.USAGE):
            return _by_pattern(name, escape(text))
    return None


def _by_pattern(name: str, pattern: str) -> Candidate:
    return {name: pattern}, lambda row: column_holds(name, pattern, row.texts[name])


def _others(rule: AttributionRule, charges: Sequence[Charge]) -> list[_Row]:
    """Return charges that the rule must not reach: of the same source and months, with another payer."""
    months = {charge.charged_in_id for charge in charges}
    found = Charge.objects.filter(charged_in__in=months, withdrawn_in__isnull=True)
    if rule.source:
        found = found.filter(source=rule.source)
    same = {name: getattr(rule, name) for name in ("pi", "project", "fund_org") if getattr(rule, name)}
    names = [PATHS[TEXTS[column]] for column in NEEDED]
    mine = {charge.pk for charge in charges}
    prefixes = _prefixes(Policy.objects.current())
    tags = Memo(
        lambda text: {_bare(key, prefixes): code_of(value) for key, value in tags_of(text).pairs.items()}, 20_000
    )
    rows = []
    for pk, text, *texts in (
        found.exclude(**same).values_list("pk", PATHS["tags"], *names)[: TRIED + len(mine)].iterator()
    ):
        if pk not in mine:
            of = dict(zip(NEEDED, texts, strict=True))
            by_name = {name: tuple(of[column] for column in LOOKS_AT[name]) for name in BY_COLUMN}
            rows.append(_Row(tags[text], by_name))
    return rows


def _conditions(candidates: Sequence[Candidate], others: Sequence[_Row]) -> list[tuple[str, str]]:
    """Return the conditions that tell charges from the others: one that does alone, else the fewest that help."""
    chosen: list[tuple[str, str]] = []
    left, open_to_choose = list(others), list(candidates)
    if not left and candidates:
        # Nothing to tell them from yet: what is most particular to them, so that a rule is not for all to come.
        return list(candidates[0][0].items())
    while left and open_to_choose:
        kept = [[row for row in left if holds(row)] for _, holds in open_to_choose]
        best = min(range(len(kept)), key=lambda index: (len(kept[index]), index))
        if len(kept[best]) == len(left):
            break
        values = open_to_choose[best][0]
        chosen += values.items()
        left = kept[best]
        # A rule has one tag.
        has_tag = any(name == "tag_key" for name, _ in chosen)
        open_to_choose = [
            each
            for index, each in enumerate(open_to_choose)
            if index != best and not (has_tag and "tag_key" in each[0])
        ]
    return chosen


def _placed(charges: Iterable[Charge], attributor: Attributor) -> Iterator[tuple[Charge, Tags, Place]]:
    """Return charges with their tags and their place, as an attributor asks for them."""
    iterator = iter(charges)
    tags, clocks = Memo(tags_of, 20_000), Clocks()
    while chunk := list(islice(iterator, CHUNK)):
        columns = {name: [getattr(charge, TEXTS[name]) for charge in chunk] for name in attributor.columns}
        starts = [clocks.local(charge.charge_period_start, charge.imported_in_id) for charge in chunk]
        places = attributor.places(columns, starts)
        for number, charge in enumerate(chunk):
            yield charge, tags[charge.tags], NOWHERE if places is None else places[number]


def _foresee(rule: AttributionRule, period: BillingPeriod, *, besides: frozenset[int] = frozenset()) -> Foreseen:
    charges = Charge.objects.in_month(period).filter(withdrawn_in__isnull=True).filter(_may_fit(rule))
    if charges.order_by()[: TRIED + 1].count() > TRIED:
        return Foreseen(period, 0, (), is_too_large=True)
    policy = Policy.objects.current()
    directory = Directory(policy)
    moves: dict[tuple[Payer, Payer], Move] = {}
    fits: list[tuple[Decimal, int]] = []
    decided = 0
    for source in Source.objects.filter(pk__in=charges.order_by().values("source").distinct()).order_by("name"):
        without = Attributor(source=source, policy=policy, directory=directory)
        trial = Attributor(source=source, policy=policy, trial=rule, directory=directory)
        names = {PATHS[name] for name in ("tags", *(TEXTS[each] for each in (*without.columns, *trial.columns)))}
        own = (
            charges.filter(source=source)
            .select_related(*{name.partition("__")[0] for name in names})
            .only(*("pk", "billed_cost", "currency", "attributed_by", "charge_period_start", "imported_in"), *names)
        )
        rows = list(own.order_by("pk"))
        for (charge, tags, place), (_, _, place_now) in zip(_placed(rows, trial), _placed(rows, without), strict=True):
            if charge.pk in besides or not trial.fits(rule.pk or 0, tags, place):
                continue
            fits.append((charge.billed_cost, charge.pk))
            decided += charge.attributed_by in Charge.SETTLED
            before, after = _payer(without.attribute(tags, place_now)), _payer(trial.attribute(tags, place))
            move = moves.setdefault((before, after), Move(before, after))
            move.count += 1
            move.billed[charge.currency] = move.billed.get(charge.currency, Decimal(0)) + charge.billed_cost
    largest = tuple(pk for _, pk in sorted(fits, key=lambda each: (-abs(each[0]), each[1]))[:LISTED])
    return Foreseen(
        period, len(fits), tuple(sorted(moves.values(), key=lambda move: -move.count)), decided, largest=largest
    )


def _payer(attribution: Attribution) -> Payer:
    return Payer(attribution.pi_email, attribution.project_code, attribution.fund_org, attribution.shared_as)


def _may_fit(rule: AttributionRule) -> Q:
    """Narrow charges to those that a rule may be for, as far as a database can tell; what is left is looked at."""
    narrowed = Q(source=rule.source) if rule.source else Q()
    for name, columns in LOOKS_AT.items():
        pattern = getattr(rule, name).strip()
        if pattern and pattern.isascii() and name != "cloud_project" and not set(pattern) & set("*?["):
            either = Q()
            for column in columns:
                either |= saying(**{f"{TEXTS[column]}__icontains": pattern})
            narrowed &= either
    if rule.tag_value and rule.tag_value.replace("-", "").replace("_", "").isalnum() and rule.tag_value.isascii():
        narrowed &= saying(tags__icontains=rule.tag_value)
    return narrowed
