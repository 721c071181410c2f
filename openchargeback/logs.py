"""How a line of the log is written: for people, or as JSON or key=value for a collector."""

import datetime
import json
import logging
from typing import Any

from billing import incidents
from billing.texts import shown, shown_json, shown_lines


class TextFormatter(logging.Formatter):
    """One line to read: when, how bad, where from, what.

    No text in it ends the line or acts on the terminal that shows it; a traceback is set in, so that none of its lines
    can be taken for one of the log.
    """

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:
        reference = reference_of(record)
        return shown(super().formatMessage(record) + (f" (reference {reference})" if reference else ""))

    def formatException(self, ei: Any) -> str:
        return _set_in(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _set_in(super().formatStack(stack_info))


def _set_in(text: str) -> str:
    return "\n".join(f"    {line}" for line in shown_lines(text).split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with what `extra={"fields": {…}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        return _json(entry_of(record, self))


class KeyValueFormatter(logging.Formatter):
    """One line of key=value; what holds a blank, a quote or an equals sign is quoted as JSON does."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in entry_of(record, self).items())


FORMATTERS: dict[str, type[logging.Formatter]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
    "keyvalue": KeyValueFormatter,
}


class OneLineFilter(logging.Filter):
    """Takes the traceback from what is a client's fault: a request that was answered with 400, 403 or 404."""

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", 0)
        if record.name.startswith("django.security") or (record.name == "django.request" and 400 <= status < 500):
            record.exc_info, record.exc_text = None, None
        return True


def reference_of(record: logging.LogRecord) -> str:
    """Return the reference of the request, command or job that a line is about; "" where it has none."""
    # Django logs an answer when every middleware is through: by then the request alone still knows.
    return str(getattr(getattr(record, "request", None), "reference", "")) or incidents.reference()


def entry_of(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    """Return what is logged: time (UTC), level, logger, message, reference, further fields and a traceback."""
    entry: dict[str, Any] = {
        "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="microseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    if reference := reference_of(record):
        entry["reference"] = reference
    for name, value in getattr(record, "fields", {}).items():
        entry.setdefault(name, value)
    if record.exc_info:
        entry["exception"] = formatter.formatException(record.exc_info)
    if record.stack_info:
        entry["stack"] = formatter.formatStack(record.stack_info)
    return entry


def _quoted(value: object) -> str:
    if isinstance(value, str):
        is_plain = value.isprintable() and not any(mark in value for mark in ' "=\\')
        return value if value and is_plain else _json(value)
    if isinstance(value, int | float):
        return str(value).lower()
    return _json(_json(value))


def _json(value: object) -> str:
    return shown_json(json.dumps(value, default=str, ensure_ascii=False))
