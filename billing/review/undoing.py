"""Undoing an act: what it decided about a charge, and what it created that nothing else uses."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

from django.db.models import ForeignObjectRel, OuterRef, Q, QuerySet, Subquery

from .. import audit
from ..audit.snapshots import snapshot
from ..models import AuditEvent, Charge, MonthTotal, PayerSplit, PayerSplitShare, Person, Project, ReviewDecision
from .batches import batches

Action = ReviewDecision.Action
Creatable = PayerSplit | Project | Person

# What an act may create beside its decisions: the event that tells of it, and how people name it.
CREATED: dict[str, tuple[type[Creatable], str]] = {
    "payer_split.added": (PayerSplit, ""),
    "project.added": (Project, "Project {0.code}"),
    "person.added": (Person, "PI {0.email}"),
}


class PastActs:
    """What was decided about charges before; read at the first question."""

    def __init__(self, charges: Iterable[int]) -> None:
        self._charges = charges
        self._decisions: dict[int, list[ReviewDecision]] | None = None

    def last_of(self, charge: Charge) -> list[ReviewDecision]:
        """Return the decisions of the last gesture about a charge that nobody undid."""
        if self._decisions is None:
            self._decisions = defaultdict(list)
            for batch in batches(list(self._charges)):
                for decision in ReviewDecision.objects.filter(charge__in=batch).order_by("pk"):
                    self._decisions[decision.charge_id].append(decision)
        past = self._decisions[charge.pk]
        undone = {each.after.get("undone") for each in past if each.action == Action.UNDO}
        standing = [each for each in past if each.action != Action.UNDO and str(each.gesture) not in undone]
        return [each for each in standing if each.gesture == standing[-1].gesture]


def decided_last_by(gesture: UUID) -> "QuerySet[Charge]":
    """Return the charges about which an act decided, and nobody since: undoing their last decision undoes that act."""
    last = ReviewDecision.objects.filter(charge=OuterRef("pk")).order_by("-pk").values("gesture")[:1]
    decided = ReviewDecision.objects.filter(gesture=gesture).exclude(action=Action.UNDO)
    found = Charge.objects.filter(pk__in=decided.order_by().values("charge"))
    return found.annotate(decided_last_in=Subquery(last)).filter(decided_last_in=gesture)


def remove_created(acts: Collection[UUID], gesture: audit.Gesture) -> list[str]:
    """Remove what undone acts created and nothing else uses; return what, as people name it."""
    if not acts:
        return []
    created = AuditEvent.objects.filter(gesture__in=acts, action__in=CREATED)
    ids: dict[str, list[int]] = defaultdict(list)
    for action, pk in created.values_list("action", "object_id"):
        ids[action].append(int(pk))
    removed = []
    # A project uses its PI: it goes first.
    for action, (model, named) in CREATED.items():
        for subject in model.objects.filter(pk__in=ids[action]).select_for_update().order_by("pk"):
            if _is_used(subject) or _was_taken_up(subject, action):
                continue
            gesture.record(action.replace(".added", ".deleted"), subject, before=snapshot(subject))
            if named:
                removed.append(named.format(subject))
            PayerSplitShare.objects.filter(split__in=[subject.pk] if model is PayerSplit else []).delete()
            model.objects.filter(pk=subject.pk).delete()
    return removed


def _was_taken_up(subject: Creatable, created: str) -> bool:
    """Tell whether somebody did anything about it since: a PI was confirmed or is on a loaded list, say."""
    of_it = AuditEvent.objects.filter(object_type=subject._meta.model_name, object_id=str(subject.pk))
    return of_it.exclude(action=created).exists()


def _is_used(subject: Creatable) -> bool:
    """Tell whether anything names a PI, project or split: a record, or a decision that may still be undone."""
    for relation in subject._meta.get_fields(include_hidden=True):
        # Shares go with their split, and totals with the charges that they are of.
        if not isinstance(relation, ForeignObjectRel) or relation.related_model in (PayerSplitShare, MonthTotal):
            continue
        others = relation.field.model._base_manager.filter(**{relation.field.name: subject.pk})  # noqa: SLF001 (all rows)
        if others.exists():
            return True
    name = {Person: "pi_id", Project: "project_id", PayerSplit: "payer_split_id"}[type(subject)]
    decisions = ReviewDecision.objects.exclude(action=Action.UNDO).filter(
        Q(**{f"before__{name}": subject.pk}) | Q(**{f"after__{name}": subject.pk})
    )
    undone = ReviewDecision.objects.filter(action=Action.UNDO, charge__in=decisions.values("charge"))
    taken_back = set(undone.values_list("charge", "after__undone"))
    acts = decisions.order_by().values_list("charge", "gesture").distinct()
    return any((charge, str(gesture)) not in taken_back for charge, gesture in acts.iterator())
