"""What a delivery consists of: files, folders, archives and manifests into the parts to read, in order."""

import filecmp
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .batches import FileError, Problem, UnreadableFile
from .kinds import ARCHIVES, EMPTY_ZIP, ZIP, Kind, is_json, kind_of_start, kind_of_zip, open_zip
from .streams import BROKEN, MIB, broken, check_expansion

MAX_FILES = 10_000
MAX_MANIFEST = 16 * MIB
BLOCK = 64 * 1024
# How far above its own folder the files of a manifest are looked for: AWS keeps it in another branch.
LEVELS = 4

DATA = (".csv", ".tsv", ".txt", ".gz", ".zip", ".parquet", ".xlsx")
# Members of an archive, and files of a folder, that come along and are no data.
PASSENGERS = re.compile(
    r"(readme|license|manifest)[^/]*|desktop\.ini|thumbs\.db"
    r"|.*\.(json|md|pdf|html?|xml|ya?ml|sql|png|jpe?g|docx?|sha256|md5|crc)",
    re.IGNORECASE,
)
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One table of a delivery: a file, or a member of an archive.

    `name` is what people are told; `size` is the part's share of the bytes of its file, for progress.
    `expected_rows` is what a manifest says of this part; `manifest` and `manifest_rows`, which all parts
    of one manifest share, what it says of them together (None where it does not say). `may_be_empty` allows
    it a header without rows, which a file by itself, and all files of a delivery, have only by mistake.
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


@dataclass(frozen=True)
class Manifest:
    """What a provider says a delivery consists of: the names of its files, and their rows where told."""

    provider: str
    files: tuple[str, ...]
    rows: tuple[int | None, ...]
    total_rows: int | None = None


def open_delivery(
    paths: Sequence[Path], names: Sequence[str], *, beside: bool = True, again: bool = False
) -> list[Part]:
    """Return the parts of a delivery in a stable order: as named, folders and archives sorted by name.

    A manifest stands for exactly the files it names, which are looked for among the files named
    with it and, if they may lie `beside` it (not for uploads: a manifest could name anything), around it
    by their last path parts. A folder stands for its manifest, or for its data files. Raises FileError
    naming each file that is missing, is there twice, or is no data. What was taken in once is opened `again` as
    it is.
    """
    if not paths:
        raise UnreadableFile("No file was named.")
    parts: list[Part] = []
    problems: list[Problem] = []
    manifests: list[tuple[Path, str, Manifest]] = []
    files: list[tuple[Path, str]] = []
    for path, name in zip(paths, names, strict=True):
        with _named(name, problems):
            if path.is_dir():
                found = _manifests_in(path)
                if len(found) > 1:
                    raise UnreadableFile(
                        f"The folder holds several deliveries. Name one of them: {_listed(found, path)}."
                    )
                if found:
                    manifests.append((found[0], f"{name}/{found[0].relative_to(path)}", read_manifest(found[0])))
                else:
                    files += [(each, f"{name}/{each.relative_to(path)}") for each in _data_files(path)]
            elif _may_be_manifest(path):
                manifests.append((path, name, read_manifest(path)))
            else:
                files.append((path, name))
    given = list(files)
    for path, name, manifest in manifests:
        with _named(name, problems):
            parts += _parts_of_manifest(path, name, manifest, given, files, beside=beside)
    for path, name in files:
        with _named(name, problems):
            parts += parts_of(path, name)
    if again:
        # It was found complete when it came, chunks without rows and all.
        parts = [replace(part, may_be_empty=True) for part in parts]
    else:
        problems += [Problem(f"{double} is in the delivery twice. Name it once.") for double in _twice(parts)]
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
                Problem(
                    f"{manifest} says the delivery has {expected:,} rows, and its files have {found:,}. "
                    "Copy the delivery again."
                )
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


def parts_of(path: Path, name: str) -> list[Part]:
    """Return what one file consists of: itself, or the members of an archive; decided by its content."""
    try:
        with path.open("rb") as binary:
            start = binary.read(BLOCK)
            size = os.fstat(binary.fileno()).st_size
            binary.seek(max(0, size - 8))
            end = binary.read(8)
            if start.startswith((ZIP, EMPTY_ZIP)):
                return _members(path, name, size, binary)
    except FileNotFoundError:
        raise UnreadableFile("There is no such file.") from None
    except IsADirectoryError:
        raise UnreadableFile("This is a folder, not a file.") from None
    except OSError as error:
        raise UnreadableFile(f"The file cannot be opened: {error.strerror}.") from error
    if not start:
        raise UnreadableFile("The file is empty.")
    return [Part(path=path, name=name, kind=kind_of_start(start, end), size=size)]


def _members(path: Path, name: str, size: int, binary: Any) -> list[Part]:
    with open_zip(binary) as archive:
        if kind_of_zip(archive) is Kind.XLSX:
            return [Part(path=path, name=name, kind=Kind.XLSX, size=size)]
        parts: list[Part] = []
        members = sorted(archive.infolist(), key=lambda each: each.filename)
        check_expansion(sum(member.file_size for member in members), sum(member.compress_size for member in members))
        seen: set[str] = set()
        for member in members:
            shown = member.filename
            last = shown.rstrip("/").rpartition("/")[2]
            if member.is_dir() or "__MACOSX/" in shown or last.startswith(("._", ".")) or PASSENGERS.fullmatch(last):
                continue
            if shown in seen:
                raise UnreadableFile(f"The archive has two members of the name {shown}. Pack it again.")
            seen.add(shown)
            if member.flag_bits & 1:
                raise UnreadableFile("The archive is protected by a password. Unpack it and import the files.")
            check_expansion(member.file_size, member.compress_size)
            parts.append(
                Part(
                    path=path,
                    name=f"{name}/{shown}",
                    member=shown,
                    kind=_kind_of_member(archive, member),
                    size=member.compress_size,
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
        raise UnreadableFile(f"The member {member.filename}: {error.problems[0].message}") from error


# Folders -------------------------------------------------------------------------------------------


def _walk(folder: Path) -> list[Path]:
    """Return the files below a folder, sorted; without hidden ones and what systems leave behind."""
    found: list[Path] = []
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "_")))
        found += [Path(here, each) for each in names if not each.startswith((".", "_")) and Path(here, each).is_file()]
        if len(found) > MAX_FILES:
            raise UnreadableFile(f"The folder holds more than {MAX_FILES:,} files. Name the delivery in it.")
    return sorted(found)


