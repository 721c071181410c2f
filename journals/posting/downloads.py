"""The file of a journal, handed out."""

import datetime
from dataclasses import dataclass, replace
from pathlib import Path

from django.utils import timezone

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError
from billing.files import documents

from .. import filing
from ..formats.layouts import LayoutFormat
from ..models import Journal
from ..writing import FROZEN, document_of, format_named, format_of
from .keeping import next_batch
from .records import sha256_of

# Lines of a journal up to which its file is written to show how it begins.
SMALL = 2_000


class FileMissing(BillingError):
    """The file of a journal is not there, or not what was submitted."""


@dataclass(frozen=True)
class Download:
    """A file to hand out."""

    name: str
    content: bytes


def download(*, journal: Journal, name: str = "", actor: Actor, now: datetime.datetime) -> Download:
    """Hand out a journal's file, or the one of this name beside it, and record it in the audit log.

    Raises FileMissing.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        content = content_of(journal, name)
        name = name or Path(journal.file_path).name
        gesture.record("journal.downloaded", journal, after={"file": name})
        return Download(name, content)


def content_of(journal: Journal, name: str = "") -> bytes:
    """Return a journal's file, or the one of this name beside it.

    One that a crash kept from appearing is made again from the frozen lines. Raises FileMissing where there is none,
    or not the one that was submitted.
    """
    if not journal.file_path:
        raise FileMissing(f"{journal} has no file: export it first.")
    beside = journal.files_beside.filter(name=name).first() if name else None
    if name and beside is None:
        raise FileMissing(f"{journal} has no file {name}.")
    document, sha256 = journal.file_path, journal.file_sha256
    if beside:
        document, sha256 = filing.beside(document, beside.name), beside.sha256
    try:
        content = documents.read(document)
    except FileNotFoundError:
        if not sha256:
            raise FileMissing(f"The file of the draft {journal} is gone: export it again.") from None
        content = _made_again(journal, name)
        if sha256_of(content) == sha256:
            documents.write(document, content)
    if sha256 and sha256_of(content) != sha256:
        raise FileMissing(
            f"The file {Path(document).name} is not the one that was submitted as {journal} "
            f"(SHA-256 {sha256[:12]}…): restore it from a backup."
        )
    return content


def _made_again(journal: Journal, name: str) -> bytes:
    written = format_of(journal).write(document_of(journal))
    return next((each.content for each in written.beside if each.name == name), written.content)


def first_lines(journal: Journal, format: str, *, count: int = 8) -> list[str]:
    """Return how the file of a journal would begin once it is submitted in a format; nothing of a large one.

    A format may add up or sort what it is given, so that no part of a large journal tells how its file begins.
    Raises UnknownFormat, TemplateFailed and LayoutRefused.
    """
    if journal.line_count > SMALL:
        return []
    chosen, document = format_named(format), replace(document_of(journal), state=FROZEN)
    if isinstance(chosen, LayoutFormat):
        return chosen.preview(replace(document, batch=next_batch(chosen.name, timezone.now())), count)
    return chosen.write(document).content.decode().splitlines()[:count]
