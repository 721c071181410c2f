"""The files of an e-mail: the PDFs, and by policy the lines and the charges; or links, where they are too large."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.template.defaultfilters import filesizeformat

from billing.models import Policy
from billing.sheets import FORMATS

from .. import issuing, sheets
from ..models import Statement

MEGABYTE = 1024 * 1024
# Of files as mail carries them: four characters for three bytes, and two for the end of each line of 76.
ENCODED = 78 / 57
# The words, the headers and what stands between parts.
BESIDE = 256 * 1024
CSV = "text/csv"


@dataclass(frozen=True)
class File:
    """A file of an e-mail."""

    name: str
    data: bytes
    content_type: str

    @property
    def size(self) -> str:
        return filesizeformat(len(self.data)).replace("\xa0", " ")


@dataclass(frozen=True)
class Files:
    """What is attached to an e-mail, and the names of what is too large for that."""

    attached: tuple[File, ...] = ()
    left_off: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.attached)


def files_of(statements: Sequence[Statement], policy: Policy) -> Files:
    """Return the files that bring statements, by the policy.

    Those of a kind are attached together or not at all: of what is too large charges.csv stays out first, then the
    Excel files, and in the end the PDFs. Raises ChargesLost.
    """
    attached: list[File] = []
    left_off: list[str] = []
    room = policy.email_megabytes * MEGABYTE - BESIDE
    for make in _kinds(policy):
        files = [made for statement in statements if (made := make(statement))]
        needed = sum(int(len(each.data) * ENCODED) for each in files)
        if left_off or needed > room:
            left_off += [each.name for each in files]
        else:
            attached += files
            room -= needed
    return Files(tuple(attached), tuple(left_off))


def _kinds(policy: Policy) -> list[Callable[[Statement], File | None]]:
    """Return what makes the files of each kind, the one that matters most first."""
    kinds: list[Callable[[Statement], File | None]] = [_pdf]
    if policy.email_attaches_xlsx:
        kinds.append(_xlsx)
    if policy.email_attaches_charges:
        kinds.append(_charges)
    return kinds


def _pdf(statement: Statement) -> File:
    return File(f"statement-{statement.number}.pdf", issuing.pdf_of(statement), "application/pdf")


def _xlsx(statement: Statement) -> File:
    data = sheets.as_xlsx(issuing.document_of(statement))
    return File(f"statement-{statement.number}.xlsx", data, FORMATS["xlsx"])


def _charges(statement: Statement) -> File | None:
    """Return the charges behind a statement; one that was issued before they were kept has none."""
    if not statement.charges_sha256:
        return None
    return File(f"statement-{statement.number}-{issuing.CHARGES}", issuing.charges_csv_of(statement), CSV)
