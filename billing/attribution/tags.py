"""What the tags of a row say of who pays, by the keys and prefixes of the policy."""

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from ..addresses import normalized_email
from ..models import Charge, Policy
from ..models.people import Mailboxes
from ..readers.cells import check_code
from ..readers.tags import Tags, tags_of
from ..readers.values import BadValue, Memo
from ..texts import code_of, folded_code, folds_of, is_missing, odd_characters, other_characters, quoted
from .conditions import HOLDS, Conditions, tag_answers
from .draft import Draft

# The tags of a row by folded key: each key and value as delivered, for several keys may fold to one.
Said = Mapping[str, tuple[tuple[str, str], ...]]
# The keys of a field in order, each with every prefix it may have.
Keys = tuple[tuple[str, ...], ...]
# Longer values are no address or date, and are compared as they are.
MAX_COMPARED = 1_000

# Longest values that their columns hold; what is longer is no such thing but a mistake.
LIMITS = {
    "pi_email": 254,
    "project_id": 128,
    "fund_org": 64,
    "cost_center": 64,
    "natural_account": 64,
    "reference_1": 128,
    "reference_2": 128,
    "end_date": 32,
}


class TagReader:
    """Reads the tags of rows under a policy. `projects` are the folded codes of the projects there are."""

    def __init__(self, policy: Policy, *, mailboxes: Mailboxes, projects: Collection[str]) -> None:
        self.prefixes = prefixes_of(policy)
        # For each field the keys it may stand under, the preferred first; each key with every prefix it may have.
        self.keys = {field: keys_with_prefixes(keys, self.prefixes) for field, keys in policy.tag_keys.items()}
        self.missing = folds_of(policy.missing_words)
        self._folded_keys = Memo(folded_code)
        self._mailboxes = mailboxes
        self._projects = projects

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The folded keys of all fields, with every prefix."""
        return tuple(dict.fromkeys(key for each in self.keys.values() for keys in each for key in keys))

    def by_key(self, tags: Tags) -> Said:
        """Return what the tags say by their folded keys, in one order whatever that of the tags."""
        folded_keys = self._folded_keys
        found: dict[str, tuple[tuple[str, str], ...]] = {}
        for key, value in tags.pairs.items():
            folded = folded_keys[key]
            found[folded] = tuple(sorted((*found[folded], (key, value)))) if folded in found else ((key, value),)
        return found

    def read(self, problem: str, by_key: Said) -> Draft:
        """Return what tags say of each field, with the problem that reading them met and those of single tags."""
        problems = [("", problem)] if problem else []
        names = ("pi_email", "project_code", *(name for name in LIMITS if name != "project_id"), "shared_as")
        values = dict.fromkeys(names, "")
        for name, keys in self.keys.items():
            target = "project_code" if name == "project_id" else name
            value = self._said_for(name, target, keys, by_key, problems)
            if name == "pi_email" and value:
                value = self._pi_named(value, problems)
            elif name == "end_date" and value:
                value = _day_named(value, problems)
            elif name != "fund_org" and value and (odd := odd_characters(value)):
                # A fund/org is held against the institution's patterns and list instead.
                problems.append((target, f"The tag for {name} is {quoted(value)}: {odd}."))
                value = ""
            if value and name not in ("pi_email", "end_date") and (spoiled := self._spoiled(target, value)):
                problems.append((target, f"The tag for {name}: {spoiled}"))
                value = ""
            if len(value) > LIMITS[name] or "\0" in value:
                problems.append((target, f"The tag for {name} is too long: {quoted(value, 40)}."))
                value = ""
            values[target] = value
        by = Charge.AttributedBy.TAG if values["pi_email"] else Charge.AttributedBy.NOTHING
        return Draft(values, problems, by)

    def answers(self, conditions: Conditions, by_key: Said) -> frozenset[bool]:
        """Return whether a rule's condition on a tag holds; see conditions.tag_answers."""
        if not conditions.tag_key:
            return HOLDS
        # A rule may ask for “none” by name; where any value will do, that is none.
        missing = () if conditions.tag_value else self.missing
        key = folded_code(conditions.tag_key)
        values = {}
        for variant in (prefix + key for prefix in self.prefixes):
            texts = [code_of(value) for _, value in by_key.get(variant, ())]
            values[variant] = [text for text in texts if not is_missing(text, missing)]
        return tag_answers(conditions, values, self.prefixes)

    def contradiction(self, tag_key: str, by_key: Said) -> str:
        """Say which tags of one key contradict each other, where a rule goes by that key."""
        variants = [prefix + folded_code(tag_key) for prefix in self.prefixes]
        said = sorted({pair for variant in variants for pair in by_key.get(variant, ())})
        told = " and ".join(f"{quoted(key)} ({quoted(value)})" for key, value in said)
        return f"The tags {told} are one key with different values, and a rule goes by it."

    def _spoiled(self, target: str, value: str) -> str:
        """Say what a spreadsheet made of a code on its way into a tag, "" where it left it alone."""
        if target == "project_code" and folded_code(value) in self._projects:
            # A project may be called so.
            return ""
        try:
            check_code(value, is_strict=False)
        except BadValue as error:
            return str(error)
        return ""

    def _said_for(self, name: str, target: str, keys: Keys, by_key: Said, problems: list[tuple[str, str]]) -> str:
        """Return what the first key that says anything says for a field.

        Keys that are one but for case, blanks, prefixes and what nobody sees have to agree: where they do not, that
        is a problem, and nothing is said, for nobody knows which is meant.
        """
        for variants in keys:
            said = [(key, value) for variant in variants for key, value in by_key.get(variant, ())]
            found: dict[str, tuple[str, str, str]] = {}
            for key, value in said:
                text = code_of(value)
                if not is_missing(text, self.missing):
                    compared = self._compared(name, text)
                    found[compared] = min(found.get(compared, (text, key, value)), (text, key, value))
            if len(found) > 1:
                told = " and ".join(
                    f"{quoted(key)} ({quoted(value)})"
                    for key, value in sorted((key, value) for _, key, value in found.values())
                )
                problems.append((target, f"The tags {told} are one key with different values."))
                return ""
            for text, _, _ in found.values():
                return text
        return ""

    def _compared(self, name: str, text: str) -> str:
        """Return a value of a tag as it is compared with one of the same key."""
        if len(text) > MAX_COMPARED:
            return text
        if name == "pi_email":
            return self._mailboxes.known_as(normalized_email(text))
        if name == "project_id":
            return text.casefold()
        return _day_named(text, []) or text if name == "end_date" else text

    def _pi_named(self, value: str, problems: list[tuple[str, str]]) -> str:
        email = normalized_email(value)
        if not _is_address(email):
            odd = other_characters(email) if email.isprintable() and "@" in email else ""
            told = f"The PI's tag is {quoted(value)}, which is not an e-mail address{f': {odd}' if odd else ''}."
            problems.append(("pi_email", told))
            return ""
        return self._mailboxes.known_as(email)


