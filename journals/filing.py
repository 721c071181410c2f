"""Files of journals: written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from billing.errors import BillingError
from billing.files import Pending, is_in_place, own_folder, write_whole
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

    def discard(self) -> None:
        for pending in self.files:
            pending.discard()


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
    """Return where a month's journals are kept, relative to VAR_DIR."""
    return f"journals/{month}"


def folder_of(month: str, *names: str) -> Path:
    """Return the folder that keeps a month's journals, or one in it, made if need be."""
    return own_folder("journals", month, *names)


def kept_files(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the files of submitted journals and receivables; one that is gone is made again from its frozen lines."""
    written = Journal.objects.exclude(file_sha256="").prefetch_related("files_beside").order_by("pk")
    for journal in written if period is None else written.filter(period=period):
        about = About("journals.journal", journal.pk)
        path = kept_path(journal.file_path)
        yield Kept(f"Journal {journal.number}", path, journal.file_sha256, about, can_be_made_again=True)
        for each in journal.files_beside.all():
            named = f"Journal {journal.number}, {each.name}"
            yield Kept(named, path.with_name(each.name), each.sha256, about, can_be_made_again=True)
    exports = ReceivablesExport.objects.exclude(file_sha256="").order_by("pk")
    for export in exports if period is None else exports.filter(period=period):
        about = About("journals.receivablesexport", export.pk)
        path = kept_path(export.file_path)
        yield Kept(f"Receivables {export.number}", path, export.file_sha256, about, can_be_made_again=True)


def kept_path(file_path: str) -> Path:
    """Return where a file lies that is recorded relative to VAR_DIR."""
    return Path(settings.VAR_DIR) / file_path
