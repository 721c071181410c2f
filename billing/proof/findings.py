"""What a proof finds wrong, and which rows it is about. No page and no address: a door makes a link of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class About:
    """What something is about: one row of a model (`pk`), or those of its list that match `where`.

    `model` is a label such as `billing.charge`. `where` maps fields, or the list's own filters, to a number (the row
    that a field names), a text, or several texts, any of which will do.
    """

    model: str
    pk: int | None = None
    where: Mapping[str, int | str | tuple[str, ...]] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"model": self.model} | ({"where": dict(self.where)} if self.pk is None else {"pk": self.pk})


@dataclass(frozen=True)
class Finding:
    """Something that is not as it has to be: a row, or a document whose own totals do not add up."""

    kind: str
    name: str
    text: str
    about: About | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"

    def as_data(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "text": self.text,
            "about": self.about.as_data() if self.about else None,
        }
