"""What a month's checklist asks of receivables: that all that customers pay is on submitted invoices."""

from collections.abc import Iterator

from billing.errors import BillingError, NextStep
from billing.models import Policy
from billing.money import ZERO
from billing.month_items import todays_lines, told
from billing.months.checklist import FINALIZE, Item, Month, State

from ..models import ReceivablesExport
from .drafting import is_outdated, outstanding, totals_of


def items(month: Month) -> Iterator[Item]:
    """Say what customers owe of a month and no submitted invoice says."""
    code = "receivables"
    exports = list(ReceivablesExport.objects.filter(period=month.period))
    draft = next((each for each in exports if each.state == ReceivablesExport.State.DRAFT), None)
    make = NextStep("export_receivables", month.about)
    submit = NextStep("submit_receivables", month.about | {"export": str(draft.pk)}) if draft else make
    try:
        lines = [line for line in todays_lines(month) if line.customer_id]
        dues = outstanding(month.period, lines) if lines or exports else []
    except BillingError:
        text = "Invoices can be drafted once the payer lines can be made."
        yield Item(code, State.BLOCKED, text, then=make, holds_up=(FINALIZE,))
        return
    home = Policy.objects.current().currency
    if dues:
        owed = totals_of(dues)
        money = {home: sum(owed.values(), ZERO)}
        named = "1 customer" if len(owed) == 1 else f"{len(owed):,} customers"
        if draft and not is_outdated(draft, dues):
            text = f"Draft {draft} of receivables over {told(money)} for {named} is not submitted."
            yield Item(code, State.OPEN, text, len(owed), money, submit, holds_up=(FINALIZE,))
            return
        text = f"{told(money)} for {named} is not on invoices."
        if draft:
            text = f"Draft {draft} is not what is to be invoiced today: {told(money)} for {named}."
        yield Item(code, State.OPEN, text, len(owed), money, make, holds_up=(FINALIZE,))
        return
    if submitted := [each for each in exports if each.state == ReceivablesExport.State.SUBMITTED]:
        count, total = sum(each.invoice_count for each in submitted), sum((each.total for each in submitted), ZERO)
        said = "1 invoice" if count == 1 else f"{count:,} invoices"
        yield Item(code, State.DONE, f"{said} over {told({home: total})} submitted.", count, {home: total})
    else:
        yield Item(code, State.NOT_APPLICABLE, "No customer pays by invoice.")
