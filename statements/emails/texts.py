"""The words of e-mails as staff write them: checked, tried on a statement, and kept as a version of the policy."""

import datetime
import re

from billing.audit import Actor
from billing.models import Policy
from billing.setup import policies

from ..models import Statement
from .letters import EmailTemplateError, check_syntax, letter_of

# What a mail program does not run, and nobody should be asked to trust.
ACTIVE = re.compile(
    r"<\s*(script|iframe|frame|object|embed|form|link|base)\b|\bjavascript:|[\s\"'/](on[a-z]+)\s*=", re.IGNORECASE
)
# Statements that the texts can be tried on.
OFFERED = 20


def examples() -> list[Statement]:
    """Return statements that texts can be tried on, the newest first."""
    found = Statement.objects.live().select_related("period", "pi", "reference__period", "project")
    return list(found.prefetch_related("lines").order_by("-period__month", "-revision", "number")[:OFFERED])


def changed(present: Policy, *, subject: str, text: str, html: str) -> Policy:
    """Return a policy with other words, not saved, once they can be read.

    Raises EmailTemplateError, ValidationError, and the errors of `policies.changed_from`.
    """
    if found := ACTIVE.search(html):
        line = html.count("\n", 0, found.start()) + 1
        what = " ".join(found.group(0).split()).strip("\"'/ ")
        raise EmailTemplateError(
            f"The HTML of the e-mail has “{what}” in line {line}. Mail programs run no scripts, forms or frames: "
            "remove it."
        )
    policy = policies.changed_from(present, _changes(subject, text, html))
    check_syntax(policy)
    return policy


def change_texts(*, subject: str, text: str, html: str, seen: int, actor: Actor, now: datetime.datetime) -> Policy:
    """Make a version of the policy with these words, once a letter can be written with them.

    Raises what `changed` and `policies.change_policy` raise.
    """
    tried = changed(Policy.objects.current(), subject=subject, text=text, html=html)
    for statement in examples()[:1]:
        letter_of([statement], policy=tried, sees_all=True)
    return policies.change_policy(changes=_changes(subject, text, html), actor=actor, now=now, seen=seen)


def _changes(subject: str, text: str, html: str) -> dict[str, str]:
    return {"email_subject": subject, "email_text": text, "email_html": html}
