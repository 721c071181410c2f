"""The configuration of the FastAPI version, `config.yaml`, as settings of this one; what has no place here is said."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from billing.models import Policy
from billing.models.policy import TAG_FIELDS, default_tag_keys
from billing.patterns import PatternNotUnderstood, compiled

from .reading import LegacyUser, NotLegacy

# What `tag_mapping` names, by what it is called here. Its defaults are those of that version.
TAGS = {
    "pi_email": ("pi_email", "pi_email"),
    "project_id": ("project_id", "project"),
    "fund_org": ("fund_org", "fund_org"),
    "cost_center": ("cost_center", "cost_center"),
    "account_code": ("natural_account", "account_code"),
    "reference_1": ("reference_1", ""),
    "reference_2": ("reference_2", ""),
}
CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP"}
DEFAULT_SEGMENTS = "^(?P<orgn>[^-]+)-(?P<fund>.+)$"
# Sections that are settings of the environment here, or of nothing.
ELSEWHERE = {
    "smtp": "The mail server is set as EMAIL_URL in the environment. Its password was not read.",
    "logging": "Logs are set in the environment (LOG_FORMAT).",
    "output": "Files lie below VAR_DIR.",
}


@dataclass(frozen=True)
class SourceSettings:
    """What `imports.known_sources` says of a source."""

    name: str
    pattern: str
    fund_org: str
    account_code: str


@dataclass(frozen=True)
class Configuration:
    """What a configuration comes to here. `tags` are the keys that its files name who pays by, by field."""

    currency: str
    policy: dict[str, Any]
    tags: dict[str, str]
    sources: tuple[SourceSettings, ...]
    users: tuple[LegacyUser, ...]
    notes: tuple[str, ...]


def read(path: Path | None) -> Configuration:
    """Read a configuration file; without one, what that version does without any. Raises NotLegacy."""
    if path is None:
        return understood({})
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotLegacy(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise NotLegacy(f"{path.name} is no text in UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise NotLegacy(f"{path.name}{place}: this is not YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(content, dict | None):
        raise NotLegacy(f"{path.name} is no configuration of the FastAPI version: it names no sections.")
    return understood(content or {})


def understood(content: Mapping[str, Any]) -> Configuration:
    """Return what the sections of a configuration come to."""
    notes: list[str] = []
    journal, review, email = (_section(content, name) for name in ("journal", "review", "email"))
    tags = _tags(_section(content, "tag_mapping"))
    keys = default_tag_keys()
    for field, key in tags.items():
        keys[field] = [key, *(each for each in keys[field] if each != key)]
    policy: dict[str, Any] = {
        "tag_keys": keys,
        "flag_patterns": _patterns(review.get("flag_patterns"), _anywhere, "flag_patterns", notes),
        "fund_org_patterns": _patterns(review.get("fund_org_patterns"), _beginning, "fund_org_patterns", notes),
        "fund_org_segments": _segments(_text(journal.get("fund_org_regex")) or DEFAULT_SEGMENTS, notes),
    }
    if address := _text(email.get("from_address")):
        policy["contact_email"] = address
    if subject := _text(email.get("subject_template")):
        policy["email_subject"] = subject.replace("{billing_period}", "{{ month }}")
    if name := _text(email.get("from_name")):
        policy["institution"] = name
    default = _text(journal.get("default_account"))
    sources = tuple(
        SourceSettings(
            _text(each.get("name")),
            _text(each.get("pattern")),
            _text(each.get("fund_org")),
            _text(each.get("account_code")) or default,
        )
        for each in _section(content, "imports").get("known_sources") or ()
        if isinstance(each, dict)
    )
    notes += _left_behind(content, journal)
    users = _section(_section(content, "web"), "users")
    return Configuration(
        currency=CURRENCIES.get(_text(content.get("currency")) or "$", ""),
        policy=policy,
        tags=tags,
        sources=tuple(source for source in sources if source.name),
        users=tuple(
            LegacyUser(str(name), _text(of.get("email")), _text(of.get("display_name")), _text(of.get("role")))
            for name, of in users.items()
            if isinstance(of, dict)
        ),
        notes=tuple(notes),
    )


def _left_behind(content: Mapping[str, Any], journal: Mapping[str, Any]) -> list[str]:
    """Say what has no place here, or another than a policy."""
    notes = [f"{name}: {why}" for name, why in ELSEWHERE.items() if content.get(name)]
    if content.get("dev_mode"):
        notes.append("dev_mode: with no EMAIL_URL, messages are written to files here, too.")
    if template := _text(journal.get("template")):
        notes.append(
            f"journal.template: {template} is a Jinja template. "
            "Write it again under Journal templates, or choose a layout."
        )
    for name in ("debit_description", "credit_description"):
        if text := _text(journal.get(name)):
            notes.append(f"journal.{name}: “{text}” is not brought over. Journals describe their lines themselves.")
    return notes


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _tags(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Return the tag key of each field, as its files have it."""
    found = {ours: _text(mapping.get(theirs, default)) for theirs, (ours, default) in TAGS.items()}
    return {field: key for field, key in found.items() if key and field in TAG_FIELDS}


def _patterns(given: object, convert: Any, name: str, notes: list[str]) -> list[str]:
    """Return patterns as they mean the same here; those that cannot be had are left out, and said."""
    found = []
    for pattern in given if isinstance(given, list) else ():
        converted = convert(_text(pattern))
        try:
            compiled(converted)
        except PatternNotUnderstood as error:
            notes.append(f"review.{name}: “{pattern}” is left out. {error}")
            continue
        if converted != pattern:
            notes.append(f"review.{name}: “{pattern}” is now “{converted}”.")
        found.append(converted)
    return found


def _anywhere(pattern: str) -> str:
    """That version found it anywhere, in either case."""
    return f"(?i){pattern}"


def _beginning(pattern: str) -> str:
    """That version asked for it at the beginning only, in either case; here a pattern is of the whole."""
    return f"(?i){_whole(pattern)}"


def _whole(pattern: str) -> str:
    """Return a pattern of a whole text that matches what a pattern of its beginning did."""
    body = pattern.removesuffix("$")
    backslashes = len(body) - len(body.rstrip("\\"))
    if body != pattern and not backslashes % 2 and "|" not in pattern:
        return pattern
    return f"(?:{pattern}).*"


def _segments(pattern: str, notes: list[str]) -> str:
    whole = _whole(pattern)
    try:
        compiled(whole)
    except PatternNotUnderstood as error:
        notes.append(f"journal.fund_org_regex: “{pattern}” is left out. {error}")
        return ""
    if whole != pattern:
        notes.append(f"journal.fund_org_regex: “{pattern}” is now “{whole}”.")
    return whole


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def changed_by(configuration: Configuration, policy: Policy, currency: str) -> dict[str, Any]:
    """Return what a configuration changes of a policy; who issues statements stays as it was set here."""
    changes = {name: value for name, value in configuration.policy.items() if getattr(policy, name) != value}
    default = Policy._meta.get_field("institution").default
    if policy.institution != default:
        changes.pop("institution", None)
    if policy.currency != currency:
        changes["currency"] = currency
    return changes
