"""A month's checklist as pages show it: each item with its link, or with who can do it."""

from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from .. import doors
from ..months.checklist import CLOSE, FINALIZE, HELD, Checklist, Item, State
from . import walk

TONES = {
    State.DONE: "good",
    State.OPEN: "warn",
    State.BLOCKED: "",
    State.WARNING: "warn",
    State.NOT_APPLICABLE: "",
    State.CHECKING: "busy",
}
WORDS = {
    State.DONE: "Done",
    State.OPEN: "To do",
    State.BLOCKED: "Waits",
    State.WARNING: "Warning",
    State.NOT_APPLICABLE: "Not needed",
    State.CHECKING: "Checking",
}
# What a button does to as many things as its item counts.
BUTTONS = {HELD: ("Review", "charge"), "statements": ("Issue", "statement"), "sent": ("Send", "statement")}


@dataclass(frozen=True)
class Shown:
    """An item, with the link to where it is done for those who may, and with who may for everybody else."""

    item: Item
    tone: str
    word: str
    url: str = ""
    action: str = ""
    who: str = ""
    is_next: bool = False

    @property
    def button(self) -> str:
        """What the button to the next step says: what it does, and to how many."""
        verb, noun = BUTTONS.get(self.item.code, ("", ""))
        if not verb or not self.item.count:
            return self.action
        return f"{verb} {self.item.count:,} {noun}{'' if self.item.count == 1 else 's'}"

    @property
    def button_url(self) -> str:
        """Where that button leads: a step of the close leads on to the next one."""
        return walk.url_of(self.item.then) if self.url and self.item.then else ""


def shown(item: Item, user: AbstractBaseUser | AnonymousUser, *, is_next: bool = False) -> Shown:
    """Return an item as this person sees it."""
    tone, word = TONES[item.state], WORDS[item.state]
    if item.state == State.BLOCKED and item.code in (CLOSE, FINALIZE) and not is_next:
        # There is nothing to do about it but what is open above.
        return Shown(item, tone, word)
    if item.then is None or item.state in (State.DONE, State.NOT_APPLICABLE):
        return Shown(item, tone, word, is_next=is_next)
    permission = doors.permission_of(item.then)
    # A step that waits for others has no page to go to yet; who it takes is said all the same.
    if permission and not user.has_perm(permission):  # type: ignore[union-attr]
        return Shown(item, tone, word, who=doors.who_may(permission), is_next=is_next)
    return Shown(item, tone, word, doors.url_of(item.then), doors.label_of(item.then), is_next=is_next)


def shown_list(listed: Checklist, user: AbstractBaseUser | AnonymousUser) -> list[Shown]:
    """Return all items of a month as this person sees them."""
    first = listed.next
    return [shown(item, user, is_next=item is first) for item in listed.items]
