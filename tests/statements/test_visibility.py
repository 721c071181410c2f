"""Every role against every statement and every way to it, in the portal: what is theirs, and no row of anybody else."""

import io
import re
import zipfile

import pytest
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook
from pypdf import PdfReader

from billing import questions
from billing.models import Membership
from statements.models import Statement
from statements.questions import lines
from tests import build, standing
from tests.build import NOW, SOMEBODY
from tests.statements import scene as scenes
from tests.statements.scene import MALLORY, OWNERS, SEES, marker, marks_in

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

WAYS = ("statement", "pdf", "csv", "xlsx", "charges")
# Ways that lead staff on.
LEADING = ("statement", "line")
STAFF = ("viewer", "reviewer", "finance", "admin")
# Pages that gather what somebody may see.
GATHERING = ("home", "statements", "projects", "trends", "funds", "downloads", "delegates", "questions")
VOID = Statement.State.VOID


@standing.fixture
def scene(folder):
    return scenes.the_scene(build.the_cast())


def text_of(way, response):
    data = response.getvalue() if response.streaming else response.content
    if way == "pdf":
        return "".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
    return text_of_sheets(io.BytesIO(data)) if way == "xlsx" else data.decode()


def text_of_sheets(file):
    return " ".join(str(cell) for sheet in load_workbook(file).worksheets for row in sheet.values for cell in row)


def addresses_of(statement):
    for way in WAYS:
        yield way, reverse(f"portal:{way}", args=[statement.number])
    for line in statement.lines.all():
        yield "line", reverse("portal:line", args=[statement.number, line.number])


def test_the_scene_has_every_kind_of_statement(scene):
    states = {(name, each.state) for name, own in scene.statements.items() for each in own}
    live = {(name, "issued") for name in OWNERS}
    assert states >= live | {("ada genomics", "superseded"), ("ada proteins", "void")}
    assert {line.kind for each in scene.of(set(OWNERS)) for line in each.lines.all()} == {"charge", "shared"}


@pytest.mark.parametrize("who", SEES)
def test_every_statement_opens_for_whom_it_should_by_every_way_and_holds_nothing_else(client, scene, who):
    client.force_login(scene.people[who])
    for name, own in scene.statements.items():
        for statement in own:
            seen = name in SEES[who]
            expected = (410 if statement.state == VOID else 200) if seen else 404
            for way, address in addresses_of(statement):
                response = client.get(address)
                if who in STAFF and way in LEADING:
                    # To the page of the staff, who see all statements there.
                    assert response.url.startswith("/admin/statements/statement/"), f"{address} as {who}"
                    continue
                assert response.status_code == expected, f"{address} as {who}"
                found = marks_in(text_of(way, response) if expected == 200 else response.content.decode())
                # Of a share of a shared cost there is a line without a resource.
                assert found <= ({name} if expected == 200 else set()), f"{address} as {who}"
                if expected == 200 and way != "line":
                    assert found == {name}, address


@pytest.mark.parametrize("who", SEES)
def test_lists_name_what_somebody_sees_and_nothing_else(client, scene, who):
    client.force_login(scene.people[who])
    numbers = {each.number: name for name, own in scene.statements.items() for each in own if each.state == "issued"}
    page = client.get(reverse("portal:statements")).content.decode()
    assert {name for number, name in numbers.items() if f">{number}<" in page} == SEES[who]
    page = client.get(reverse("portal:projects")).content.decode()
    projects = {OWNERS[name][1] for name in SEES[who]} - {None}
    assert {code for _, code in OWNERS.values() if code and f"<bdi>{code}</bdi>" in page} == projects


def funds_in(text):
    """Return the statements whose fund/org a text names."""
    return {name for number, name in enumerate(OWNERS, 1) if re.search(rf"\bFUND-{number}\b", text)}


@pytest.mark.parametrize("who", SEES)
def test_pages_that_gather_hold_nothing_of_anybody_else(client, scene, who):
    client.force_login(scene.people[who])
    # What is charged and not issued yet, of everybody, too.
    for name, (pi, project) in OWNERS.items():
        build.a_charge("3.00", pi=pi, project=project, period="2025-02", resource_name=marker(name))
    unseen = set(OWNERS) - SEES[who]
    numbers = {each.number for each in scene.of(unseen)}
    for page in GATHERING:
        response = client.get(reverse(f"portal:{page}"))
        assert response.status_code == 200, page
        text = response.content.decode()
        assert marks_in(text) | funds_in(text) <= SEES[who], page
        assert not [number for number in numbers if number in text], page
        assert MALLORY & SEES[who] or "mischief" not in text, page


