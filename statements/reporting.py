"""What a run of statements is told as: JSON for programs, a table and sentences for people."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from billing.commands import as_json, table
from billing.errors import NextStep
from billing.texts import month_name

from .document import money
from .emails import Message, Sent
from .issuing import Generated


def generated_data(generated: Generated, sent: Sent | None = None) -> dict[str, Any]:
    """Return a result as `generate --json` prints it."""
    return {
        "period": generated.period,
        "dry_run": generated.is_dry_run,
        "currency": generated.currency,
        "statements": [
            {
                "number": each.number,
                "revision": each.revision,
                "pi": each.pi,
                "pi_name": each.pi_name,
                "project": each.project,
                "fund_orgs": list(each.fund_orgs),
                "list": each.month.list_cost,
                "discount": each.month.discount,
                "subsidy": each.month.subsidy,
                "corrections": each.corrections.charged,
                "due": each.figures.charged,
                "pdf": each.pdf,
                "new": each.is_new,
            }
            for each in generated.statements
        ],
        "issued": generated.issued,
        "superseded": generated.superseded,
        "unchanged": generated.unchanged,
        "held": {
            "count": generated.held.count,
            "billed": generated.held.billed,
            **({"foreign": generated.held.foreign} if generated.held.foreign else {}),
        },
        "sent": _number_sent(sent) if sent else 0,
        **({"emails": sent_data(sent)} if sent else {}),
    }


def sent_data(sent: Sent) -> dict[str, Any]:
    """Return a result as `send_statements --json` prints it."""
    return {
        "period": sent.period,
        "dry_run": sent.is_dry_run,
        "configured": not sent.is_written,
        "sent": _number_sent(sent),
        "written": len(sent.messages) if sent.is_written else 0,
        "statements": sent.statements,
        "totals": sent.totals,
        "messages": [_message_data(each) | {"first": each.is_first, "message": each.path} for each in sent.messages],
        "failed": [_message_data(each) | {"error": each.error} for each in sent.failed],
        "interrupted": [_message_data(each) | {"error": each.error} for each in sent.interrupted],
        "waiting": [_message_data(each) | {"first": each.is_first, "why": each.error} for each in sent.waiting],
        "left_out": [_message_data(each) | {"why": each.error} for each in sent.left_out],
        "outdated": [
            {"number": each.number, "charged": each.charged, "now": each.now, "sent": sent.sends_outdated}
            for each in sent.outdated
        ],
        "kept_back": [{"number": each.number, "charged": each.charged, "why": each.why} for each in sent.kept_back],
        "first": sorted({each.recipient for each in sent.first}),
        "files": sent.files,
        "refused": [_message_data(each) | {"error": each.error} for each in sent.refused],
        "redirected_to": sent.redirected_to,
    }


def _number_sent(sent: Sent) -> int:
    """Return how many e-mails their recipients got: none that is a file, or went to the test address."""
    return 0 if sent.is_written or sent.redirected_to else len(sent.messages)


def _message_data(message: Message) -> dict[str, Any]:
    return {
        "id": message.number,
        "period": message.period,
        "pi": message.pi,
        "recipient": message.recipient,
        "role": message.role,
        "statements": list(message.statements),
    }


def plain_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as JSON keeps it: amounts as exact decimal text."""
    kept: dict[str, Any] = json.loads(json.dumps(data, default=as_json))
    return kept


def summary(generated: Generated) -> str:
    would = "would be " if generated.is_dry_run else ""
    return (
        f"Statements of {month_name(generated.period)}: {generated.issued} {would}issued "
        f"({generated.superseded} revised), {generated.unchanged} unchanged."
    )


def sent_summary(sent: Sent) -> str:
    """Return what a run of e-mails came to, in a few sentences; also what waits, and why."""
    said = []
    if sent.messages:
        done = _what_was_done(sent)
        would = "would be " if sent.is_dry_run else ""
        what = f"{_some(len(sent.messages), 'e-mail')} with {_some(sent.statements, 'statement')}"
        said.append(f"{what} ({_totals(sent)}) {would}{done}.")
    elif not (sent.failed or sent.waiting or sent.outdated or sent.kept_back):
        said.append(f"Nothing to send: no statement of {month_name(sent.period)} waits.")
    if sent.failed:
        said.append(f"{_some(len(sent.failed), 'e-mail')} not sent. The list of e-mails says why, and what is next.")
    if sent.interrupted:
        said.append(f"{_some(len(sent.interrupted), 'e-mail')} of a run that was stopped: somebody has to decide.")
    if sent.first:
        new = len({each.recipient.casefold() for each in sent.first})
        said.append(f"{_some(new, 'recipient')} never got an e-mail before.")
    if sent.waiting:
        said.append(f"{_some(len(sent.waiting), 'e-mail')} waiting: {_why(sent.waiting)}")
    if sent.left_out:
        said.append(f"{_some(len(sent.left_out), 'e-mail')} left out.")
    if sent.outdated:
        sending = "sent all the same" if sent.sends_outdated else "not sent"
        said.append(f"{_some(len(sent.outdated), 'statement')} not current, {sending}: {_numbers(sent)}.")
    return " ".join([*said, *_of_month(sent), *_of_choice(sent)])


def _what_was_done(sent: Sent) -> str:
    if sent.is_written:
        return "written to files; nothing left this machine"
    if sent.redirected_to:
        return f"sent to the test address {sent.redirected_to}, and none to its recipient"
    return "sent"


