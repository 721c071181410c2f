"""Who pays for a row, and what holds it for a person: tags, rules, accounts, defaults."""

from .attributor import NOWHERE, Attributor, Place
from .directory import Directory
from .draft import Attribution
from .funds import reference_of
from .owners import (
    NAMED_COLUMNS,
    OWNER_COLUMNS,
    known_people,
    known_projects,
    owner_values,
    people_of,
    person_for,
    project_for,
    projects_of,
)
from .tags import tags_used

__all__ = [
    "Attribution",
    "Attributor",
    "Directory",
    "NAMED_COLUMNS",
    "NOWHERE",
    "OWNER_COLUMNS",
    "Place",
    "known_people",
    "known_projects",
    "owner_values",
    "people_of",
    "person_for",
    "project_for",
    "projects_of",
    "reference_of",
    "tags_used",
]
