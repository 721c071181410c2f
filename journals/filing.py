"""Files of journals: written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from billing.errors import BillingError
from billing.files import Pending, documents, is_in_place, write_whole
from billing.models import BillingPeriod
from billing.proof import About
from billing.proof.verifying import Kept

from .models import Journal, ReceivablesExport


class OutputRefused(BillingError):
    """A file cannot be written where it was asked for."""


class Staged:
    """Files written under names of their own, to be given their real ones once all else is done."""

    def __init__(self) -> None:
        self.files: list[Pending] = []
        self.in_place: list[tuple[Path, bytes]] = []
        self.documents: list[documents.Ready] = []

    def keep(self, name: str, content: bytes) -> None:
        """Write `content` to become a document of this name; raises OutputRefused where that is not possible."""
        try:
            if there := documents.bucket():
                # Better refused now than after all else is done.
                there.require_bucket()
            ready = documents.Ready(name)
            self.documents.append(ready)
            ready.file.write(content)
            ready.complete()
        except OSError as error:
            raise OutputRefused(f"{documents.place(name)} cannot be written: {error.strerror}.") from error

    def add(self, target: Path, content: bytes) -> None:
        """Write `content` beside `target`; raises OutputRefused where that is not possible.

        A link stays, and what it names is written. A pipe or a device is written to when all else is done.
        """
        if is_in_place(target):
            self.in_place.append((target, content))
            return
        target = Path(os.path.realpath(target))
        if target.is_dir():
            raise OutputRefused(f"{target} is a directory: name a file in it.")
        if not target.parent.is_dir():
            raise OutputRefused(f"The directory {target.parent} does not exist, so {target.name} was not written.")
        try:
            pending = Pending(target)
            self.files.append(pending)
            pending.file.write(content)
            pending.complete()
        except OSError as error:
            raise OutputRefused(f"{target} cannot be written: {error.strerror}.") from error

    def publish(self) -> None:
        for pending in self.files:
            pending.publish()
        for target, content in self.in_place:
            write_whole(target, content)
        documents.publish(self.documents)

    def discard(self) -> None:
        for pending in self.files:
            pending.discard()
        for ready in self.documents:
            ready.discard()


@contextmanager
def whole_files() -> Iterator[Staged]:
    """Give the files their names when the block ends well, and leave nothing of them when it does not.

    The transaction goes inside: what is recorded is committed before a file appears, and a crash
    between the two leaves a journal whose file is made again from its frozen lines.
    """
    staged = Staged()
    try:
        yield staged
    except BaseException:
        staged.discard()
        raise
    staged.publish()


def path_of(month: str) -> str:
    """Return under which names a month's journals are kept."""
    return f"journals/{month}"


def kept_files(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the files of submitted journals and receivables; one that is gone is made again from its frozen lines."""
    written = Journal.objects.exclude(file_sha256="").prefetch_related("files_beside").order_by("pk")
    for journal in written if period is None else written.filter(period=period):
        about = About("journals.journal", journal.pk)
        place = documents.place(journal.file_path)
        yield Kept(f"Journal {journal.number}", place, journal.file_sha256, about, can_be_made_again=True)
        for each in journal.files_beside.all():
            named = f"Journal {journal.number}, {each.name}"
            place = documents.place(beside(journal.file_path, each.name))
            yield Kept(named, place, each.sha256, about, can_be_made_again=True)
    exports = ReceivablesExport.objects.exclude(file_sha256="").order_by("pk")
    for export in exports if period is None else exports.filter(period=period):
        about = About("journals.receivablesexport", export.pk)
        place = documents.place(export.file_path)
        yield Kept(f"Receivables {export.number}", place, export.file_sha256, about, can_be_made_again=True)


def beside(file_path: str, name: str) -> str:
    """Return the name of the document of this name that lies beside another."""
    return str(PurePosixPath(file_path).with_name(name))
