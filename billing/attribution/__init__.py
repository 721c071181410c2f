"""Who pays for a row, and what holds it for a person: tags, rules, accounts, defaults."""

from .attributor import (
    NO_IDS,
    NOWHERE,
    OWNER_COLUMNS,
    Attribution,
    Attributor,
    Place,
    known_people,
    known_projects,
    owner_values,
    people_of,
    person_for,
    project_for,
    projects_of,
    reference_of,
    tags_used,
)

__all__ = [
    "Attribution",
    "Attributor",
    "NOWHERE",
    "NO_IDS",
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
