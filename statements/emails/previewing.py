"""The words of an e-mail before it is sent, as its recipient would read them."""

import datetime

from django.utils import timezone

from billing.models import BillingPeriod, Policy

from ..models import Email, Statement
from . import addressing
from .letters import Letter, letter_of
from .outcomes import Message


def letter_to(message: Message, *, period: BillingPeriod, now: datetime.datetime) -> Letter:
    """Return what an e-mail of a preview would say if it was sent now. Raises EmailTemplateError."""
    statements = list(
        Statement.objects.filter(period=period, number__in=message.statements)
        .select_related("pi", "period", "reference__period", "project")
        .prefetch_related("lines")
        .order_by("number")
    )
    pi = statements[0].pi
    email = Email(period=period, pi=pi, recipient=message.recipient, role=message.role)
    sees_all = True
    if message.role == Email.Role.DELEGATE:
        delegates = addressing.delegates_of([pi], timezone.localtime(now).date())
        sees_all = addressing.addressed_to(email, statements, delegates).sees_all
    return letter_of(statements, policy=Policy.objects.current(), sees_all=sees_all)
