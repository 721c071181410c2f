"""E-mail addresses as they are compared and stored: one form for one mailbox, however somebody writes it."""

import re
import unicodedata
from functools import lru_cache

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from .texts import REMEMBERED, SHORT, code_of, odd_characters

# As mail programs write and copy an address: `Edith Farrow <edith@u.edu>;`.
_IN_BRACKETS = re.compile(r"<([^<>]*)>[\s;,]*$")
_MAILTO = re.compile(r"mailto:", re.IGNORECASE)
# What East Asian keyboards type for the point between the labels of a domain.
_POINTS = str.maketrans("\u3002\uff61", "..")
PUNYCODE = "xn--"


def normalized_email(text: str) -> str:
    """Return an e-mail address as it is compared and stored: in lower case, its domain as people read it.

    What stands around it goes: blanks, what nobody sees, `mailto:`, a name and its brackets, the point of a full
    domain. A text that is no address is only trimmed and in lower case.
    """
    return _normal(text) if len(text) <= SHORT else _normalize(text)


def _normalize(text: str) -> str:
    plain = code_of(text)
    if bracketed := _IN_BRACKETS.search(plain):
        plain = bracketed[1].strip()
    if mailto := _MAILTO.match(plain):
        plain = plain[mailto.end() :].partition("?")[0].strip()
    local, at, domain = plain.rpartition("@")
    if not at:
        return plain.casefold()
    return f"{local.strip().casefold()}@{normalized_domain(domain.strip().rstrip(';,'))}"


_normal = lru_cache(maxsize=REMEMBERED)(_normalize)


def vouched_email(text: str) -> str:
    """Return an address that somebody vouches for as it is compared; "" for what is no address, character by character.

    Only case and the form of the domain are folded. Text around an address is free: whoever chooses their own name
    would choose `me <her@u.edu>` and be taken for her.
    """
    local, at, domain = text.rpartition("@")
    # Letters beyond ASCII fold into it: the Kelvin sign into k.
    if not at or not local.isascii() or code_of(text).translate(_POINTS) != text:
        return ""
    try:
        validate_email(ascii_address(text))
    except ValidationError:
        return ""
    return f"{local.casefold()}@{normalized_domain(domain)}"


def normalized_domain(text: str) -> str:
    """Return a domain in lower case, its international labels as people read them: `universität.example`.

    A label that looks like another (a Cyrillic letter among Latin ones) stays in the ASCII form of the mail system.
    """
    return ".".join(map(_label, code_of(text).translate(_POINTS).strip(".").split(".")))


def _label(text: str) -> str:
    label = unicodedata.normalize("NFC", text.lower())
    if label.startswith(PUNYCODE):
        try:
            decoded = unicodedata.normalize("NFC", label.removeprefix(PUNYCODE).encode("ascii").decode("punycode"))
        except UnicodeError:
            return label
        if decoded.isascii() or ascii_label(decoded) != label or not decoded.isprintable():
            return label
        label = decoded
    return ascii_label(label) if odd_characters(label) else label


def ascii_label(label: str) -> str:
    """Return a label of a domain as the mail system writes it (RFC 3492)."""
    return label if label.isascii() else PUNYCODE + label.encode("punycode").decode("ascii")


def ascii_address(address: str) -> str:
    """Return an address with its domain as the mail system writes it.

    Python and Django still follow the standard of 2003, which takes `straße.example` for `strasse.example`: another
    domain, and another mailbox.
    """
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{'.'.join(map(ascii_label, domain.split('.')))}"


def mailbox_of(address: str, *, folds_plus: bool) -> str:
    """Return the mailbox of an address: with `folds_plus`, without what stands behind a plus sign before the @."""
    email = normalized_email(address)
    if not folds_plus:
        return email
    local, at, domain = email.rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"
