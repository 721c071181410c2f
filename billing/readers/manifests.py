"""Manifests: which files a provider says belong together, in the JSON of an AWS or Azure export."""

import contextlib
import datetime
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .batches import FileError, UnreadableFile
from .kinds import JSON_LINES, are_json_lines, is_json
from .opening import open_file
from .streams import BROKEN, MIB

MAX_FILES = 10_000
MAX_MANIFEST = 16 * MIB

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


@dataclass(frozen=True)
class Manifest:
    """What a provider says belongs together: the names of files, their rows, and when they were made where told."""

    provider: str
    files: tuple[str, ...]
    rows: tuple[int | None, ...]
    total_rows: int | None = None
    made_at: datetime.datetime | None = None


def may_be_manifest(path: Path, within: Path | None = None) -> bool:
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
    return manifest_of(content)


def manifest_of(content: bytes) -> Manifest:
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


def names_in_manifest(path: Path) -> frozenset[str]:
    """Return the last part of the name of each file that a manifest names; none for what is no manifest."""
    try:
        return frozenset(
            name.replace("\\", "/").rpartition("/")[2]
            for name in (read_manifest(path).files if may_be_manifest(path) else ())
        )
    except UnreadableFile:
        return frozenset()


def made_at_in(archive: zipfile.ZipFile) -> datetime.datetime | None:
    """Return when the files in an archive were made: the oldest time of the manifests among its members."""
    times = []
    for member in archive.infolist():
        name = member.filename.rpartition("/")[2].casefold()
        is_readable = member.file_size <= MAX_MANIFEST and not member.flag_bits & 1
        if not ("manifest" in name and name.endswith(".json") and is_readable):
            continue
        with contextlib.suppress(FileError, *BROKEN):
            times.append(manifest_of(archive.read(member)).made_at)
    return min((time for time in times if time), default=None)


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
