"""A made-up journal, to show what a template makes before it is used."""

import datetime
from decimal import Decimal

from billing.money import to_cents

from .documents import Document, Line


def sample(segments: tuple[str, ...] = (), currency: str = "USD") -> Document:
    """Return a journal of two pairs, one of them a credit, with texts that want quoting."""
    lines: list[Line] = []
    for reference, amount, fund_org, service in (
        ("2025-01-0001", Decimal("1250.40"), "BIO-001", "Compute"),
        ("2025-01-0002", Decimal("-25.00"), "CHEM-014", "Storage, archived"),
    ):
        amount = to_cents(amount, currency)
        more, less = max(amount, 0 * amount), max(-amount, 0 * amount)
        for is_payer, where, account, debit, credit in (
            (True, fund_org, "6500", more, less),
            (False, "RC-100", "4900", less, more),
        ):
            sign = 1 if is_payer else -1
            lines.append(
                Line(
                    number=len(lines) + 1,
                    is_payer=is_payer,
                    fund_org=where,
                    natural_account=account,
                    debit=debit,
                    credit=credit,
                    reference=reference,
                    description=f"{reference} genomics Cluster {service}",
                    kind="charge",
                    month="2025-01",
                    pi_email="ada@example.edu",
                    pi_name="Ada Lovelace",
                    project="genomics",
                    source="cluster",
                    service=service,
                    list_cost=sign * amount,
                    contracted_cost=sign * amount,
                    grant_number="NSF-1234567",
                    request_id="REQ-42",
                    segments=dict.fromkeys(segments, "…"),
                )
            )
    return Document(
        *("J2025-01-1", "2025-01", "submitted", datetime.date(2025, 1, 31), currency, lines, segments),
        fiscal_year=2025,
        fiscal_period=7,
    )
