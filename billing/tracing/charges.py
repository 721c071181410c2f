"""A charge with its past: flags, decisions, import, and its place in a file."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils import timezone

from .. import attribution
from ..files import disposed
from ..importing import origins
from ..models import Charge, Flag, Import, ImportedFile, Policy, ReviewDecision
from ..money import plain
from ..texts import long_moment, shown
from .usage import TracedUsage, usage_of

# What of other tables is told of a charge.
WITH_PAST = (
    "source__usage_feed",
    "period",
    "charged_in",
    "pi",
    "project",
    "imported_in",
    "product",
    "resource",
    "tag_set",
)


@dataclass(frozen=True)
class TracedCharge:
    """A charge with all that is known of how it came here and why it is paid by whom it is."""

    charge: Charge
    counted: Decimal | None
    flags: tuple[Flag, ...]
    decisions: tuple[ReviewDecision, ...]
    imported: Import
    file: ImportedFile | None
    line: int
    told: str
    tags: dict[str, tuple[str, str]]
    usage: TracedUsage | None = None
    # What became of its file where that is gone permanently.
    disposed: str = ""

    @property
    def status(self) -> str:
        """Whether it is charged, and if not, why."""
        if self.charge.withdrawn_in_id:
            return f"withdrawn by import {self.charge.withdrawn_in_id}"
        return str(Charge.State(self.charge.state).label).lower()

    @property
    def who_pays(self) -> str:
        """What said who pays: tags, a rule, a decision, with its name where it has one."""
        by = str(Charge.AttributedBy(self.charge.attributed_by).label)
        named = [self.charge.deciders] if self.charge.deciders else []
        if self.charge.attributed_by not in Charge.SETTLED:
            named += [f"tag {key} = {value}" for key, value in self.tags.values()]
        return f"{by}: {'; '.join(named)}" if named else by

    def as_data(self) -> dict[str, Any]:
        charge = self.charge
        return {
            "charge": charge.pk,
            "status": self.status,
            "billed": charge.billed_cost,
            "counted": self.counted,
            "currency": charge.currency,
            "resource": charge.resource_label,
            "service": charge.service_name,
            "period": charge.period.iso_month,
            "charged_in": charge.charged_in.iso_month,
            "attributed_by": charge.attributed_by,
            "deciders": charge.deciders,
            "tags": [{"field": name, "tag": key, "value": value} for name, (key, value) in self.tags.items()],
            "flags": [{"code": flag.code, "detail": flag.detail, "resolved": flag.is_resolved} for flag in self.flags],
            "decisions": [
                {
                    "action": each.action,
                    "reason": each.reason,
                    "provider_credits": each.provider_credits,
                    "note": each.note,
                    "by": each.decided_by_name,
                    "at": each.decided_at,
                }
                for each in self.decisions
            ],
            "import": self.imported.pk,
            "imported_at": self.imported.applied_at or self.imported.created_at,
            "imported_by": self.imported.created_by_name,
            "file": self.file.name if self.file else None,
            "sha256": self.file.file.sha256 if self.file else None,
            "member": self.file.member if self.file else None,
            "line": self.line,
            "disposed": self.disposed or None,
            "rows": charge.row_count,
            "told": self.told,
            "usage": self.usage.as_data() if self.usage else None,
        }

    def as_text(self) -> str:
        charge = self.charge
        money = plain(charge.billed_cost if self.counted is None else self.counted, charge.currency)
        said_of = f"{charge.service_name} {charge.resource_label}".strip()
        lines = [
            f"charge {charge.pk}: {money} {charge.currency}, {self.status}"
            + (f", {shown(said_of)}" if said_of else ""),
            f"  who pays: {self.who_pays or 'nobody said'}",
        ]
        for flag in self.flags:
            answered = ", answered" if flag.is_resolved else ""
            lines.append(f"  reason to look{answered}: {flag.code}{f' ({shown(flag.detail)})' if flag.detail else ''}")
        for each in self.decisions:
            credit = "the provider credits it" if each.provider_credits else ""
            why = shown(" – ".join(filter(None, (each.reason, credit, each.note))))
            lines.append(
                f"  {each.action} by {each.decided_by_name} on {long_moment(timezone.localtime(each.decided_at))}"
                + (f": {why}" * bool(why))
            )
        origin, taken_in = self.file, self.imported.applied_at or self.imported.created_at
        lines.append(
            f"  import {self.imported.pk} of {long_moment(timezone.localtime(taken_in))} by "
            f"{self.imported.created_by_name or 'nobody named'}"
        )
        if origin:
            lines.append(f"  {shown(origin.name)}, line {self.line:,}, SHA-256 {origin.file.sha256}")
        if self.disposed:
            lines.append(f"  the file was {self.disposed}")
        if self.told:
            lines.append(f"  {self.told}")
        if self.usage:
            lines.append(self.usage.as_text())
        return "\n".join(lines)


def charges_with_past(
    charges: Iterable[Charge], *, with_records: bool = False, page: int = 1
) -> tuple[TracedCharge, ...]:
    """Return charges with their flags, decisions, imports and places in files; the same few queries for any number.

    `with_records`, a page of the records of usage that they were made of is looked up, too.
    """
    listed = list(charges)
    # Read already where the charges were fetched with `WITH_PAST`.
    prefetch_related_objects(listed, *WITH_PAST)
    ids = [charge.pk for charge in listed]
    flags: dict[int, list[Flag]] = defaultdict(list)
    for flag in Flag.objects.filter(charge__in=ids).order_by("is_resolved", "pk"):
        flags[flag.charge_id].append(flag)
    decisions: dict[int, list[ReviewDecision]] = defaultdict(list)
    for decision in ReviewDecision.objects.filter(charge__in=ids).order_by("pk"):
        decisions[decision.charge_id].append(decision)
    # A row that reverses another is in no file; the other is.
    reversed_charges = Charge.objects.in_bulk({charge.reverses_id for charge in listed if charge.reverses_id})
    read_from = {charge.pk: reversed_charges.get(charge.reverses_id or 0, charge) for charge in listed}
    imports = {charge.imported_in_id for charge in read_from.values()}
    files = {
        (file.imported_in_id, file.number): file
        for file in ImportedFile.objects.select_related("file").filter(imported_in__in=imports)
    }
    gone = disposed.said_of({file.file.path for file in files.values()})
    usage = usage_of(read_from.values(), with_records=with_records, page=page)
    policy = Policy.objects.current()
    found = []
    for charge in listed:
        origin = read_from[charge.pk]
        file = files.get((origin.imported_in_id, origin.file_number))
        found.append(
            TracedCharge(
                charge=charge,
                counted=getattr(charge, "counted", None),
                flags=tuple(flags[charge.pk]),
                decisions=tuple(decisions[charge.pk]),
                imported=charge.imported_in,
                file=file,
                line=origin.line_number,
                told=origins.told_of(charge, origin),
                tags=attribution.tags_used(charge.tags, policy),
                usage=usage.get(origin.pk),
                disposed=gone.get(file.file.path, "") if file else "",
            )
        )
    return tuple(found)
