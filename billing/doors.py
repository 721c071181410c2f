"""How each door words a next step: a command on the command line, a link on a page.

One table, so that a step is never worded for one door and forgotten for the other.
"""

from collections.abc import Iterable
from urllib.parse import urlencode

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Group
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import get_text_list

from . import once_a_page
from .errors import BillingError, NextStep
from .proof import About
from .texts import month_name
from .wordings import WORDINGS, Wording


class UnknownStep(KeyError):
    """A next step that has no wording."""


def wording_of(step: NextStep) -> Wording:
    """Return how a step is worded; raise UnknownStep for one that has no words yet."""
    try:
        return WORDINGS[step.name]
    except KeyError:
        raise UnknownStep(f"There is no wording for the step “{step.name}”.") from None


def as_command(step: NextStep) -> str:
    """Return the command that does a step, such as `manage.py review list -p 2025-01`."""
    return f"manage.py {wording_of(step).command.format_map(step.about)}"


def url_of(step: NextStep) -> str:
    """Return the address of the page a step is done on."""
    wording = wording_of(step)
    url = reverse(wording.page, args=[argument.format_map(step.about) for argument in wording.arguments])
    query = urlencode({name: value.format_map(step.about) for name, value in (wording.query or {}).items()})
    url = f"{url}?{query}" if query else url
    return f"{url}#{wording.anchor}" if wording.anchor else url


def label_of(step: NextStep) -> str:
    """Return what the link or button to a step says."""
    return wording_of(step).label.format_map({name: month_name(text) for name, text in step.about.items()})


def as_link(step: NextStep) -> SafeString:
    """Return the link to the page a step is done on."""
    return format_html('<a href="{}">{}</a>', url_of(step), label_of(step))


def with_commands(text: str, steps: Iterable[NextStep]) -> str:
    """Return a result as the command line says it: its text, then the command of each step, a line each."""
    return "\n".join([text, *(f"  Next: {as_command(step)}" for step in steps)])


def for_terminal(error: BillingError) -> str:
    """Return a refusal as the command line says it: what was wrong, then the command that mends it."""
    return f"{error} Next: `{as_command(error.then)}`." if error.then else str(error)


def link_for(step: NextStep, user: AbstractBaseUser | AnonymousUser | None) -> str | SafeString:
    """Return the link to the page of a step, or who can do it where this person may not open that page.

    A form that does not know who fills it in asks for `None`: its page takes the same permission.
    """
    permission = permission_of(step)
    if user is None or not permission or user.has_perm(permission):  # type: ignore[union-attr]
        return as_link(step)
    return f"({label_of(step)}: {who_may(permission)}.)"


def link_where_allowed(step: NextStep | None, user: AbstractBaseUser | AnonymousUser) -> str | SafeString:
    """Return the link to the page of a step, "" where there is no step or this person may not open it."""
    if step is None or (permission := permission_of(step)) and not user.has_perm(permission):  # type: ignore[union-attr]
        return ""
    return as_link(step)


def page_about(about: About | None, user: AbstractBaseUser | AnonymousUser) -> str:
    """Return the address of the page of what something is about, "" where this person may not open it.

    That is the page of a row, or the list of its model by its own filters.
    """
    if about is None:
        return ""
    app, _, model = about.model.partition(".")
    if not user.has_perm(f"{app}.view_{model}"):  # type: ignore[union-attr]
        return ""
    if about.pk is not None:
        return reverse(f"admin:{app}_{model}_change", args=[about.pk])
    query = {}
    for name, value in about.where.items():
        if isinstance(value, int):
            query[f"{name}__id__exact"] = str(value)
        elif isinstance(value, str):
            query[name] = value
        else:
            query[f"{name}__exact" if len(value) == 1 else f"{name}__in"] = ",".join(value)
    return f"{reverse(f'admin:{app}_{model}_changelist')}?{urlencode(query)}"


def who_may(permission: str) -> str:
    """Return who may do what takes a permission, in words: admin, finance or reviewer."""
    return get_text_list(holders(permission) or ["a superuser"], "or")


def for_page(error: BillingError, user: AbstractBaseUser | AnonymousUser | None = None) -> str | SafeString:
    """Return a refusal as a page says it: what was wrong, then a link to where it is mended."""
    return format_html("{} {}", str(error), link_for(error.then, user)) if error.then else str(error)


def lines_for_page(error: BillingError, user: AbstractBaseUser | AnonymousUser | None = None) -> list[str | SafeString]:
    """Return a refusal of several lines as a form shows it, a line each, then the link."""
    lines: list[str | SafeString] = [*str(error).splitlines()]
    return [*lines, link_for(error.then, user)] if error.then else lines


def permission_of(step: NextStep) -> str:
    """Return the permission that a step takes; empty for none."""
    return wording_of(step).permission


def holders(permission: str) -> list[str]:
    """Return the roles that may do what takes a permission, by name; empty for superusers only."""

    def read() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        held = Group.objects.order_by("name").values_list(
            "name", "permissions__content_type__app_label", "permissions__codename"
        )
        for name, app, code in held:
            found.setdefault(f"{app}.{code}", []).append(name)
        return found

    # All at once: a page that names several steps asks no more often than one of a single step.
    return once_a_page.value("holders of permissions", read).get(permission, [])