def tags_used(text: str, policy: Policy) -> dict[str, tuple[str, str]]:
    """Return which tag of a row speaks for each field (pi_email, fund_org, …): its key and value as delivered.

    By the keys of the policy given: an import before it may have gone by others. Of tags that contradict each other
    none speaks.
    """
    prefixes, missing = prefixes_of(policy), folds_of(policy.missing_words)
    by_key: dict[str, list[tuple[str, str]]] = {}
    for key, value in tags_of(text).pairs.items():
        if not is_missing(code_of(value), missing):
            by_key.setdefault(folded_code(key), []).append((key, value.strip()))
    found: dict[str, tuple[str, str]] = {}
    for name, keys in policy.tag_keys.items():
        asked = (
            [pair for key in variants for pair in by_key.get(key, ())]
            for variants in keys_with_prefixes(keys, prefixes)
        )
        said = next(filter(None, asked), [])
        if said and len({code_of(value).casefold() for _, value in said}) == 1:
            found[name] = min(said)
    return found


def prefixes_of(policy: Policy) -> tuple[str, ...]:
    """Return what may stand before a tag's key, nothing among it, as keys are compared."""
    return ("", *(folded_code(prefix) for prefix in policy.tag_prefixes))


def keys_with_prefixes(keys: Iterable[str], prefixes: Sequence[str]) -> Keys:
    """Return each of the keys of a field, as they are compared, with every prefix."""
    return tuple(tuple(prefix + folded_code(key) for prefix in prefixes) for key in keys)


def _day_named(value: str, problems: list[tuple[str, str]]) -> str:
    """Return the day of a tag in ISO form; a time after it does not matter."""
    try:
        return datetime.date.fromisoformat(value[:10] if value[10:11] in ("T", " ") else value).isoformat()
    except ValueError:
        problems.append(("end_date", f"The end date's tag is {quoted(value)}, which is not a date such as 2026-06-30."))
        return ""


def _is_address(email: str) -> bool:
    """Tell whether mail could be sent there: the check of every form where people type one."""
    try:
        validate_email(email)
    except ValidationError:
        return False
    return True
