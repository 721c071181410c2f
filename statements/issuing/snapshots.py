"""What a statement keeps: lines, resources, names and texts as they are today; and the digest of what revises it."""

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing import charging, quantities
from billing.attribution.funds import reference_of
from billing.models import (
    BillingPeriod,
    Department,
    FundingSource,
    PayerLine,
    Person,
    Policy,
    Project,
)
from billing.models.policy import reference_labels
from billing.money import ZERO, plain, to_cents
from billing.quantities import Usage

from ..document import Figures
from ..models import StatementLine
from .corrected import Corrected, corrected_by

HUNDRED = Decimal(100)

# Kept below a line; the portal shows them all, and what comes after is one sum.
MOST_RESOURCES = 2_000

# What of the names and texts makes a revision when it changes: whom and what the statement is about. A new
# spelling of a name, a new letterhead or another day until which to ask changes neither who pays nor how much:
# it is printed on what is issued next. Nor does usage: where it changes what is charged, that makes the revision.
IN_DIGEST = ("pi_email", "project_code", "showback")


@dataclass(frozen=True)
class Material:
    """What statements of a month are made of besides its payer lines, looked up once for all of them."""

    policy: Policy
    fund_names: Mapping[str, str]
    # The last day of service that each fund/org may pay for, where it has one.
    fund_ends: Mapping[str, datetime.date]
    # By the id of the department.
    department_names: Mapping[int | None, str]
    # By payer key.
    resources: Mapping[str, Sequence[charging.ResourceShare]]
    originals: Mapping[str, charging.Original]
    corrected: Corrected

    def lines_of(self, lines: Sequence[PayerLine]) -> list[StatementLine]:
        """Return one owner's payer lines as lines of a statement, unsaved and numbered from 1."""
        made = [
            _line(number, line, self.resources.get(line.key, ()), self.originals.get(line.key))
            for number, line in enumerate(lines, start=1)
        ]
        before = self.corrected.charged_before(line.key for line in lines)
        for line in made:
            line.corrects = self.corrected.named.get(line.payer_key, [])
            line.charged_before = before.get(line.payer_key)
        return made

    def content_of(self, pi: Person, project: Project | None, lines: Sequence[PayerLine]) -> dict[str, Any]:
        """Return the names and texts of today, which the statement keeps."""
        return {
            "institution": self.policy.institution,
            "department": self.policy.department,
            "address": [line.strip() for line in self.policy.address.splitlines() if line.strip()],
            "contact_name": self.policy.contact_name,
            "contact_email": self.policy.contact_email,
            "contact_phone": self.policy.contact_phone,
            "footer": self.policy.statement_footer,
            "pi_name": pi.display_name,
            "pi_email": pi.email,
            "pi_department": self.department_names.get(pi.department_id, ""),
            "project_code": project.code if project else "",
            "project_name": project.name if project else "",
            "fund_names": {
                line.fund_org: self.fund_names[line.fund_org] for line in lines if line.fund_org in self.fund_names
            },
            "fund_ends": {
                line.fund_org: self.fund_ends[line.fund_org].isoformat()
                for line in lines
                if line.fund_org in self.fund_ends
            },
            "customers": sorted({str(line.customer) for line in lines if line.customer}),
            "reference_labels": reference_labels(self.policy.tag_keys),
            "showback": sorted({line.source.name for line in lines if not line.source.is_journaled}),
        }


def material_of(period: BillingPeriod, lines: Sequence[PayerLine], policy: Policy) -> Material:
    """Look up what statements of a month are made of. Raises the errors of `charging.originals_of`."""
    return Material(
        policy=policy,
        fund_names=dict(FundingSource.objects.exclude(name="").values_list("fund_org", "name")),
        fund_ends={fund_org: last for fund_org, (_, last) in (reference_of(policy).funds or {}).items() if last},
        department_names={each.pk: each.display_name for each in Department.objects.all()},
        resources=charging.resources_of(period, lines),
        originals=charging.originals_of(period, lines),
        corrected=corrected_by(period, lines),
    )


def _line(
    number: int,
    line: PayerLine,
    resources: Sequence[charging.ResourceShare],
    original: charging.Original | None,
) -> StatementLine:
    return StatementLine(
        number=number,
        payer_key=line.key,
        kind=line.kind,
        for_month=line.for_period.iso_month,
        fund_org=line.fund_org,
        source_name=line.source.name,
        source_label=line.source.label,
        natural_account=line.natural_account,
        service_name=line.service_name,
        list_cost=line.list_cost,
        contracted_cost=line.contracted_cost,
        charged=line.charged,
        shared_total=line.shared_total,
        charge_count=line.charge_count,
        reference_1=line.reference_1,
        reference_2=line.reference_2,
        original={
            "currency": original.currency,
            "rate": f"{original.rate.normalize():f}",
            "list": plain(original.list_cost),
            "charged": plain(original.charged),
        }
        if original
        else {},
        split=_stored_split(line, resources),
        service_from=min((each.began.date() for each in resources if each.began), default=None),
        # The end is exclusive.
        service_until=max(
            (_last_day(each.began, each.ended) for each in resources if each.began and each.ended), default=None
        ),
        resources=_stored_resources(resources, original.resources if original else {}),
        usage=_stored_usage(resources),
    )


