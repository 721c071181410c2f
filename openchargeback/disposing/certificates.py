"""Certificates of disposal, as text."""

from collections.abc import Iterable, Iterator, Sequence

from django.conf import settings
from django.utils import timezone

from billing.disposals import digest_of
from billing.fiscal_years import label_of
from billing.models import Disposal, DisposedFile, Policy
from billing.texts import long_moment, long_month

from .planning import Item, Line, summed

KEPT = (
    "Kept: charges with their amounts and payers, totals, payer lines, statements, journals, reconciliations, the "
    "hashes of the files below, and the audit log."
)


def lines_of(files: Iterable[DisposedFile]) -> list[Line]:
    """Return files together by kind and month."""
    return summed(
        Item(DisposedFile.Kind(each.kind), each.name, (each.first_month,), each.size, each.sha256) for each in files
    )


def text_of(disposal: Disposal, files: Sequence[DisposedFile]) -> str:
    """Return the certificate of a disposal: what was removed by kind and month, what was held back, and every hash."""
    assert disposal.completed_at
    policy = Policy.objects.current()
    last = label_of(disposal.before - 1)
    removed = lines_of(files)
    held = [Line(each["kind"], each["month"], each["files"], each["bytes"], each["why"]) for each in disposal.held_back]
    parts = [
        f"CERTIFICATE OF DISPOSAL {disposal.pk}",
        "",
        f"Institution: {policy.institution or 'not named'}",
        f"Installation: {settings.SITE_URL}, OpenChargeback {settings.VERSION}",
        f"Decided: {long_moment(timezone.localtime(disposal.decided_at))}, by {disposal.decided_by_name}",
        f"Completed: {long_moment(timezone.localtime(disposal.completed_at))}",
        f"Schedule: detail of {last} and earlier, at least {disposal.years} years after the end of the fiscal year.",
        f"First month kept: {long_month(disposal.first_kept)}",
        "",
        "Removed",
        *_table(removed),
        "",
        "Held back",
        *(_table(held) if held else ["  nothing"]),
        "",
        KEPT,
        "Copies in backups are not removed by this. They end with the retention of the backups.",
        "",
        f"SHA-256 of the hashes below: {digest_of(each.sha256 for each in files)}",
        *(f"{each.sha256}  {each.size:>12}  {each.kind}  {each.months[0]}" for each in files),
        "",
    ]
    return "\n".join(parts)


def _table(lines: Sequence[Line]) -> Iterator[str]:
    for each in lines:
        files = "file" if each.files == 1 else "files"
        told = f"  {each.label:<28} {each.month}  {each.files:>7,} {files:<5} {each.size:>15,} bytes"
        yield f"{told}  {each.why}".rstrip()
    count, size = sum(each.files for each in lines), sum(each.size for each in lines)
    yield f"  {'Together':<28} {'':7}  {count:>7,} {'file' if count == 1 else 'files':<5} {size:>15,} bytes"
