"""How a line of the log is written: for people, or as JSON or key=value for a collector."""

import datetime
import json
import logging
from typing import Any


class TextFormatter(logging.Formatter):
    """One line to read: when, how bad, where from, what."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with what `extra={"fields": {…}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(entry_of(record, self), default=str, ensure_ascii=False)


class KeyValueFormatter(logging.Formatter):
    """One line of key=value; what holds a blank, a quote or an equals sign is quoted as JSON does."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in entry_of(record, self).items())


FORMATTERS: dict[str, type[logging.Formatter]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
    "keyvalue": KeyValueFormatter,
}


def entry_of(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    """Return what is logged: time (UTC), level, logger, message, further fields and a traceback."""
    entry: dict[str, Any] = {
        "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="microseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    for name, value in getattr(record, "fields", {}).items():
        entry.setdefault(name, value)
    if record.exc_info:
        entry["exception"] = formatter.formatException(record.exc_info)
    if record.stack_info:
        entry["stack"] = formatter.formatStack(record.stack_info)
    return entry


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        is_plain = value.isprintable() and not any(mark in value for mark in ' "=\\')
        return value if value and is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return str(value).lower()
    return json.dumps(json.dumps(value, default=str, ensure_ascii=False), ensure_ascii=False)
