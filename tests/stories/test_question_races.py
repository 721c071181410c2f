"""Two at once about a question: it is answered once, asked once, and a month closes whole around it."""

import pytest

from .test_races import ROUNDS, field, status_of  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.own_database, pytest.mark.slow]

CALL = "__import__('tests.stories.asked', fromlist=['asked'])."


def a_stated_month(field):  # noqa: F811
    month = field.a_month()
    field.stage.command("generate", "-p", month)
    return month


def call(field, expression):  # noqa: F811
    return field.stage.value(CALL + expression)


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_two_who_answer_one_does(field, _round):  # noqa: F811
    month = a_stated_month(field)
    pk = int(call(field, f"ask('{month}')").split()[1])
    heard = field.meet(f"{CALL}answer({pk}, 'leave', 'rex')", f"{CALL}answer({pk}, 'reject', 'fay')")
    assert sorted(heard) == ["AnsweredAlready", "answered"]
    # What the other meant to do to the charges is not done either.
    assert call(field, f"states('{month}')") == (["clear"] if heard[0] == "answered" else ["rejected"])
    assert field.stage.value(f"Message.objects.filter(question={pk}, is_from_staff=True).count()") == 1
    assert field.stage.command("verify_audit")


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_two_who_ask_about_a_line_one_does(field, _round):  # noqa: F811
    month = a_stated_month(field)
    heard = field.meet(f"{CALL}ask('{month}')", f"{CALL}ask('{month}')")
    assert sorted(each.split()[0] for each in heard) == ["AskedAlready", "asked"]
    assert field.stage.value(f"Question.objects.filter(period__month='{month}-01').count()") == 1


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_month_that_closes_while_somebody_asks_holds_nothing(field, _round):  # noqa: F811
    month = a_stated_month(field)
    asked, _ = field.meet(f"{CALL}ask('{month}')", f"{CALL}close('{month}')")
    assert asked.startswith("asked")
    assert status_of(field, month) == "closed"
    assert call(field, f"states('{month}')") == ["clear"]
    assert field.stage.command("proof", "-p", month)["reconciles"]


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_month_that_closes_while_staff_answer_is_whole(field, _round):  # noqa: F811
    month = a_stated_month(field)
    pk = int(call(field, f"ask('{month}')").split()[1])
    answered, _ = field.meet(f"{CALL}answer({pk}, 'reject', 'rex')", f"{CALL}close('{month}')")
    # The decision came first, or is refused: then a correction follows.
    assert answered in ("answered", "WrongState", "PeriodClosed")
    assert call(field, f"states('{month}')") == (["rejected"] if answered == "answered" else ["clear"])
    state = field.stage.value(f"Question.objects.get(pk={pk}).state")
    assert state == ("answered" if answered == "answered" else "asked")
