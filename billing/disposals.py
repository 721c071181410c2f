"""Whether each certificate of disposal is the one that the audit log knows, with its files."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from .models import AuditEvent, Disposal
from .texts import long_date

UNFINISHED = "It is not completed. The next run removes the rest of its files."


def digest_of(hashes: Iterable[str]) -> str:
    """Return the SHA-256 of hashes, each in a line of its own, in order of their text."""
    return hashlib.sha256("".join(f"{each}\n" for each in sorted(hashes)).encode()).hexdigest()


@dataclass(frozen=True)
class Verified:
    """A disposal, and what is wrong with its record; "" for nothing."""

    disposal: Disposal
    files: int
    problem: str

    @property
    def is_altered(self) -> bool:
        """Whether its record was changed: one that is not completed only waits for the next run."""
        return bool(self.problem) and self.problem != UNFINISHED

    def as_data(self) -> dict[str, object]:
        disposal = self.disposal
        return {
            "certificate": disposal.pk,
            "decided_at": disposal.decided_at,
            "completed_at": disposal.completed_at,
            "files": self.files,
            "sha256": disposal.sha256,
            "problem": self.problem,
        }

    def __str__(self) -> str:
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        named = f"Certificate {self.disposal.pk} of {long_date(self.disposal.decided_at.date())}"
        return f"{named}: {files} disposed of. {self.problem or 'It is as it was written.'}"


def verify() -> list[Verified]:
    """Hold each certificate against its hash, its files and the audit log."""
    return [_verified(each) for each in Disposal.objects.order_by("pk")]


def _verified(disposal: Disposal) -> Verified:
    hashes = list(disposal.files.values_list("sha256", flat=True))
    recorded = {
        event.action: event.after or {}
        for event in AuditEvent.objects.filter(object_type="disposal", object_id=str(disposal.pk)).order_by("pk")
    }
    problem = ""
    if recorded.get("disposal.decided", {}).get("sha256_of_hashes") != digest_of(hashes):
        problem = "Its files are not those that the audit log knows."
    elif not disposal.completed_at:
        problem = UNFINISHED
    elif hashlib.sha256(disposal.certificate.encode()).hexdigest() != disposal.sha256:
        problem = "Its text is not the one that was hashed."
    elif recorded.get("disposal.completed", {}).get("sha256") != disposal.sha256:
        problem = "Its hash is not the one in the audit log."
    return Verified(disposal, len(hashes), problem)
