"""Folders: the manifests or the data files that one of them holds."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from ..file_names import shown
from .batches import UnreadableFile
from .manifests import MAX_FILES, may_be_manifest
from .opening import NO_FILE, OUTSIDE, real_path
from .parts import PASSENGERS

DATA = (".csv", ".tsv", ".txt", ".gz", ".zip", ".parquet", ".xlsx")
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def _walk(folder: Path, within: Path) -> list[Path]:
    """Return the files below a folder, sorted; without hidden ones and what systems leave behind.

    A link that stays in the folder is followed to a file; one to a folder leads to files that are found there. What
    leads out, or is no file, is refused: passed over in silence, a part of the month could be missing.
    """
    found: list[Path] = []
    for here, folders, names in os.walk(folder, onerror=_refuse_unread):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "_")))
        for path in (Path(here, each) for each in (*folders, *names) if not each.startswith((".", "_"))):
            if _is_file(path, folder, within):
                found.append(path)
        if len(found) > MAX_FILES:
            raise UnreadableFile(f"The folder holds more than {MAX_FILES:,} files. Name those to import.")
    return sorted(found)


def _is_file(path: Path, folder: Path, within: Path) -> bool:
    """Tell a file from a folder and from what was taken away meanwhile; raise UnreadableFile for anything else."""
    try:
        status = path.lstat()
        is_link = stat.S_ISLNK(status.st_mode)
        if is_link:
            status = path.stat()
    except FileNotFoundError:
        if not path.is_symlink():
            # Taken away while we looked.
            return False
        raise UnreadableFile(f"{told(path, folder)} is a link that leads nowhere. Put the file there.") from None
    except OSError as error:
        raise UnreadableFile(f"{told(path, folder)} cannot be read: {error.strerror}.") from error
    if is_link and not real_path(path).is_relative_to(within):
        raise UnreadableFile(f"{told(path, folder)}: {OUTSIDE}")
    if stat.S_ISREG(status.st_mode):
        return True
    if not stat.S_ISDIR(status.st_mode):
        raise UnreadableFile(f"{told(path, folder)}: {NO_FILE}")
    return False


def _refuse_unread(error: OSError) -> None:
    raise UnreadableFile(f"The folder {shown(Path(error.filename).name)} cannot be read: {error.strerror}.")


def told(path: Path, folder: Path) -> str:
    """Return the place of a file in a folder, as people are told of it."""
    return shown(path.relative_to(folder).as_posix())


def manifest_in(folder: Path, within: Path, period: str) -> Path | None:
    """Return the manifest of a folder, or that of the expected `period` where it has several; None for none.

    Raises UnreadableFile where several may be meant.
    """
    found = manifests_in(folder, within)
    if len(found) > 1:
        found = [each for each in found if _is_of(each.relative_to(folder), period)] or found
    if len(found) > 1:
        raise UnreadableFile(
            f"The folder holds several exports. Name the month of one of them, or its folder: {_listed(found, folder)}."
        )
    return found[0] if found else None


def manifests_in(folder: Path, within: Path) -> list[Path]:
    """Return the files of a folder that are called a manifest and are JSON, sorted."""
    return [
        path for path in _walk(folder, within) if "manifest" in path.name.casefold() and may_be_manifest(path, within)
    ]


def _is_of(manifest: Path, period: str) -> bool:
    """Tell whether the place of a manifest, such as `metadata/BILLING_PERIOD=2025-01/…`, speaks of a period."""
    month = re.escape(period).replace("\\-", "[-_]?")
    return bool(period) and any(re.search(rf"(?<!\d){month}(?!\d)", part) for part in manifest.parts)


def data_files(folder: Path, within: Path) -> list[Path]:
    """Return the files of a folder that hold rows; raise UnreadableFile where some may be, or be there twice."""
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
                f"The folder holds {told(stems[stem], folder)} and {told(path, folder)}, which may be the "
                "same rows twice. Name the files to import."
            )
        stems[stem] = path
    return found


def _listed(paths: Sequence[Path], folder: Path) -> str:
    return ", ".join(told(path, folder) for path in paths[:10]) + (
        f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    )
