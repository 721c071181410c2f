"""The sample institution: its people and accounting, and two months run as staff would run them."""

import datetime
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group

from billing import audit, questions, review
from billing.audit import Actor, Gesture
from billing.background import jobs
from billing.errors import BillingError
from billing.files import documents
from billing.importing import ingest
from billing.models import (
    BillingPeriod,
    Charge,
    Customer,
    Department,
    FundingSource,
    Import,
    Job,
    Membership,
    PayerSplit,
    PayerSplitShare,
    Person,
    PersonAlias,
    Policy,
    Project,
    Question,
    Source,
    User,
    saying,
)
from billing.models.periods import parse_month
from billing.months import closing
from billing.progress import Progress, unwatched
from billing.setup import sourcing
from journals import posting
from journals.models import Journal, ReceivablesExport
from journals.receivables import exporting as receivables
from openchargeback import demo_usage
from openchargeback.reference import REFERENCE, read_data
from openchargeback.roles import STAFF_ROLES
from statements import emails, issuing
from statements.models import Statement
from statements.questions.lines import subject_of

SAMPLE = Path(settings.BASE_DIR) / "fixtures" / "sample"


class NotForTheDemo(BillingError):
    """The installation holds data of its own: the sample is not mixed into it."""


@dataclass(frozen=True)
class Month:
    """What became of one sample month."""

    period: str
    status: str
    charges: int
    currency: str
    billed: Decimal
    held: int
    decided: int
    statements: int
    due: Decimal
    sent: int
    journal: str
    journal_state: str
    debits: Decimal
    credits: Decimal
    journal_file: str
    receivables: str
    receivables_state: str
    invoiced: Decimal


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in, with the password that was just set."""

    username: str
    role: str
    password: str
    is_new: bool


@dataclass(frozen=True)
class Shown:
    """The sample institution as it stands."""

    institution: str
    months: tuple[Month, ...]
    accounts: tuple[Account, ...]


def run(*, actor: Actor, now: datetime.datetime, progress: Progress = unwatched, folder: Path = SAMPLE) -> Shown:
    """Set up the sample institution and run its months; what was done before stays as it is.

    The first month is reviewed, closed, its statements sent and its journal submitted. The second is
    open, with charges held for review and a journal in draft. Each account gets a new password.

    Raises NotForTheDemo where the installation is somebody's own.
    """
    data = read_data(folder / "institution.json")
    require_sample_only(data)
    set_up(data, actor=actor, now=now)
    demo_usage.set_up(data, folder=folder, actor=actor, now=now)
    *earlier, last = data["months"]
    months = [
        run_month(month, data, folder=folder, finish=month in earlier, actor=actor, now=now, progress=progress)
        for month in (*earlier, last)
    ]
    accounts = make_accounts(data["users"], actor=actor, now=now)
    for what in data["questions"]:
        ask(what, via=actor.via, now=now)
    return Shown(data["policy"]["institution"], tuple(months), accounts)


def require_sample_only(data: Mapping[str, Any]) -> None:
    """Raise NotForTheDemo unless the installation is fresh or holds the sample already."""
    ours = data["policy"]["institution"]
    fresh = read_data(REFERENCE)["policy"]["institution"]
    institution = Policy.objects.current().institution
    if institution == ours or (institution == fresh and not Import.objects.exists() and not User.objects.exists()):
        return
    raise NotForTheDemo(
        f"This installation belongs to “{institution}” and holds data of its own. "
        "The demo has an installation of its own, in the folder `demo` of VAR_DIR: run it as `manage.py demo`."
    )


def set_up(data: Mapping[str, Any], *, actor: Actor, now: datetime.datetime) -> None:
    """Add the sample's policy, accounting, departments, people, projects, funds and splits where they are missing."""
    with audit.gesture(actor=actor, now=now) as gesture:
        if Policy.objects.current().institution != data["policy"]["institution"]:
            policy = Policy(**data["policy"], created_by=actor.user)
            policy.full_clean()
            policy.save()
            gesture.record("policy.changed", policy, after=data["policy"])
        departments = _add_departments(data, gesture)
        people = _add_people(data, departments, demo_usage.add_customers(data, gesture), gesture)
        projects = _add_projects(data, departments, people, gesture)
        _add_funds(data, projects, gesture)
        _add_splits(data, projects, gesture)
        for name, fields in data["sources"].items():
            source = Source.objects.named(name)
            # What is set stays: accounting that somebody tried out in the demo is theirs.
            missing = {field: value for field, value in fields.items() if not getattr(source, field)}
            if "default_pi" in missing:
                missing["default_pi"] = people[missing["default_pi"]]
            if "default_project" in missing:
                missing["default_project"] = projects[missing["default_project"]]
            if missing:
                sourcing.change(source=source, fields=missing, actor=actor, now=now)


