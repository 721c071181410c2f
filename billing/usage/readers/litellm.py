"""LiteLLM's spend logs: one object for each call, as JSON from its interface, its table, or its logs in a bucket.

Fields: the table LiteLLM_SpendLogs of LiteLLM's schema.prisma, and its StandardLoggingPayload for logs in buckets.
What was asked and answered (`messages`, `response`, `proxy_server_request`) is not looked at.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...readers import UnreadableFile
from .calls import CACHED, CATEGORY, FAILED, SHAPE, Call, Oddities, Who, said, who_of
from .cell_values import count_of, of_field, seconds_of
from .json_rows import DECODER, JsonRow, JsonRows
from .kinds import Kind, Tally
from .settings import Given
from .understanding import Understanding

# Where each of what may say who pays is in a call: by itself, or in its metadata.
WHO = {
    "team_alias": ("", "user_api_key_team_alias"),
    "team_id": ("team_id", "user_api_key_team_id"),
    "organization_alias": ("", "user_api_key_org_alias"),
    "organization_id": ("organization_id", "user_api_key_org_id"),
    "project_alias": ("", "user_api_key_project_alias"),
    "project_id": ("", "user_api_key_project_id"),
    "key_alias": ("", "user_api_key_alias"),
    "user": ("user", "user_api_key_user_id"),
    "user_email": ("", "user_api_key_user_email"),
    "end_user": ("end_user", "user_api_key_end_user_id"),
}
# A tag `pi:ada@example.edu` of a request says `tag.pi`; the metadata that a key or a client adds for spend logs.
TAG, METADATA = "tag.", "metadata."
# The user that LiteLLM names for keys of its own administrator.
ADMIN = "default_user_id"

# What LiteLLM answers in place of calls, by a field that tells.
ERROR = "This is an error message of the gateway, not its spend logs. Ask again with a key that may see them all."
SUMS = "These are sums of LiteLLM, not its calls. Ask /spend/logs with summarize=false."
NO_CALLS = {"error": ERROR, "detail": ERROR, "users": SUMS, "models": SUMS, "teams": SUMS}


@dataclass(frozen=True)
class Settings:
    """How calls of LiteLLM are taken. A call that its own cache answered is free, unless `charge_cache_hits`."""

    who: Who
    charge_cache_hits: bool = False


def settings_of(settings: Mapping[str, Any]) -> Settings:
    """Make the settings of a feed; raises BadSettings."""
    given = Given(settings)
    who = who_of(given, WHO, account="team_alias team_id", user="user end_user", prefixes=(TAG, METADATA))
    found = Settings(who=who, charge_cache_hits=given.flag("charge_cache_hits"))
    given.done()
    return found


def read(path: Path, name: str, settings: Settings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the calls of a file in batches; see Kind."""
    rows = JsonRows(path, lists=("data",))
    oddities = Oddities()
    before = tally.lines
    yield from Understanding(SHAPE, rows, lambda row: _Call(row, settings, oddities).record(), tally)
    oddities.note(tally)
    totals = [page.get("total") for page in rows.pages]
    total = next((each for each in totals if isinstance(each, int)), 0)
    if total > tally.lines - before:
        tally.notes.append(
            f"The gateway has {total:,} calls, and the file {tally.lines - before:,} of them: it lacks pages."
        )


