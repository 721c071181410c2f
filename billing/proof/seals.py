"""Seals of a finalized month: what its rows say in words, digested, so that who pays cannot be changed unseen."""

import datetime
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import CharField, Count, Expression, F, Func, QuerySet, TextField, Value

from ..charging.storage import in_storage_order
from ..fields import AmountSum
from ..models import PATHS, BillingPeriod, Charge, CorrectionLine, PayerLine, ReviewDecision, Source
from ..money import plain
from ..readers.dimensions import DIMENSIONS
from .texts import altered_texts

# Kind -> what it is of -> SHA-256.
Seals = dict[str, dict[str, str]]

# Name of a document -> number of its line -> the beginning of its SHA-256.
LineSeals = dict[str, dict[str, str]]

# Seals of lines only say which line it is where the seal of their document is broken: they need not be long.
LINE_SEAL = 12
# How many lines of a document are named.
LINES_NAMED = 5

# What a seal is of, for a person; `{}` is its name.
LABELS = {
    "charges": "Charges of {}",
    "said": "What charges of {} say",
    "decisions": "Decisions about charges of {}",
    "corrections": "Correction {}",
    "payer lines": "Payer lines under {}",
    "stated": "Statement {}",
    "journaled": "Journal {}",
    "invoiced": "Customer invoices {}",
}

# Written out, so that a column of a later version does not break the seals of earlier months.
OWNERS = (
    *("pi", "project", "fund_org", "payer_split", "natural_account", PATHS["service_name"]),
    *("state", "currency", "period"),
)
# All that a charge has of its own: the line it came from, its dates, amounts and quantities as delivered, and who pays
# for it. Its texts are those of its dimensions.
SAID = (
    *("imported_in", "file_number", "line_number", "period", "charge_period_start", "charge_period_end", "currency"),
    *("billed_cost", "effective_cost", "list_cost", "contracted_cost"),
    *("pricing_quantity", "consumed_quantity", "row_count"),
    *("replaces", "reverses", "pi", "project", "fund_org", "payer_split", "shared_as", "cost_center"),
    *("natural_account", "reference_1", "reference_2", "attributed_by", "deciders", "state"),
)
DECISIONS = (
    *("id", "charge", "file_sha256", "line_number", "action", "reason", "note", "before", "after"),
    *("decided_by_name", "decided_at"),
)
# With what is printed of a correction, where there is something: seals from before there was are as they were.
PRINTED = "correction__printed_text"
# Likewise; that of a payer line is in its key.
CUSTOMER = "customer__number"
CORRECTIONS = (
    *("correction__kind", "correction__for_period", "correction__reason", "correction__justification"),
    *("correction__entered_by_name", "correction__decided_by_name"),
    *("number", "kind", "pi", "project", "fund_org", "source", "natural_account", "service_name", "amount"),
    *("corrects_period", "corrects_key"),
)
LINES = (
    *("key", "kind", "for_period", "pi", "project", "fund_org", "source", "natural_account", "service_name"),
    *("currency", "list_cost", "contracted_cost", "charged", "rounding", "shared_total", "charge_count"),
)


def seals_of(period: BillingPeriod) -> Seals:
    """Return the seals of a month's own rows; those of statements and journals come from their sides of the proof.

    Charges are sealed by who pays: their number and amounts for each payer, whatever the order of the rows. And they
    are sealed, source by source, by all that each of them says.
    """
    owners = Charge.objects.in_month(period).order_by().values_list("source__name", *OWNERS)
    owners = owners.annotate(
        charges=Count("*"),
        billed=AmountSum("billed_cost"),
        effective=AmountSum("effective_cost"),
        listed=AmountSum("list_cost"),
    )
    references = sealed(PayerLine.objects.filter(period=period), "reference__number", *LINES)
    return {
        "charges": _digests(owners),
        "said": _said(period),
        "decisions": sealed(
            ReviewDecision.objects.filter(charge__charged_in=period), "charge__source__name", *DECISIONS
        ),
        "corrections": _correction_seals(CorrectionLine.objects.charged_in(period).order_by()),
        "payer lines": {f"{period.iso_month}-{int(number):04}": digest for number, digest in references.items()},
    }


