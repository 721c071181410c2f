"""The file of a journal, handed out."""

import datetime
from dataclasses import dataclass, replace
from pathlib import Path

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError

from ..filing import folder_of, kept_path, whole_files
from ..models import Journal
from ..writing import FROZEN, document_of, format_named
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


def download(*, journal: Journal, actor: Actor, now: datetime.datetime) -> Download:
    """Hand out a journal's file, and record it in the audit log. Raises FileMissing."""
    with audit.gesture(actor=actor, now=now) as gesture:
        content = content_of(journal)
        gesture.record("journal.downloaded", journal, after={"file": Path(journal.file_path).name})
        return Download(Path(journal.file_path).name, content)


def content_of(journal: Journal) -> bytes:
    """Return a journal's file; one that a crash kept from appearing is made again from the frozen lines.

    Raises FileMissing where there is none, or not the one that was submitted.
    """
    if not journal.file_path:
        raise FileMissing(f"{journal} has no file: export it first.")
    path = kept_path(journal.file_path)
    if path.is_file():
        content = path.read_bytes()
    elif journal.file_sha256:
        content = format_named(journal.format).write(document_of(journal)).content
        with whole_files() as staged:
            if sha256_of(content) == journal.file_sha256:
                folder_of(journal.period.iso_month)
                staged.add(path, content)
    else:
        raise FileMissing(f"The file of the draft {journal} is gone: export it again.")
    if journal.file_sha256 and sha256_of(content) != journal.file_sha256:
        raise FileMissing(
            f"The file {path.name} is not the one that was submitted as {journal} "
            f"(SHA-256 {journal.file_sha256[:12]}…): restore it from a backup of VAR_DIR."
        )
    return content


def first_lines(journal: Journal, format: str, *, count: int = 8) -> list[str]:
    """Return how the file of a journal would begin once it is submitted in a format; nothing of a large one.

    A format may add up or sort what it is given, so that no part of a large journal tells how its file begins.
    Raises UnknownFormat and TemplateFailed.
    """
    if journal.line_count > SMALL:
        return []
    written = format_named(format).write(replace(document_of(journal), state=FROZEN))
    return written.content.decode().splitlines()[:count]