@pytest.mark.parametrize("who", SEES)
@pytest.mark.parametrize("form", ["zip", "xlsx"])
def test_a_month_taken_along_holds_what_somebody_sees_and_nothing_else(client, scene, who, form):
    client.force_login(scene.people[who])
    response = client.post(reverse("portal:downloads"), {"of": "2025-01", "form": form})
    if not SEES[who]:
        assert response.url == reverse("portal:downloads")
        return
    data = io.BytesIO(response.getvalue())
    if form == "xlsx":
        assert marks_in(text_of_sheets(data)) == SEES[who]
        return
    with zipfile.ZipFile(data) as taken:
        told = "".join(
            page.extract_text() for name in taken.namelist() for page in PdfReader(io.BytesIO(taken.read(name))).pages
        )
    assert marks_in(told) == SEES[who]


@pytest.mark.parametrize("who", SEES)
def test_a_question_is_read_by_whom_its_statement_is(client, scene, who):
    asked = {
        name: questions.ask(
            subject=lines.subject_of(own[-1], 1), reason="usage", text=f"About {marker(name)}.", actor=SOMEBODY, now=NOW
        )
        for name, own in scene.statements.items()
    }
    client.force_login(scene.people[who])
    listed = client.get(reverse("portal:questions")).content.decode()
    for name, question in asked.items():
        address = reverse("portal:question", args=[question.pk])
        response = client.get(address)
        assert response.status_code == (200 if name in SEES[who] else 404), f"{name} by {who}"
        assert (f'href="{address}"' in listed) == (name in SEES[who])
        if name not in SEES[who]:
            statement = scene.statements[name][-1].number
            for verb, args in (("question", [question.pk]), ("withdraw", [question.pk]), ("ask", [statement, 1])):
                assert client.post(reverse(f"portal:{verb}", args=args), {"text": "x"}).status_code == 404
        else:
            assert marks_in(response.content.decode()) <= {name}


@pytest.mark.parametrize("who", SEES)
def test_a_delegate_is_changed_by_their_pi_alone(client, scene, who):
    client.force_login(scene.people[who])
    for held in Membership.objects.select_related("person"):
        its_pi = {"ada@u.edu": "pi", "mallory@u.edu": "other PI"}[held.person.email]
        is_over = bool(held.valid_until and held.valid_until < timezone.localdate())
        expected = 200 if who == its_pi and not is_over else 404
        for name in ("delegate", "remove_delegate"):
            assert client.get(reverse(f"portal:{name}", args=[held.pk])).status_code == expected, f"{held} by {who}"
            if expected == 404:
                assert client.post(reverse(f"portal:{name}", args=[held.pk]), {"may": "act"}).status_code == 404


@pytest.mark.parametrize("who", SEES)
def test_a_project_shows_the_part_of_it_that_somebody_sees(client, scene, who):
    client.force_login(scene.people[who])
    for code in {code for _, code in OWNERS.values() if code}:
        seen = {name for name in SEES[who] if OWNERS[name][1] == code}
        project = scene.of({name for name in OWNERS if OWNERS[name][1] == code})[0].project_id
        response = client.get(reverse("portal:project", args=[project]))
        assert response.status_code == (200 if seen else 404)
        if seen:
            live = {each.number for each in scene.of(seen) if each.state == "issued"}
            assert {each.number for each in response.context["statements"]} == live


def test_a_line_that_the_statement_does_not_have_is_not_found(client, scene):
    client.force_login(scene.people["pi"])
    number = scene.statements["ada genomics"][0].number
    for line in (0, 9, 10**30):
        assert client.get(f"/statements/{number}/lines/{line}/").status_code == 404


def test_who_is_not_signed_in_is_asked_to_whatever_there_is(client, scene):
    for statement in [*scene.of(set(OWNERS)), Statement(number="2099-01-0001-1")]:
        for way in WAYS:
            response = client.get(reverse(f"portal:{way}", args=[statement.number]))
            assert response.status_code == 302
            assert reverse("login") in response.url


def test_a_switched_off_pi_sees_nothing_at_once(client, scene):
    client.force_login(scene.people["pi"])
    address = reverse("portal:pdf", args=[scene.statements["ada genomics"][-1].number])
    assert client.get(address).status_code == 200
    scene.people["pi"].is_active = False
    scene.people["pi"].save()
    assert client.get(address).status_code == 302
