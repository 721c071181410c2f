"""Statements that somebody chose to send: those of a month that there are, and why some of them do not go."""

import datetime
from collections.abc import Collection, Sequence

from django.utils import timezone

from billing.errors import BillingError
from billing.models import BillingPeriod
from billing.texts import long_date

from ..issuing import Outdated
from ..models import Email, Statement
from .addressing import BATCH
from .outcomes import KeptBack
from .planned import Planned

State = Statement.State

SENDING = "A run is sending it at this moment, or was stopped while it did. Look at its e-mail."
IN_DOUBT = "Its e-mail was perhaps sent. Say what became of it first."
NOTHING_WAITS = "No e-mail of it waits to be sent."


class UnknownStatement(BillingError):
    """A statement was chosen that the month does not have, or none was chosen."""


def chosen_of(period: BillingPeriod, chosen: Collection[str] | None) -> list[Statement]:
    """Return the statements of a month by their numbers, in order; none where the whole month is meant.

    Raises UnknownStatement for a number that is none of the month, and where nothing is chosen: that is never
    taken for everything.
    """
    if chosen is None:
        return []
    if not chosen:
        raise UnknownStatement("No statement is chosen.")
    numbers = sorted(set(chosen))
    found: list[Statement] = []
    for start in range(0, len(numbers), BATCH):
        of_month = Statement.objects.filter(period=period, number__in=numbers[start : start + BATCH])
        found += of_month.select_related("pi", "superseded_by").order_by("number")
    if unknown := set(numbers) - {each.number for each in found}:
        raise UnknownStatement(f"{period} has no statement {', '.join(sorted(unknown))}.")
    return found


def kept_back(
    chosen: Sequence[Statement], planned: Sequence[Planned], outdated: Collection[Outdated]
) -> tuple[KeptBack, ...]:
    """Return which of the chosen statements are in no e-mail of a plan, and why.

    What waits, is left out or is not current is told beside, and is not among them.
    """
    told = {one.pk for each in planned for one in each.statements} | {each.statement for each in outdated}
    rest = [each for each in chosen if each.pk not in told]
    links = Email.statements.through.objects.filter(
        statement__in=[each.pk for each in rest], email__state__in=(Email.State.CLAIMED, Email.State.UNCERTAIN)
    )
    states = dict(links.values_list("statement_id", "email__state")) if rest else {}
    return tuple(
        KeptBack(each.pk, each.number, each.pi.display_name, each.charged, each.currency, _why(each, states))
        for each in rest
    )


def _why(statement: Statement, email_states: dict[int, str]) -> str:
    if statement.state == State.VOID:
        return f"It is void{_on(statement.voided_at)}."
    if statement.state == State.SUPERSEDED:
        by = statement.superseded_by
        return f"It was replaced by {by}." if by else "It was replaced."
    if state := email_states.get(statement.pk):
        return SENDING if state == Email.State.CLAIMED else IN_DOUBT
    if statement.state == State.SENT:
        return f"It was sent{_on(statement.sent_at)}. To send it again, open its e-mail."
    if statement.state == State.WRITTEN:
        return f"Its e-mail was written to a file{_on(statement.written_at)}."
    return NOTHING_WAITS


def _on(moment: datetime.datetime | None) -> str:
    return f" on {long_date(timezone.localdate(moment))}" if moment else ""
