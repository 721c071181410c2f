"""What an e-mail says: subject, text and HTML, from the policy's templates and plain values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template import Engine, TemplateSyntaxError

from billing.errors import BillingError
from billing.models import BillingPeriod, Policy
from billing.plain_templates import PlainContext, PlainTemplate

from ..models import Statement
from .letter_values import About, values_of

FOLDER = Path(settings.BASE_DIR) / "templates" / "emails"
BODY = re.compile(r"<body[^>]*>", re.IGNORECASE)


class EmailTemplateError(BillingError):
    """A template of the e-mails that cannot be rendered, with the part and the line."""


@dataclass(frozen=True)
class Letter:
    """An e-mail's words."""

    subject: str
    text: str
    html: str


class _MissingName(str):
    """Stands for a name that a template uses and no value has: a blank in a letter would tell nobody."""

    __slots__ = ()

    def __new__(cls) -> "_MissingName":
        return super().__new__(cls, "%s")

    def __mod__(self, name: object) -> str:
        raise EmailTemplateError(f"there is no “{name}”")


class _LetterEngine(Engine):
    """Django's templates without loaders, libraries or the tags that reach outside."""

    default_builtins = ["statements.emails.letter_tags"]


_engine = _LetterEngine(libraries={}, string_if_invalid=_MissingName())


def letter_of(statements: Sequence[Statement], *, policy: Policy, sees_all: bool, about: About | None = None) -> Letter:
    """Write the e-mail that brings one recipient statements of one PI and month.

    `sees_all` says that the recipient may see all that the PI is charged: then the sums are of the PI's
    whole month, and statements in force that are not attached are listed beside those that are. Else the
    sums are of the statements attached, and are called so. Where an earlier revision was mailed, the
    subject begins with “Revised: ”, and both parts say what changed, whatever the policy's templates say. An
    empty template means the one that comes with the program.

    Raises EmailTemplateError, which names the part, the line and what there is to use.
    """
    values = values_of(statements, policy, sees_all=sees_all, about=about or About())
    subject = _subject(policy, values)
    own_text = _rendered("text", policy.email_text, values) if policy.email_text.strip() else ""
    if own_text:
        text = _notes(policy.email_text, values, "text") + own_text
    else:
        text = _rendered("text", _shipped("statement.txt"), values)
    return Letter(subject, text, _html(policy, values | {"own_text": own_text, "subject": subject}))


def _subject(policy: Policy, values: dict[str, Any]) -> str:
    revised, count = values["revised"], values["count"]
    line = " ".join(_rendered("subject", policy.email_subject, values).split())
    return f"{'Revised' if revised == count else 'Revised and new'}: {line}" if revised else line


def _html(policy: Policy, values: dict[str, Any]) -> str:
    own = policy.email_html
    if not own.strip():
        return _rendered("HTML", _shipped("statement.html"), values)
    return with_notice(_rendered("HTML", own, values), _notes(own, values, "HTML"))


def _notes(own: str, values: dict[str, Any], part: str) -> str:
    """Say what a template of the institution does not, though every reader has to know it.

    It may have been written before there was anything to revise, to repeat, or too large to attach.
    """
    untold = {f"tells_{name}": name not in own for name in ("again", "changes", "left_off")}
    return _rendered(part, _shipped(f"notes.{'html' if part == 'HTML' else 'txt'}"), values | untold)


def with_notice(html: str, notice: str) -> str:
    """Put something at the head of what is read in an HTML part."""
    at = found.end() if (found := BODY.search(html)) else 0
    return f"{html[:at]}{notice}{html[at:]}"


def check_templates(period: BillingPeriod) -> None:
    """Write one letter of a month before any is sent: a mistake in a template concerns them all.

    Raises EmailTemplateError.
    """
    statement = (
        Statement.objects.live()
        .filter(period=period)
        .select_related("period", "reference__period")
        .prefetch_related("lines")
        .order_by("number")
        .first()
    )
    if statement:
        letter_of([statement], policy=Policy.objects.current(), sees_all=True)


def check_syntax(policy: Policy) -> None:
    """Read the templates of a policy, without writing anything. Raises EmailTemplateError."""
    for part, source in (("subject", policy.email_subject), ("text", policy.email_text), ("HTML", policy.email_html)):
        try:
            PlainTemplate(source, engine=_engine)
        except TemplateSyntaxError as error:
            raise _unreadable(part, error) from error


def shipped_html() -> str:
    """Return the HTML that comes with the program, for whoever writes their own."""
    return _shipped("statement.html")


def shipped_text() -> str:
    """Return the text that comes with the program."""
    return _shipped("statement.txt")


def _unreadable(part: str, error: TemplateSyntaxError) -> EmailTemplateError:
    token = getattr(error, "token", None)
    where = f", line {token.lineno}" if token else ""
    return EmailTemplateError(f"The {part} of the e-mail cannot be read{where}: {error}. {_ADVICE}")


def _rendered(part: str, source: str, values: dict[str, Any]) -> str:
    try:
        rendered = PlainTemplate(source, engine=_engine).render(PlainContext(values, autoescape=part == "HTML"))
        # Django marks what it renders as safe HTML, which a plain text is not: join makes it plain.
        return rendered if part == "HTML" else "".join((rendered, ""))
    except TemplateSyntaxError as error:
        raise _unreadable(part, error) from error
    except EmailTemplateError as error:
        name = str(error)
        line = _line_of(name.split("“")[-1].rstrip("”"), source)
        names = ", ".join(sorted(values))
        raise EmailTemplateError(
            f"The {part} of the e-mail cannot be written{line}: {name}. There are: {names}. {_ADVICE}"
        ) from error


_ADVICE = "Correct it on the page E-mail texts. No e-mail was sent."


def _line_of(name: str, source: str) -> str:
    for number, line in enumerate(source.splitlines(), start=1):
        if name in line:
            return f", line {number}"
    return ""


def _shipped(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
