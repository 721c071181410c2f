"""What an import consists of: files, folders, archives and manifests into the parts to read, in order."""

import contextlib
import datetime
import filecmp
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..file_names import shown
from .batches import FileError, Problem, UnreadableFile
from .folders import data_files, manifest_in, manifests_in, told
from .kinds import ZIP, open_zip
from .manifests import Manifest, made_at_in, may_be_manifest, read_manifest
from .opening import OUTSIDE, open_file, real_path
from .parts import Part, parts_of
from .streams import BROKEN

T = TypeVar("T")


@dataclass(frozen=True)
class _Place:
    """Where a file lies, what people are told it is called, and the folder that it must not leave."""

    path: Path
    name: str
    within: Path | None = None


def open_delivery(
    paths: Sequence[Path],
    names: Sequence[str],
    *,
    beside: bool = True,
    within: Path | None = None,
    period: str = "",
    again: bool = False,
) -> list[Part]:
    """Return the parts of an import in a stable order: as named, folders and archives sorted by name.

    A manifest stands for exactly the files it names, which are looked for among the files named
    with it and, if they may lie `beside` it (not for uploads: a manifest could name anything), by their last path
    parts in its folder, and above that up to the folder that was named. A folder stands for its manifest, for the one
    of the expected `period` (2025-01) where it has several, or for its data files.

    Who writes a file need not be who imports it. So nothing is opened that does not lie, links resolved, in the
    folder that was named, or for a manifest that was named in the manifest's own; with `within`, a real path, in that.

    Raises FileError naming each file that is missing, is there twice, or is no data. What was taken in once is opened
    `again` as it is.
    """
    if not paths:
        raise UnreadableFile("No file was named.")
    problems: list[Problem] = []
    manifests, files = _places_of(paths, names, within, period, problems)
    parts: list[Part] = []
    given = list(files)
    for place, manifest in manifests:
        with _named(place.name, problems):
            parts += _parts_of_manifest(place, manifest, given, files, beside=beside)
    for place in files:
        with _named(place.name, problems):
            parts += parts_of(place.path, place.name, place.within)
    if again:
        # It was found complete when it came, chunks without rows and all.
        parts = [replace(part, may_be_empty=True) for part in parts]
    else:
        problems += [Problem(f"{double} is named twice. Name it once.") for double in _twice(parts)]
        if len(parts) > 1:
            # Whoever writes several files at once may have no rows for one of them.
            parts = [part if part.manifest else replace(part, may_be_empty=True) for part in parts]
    if problems:
        raise FileError(problems)
    return parts


def _places_of(
    paths: Sequence[Path], names: Sequence[str], within: Path | None, period: str, problems: list[Problem]
) -> tuple[list[tuple[_Place, Manifest]], list[_Place]]:
    """Return the manifests and the other files among what was named; of folders, what they stand for."""
    manifests: list[tuple[_Place, Manifest]] = []
    files: list[_Place] = []
    for path, name in zip(paths, names, strict=True):
        with _named(name, problems):
            if path.is_dir():
                folder = within or real_path(path)
                if not real_path(path).is_relative_to(folder):
                    raise UnreadableFile(OUTSIDE)
                if found := manifest_in(path, folder, period):
                    place = _Place(found, f"{name}/{told(found, path)}", folder)
                    manifests.append((place, read_manifest(found, folder)))
                else:
                    files += [_Place(each, f"{name}/{told(each, path)}", folder) for each in data_files(path, folder)]
            elif may_be_manifest(path, within):
                place = _Place(path, name, within or real_path(path).parent)
                manifests.append((place, read_manifest(path, within)))
            else:
                files.append(_Place(path, name, within))
    return manifests, files


def check_rows(rows: Mapping[Part, int]) -> None:
    """Raise FileError where parts, all read, have not as many rows as their manifest says, none at all, or the same."""
    if rows and not any(rows.values()) and not any(part.manifest for part in rows):
        raise UnreadableFile("The files have headers and no rows.")
    if copies := _copies([part for part, found in rows.items() if found]):
        raise FileError(
            [Problem(f"{copy} is the same file as {first}, byte for byte. Name one of them.") for first, copy in copies]
        )
    by_manifest: dict[str, list[Part]] = {}
    for part in rows:
        if part.manifest_rows is not None:
            by_manifest.setdefault(part.manifest, []).append(part)
    problems = []
    for manifest, parts in by_manifest.items():
        found, expected = sum(rows[part] for part in parts), parts[0].manifest_rows
        if found != expected:
            problems.append(
                Problem(f"{manifest} names {expected:,} rows, and its files have {found:,}. Copy the files again.")
            )
    if problems:
        raise FileError(problems)


