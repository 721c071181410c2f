"""Layouts kept by the institution: drafted from a preset or a file, changed, released and retired.

A released version never changes: a change is a new version, and a journal keeps the one its file was submitted in.
"""

import datetime
from collections.abc import Mapping

from django.db.models import Max

from billing import audit
from billing.audit import Actor, Gesture
from billing.errors import BillingError, WrongState

from . import lookups
from .formats import RESERVED
from .formats.layouts import Layout, LayoutFormat, layout_from_text, with_choices
from .models import JournalLayout, JournalTemplate

State = JournalLayout.State


class LayoutRefusedName(BillingError):
    """A layout cannot have this name."""


class LayoutNotReady(BillingError):
    """A layout cannot be released as it is."""


class UnknownLayout(BillingError):
    """There is no layout, or no version of it, of this name."""


def add(
    *,
    name: str,
    content: str,
    settings: Mapping[str, str] | None = None,
    condense: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> JournalLayout:
    """Make a draft of a layout: its first version, or the one after those there are.

    Raises LayoutNotUnderstood, UnknownSetting, LayoutRefusedName, and WrongState where the layout has a draft already.
    """
    content = with_choices(content, settings or {}, condense, descriptions)
    layout = layout_from_text(content)
    with audit.gesture(actor=actor, now=now) as gesture:
        _require_name(name)
        versions = JournalLayout.objects.select_for_update(no_key=True).filter(name=name)
        if draft := versions.filter(state=State.DRAFT).first():
            raise WrongState(f"The layout {draft} is a draft already. Change that one, or release it first.")
        latest = versions.aggregate(latest=Max("version"))["latest"] or 0
        made = JournalLayout(
            name=name,
            version=latest + 1,
            title=layout.title,
            content=content,
            created_at=now,
            created_by=actor.user,
        )
        made.full_clean(exclude=["created_by"])
        made.save()
        gesture.record("journal_layout.added", made, after={"version": made.version, "title": made.title})
        return made


def change(*, layout: JournalLayout, content: str, actor: Actor, now: datetime.datetime) -> JournalLayout:
    """Change what a draft says. Raises LayoutNotUnderstood, and WrongState for what is no draft."""
    title = layout_from_text(content).title
    with audit.gesture(actor=actor, now=now) as gesture:
        layout = _locked(layout, State.DRAFT, "changed")
        if content != layout.content:
            before = {"title": layout.title, "content": layout.content}
            layout.title, layout.content = title, content
            layout.save(update_fields=["title", "content"])
            after = {"title": title, "content": content}
            gesture.record("journal_layout.changed", layout, before=before, after=after)
        return layout


def set_up(
    *,
    layout: JournalLayout,
    settings: Mapping[str, str],
    condense: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> JournalLayout:
    """Enter a draft's settings, which lines it puts together and its descriptions, all else as it is written.

    Raises UnknownSetting, LayoutNotUnderstood, and WrongState for what is no draft.
    """
    content = with_choices(layout.content, settings, condense, descriptions)
    return change(layout=layout, content=content, actor=actor, now=now)


def release(*, layout: JournalLayout, actor: Actor, now: datetime.datetime) -> JournalLayout:
    """Release a draft: journals can be written in it, and the version before it is retired.

    Raises LayoutNotReady, naming the settings that are empty, and WrongState for what is no draft.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        layout = _locked(layout, State.DRAFT, "released")
        if empty := layout_from_text(layout.content).empty_settings:
            told = ", ".join(f"{each.label} ({each.name})" for each in empty)
            raise LayoutNotReady(f"The layout {layout} cannot be released: these settings are empty: {told}.")
        if lacking := lookups.problems_of(layout_from_text(layout.content)):
            raise LayoutNotReady(f"The layout {layout} cannot be released. {' '.join(lacking)}")
        for each in JournalLayout.objects.filter(name=layout.name, state=State.RELEASED):
            _retire(each, gesture)
        layout.state, layout.released_at, layout.released_by = State.RELEASED, now, actor.user
        layout.save(update_fields=["state", "released_at", "released_by"])
        gesture.record("journal_layout.released", layout, before={"state": "draft"}, after={"state": layout.state})
        return layout


def retire(*, layout: JournalLayout, actor: Actor, now: datetime.datetime) -> JournalLayout:
    """Retire a released layout: no journal is written in it any more. Raises WrongState for one that is not released.

    Reversals of journals that were submitted in it are written in it still.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        layout = _locked(layout, State.RELEASED, "retired")
        _retire(layout, gesture)
        return layout


def discard(*, layout: JournalLayout, actor: Actor, now: datetime.datetime) -> None:
    """Delete a draft, which no journal was ever submitted in. Raises WrongState for what is no draft."""
    with audit.gesture(actor=actor, now=now) as gesture:
        layout = _locked(layout, State.DRAFT, "discarded")
        gesture.record("journal_layout.discarded", layout, before={"title": layout.title, "content": layout.content})
        layout.delete()


def layout_named(name: str, version: int | None = None) -> JournalLayout:
    """Return a version of a layout: the one asked for, or its newest. Raises UnknownLayout."""
    versions = JournalLayout.objects.filter(name=name).order_by("-version")
    found = versions.filter(version=version).first() if version else versions.first()
    if found is None:
        names = ", ".join(JournalLayout.objects.order_by("name").values_list("name", flat=True).distinct())
        of = f" version {version} of" if version else ""
        raise UnknownLayout(f"There is no{of} layout “{name}”. These exist: {names or 'none yet'}.")
    return found


def read(layout: JournalLayout) -> Layout:
    """Return what a version says."""
    return layout_from_text(layout.content)


def as_format(layout: JournalLayout) -> LayoutFormat:
    """Return a version ready to write journals, whatever its state."""
    return LayoutFormat(layout.name, read(layout), layout.version)


def _require_name(name: str) -> None:
    if name in RESERVED or JournalTemplate.objects.filter(name=name).exists():
        what = "a format of the program's own" if name in RESERVED else "a journal template"
        raise LayoutRefusedName(f"“{name}” is {what}. Choose another name for the layout.")


def _retire(layout: JournalLayout, gesture: Gesture) -> None:
    layout.state, layout.retired_at, layout.retired_by = State.RETIRED, gesture.now, gesture.actor.user
    layout.save(update_fields=["state", "retired_at", "retired_by"])
    gesture.record("journal_layout.retired", layout, before={"state": "released"}, after={"state": layout.state})


def _locked(layout: JournalLayout, state: JournalLayout.State, participle: str) -> JournalLayout:
    """Return a version as it is now. All versions are locked, in one order: who submits in one locks them so, too."""
    versions = JournalLayout.objects.select_for_update(no_key=True).filter(name=layout.name).order_by("pk")
    fresh = next((each for each in versions if each.pk == layout.pk), None)
    if fresh is None or fresh.state != state:
        now = fresh.get_state_display().lower() if fresh else "gone"
        raise WrongState(f"The layout {layout} is {now}: only a {state.label.lower()} one can be {participle}.")
    return fresh