class _Call:
    """A call as the gateway tells of it."""

    def __init__(self, row: JsonRow, settings: Settings, oddities: Oddities) -> None:
        self.value = row.value
        self.settings = settings
        self.oddities = oddities
        self.metadata = self._object("metadata", self.value)
        # Tokens in detail: as the provider told them, under either name.
        self.usage = [self._object(each, self.metadata) for each in ("additional_usage_values", "usage_object")]

    def record(self) -> Call:
        """Return the record; raises UnreadableFile that names the field."""
        found = self._first("request_id", "id")
        if not found:
            raise self._no_call()
        start = of_field("startTime", seconds_of, self.value.get("startTime"))
        if start is None:
            raise UnreadableFile("The call does not say when it started.", column="startTime")
        input_tokens = of_field("prompt_tokens", count_of, self.value.get("prompt_tokens"))
        cached = self._tokens("prompt_tokens_details", "cached_tokens") or self._tokens("", "cache_read_input_tokens")
        cost_field = "spend" if "spend" in self.value else "response_cost"
        cost = of_field(cost_field, self.oddities.cost, self.value.get(cost_field))
        status = self._text("status", self.value) or self._text("status", self.metadata) or "success"
        model = self._first("model_group", "model")
        return Call(
            id=found,
            start=start,
            end=self.oddities.end(start, of_field("endTime", seconds_of, self.value.get("endTime"))),
            account=self._who(self.settings.who.account),
            user=self._who(self.settings.who.user),
            resource=model,
            free=self._free(status, cost),
            model=model,
            provider=self._first("custom_llm_provider") or _provider_in(self._first("model")),
            key=self.oddities.key(
                self.metadata.get("user_api_key_alias"),
                self.value.get("api_key") or self.metadata.get("user_api_key_hash"),
                self.settings.who,
            ),
            call_type=self._first("call_type"),
            status=status,
            requests=1,
            input_tokens=input_tokens,
            uncached_tokens=self.oddities.uncached(input_tokens, cached),
            cached_tokens=cached,
            output_tokens=of_field("completion_tokens", count_of, self.value.get("completion_tokens")),
            reasoning_tokens=self._tokens("completion_tokens_details", "reasoning_tokens"),
            cost_pico=cost,
        )

    def _free(self, status: str, cost: int) -> str:
        """Say why nobody is charged: a failed call, or one that the gateway's cache answered, that cost nothing."""
        if cost:
            return ""
        if status == "failure":
            return FAILED
        is_cached = str(self.value.get("cache_hit")).lower() == "true"
        return CACHED if is_cached and not self.settings.charge_cache_hits else ""

    def _no_call(self) -> UnreadableFile:
        says = next((says for name, says in NO_CALLS.items() if name in self.value), "")
        return UnreadableFile(says or "The call has no request_id. Is this a file of LiteLLM's spend logs?")

    def _who(self, names: tuple[str, ...]) -> str:
        """Return the first of some fields that says something."""
        for name in names:
            if name.startswith(TAG):
                found = self._tag(name.removeprefix(TAG))
            elif name.startswith(METADATA):
                found = self._text(name.removeprefix(METADATA), self._object("spend_logs_metadata", self.metadata))
            else:
                own, of_key = WHO[name]
                found = self._text(own, self.value) or self._text(of_key, self.metadata)
            if found and found != ADMIN:
                return found
        return ""

    def _tag(self, name: str) -> str:
        """Return what the tag of a request says that begins with a name and a colon."""
        tags = self.value.get("request_tags")
        tags = _parsed("request_tags", tags) if isinstance(tags, str) else tags
        for tag in tags if isinstance(tags, list) else ():
            key, colon, text = tag.partition(":") if isinstance(tag, str) else ("", "", "")
            if colon and key.strip().casefold() == name.casefold():
                return said(text)
        return ""

    def _first(self, *names: str) -> str:
        return next((text for name in names if (text := self._text(name, self.value))), "")

    def _text(self, name: str, values: Mapping[str, Any]) -> str:
        return of_field(name, said, values.get(name)) if name else ""

    def _object(self, name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an object that may be written as a text, as a table has it; empty where there is none."""
        found = values.get(name)
        if isinstance(found, str):
            found = _parsed(name, found)
        return found if isinstance(found, Mapping) else {}

    def _tokens(self, details: str, name: str) -> int:
        """Return a number of tokens that only the provider told, 0 where it did not."""
        for usage in self.usage:
            of = self._object(details, usage) if details else usage
            if found := of_field(name, count_of, of.get(name)):
                return found
        return 0


def _provider_in(model: str) -> str:
    provider, slash, _ = model.partition("/")
    return provider if slash else ""


def _parsed(name: str, text: str) -> Any:
    """Return what a text of JSON says, None for an empty one."""
    if not text.strip():
        return None
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos + 1:,}" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableFile(f"What it says is no JSON{where}.", column=name) from None


LITELLM = Kind(
    name="litellm",
    label="LiteLLM spend logs",
    settings=settings_of,
    shape=lambda settings: SHAPE,
    read=read,
    service_category=CATEGORY,
)
