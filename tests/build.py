"""Plain builders: `a_charge()`, `a_period()`. Each makes what it needs and takes what matters."""

import datetime
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group
from django.db import connection

from billing import api_tokens, charging, corrections, safeguards
from billing.audit import Actor
from billing.models import (
    DIMENSION_MODELS,
    PATHS,
    Allocation,
    ApiToken,
    BillingPeriod,
    Charge,
    Correction,
    Customer,
    Department,
    Disposal,
    Flag,
    FundingSource,
    Import,
    ImportOverlap,
    ImportTotal,
    LegalHold,
    Membership,
    PayerLine,
    PayerSplit,
    PayerSplitShare,
    Person,
    Policy,
    Project,
    Source,
    UsageSubsidy,
    User,
)
from billing.models.periods import parse_month
from billing.setup import holds
from openchargeback.roles import STAFF_ROLES, sync_roles

NOW = datetime.datetime(2025, 2, 3, 9, 30, tzinfo=datetime.UTC)
SOMEBODY = Actor(name="somebody", via="test")

_numbers = itertools.count(1)


@dataclass
class Cast:
    """The people of every story, each with the password `open sesame`."""

    pi: User
    delegate: User
    stranger: User
    viewer: User
    reviewer: User
    finance: User
    admin: User

    @property
    def staff(self) -> dict[str, User]:
        return {name: getattr(self, name) for name in ("viewer", "reviewer", "finance", "admin")}

    @property
    def everybody(self) -> dict[str, User]:
        return {"pi": self.pi, "delegate": self.delegate, "stranger": self.stranger, **self.staff}


def a_user(name: str, role: str = "") -> User:
    user = User.objects.create_user(name, f"{name}@u.edu", "open sesame", is_staff=role in STAFF_ROLES)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def the_cast() -> Cast:
    """Make the PI (ada@u.edu), her delegate, a stranger who is a PI too, and the staff."""
    sync_roles(actor=SOMEBODY, now=NOW)
    cast = Cast(
        pi=a_user("ada", "pi"),
        delegate=a_user("grace", "delegate"),
        stranger=a_user("mallory", "pi"),
        viewer=a_user("vera", "viewer"),
        reviewer=a_user("rex", "reviewer"),
        finance=a_user("fay", "finance"),
        admin=a_user("root", "admin"),
    )
    ada = a_pi("ada@u.edu", name="Ada Lovelace", user=cast.pi)
    a_pi("mallory@u.edu", name="Mallory", user=cast.stranger)
    Membership.objects.create(person=ada, user=cast.delegate, valid_from=datetime.date(2024, 1, 1))
    return cast


def a_token(owner: User, name: str = "notebook", *, days: int = 90, now: datetime.datetime = NOW) -> str:
    """Make a portal token, and return its secret."""
    token = ApiToken(owner=owner, name=name, valid_until=now.date() + datetime.timedelta(days=days))
    return api_tokens.make(token=token, actor=Actor.from_user(owner), now=now)


def a_service_token(
    owner: User, scope: api_tokens.Scope, name: str = "service", *, now: datetime.datetime = NOW
) -> str:
    token = ApiToken(owner=owner, name=name, valid_until=now.date() + datetime.timedelta(days=90))
    return api_tokens.make_for_service(token=token, scope=scope, actor=Actor.from_user(owner), now=now)


def a_policy(**fields: Any) -> Policy:
    return Policy.objects.create(**{"institution": "Example University", **fields})


def a_period(month: str = "2025-01", **fields: Any) -> BillingPeriod:
    period, _ = BillingPeriod.objects.get_or_create(month=parse_month(month), defaults={"opened_at": NOW, **fields})
    return period


def shut(month: str = "2025-01", status: str = "closed") -> BillingPeriod:
    """Shut a month as it is, without what its close asks for."""
    period = a_period(month)
    period.status, period.closed_at = status, NOW
    period.finalized_at = NOW if status == "finalized" else None
    period.save()
    return period


@contextmanager
def safeguards_down() -> Iterator[None]:
    """Take the database's safeguards off for a block, as somebody with the password of the database could."""
    safeguards.remove(connection)
    try:
        yield
    finally:
        safeguards.install(connection)


