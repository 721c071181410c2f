"""What a delivery consists of: files, folders, archives and manifests into the parts to read, in order."""

import contextlib
import datetime
import filecmp
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from ..file_names import shown
from .batches import FileError, Problem, UnreadableFile
from .kinds import (
    ARCHIVES,
    EMPTY_ZIP,
    JSON_LINES,
    ZIP,
    Kind,
    are_json_lines,
    is_json,
    kind_of_start,
    kind_of_zip,
    open_zip,
)
from .opening import NO_FILE, OUTSIDE, open_file, real_path
from .streams import BROKEN, MIB, broken, check_expansion

MAX_FILES = 10_000
MAX_MANIFEST = 16 * MIB
BLOCK = 64 * 1024

DATA = (".csv", ".tsv", ".txt", ".gz", ".zip", ".parquet", ".xlsx")
# Members of an archive, and files of a folder, that come along and are no data.
PASSENGERS = re.compile(
    r"(readme|license|manifest)[^/]*|desktop\.ini|thumbs\.db"
    r"|.*\.(json|md|pdf|html?|xml|ya?ml|sql|png|jpe?g|docx?|sha256|md5|crc)",
    re.IGNORECASE,
)
# When a run was made, as providers write it: 2026-01-21T05:00:00.1234567Z, or 20260121T050000Z in the name of a folder.
MADE_AT = re.compile(
    r"(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)T(?P<hour>\d\d):?(?P<minute>\d\d):?(?P<second>\d\d)(?:\.\d+)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
# The types of Azure's exports that are not FOCUS; what else stands there is not repeated.
AZURE_TYPES = (
    *("ActualCost", "AmortizedCost", "Usage", "PriceSheet"),
    *("ReservationDetails", "ReservationTransactions", "ReservationRecommendations"),
)
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One table of a delivery: a file, or a member of an archive.

    `name` is what people are told; `size` is the part's share of the bytes of its file, for progress.
    `expected_rows` is what a manifest says of this part; `manifest` and `manifest_rows`, which all parts
    of one manifest share, what it says of them together (None where it does not say). `may_be_empty` allows
    it a header without rows, which a file by itself, and all files of a delivery, have only by mistake.
    Where it is of a folder, it is opened only as long as it lies `within` it, links resolved.
    """

    path: Path
    name: str
    member: str = ""
    kind: Kind = Kind.CSV
    size: int = 0
    expected_rows: int | None = None
    manifest: str = ""
    manifest_rows: int | None = None
    may_be_empty: bool = False
    made_at: datetime.datetime | None = None
    within: Path | None = None

    def open(self) -> BufferedReader:
        """Open the file for reading; raise UnreadableFile where that is not possible, or not allowed."""
        return open_file(self.path, self.within)


@dataclass(frozen=True)
class _Place:
    """Where a file lies, what people are told it is called, and the folder that it must not leave."""

    path: Path
    name: str
    within: Path | None = None


@dataclass(frozen=True)
class Manifest:
    """What a provider says a delivery consists of: the names of its files, their rows and its time where told."""

    provider: str
    files: tuple[str, ...]
    rows: tuple[int | None, ...]
    total_rows: int | None = None
    made_at: datetime.datetime | None = None


def open_delivery(
    paths: Sequence[Path],
    names: Sequence[str],
    *,
    beside: bool = True,
    within: Path | None = None,
    period: str = "",
    again: bool = False,
) -> list[Part]:
    """Return the parts of a delivery in a stable order: as named, folders and archives sorted by name.

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
    parts: list[Part] = []
    problems: list[Problem] = []
    manifests: list[tuple[_Place, Manifest]] = []
    files: list[_Place] = []
    for path, name in zip(paths, names, strict=True):
        with _named(name, problems):
            if path.is_dir():
                folder = within or real_path(path)
                if not real_path(path).is_relative_to(folder):
                    raise UnreadableFile(OUTSIDE)
                found = _manifests_in(path, folder)
                if len(found) > 1:
                    found = [each for each in found if _is_of(each.relative_to(path), period)] or found
                if len(found) > 1:
                    raise UnreadableFile(
                        "The folder holds several exports. Name the month of one of them, or its folder: "
                        f"{_listed(found, path)}."
                    )
                if found:
                    place = _Place(found[0], f"{name}/{_told(found[0], path)}", folder)
                    manifests.append((place, read_manifest(place.path, folder)))
                else:
                    files += [_Place(each, f"{name}/{_told(each, path)}", folder) for each in _data_files(path, folder)]
            elif _may_be_manifest(path, within):
                place = _Place(path, name, within or real_path(path).parent)
                manifests.append((place, read_manifest(path, within)))
            else:
                files.append(_Place(path, name, within))
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


def parts_of(path: Path, name: str, within: Path | None = None) -> list[Part]:
    """Return what one file consists of: itself, or the members of an archive; decided by its content."""
    try:
        with open_file(path, within) as binary:
            start = binary.read(BLOCK)
            size = os.fstat(binary.fileno()).st_size
            binary.seek(max(0, size - 8))
            end = binary.read(8)
            if start.startswith((ZIP, EMPTY_ZIP)):
                return [replace(part, within=within) for part in _members(path, name, size, binary)]
    except OSError as error:
        raise UnreadableFile(f"The file cannot be read: {error.strerror or error}.") from error
    if not start:
        raise UnreadableFile("The file is empty.")
    return [Part(path=path, name=name, kind=kind_of_start(start, end), size=size, within=within)]


def _members(path: Path, name: str, size: int, binary: Any) -> list[Part]:
    with open_zip(binary) as archive:
        if kind_of_zip(archive) is Kind.XLSX:
            return [Part(path=path, name=name, kind=Kind.XLSX, size=size)]
        parts: list[Part] = []
        members = sorted(archive.infolist(), key=lambda each: each.filename)
        check_expansion(sum(member.file_size for member in members), sum(member.compress_size for member in members))
        seen: set[str] = set()
        made_at = _made_at_in(archive)
        for member in members:
            inner = member.filename
            last = inner.rstrip("/").rpartition("/")[2]
            if member.is_dir() or "__MACOSX/" in inner or last.startswith(("._", ".")) or PASSENGERS.fullmatch(last):
                continue
            if inner in seen:
                raise UnreadableFile(f"The archive has two members of the name {shown(inner)}. Pack it again.")
            seen.add(inner)
            if member.flag_bits & 1:
                raise UnreadableFile("The archive is protected by a password. Unpack it and import the files.")
            check_expansion(member.file_size, member.compress_size)
            parts.append(
                Part(
                    path=path,
                    name=f"{name}/{shown(inner)}",
                    member=inner,
                    kind=_kind_of_member(archive, member),
                    size=member.compress_size,
                    made_at=made_at,
                )
            )
    if not parts:
        raise UnreadableFile("The zip archive holds no data files.")
    return parts


def _kind_of_member(archive: Any, member: Any) -> Kind:
    try:
        with archive.open(member) as content:
            start = content.read(BLOCK)
    except BROKEN as error:
        raise broken(error) from error
    try:
        if start.startswith(ZIP) and b"[Content_Types].xml" in start:
            return Kind.XLSX
        if start.startswith(ZIP) and member.filename.lower().endswith(".xlsx"):
            return Kind.XLSX
        if start.startswith(ARCHIVES):
            raise UnreadableFile("It is an archive within an archive. Unpack the outer one and import what is in it.")
        return kind_of_start(start)
    except UnreadableFile as error:
        raise UnreadableFile(f"The member {shown(member.filename)}: {error.problems[0].message}") from error


def _made_at_in(archive: Any) -> datetime.datetime | None:
    """Return when the delivery in an archive was made: the oldest time of the manifests among its members."""
    times = []
    for member in archive.infolist():
        name = member.filename.rpartition("/")[2].casefold()
        is_readable = member.file_size <= MAX_MANIFEST and not member.flag_bits & 1
        if not ("manifest" in name and name.endswith(".json") and is_readable):
            continue
        with contextlib.suppress(FileError, *BROKEN):
            times.append(_manifest_of(archive.read(member)).made_at)
    return min((time for time in times if time), default=None)


# Folders -------------------------------------------------------------------------------------------


def _walk(folder: Path, within: Path) -> list[Path]:
    """Return the files below a folder, sorted; without hidden ones and what systems leave behind.

    A link that stays in the folder is followed to a file; one to a folder leads to files that are found there. What
    leads out, or is no file, is refused: passed over in silence, a part of the month could be missing.
    """
    found: list[Path] = []
    for here, folders, names in os.walk(folder, onerror=_refuse_unread):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "_")))
        for path in (Path(here, each) for each in (*folders, *names) if not each.startswith((".", "_"))):
            try:
                status = path.lstat()
                is_link = stat.S_ISLNK(status.st_mode)
                if is_link:
                    status = path.stat()
            except FileNotFoundError:
                if not path.is_symlink():
                    # Taken away while we looked.
                    continue
                raise UnreadableFile(
                    f"{_told(path, folder)} is a link that leads nowhere. Put the file there."
                ) from None
            except OSError as error:
                raise UnreadableFile(f"{_told(path, folder)} cannot be read: {error.strerror}.") from error
            if is_link and not real_path(path).is_relative_to(within):
                raise UnreadableFile(f"{_told(path, folder)}: {OUTSIDE}")
            if stat.S_ISREG(status.st_mode):
                found.append(path)
            elif not stat.S_ISDIR(status.st_mode):
                raise UnreadableFile(f"{_told(path, folder)}: {NO_FILE}")
        if len(found) > MAX_FILES:
            raise UnreadableFile(f"The folder holds more than {MAX_FILES:,} files. Name those to import.")
    return sorted(found)


