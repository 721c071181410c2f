"""What a run of e-mails came to: what was sent, what was not, and why."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from billing.errors import BillingError, NextStep
from billing.models import BillingPeriod

from ..issuing import Outdated
from ..models import Email, Statement
from . import outbox
from .planned import Planned

State = Email.State


@dataclass(frozen=True)
class Message:
    """One e-mail to one recipient: sent, written to a file, or why it was not."""

    # 0 where it is not stored yet.
    number: int
    period: str
    pi: str
    pi_name: str
    recipient: str
    role: str
    statements: tuple[str, ...]
    is_first: bool = False
    path: str = ""
    error: str = ""


@dataclass(frozen=True)
class Stated:
    """One statement that is sent: its total charged, and its recipients."""

    statement: int
    number: str
    pi: str
    pi_name: str
    project: str
    charged: Decimal
    currency: str
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class KeptBack:
    """A statement that was chosen to be sent and is in no e-mail, and why."""

    statement: int
    number: str
    pi_name: str
    charged: Decimal
    currency: str
    why: str


@dataclass(frozen=True)
class Sent:
    """What a run sent and what it did not; of a dry run, what it would send."""

    period: str
    is_dry_run: bool = False
    # Whether they are files on this machine, because e-mail is not configured.
    is_written: bool = False
    messages: tuple[Message, ...] = ()
    # The next run tries these again.
    failed: tuple[Message, ...] = ()
    # Left behind by a run that was stopped, of this month or another: a person decides.
    interrupted: tuple[Message, ...] = ()
    # Until a PI is confirmed, or a person sends.
    waiting: tuple[Message, ...] = ()
    # To nobody any more: a delegation that ended, a statement that was replaced.
    left_out: tuple[Message, ...] = ()
    # Not current: not sent, unless that was asked for.
    outdated: tuple[Outdated, ...] = ()
    sends_outdated: bool = False
    # The numbers of the statements that were chosen; None where the whole month was.
    chosen: frozenset[str] | None = None
    # Chosen, and for another reason than those above in no e-mail.
    kept_back: tuple[KeptBack, ...] = ()
    stated: tuple[Stated, ...] = ()
    # Where the files are; empty where e-mail is configured.
    folder: str = ""
    # E-mails of this month that are files so far; not counted where statements are chosen.
    files: int = 0
    # Refused permanently: they go once their address is corrected, or a person sends them again.
    refused: tuple[Message, ...] = ()
    # In test mode: who gets all of them, and no recipient any.
    redirected_to: str = ""

    @property
    def statements(self) -> int:
        return len({number for message in self.messages for number in message.statements})

    @property
    def besides(self) -> tuple[str, ...]:
        """The statements that nobody chose, and that go with one that was, in an e-mail that is tried again."""
        if self.chosen is None:
            return ()
        return tuple(each.number for each in self.stated if each.number not in self.chosen)

    @property
    def first(self) -> tuple[Message, ...]:
        """Those to addresses that never got an e-mail with statements before."""
        return tuple(message for message in self.messages if message.is_first)

    @property
    def totals(self) -> dict[str, Decimal]:
        """What the statements come to, by currency."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for each in self.stated:
            found[each.currency] += each.charged
        return dict(found)

    @property
    def is_trouble(self) -> bool:
        return bool(self.failed or self.interrupted)


class NotSent(BillingError):
    """Some e-mails could not be sent, or an earlier run left some behind; the others were sent."""

    def __init__(self, sent: "Sent", *, done: str = "", result: dict[str, Any] | None = None) -> None:
        self.sent = sent
        # What the run came to, for the page of its job.
        self.result = result
        said = [done] if done else []
        if sent.failed:
            total = len(sent.failed) + len(sent.messages)
            names = ", ".join(message.recipient for message in sent.failed)
            said.append(f"{len(sent.failed)} of {total} e-mails were not sent: {names}.")
        if sent.interrupted:
            names = ", ".join(f"#{message.number} to {message.recipient}" for message in sent.interrupted)
            said.append(f"Of {len(sent.interrupted)} that an earlier run began, somebody has to look: {names}.")
        then = NextStep("settle_emails") if sent.interrupted else NextStep("send_statements", {"period": sent.period})
        super().__init__(" ".join(said), then=then)


def message_of(
    email: Email,
    *,
    statements: Collection[str] | None = None,
    is_first: bool = False,
    path: str = "",
    error: str = "",
) -> Message:
    if statements is None:
        statements = email.statements.order_by("number").values_list("number", flat=True)
    return Message(
        number=email.pk or 0,
        period=email.period.iso_month,
        pi=email.pi.email,
        pi_name=email.pi.display_name,
        recipient=email.recipient,
        role=email.role,
        statements=tuple(statements),
        is_first=is_first,
        path=path,
        error=error,
    )


def planned_message(planned: Planned, *, error: str = "") -> Message:
    return message_of(
        planned.email,
        statements=tuple(each.number for each in planned.statements),
        is_first=planned.is_first,
        error=error or planned.waits or planned.left_out,
    )


def stated_by(planned: Sequence[Planned]) -> tuple[Stated, ...]:
    """Return the statements that go out, by number, each with all who get it."""
    found: dict[str, Statement] = {}
    recipients: dict[str, list[str]] = defaultdict(list)
    for each in planned:
        if each.waits or each.left_out:
            continue
        for statement in each.statements:
            found[statement.number] = statement
            recipients[statement.number].append(each.email.recipient)
    return tuple(
        Stated(
            statement=statement.pk,
            number=number,
            pi=statement.pi.email,
            pi_name=statement.pi.display_name,
            project=statement.project.code if statement.project else "",
            charged=statement.charged,
            currency=statement.currency,
            recipients=tuple(recipients[number]),
        )
        for number, statement in sorted(found.items())
    )


def folder_of_files() -> str:
    return settings.EMAIL_FILE_PATH if outbox.writes_files() else ""


def refused_in(period: BillingPeriod) -> tuple[Message, ...]:
    """Return the e-mails of a month with statements in force that the mail server refused permanently."""
    in_force = Statement.objects.live().filter(emails=OuterRef("pk"))
    found = Email.objects.filter(Exists(in_force), period=period, state=State.REFUSED)
    found = found.select_related("pi", "period").prefetch_related("statements").order_by("pk")
    return tuple(
        message_of(each, statements=sorted(one.number for one in each.statements.all()), error=each.error)
        for each in found
    )


def written_in(period: BillingPeriod) -> QuerySet[Email]:
    return Email.objects.filter(period=period, state=State.WRITTEN)
