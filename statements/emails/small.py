"""E-mails about statements that charge so little that the policy has them on the portal only."""

import dataclasses
from collections.abc import Sequence

from billing.models import Policy

from ..document import money_with_currency
from ..models import Email, Statement
from . import revising
from .planned import Planned


def left_out(planned: Sequence[Planned]) -> list[Planned]:
    """Leave out the e-mails that were never tried, and of which no statement charges enough.

    What a statement charges does not wait for its e-mail: it is issued, journaled and on the portal. A revision of one
    that was mailed is always mailed: whoever has the other must learn of it.
    """
    policy = Policy.objects.current()
    if not policy.smallest_emailed:
        return list(planned)
    little = [each for each in planned if _is_little(each, policy)]
    mailed = revising.mailed_before([statement for each in little for statement in each.statements])
    why = f"Less than {money_with_currency(policy.smallest_emailed, policy.currency)}: on the portal only."
    skipped = {id(each) for each in little if not any(statement.pk in mailed for statement in each.statements)}
    return [
        dataclasses.replace(each, waits="", left_out=why, is_small=True) if id(each) in skipped else each
        for each in planned
    ]


def _is_little(planned: Planned, policy: Policy) -> bool:
    email = planned.email
    is_untried = email.pk is None or (email.state == Email.State.QUEUED and not email.attempts)
    if not is_untried or planned.left_out or not planned.statements:
        return False
    return all(_charges_little(statement, policy) for statement in planned.statements)


def _charges_little(statement: Statement, policy: Policy) -> bool:
    return statement.currency == policy.currency and abs(statement.charged) < policy.smallest_emailed
