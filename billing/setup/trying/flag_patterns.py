"""Other flag patterns against a month: each distinct text is searched once, and charges are counted by their texts."""

import time
from collections.abc import Callable, Sequence

from django.db.models import Q, QuerySet

from ...importing.flagging import PATTERN_COLUMNS
from ...models import DIMENSION_MODELS, BillingPeriod, Charge, Flag, Policy
from ...patterns import Searched
from ...readers.columns import TEXTS
from ...readers.dimensions import DIMENSIONS
from ...readers.values import Memo
from ...texts import long_month
from .effects import SHOWN, Effect, Line, Part, examples_of, held_only_for, parts_of

# Of the processor: a page spends no more on the search, however much else the machine does.
SECONDS = 5.0
# Texts between two looks at the clock.
STRIDE = 200
# Texts of a dimension that are all searched, those of other months too: that is quicker than to ask which are of one.
FEW = 200_000
# Texts that a query names one by one: below what any build of SQLite takes, and quicker than counting all charges.
NAMED = 900

# By dimension, the key of each text that matches anything, with a bit for each pattern that it matches.
Matches = dict[str, dict[int, int]]

# What patterns are looked for in, by the dimension that has it.
_LOOKED_IN = {
    name: tuple(TEXTS[column] for column in columns if column in PATTERN_COLUMNS)
    for name, columns in DIMENSIONS.items()
    if set(columns) & set(PATTERN_COLUMNS)
}


class TooSlow(Exception):
    """The search takes longer than a page may."""


def effect(
    *, present: Policy, changed: Policy, period: BillingPeriod, clock: Callable[[], float] = time.thread_time
) -> Effect:
    """Return what other flag patterns do to a month: what one of them newly matches, and what none matches now."""
    patterns = list(dict.fromkeys([*present.flag_patterns, *changed.flag_patterns]))
    bits = {pattern: 1 << place for place, pattern in enumerate(patterns)}
    before, after = (sum(bits[each] for each in dict.fromkeys(of.flag_patterns)) for of in (present, changed))
    charges = Charge.objects.in_month(period)
    lines = {
        bits[each]: Line(each, is_removed=bool(bits[each] & before))
        for each in patterns
        if bool(bits[each] & before) != bool(bits[each] & after)
    }
    found = Effect(lines=list(lines.values()))
    try:
        matches = _search(charges, patterns, clock)
    except TooSlow:
        found.problem = (
            f"Searching the texts of {long_month(period.month)} takes longer than {SECONDS:.0f} seconds with these "
            "patterns. Imports would be slow, too: make the patterns simpler."
        )
        return found
    changing = before ^ after
    newly: list[Part] = []
    for part, mask in _parts(charges, matches, changing):
        if mask & after and not mask & before and found.hold(part, (lines[bit] for bit in lines if mask & bit & after)):
            newly.append(part)
    if before & ~after:
        for part, mask in _parts(held_only_for(Flag.Code.PATTERN_MATCH, period), matches, changing):
            if mask & before and not mask & after:
                found.free(part, (lines[bit] for bit in lines if mask & bit & before))
    newly.sort(key=lambda part: -abs(part.billed))
    keys = [Q(**dict(zip(_named(matches), part.key, strict=True))) for part in newly[:SHOWN]]
    found.examples = examples_of(charges, keys) if keys else []
    return found


def _search(charges: "QuerySet[Charge]", patterns: Sequence[str], clock: Callable[[], float]) -> Matches:
    """Search every distinct text of some charges, and perhaps of others. Raises TooSlow."""
    bits = {pattern: 1 << place for place, pattern in enumerate(patterns)}
    searched = Searched(patterns)
    masks = Memo(lambda text: sum(bits[pattern] for pattern in searched.all_in(text)))
    found: Matches = {}
    spent = 0.0
    models = {model.NAME: model for model in DIMENSION_MODELS}
    for name, fields in _LOOKED_IN.items():
        texts = models[name].objects.order_by()
        # There are never many products.
        if name != "product" and texts.filter(pk__gt=FEW).exists():
            texts = texts.filter(pk__in=charges.order_by().values(name))
        found[name] = {}
        batch: list[tuple[int, ...]] = []
        for row in texts.values_list("pk", *fields).iterator():
            batch.append(row)
            if len(batch) >= STRIDE:
                spent += _note(batch, masks, found[name], clock)
                batch.clear()
                if spent > SECONDS:
                    raise TooSlow
        _note(batch, masks, found[name], clock)
    return found


def _note(batch: Sequence[tuple[int, ...]], masks: Memo, matched: dict[int, int], clock: Callable[[], float]) -> float:
    """Note which texts match which patterns; return the seconds that it took."""
    started = clock()
    for key, *texts in batch:
        mask = 0
        for text in texts:
            mask |= masks[text]
        if mask:
            matched[key] = mask
    return clock() - started


def _named(matches: Matches) -> list[str]:
    """Return the dimensions in which anything matches."""
    return [name for name, keys in matches.items() if keys]


def _parts(charges: "QuerySet[Charge]", matches: Matches, changing: int) -> list[tuple[Part, int]]:
    """Return charges by their texts, each part with the patterns that it matches; others are left out."""
    keys = {name: [key for key, mask in found.items() if mask & changing] for name, found in matches.items()}
    count = sum(map(len, keys.values()))
    if not count:
        return []
    if count <= NAMED:
        wanted = Q()
        for name, ids in keys.items():
            wanted |= Q(**{f"{name}__in": ids}) if ids else Q()
        charges = charges.filter(wanted)
    names = _named(matches)
    found = []
    for part in parts_of(charges, texts=names):
        mask = 0
        for name, key in zip(names, part.key, strict=True):
            mask |= matches[name].get(key, 0)
        if mask & changing:
            found.append((part, mask))
    return found
