"""Who gets which statements by e-mail: the PI, the department contact, delegates; as things are on the day."""

import datetime
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch
from django.db.models.functions import Lower

from billing.addresses import normalized_email
from billing.attribution import newcomers
from billing.audit import Actor
from billing.models import BillingPeriod, Membership, Person

from ..models import Email, Statement
from . import small
from .planned import Planned

# Values in one query: below what any build of SQLite takes.
BATCH = 500

UNCONFIRMED = "Waiting for confirmation: nobody has confirmed this PI yet."
UNATTENDED = "Waiting for a person: an unattended run sends no first e-mail outside the institution's own domains."

Role = Email.Role
State = Email.State
ORDER = {Role.PI: 0, Role.CONTACT: 1, Role.DELEGATE: 2}


@dataclass(frozen=True)
class Addressed:
    """Where an e-mail goes today and with which of its statements; or why nobody gets it any more."""

    recipient: str
    statements: tuple[Statement, ...] = ()
    left_out: str = ""
    # Whether they may see all that the PI is charged.
    sees_all: bool = True


Delegates = dict[int, list[Membership]]
# Says of statements (ids) that would go which of them are not current.
Outdated = Callable[[set[int]], Collection[int]]


def plan(
    period: BillingPeriod,
    *,
    chosen: Collection[str] | None = None,
    only: Collection[int] | None = None,
    outdated: Collection[int] | Outdated = (),
    states: Collection[str] = Email.TO_SEND,
    locks: bool = False,
    actor: Actor,
    on: datetime.date,
) -> list[Planned]:
    """Return the e-mails a run would send now, those that wait, and those that nobody gets any more. Writes nothing.

    E-mails in `states` are tried again, with those of their statements that are in force; statements that are
    issued and in no e-mail to a recipient are in a new one. The `outdated` (ids) are in none; they may be asked for,
    once it is known which statements would go. Nobody gets a statement twice at one address.

    Of `chosen` statements (numbers) only these are in new e-mails, and only e-mails that bring one of them are tried
    again; those go whole, for what is taken out of one might never reach its recipient. With `only` these e-mails (ids)
    are tried again, and no other. One that was refused permanently is tried again at another address, or if it is
    chosen. With `locks` nobody else claims the e-mails for the rest of the transaction.
    """
    known = _stored(period, {*states, State.REFUSED}, only=only, locks=locks)
    if chosen is not None:
        known = [each for each in known if any(one.number in chosen for one in each.statements.all())]
    fresh = [
        each
        for each in Statement.objects.filter(period=period, state__in=_to_send(chosen))
        .select_related("pi", "project", "period")
        .order_by("pi__email", "number")
        if only is None and (chosen is None or each.number in chosen)
    ]
    pis = {each.pi_id: each.pi for each in known} | {each.pi_id: each.pi for each in fresh}
    delegates = delegates_of(list(pis.values()), on)
    links = _links(period, chosen)
    taken = {(each.statement, each.role, each.user) for each in links}

    def but(stale: Collection[int]) -> list[tuple[Email, Addressed]]:
        """Return all that might go, but for statements that are not current."""
        current = [each for each in fresh if each.pk not in stale]
        again = _again(known, stale, delegates, takes_refused=chosen is not None)
        return [*again, *_new(period, current, delegates, taken)]

    if callable(outdated):
        candidates = but(())
        going = {one.pk for _, each in candidates if not each.left_out for one in each.statements}
        if stale := outdated(going):
            candidates = but(stale)
    else:
        candidates = but(outdated)
    candidates.sort(key=lambda each: (each[0].pi.email, ORDER[Role(each[0].role)], each[0].pk or 0))
    planned = decided(candidates, actor, _got(links, states))
    # What somebody chose goes, however small.
    return planned if chosen is not None else small.left_out(planned)


def _to_send(chosen: Collection[str] | None) -> tuple[str, ...]:
    """Return the states of statements that new e-mails may bring."""
    return (Statement.State.ISSUED,) if chosen is None else (Statement.State.ISSUED, Statement.State.PORTAL)


