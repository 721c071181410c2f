"""What the words of an e-mail can be made of: texts, numbers of things and tuples, never an object."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Subquery
from django.utils import timezone

from billing.models import BillingPeriod, MonthTotal, Policy
from billing.money import to_cents
from billing.texts import iso_month, long_date, long_month

from .. import issuing
from ..document import INVOICE, Figures, StatementDocument, money_with_currency
from ..models import Statement
from ..portal_links import portal_link, statement_link
from . import revising
from .revising import Revised


@dataclass(frozen=True)
class About:
    """What a letter says of the e-mail that brings it; empty in a letter that nobody gets."""

    # Why its reader gets it, and who else does.
    you_get_this: str = ""
    # Of a copy: for whom it is, and whose statements these are.
    copy_for: str = ""
    # Why it is sent again.
    again: str = ""
    attached: tuple[str, ...] = ()
    left_off: tuple[str, ...] = ()


def values_of(statements: Sequence[Statement], policy: Policy, *, sees_all: bool, about: About) -> dict[str, Any]:
    """Return what a template can use, for statements of one PI and month."""
    documents = [issuing.document_of(statement) for statement in statements]
    first = documents[0]
    revised = revising.mailed_before(statements)
    before = _month_before(statements)
    others = _others(statements) if sees_all else []
    amounts = _amounts([*documents, *others])
    return {
        "period": iso_month(first.month),
        "month": first.month_name,
        "pi": first.pi_name or first.pi_email,
        "pi_email": first.pi_email,
        "institution": policy.institution,
        "department": first.department,
        "contact_name": first.contact_name,
        "contact_email": first.contact_email,
        "contact_phone": first.contact_phone,
        "footer": first.footer,
        "portal_url": portal_link(),
        "count": len(documents),
        "revised": len(revised),
        "review_until": _questions_until(statements[0].period),
        "is_whole_month": sees_all,
        "total_label": f"Total for {first.month_name}" if sees_all else "Total of the statements in this e-mail",
        "statements": tuple(
            {**_told(document), **_what_is_new(statement, document, revised, before)}
            for statement, document in zip(statements, documents, strict=True)
        ),
        "others": tuple(_told(document) for document in others),
        "corrections": _corrections([*documents, *others]),
        # What the institution says on each of them is said once.
        "notices": tuple(each.text for each in first.notices if each.is_urgent is None),
        "held": _held(statements, sees_all=sees_all),
        "you_get_this": about.you_get_this,
        "copy_for": about.copy_for,
        "again": about.again,
        "attached": about.attached,
        "left_off": about.left_off,
        **amounts,
    }


def _others(statements: Sequence[Statement]) -> list[StatementDocument]:
    """Return the other statements in force of the same PI and month: with them, it is all that is charged."""
    of = statements[0]
    found = (
        Statement.objects.live()
        .filter(period=of.period_id, pi=of.pi_id)
        .exclude(pk__in=[statement.pk for statement in statements])
        .select_related("period", "reference__period")
        .prefetch_related("lines")
        .order_by("number")
    )
    return [issuing.document_of(statement) for statement in found]


def _month_before(statements: Sequence[Statement]) -> dict[int | None, Statement]:
    """Return, by project, the statements in force that the PI got for the last month before with any."""
    of = statements[0]
    earlier = Statement.objects.live().filter(pi=of.pi_id, period__month__lt=of.period.month)
    last = earlier.order_by("-period__month").values("period__month")[:1]
    found = earlier.filter(period__month=Subquery(last)).select_related("period")
    return {each.project_id: each for each in found}


def _questions_until(period: BillingPeriod) -> str:
    """Return the day until which to ask, as the month is now; empty where it is not in review."""
    if period.status != BillingPeriod.Status.REVIEW or period.review_until is None:
        return ""
    return long_date(period.review_until)


def _told(document: StatementDocument) -> dict[str, Any]:
    return {
        "number": document.number,
        "reference": document.reference,
        "project": document.project,
        "fund_orgs": ", ".join(filter(None, document.fund_orgs)),
        "invoice": INVOICE if "" in document.fund_orgs else "",
        "url": statement_link(document.number),
        # What ends soon: its project, or a fund/org that pays.
        "ends": tuple(each.text for each in document.notices if each.is_urgent is not None),
        "corrections": _corrections([document]),
        **_amounts([document]),
    }


def _what_is_new(
    statement: Statement,
    document: StatementDocument,
    revised: dict[int, Revised],
    before: dict[int | None, Statement],
) -> dict[str, Any]:
    """Return whether a statement replaces one that its PI has, and how it differs from that or the month before."""
    of = revised.get(statement.pk)
    earlier = before.get(statement.project_id)
    compares = earlier is not None and earlier.currency == statement.currency
    return {
        "replaces": document.replaces,
        "kind": "Revised" if of else "New",
        "was": money_with_currency(of.was, of.before.currency) if of else "",
        "was_sent_on": long_date(timezone.localdate(of.before.sent_at)) if of and of.before.sent_at else "",
        "difference": _signed(statement.charged - of.was, statement.currency) if of else "",
        "changes": tuple(of.changes.texts) if of else (),
        "month_before": long_month(earlier.period.month) if compares and earlier else "",
        "due_before": money_with_currency(earlier.charged, earlier.currency) if compares and earlier else "",
        "since_month_before": (
            _signed(statement.charged - earlier.charged, statement.currency) if compares and earlier else ""
        ),
    }


def _signed(amount: Decimal, currency: str) -> str:
    return f"{'+' if amount > 0 else ''}{money_with_currency(amount, currency)}"


def _amounts(documents: Sequence[StatementDocument]) -> dict[str, str]:
    """Return what is charged, and the list price, discount and subsidy of the month alone, without corrections."""
    currency = documents[0].currency
    month = Figures.total(document.month_figures for document in documents)
    return {
        "list": money_with_currency(month.list_cost, currency),
        "discount": money_with_currency(month.discount, currency),
        "subsidy": money_with_currency(month.subsidy, currency),
        "due": money_with_currency(Figures.total(document.figures for document in documents).charged, currency),
    }


def _corrections(documents: Sequence[StatementDocument]) -> str:
    """Return what corrections and late changes come to; empty where there are none."""
    if not any(document.corrections for document in documents):
        return ""
    figures = Figures.total(document.correction_figures for document in documents)
    return money_with_currency(figures.charged, documents[0].currency)


def _held(statements: Sequence[Statement], *, sees_all: bool) -> str:
    """Say what of the PI's charges of the month review still holds, as it is now; empty where it holds none.

    Who sees single projects only is told of theirs.
    """
    of = statements[0]
    totals = MonthTotal.objects.of_month(of.period).held().filter(pi=of.pi_id)
    if not sees_all:
        totals = totals.filter(project__in=[each.project_id for each in statements if each.project_id])
    held = totals.billed_by_currency()
    count = sum(number for number, _ in held.values())
    if not count:
        return ""
    amounts = " and ".join(
        money_with_currency(to_cents(billed, currency), currency) for currency, (_, billed) in held.items()
    )
    what = "1 charge" if count == 1 else f"{count:,} charges"
    verb = "is" if count == 1 else "are"
    return f"{what}, {amounts} as billed, {verb} still in review and on no statement yet."