def _refuse_unread(error: OSError) -> None:
    raise UnreadableFile(f"The folder {shown(Path(error.filename).name)} cannot be read: {error.strerror}.")


def _told(path: Path, folder: Path) -> str:
    return shown(path.relative_to(folder).as_posix())


def _manifests_in(folder: Path, within: Path) -> list[Path]:
    return [
        path for path in _walk(folder, within) if "manifest" in path.name.casefold() and _may_be_manifest(path, within)
    ]


def _is_of(manifest: Path, period: str) -> bool:
    """Tell whether the place of a manifest, such as `metadata/BILLING_PERIOD=2025-01/…`, speaks of a period."""
    month = re.escape(period).replace("\\-", "[-_]?")
    return bool(period) and any(re.search(rf"(?<!\d){month}(?!\d)", part) for part in manifest.parts)


def _data_files(folder: Path, within: Path) -> list[Path]:
    found = [path for path in _walk(folder, within) if not PASSENGERS.fullmatch(path.name)]
    if not found:
        raise UnreadableFile("The folder holds no data files.")
    # Passed over in silence, a chunk that is packed otherwise or half copied would be missing from the month.
    strange = [path for path in found if path.suffix and path.suffix.casefold() not in DATA]
    if strange:
        raise UnreadableFile(
            f"The folder holds what may be data and is in no format that is read here: {_listed(strange, folder)}. "
            "Unpack or finish it, or take it out of the folder."
        )
    runs = sorted(
        {parent for path in found for parent in path.relative_to(folder).parents if GUID.fullmatch(parent.name)}
    )
    if len(runs) > 1:
        raise UnreadableFile(
            "The folder holds several runs of an export, each a full copy. Name the folder of one of them: "
            f"{_listed([folder / run for run in runs], folder)}."
        )
    stems: dict[Path, Path] = {}
    for path in found:
        stem = path
        while stem.suffix.casefold() in (*DATA, ".snappy"):
            stem = stem.with_suffix("")
        if stem in stems:
            raise UnreadableFile(
                f"The folder holds {_told(stems[stem], folder)} and {_told(path, folder)}, which may be the "
                "same rows twice. Name the files to import."
            )
        stems[stem] = path
    return found