def _again(
    known: Iterable[Email], outdated: Collection[int], delegates: Delegates, *, takes_refused: bool
) -> Iterator[tuple[Email, Addressed]]:
    """Yield the e-mails that are tried again, with those of their statements that are in force and current."""
    for email in known:
        in_force = list(email.statements.all())
        current = [each for each in in_force if each.pk not in outdated]
        if in_force and not current:
            # It waits for the run that makes them current, and that replaces them.
            continue
        addressed = addressed_to(email, current, delegates)
        is_same = normalized_email(addressed.recipient) == normalized_email(email.recipient)
        if email.state == State.REFUSED and is_same and not (addressed.left_out or takes_refused):
            continue
        if addressed.left_out and email.state in (State.WRITTEN, State.REDIRECTED):
            continue
        yield email, addressed


def addressed_to(email: Email, statements: Sequence[Statement], delegates: Delegates) -> Addressed:
    """Return where an e-mail goes by what is known today; `statements` are those of it that are in force."""
    kept = email.recipient
    if not statements:
        return Addressed(kept, left_out="Its statements were replaced or voided.")
    if email.role == Role.PI:
        return Addressed(email.pi.email, tuple(statements))
    if email.role == Role.CONTACT:
        if not email.pi.contact_email:
            return Addressed(kept, left_out=f"{email.pi.display_name} has no department contact any more.")
        return Addressed(email.pi.contact_email, tuple(statements))
    own = [each for each in delegates.get(email.pi_id, ()) if _is_theirs(each, email)]
    if not own:
        return Addressed(kept, left_out=f"{kept} is no longer a delegate who gets statements of {email.pi.email}.")
    seen = _seen_by(own, statements)
    if not seen:
        return Addressed(kept, left_out=f"{kept} is no longer a delegate of the projects of this e-mail.")
    sees_all = any(each.project_id is None for each in own)
    return Addressed(own[0].user.email, tuple(seen), sees_all=sees_all)


def delegates_of(pis: Collection[Person], on: datetime.date) -> Delegates:
    """Return, by the PI's id, the delegations of those who get statements on a day."""
    found: Delegates = defaultdict(list)
    ids = [pi.pk for pi in pis]
    for start in range(0, len(ids), BATCH):
        memberships = (
            Membership.objects.in_force(on)
            .filter(person__in=ids[start : start + BATCH], receives_statements=True, user__is_active=True)
            .exclude(user__email="")
            .select_related("user")
            .order_by("user__email", "pk")
        )
        for membership in memberships:
            found[membership.person_id].append(membership)
    return found


def _is_theirs(membership: Membership, email: Email) -> bool:
    if email.user_id is None:
        return normalized_email(membership.user.email) == normalized_email(email.recipient)
    return membership.user_id == email.user_id


def _seen_by(delegations: Iterable[Membership], statements: Sequence[Statement]) -> list[Statement]:
    projects = {each.project_id for each in delegations}
    return [each for each in statements if None in projects or each.project_id in projects]


def _stored(
    period: BillingPeriod, states: Collection[str], *, only: Collection[int] | None, locks: bool
) -> list[Email]:
    in_force = Statement.objects.live().select_related("pi", "project", "period").order_by("number")
    found = Email.objects.filter(period=period, state__in=states)
    if only is not None:
        found = found.filter(pk__in=only)
    if locks:
        found = found.select_for_update(no_key=True, of=("self",)).order_by("pk")
    return list(
        found.select_related("pi", "period", "user").prefetch_related(Prefetch("statements", queryset=in_force))
    )


@dataclass(frozen=True)
class _Link:
    """A statement in an e-mail that is stored."""

    statement: int
    address: str
    role: str
    user: int | None
    state: str


def _links(period: BillingPeriod, chosen: Collection[str] | None) -> list[_Link]:
    """Return which statements of a month are in which e-mails, but for those that were left out.

    What was left out as too small is left out once, until somebody chooses it.
    """
    rows = Email.statements.through.objects.filter(email__period=period)
    dropped = {"email__state": State.DROPPED} | ({"email__is_small": False} if chosen is None else {})
    rows = rows.exclude(**dropped)
    columns = ("statement_id", "email__recipient", "email__role", "email__user_id", "email__state")
    return [
        _Link(statement, normalized_email(address), role, user, state)
        for statement, address, role, user, state in rows.values_list(*columns)
    ]


