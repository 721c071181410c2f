"""The kinds of jobs: what each does, and the permission it takes. Apps register theirs when they are ready."""

from collections.abc import Callable
from typing import Any

# Called with the job, its arguments, who asked, the time and a progress; returns what the job's page shows.
Work = Callable[..., dict[str, Any]]

_works: dict[str, Work] = {}
_permissions: dict[str, str] = {}


def register(kind: str, work: Work, *, permission: str) -> None:
    """Say what a kind of job does, and what it takes to have it done; apps call this when they are ready.

    Without a permission it is done for everybody, of what they may see.
    """
    _works[kind] = work
    _permissions[kind] = permission


def work_of(kind: str) -> Work:
    """Return what a kind of job does."""
    return _works[kind]


def permission_of(kind: str) -> str:
    """Return what it takes to have a kind of job done."""
    return _permissions[kind]