def a_source(name: str = "aws", **fields: Any) -> Source:
    """Make a source with accounting, so that journals of it can be submitted."""
    defaults: dict[str, Any] = {
        "display_name": name.upper(),
        "file_name_patterns": name,
        "import_mode": Source.ImportMode.SNAPSHOT,
        "debit_account": "6500",
        "recovery_fund_org": f"RC-{name.upper()}",
        "recovery_account": "4900",
    }
    source, _ = Source.objects.get_or_create(name=name, defaults=defaults | fields)
    return source


def a_department(code: str = "BIO", **fields: Any) -> Department:
    found = Department.objects.coded(code).first()
    return found or Department.objects.create(code=code, **fields)


def a_customer(number: str = "C-100", **fields: Any) -> Customer:
    """Make a customer who pays by invoice."""
    defaults: dict[str, Any] = {
        "name": "Acme Corp",
        "address": "1 Road\nSpringfield",
        "email": "ap@acme.example",
        "is_taxed": True,
        "tax_code": "T1",
        "terms": "Net 30",
    }
    return Customer.objects.numbered(number).first() or Customer.objects.create(number=number, **defaults | fields)


def a_pi(email: str = "ada@u.edu", **fields: Any) -> Person:
    person, _ = Person.objects.get_or_create(email=email, defaults=fields)
    return person


def a_project(code: str = "genomics", **fields: Any) -> Project:
    project, _ = Project.objects.get_or_create(code=code, defaults=fields)
    return project


def a_fund(fund_org: str = "BIO-001", **fields: Any) -> FundingSource:
    fund, _ = FundingSource.objects.get_or_create(fund_org=fund_org, defaults=fields)
    return fund


def a_hold(reason: str = "Case 12", **subject: Any) -> LegalHold:
    """Place a legal hold on a `pi`, `project`, `fund` or `period`."""
    return holds.place(hold=LegalHold(reason=reason, **subject), actor=SOMEBODY, now=NOW)


def a_disposal(certificate: str = "CERTIFICATE OF DISPOSAL") -> Disposal:
    """Make the record of a disposal of nothing."""
    sha256 = hashlib.sha256(certificate.encode()).hexdigest()
    return Disposal.objects.create(
        before=2020,
        first_kept=datetime.date(2019, 7, 1),
        years=7,
        decided_at=NOW,
        decided_by_name="somebody",
        completed_at=NOW,
        certificate=certificate,
        sha256=sha256,
    )


def a_split(shares: dict[str, str], **fields: Any) -> PayerSplit:
    """Make a split from fund/org to percent, such as `{"A": "60", "B": "40"}`."""
    split = PayerSplit.objects.create(**fields)
    for fund_org, percent in shares.items():
        PayerSplitShare.objects.create(split=split, fund_org=fund_org, percent=Decimal(percent))
    return split


def a_term(model: type[Any]) -> Any:
    """Make a member of a rate class, a subsidy or an allocation of usage."""
    given = {"valid_from": datetime.date(2025, 1, 1), "reason": "as decided"}
    if model is UsageSubsidy:
        return model.objects.create(code="provost", name="Provost", percent=Decimal(50), **given)
    if model is Allocation:
        return model.objects.create(code="startup", amount=Decimal(100), unit="core-hour", pi=a_pi(), **given)
    return model.objects.create(rate_class="external", pi=a_pi(), **given)


def an_import(source: Source | None = None, **fields: Any) -> Import:
    defaults: dict[str, Any] = {
        "state": Import.State.APPLIED,
        "name": "some.csv",
        "mode": Source.ImportMode.SNAPSHOT,
        "created_at": NOW,
        "applied_at": NOW,
    }
    return Import.objects.create(source=source or a_source(), **(defaults | fields))


def a_correction(charge: Charge, **options: Any) -> Correction:
    """Refund what a charge was charged, or some of it, in the month after, which is opened; or as `options` say."""
    charging.make_payer_lines(period=charge.charged_in, actor=SOMEBODY, now=NOW)
    line = PayerLine.objects.get(
        period=charge.charged_in, pi=charge.pi, project=charge.project, source=charge.source, fund_org=charge.fund_org
    )
    given: dict[str, Any] = {
        "lines": [line],
        "charged_in": a_period(f"{charge.charged_in.next_month:%Y-%m}"),
        "reason": "Two days without service",
        "actor": SOMEBODY,
        "now": NOW,
    }
    return corrections.add_refund(**given | options).correction