def _manifests_in(folder: Path) -> list[Path]:
    return [path for path in _walk(folder) if _may_be_manifest(path) and "manifest" in path.name.casefold()]


def _data_files(folder: Path) -> list[Path]:
    found = [path for path in _walk(folder) if not PASSENGERS.fullmatch(path.name)]
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
                f"The folder holds {stems[stem].relative_to(folder)} and {path.relative_to(folder)}, which may be the "
                "same rows twice. Name the files to import."
            )
        stems[stem] = path
    return found


def _listed(paths: Sequence[Path], folder: Path) -> str:
    shown = [str(path.relative_to(folder)) for path in paths[:10]]
    return ", ".join(shown) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")


# Manifests -----------------------------------------------------------------------------------------


def _may_be_manifest(path: Path) -> bool:
    """Tell by its content whether a file is JSON; a table never begins so."""
    try:
        with path.open("rb") as binary:
            return is_json(binary.read(256))
    except OSError:
        return False


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of an AWS or Azure export; raise UnreadableFile for any other JSON."""
    try:
        with path.open("rb") as binary:
            content = binary.read(MAX_MANIFEST + 1)
    except OSError as error:
        raise UnreadableFile(f"The file cannot be opened: {error.strerror}.") from error
    if len(content) > MAX_MANIFEST:
        raise UnreadableFile(f"The JSON file is larger than {MAX_MANIFEST // MIB} MiB, which no manifest is.")
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


def _azure(found: dict[str, Any]) -> Manifest | None:
    blobs = found.get("blobs")
    if not isinstance(blobs, list):
        return None
    config = found.get("exportConfig")
    kind = config.get("type") if isinstance(config, dict) else None
    if isinstance(kind, str) and kind.casefold() != "focuscost":
        raise UnreadableFile(
            f"This is the manifest of an Azure export of the type “{kind[:60]}”, not FOCUS. In Azure Cost Management, "
            "create an export of the type “Cost and usage details (FOCUS)”."
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
    return Manifest("Azure", tuple(files), tuple(rows), total)


def _aws(found: dict[str, Any]) -> Manifest | None:
    if isinstance(found.get("reportKeys"), list) and "reportId" in found:
        raise UnreadableFile(
            "This is the manifest of an AWS Cost and Usage Report (CUR). In AWS Data Exports, create an export of the "
            "type “FOCUS with AWS columns” and import its files."
        )
    files = found.get("dataFiles")
    if isinstance(files, list) and all(isinstance(each, str) and each for each in files):
        return Manifest("AWS", tuple(files), (None,) * len(files))
    return None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _parts_of_manifest(
    path: Path,
    name: str,
    manifest: Manifest,
    given: Sequence[tuple[Path, str]],
    rest: list[tuple[Path, str]],
    *,
    beside: bool,
) -> list[Part]:
    """Return the parts that a manifest names, taking those of them that were named themselves out of `rest`."""
    parts: list[Part] = []
    missing: list[str] = []
    for file, rows in zip(manifest.files, manifest.rows, strict=True):
        pieces = [piece for piece in file.replace("\\", "/").split("/") if piece not in ("", ".", "..")]
        place = _among(pieces, given) or (_around(pieces, path) if beside else None)
        if place is None:
            missing.append("/".join(pieces[-2:]))
            continue
        if place in rest:
            rest.remove(place)
        found = parts_of(*place)
        expected = rows if len(found) == 1 else None
        parts += [
            replace(
                part,
                expected_rows=expected,
                manifest=name,
                manifest_rows=manifest.total_rows,
                # A manifest that counts no rows, or counts them over all its parts, lets one of them be empty.
                may_be_empty=not expected,
            )
            for part in found
        ]
    if missing:
        raise UnreadableFile(
            f"The manifest names {len(manifest.files)} files, of which {len(missing)} are not there: "
            f"{', '.join(missing[:10])}{', …' if len(missing) > 10 else ''}. Copy the whole delivery."
        )
    return parts


def _among(pieces: Sequence[str], given: Sequence[tuple[Path, str]]) -> tuple[Path, str] | None:
    """Return the one named file that ends in the same path parts, the most of them first."""
    best = 0
    found: list[tuple[Path, str]] = []
    for place in given:
        own = place[1].replace("\\", "/").split("/")
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


def _around(pieces: Sequence[str], manifest: Path) -> tuple[Path, str] | None:
    """Return the file that lies where the manifest says, seen from its folder or one above it."""
    folder = manifest.absolute().parent
    for level, base in enumerate([folder, *folder.parents][: LEVELS + 1]):
        # Above its own folder a bare name may be anybody's.
        for start in range(len(pieces) - (1 if level else 0)):
            tail = pieces[start:]
            place = base.joinpath(*tail)
            if place.is_file():
                return place, "/".join(tail)
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
    return part.name.removesuffix(f"/{part.member}")


__all__ = ["Manifest", "Part", "check_rows", "open_delivery", "parts_of", "read_manifest"]
