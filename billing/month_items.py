"""What billing itself asks of a month: imports, review, corrections, payer lines and the proof, for its checklist."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from django.db.models import Count, Q
from django.utils import timezone

from . import charging, corrections, proof
from .errors import BillingError, NextStep
from .fields import AmountSum
from .importing import doubts
from .models import (
    BillingPeriod,
    Charge,
    Correction,
    Import,
    ImportTotal,
    MonthTotal,
    PayerLine,
    Policy,
    Question,
    Source,
)
from .models.questions import held_for_questions_only
from .money import ZERO, rounded
from .months import crossing
from .months.checklist import CLOSE, CORRECTIONS, FINALIZE, HELD, PAYER_LINES, PROOF, Item, Month, State
from .proof import culprits
from .texts import long_month

# How many of the rows responsible, sources or names an item tells of.
NAMED = 5


def imports(month: Month) -> Iterator[Item]:
    """Say which imports wait for a decision, and which sources delivered the month before and not yet this one."""
    period = month.period
    delivered = set(
        ImportTotal.objects.filter(period=period, imported_in__state=Import.State.APPLIED, rows__gt=0)
        .order_by()
        .values_list("imported_in__source", flat=True)
    )
    waiting = list(
        Import.objects.filter(state__in=(Import.State.CHECKED, Import.State.DEFERRED), scope_totals__period=period)
        .select_related("source")
        .order_by("pk")
        .distinct()
    )
    step = NextStep("import_files", month.about)
    if waiting:
        # In a month that is closed it is for an open month to book.
        state = State.OPEN if period.takes_changes else State.WARNING
        text = f"{_some(len(waiting), 'import waits', 'imports wait')} for a decision."
        why = tuple(f"Import {each.pk} of {each.source}: {told}" for each in waiting for told in doubts.messages(each))
        then = NextStep("waiting_imports", month.about)
        yield Item("imports", state, text, len(waiting), then=then, details=why)
        return
    if not delivered and not Charge.objects.in_month(period).exists():
        if period.takes_changes:
            yield Item("imports", State.OPEN, f"Nothing was imported for {period} yet.", then=step)
        else:
            yield Item("imports", State.NOT_APPLICABLE, f"Nothing was imported for {period}.")
        return
    missing = _missing_sources(period, delivered) if period.takes_changes else []
    if missing:
        names = _listed([source.label for source in missing])
        verb = "has" if len(missing) == 1 else "have"
        others = _some(len(delivered), "source has", "sources have")
        text = f"{names} {verb} no import yet; the month before had. {others} one."
        yield Item("imports", State.WARNING, text, len(missing), then=step)
        return
    yield Item(
        "imports", State.DONE, f"{_some(len(delivered), 'source has', 'sources have')} an import.", len(delivered)
    )


def _missing_sources(period: BillingPeriod, delivered: set[int]) -> list[Source]:
    before = BillingPeriod.objects.shown().filter(month__lt=period.month).order_by("-month").first()
    if before is None:
        return []
    then = (
        ImportTotal.objects.filter(period=before, imported_in__state=Import.State.APPLIED, rows__gt=0)
        .order_by()
        .values("imported_in__source")
    )
    return list(Source.objects.filter(is_active=True, pk__in=then).exclude(pk__in=delivered).order_by("name"))


def held(month: Month) -> Iterator[Item]:
    """Say what waits for review; nothing closes before it is decided or carried over."""
    period = month.period
    count, billed, in_question = _held_sums(period)
    if not count:
        text = "Nothing is held for review."
        if in_question:
            text = (
                f"Nothing else is held for review: {_some(in_question, 'charge waits', 'charges wait')} for an answer."
            )
        yield Item(HELD, State.DONE if month_has_charges(month) else State.NOT_APPLICABLE, text)
        return
    text = f"{held_text(period)}."
    if period.takes_changes:
        text += f" Decide them, or carry them over to {long_month(crossing.month_after(period))}."
    then = NextStep("review", month.about)
    yield Item(HELD, State.OPEN, text, count, billed, then, holds_up=(CLOSE, FINALIZE))


def held_sums(period: BillingPeriod) -> tuple[int, dict[str, Decimal]]:
    """Return how many charges a month holds for review, and what is billed for them by currency."""
    return _held_sums(period)[:2]


def _held_sums(period: BillingPeriod) -> tuple[int, dict[str, Decimal], int]:
    """Return `held_sums`, and how many charges questions alone hold."""
    sums = MonthTotal.objects.of_month(period).held().billed_by_currency()
    number = sum(count for count, _ in sums.values())
    billed = {currency: amount for currency, (_, amount) in sums.items()}
    # What a question alone holds waits for its answer, and for no decision.
    in_question, amounts = questioned_sums(period) if number else (0, {})
    left = {currency: amount - amounts.get(currency, ZERO) for currency, amount in billed.items()}
    return (number - in_question, left if number > in_question else {}, in_question)


def questioned_sums(period: BillingPeriod) -> tuple[int, dict[str, Decimal]]:
    """Return how many charges of a month only questions hold, and what is billed for them by currency."""
    if not Question.objects.open().filter(charges__ended_at__isnull=True, charges__charge__isnull=False).exists():
        return 0, {}
    held = held_for_questions_only(Charge.objects.in_month(period)).order_by()
    rows = held.values_list("currency").annotate(number=Count("pk"), billed=AmountSum("billed_cost"))
    found = list(rows)
    return sum(number for _, number, _ in found), {currency: billed for currency, _, billed in sorted(found)}


def questions(month: Month) -> Iterator[Item]:
    """Say how many questions of PIs are open: none of them keeps the month from closing."""
    period = month.period
    is_late = Q(state__in=Question.WAITING, respond_by__lt=timezone.localdate())
    counted = Question.objects.filter(period=period).aggregate(
        asked=Count("pk"), open=Count("pk", filter=Q(state__in=Question.OPEN)), late=Count("pk", filter=is_late)
    )
    asked, count, late = counted["asked"], counted["open"], counted["late"]
    if not count:
        state = State.DONE if asked else State.NOT_APPLICABLE
        yield Item("questions", state, "All questions are answered." if asked else "No PI has asked anything.", asked)
        return
    held, billed = questioned_sums(period) if period.takes_changes else (0, {})
    text = f"{_some(count, 'question is', 'questions are')} open; staff answer in time."
    if late:
        text = f"{_some(count, 'question is', 'questions are')} open, {late:,} past the day to answer."
    if held:
        text += f" {_some(held, 'charge waits', 'charges wait')} for an answer ({told(billed)} billed). "
        text += f"If the month closes first, {'it is' if held == 1 else 'they are'} charged as before."
    yield Item("questions", State.WARNING, text, count, billed, NextStep("answer_questions", month.about))


def held_text(period: BillingPeriod) -> str:
    """Say how much a month holds for review, empty for nothing: 3 charges are held for review (12.50 USD billed)."""
    count, billed = held_sums(period)
    return f"{_some(count, 'charge is', 'charges are')} held for review ({told(billed)} billed)" if count else ""


def entered_corrections(month: Month) -> Iterator[Item]:
    """Say which corrections wait for a second person, and where they reversed more than was charged."""
    period = month.period
    proposed = Correction.objects.proposed().filter(charged_in=period)
    sums = _by_currency(proposed.order_by().values_list("currency").annotate(sum=AmountSum("amount")))
    then = NextStep("approve_corrections", month.about)
    if count := proposed.count():
        text = f"{_some(count, 'correction waits', 'corrections wait')} for approval by a second person."
        yield Item(CORRECTIONS, State.OPEN, text, count, sums, then, holds_up=(CLOSE, FINALIZE))
        return
    if too_much := corrections.taken_back_too_much(period):
        text = too_much[0] if len(too_much) == 1 else f"{len(too_much):,} lines have more reversed than they charge."
        details = tuple(too_much) if len(too_much) > 1 else ()
        then = NextStep("show_corrections", month.about)
        yield Item(CORRECTIONS, State.OPEN, text, len(too_much), then=then, details=details, holds_up=(FINALIZE,))
        return
    approved = Correction.objects.filter(charged_in=period, state=Correction.State.APPROVED)
    if count := approved.count():
        sums = _by_currency(approved.order_by().values_list("currency").annotate(sum=AmountSum("total")))
        text = f"{_some(count, 'correction is', 'corrections are')} approved, net {told(sums)}."
        yield Item(CORRECTIONS, State.DONE, text, count, sums)
        return
    yield Item(CORRECTIONS, State.NOT_APPLICABLE, "There are none.")


def todays_lines(month: Month) -> list[PayerLine]:
    """Return the payer lines that the month's charges make today, worked out once for all items.

    Those of a finalized month are locked. Raises the errors of `charging.make_payer_lines`.
    """
    if month.period.status == BillingPeriod.Status.FINALIZED:
        return month.once("lines", lambda: list(PayerLine.objects.filter(period=month.period)))
    return month.once("lines", lambda: charging.compute(month.period))


def month_has_charges(month: Month) -> bool:
    # In the order of an index: asked whether there is any, SQLite may read all charges of other months first.
    first = Charge.objects.in_month(month.period).order_by("pi_id", "project_id").values_list("pk")
    return month.once("has charges", lambda: bool(first[:1]))


def payer_lines(month: Month) -> Iterator[Item]:
    """Say whether the payer lines are those that today's charges make."""
    period = month.period
    stored = PayerLine.objects.filter(period=period)
    count = stored.count()
    was = stored.aggregate(sum=AmountSum("charged"))["sum"] or ZERO
    home = Policy.objects.current().currency
    if period.status == BillingPeriod.Status.FINALIZED:
        yield Item(PAYER_LINES, State.DONE, f"{_some(count, 'line', 'lines')}, locked.", count, {home: was})
        return
    try:
        lines = todays_lines(month)
    except BillingError as error:
        then = error.then or NextStep("review", month.about)
        yield Item(PAYER_LINES, State.BLOCKED, str(error), then=then, holds_up=(FINALIZE,))
        return
    if changed := charging.changed_keys(period, lines):
        said = "not up to date with the charges" if count else "to be made of the month's charges"
        text = f"{_some(len(changed), 'payer line is', 'payer lines are')} {said}."
        difference = {home: sum((line.charged for line in lines), ZERO) - was}
        then = NextStep("issue_statements", month.about)
        yield Item(PAYER_LINES, State.OPEN, text, len(changed), difference, then, holds_up=(FINALIZE,))
    elif count:
        text = f"{_some(count, 'line', 'lines')}, up to date with the charges: {told({home: was})}."
        yield Item(PAYER_LINES, State.DONE, text, count, {home: was})
    else:
        yield Item(PAYER_LINES, State.NOT_APPLICABLE, "There is nothing to charge.")


