"""Journals made in a line, and read back as figures."""

import contextlib
import csv
import io
from decimal import Decimal

from billing import charging
from billing.fields import AmountSum
from journals import posting, preflight
from journals.models import Journal, JournalLine
from tests.build import NOW, SOMEBODY, a_period

WHO = {"actor": SOMEBODY, "now": NOW}


def drafted(period="2025-01", **more):
    month = a_period(period)
    charging.make_payer_lines(period=month, **WHO)
    return posting.draft(period=month, **WHO, **more)


def submitted(period="2025-01", format="gl", **more):
    return posting.export(period=a_period(period), format=format, submit=True, **WHO, **more).journal


def sides(journal):
    """Each line as (fund/org, natural account, debit, credit)."""
    return [
        (line.fund_org, line.natural_account, str(line.debit.normalize()), str(line.credit.normalize()))
        for line in journal.lines.order_by("number")
    ]


def on_chartstrings(*journals):
    sums = {}
    for line in JournalLine.objects.filter(journal__in=journals):
        key = (line.fund_org, line.natural_account)
        sums[key] = sums.get(key, Decimal(0)) + line.debit - line.credit
    return sums


def live_by_key(period="2025-01"):
    """What live journals hold for each payer key, debit less credit of the payer's side."""
    rows = (
        JournalLine.objects.filter(journal__in=Journal.objects.live().filter(period=a_period(period)), side="payer")
        .values("payer_key")
        .annotate(debits=AmountSum("debit"), credits=AmountSum("credit"))
        .order_by()
    )
    return {row["payer_key"]: net for row in rows if (net := row["debits"] - row["credits"])}


def exported(format, **options):
    done = posting.export(period=a_period(), format=format, **options, **WHO)
    return done, list(csv.DictReader(io.StringIO(done.file.read_text())))


def submitted_anyhow(period, format, who):
    """Submit what is charged and not journaled, and return its journal; None where that is nothing.

    A difference may be just what an earlier journal posts: somebody has looked at it.
    """
    journal = posting.export(period=period, format=format, **who()).journal
    if journal is None:
        return None
    with contextlib.suppress(preflight.NothingToAcknowledge):
        preflight.acknowledge(journal=journal, format=format, reason="Two of a kind.", **who())
    return posting.export(period=period, format=format, submit=True, **who()).journal
