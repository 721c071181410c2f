"""Receiving files: what was handed in, of which source and months it is, and where it is kept."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from .. import audit
from ..audit import Actor
from ..background import working
from ..background.working import Mark
from ..file_names import shown
from ..files.received import MAX_NAME, local_copy
from ..files.received import store as store_file
from ..models import Import, ImportedFile, Policy, Source, StoredFile
from ..progress import Progress, unwatched
from ..readers import FileError, Part, Problem, open_delivery
from ..texts import month_name, month_names
from .expected_periods import expected_months, period_in_name
from .outcomes import SourceUnknown, error_of, in_file
from .standing import NOTHING_STANDS, Recognized, recognize

# A provider's clock may go before ours.
CLOCKS_DIFFER_BY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Request:
    """Files that somebody asks to have imported, and how."""

    paths: Sequence[Path]
    names: Sequence[str]
    actor: Actor
    now: datetime.datetime
    progress: Progress = unwatched
    # A snapshot may remove whatever it lacks.
    replace: bool = False
    # The files are confirmed to be the source's own.
    force: bool = False
    # They lie in the folder of their source.
    in_its_folder: bool = False
    # The files a manifest names are looked for beside it.
    beside: bool = False
    # An Import.Missing: what somebody answered about charges that the files lack.
    missing: str = ""
    made_at: datetime.datetime | None = None
    # Nothing outside of this folder is opened.
    within: Path | None = None
    # The stored files of an import, which are read once more.
    is_again: bool = False
    # The imports that keep these files, where they were received before.
    own_imports: tuple[int, ...] = ()
    # A person applies them, also to a month in review.
    is_by_hand: bool = False
    # The day on which another month than the rows' own posts what they are charged, where one does.
    posted: datetime.date | None = None


@dataclass(frozen=True)
class Received:
    """The files of a request, with the source and the months they are of.

    `files` are the stored files of the parts, in the same order; a dry run stores none.
    """

    request: Request
    source: Source
    policy: Policy
    period: str
    expected: frozenset[datetime.date]
    made_at: datetime.datetime | None
    parts: tuple[Part, ...]
    # What is odd about the files and stops nothing.
    warnings: tuple[str, ...] = ()
    # A source that the names fit, and that is not the one they are imported for.
    named: Source | None = None
    files: tuple[StoredFile, ...] = ()
    recognized: Recognized = NOTHING_STANDS

    @property
    def adds_up(self) -> bool:
        """Whether every file adds to those before it, and none says anything of their rows."""
        return self.source.import_mode == Source.ImportMode.APPEND

    @property
    def is_seen(self) -> bool:
        """Whether nothing of the files is left to import."""
        return bool(self.files) and len(self.recognized.skipped) == len(self.files)

    @property
    def file_ids(self) -> list[int]:
        return [file.pk for file in self.files]

    @property
    def part_names(self) -> list[str]:
        return [part.name for part in self.parts]

    @property
    def loose_files(self) -> dict[int, str]:
        """The names, by number, of the files that no manifest names."""
        return {number: part.name for number, part in enumerate(self.parts, start=1) if not part.manifest}


def begin(request: Request) -> tuple[Import, Mark]:
    """Record that somebody asks for an import, and mark that this process works on it."""
    with audit.gesture(actor=request.actor, now=request.now) as gesture:
        imported = Import.objects.create(
            name=", ".join(request.names)[:254],
            replace=request.replace,
            created_at=request.now,
            created_by=request.actor.user,
            created_by_name=request.actor.name,
        )
        gesture.record("import.received", imported, after={"files": list(request.names)})
        # Nobody sees the import before the commit, so nobody takes it for one that was left.
        mark = working.begin(imported.pk)
    return imported, mark


def identify(
    request: Request, source: Source | None, period: str, *, warn: Callable[[str], None] = lambda _: None
) -> Received:
    """Open the files, and decide their source, the expected period and the policy.

    `warn` is told what is odd and stops nothing. Raises FileError, or SourceUnknown where the names do not tell.
    """
    warnings: list[str] = []

    def note(warning: str) -> None:
        warnings.append(warning)
        warn(warning)

    parts = open_delivery(
        list(request.paths),
        list(request.names),
        beside=request.beside,
        within=request.within,
        period=period,
        again=request.is_again,
    )
    of = source or _guessed_source(parts)
    named = None if source is None or request.is_again else _source_named_instead(parts, source, note)
    period, expected = _expected(parts, period, note)
    made_at = request.made_at or min((part.made_at for part in parts if part.made_at), default=None)
    if made_at and made_at > request.now + CLOCKS_DIFFER_BY:
        # Believed, a time yet to come would make every later run an older one.
        made_at = None
    return Received(
        request=request,
        source=of,
        policy=Policy.objects.current(),
        period=period,
        expected=expected,
        made_at=made_at,
        parts=tuple(parts),
        warnings=tuple(warnings),
        named=named,
    )


def keep_files(received: Received, imported: Import) -> Received:
    """Store the files of an import; what is returned reads what is kept.

    The files that were named may change meanwhile. Raises FileError where one cannot be read.
    """
    request = received.request
    kept: dict[Path, StoredFile] = {}
    for part in received.parts:
        if part.path not in kept:
            with in_file(part.name):
                kept[part.path] = store_file(
                    path=part.path, within=part.within, now=request.now, progress=request.progress
                )
    files = tuple(kept[part.path] for part in received.parts)
    stored = dataclasses.replace(
        received,
        files=files,
        parts=tuple(
            dataclasses.replace(part, path=local_copy(file), within=None)
            for file, part in zip(files, received.parts, strict=True)
        ),
    )
    with transaction.atomic():
        name_files(imported, stored)
        imported.save()
    return stored


def name_files(imported: Import, received: Received) -> None:
    """Record which stored files an import is of, and by which names they came."""
    ImportedFile.objects.bulk_create(
        ImportedFile(imported_in=imported, file=file, number=number, name=part.name[-MAX_NAME:], member=part.member)
        for number, (file, part) in enumerate(zip(received.files, received.parts, strict=True), start=1)
    )


def again(
    imported: Import,
    *,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
    missing: str = "",
    is_by_hand: bool = False,
    posted: datetime.date | None = None,
) -> Received:
    """Return the stored files of an import, to be read once more. Raises FileError where they cannot be opened."""
    assert imported.source is not None
    files = list(imported.imported_files.select_related("file").order_by("number"))
    # An archive is one file of several parts; opened again, it has the same parts in the same order.
    whole: dict[tuple[int, str], tuple[StoredFile, str]] = {}
    for each in files:
        # Of a name that is too long to be kept only the end is there.
        name = each.name.removesuffix(f"/{shown(each.member)}") if each.member else each.name
        whole.setdefault((each.file_id, "" if each.member else name), (each.file, name))
    request = Request(
        paths=[local_copy(file) for file, _ in whole.values()],
        names=[name for _, name in whole.values()],
        replace=imported.replace,
        missing=missing,
        made_at=imported.made_at,
        is_again=True,
        own_imports=tuple(each for each in (imported.pk, imported.rest_of_id) if each),
        is_by_hand=is_by_hand,
        posted=posted,
        actor=actor,
        now=now,
        progress=progress,
    )
    received = identify(request, imported.source, imported.expected_period)
    return dataclasses.replace(received, files=tuple(each.file for each in files))


def recognized(received: Received) -> Received:
    """Return the same, with what of its stored files is there already."""
    now = recognize(received.source, received.file_ids, received.part_names, is_again=received.request.is_again)
    return dataclasses.replace(received, recognized=now)


def _expected(parts: Sequence[Part], period: str, warn: Callable[[str], None]) -> tuple[str, frozenset[datetime.date]]:
    """Return the expected period, given or named by the files, and its months."""
    found = {period_in_name(part.name) for part in parts} - {""}
    if not period:
        period = next(iter(found)) if len(found) == 1 else ""
        found = set()
    try:
        expected = expected_months(period) if period else frozenset()
    except ValueError as error:
        raise FileError([Problem(str(error))]) from error
    if others := sorted(name for name in found if not expected_months(name) <= expected):
        warn(f"The names of the files say {month_names(others)}, and {month_name(period)} is expected.")
    return period, expected


def _source_named_instead(parts: Sequence[Part], source: Source, warn: Callable[[str], None]) -> Source | None:
    """Return another source that the names fit than the one that was chosen."""
    for part in parts:
        guess = Source.objects.for_file_name(part.name)
        if guess and guess != source:
            warn(f"The name {part.name} fits the source {guess}. It is imported for {source}, as chosen.")
            return guess
    return None


def _guessed_source(parts: Sequence[Part]) -> Source:
    guesses = {part.name: Source.objects.for_file_name(part.name) for part in parts}
    sources = {guess.name: guess for guess in guesses.values() if guess}
    unknown = [name for name, guess in guesses.items() if guess is None]
    if len(sources) == 1 and not unknown:
        return next(iter(sources.values()))
    known = ", ".join(Source.objects.filter(is_active=True).order_by("name").values_list("name", flat=True))
    if unknown:
        message = f"No source's pattern fits the name {unknown[0]}. Choose its source: {known or 'there is none'}."
    else:
        message = f"The names fit several sources ({', '.join(sorted(sources))}). Choose one."
    raise SourceUnknown([error_of(message)])
