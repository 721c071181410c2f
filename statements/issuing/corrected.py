"""What corrections, late changes and charges of earlier months are about: lines, and what these charged before."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing import charging
from billing.models import BillingPeriod, Correction, CorrectionLine, PayerLine
from billing.money import ZERO

from ..models import Statement, StatementLine

BATCH = 500

# A payer line as it is named: the id of its month, and its key.
Named = tuple[int, str]


@dataclass(frozen=True)
class Corrected:
    """What the lines of a month that are no plain charges of it are about, by their payer keys."""

    # Lines of statements in force: `2025-01-0007-1:3`.
    named: Mapping[str, list[str]]
    # The payer lines that each corrects, and by how much.
    parts: Mapping[str, Sequence[tuple[Named, Decimal]]]
    # What these charged before this month, with all that corrected them until then.
    charged: Mapping[Named, Decimal]

    def charged_before(self, keys: Iterable[str]) -> dict[str, Decimal]:
        """Return, by payer key, what was charged before each of these corrections, which come one after the other.

        Two that correct the same line follow each other: what the first made of it is what the second begins with.
        What corrects no line of its payer adds to nothing: a manual charge, say, or what is transferred to a fund/org.
        """
        now = defaultdict(Decimal, self.charged)
        before = {}
        for key in keys:
            if (parts := self.parts.get(key)) is not None:
                before[key] = sum((now[each] for each in dict.fromkeys(of for of, _ in parts)), ZERO)
                for of, amount in parts:
                    now[of] += amount
        return before


def corrected_by(period: BillingPeriod, lines: Sequence[PayerLine]) -> Corrected:
    """Look up what the lines of a month correct."""
    parts = _parts(period, lines)
    wanted = {of for own in parts.values() for of, _ in own}
    numbers = _numbers(wanted)
    named = {
        key: list(dict.fromkeys(number for of, _ in own for number in numbers.get(of, ())))
        for key, own in parts.items()
    }
    own_month = {(period.pk, line.key): line.charged for line in lines}
    charged = {of: own_month[of] for of in wanted if of in own_month}
    return Corrected(named, parts, charged | _charged_until(period, {of for of in wanted if of[0] != period.pk}))


def _parts(period: BillingPeriod, lines: Iterable[PayerLine]) -> dict[str, list[tuple[Named, Decimal]]]:
    parts: dict[str, list[tuple[Named, Decimal]]] = {}
    are_entered = False
    for line in lines:
        if line.kind in PayerLine.ENTERED:
            parts[line.key], are_entered = [], True
        elif line.kind == PayerLine.Kind.LATE:
            parts[line.key] = [((line.for_period_id, charging.key_as_charged(line)), line.charged)]
        elif line.for_period_id != period.pk:
            parts[line.key] = [((line.for_period_id, line.key), line.charged)]
    if are_entered:
        entered = CorrectionLine.objects.charged_in(period).exclude(corrects_key="")
        for each in entered.select_related("correction__for_period", "pi", "project", "source").order_by("pk"):
            if (key := charging.key_of_correction(each)) in parts and each.corrects_period_id:
                parts[key].append(((each.corrects_period_id, each.corrects_key), each.amount))
    return parts


def _numbers(wanted: Iterable[Named]) -> dict[Named, list[str]]:
    """Return the lines of statements in force that show payer lines."""
    found: dict[Named, list[str]] = defaultdict(list)
    months = {month for month, _ in wanted}
    for keys in _batches(key for _, key in wanted):
        shown = StatementLine.objects.filter(
            statement__state__in=Statement.LIVE, statement__period__in=months, payer_key__in=keys
        ).order_by("statement__number", "number")
        for month, key, statement, number in shown.values_list(
            "statement__period", "payer_key", "statement__number", "number"
        ):
            found[month, key].append(f"{statement}:{number}")
    return found


def _charged_until(period: BillingPeriod, wanted: Iterable[Named]) -> dict[Named, Decimal]:
    """Return what payer lines of earlier months charge, with what changed that until a month begins."""
    charged: dict[Named, Decimal] = dict.fromkeys(wanted, ZERO)
    # A late change and what was carried over have the key of the month they are for, whichever charges them.
    of_key: dict[str, list[Named]] = defaultdict(list)
    for of in charged:
        for key in filter(None, (of[1], charging.key_of_late_change(of[1]))):
            of_key[key].append(of)
    for keys in _batches(of_key):
        lines = PayerLine.objects.filter(period__month__lt=period.month, key__in=keys)
        for key, amount in lines.order_by().values_list("key", "charged"):
            for of in of_key[key]:
                charged[of] += amount
    for keys in _batches(key for _, key in charged):
        entered = CorrectionLine.objects.filter(
            corrects_key__in=keys,
            correction__state=Correction.State.APPROVED,
            correction__charged_in__month__lt=period.month,
        )
        for month, key, amount in entered.order_by().values_list("corrects_period", "corrects_key", "amount"):
            if (month, key) in charged:
                charged[month, key] += amount
    return charged


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(set(keys))
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]
