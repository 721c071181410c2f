"""The words of the e-mails: subject, text and HTML from the policy's templates and plain values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template import Engine, TemplateSyntaxError

from billing.errors import BillingError
from billing.plain_templates import PlainContext, PlainTemplate

from .document import Figures, StatementDocument, long_date, money_with_currency

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

    def __mod__(self, name: Any) -> str:
        raise EmailTemplateError(f"there is no “{name}”")


class _LetterEngine(Engine):
    """Django's templates without loaders, libraries or the tags that reach outside."""

    default_builtins = ["statements.email_tags"]


_engine = _LetterEngine(libraries={}, string_if_invalid=_MissingName())


def letter(documents: list[StatementDocument], *, subject: str, text: str, institution: str, portal_url: str) -> Letter:
    """Write the e-mail that brings one PI the statements of a month.

    `subject` and `text` are the policy's templates; an empty text means the one that comes with the
    program. Raises EmailTemplateError, which names the part, the line and what there is to use.
    """
    values = _values(documents, institution=institution, portal_url=portal_url)
    line = " ".join(_rendered("subject", subject, values).split())
    if text.strip():
        body = _rendered("text", text, values)
    else:
        body = _rendered("text", _shipped("statement.txt"), values)
        text = ""
    html = _rendered("HTML", _shipped("statement.html"), values | {"own_text": body if text else "", "subject": line})
    return Letter(subject=line, text=body, html=html)


def _values(documents: list[StatementDocument], *, institution: str, portal_url: str) -> dict[str, Any]:
    """Return what a template can use: texts, numbers of things and tuples, never an object."""
    first = documents[0]
    figures = Figures.total(document.figures for document in documents)
    return {
        "period": f"{first.month:%Y-%m}",
        "month": first.month_name,
        "pi": first.pi_name or first.pi_email,
        "pi_email": first.pi_email,
        "institution": institution,
        "department": first.department,
        "contact_name": first.contact_name,
        "contact_email": first.contact_email,
        "contact_phone": first.contact_phone,
        "footer": first.footer,
        "portal_url": portal_url,
        "count": len(documents),
        "is_final": all(document.is_final for document in documents),
        "review_until": next((long_date(each.review_until) for each in documents if each.review_until), ""),
        "statements": tuple(
            {
                "number": document.number,
                "reference": document.reference,
                "replaces": document.replaces,
                "project": document.project,
                "fund_orgs": ", ".join(section.fund_org for section in document.sections),
                **_amounts(document.figures, document.currency),
            }
            for document in documents
        ),
        **_amounts(figures, first.currency),
    }


def _amounts(figures: Figures, currency: str) -> dict[str, str]:
    return {
        "list": money_with_currency(figures.list_cost, currency),
        "discount": money_with_currency(figures.discount, currency),
        "subsidy": money_with_currency(figures.subsidy, currency),
        "due": money_with_currency(figures.charged, currency),
    }


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