class _named:
    """Collects what is wrong with one of the files named, with its name, so that all of it can be told at once."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name = name
        self.problems = problems

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if isinstance(error, OSError):
            error = UnreadableFile(f"The file cannot be opened: {error.strerror or error}.")
        if not isinstance(error, FileError):
            return False
        self.problems += [replace(problem, file=problem.file or self.name) for problem in error.problems]
        return True


def made_at(path: Path, within: Path | None = None) -> datetime.datetime | None:
    """Return when a provider made a file, or the files of a folder, by its manifest; None where nothing says so."""
    # Whatever is wrong with it is told when it is imported.
    with contextlib.suppress(FileError, OSError, *BROKEN):
        if path.is_dir():
            folder = within or real_path(path)
            times = [read_manifest(each, folder).made_at for each in manifests_in(path, folder)]
            return min((time for time in times if time), default=None)
        if may_be_manifest(path, within):
            return read_manifest(path, within).made_at
        with open_file(path, within) as binary:
            if binary.read(4) == ZIP:
                with open_zip(binary) as archive:
                    return made_at_in(archive)
    return None


def oldest_run_first(deliveries: Iterable[T], made: Callable[[T], datetime.datetime | None]) -> list[T]:
    """Return files or folders as they are, but those of which is known when they were made with the oldest first.

    They change places among themselves only, so that the others keep theirs.
    """
    ordered = list(deliveries)
    known = [(time, place) for place, each in enumerate(ordered) if (time := made(each))]
    runs = [ordered[place] for _, place in sorted(known)]
    for (_, place), run in zip(known, runs, strict=True):
        ordered[place] = run
    return ordered


def _parts_of_manifest(
    at: _Place, manifest: Manifest, given: Sequence[_Place], rest: list[_Place], *, beside: bool
) -> list[Part]:
    """Return the parts that a manifest names, taking those of them that were named themselves out of `rest`."""
    parts: list[Part] = []
    missing: list[str] = []
    for file, rows in zip(manifest.files, manifest.rows, strict=True):
        pieces = [piece for piece in file.replace("\\", "/").split("/") if piece not in ("", ".", "..")]
        place = _among(pieces, given) or (_around(pieces, at) if beside else None)
        if place is None:
            missing.append(shown("/".join(pieces[-2:])))
            continue
        if place in rest:
            rest.remove(place)
        found = parts_of(place.path, place.name, place.within)
        expected = rows if len(found) == 1 else None
        parts += [
            replace(
                part,
                expected_rows=expected,
                manifest=at.name,
                manifest_rows=manifest.total_rows,
                made_at=manifest.made_at,
                # A manifest that counts no rows, or counts them over all its parts, lets one of them be empty.
                may_be_empty=not expected,
            )
            for part in found
        ]
    if missing:
        raise UnreadableFile(
            f"The manifest names {len(manifest.files)} files, of which {len(missing)} are not there: "
            f"{', '.join(missing[:10])}{', …' if len(missing) > 10 else ''}. Copy all of them. Where its files "
            "are not below the folder of the manifest, import the folder that holds both."
        )
    return parts


def _among(pieces: Sequence[str], given: Sequence[_Place]) -> _Place | None:
    """Return the one named file that ends in the same path parts, the most of them first."""
    best = 0
    found: list[_Place] = []
    for place in given:
        own = place.name.replace("\\", "/").split("/")
        same = 0
        for mine, theirs in zip(reversed(own), reversed(pieces), strict=False):
            if mine != theirs:
                break
            same += 1
        if same > best:
            best, found = same, [place]
        elif same == best and same:
            found.append(place)
    return found[0] if len(found) == 1 else None


def _around(pieces: Sequence[str], at: _Place) -> _Place | None:
    """Return the file that lies where the manifest says, seen from its folder or one above it, as far as it may be."""
    assert at.within is not None
    folder = real_path(at.path).parent
    bases = [base for base in (folder, *folder.parents) if base.is_relative_to(at.within)]
    for level, base in enumerate(bases):
        # Above its own folder a bare name may be anybody's.
        for start in range(len(pieces) - (1 if level else 0)):
            tail = pieces[start:]
            try:
                place = base.joinpath(*tail)
                if place.is_file() and real_path(place).is_relative_to(at.within):
                    return _Place(place, shown("/".join(tail)), at.within)
            except (OSError, ValueError):
                # A name that no file here can have.
                continue
    return None


def _twice(parts: Iterable[Part]) -> list[str]:
    """Return the names of files that are named more than once.

    Uploads that are alike lie in one stored file: where a manifest names each, each is meant.
    """
    seen: set[tuple[Path, str, str]] = set()
    doubles = []
    for part in parts:
        key = (part.path.resolve(), part.member, part.name if part.manifest else "")
        if key in seen:
            doubles.append(part.name)
        seen.add(key)
    return doubles


def _copies(parts: Iterable[Part]) -> list[tuple[str, str]]:
    """Return the names of files that hold the same bytes, as one that was downloaded twice does.

    What a manifest names is meant.
    """
    alike: dict[tuple[str, int], list[Part]] = {}
    copies: dict[str, str] = {}
    for part in parts:
        if part.manifest:
            continue
        others = alike.setdefault((part.member, part.path.stat().st_size), [])
        same = next((each for each in others if filecmp.cmp(each.path, part.path, shallow=False)), None)
        if same is None:
            others.append(part)
        else:
            copies[_file_of(part)] = _file_of(same)
    return [(first, copy) for copy, first in copies.items()]


def _file_of(part: Part) -> str:
    return part.name.removesuffix(f"/{shown(part.member)}")
