"""What a question can be about: a line of a statement, or one of the charges behind it; never what the browser says."""

from decimal import Decimal

from billing.models import Question
from billing.questions import Subject

from .. import issuing
from ..document import INVOICE
from ..models import Statement, StatementLine

WHOLE = Decimal(100)


class NoSuchLine(LookupError):
    """A line or charge was named that the statement does not have."""


def subject_of(statement: Statement, number: int, *, charge: str = "") -> Subject:
    """Return a line of a statement as a question is about it, or one of its charges.

    Raises NoSuchLine, and ChargesLost where the charges behind the line cannot be read.
    """
    line = next((each for each in statement.lines.all() if each.number == number), None)
    if line is None:
        raise NoSuchLine(f"Statement {statement} has no line {number}.")
    about, amount = about_of(line), line.charged
    if charge:
        row = next((each for each in issuing.charges_of_line(statement, number) if each.charge == charge), None)
        if row is None or not charge.isdecimal():
            raise NoSuchLine(f"Line {number} of statement {statement} has no charge {charge}.")
        about, amount = f"{row.resource or row.resource_id or about}, charge {charge}", row.charged
    return Subject(
        period=statement.period,
        reference=statement.reference,
        pi=statement.pi,
        project=statement.project,
        payer_key=line.payer_key,
        line=f"{statement.number}:{number}",
        about=about,
        amount=amount,
        currency=statement.currency,
        charge=int(charge) if charge else None,
        paid_by={line.fund_org: WHOLE} if line.fund_org else {},
    )


def about_of(line: StatementLine) -> str:
    """Return what a line is for, as a person reads it."""
    return f"{line.what or line.source_label}, {line.source_label}, {line.fund_org or INVOICE}"


def by_line(statement: Statement) -> dict[int, list[Question]]:
    """Return the questions about a statement's lines by their numbers, those of its other revisions too."""
    keys = {line.payer_key: line.number for line in statement.lines.all()}
    found: dict[int, list[Question]] = {}
    asked = Question.objects.filter(reference=statement.reference_id).exclude(state=Question.State.WITHDRAWN)
    for question in asked.order_by("pk"):
        if number := keys.get(question.payer_key):
            found.setdefault(number, []).append(question)
    return found
