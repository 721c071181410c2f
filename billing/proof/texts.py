"""The texts that charges share, looked at once for all of them: by the hash each was stored with, and as delivered."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..models import DIMENSION_MODELS, Charge, Dimension
from ..models.charges import ChargeQuerySet
from ..models.standing import BATCH
from ..readers.dimensions import FIELDS, hash_of, said_hash
from .findings import Finding

# Hashes of one dimension that are remembered.
REMEMBERED = 200_000

# Name of a dimension -> number of a row -> the hash of what it says now.
Altered = Mapping[str, Mapping[int, bytes]]


def altered_texts(charges: ChargeQuerySet) -> Altered:
    """Return the dimensions of some charges that do not say what they were stored with, each with its hash as it is."""
    return {model.NAME: _altered(model, charges) for model in DIMENSION_MODELS}


def _altered(model: type[Dimension], charges: ChargeQuerySet) -> dict[int, bytes]:
    used = charges.order_by().values(model.NAME)
    rows = model.objects.filter(pk__in=used).order_by().values_list("pk", "text_hash", *_columns(model))
    known = len(FIELDS[model.NAME])
    found = {}
    for pk, stored, *said in rows.iterator(chunk_size=5_000):
        texts, derived = said[:known], said[known:]
        # What follows from the texts counts where it does not.
        if derived and derived != list(model.derived(dict(zip(FIELDS[model.NAME], texts, strict=True))).values()):
            texts = said
        if (now := hash_of(texts)) != bytes(stored):
            found[pk] = now
    return found


def _columns(model: type[Dimension]) -> Sequence[str]:
    return (*FIELDS[model.NAME], *model.derived(dict.fromkeys(FIELDS[model.NAME], "")))


def found_altered(altered: Altered, charges: ChargeQuerySet) -> list[Finding]:
    """Say which dimensions do not say what they were stored with, and how many of some charges have each."""
    found = []
    for model in DIMENSION_MODELS:
        for pk in sorted(altered[model.NAME]):
            count = charges.filter(**{model.NAME: pk}).count()
            name = f"{model._meta.verbose_name} {pk}".capitalize()
            having = "1 charge has it" if count == 1 else f"{count:,} charges have it"
            found.append(Finding("text", name, f"it does not say any more what it was stored with; {having}."))
    return found


class SaidHashes:
    """What content hashes have of dimensions, by their numbers; what many charges share is read and hashed once."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, bytes]] = defaultdict(dict)

    def of(self, charges: Sequence[Charge]) -> Iterable[dict[str, bytes]]:
        """Yield the hashes of each charge's texts; without one whose dimension is not there any more."""
        for model in DIMENSION_MODELS:
            self._look_up(model, {getattr(charge, f"{model.NAME}_key") for charge in charges})
        for charge in charges:
            keys = {name: getattr(charge, f"{name}_key") for name in FIELDS}
            yield {name: self._known[name][key] for name, key in keys.items() if key in self._known[name]}

    def _look_up(self, model: type[Dimension], wanted: set[int]) -> None:
        known = self._known[model.NAME]
        if len(known) > REMEMBERED:
            known.clear()
        missing = sorted(wanted - known.keys())
        for start in range(0, len(missing), BATCH):
            rows = model.objects.filter(pk__in=missing[start : start + BATCH])
            for pk, *texts in rows.values_list("pk", *FIELDS[model.NAME]):
                known[pk] = said_hash(model.NAME, texts)