def _last_day(began: datetime.datetime, ended: datetime.datetime) -> datetime.date:
    """Return the last day of a service that ended at a moment, which is no part of it."""
    return max(began, ended - datetime.timedelta(seconds=1)).date()


def _stored_split(line: PayerLine, resources: Sequence[charging.ResourceShare]) -> dict[str, str]:
    """Write which part of a cost that several share a line is, as JSON keeps it; nothing of a cost of its own.

    The whole is rounded as the shares were: once, before it was split.
    """
    percents = {each.percent for each in resources}
    if len(percents) != 1 or (percent := percents.pop()) == HUNDRED:
        return {}
    whole = to_cents(sum((each.whole for each in resources), ZERO), line.currency)
    return {"percent": quantities.plain(percent), "whole": plain(whole)}


def _stored_resources(
    shares: Sequence[charging.ResourceShare], originals: Mapping[tuple[str, str], Decimal]
) -> list[dict[str, Any]]:
    """Write resources as JSON keeps them, the largest first; the small rest of very many is one sum."""
    ordered = sorted(
        shares, key=lambda share: (-abs(share.charged), -abs(share.list_cost), share.name, share.resource_id)
    )
    kept, rest = ordered[:MOST_RESOURCES], ordered[MOST_RESOURCES:]
    stored = [
        {
            "name": share.name,
            "id": share.resource_id,
            "count": share.count,
            **_stored_amounts([share], originals),
            "usage": _stored_usage([share]),
        }
        for share in kept
    ]
    if rest:
        count = sum(share.count for share in rest)
        further = {"name": "", "id": "", "further": len(rest), "count": count, **_stored_amounts(rest, originals)}
        stored.append(further | {"usage": _stored_usage(rest)})
    return stored


def _stored_usage(shares: Sequence[charging.ResourceShare]) -> list[dict[str, str]]:
    """Write what resources used as JSON keeps it: exact, of each unit, with the percent that this payer is charged."""
    return [
        {
            "quantity": quantities.plain(each.quantity),
            "unit": each.unit,
            "percent": quantities.plain(each.percent),
        }
        for each in (
            shares[0].usage
            if len(shares) == 1
            else quantities.added(usage for share in shares for usage in share.usage)
        )
    ]


def usage_of(stored: Sequence[Mapping[str, str]]) -> tuple[Usage, ...]:
    """Read usage back as `_stored_usage` wrote it."""
    return tuple(Usage(Decimal(each["quantity"]), each["unit"], Decimal(each["percent"])) for each in stored)


def _stored_amounts(
    shares: Sequence[charging.ResourceShare], originals: Mapping[tuple[str, str], Decimal]
) -> dict[str, str]:
    """Write what resources come to; `original` is in the currency of their charges, where that is another."""
    total = Figures.total(Figures(share.list_cost, share.contracted_cost, share.charged) for share in shares)
    amounts = {
        "list": plain(total.list_cost),
        "contracted": plain(total.contracted_cost),
        "charged": plain(total.charged),
    }
    if originals:
        original = sum((originals[share.name, share.resource_id] for share in shares), Decimal(0))
        amounts["original"] = plain(original)
    return amounts


def digest_of(content: Mapping[str, object], lines: Sequence[StatementLine], currency: str) -> str:
    """Return the SHA-256 of the figures, payers and texts for which a statement is revised when they change."""
    printed = {
        "content": {key: content[key] for key in IN_DIGEST},
        "currency": currency,
        "lines": [
            [
                line.payer_key,
                line.for_month,
                line.fund_org,
                line.source_name,
                line.natural_account,
                line.service_name,
                plain(line.list_cost),
                plain(line.contracted_cost),
                plain(line.charged),
                line.charge_count,
                [{name: said for name, said in each.items() if name != "usage"} for each in line.resources],
                # Only where there is one, so that statements from before there were shared costs stay as they are.
                *([plain(line.shared_total)] if line.shared_total is not None else []),
                *([line.reference_1, line.reference_2] if line.reference_1 or line.reference_2 else []),
                *([line.original] if line.original else []),
            ]
            for line in lines
        ],
    }
    text = json.dumps(printed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def figures_of(line: StatementLine) -> Figures:
    return Figures(line.list_cost, line.contracted_cost, line.charged)
