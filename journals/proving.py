"""What journals say of a month, for the proof: each payer's net in the ledger, and journals that do not add up."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Count

from billing.errors import NextStep
from billing.fields import AmountSum
from billing.models import BillingPeriod
from billing.money import ZERO, plain
from billing.proof import JOURNALED, About, Finding, Side, SideLine
from billing.proof.seals import LineSeals, sealed, sealed_lines, together

from .accruals import remainders
from .models import Journal, JournalLine

PAYER, RECOVERY = JournalLine.Side.PAYER, JournalLine.Side.RECOVERY


# What never changes once a journal is submitted. Written out, as in billing.seals.
SEALED = (
    "kind",
    "format",
    "posting_date",
    "currency",
    "debits",
    "credits",
    "line_count",
    "file_sha256",
    "submitted_at",
)
SEALED_OF_LINES = (
    *("number", "payer_key", "side", "fund_org", "natural_account", "segments", "debit", "credit", "reference"),
    *("description", "kind", "for_month", "pi_email", "project_code", "source_name", "service_name"),
)


# Chartstrings that a finding names.
NAMED = 5
# What lines of one payer on one side of a journal have in common.
LINE = ("lines__side", "lines__payer_key", "lines__source_name")


class _Head(NamedTuple):
    """What a journal says above its lines."""

    number: str
    pk: int
    currency: str
    line_count: int
    debits: Decimal
    credits: Decimal
    file_sha256: str


@dataclass
class _Sums:
    """What the lines of a journal are: how many, and over what."""

    lines: int = 0
    debits: Decimal = ZERO
    credits: Decimal = ZERO

    def add(self, lines: int, debits: Decimal, credits: Decimal) -> None:
        self.lines += lines
        self.debits += debits
        self.credits += credits


def journaled(period: BillingPeriod) -> Side:
    """Return what the live journals of a period say: debits less credits of payers, by payer key."""
    nets: dict[str, dict[str, SideLine]] = {PAYER: {}, RECOVERY: {}}
    sums: dict[_Head, _Sums] = {}
    # With its lines, if it has any: one that lost them all is still there.
    rows = Journal.objects.live().filter(period=period).order_by().values_list(*_Head._fields, *LINE)
    rows = rows.annotate(debit=AmountSum("lines__debit"), credit=AmountSum("lines__credit"), count=Count("lines"))
    width = len(_Head._fields)
    for row in rows:
        known = sums.setdefault(_Head(*row[:width]), _Sums())
        side, key, source, debit, credit, count = row[width:]
        if side is None:
            continue
        known.add(count, debit, credit)
        net = debit - credit if side == PAYER else credit - debit
        of_key = nets[side].get(key, SideLine(source, ZERO, 0))
        nets[side][key] = SideLine(source, of_key.amount + net, of_key.lines + count)
    accruals = _accruals(period)
    said = "\n".join(
        [
            *(f"{each.number} {each.line_count} {plain(each.debits)} {each.file_sha256}" for each in sorted(sums)),
            *(f"{accrual} {accrual.state} {reversal}" for accrual, reversal in accruals),
        ]
    )
    return Side(
        code=JOURNALED,
        label="Debits less credits of payers",
        lines=nets[PAYER],
        find=lambda key: _line_of(period, key),
        broken=(*_unbalanced(sums), *_one_sided(period, nets), *_not_taken_back(accruals)),
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        about=About(
            "journals.journal",
            where={
                "period": period.iso_month,
                "kind": ("journal",),
                "state": ("submitted", "posted"),
            },
        ),
        then=_next_step(period),
        seal=lambda: _seals(period),
        seal_lines=lambda: _line_seals(period),
    )


def _next_step(period: BillingPeriod) -> NextStep:
    """Return how what is charged gets to the ledger: by the draft there is, else by one to be made."""
    about = {"period": period.iso_month}
    draft = Journal.objects.filter(period=period, kind=Journal.Kind.JOURNAL, state=Journal.State.DRAFT).first()
    if draft is None:
        return NextStep("export_journal", about)
    return NextStep("look_at_draft", about | {"journal": str(draft.pk), "number": draft.number})


def _seals(period: BillingPeriod) -> dict[str, str]:
    """Return a digest of each journal of a month as it was submitted, and of its lines."""
    heads = sealed(Journal.objects.filter(period=period), "number", *SEALED)
    lines = sealed(JournalLine.objects.filter(journal__period=period), "journal__number", *SEALED_OF_LINES)
    return together(heads, lines)


def _line_seals(period: BillingPeriod) -> LineSeals:
    lines = JournalLine.objects.filter(journal__period=period)
    return sealed_lines(lines, "journal__number", *SEALED_OF_LINES)


def _unbalanced(sums: Mapping[_Head, _Sums]) -> list[Finding]:
    """Find the journals whose lines are not those they were submitted with."""
    found = []
    for journal, added in sorted(sums.items(), key=lambda each: each[0]):
        home = journal.currency
        if added != _Sums(journal.line_count, journal.debits, journal.credits):
            found.append(
                Finding(
                    "journal",
                    f"Journal {journal.number}",
                    f"its {added.lines:,} lines debit {plain(added.debits, home)} and credit "
                    f"{plain(added.credits, home)}; it was submitted with {journal.line_count:,} over "
                    f"{plain(journal.debits, home)} and {plain(journal.credits, home)}.",
                    About("journals.journal", journal.pk),
                )
            )
    return found


def _one_sided(period: BillingPeriod, nets: dict[str, dict[str, SideLine]]) -> list[Finding]:
    """Find the payers whose recovery is not what they were debited."""
    payers, recoveries = nets[PAYER], nets[RECOVERY]
    found = []
    for key in sorted({*payers, *recoveries}):
        paid = payers[key].amount if key in payers else ZERO
        recovered = recoveries[key].amount if key in recoveries else ZERO
        if paid != recovered:
            name, about = _line_of(period, key)
            found.append(
                Finding(
                    "journal line", name, f"{plain(paid)} debited, {plain(recovered)} credited to its recovery.", about
                )
            )
    return found


def _accruals(period: BillingPeriod) -> list[tuple[Journal, Journal | None]]:
    """Return the accruals of a month, each with what takes it back."""
    found = Journal.objects.accruals().filter(period=period).order_by("pk")
    return [(each, Journal.objects.reversals_of(each).first()) for each in found]


def _not_taken_back(accruals: Sequence[tuple[Journal, Journal | None]]) -> list[Finding]:
    """Find the accruals that leave something in the ledger: nothing takes them back, or not all of it."""
    found = []
    for accrual, reversal in accruals:
        left = remainders(accrual, reversal)
        if not left:
            continue
        home = accrual.currency
        told = ", ".join(
            f"{plain(amount, home)} on {' '.join(place)}" for place, amount in sorted(left.items())[:NAMED]
        )
        why = f"{reversal} does not reverse all of it" if reversal else "nothing reverses it. Reverse it"
        found.append(Finding("journal", f"Accrual {accrual}", f"{why}: {told}.", About("journals.journal", accrual.pk)))
    return found


def _line_of(period: BillingPeriod, key: str) -> tuple[str, About | None]:
    live = Journal.objects.live().filter(period=period)
    lines = JournalLine.objects.filter(journal__in=live, payer_key=key).select_related("journal")
    line = lines.order_by("-journal_id", "number").first()
    if line is None:
        return f"No journal line of {key}", None
    return (
        f"Line {line.number} of journal {line.journal}",
        About("journals.journal", line.journal_id),
    )