def _listed(paths: Sequence[Path], folder: Path) -> str:
    return ", ".join(_told(path, folder) for path in paths[:10]) + (
        f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    )


# Manifests -----------------------------------------------------------------------------------------


def _may_be_manifest(path: Path, within: Path | None = None) -> bool:
    """Tell by its content whether a file is JSON; a table never begins so."""
    try:
        with open_file(path, within) as binary:
            return is_json(binary.read(256))
    except (UnreadableFile, OSError):
        return False


def read_manifest(path: Path, within: Path | None = None) -> Manifest:
    """Read the manifest of an AWS or Azure export; raise UnreadableFile for any other JSON."""
    try:
        with open_file(path, within) as binary:
            content = binary.read(MAX_MANIFEST + 1)
    except OSError as error:
        raise UnreadableFile(f"The file cannot be read: {error.strerror or error}.") from error
    if are_json_lines(content):
        raise UnreadableFile(JSON_LINES)
    if len(content) > MAX_MANIFEST:
        raise UnreadableFile(f"The JSON file is larger than {MAX_MANIFEST // MIB} MiB, which no manifest is.")
    return _manifest_of(content)


def _manifest_of(content: bytes) -> Manifest:
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableFile("The manifest is not valid JSON. Copy or download it again.") from error
    manifest = _azure(found) or _aws(found) if isinstance(found, dict) else None
    if manifest is None:
        raise UnreadableFile(
            "This JSON file is not the manifest of an AWS or Azure export. Import the data files (CSV or parquet)."
        )
    if not manifest.files:
        raise UnreadableFile("The manifest names no files: the export was empty or is not complete.")
    if len(manifest.files) > MAX_FILES:
        raise UnreadableFile(f"The manifest names more than {MAX_FILES:,} files.")
    return manifest