def a_charge(
    billed: str = "100.00",
    *,
    pi: str | None = "ada@u.edu",
    project: str | None = "genomics",
    period: str = "2025-01",
    source: str = "aws",
    flags: tuple[str, ...] = (),
    **fields: Any,
) -> Charge:
    """Make a charge of one import of its own: clear, or held where it has flags."""
    month = a_period(period)
    number = next(_numbers)
    of = a_source(source)
    start = datetime.datetime.combine(month.month, datetime.time(), datetime.UTC)
    defaults: dict[str, Any] = {
        "source": of,
        "imported_in": an_import(of),
        "line_number": number,
        "content_hash": number.to_bytes(16, "big"),
        "identity_hash": number.to_bytes(16, "big"),
        "period": month,
        "charged_in": month,
        "charge_period_start": start,
        "charge_period_end": start + datetime.timedelta(days=1),
        "currency": "USD",
        "billed_cost": Decimal(billed),
        "effective_cost": Decimal(billed),
        "list_cost": Decimal(billed),
        "contracted_cost": Decimal(billed),
        "charge_category": "Usage",
        "service_name": "Compute",
        "resource_id": f"i-{number}",
        "pi": a_pi(pi) if pi else None,
        "project": a_project(project) if project else None,
        "fund_org": "BIO-001",
        "attributed_by": Charge.AttributedBy.TAG,
        "state": Charge.State.HELD if flags else Charge.State.CLEAR,
    }
    charge = Charge.objects.create(**in_dimensions(defaults | fields))
    _told(charge)
    for code in flags:
        Flag.objects.create(charge=charge, code=code)
    return charge


def in_dimensions(fields: dict[str, Any]) -> dict[str, Any]:
    """Put the texts among the fields of a charge into its dimensions, which are made where they are not there."""
    said = {name: fields[name] for name in PATHS if name in fields}
    kept = {name: value for name, value in fields.items() if name not in said}
    return {model.NAME: model.of(said) for model in DIMENSION_MODELS} | kept


def resaid(charges: Iterable[Charge], **texts: str) -> None:
    """Have stored charges say other texts, as if their file had: they link to other dimensions then."""
    for charge in charges:
        said = {name: getattr(charge, name) for name in PATHS} | texts
        Charge.objects.filter(pk=charge.pk).update(**{model.NAME: model.of(said) for model in DIMENSION_MODELS})


def _told(charge: Charge) -> None:
    """Have the control totals of the charge's import say what its file would have said."""
    effective = charge.effective_cost or Decimal(0)
    imported = charge.imported_in
    if charge.is_late and imported.booked_in_id is None:
        Import.objects.filter(pk=imported.pk).update(booked_in=charge.charged_in)
    displaced = (imported, -1) if charge.reverses_id else (charge.withdrawn_in, 1)
    if displaced[0]:
        of = {"imported_in": displaced[0], "period": charge.period, "borne_by": charge.charged_in}
        overlap, _ = ImportOverlap.objects.get_or_create(
            **of,
            kind=ImportOverlap.Kind.DISPLACED,
            currency=charge.currency,
            defaults={"rows": 0, "billed": Decimal(0), "effective": Decimal(0)},
        )
        overlap.rows += charge.row_count
        overlap.billed += displaced[1] * charge.billed_cost
        overlap.effective += displaced[1] * effective
        overlap.save()
    if charge.reverses_id:
        return
    amounts = {
        "billed": charge.billed_cost,
        "effective": effective,
        "list": charge.list_cost or Decimal(0),
        "contracted": charge.contracted_cost or Decimal(0),
    }
    total, _ = ImportTotal.objects.get_or_create(
        imported_in=imported,
        period=charge.period,
        billing_account_id=charge.billing_account_id,
        currency=charge.currency,
        defaults={"rows": 0}
        | {f"{name}_exact": "0" for name in amounts}
        | {f"{name}_stored": Decimal(0) for name in amounts},
    )
    total.rows += charge.row_count
    for name, amount in amounts.items():
        stored = getattr(total, f"{name}_stored") + Decimal(amount)
        setattr(total, f"{name}_stored", stored)
        setattr(total, f"{name}_exact", format(stored, "f"))
    total.save()
