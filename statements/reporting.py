"""What a run of statements is told as: JSON for programs, a table and sentences for people."""

import json
from typing import Any

from billing.commands import as_json, table

from .delivery import Sent
from .document import money
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
                "list": each.figures.list_cost,
                "discount": each.figures.discount,
                "subsidy": each.figures.subsidy,
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
        "sent": len(sent.messages) if sent else 0,
    }


def sent_data(sent: Sent) -> dict[str, Any]:
    """Return a result as `send_statements --json` prints it."""
    return {
        "period": sent.period,
        "sent": len(sent.messages),
        "statements": sent.statements,
        "messages": [
            {
                "pi": each.pi,
                "recipients": list(each.recipients),
                "statements": list(each.statements),
                "message": each.path,
            }
            for each in sent.messages
        ],
        "failed": [{"pi": each.pi, "statements": list(each.statements), "error": each.error} for each in sent.failed],
    }


def plain_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as JSON keeps it: amounts as exact decimal text."""
    kept: dict[str, Any] = json.loads(json.dumps(data, default=as_json))
    return kept


def summary(generated: Generated) -> str:
    would = "would be " if generated.is_dry_run else ""
    return (
        f"Statements of {generated.period}: {generated.issued} {would}issued "
        f"({generated.superseded} of them in place of earlier revisions), {generated.unchanged} unchanged."
    )


def sent_summary(sent: Sent) -> str:
    if not sent.messages and not sent.failed:
        return f"Nothing to send: no statement of {sent.period} waits."
    said = f"{_some(len(sent.messages), 'e-mail')} sent with {_some(sent.statements, 'statement')}."
    return f"{said} {len(sent.failed)} not sent; they are tried again with the next run." if sent.failed else said


def generated_text(generated: Generated) -> str:
    """Return what a person reads after a run."""
    total = generated.figures
    rows = [
        [
            each.number or "(new)",
            "revised" if each.is_new and each.replaces else "new" if each.is_new else "",
            each.pi,
            each.project,
            ", ".join(each.fund_orgs),
            money(each.figures.list_cost),
            money(each.figures.discount),
            money(each.figures.subsidy),
            money(each.figures.charged),
        ]
        for each in generated.statements
    ]
    amounts = [money(total.list_cost), money(total.discount), money(total.subsidy), money(total.charged)]
    rows.append(["Total", "", "", "", "", *amounts])
    headings = ["Number", "", "PI", "Project", "Fund/org", "List", "Discount", "Subsidy", f"Due {generated.currency}"]
    said = [table(rows, headings, right={5, 6, 7, 8}), "", summary(generated)]
    if generated.held.count:
        foreign = "".join(f" and {money(billed)} {currency}" for currency, billed in generated.held.foreign.items())
        said.append(
            f"Held for review and on no statement: {_some(generated.held.count, 'charge')}, billed "
            f"{money(generated.held.billed)} {generated.currency}{foreign}. "
            f"`manage.py review list -p {generated.period}` shows them."
        )
    if generated.is_dry_run:
        said.append("This was a dry run: nothing was written.")
    elif generated.statements:
        folder = generated.statements[0].pdf.rpartition("/")[0]
        said.append(f"{_some(generated.drawn, 'PDF')} drawn; all of them are in {folder}")
    return "\n".join(said)


def sent_text(sent: Sent) -> str:
    """Return what a person reads after a delivery."""
    said = []
    if sent.messages:
        rows = [[each.pi, ", ".join(each.recipients[1:]), ", ".join(each.statements)] for each in sent.messages]
        said += [table(rows, ["Sent to", "Copies", "Statements"]), ""]
    said.append(sent_summary(sent))
    if sent.folder and sent.messages:
        said.append(f"No mail server is set (EMAIL_URL): the messages are files in {sent.folder}")
    said += [f"Not sent to {each.pi}: {each.error}" for each in sent.failed]
    return "\n".join(said)


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