def made_at(path: Path, within: Path | None = None) -> datetime.datetime | None:
    """Return when a provider made the delivery in a file or folder, by its manifest; None where nothing says so."""
    # Whatever is wrong with it is told when it is imported.
    with contextlib.suppress(FileError, OSError, *BROKEN):
        if path.is_dir():
            folder = within or real_path(path)
            times = [read_manifest(each, folder).made_at for each in _manifests_in(path, folder)]
            return min((time for time in times if time), default=None)
        if _may_be_manifest(path, within):
            return read_manifest(path, within).made_at
        with open_file(path, within) as binary:
            if binary.read(4) == ZIP:
                with open_zip(binary) as archive:
                    return _made_at_in(archive)
    return None


def oldest_run_first(deliveries: Iterable[T], made: Callable[[T], datetime.datetime | None]) -> list[T]:
    """Return deliveries as they are, but those of which is known when they were made with the oldest first.

    They change places among themselves only, so that the others keep theirs.
    """
    ordered = list(deliveries)
    known = [(time, place) for place, each in enumerate(ordered) if (time := made(each))]
    runs = [ordered[place] for _, place in sorted(known)]
    for (_, place), run in zip(known, runs, strict=True):
        ordered[place] = run
    return ordered


def names_in_manifest(path: Path) -> frozenset[str]:
    """Return the last part of the name of each file that a manifest names; none for what is no manifest."""
    try:
        return frozenset(
            name.replace("\\", "/").rpartition("/")[2]
            for name in (read_manifest(path).files if _may_be_manifest(path) else ())
        )
    except UnreadableFile:
        return frozenset()


def _azure(found: dict[str, Any]) -> Manifest | None:
    blobs = found.get("blobs")
    if not isinstance(blobs, list):
        return None
    config = found.get("exportConfig")
    kind = config.get("type") if isinstance(config, dict) else None
    if isinstance(kind, str) and kind.casefold() != "focuscost":
        which = f"the type “{kind}”" if kind in AZURE_TYPES else "another type"
        raise UnreadableFile(
            f"This is the manifest of an Azure export of {which}, not FOCUS. In Azure Cost Management, create an "
            "export of the type “Cost and usage details (FOCUS)”."
        )
    files, rows = [], []
    for blob in blobs:
        name = blob.get("blobName") if isinstance(blob, dict) else None
        if not isinstance(name, str) or not name:
            raise UnreadableFile("The manifest has a blob without a name. Copy or download it again.")
        files.append(name)
        rows.append(_count(blob.get("dataRowCount")))
    count = _count(found.get("blobCount"))
    if count is not None and count != len(files):
        raise UnreadableFile(f"The manifest speaks of {count} blobs and names {len(files)}. Copy it again.")
    total = _count(found.get("dataRowCount"))
    if total is not None and None not in rows and total != sum(filter(None, rows)):
        raise UnreadableFile(f"The manifest speaks of {total:,} rows, and its blobs of {sum(filter(None, rows)):,}.")
    run = found.get("runInfo")
    submitted = run.get("submittedTime") if isinstance(run, dict) else None
    return Manifest("Azure", tuple(files), tuple(rows), total, _time(submitted))


def _aws(found: dict[str, Any]) -> Manifest | None:
    if isinstance(found.get("reportKeys"), list) and "reportId" in found:
        raise UnreadableFile(
            "This is the manifest of an AWS Cost and Usage Report (CUR). In AWS Data Exports, create an export of the "
            "type “FOCUS with AWS columns” and import its files."
        )
    files = found.get("dataFiles")
    if isinstance(files, list) and all(isinstance(each, str) and each for each in files):
        # Where each run has a folder of its own, its name begins with the time; the manifest has no other.
        times = [_time(name) for file in files for name in file.split("/")[:-1]]
        return Manifest(
            "AWS", tuple(files), (None,) * len(files), made_at=min((time for time in times if time), default=None)
        )
    return None


def _time(value: Any) -> datetime.datetime | None:
    """Return the time that a text begins with; None for anything else. Without a zone it is UTC."""
    found = MADE_AT.match(value) if isinstance(value, str) else None
    if not found:
        return None
    *numbers, zone = found.groups()
    try:
        time = datetime.datetime(*map(int, numbers), tzinfo=datetime.UTC)  # type: ignore[arg-type,misc]
        if zone and zone != "Z":
            offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
            time += -offset if zone[0] == "+" else offset
    except (ValueError, OverflowError):
        return None
    return time


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


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


__all__ = [
    "Manifest",
    "Part",
    "check_rows",
    "made_at",
    "names_in_manifest",
    "oldest_run_first",
    "open_delivery",
    "parts_of",
    "read_manifest",
]
