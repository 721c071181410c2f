"""OpenAI's usage and costs: exports of its dashboard (CSV), and answers of its interfaces for usage and costs (JSON).

Each row is the sum of an hour or a day, by project, user, key and model as far as they were asked for. Fields: OpenAI's
API reference, "Usage" and "Costs". Its `input_tokens` include those that were cached.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...readers import UnreadableFile
from .calls import CATEGORY, SHAPE, Call, Oddities, Who, said, who_of
from .cell_values import count_of, of_field, seconds_of
from .field_rows import FieldRow, FieldRows
from .kinds import Kind, Tally
from .settings import Given
from .understanding import Understanding

WHO = ("project_name", "project_id", "user_email", "user_id", "api_key_name", "api_key_id", "organization_id")
NEEDED = (("start_time_iso", "start_time"), ("input_tokens", "num_model_requests", "amount_value"))
TOKENS = ("input_tokens", "input_cached_tokens", "output_tokens")
UNUSED = "hours or days without use"
COSTS = "costs"
# What tells a row from others of its hour or day.
TELLING = ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "line_item", "organization_id")


@dataclass(frozen=True)
class Settings:
    """How rows of OpenAI are taken."""

    who: Who


def settings_of(settings: Mapping[str, Any]) -> Settings:
    """Make the settings of a feed; raises BadSettings."""
    given = Given(settings)
    found = Settings(who=who_of(given, WHO, account="project_name project_id", user="user_email user_id"))
    given.done()
    return found


def read(path: Path, name: str, settings: Settings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in batches; see Kind."""
    rows = FieldRows(path, name, needed=NEEDED, lists=("data",))
    reader = _Reader(settings, tally)
    yield from Understanding(SHAPE, _results(rows), reader.record, tally)
    reader.oddities.note(tally)
    if rows.pages and rows.pages[-1].get("has_more"):
        tally.notes.append("OpenAI has more than this: the file lacks the pages behind its last one.")


def _results(rows: FieldRows) -> Iterator[FieldRow]:
    """Yield the results of buckets, as OpenAI's interfaces answer with, each with the times of its bucket."""
    for row in rows:
        results = row.value.get("results")
        if not isinstance(results, list):
            yield row
            continue
        times = {name: row.value.get(name) for name in ("start_time", "end_time")}
        for each in results or [{}]:
            if not isinstance(each, dict):
                raise UnreadableFile(f"{row.place}A result is no object in braces.", line=row.line)
            amount = each.get("amount")
            amount = amount if isinstance(amount, dict) else {}
            costs = {f"amount_{name}": amount[name] for name in ("value", "currency") if name in amount}
            yield FieldRow(row.line, row.place, {**each, **costs, **times})


@dataclass
class _Reader:
    settings: Settings
    tally: Tally
    oddities: Oddities = field(default_factory=Oddities)
    # How often rows came that nothing tells apart.
    seen: Counter[bytes] = field(default_factory=Counter)
    currency: str = ""

    def record(self, row: FieldRow) -> Call | None:
        """Return the record of a row, None where nothing was used; raises UnreadableFile that names the field."""
        values = row.value
        if "error" in values and not values.get("start_time"):
            raise UnreadableFile("This is an error message of OpenAI, not its usage.")
        start = self._time("start", values)
        if start is None:
            raise UnreadableFile("The row does not say when it starts.", column="start_time")
        counts = {name: of_field(name, count_of, values.get(name)) for name in ("num_model_requests", *TOKENS)}
        cost = of_field("amount_value", self.oddities.cost, values.get("amount_value"))
        if not cost and not any(counts.values()):
            self.tally.left_out[UNUSED] += 1
            return None
        self._require_one_currency(said(values.get("amount_currency")))
        cached = counts["input_cached_tokens"]
        model = said(values.get("model") or values.get("line_item"))
        return Call(
            id=self._id(start, values),
            start=start,
            end=self.oddities.end(start, self._time("end", values)),
            account=self._who(self.settings.who.account, values),
            user=self._who(self.settings.who.user, values),
            resource=model,
            model=model,
            provider="openai",
            key=self.oddities.key(values.get("api_key_name") or values.get("api_key_id"), "", self.settings.who),
            call_type=COSTS if values.get("amount_value") not in (None, "") else "",
            tier="batch" if str(values.get("batch")).lower() == "true" else said(values.get("service_tier")),
            requests=counts["num_model_requests"],
            input_tokens=counts["input_tokens"],
            uncached_tokens=self.oddities.uncached(counts["input_tokens"], cached),
            cached_tokens=cached,
            output_tokens=counts["output_tokens"],
            cost_pico=cost,
        )

    def _time(self, which: str, values: Mapping[str, Any]) -> int | None:
        name = f"{which}_time_iso" if values.get(f"{which}_time_iso") else f"{which}_time"
        return of_field(name, _seconds_of, values.get(name))

    def _who(self, names: tuple[str, ...], values: Mapping[str, Any]) -> str:
        return next((text for name in names if (text := said(values.get(name)))), "")

    def _id(self, start: int, values: Mapping[str, Any]) -> str:
        """Return what tells a row from others of its time; of equal ones, the number in the file too."""
        texts = [f"{name}={text}" for name in TELLING if (text := said(values.get(name)))]
        joined = " ".join(texts)
        digest = hashlib.blake2b(f"{start} {joined}".encode(), digest_size=12).digest()
        self.seen[digest] += 1
        number = self.seen[digest]
        return joined if number == 1 else f"{joined} #{number}"

    def _require_one_currency(self, currency: str) -> None:
        """Refuse costs of two currencies, which would be added up."""
        if currency and currency.casefold() != self.currency.casefold() and self.currency:
            raise UnreadableFile(
                f"The cost is in {currency} and others are in {self.currency}. Each currency needs a feed of its own.",
                column="amount_currency",
            )
        self.currency = currency or self.currency


def _seconds_of(value: Any) -> int | None:
    """Return a moment, of a text that is a number of seconds too."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return seconds_of(value)


OPENAI = Kind(
    name="openai",
    label="OpenAI usage and costs",
    settings=settings_of,
    shape=lambda settings: SHAPE,
    read=read,
    service_category=CATEGORY,
)
