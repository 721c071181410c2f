"""PIs whom nobody knows yet: outside the policy's e-mail domains and the list of people, and confirmed by nobody."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from ..addresses import ascii_address, normalized_domain
from ..models import Person, Policy
from ..money import plain, rounded

# Ids in one statement: below what any build of SQLite takes.
BATCH = 900


# PIs named in a text, as many as a person reads.
SHOWN = 10


@dataclass(frozen=True)
class NewPI:
    """A PI whom an import named for the first time; `is_known` is None where nobody checks that."""

    email: str
    charges: int
    billed: Mapping[str, Decimal]
    is_known: bool | None

    def as_data(self) -> dict[str, Any]:
        """Return it as --json and the import's page hold it."""
        billed = {currency: plain(self.billed[currency]) for currency in sorted(self.billed)}
        return {"pi": self.email, "charges": self.charges, "billed": billed, "known": self.is_known}


@dataclass(frozen=True)
class Known:
    """Which e-mail addresses are known.

    Where the policy names no domain and no list of people is loaded (`is_checked` is false), every address is.
    """

    is_checked: bool
    domains: tuple[str, ...]
    emails: frozenset[str]

    def knows(self, email: str) -> bool:
        """Tell whether charges of the PI with this address need nobody to confirm the PI."""
        return not self.is_checked or email in self.emails or self.is_inside(email)

    def is_inside(self, email: str) -> bool:
        """Tell whether an address belongs to one of the institution's own domains or their sub-domains."""
        domain = normalized_domain(email.rpartition("@")[2])
        return any(domain == own or domain.endswith(f".{own}") for own in self.domains)


def known(policy: Policy | None = None, *, with_people: bool = True) -> Known:
    """Return what is known now, under a policy or the one in force; without the people it knows domains alone."""
    domains = _domains_of(policy or Policy.objects.current())
    if not _is_checked(domains):
        return Known(False, domains, frozenset())
    if not with_people:
        return Known(True, domains, frozenset())
    by_hand = Person.objects.filter(Q(is_listed=True) | Q(confirmed_at__isnull=False))
    return Known(True, domains, frozenset(by_hand.values_list("email", flat=True)))


def known_among(policy: Policy, *, listed: Collection[str], confirmed: Collection[str]) -> Known:
    """Return what is known under a policy, of people (their addresses) that were read already."""
    domains = _domains_of(policy)
    if not (domains or listed):
        return Known(False, domains, frozenset())
    return Known(True, domains, frozenset((*listed, *confirmed)))


def new_pis(sums: Iterable[tuple[str, str, int, Decimal]], known: Known) -> tuple[NewPI, ...]:
    """Return PIs from the rows and money of each in a currency: those nobody knows first, then by money."""
    charges: dict[str, int] = defaultdict(int)
    billed: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for email, currency, count, amount in sums:
        charges[email] += count
        billed[email][currency] += amount
    found = [
        NewPI(email, charges[email], dict(billed[email]), known.knows(email) if known.is_checked else None)
        for email in charges
    ]
    return tuple(sorted(found, key=lambda each: (each.is_known is True, -max(each.billed.values()), each.email)))


def lines_of(found: Sequence[NewPI]) -> list[str]:
    """Say which PIs an import named for the first time, a line each."""
    if not found:
        return []
    lines = [f"PIs named for the first time: {len(found):,}"]
    for each in found[:SHOWN]:
        money = ", ".join(f"{rounded(each.billed[currency], currency)} {currency}" for currency in sorted(each.billed))
        held = " (not confirmed)" if each.is_known is False else ""
        lines.append(f"  {each.email}{held}: {each.charges:,} {'charge' if each.charges == 1 else 'charges'}, {money}")
    if len(found) > SHOWN:
        lines.append(f"  … and {len(found) - SHOWN:,} more")
    if found[0].is_known is None:
        lines.append(
            "  These addresses are not checked: neither e-mail domains of your own nor a list of people are set."
        )
    return lines


def strangers() -> QuerySet[Person]:
    """Return the PIs whom somebody has to confirm: none where neither domains nor a list of people are set."""
    domains = _domains_of(Policy.objects.current())
    if not _is_checked(domains):
        return Person.objects.none()
    inside = Q(pk__in=())
    # A PI learned before addresses had one form may have the domain as the mail system writes it.
    for domain in {*domains, *(ascii_address(domain) for domain in domains)}:
        inside |= Q(email__endswith=f"@{domain}") | Q(email__endswith=f".{domain}")
    return Person.objects.filter(is_listed=False, confirmed_at__isnull=True).exclude(inside)


def unconfirmed(people: Iterable[Person | int]) -> set[int]:
    """Return the ids of those people whom somebody has to confirm first; `people` may be given by id."""
    ids = sorted({each.pk if isinstance(each, Person) else each for each in people})
    outside = strangers()
    return {
        found
        for start in range(0, len(ids), BATCH)
        for found in outside.filter(pk__in=ids[start : start + BATCH]).values_list("pk", flat=True)
    }


def _domains_of(policy: Policy) -> tuple[str, ...]:
    return tuple(normalized_domain(domain) for domain in policy.own_domains)


def _is_checked(domains: tuple[str, ...]) -> bool:
    return bool(domains) or Person.objects.filter(is_listed=True).exists()
