"""What a month's checklist asks of journals: that everything is drafted, submitted and answered by the ledger."""

from collections.abc import Iterator

from billing.errors import BillingError, NextStep
from billing.models import Policy
from billing.money import ZERO
from billing.month_items import todays_lines, told
from billing.months.checklist import FINALIZE, Item, Month, State

from . import posting
from .deltas import Pair
from .drafting import fresh_deltas, lines_of, require_accounting
from .models import Journal


def items(month: Month) -> Iterator[Item]:
    """Say what is still to journal of a month, what is drafted, and what the ledger has not answered."""
    period = month.period
    policy = Policy.objects.current()
    home = policy.currency
    journals = Journal.objects.filter(period=period)
    draft = journals.filter(kind=Journal.Kind.JOURNAL, state=Journal.State.DRAFT).first()
    export = NextStep("export_journal", month.about)
    submit = NextStep("submit_journal", month.about | {"journal": str(draft.pk)}) if draft else export
    try:
        every = month.once("deltas", lambda: fresh_deltas(period, todays_lines(month)))
    except BillingError:
        text = "It can be drafted once the payer lines can be made."
        yield Item("journal", State.BLOCKED, text, then=export, holds_up=(FINALIZE,))
        yield Item("submitted", State.BLOCKED, "No journal is drafted yet.", then=submit, holds_up=(FINALIZE,))
        yield from _answered(month, policy)
        return
    # What is charged 0.00 is shown in a journal's detail, and the ledger waits for none of it.
    pairs = [pair for pair in every if pair.amount]
    money = {home: sum((abs(pair.amount) for pair in pairs), ZERO)}
    live = journals.live()
    journaled = sum((each.debits for each in live), ZERO)
    if draft and posting.is_outdated(draft, every):
        text = f"Draft {draft} is not what is to be journaled today: {_payer_lines(len(pairs))}, {told(money)}."
        again = NextStep("draft_again", month.about | {"journal": str(draft.pk)})
        yield Item("journal", State.OPEN, text, len(pairs), money, again, holds_up=(FINALIZE,))
        yield Item("submitted", State.BLOCKED, "The draft is outdated.", then=again, holds_up=(FINALIZE,))
    elif draft:
        text = f"Draft {draft} holds all that is to be journaled: {told({home: draft.debits})} on each side."
        yield Item("journal", State.DONE, text, len(pairs), {home: draft.debits})
        if refused := _accounting_missing(draft, pairs, policy):
            yield Item("submitted", State.BLOCKED, str(refused), then=refused.then or submit, holds_up=(FINALIZE,))
        else:
            text = f"Journal {draft} over {told({home: draft.debits})} is not submitted."
            yield Item("submitted", State.OPEN, text, 1, {home: draft.debits}, submit, holds_up=(FINALIZE,))
    elif pairs:
        text = f"{told(money)} of {_payer_lines(len(pairs))} is not journaled."
        yield Item("journal", State.OPEN, text, len(pairs), money, export, holds_up=(FINALIZE,))
        yield Item("submitted", State.BLOCKED, "No journal is drafted yet.", then=submit, holds_up=(FINALIZE,))
    elif live:
        yield Item("journal", State.DONE, "Everything is journaled.", len(live), {home: journaled})
        yield Item("submitted", State.DONE, f"{_journals(len(live))} submitted.", len(live), {home: journaled})
    else:
        yield Item("journal", State.NOT_APPLICABLE, "There is nothing to journal.")
        yield Item("submitted", State.NOT_APPLICABLE, "There is nothing to submit.")
    yield from _answered(month, policy)


def _answered(month: Month, policy: Policy) -> Iterator[Item]:
    home = policy.currency
    journals = Journal.objects.filter(period=month.period)
    if not policy.requires_ledger_answer:
        yield Item("answered", State.NOT_APPLICABLE, "The policy awaits no answer of the ledger.")
        return
    if waiting := list(journals.open().order_by("id")):
        names = ", ".join(str(each) for each in waiting)
        money = {home: sum((each.debits for each in waiting), ZERO)}
        text = (
            f"{names} over {told(money)} {'waits' if len(waiting) == 1 else 'wait'} for the ledger's answer: "
            "posted with its document number, or rejected."
        )
        then = NextStep("answer_journal", month.about | {"journal": str(waiting[0].pk)})
        yield Item("answered", State.OPEN, text, len(waiting), money, then, holds_up=(FINALIZE,))
        return
    posted = list(journals.live())
    if posted:
        money = {home: sum((each.debits for each in posted), ZERO)}
        yield Item("answered", State.DONE, f"{_journals(len(posted))} posted.", len(posted), money)
    else:
        yield Item("answered", State.NOT_APPLICABLE, "No journal was submitted.")


def _accounting_missing(draft: Journal, pairs: list[Pair], policy: Policy) -> BillingError | None:
    try:
        require_accounting(lines_of(pairs, draft, policy))
    except BillingError as error:
        return error
    return None


def _payer_lines(count: int) -> str:
    return f"{count:,} payer line{'' if count == 1 else 's'}"


def _journals(count: int) -> str:
    return f"{count:,} journal{'' if count == 1 else 's'}"