def _add_departments(data: Mapping[str, Any], gesture: Gesture) -> dict[str, Department]:
    """Return the sample's departments by code; one within another comes after it."""
    departments = {}
    for fields in data["departments"]:
        code = fields["code"]
        if known := Department.objects.coded(code).first():
            departments[code] = known
        else:
            parent = departments[fields["parent"]] if "parent" in fields else None
            departments[code] = Department.objects.create(**fields | {"parent": parent})
            gesture.record("department.added", departments[code], after=fields)
    return departments


def _add_people(
    data: Mapping[str, Any], departments: Mapping[str, Department], customers: Mapping[str, Customer], gesture: Gesture
) -> dict[str, Person]:
    """Return the sample's people by e-mail address, with their aliases; those of a customer have no department."""
    people = {}
    for fields in data["people"]:
        owners: tuple[tuple[str, Mapping[str, Any]], ...] = (("department", departments), ("customer", customers))
        stored = fields | {name: known[fields[name]] for name, known in owners if name in fields}
        people[fields["email"]], is_new = Person.objects.get_or_create(email=fields["email"], defaults=stored)
        if is_new:
            gesture.record("person.added", people[fields["email"]], after=fields)
    for email, owner in data["aliases"].items():
        PersonAlias.objects.get_or_create(email=email, defaults={"person": people[owner]})
    return people


def _add_projects(
    data: Mapping[str, Any], departments: Mapping[str, Department], people: Mapping[str, Person], gesture: Gesture
) -> dict[str, Project]:
    """Return the sample's projects by code."""
    projects = {}
    for fields in data["projects"]:
        code = fields["code"]
        if known := Project.objects.coded(code).first():
            projects[code] = known
        else:
            # Most are of their PI's department.
            own = departments[fields["department"]] if "department" in fields else None
            projects[code] = Project.objects.create(**fields | {"pi": people[fields["pi"]], "department": own})
            gesture.record("project.added", projects[code], after=fields)
    return projects


def _add_funds(data: Mapping[str, Any], projects: Mapping[str, Project], gesture: Gesture) -> None:
    for fields in data["funds"]:
        own = {name: value for name, value in fields.items() if name not in ("fund_org", "projects")}
        fund, is_new = FundingSource.objects.get_or_create(fund_org=fields["fund_org"], defaults=own)
        if is_new:
            fund.projects.set(projects[code] for code in fields["projects"])
            gesture.record("funding_source.added", fund, after=fields)


def _add_splits(data: Mapping[str, Any], projects: Mapping[str, Project], gesture: Gesture) -> None:
    for fields in data["splits"]:
        project, first = projects[fields["project"]], fields["valid_from"]
        if not PayerSplit.objects.filter(project=project, valid_from=first).exists():
            split = PayerSplit.objects.create(project=project, valid_from=first, note=fields["note"])
            PayerSplitShare.objects.bulk_create(
                PayerSplitShare(split=split, fund_org=fund_org, percent=Decimal(percent))
                for fund_org, percent in fields["shares"].items()
            )
            gesture.record("payer_split.added", split, after=fields)


