"""Imports that others overtake: what one was compared with must still stand when it is applied."""

import datetime
from collections.abc import Iterable, Mapping

from ..models import BillingPeriod, Import, Source
from ..readers import FileError, Problem
from ..texts import long_month
from . import duplicates, live_charges, receiving
from .comparing import Compared
from .reading import Read
from .receiving import Received
from .staging import Stage

Periods = Mapping[datetime.date, BillingPeriod]


class Overtaken(FileError):
    """Somebody else changed what the import was matched with; read once more, it is matched with that."""


def require_unchanged(received: Received, compared: Compared) -> None:
    """Refuse if another import of the source was applied after this one was matched, or had the same files.

    Locks the source: from here on imports of it are applied, and set aside, one after the other.
    """
    source = received.source
    Source.objects.select_for_update(no_key=True).get(pk=source.pk)
    if not received.adds_up and live_charges.imports_so_far(source) != compared.imports_before:
        raise Overtaken([Problem(f"Another import of {source} was applied meanwhile. Import this one again.")])
    now = receiving.recognized(received).recognized
    if now == received.recognized:
        return
    raise Overtaken(
        [
            Problem(
                f"Import {now.imports[-1]} applied the same file meanwhile: it counts once."
                if now.imports
                else "The import of the same file was withdrawn meanwhile. Import this one again."
            )
        ]
    )


def in_review_meanwhile(months: Iterable[datetime.date]) -> Overtaken:
    """Return the refusal where a month that changes was put in review meanwhile: there changes wait."""
    named = ", ".join(map(long_month, months))
    return Overtaken([Problem(f"{named} was put in review meanwhile. Import this one again: it waits there.")])


def require_no_more_again(received: Received, compared: Compared, rows: Stage, periods: Periods) -> None:
    """Refuse if an import that was applied meanwhile brought rows of one that adds up."""
    source = received.source
    if not received.adds_up or live_charges.imports_so_far(source) == compared.imports_before:
        return
    both = duplicates.sides(rows, source, periods)
    again = duplicates.of_own_source(rows, both, source, periods, compared.left_out) if both else []
    if not {each.row for each in again} <= compared.asked.rows:
        raise Overtaken([Problem("Another import brought the same rows meanwhile. Import this one again.")])


def require_no_more_elsewhere(
    received: Received, read: Read, compared: Compared, rows: Stage, periods: Periods
) -> None:
    """Refuse if another source brought some of the same costs meanwhile: nobody was asked about them.

    Takes turns with imports of other sources: who comes second sees what the first has committed.
    """
    duplicates.take_turns()
    before = compared.elsewhere
    elsewhere = duplicates.imports_elsewhere(received.source, read.totals)
    if elsewhere.keys() <= before.keys():
        return
    found = duplicates.of_other_sources(rows, received.source, set(elsewhere.values()), periods)
    if {each.row for each in found} <= compared.asked.rows:
        return
    sources = sorted({elsewhere[number].name for number in elsewhere.keys() - before.keys()})
    raise Overtaken([Problem(f"{' and '.join(sources)} brought the same costs meanwhile. Import this one again.")])


def require_latest(received: Received, imported: Import) -> None:
    """Refuse an import that one received after it overtook: it would put older figures over newer ones."""
    if received.adds_up:
        return
    source = received.source
    later = Import.objects.filter(source=source, state=Import.State.APPLIED, id__gt=imported.pk).first()
    if later:
        raise FileError(
            [
                Problem(
                    f"Import {later.pk} of {source}, which came after this one, was applied while this one "
                    "was read. Import this one again only if it is the newer."
                )
            ]
        )