def _of_month(sent: Sent) -> Iterator[str]:
    """Say which e-mails of the month no run sends by itself."""
    if sent.refused:
        yield f"{_some(len(sent.refused), 'e-mail')} of this month refused: correct the address."
    if sent.files and not sent.is_written:
        yield f"{_some(sent.files, 'e-mail')} of this month only written to files so far."


def _of_choice(sent: Sent) -> Iterator[str]:
    """Say how what was sent differs from what was chosen."""
    if sent.kept_back:
        numbers = ", ".join(each.number for each in sent.kept_back)
        yield f"{_some(len(sent.kept_back), 'chosen statement')} not sent: {numbers}."
    if sent.besides:
        yield f"In the same e-mails, and not chosen: {', '.join(sent.besides)}."


def _why(messages: Sequence[Message]) -> str:
    reasons: dict[str, list[str]] = {}
    for each in messages:
        reasons.setdefault(each.error, []).append(each.recipient)
    return " ".join(f"{', '.join(who)}. {why}" for why, who in reasons.items())


def _numbers(sent: Sent) -> str:
    return ", ".join(each.number for each in sent.outdated)


def _totals(sent: Sent) -> str:
    return " and ".join(f"{money(total, currency)} {currency}" for currency, total in sorted(sent.totals.items()))


def generated_text(generated: Generated, *, word: Callable[[NextStep], str]) -> str:
    """Return what a person reads after a run; `word` says the next step as the door does."""
    total = generated.month
    # A column only where there is something to say.
    has_corrections = generated.has_corrections
    rows = [
        [
            each.number or "(new)",
            "revised" if each.is_new and each.replaces else "new" if each.is_new else "",
            each.pi,
            each.project,
            each.payers,
            money(each.month.list_cost, generated.currency),
            money(each.month.discount, generated.currency),
            money(each.month.subsidy, generated.currency),
            *([money(each.corrections.charged, generated.currency)] if has_corrections else []),
            money(each.figures.charged, generated.currency),
        ]
        for each in generated.statements
    ]
    currency = generated.currency
    amounts = [money(each, currency) for each in (total.list_cost, total.discount, total.subsidy)]
    amounts += [money(generated.corrections.charged, currency)] if has_corrections else []
    amounts.append(money(generated.figures.charged, currency))
    rows.append(["Total", "", "", "", "", *amounts])
    headings = ["Number", "", "PI", "Project", "Fund/org", "List", "Discount", "Subsidy"]
    headings += [*(["Corrections"] if has_corrections else []), f"Charged {generated.currency}"]
    said = [table(rows, headings, right=set(range(5, len(headings)))), "", summary(generated)]
    if generated.held.count:
        foreign = "".join(f" and {money(billed, other)} {other}" for other, billed in generated.held.foreign.items())
        said.append(
            f"Held for review and on no statement: {_some(generated.held.count, 'charge')}, billed "
            f"{money(generated.held.billed, generated.currency)} {generated.currency}{foreign}. "
            f"`{word(NextStep('review', {'period': generated.period}))}` shows them."
        )
    if generated.is_dry_run:
        said.append("This was a dry run: nothing was written.")
    elif generated.statements:
        folder = generated.statements[0].pdf.rpartition("/")[0]
        said.append(f"{_some(generated.drawn, 'PDF')} drawn; all of them are in {folder}")
    return "\n".join(said)


def sent_text(sent: Sent) -> str:
    """Return what a person reads after a run of e-mails, or of what one would do."""
    said = []
    if sent.stated:
        rows = [
            [each.number, each.pi, each.project, money(each.charged, each.currency), ", ".join(each.recipients)]
            for each in sent.stated
        ]
        currency = next(iter(sent.totals)) if len(sent.totals) == 1 else ""
        rows += [["Total", "", "", money(total, of), ""] for of, total in sent.totals.items()]
        headings = ["Statement", "PI", "Project", f"Total charged {currency}".strip(), "Recipients"]
        said += [table(rows, headings, right={3}), ""]
    said.append(sent_summary(sent))
    if sent.first:
        said.append(f"First e-mail: {', '.join(dict.fromkeys(each.recipient for each in sent.first))}")
    if sent.folder:
        where = f"the e-mails are files in {sent.folder}" if sent.messages else "e-mails become files"
        said.append(f"E-mail is not configured (EMAIL_URL): nothing leaves this machine, {where}.")
    said += [
        f"Not current: {each.number} says {money(each.charged, each.currency)}, now {money(each.now, each.currency)}"
        for each in sent.outdated
    ]
    said += [f"Not sent: {each.number}: {each.why}" for each in sent.kept_back]
    said += [f"Left out: {each.recipient}: {each.error}" for each in sent.left_out]
    said += [f"Not sent to {each.recipient}: {each.error}" for each in sent.failed]
    failed = {each.number for each in sent.failed}
    said += [f"Refused: {each.recipient}: {each.error}" for each in sent.refused if each.number not in failed]
    said += [
        f"Left behind: #{each.number} to {each.recipient} ({month_name(each.period)}): {each.error}"
        for each in sent.interrupted
    ]
    if sent.is_dry_run:
        said.append("This was a dry run: nothing was sent or written.")
    return "\n".join(said)


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