def run_month(
    month: str,
    data: Mapping[str, Any],
    *,
    folder: Path,
    finish: bool,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Month:
    """Import, price, review, issue, journal and invoice a month; with `finish`, close it, send and submit as well."""
    period = closing.ensure_period(month=parse_month(month), actor=actor, now=now)
    decided = 0
    if period.takes_changes:
        for path in sorted(folder.glob(f"*_{month}.csv")):
            ingest(paths=[path], names=None, source=None, period="", actor=actor, now=now, progress=progress)
        demo_usage.bring_in(data, month, folder=folder, actor=actor, now=now, progress=progress)
        reviews = [what for what in data["reviews"] if what["period"] == month]
        decided = sum(decide(period, what, actor=actor, now=now) for what in reviews)
        if finish:
            closing.close(period=period, actor=actor, now=now)
            period.refresh_from_db()
    sent = 0
    if period.status == BillingPeriod.Status.FINALIZED:
        due, count = _due(period), period.statements.live().count()
    else:
        generated = issuing.generate(period=period, actor=actor, now=now, progress=progress)
        due, count = generated.figures.charged, len(generated.statements)
        if finish:
            sent = len(emails.send(period=period, actor=actor, now=now, progress=progress).messages)
    journal = journal_of(period, submit=finish, actor=actor, now=now)
    invoiced = invoices_of(period, submit=finish, actor=actor, now=now)
    charges = Charge.objects.in_month(period)
    return Month(
        period=month,
        status=period.get_status_display().lower(),
        charges=charges.count(),
        currency=Policy.objects.current().currency,
        billed=sum((charge for charge in charges.values_list("billed_cost", flat=True)), Decimal(0)),
        held=charges.held().count(),
        decided=decided,
        statements=count,
        due=due,
        sent=sent,
        journal=journal.number if journal else "",
        journal_state=journal.get_state_display().lower() if journal else "",
        debits=journal.debits if journal else Decimal(0),
        credits=journal.credits if journal else Decimal(0),
        journal_file=str(documents.place(journal.file_path)) if journal else "",
        receivables=invoiced.number if invoiced else "",
        receivables_state=invoiced.get_state_display().lower() if invoiced else "",
        invoiced=invoiced.total if invoiced else Decimal(0),
    )


def decide(period: BillingPeriod, what: Mapping[str, str], *, actor: Actor, now: datetime.datetime) -> int:
    """Carry out one of the sample's decisions on the charges that still wait for it; return how many."""
    held = Charge.objects.in_month(period).held().filter(source__name=what["source"])
    ids = list(held.filter(saying(resource_id=what["resource"])).values_list("id", flat=True))
    if not ids:
        return 0
    note = what["note"]
    match what["verb"]:
        case "approve":
            decided = review.approve(charges=ids, note=note, actor=actor, now=now)
        case "reject":
            decided = review.reject(
                charges=ids,
                reason=what["reason"],
                note=note,
                provider_credits=what.get("provider_credits") == "yes",
                actor=actor,
                now=now,
            )
        case "charge_to_center":
            decided = review.charge_to_center(charges=ids, note=note, actor=actor, now=now)
        case _:
            reassignment = review.Reassignment(
                pi=what.get("pi", ""), project=what.get("project", ""), fund_org=what.get("fund_org", "")
            )
            decided = review.reattribute(
                charges=ids, reassignment=reassignment, approve=True, note=note, actor=actor, now=now
            )
    return decided.count


def journal_of(period: BillingPeriod, *, submit: bool, actor: Actor, now: datetime.datetime) -> Journal | None:
    """Return the period's journal: the one in the ledger's hands, else one exported now."""
    live = Journal.objects.live().filter(period=period).order_by("-id").first()
    if live and submit:
        return live
    return posting.export(period=period, format="gl", submit=submit, actor=actor, now=now).journal or live


def invoices_of(
    period: BillingPeriod, *, submit: bool, actor: Actor, now: datetime.datetime
) -> ReceivablesExport | None:
    """Return the period's invoices to customers: those submitted already, else those drafted now."""
    live = ReceivablesExport.objects.filter(period=period, state=ReceivablesExport.State.SUBMITTED).last()
    if live and submit:
        return live
    return receivables.export(period=period, submit=submit, actor=actor, now=now).export or live


def make_accounts(users: list[dict[str, str]], *, actor: Actor, now: datetime.datetime) -> tuple[Account, ...]:
    """Make one user per role, or keep them, each with a new random password."""
    accounts = []
    with audit.gesture(actor=actor, now=now) as gesture:
        for fields in users:
            role = fields["role"]
            first_name, _, last_name = fields["name"].partition(" ")
            user, is_new = User.objects.get_or_create(
                username=fields["username"],
                defaults={
                    "first_name": first_name,
                    "last_name": last_name,
                    "email": fields.get("pi") or f"{fields['username']}@larkspur.example",
                    "is_staff": role in STAFF_ROLES,
                },
            )
            password = secrets.token_urlsafe(12)
            user.set_password(password)
            user.save(update_fields=["password"])
            user.groups.add(Group.objects.get(name=role))
            if pi := fields.get("pi"):
                Person.objects.filter(email=pi, user=None).update(user=user)
            if pi := fields.get("delegate_of"):
                Membership.objects.get_or_create(
                    user=user,
                    person=Person.objects.get(email=pi),
                    defaults={"valid_from": datetime.date(2025, 7, 1), "receives_statements": True},
                )
            gesture.record("user.added" if is_new else "user.password_reset", user, after={"role": role})
            accounts.append(Account(user.username, role, password, is_new))
    return tuple(accounts)


def ask(what: Mapping[str, str], *, via: str, now: datetime.datetime) -> None:
    """Ask the sample's question about a line of a statement, once, and mail it to staff."""
    month, user = parse_month(what["period"]), User.objects.get(username=what["asked_by"])
    if Question.objects.filter(period__month=month, asked_by=user).exists():
        return
    statement = Statement.objects.live().get(period__month=month, project__code=what["project"])
    line = statement.lines.get(service_name=what["service"])
    asked = questions.ask(
        subject=subject_of(statement, line.number),
        reason=what["reason"],
        text=what["text"],
        actor=Actor.from_user(user, via=via),
        now=now,
    )
    for job in Job.objects.filter(kind=Job.Kind.TELL, subject=f"message-{asked.messages.get().pk}"):
        jobs.run(job.pk)


def _due(period: BillingPeriod) -> Decimal:
    return sum((statement.charged for statement in period.statements.live()), Decimal(0))
