"""The natural key of a payer line: one text that is the same in every run."""

import hashlib

from ..models import CorrectionLine, PayerLine

SEPARATOR = "|"
# One backslash, which an escaped part never begins with before a letter.
CUSTOMER = "\\customer "
KEY_LENGTH = 1000


def payer_key(
    *,
    for_period: str,
    kind: str,
    pi_email: str,
    project_code: str,
    fund_org: str,
    source_name: str,
    natural_account: str,
    service_name: str,
    currency: str,
    customer: str = "",
) -> str:
    """Return the natural key of a payer line in one text: its parts between bars, in this order.

    The same payer has the same key in every run, and two payers never share one: a bar or a
    backslash within a part is escaped. `for_period` is the month the charges were delivered for,
    `currency` the one they were delivered in. Nothing is null: no PI and no project are empty. The
    number of a `customer` stands for the fund/org, after a mark that no escaped fund/org begins with.
    """
    parts = (
        escaped(for_period),
        escaped(kind),
        escaped(pi_email),
        escaped(project_code),
        f"{CUSTOMER}{escaped(customer)}" if customer else escaped(fund_org),
        escaped(source_name),
        escaped(natural_account),
        escaped(service_name),
        escaped(currency),
    )
    key = SEPARATOR.join(parts)
    if len(key) > KEY_LENGTH:
        # Only names made of bars come here; a digest of the whole keeps them apart.
        digest = hashlib.sha256(key.encode()).hexdigest()
        key = f"{key[: KEY_LENGTH - len(digest)]}{digest}"
    return key


def is_of_customer(key: str) -> bool:
    """Tell whether a customer pays a payer line, which is then on an invoice, by its key."""
    return f"{SEPARATOR}{CUSTOMER}" in key


def escaped(part: str) -> str:
    """Return a part of a payer key as the key has it."""
    return part.replace("\\", "\\\\").replace(SEPARATOR, "\\" + SEPARATOR)


def key_as_charged(line: PayerLine) -> str:
    """Return the key that the same payer's plain charge has in the month that a late change is of."""
    month, _, rest = line.key.split(SEPARATOR, 2)
    kind = PayerLine.Kind.RECEIVABLE if line.customer_id else PayerLine.Kind.CHARGE
    return SEPARATOR.join((month, kind.value, rest))


def key_of_late_change(key: str) -> str:
    """Return the key that a late change of a plain charge has, whose key this is; "" for the key of anything else."""
    month, kind, rest = key.split(SEPARATOR, 2)
    is_plain = kind in (PayerLine.Kind.CHARGE, PayerLine.Kind.RECEIVABLE)
    return SEPARATOR.join((month, PayerLine.Kind.LATE.value, rest)) if is_plain else ""


def key_of_correction(entered: CorrectionLine) -> str:
    """Return the key of the payer line that a line of a correction makes in the month that bears it."""
    return payer_key(
        for_period=entered.correction.for_period.iso_month,
        kind=entered.kind,
        pi_email=entered.pi.email if entered.pi else "",
        project_code=entered.project.code if entered.project else "",
        fund_org=entered.fund_org,
        source_name=entered.source.name,
        natural_account=entered.natural_account,
        service_name=entered.service_name,
        currency=entered.correction.currency,
        customer=entered.customer.number if entered.customer else "",
    )
