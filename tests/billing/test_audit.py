"""The audit log: events are written with what they tell of, or not at all, and chained."""

import pytest

from billing import audit
from billing.audit import Actor, event_hash
from billing.models import AuditEvent, AuditHead
from tests import build

pytestmark = pytest.mark.django_db


class Refused(Exception):
    pass


def break_off():
    """A verb that fails after it has recorded something."""
    with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
        gesture.record("lost")
        raise Refused


def recorded():
    return list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))


def test_events_are_chained_in_the_order_they_happened():
    for action in ("one", "two"):
        with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
            gesture.record(f"{action}.begun", after={"b": 1, "a": "é"})
            gesture.record(f"{action}.done")
    events = list(AuditEvent.objects.order_by("pk"))
    assert [event.action for event in events] == ["one.begun", "one.done", "two.begun", "two.done"]
    previous = ""
    for event in events:
        assert (event.previous_hash, event.hash) == (previous, event_hash(event))
        previous = event.hash
    head = AuditHead.objects.get()
    assert (head.events, head.hash) == (4, previous)


def test_the_events_of_one_act_share_a_gesture():
    with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as outer:
        outer.record("outer")
        with audit.gesture(actor=Actor(name="other", via="test"), now=build.NOW) as inner:
            inner.record("inner")
    assert AuditEvent.objects.values("gesture").distinct().count() == 1
    assert set(AuditEvent.objects.values_list("actor_name", flat=True)) == {"somebody"}


def test_what_is_rolled_back_leaves_no_event():
    with pytest.raises(Refused):
        break_off()
    assert recorded() == []


def test_a_part_that_is_rolled_back_takes_only_its_own_events_with_it():
    with audit.gesture(actor=build.SOMEBODY, now=build.NOW) as gesture:
        gesture.record("before")
        with pytest.raises(Refused):
            break_off()
        gesture.record("after")
    assert recorded() == ["before", "after"]
