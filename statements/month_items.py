"""What a month's checklist asks of statements: that they show today's charges, and that their PIs got them."""

from collections.abc import Iterator
from decimal import Decimal

from django.db.models import Count

from billing.errors import BillingError, NextStep
from billing.fields import AmountSum
from billing.models import BillingPeriod, Policy
from billing.month_items import month_has_charges, todays_lines, told
from billing.months.checklist import FINALIZE, Item, Month, State

from . import emails, issuing
from .models import Statement


def current(month: Month) -> Iterator[Item]:
    """Say whether the statements show what the month's charges come to today."""
    period = month.period
    count, charged = _live(period)
    money = _money(charged)
    if period.status == BillingPeriod.Status.FINALIZED:
        yield Item("statements", State.DONE, f"{_statements(count)} issued, locked.", count, money)
        return
    then = NextStep("issue_statements", month.about)
    try:
        pending = issuing.pending(period, todays_lines(month))
        issuing.keep_outdated(period, pending)
    except BillingError:
        text = "They can be issued once the payer lines can be made."
        yield Item("statements", State.BLOCKED, text, then=then, holds_up=(FINALIZE,))
        return
    if pending.count:
        text = _what_changed(pending)
        difference = _money(pending.difference)
        yield Item("statements", State.OPEN, text, pending.count, difference, then, holds_up=(FINALIZE,))
    elif count:
        yield Item("statements", State.DONE, f"{_statements(count)} issued, all current: {told(money)}.", count, money)
    else:
        yield Item("statements", State.NOT_APPLICABLE, "There is nothing to state.")


def _what_changed(pending: issuing.Pending) -> str:
    what = " and ".join(
        filter(
            None,
            (
                f"{_statements(pending.new)} to issue" if pending.new else "",
                f"{_statements(pending.revised)} to revise" if pending.revised else "",
            ),
        )
    )
    if not pending.difference:
        return f"{what}. The total charged stays the same."
    sign = "+" if pending.difference > 0 else ""
    return f"{what}: {sign}{told(_money(pending.difference))}."


def sent(month: Month) -> Iterator[Item]:
    """Say which statements in force have not reached their PIs."""
    period = month.period
    by_state = {
        state: (count, charged or Decimal(0))
        for state, count, charged in Statement.objects.live()
        .filter(period=period)
        .order_by()
        .values_list("state")
        .annotate(count=Count("*"), charged=AmountSum("charged"))
    }
    then = NextStep("send_statements", month.about)
    unsent, amount = by_state.get(Statement.State.ISSUED, (0, Decimal(0)))
    written, written_amount = by_state.get(Statement.State.WRITTEN, (0, Decimal(0)))
    portal, portal_amount = by_state.get(Statement.State.PORTAL, (0, Decimal(0)))
    done, done_amount = by_state.get(Statement.State.SENT, (0, Decimal(0)))
    small = f" {_statements(portal)} {'is' if portal == 1 else 'are'} too small to be e-mailed." if portal else ""
    failed = emails.troubled(period).count()
    mails = f" {failed:,} e-mail{' was' if failed == 1 else 's were'} not sent, or perhaps not." if failed else ""
    if unsent:
        text = f"{_statements(unsent)} {'is' if unsent == 1 else 'are'} not sent: {told(_money(amount))}.{mails}"
        yield Item("sent", State.OPEN, text, unsent, _money(amount), then)
    elif mails:
        yield Item("sent", State.OPEN, mails.strip(), failed, then=NextStep("failed_emails", month.about))
    elif written:
        text = f"{_statements(written)} {'is' if written == 1 else 'are'} in files only: nobody got an e-mail."
        yield Item("sent", State.WARNING, text, written, _money(written_amount), then)
    elif done or portal:
        text = f"{_statements(done)} sent.{small}" if done else small.strip()
        yield Item("sent", State.DONE, text, done + portal, _money(done_amount + portal_amount))
    elif month_has_charges(month) and period.takes_changes:
        yield Item("sent", State.BLOCKED, "No statement is issued yet.", then=then)
    else:
        yield Item("sent", State.NOT_APPLICABLE, "There is no statement to send.")


def _live(period: BillingPeriod) -> tuple[int, Decimal]:
    sums = Statement.objects.live().filter(period=period).aggregate(count=Count("*"), charged=AmountSum("charged"))
    return sums["count"], sums["charged"] or Decimal(0)


def _money(amount: Decimal) -> dict[str, Decimal]:
    return {Policy.objects.current().currency: amount}


def _statements(count: int) -> str:
    return f"{count:,} statement{'' if count == 1 else 's'}"
