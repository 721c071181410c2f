"""PIs, projects and splits of the charges of an act: read once, and created where a person names new ones."""

import datetime
from collections.abc import Iterable
from decimal import Decimal

from .. import attribution, audit
from ..models import Charge, Customer, PayerSplit, PayerSplitShare, Person, Project
from ..texts import folded_code
from .shares import shares_of, shares_text

# The key, on trial, of what a correction would create: it names one of each at most.
UNSAVED = -1


class Owners:
    """Who pays for the charges of an act, and who may instead. What it creates is recorded in the gesture.

    On `trial` it creates nothing: what would be created has a number of its own below 0, and is in no table.
    """

    def __init__(self, charges: Iterable[Charge], gesture: audit.Gesture, *, trial: bool = False) -> None:
        self._trial = trial
        # What was created, as people name it.
        self.created: list[str] = []
        self._gesture = gesture
        self._charges = charges
        self._is_read = False
        self._people: dict[int, Person] = {}
        self._projects: dict[int, Project] = {}
        self._shares: dict[int, dict[str, Decimal]] = {}
        self._project_splits: dict[int, list[PayerSplit]] = {}
        self._splits_by_shares: dict[tuple[tuple[str, Decimal], ...], int] = {}
        self._customers: dict[int, Customer] = {}
        self._people_by_name: dict[str, Person] = {}
        self._projects_by_name: dict[str, Project] = {}

    def _read(self) -> None:
        """Read the PIs, projects and splits of all the charges, once and only if they are asked for."""
        if self._is_read:
            return
        self._is_read = True
        self._people |= Person.objects.in_bulk({charge.pi_id for charge in self._charges if charge.pi_id})
        self._projects |= Project.objects.in_bulk({charge.project_id for charge in self._charges if charge.project_id})
        self._shares |= shares_of(charge.payer_split_id for charge in self._charges if charge.payer_split_id)

    def person(self, pk: int | None) -> Person | None:
        """Return a PI by id."""
        self._read()
        if pk and pk not in self._people:
            self._people[pk] = Person.objects.get(pk=pk)
        return self._people[pk] if pk else None

    def project(self, pk: int | None) -> Project | None:
        """Return a project by id."""
        self._read()
        if pk and pk not in self._projects:
            self._projects[pk] = Project.objects.get(pk=pk)
        return self._projects[pk] if pk else None

    def customer_of(self, pi: int | None, project: int | None) -> Customer | None:
        """Return the customer who pays by invoice for the charges of a PI and project (their ids)."""
        person, piece = self.person(pi), self.project(project)
        pk = (piece.customer_id if piece else None) or (person.customer_id if person else None)
        if pk and pk not in self._customers:
            self._customers[pk] = Customer.objects.get(pk=pk)
        return self._customers[pk] if pk else None

    def shares_of(self, pk: int | None) -> dict[str, Decimal]:
        """Return the shares of a split by id, none for no split."""
        self._read()
        if pk and pk not in self._shares:
            self._shares |= shares_of([pk])
        return self._shares.get(pk, {}) if pk else {}

    def person_named(self, email: str) -> Person:
        """Return the PI of an address, created if there is none."""
        if email not in self._people_by_name:
            found = Person.objects.owning(email)
            is_known = found is not None
            if self._trial:
                person = self._people_by_name[email] = found or Person(pk=UNSAVED, email=email)
                self._people[person.pk] = person
                self.created += [] if is_known else [f"PI {email}"]
                return person
            person = self._people_by_name[email] = attribution.person_for(email)
            self._people[person.pk] = person
            if not is_known:
                self._gesture.record("person.added", person, after={"email": person.email})
                self.created.append(f"PI {person.email}")
        return self._people_by_name[email]

    def project_named(self, code: str, pi: Person | None) -> Project:
        """Return the project of a code, created if there is none."""
        folded = folded_code(code)
        if folded not in self._projects_by_name:
            known = Project.objects.coded(code).first()
            is_known = known is not None
            if self._trial:
                project = self._projects_by_name[folded] = known or Project(pk=UNSAVED, code=code, pi=pi)
                self._projects[project.pk] = project
                self.created += [] if is_known else [f"Project {code}"]
                return project
            project = self._projects_by_name[folded] = attribution.project_for(code, pi)
            self._projects[project.pk] = project
            if not is_known:
                self._gesture.record("project.added", project, after={"code": project.code, "pi": pi and pi.email})
                self.created.append(f"Project {project.code}")
        return self._projects_by_name[folded]

    def split_on(self, project: Project, day: datetime.date) -> int | None:
        """Return the split a project has on a day; of several, the one that begins last."""
        if project.pk not in self._project_splits:
            self._project_splits[project.pk] = PayerSplit.objects.filter(project=project).of_projects()
            self._shares |= shares_of(split.pk for split in self._project_splits[project.pk])
        split = PayerSplit.holding_on(day, self._project_splits[project.pk])
        return split.pk if split else None

    def is_of_project(self, split_id: int) -> bool:
        """Tell whether a split is a project's own."""
        return PayerSplit.objects.filter(pk=split_id, project__isnull=False).exists()

    def split_of(self, shares: tuple[tuple[str, Decimal], ...]) -> int:
        """Return the split with exactly these shares that belongs to no project, made if there is none."""
        if shares not in self._splits_by_shares:
            fund_org, percent = shares[0]
            alike = PayerSplit.objects.filter(
                project__isnull=True,
                valid_from__isnull=True,
                valid_until__isnull=True,
                shares__fund_org=fund_org,
                shares__percent=percent,
            ).order_by("pk")
            known = shares_of(alike.values_list("pk", flat=True))
            same = next((pk for pk, found in sorted(known.items()) if found == dict(shares)), None)
            if same is None and self._trial:
                same = UNSAVED
            if same is None:
                made = PayerSplit.objects.create(note="Made in a review")
                PayerSplitShare.objects.bulk_create(
                    PayerSplitShare(split=made, fund_org=fund_org, percent=percent) for fund_org, percent in shares
                )
                same = made.pk
                self._gesture.record("payer_split.added", made, after={"shares": shares_text(dict(shares))})
            self._splits_by_shares[shares] = same
            self._shares[same] = dict(shares)
        return self._splits_by_shares[shares]
