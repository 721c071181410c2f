"""Files of journals: written whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from billing.errors import BillingError
from billing.files import writing
from billing.models import BillingPeriod
from billing.proof import About
from billing.proof.verifying import Kept

from .models import Journal


class OutputRefused(BillingError):
    """A file cannot be written where it was asked for."""


class Staged:
    """Files written under names of their own, to be given their real ones once all else is done."""

    def __init__(self) -> None:
        self.files: list[tuple[Path, Path]] = []
        self.in_place: list[tuple[Path, bytes]] = []

    def add(self, target: Path, content: bytes) -> None:
        """Write `content` beside `target`; raises OutputRefused where that is not possible.

        A link stays, and what it names is written. A pipe or a device is written to when all else is done.
        """
        if writing.is_in_place(target):
            self.in_place.append((target, content))
            return
        target = Path(os.path.realpath(target))
        if target.is_dir():
            raise OutputRefused(f"{target} is a directory: name a file in it.")
        if not target.parent.is_dir():
            raise OutputRefused(f"The directory {target.parent} does not exist, so {target.name} was not written.")
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.part")
        self.files.append((temporary, target))
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, writing.mode_for(target))
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputRefused(f"{target} cannot be written: {error.strerror}.") from error

    def publish(self) -> None:
        for temporary, target in self.files:
            temporary.replace(target)
        for target, content in self.in_place:
            writing.write_whole(target, content)

    def discard(self) -> None:
        for temporary, _ in self.files:
            with suppress(OSError):
                temporary.unlink()


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


def folder_of(month: str) -> Path:
    """Return the folder that keeps a month's journals, made if need be."""
    folder = Path(settings.VAR_DIR) / "journals" / month
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    return folder


def kept_files(period: BillingPeriod | None) -> Iterator[Kept]:
    """Yield the files of submitted journals, which are made again from their frozen lines where they are gone."""
    written = Journal.objects.exclude(file_sha256="").order_by("pk")
    for journal in written if period is None else written.filter(period=period):
        about = About("journals.journal", journal.pk)
        path = kept_path(journal.file_path)
        yield Kept(f"Journal {journal.number}", path, journal.file_sha256, about, can_be_made_again=True)


def kept_path(file_path: str) -> Path:
    """Return where a file lies that is recorded relative to VAR_DIR."""
    return Path(settings.VAR_DIR) / file_path
