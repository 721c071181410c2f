"""Whether a backup is as it was written: every hash and every count."""

from pathlib import Path

from billing.progress import Progress, unwatched

from .archive import HEADS, MANIFEST, Archive, Damaged, Manifest

MIB = 1024 * 1024


def verify(path: Path, *, progress: Progress = unwatched) -> Manifest:
    """Read a whole backup and hold it against its manifest. Raises NotABackup, Damaged and OSError."""
    with Archive(path) as archive:
        verify_opened(archive, progress=progress)
        return archive.manifest


def verify_opened(archive: Archive, *, progress: Progress = unwatched) -> None:
    """Do the same for one that is open."""
    manifest = archive.manifest
    named = {each.name for each in (*manifest.rows, *manifest.files)} | {MANIFEST}
    if strange := sorted(archive.names - named):
        raise Damaged(f"{archive.path} is damaged: it has {strange[0]}, of which its manifest knows nothing.")
    if HEADS not in named:
        raise Damaged(f"{archive.path} is damaged: it has no {HEADS}.")
    total = sum(each.size for each in (*manifest.rows, *manifest.files)) // MIB
    done = 0
    for part in manifest.rows:
        lines = 0
        for chunk in archive.chunks(part):
            lines += chunk.count(b"\n")
            done += len(chunk)
            progress(done // MIB, total, "Verifying MiB")
        if lines != part.count:
            raise Damaged(f"{archive.path} is damaged: {part.name} has {lines:,} rows instead of {part.count:,}.")
    for file in manifest.files:
        for chunk in archive.chunks(file):
            done += len(chunk)
            progress(done // MIB, total, "Verifying MiB")