def _new(
    period: BillingPeriod,
    fresh: Sequence[Statement],
    delegates: Delegates,
    taken: Collection[tuple[int, str, int | None]],
) -> list[tuple[Email, Addressed]]:
    """Return an e-mail for each recipient who has none yet with statements that were issued."""
    by_pi: dict[int, list[Statement]] = defaultdict(list)
    for statement in fresh:
        by_pi[statement.pi_id].append(statement)
    found = []
    for statements in by_pi.values():
        pi = statements[0].pi
        users = {each.user_id: each.user for each in delegates.get(pi.pk, ())}
        recipients: list[tuple[str, str, int | None, list[Statement]]] = [(Role.PI, pi.email, None, statements)]
        if pi.contact_email:
            recipients.append((Role.CONTACT, pi.contact_email, None, statements))
        for pk, user in users.items():
            own = [each for each in delegates[pi.pk] if each.user_id == pk]
            recipients.append((Role.DELEGATE, user.email, pk, _seen_by(own, statements)))
        covered: set[tuple[str, int]] = set()
        for role, address, user_id, theirs in recipients:
            lacking = [
                each
                for each in theirs
                if (each.pk, str(role), user_id) not in taken and (normalized_email(address), each.pk) not in covered
            ]
            if lacking:
                covered |= {(normalized_email(address), each.pk) for each in lacking}
                email = Email(period=period, pi=pi, recipient=address, role=role, user_id=user_id)
                found.append((email, Addressed(address, tuple(lacking))))
    return found


def _got(links: Iterable[_Link], states: Collection[str]) -> set[tuple[str, int]]:
    """Return who has a statement already, or may have it, of which no e-mail is tried again: (address, statement)."""
    theirs = {State.SENT, State.CLAIMED, State.UNCERTAIN, State.WRITTEN, State.REDIRECTED} - set(states)
    return {(each.address, each.statement) for each in links if each.state in theirs}


def decided(
    candidates: Sequence[tuple[Email, Addressed]], actor: Actor, got: Collection[tuple[str, int]] = ()
) -> list[Planned]:
    """Say of e-mails whether they go, wait, or are left out because their recipient `got` the statements."""
    got = set(got)
    pis = {email.pi_id for email, _ in candidates}
    written_to = _written_to({normalized_email(addressed.recipient) for _, addressed in candidates})
    strangers = newcomers.unconfirmed(pis)
    if strangers:
        greeted = Email.objects.filter(state=State.SENT, role=Role.PI, pi__in=strangers)
        strangers -= set(greeted.values_list("pi", flat=True))
    # A person may write to anybody; what runs unattended may not.
    own = newcomers.known(with_people=False) if actor.user is None else None
    planned = []
    for email, addressed in candidates:
        address = normalized_email(addressed.recipient)
        statements, left_out = addressed.statements, addressed.left_out
        if email.role != Role.PI and not left_out:
            statements = tuple(each for each in statements if (address, each.pk) not in got)
            if not statements:
                if email.pk is None:
                    continue
                left_out = f"{addressed.recipient} gets these statements already."
        got |= {(address, each.pk) for each in statements}
        email.recipient = addressed.recipient
        is_first = address not in written_to
        waits = ""
        if email.pi_id in strangers:
            waits = UNCONFIRMED
        elif own and own.domains and is_first and not own.is_inside(address):
            waits = UNATTENDED
        planned.append(Planned(email, statements, is_first, "" if left_out else waits, left_out))
    return planned


def _written_to(addresses: Collection[str]) -> set[str]:
    """Keep the addresses that got an e-mail with statements before."""
    ordered = sorted(addresses)
    found: set[str] = set()
    for start in range(0, len(ordered), BATCH):
        sent = Email.objects.filter(state=State.SENT).annotate(address=Lower("recipient"))
        found |= set(
            sent.filter(address__in=ordered[start : start + BATCH]).order_by().values_list("address", flat=True)
        )
    return found
