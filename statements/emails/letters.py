"""What an e-mail says: subject, text and HTML from the policy's templates and plain values; and the message itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Engine, TemplateSyntaxError

from billing.addresses import ascii_address
from billing.errors import BillingError
from billing.models import BillingPeriod, Policy
from billing.plain_templates import PlainContext, PlainTemplate
from billing.texts import iso_month, long_date

from .. import issuing
from ..document import Figures, StatementDocument, money_with_currency
from ..models import Email, Statement
from ..portal_links import portal_link
from . import revising

FOLDER = Path(settings.BASE_DIR) / "templates" / "emails"


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


def letter_of(statements: Sequence[Statement], *, policy: Policy, sees_all: bool) -> Letter:
    """Write the e-mail that brings one recipient statements of one PI and month.

    `sees_all` says that the recipient may see all that the PI is charged: then the sums are of the PI's
    whole month, and statements in force that are not attached are listed beside those that are. Else the
    sums are of the statements attached, and are called so. Where an earlier revision was mailed, the
    subject begins with “Revised: ”, and the text says what changed. The subject and the text are the
    policy's templates; an empty text means the one that comes with the program.

    Raises EmailTemplateError, which names the part, the line and what there is to use.
    """
    values = _values(statements, policy, sees_all)
    revised, count = values["revised"], values["count"]
    line = " ".join(_rendered("subject", policy.email_subject, values).split())
    if revised:
        line = f"{'Revised' if revised == count else 'Revised and new'}: {line}"
    if policy.email_text.strip():
        body = _rendered("text", policy.email_text, values)
        html_values = {"own_text": body, "subject": line}
        if revised:
            # A policy's own text may have been written before there was anything to revise.
            body = f"{_rendered('text', _shipped('revised.txt'), values)}\n{body}"
    else:
        body = _rendered("text", _shipped("statement.txt"), values)
        html_values = {"own_text": "", "subject": line}
    html = _rendered("HTML", _shipped("statement.html"), values | html_values)
    return Letter(subject=line, text=body, html=html)


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


def compose(email: Email, statements: Sequence[Statement], *, sees_all: bool) -> EmailMultiAlternatives:
    """Return the message of an e-mail, with the PDFs of its statements. Raises EmailTemplateError."""
    policy = Policy.objects.current()
    # Who gets a message of their own may see single projects only.
    letter = letter_of(statements, policy=policy, sees_all=sees_all)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    message = EmailMultiAlternatives(
        subject=letter.subject,
        body=letter.text,
        to=[ascii_address(email.recipient)],
        reply_to=[policy.contact_email] if policy.contact_email else None,
        # The same for every try, so that a mailbox can tell a message that came twice.
        headers={
            "Message-ID": f"<statements-{email.pk}-{email.created_at:%Y%m%d%H%M%S%f}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(letter.html, "text/html")
    for statement in statements:
        message.attach(f"statement-{statement.number}.pdf", issuing.pdf_of(statement), "application/pdf")
    return message


def _values(statements: Sequence[Statement], policy: Policy, sees_all: bool) -> dict[str, Any]:
    """Return what a template can use: texts, numbers of things and tuples, never an object."""
    documents = [issuing.document_of(statement) for statement in statements]
    first = documents[0]
    revised = revising.mailed_before(statements)
    others = _others(statements) if sees_all else []
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
            {
                **_told(document),
                "replaces": document.replaces,
                "was": _was(revised.get(statement.pk)),
                "changes": tuple(revised[statement.pk].changes()) if statement.pk in revised else (),
            }
            for statement, document in zip(statements, documents, strict=True)
        ),
        "others": tuple(_told(document) for document in others),
        "corrections": _corrections([*documents, *others]),
        **_amounts([*documents, *others]),
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
        "fund_orgs": ", ".join(document.fund_orgs),
        "corrections": _corrections([document]),
        **_amounts([document]),
    }


def _was(revised: revising.Revised | None) -> str:
    return money_with_currency(revised.was, revised.before.currency) if revised else ""


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


def _rendered(part: str, source: str, values: dict[str, Any]) -> str:
    try:
        rendered = PlainTemplate(source, engine=_engine).render(PlainContext(values, autoescape=part == "HTML"))
        # Django marks what it renders as safe HTML, which a plain text is not: join makes it plain.
        return rendered if part == "HTML" else "".join((rendered, ""))
    except TemplateSyntaxError as error:
        token = getattr(error, "token", None)
        where = f", line {token.lineno}" if token else ""
        raise EmailTemplateError(f"The {part} of the e-mail cannot be read{where}: {error}. {_ADVICE}") from error
    except EmailTemplateError as error:
        name = str(error)
        line = _line_of(name.split("“")[-1].rstrip("”"), source)
        names = ", ".join(sorted(values))
        raise EmailTemplateError(
            f"The {part} of the e-mail cannot be written{line}: {name}. There are: {names}. {_ADVICE}"
        ) from error


_ADVICE = "Correct it in the policy (E-mail subject, E-mail text); no e-mail was sent."


def _line_of(name: str, source: str) -> str:
    for number, line in enumerate(source.splitlines(), start=1):
        if name in line:
            return f", line {number}"
    return ""


def _shipped(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
