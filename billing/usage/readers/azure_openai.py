"""Azure OpenAI behind API Management: its gateway's log of calls, as a query of Log Analytics answers.

Fields: the tables ApiManagementGatewayLlmLog and ApiManagementGatewayLogs of Azure Monitor, which share CorrelationId.
A call has a row of the number 0 with its tokens, and further ones with parts of its messages, which are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...readers import UnreadableFile
from .calls import CATEGORY, FAILED, SHAPE, Call, Oddities, Who, said, who_of
from .cell_values import count_of, of_field, seconds_of
from .field_rows import FieldRow, FieldRows
from .kinds import Kind, Tally
from .settings import Given
from .table_rows import folded
from .understanding import Understanding

WHO = ("ApimSubscriptionId", "ProductId", "UserId", "ApiId", "DeploymentName")
# Whatever else a query has made a column of.
COLUMN = "column."
NEEDED = (("TimeGenerated", "TimeGenerated [UTC]"), ("CorrelationId", "RequestId"), ("PromptTokens", "TotalTokens"))
MESSAGES = "parts of messages"
FIRST_ERROR = 400


@dataclass(frozen=True)
class Settings:
    """How calls of Azure's gateway are taken."""

    who: Who


def settings_of(settings: Mapping[str, Any]) -> Settings:
    """Make the settings of a feed; raises BadSettings."""
    given = Given(settings)
    found = Settings(who=who_of(given, WHO, account="ApimSubscriptionId", user="UserId", prefixes=(COLUMN,)))
    given.done()
    return found


def read(path: Path, name: str, settings: Settings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the calls of a file in batches; see Kind."""
    reader = _Reader(settings, tally)
    yield from Understanding(SHAPE, FieldRows(path, name, needed=NEEDED), reader.record, tally)
    reader.oddities.note(tally)


@dataclass
class _Reader:
    settings: Settings
    tally: Tally
    oddities: Oddities = field(default_factory=Oddities)

    def record(self, row: FieldRow) -> Call | None:
        """Return the record of a row, None for a part of a message; raises UnreadableFile that names the field."""
        # Queries name columns as they like, and tables name them in any case.
        values = {folded(name).removesuffix(" [utc]"): value for name, value in row.value.items()}
        tokens = {name: self._count(name, values) for name in ("PromptTokens", "CompletionTokens", "CachedTokens")}
        model = _said("ModelName", values) or _said("DeploymentName", values)
        if self._count("SequenceNumber", values) or not (model or any(tokens.values())):
            self.tally.left_out[MESSAGES] += 1
            return None
        found = "/".join(filter(None, (_said("CorrelationId", values), _said("RequestId", values))))
        if not found:
            raise UnreadableFile("The call has no CorrelationId and no RequestId.", column="CorrelationId")
        start = of_field("TimeGenerated", seconds_of, values.get("timegenerated"))
        if start is None:
            raise UnreadableFile("The call does not say when it was.", column="TimeGenerated")
        has_failed = self._has_failed(values)
        return Call(
            id=found,
            start=start,
            end=start,
            account=self._who(self.settings.who.account, values),
            user=self._who(self.settings.who.user, values),
            resource=model,
            free=FAILED if has_failed and not any(tokens.values()) else "",
            model=model,
            provider="azure",
            call_type=_said("OperationName", values),
            status="failure" if has_failed else "success",
            requests=1,
            input_tokens=tokens["PromptTokens"],
            uncached_tokens=self.oddities.uncached(tokens["PromptTokens"], tokens["CachedTokens"]),
            cached_tokens=tokens["CachedTokens"],
            output_tokens=tokens["CompletionTokens"],
        )

    def _count(self, name: str, values: Mapping[str, Any]) -> int:
        return of_field(name, count_of, values.get(name.casefold()))

    def _has_failed(self, values: Mapping[str, Any]) -> bool:
        is_refused = str(values.get("isrequestsuccess")).lower() == "false"
        return is_refused or self._count("ResponseCode", values) >= FIRST_ERROR

    def _who(self, names: tuple[str, ...], values: Mapping[str, Any]) -> str:
        return next((text for name in names if (text := _said(name.removeprefix(COLUMN), values))), "")


def _said(name: str, values: Mapping[str, Any]) -> str:
    return of_field(name, said, values.get(name.casefold()))


AZURE_OPENAI = Kind(
    name="azure_openai",
    label="Azure OpenAI by API Management",
    settings=settings_of,
    shape=lambda settings: SHAPE,
    read=read,
    service_category=CATEGORY,
)
