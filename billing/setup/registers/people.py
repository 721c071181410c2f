"""The list of people: PIs by their e-mail addresses, who are known from then on."""

from collections.abc import Mapping
from typing import Any

from ...addresses import normalized_email
from ...models import Job, Person
from ..lists import ListRefused
from .columns import Known, address, day, department, text, yes
from .kinds import Found, Register, Stored


class PeopleRefused(ListRefused):
    """A list of people that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "Nobody was loaded."


def _find(row: Mapping[str, str], known: Known, stored: Stored) -> Found:
    """Find the PI whose address, alias or mailbox a line names."""
    said = normalized_email(row["email"])
    if not said:
        raise ValueError("email", "is empty")
    found: Any = stored.by_key.get(row["email"]) or stored.by_key.get(known.mailboxes.owner(said))
    # Two PIs who share a mailbox from before may both be named; two new ones of a mailbox are one.
    return (found.email, found.email, found) if found else (known.mailboxes.mailbox(said), said, None)


PEOPLE = Register(
    name="people",
    event="person",
    model=Person,
    nouns=("PI", "PIs"),
    columns=(
        address("email", "The PI's address, in lower case, or an alias of one who is there.", is_key=True),
        text("name", "As statements print it."),
        department("department", "Code or name of a department; others are added.", "department", adds=True),
        address("contact_email", "Who else gets a copy of statements."),
        day("active_until", "The last day; later charges are held."),
        yes(
            "listed",
            "Whether the PI is on the list of people, and so known. A file without this column lists everybody it "
            "names.",
            "is_listed",
            empty=True,
            absent=True,
        ),
    ),
    job=Job.Kind.PEOPLE,
    refused=PeopleRefused,
    nobody="The file names nobody.",
    find=_find,
    key_of=lambda person: person.email,
    related=("department",),
    queryset=lambda found: found.order_by("email"),
    releases=True,
)