def proved(month: Month) -> Iterator[Item]:
    """Say whether what was delivered is accounted for, to the last digit."""
    period = month.period
    then = NextStep("proof", month.about)
    made = month.once("proof", lambda: proof.prove(period))
    if not made.equations:
        yield Item(PROOF, State.NOT_APPLICABLE, "There is nothing to reconcile yet.")
    elif not made.reconciles:
        problems = made.problems()
        # They are read from the files again, which a page does not wait for: that of the proof names them.
        found = culprits.culprits(made) if month.is_fresh else []
        details = (*problems[:NAMED], *(str(each) for each in found[:NAMED]))
        more = f" And {len(found) - NAMED:,} more." if len(found) > NAMED else ""
        text = f"The month does not reconcile. {'. '.join(problems[:NAMED])}.{more}"
        yield Item(PROOF, State.OPEN, text, len(problems), then=then, details=details, holds_up=(FINALIZE,))
    elif made.open:
        text = "It reconciles so far; what is open above remains."
        details = tuple(f"{each.title} ({each.source}): {each.note}" for each in made.open)
        yield Item(PROOF, State.BLOCKED, text, len(made.open), then=then, details=details, holds_up=(FINALIZE,))
    else:
        yield Item(PROOF, State.DONE, "The month reconciles: there is no difference.", len(made.equations))


def told(money: Mapping[str, Decimal]) -> str:
    """Say amounts by currency: 12.50 USD and 7.00 EUR."""
    return " and ".join(f"{rounded(amount, currency)} {currency}" for currency, amount in money.items()) or "0.00"


def _by_currency(rows: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for currency, amount in rows:
        sums[currency] += amount
    return dict(sorted(sums.items()))


def _some(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _listed(names: list[str]) -> str:
    shown, more = names[:NAMED], len(names) - NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more:,} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
