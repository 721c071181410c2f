"""What a revised statement changed: against the revision its PI has, line by line."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from .. import issuing
from ..changes import Changes
from ..models import Statement
from .outbox import writes_files


@dataclass(frozen=True)
class Revised:
    """A statement beside the revision that its PI was e-mailed before."""

    statement: Statement
    before: Statement

    @property
    def was(self) -> Decimal:
        return self.before.charged

    @cached_property
    def changes(self) -> Changes:
        """What changed since, line by line."""
        return issuing.changes_since(self.before, self.statement)


def mailed_before(statements: Sequence[Statement]) -> dict[int, Revised]:
    """Return, by id, the statements whose PIs were mailed an earlier revision, beside the last of these.

    A revision that was issued and never mailed is nothing a PI has to compare with. Where mail goes to
    files, one that was written to a file counts.
    """
    to_files = writes_files()
    earlier: dict[int, list[Statement]] = {}
    of = {statement.reference_id for statement in statements if statement.revision > 1}
    if not of:
        return {}
    for each in Statement.objects.filter(reference__in=of).order_by("revision").prefetch_related("lines"):
        if each.sent_at or (to_files and each.written_at):
            earlier.setdefault(each.reference_id, []).append(each)
    found = {}
    for statement in statements:
        mailed = [each for each in earlier.get(statement.reference_id, ()) if each.revision < statement.revision]
        if mailed:
            found[statement.pk] = Revised(statement, mailed[-1])
    return found