def _said(period: BillingPeriod) -> dict[str, str]:
    """Return a SHA-256 for each source, of what the charges of a month say.

    The database writes what a charge has of its own as one text, alike on SQLite and PostgreSQL: that is five times as
    fast as reading its columns into Python. Of each dimension it gives the hash, which is held against the texts once
    for all charges that have it; a dimension that says something else counts with the hash of that.
    """
    names = dict(Source.objects.values_list("pk", "name"))
    of: dict[int, list[bytes]] = defaultdict(list)
    charges = in_storage_order(period).order_by()
    altered = [(place, found) for place, found in enumerate(altered_texts(charges).values()) if found]
    hashes = [f"{name}__text_hash" for name in DIMENSIONS]
    keys = [f"{list(DIMENSIONS)[place]}_key" for place, _ in altered]
    rows = charges.values_list("source_id", _as_one_text(), *hashes, *keys)
    for source, text, *said in rows.iterator(chunk_size=5_000):
        for number, (place, found) in enumerate(altered, start=len(hashes)):
            said[place] = found.get(said[number], said[place])
        whole = text.encode() + b"".join(said[: len(hashes)])
        of[source].append(hashlib.blake2b(whole, digest_size=16).digest())
    return {names[pk]: hashlib.sha256(b"".join(sorted(of[pk]))).hexdigest() for pk in sorted(of, key=names.__getitem__)}


def _as_one_text() -> Func:
    """Return what a charge has of its own as one text, each column with its length, so that none runs into the next."""
    forms: list[str] = []
    values: list[Expression | F] = []
    for name in SAID:
        column = F(name)
        if isinstance(Charge._meta.get_field(name), TextField | CharField):
            forms.append("%s:%s")
            values += [Func(column, function="length", output_field=TextField()), column]
        else:
            # A number, or the number of a row.
            forms.append("%s")
            values.append(Func(column, template=_NUMBER, output_field=TextField()))
    return Func(Value(" ".join(forms)), *values, function="format", output_field=TextField())


_NUMBER = "coalesce(cast(%(expressions)s AS text), '-')"


def sealed(rows: QuerySet[Any], by: str, *columns: str) -> dict[str, str]:
    """Return a SHA-256 for each value of `by`: of these columns of its rows, in whatever order they come."""
    return _digests(rows.order_by().values_list(by, *columns))


def sealed_lines(rows: QuerySet[Any], by: str, number: str, *columns: str) -> LineSeals:
    """Return a short seal of each line, by its document (`by`) and its number there."""
    lines: LineSeals = defaultdict(dict)
    for name, *values in rows.order_by(by, number).values_list(by, number, *columns).iterator(chunk_size=5_000):
        lines[str(name)][str(values[0])] = _digest(values).hex()[:LINE_SEAL]
    return dict(lines)


def together(heads: dict[str, str], lines: dict[str, str]) -> dict[str, str]:
    """Return one seal for each document, of what stands above its lines and of these."""
    return {number: f"{heads.get(number, '')}{lines.get(number, '')}" for number in sorted({*heads, *lines})}


def _correction_seals(lines: QuerySet[CorrectionLine]) -> dict[str, str]:
    rows = lines.values_list("correction", *CORRECTIONS, PRINTED, CUSTOMER).iterator(chunk_size=5_000)
    return _digested((*row[: len(CORRECTIONS) + 1], *filter(None, row[-2:])) for row in rows)


def _digests(rows: QuerySet[Any, Any]) -> dict[str, str]:
    return _digested(rows.iterator(chunk_size=5_000))


def _digested(rows: Iterable[tuple[object, ...]]) -> dict[str, str]:
    of: dict[str, list[bytes]] = defaultdict(list)
    for name, *values in rows:
        of[str(name)].append(_digest(values))
    return {name: hashlib.sha256(b"".join(sorted(of[name]))).hexdigest() for name in sorted(of)}


def _digest(values: list[Any]) -> bytes:
    text = json.dumps(values, default=_text, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return str(value)


def broken(then: Seals, now: Seals, *, growing: frozenset[str]) -> list[tuple[str, str, str]]:
    """Return of what kind and name is not as it was sealed, and how; `growing` kinds may have got more since."""
    found = []
    for kind in LABELS:
        before, after = then.get(kind), now.get(kind, {})
        if before is None:
            continue
        for name in sorted({*before, *after}):
            if name not in after:
                found.append((kind, name, "gone"))
            elif name in before and before[name] != after[name]:
                found.append((kind, name, "changed"))
            elif name not in before and kind not in growing:
                found.append((kind, name, "new"))
    return found


def broken_lines(then: dict[str, str], now: dict[str, str]) -> str:
    """Say which lines of a document are not as they were sealed: "line 2 changed; lines 7, 8 gone"."""
    changed = [number for number in then if number in now and then[number] != now[number]]
    gone = [number for number in then if number not in now]
    new = [number for number in now if number not in then]
    told = []
    for numbers, how in ((changed, "changed"), (gone, "gone"), (new, "new")):
        numbers.sort(key=int)
        named = ", ".join(numbers[:LINES_NAMED])
        more = f" and {len(numbers) - LINES_NAMED:,} more" if len(numbers) > LINES_NAMED else ""
        if numbers:
            told.append(f"{'line' if len(numbers) == 1 else 'lines'} {named}{more} {how}")
    return "; ".join(told)
