"""The attribution rules of a source, applied: which hold for a row, and what they set."""

import datetime
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

from ..models import AttributionRule, Charge
from ..models.people import Mailboxes
from ..readers.values import Memo
from ..texts import code_of
from .conditions import HOLDS, LOOKS_AT, Conditions, column_holds, day_holds, fits_any, names_at
from .draft import PAYER, Draft
from .tags import Said, TagReader


@dataclass(frozen=True)
class Rule:
    """An AttributionRule as it is applied: by the names that people use."""

    number: int
    conditions: Conditions
    values: Mapping[str, str]
    overrides_tags: bool = False


class Rules:
    """The rules that may speak for the rows of a source, in the order in which they do.

    Which of them hold for a row, as far as its columns and day say, is a number with a bit for each rule. A rule on
    `trial` is applied as if it were saved.
    """

    def __init__(
        self,
        rules: Sequence[AttributionRule],
        reader: TagReader,
        *,
        mailboxes: Mailboxes,
        trial: AttributionRule | None,
    ) -> None:
        self._reader = reader
        self._rules = _applied(rules, mailboxes, trial)
        # For each condition that some rule has, whether it holds is worked out once per text of its columns.
        self._holding = {
            name: Memo(partial(self._bits, name), 50_000)
            for name in LOOKS_AT
            if any(getattr(rule.conditions, name) for rule in self._rules)
        }
        is_dated = any(rule.conditions.valid_from or rule.conditions.valid_until for rule in self._rules)
        self._holding_at = Memo(self._bits_at) if is_dated else None

    def __bool__(self) -> bool:
        return bool(self._rules)

    @property
    def ask_for_tags(self) -> bool:
        """Whether any of them goes by a tag."""
        return any(rule.conditions.tag_key for rule in self._rules)

    @property
    def ask_for_days(self) -> bool:
        """Whether any of them goes by the day of service."""
        return self._holding_at is not None

    @property
    def columns(self) -> list[str]:
        """The FOCUS columns that they look at."""
        return [column for name in self._holding for column in LOOKS_AT[name]]

    def holding(self, columns: Mapping[str, Sequence[str]], starts: Sequence[datetime.datetime]) -> list[int]:
        """Return which rules hold for each row of a batch, but for their conditions on tags."""
        bits = [(1 << len(self._rules)) - 1] * len(starts)
        for name, holding in self._holding.items():
            texts = list(zip(*(columns[column] for column in LOOKS_AT[name]), strict=True))
            bits = list(map(operator.and_, bits, holding.column(texts)))
        if self._holding_at is not None:
            bits = list(map(operator.and_, bits, self._holding_at.column(starts)))
        return bits

    def fits(self, number: int, by_key: Said, bits: int) -> bool:
        """Tell whether the rule of this number holds for a row with these tags; `bits` are as `holding` says."""
        position = next(index for index, rule in enumerate(self._rules) if rule.number == number)
        answers = self._reader.answers(self._rules[position].conditions, by_key)
        return answers == HOLDS and bool(bits >> position & 1)

    def follow(self, draft: Draft, by_key: Said, bits: int) -> None:
        """Fill an attribution by the rules that hold for a row, the first ones first."""
        if not bits:
            return
        by_rule: set[str] = set()
        for position, rule in enumerate(self._rules):
            if not bits >> position & 1:
                continue
            answers = self._reader.answers(rule.conditions, by_key)
            if answers != HOLDS:
                if len(answers) > 1:
                    # Which of them is meant nobody can say, and somebody else would pay by each.
                    draft.problems.append(("", self._reader.contradiction(rule.conditions.tag_key, by_key)))
                continue
            over = set(rule.values) - by_rule if rule.overrides_tags else ()
            taken = draft.fill(rule.values, by=Charge.AttributedBy.RULE, decider=f"rule {rule.number}", over=over)
            by_rule.update(taken)
            if rule.overrides_tags:
                # What a tag said wrongly does not matter where the rule holds in its place.
                answered = {*taken, *PAYER} if "shared_as" in taken else set(taken)
                draft.problems = [each for each in draft.problems if each[0] not in answered]

    def _bits(self, name: str, texts: tuple[str, ...]) -> int:
        """Return the rules that a condition on columns does not rule out."""
        patterns = [getattr(rule.conditions, name) for rule in self._rules]
        given = tuple(pattern for pattern in patterns if pattern)
        # Most resources are no rule's business, and there are many of them.
        is_nobodys = not any(fits_any(given, text) for text in names_at(name, texts))
        return sum(
            1 << position
            for position, pattern in enumerate(patterns)
            if not pattern or (not is_nobodys and column_holds(name, pattern, texts))
        )

    def _bits_at(self, start: datetime.datetime) -> int:
        return sum(
            1 << position for position, rule in enumerate(self._rules) if day_holds(rule.conditions, start.date())
        )


def _applied(rules: Sequence[AttributionRule], mailboxes: Mailboxes, trial: AttributionRule | None) -> list[Rule]:
    if trial is not None:
        rules = [*(rule for rule in rules if rule.pk != trial.pk), trial]
        # A new rule comes after those of its priority.
        rules.sort(key=lambda rule: (rule.priority, rule.pk is None, rule.pk or 0))
    return [
        Rule(
            number=rule.pk or 0,
            conditions=conditions_of(rule),
            values={
                "pi_email": mailboxes.known_as(rule.pi.email if rule.pi else ""),
                "project_code": rule.project.code if rule.project else "",
                **{
                    name: code_of(getattr(rule, name)) if name != "shared_as" else rule.shared_as
                    for name in ("fund_org", "cost_center", "natural_account", "shared_as")
                },
            },
            overrides_tags=rule.overrides_tags,
        )
        for rule in rules
    ]


def conditions_of(rule: AttributionRule) -> Conditions:
    """Return what has to hold of a row for a rule to speak, beside its source."""
    return Conditions(**{each.name: getattr(rule, each.name) for each in fields(Conditions)})
