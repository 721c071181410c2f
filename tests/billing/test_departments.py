"""Departments: one within another, named by code in any case, kept while anything uses them."""

import io
import json
import threading
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from billing.models import AuditEvent, Department, Person, Project
from billing.models.departments import DepartmentTree
from billing.setup import departments, registers
from statements import issuing
from statements.models import Statement
from tests import build
from tests.build import a_department, a_pi, a_policy, a_project

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}


def load(text: str, **options: Any) -> registers.LoadedRegister:
    return registers.load(registers.PEOPLE, file=io.BytesIO(text.encode()), **options, **BY)


def a_college() -> tuple[Department, Department, Department]:
    """Make a college, a department of it, and a group of that."""
    college = a_department("SCI", name="College of Science")
    department = a_department("CHEM", name="Chemistry", parent=college)
    return college, department, a_department("CHEM-NMR", name="NMR", parent=department)


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:billing_department_{name}", args=args)


# What is stored -------------------------------------------------------------------------------------------------------


def test_a_department_is_written_by_its_name_and_code():
    assert str(Department(code="CHEM", name="Chemistry")) == "Chemistry (CHEM)"
    assert str(Department(code="CHEM")) == "CHEM"
    # As one is that a list named for the first time.
    assert str(Department(code="Chemistry", name="Chemistry")) == "Chemistry"


@pytest.mark.django_db
@pytest.mark.parametrize("other", ["chem", "Chem", "ＣＨＥＭ", " CHEM "])
def test_a_code_is_unique_in_whatever_case_it_is_written(other):
    a_department("CHEM")
    with pytest.raises(ValidationError, match="There is a department with this code: CHEM"):
        Department(code=other).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Department.objects.create(code=other)
    with pytest.raises(IntegrityError), transaction.atomic():
        Department.objects.bulk_create([Department(code=other)])


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "other"), [("Études", "ÉTUDES"), ("STRASSE", "Straße"), ("Β-1", "β‑1")])
def test_letters_of_other_scripts_have_case_too(code, other):
    stored = a_department(code)
    assert Department.objects.coded(other).get() == stored
    with pytest.raises(IntegrityError), transaction.atomic():
        Department.objects.create(code=other)


@pytest.mark.django_db
def test_a_code_that_changes_is_compared_as_it_is_then():
    department = a_department("CHEM")
    department.code = "Chemistry"
    department.full_clean()
    department.save()
    assert not Department.objects.coded("chem").exists()
    assert Department.objects.coded("chemistry").get() == department


@pytest.mark.django_db
def test_no_department_is_within_itself():
    college, department, group = a_college()
    for parent in (college, department, group):
        college.parent = parent
        with pytest.raises(ValidationError) as refused:
            college.full_clean()
        assert set(refused.value.message_dict) >= {"parent"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Department.objects.filter(pk=college.pk).update(parent=college)
    group.parent = college
    group.full_clean()


def delete_past_the_program(department: Department) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM billing_department WHERE id = %s", [department.pk])
        connection.check_constraints()


@pytest.mark.django_db
def test_a_department_in_use_cannot_be_deleted():
    college, department, group = a_college()
    a_pi(department=department)
    a_project(department=group)
    for used in (college, department, group):
        with pytest.raises(ProtectedError):
            used.delete()
    with pytest.raises(IntegrityError):
        delete_past_the_program(group)
    assert Department.objects.count() == 3
    Project.objects.update(department=None)
    group.delete()


# The tree -------------------------------------------------------------------------------------------------------------


def a_tree(parents: list[int | None]) -> DepartmentTree:
    return DepartmentTree(
        Department(pk=number, code=str(number), parent_id=parent) for number, parent in enumerate(parents)
    )


# Each within one that comes before it, or in none.
PARENTS = st.integers(1, 20).flatmap(
    lambda size: st.tuples(
        *(st.one_of(st.none(), st.integers(0, each - 1)) if each else st.none() for each in range(size))
    )
)


@given(PARENTS)
def test_a_tree_lists_each_department_once_below_those_it_is_within(parents):
    tree = a_tree(list(parents))
    listed = [each.pk for each, _ in tree.in_order()]
    assert sorted(listed) == list(range(len(parents)))
    for department, depth in tree.in_order():
        above = tree.above(department.pk)
        assert depth == len(above)
        assert all(department.pk in tree.within(each.pk) for each in above)
        # Those within one follow it without a gap.
        at = listed.index(department.pk)
        assert set(listed[at : at + len(tree.within(department.pk))]) == tree.within(department.pk)


@given(PARENTS, st.data())
def test_numbers_add_up_to_the_outermost(parents, data):
    tree = a_tree(list(parents))
    numbers = data.draw(st.dictionaries(st.integers(0, len(parents) - 1), st.integers(0, 9)))
    sums = tree.added_up(numbers)
    outermost = [number for number, parent in enumerate(parents) if parent is None]
    assert sum(sums[each] for each in outermost) == sum(numbers.values())


def test_a_circle_made_behind_the_programs_back_ends():
    tree = a_tree([1, 0, None])
    assert tree.within(0) == {0, 1}
    assert [each.pk for each in tree.above(0)] == [1]
    assert [each.pk for each, _ in tree.in_order()] == [2]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_two_who_move_departments_below_each_other_make_no_circle(client, cast):
    first, second = a_department("A"), a_department("B")
    client.force_login(cast.reviewer)
    answers = []

    def move() -> None:
        try:
            answers.append(client.post(url("change", second.pk), {"code": "B", "parent": first.pk}))
        finally:
            connection.close()

    with transaction.atomic():
        departments.lock_tree()
        moving = threading.Thread(target=move)
        moving.start()
        moving.join(1)
        assert not answers
        Department.objects.filter(pk=first.pk).update(parent=second)
    moving.join(10)
    assert "one of them cannot be part of the other" in answers[0].content.decode()
    assert Department.objects.get(pk=second.pk).parent is None


# Lists ----------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_list_names_a_department_by_its_code_or_its_name():
    _, chemistry, group = a_college()
    loaded = load("email,department\na@u.edu,chem\nb@u.edu,CHEMISTRY\nc@u.edu,chem‑nmr\nd@u.edu,\n")
    assert loaded.departments == ()
    assert list(Person.objects.order_by("email").values_list("department", flat=True)) == [
        *(chemistry.pk, chemistry.pk, group.pk, None)
    ]


@pytest.mark.django_db
def test_a_department_that_a_list_names_first_is_added_with_that_code_and_name_and_told():
    text = "email,department\na@u.edu,Land–Use\nb@u.edu,land-use\nc@u.edu,Law\n"
    preview = load(text, is_dry_run=True)
    assert str(preview) == (
        "3 PIs would be added, 0 would be changed, 0 stay as they are. 2 departments would be added: Land–Use, Law."
    )
    assert not Department.objects.exists()
    loaded = load(text)
    assert str(loaded) == "3 PIs added, 0 changed, 0 stay as they are. 2 departments added: Land–Use, Law."
    assert list(Department.objects.values_list("code", "name", "parent")) == [
        ("Land-Use", "Land–Use", None),
        ("Law", "Law", None),
    ]
    assert [str(each.department) for each in Person.objects.order_by("email")] == ["Land–Use", "Land–Use", "Law"]
    added = AuditEvent.objects.filter(action="department.added").order_by("pk")
    assert [each.after["code"] for each in added] == ["Land-Use", "Law"]
    assert {each.gesture for each in added} == {AuditEvent.objects.get(action="people.loaded").gesture}
    again = load(text)
    assert (again.unchanged, again.departments) == (3, ())


@pytest.mark.django_db
def test_a_list_changes_and_clears_the_department_of_a_pi_and_leaves_it_without_the_column():
    _, chemistry, _ = a_college()
    a_pi(department=chemistry)
    assert load("email,name\nada@u.edu,Ada\n").changed == 1
    assert Person.objects.get().department == chemistry
    preview = load("email,department\nada@u.edu,Physics\n", is_dry_run=True)
    assert preview.examples == ("line 2: ada@u.edu: department CHEM → Physics",)
    load("email,department\nada@u.edu,Physics\n")
    moved = AuditEvent.objects.filter(action="person.changed").latest("pk")
    physics = Department.objects.coded("Physics").get()
    assert (moved.before, moved.after) == ({"department": chemistry.pk}, {"department": physics.pk})
    load("email,department\nada@u.edu,\n")
    assert Person.objects.get().department is None


@pytest.mark.django_db
def test_what_names_no_department_or_several_is_refused_by_line():
    a_policy()
    a_department("CHEM-R", name="Research")
    a_department("BIO-R", name="Research")
    lines = ["research", "n/a", "P\u0430th", "x" * 201]
    with pytest.raises(registers.PeopleRefused) as refused:
        load("email,department\n" + "".join(f"p{at}@u.edu,{each}\n" for at, each in enumerate(lines)))
    said = [str(each) for each in refused.value.errors]
    assert said[0] == "line 2, department: “research” is the name of 2 departments: write BIO-R, CHEM-R"
    assert "line 3, department: “n/a” means that there is none" in said[1]
    assert "line 4, department: “P\u0430th”: U+0430 CYRILLIC SMALL LETTER A looks like a Latin a" in said[2]
    assert "line 5, department: Ensure this value has at most 200 characters" in said[3]
    assert not Person.objects.exists()
    assert Department.objects.count() == 2


@pytest.mark.django_db
def test_many_new_departments_are_counted_beyond_those_a_person_reads():
    told = departments.told_of_new([f"D{number}" for number in range(25)], is_dry_run=False)
    assert told.startswith("25 departments added: D0, D1,")
    assert told.endswith("D19 and 5 more.")
    assert departments.told_of_new([], is_dry_run=False) == ""


@pytest.mark.django_db
def test_a_long_list_asks_no_more_of_the_database(django_assert_max_num_queries):
    a_college()
    with django_assert_max_num_queries(40):
        load("email,department\n" + "".join(f"p{at}@u.edu,CHEM\n" for at in range(300)), is_dry_run=True)


@pytest.mark.django_db
def test_the_command_lists_departments_and_says_which_are_new(tmp_path):
    a_college()
    path = tmp_path / "people.csv"
    path.write_text("email,department\na@u.edu,CHEM\nb@u.edu,Law\n")
    out = io.StringIO()
    call_command("people", "load", str(path), "--json", stdout=out)
    assert json.loads(out.getvalue())["departments"] == ["Law"]
    out = io.StringIO()
    call_command("people", "list", "--json", stdout=out)
    listed = [(each["department"], each["department_code"]) for each in json.loads(out.getvalue())["people"]]
    assert listed == [("Chemistry", "CHEM"), ("Law", "Law")]


# Statements -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "printed"), [("Chemistry", "Chemistry"), ("", "CHEM")])
def test_a_statement_prints_the_name_of_the_department(name, printed):
    build.a_charge()
    Person.objects.update(department=a_department("CHEM", name=name))
    issuing.generate(period=build.a_period(), **BY)
    assert Statement.objects.get().document["pi_department"] == printed


# Screens --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def house(cast):
    """Two PIs of Chemistry (one of its NMR group), one of none; projects of their PI's department, and of another."""
    college, department, group = a_college()
    ada, bob, eve = a_pi("ada@u.edu"), a_pi("bob@u.edu"), a_pi("eve@u.edu")
    Person.objects.filter(pk=ada.pk).update(department=department)
    Person.objects.filter(pk=bob.pk).update(department=group)
    a_project("hers", pi=ada)
    a_project("lent", pi=ada, department=college)
    a_project("his", pi=bob)
    a_project("free", pi=eve)
    return cast


@pytest.mark.django_db
def test_the_list_counts_people_and_projects_with_all_that_is_within(client, house):
    client.force_login(house.viewer)
    listed = client.get(url("changelist")).context["cl"].result_list
    assert {each.code: (each.people_number, each.project_number) for each in listed} == {
        "SCI": (2, 3),
        "CHEM": (2, 2),
        "CHEM-NMR": (1, 1),
    }
    found = client.get(url("changelist"), {"q": "college of"}).context["cl"].result_list
    # Those of the college are found by its name, too.
    assert {each.code for each in found} == {"SCI", "CHEM"}
    chemistry = Department.objects.coded("chem").get()
    found = client.get(url("changelist"), {"within": chemistry.pk}).context["cl"].result_list
    assert {each.code for each in found} == {"CHEM", "CHEM-NMR"}


def listed_by(client, model, **query) -> set[str]:
    page = client.get(reverse(f"admin:billing_{model._meta.model_name}_changelist"), query)
    assert page.status_code == 200
    return {each.email if model is Person else each.code for each in page.context["cl"].result_list}


@pytest.mark.django_db
def test_people_and_projects_are_listed_by_department_with_all_that_is_within(client, house):
    client.force_login(house.viewer)
    college, chemistry, group = (Department.objects.coded(code).get().pk for code in ("sci", "chem", "chem-nmr"))
    assert listed_by(client, Person, department=college) == {"ada@u.edu", "bob@u.edu"}
    assert listed_by(client, Person, department=group) == {"bob@u.edu"}
    assert listed_by(client, Person, department="none") == {"eve@u.edu", "mallory@u.edu"}
    assert listed_by(client, Project, department=college) == {"hers", "his", "lent"}
    assert listed_by(client, Project, department=chemistry) == {"hers", "his"}
    assert listed_by(client, Project, department="none") == {"free"}
    for nonsense in ("x", "0", "9" * 30, "-1"):
        assert listed_by(client, Person, department=nonsense) == set()
        assert listed_by(client, Project, department=nonsense) == set()
    # Only those with somebody in them, or within them, are offered.
    a_department("EMPTY")
    page = client.get(reverse("admin:billing_person_changelist")).content.decode()
    assert "NMR" in page
    assert "EMPTY" not in page


@pytest.mark.django_db
def test_people_and_projects_are_searched_by_department(client, house):
    client.force_login(house.viewer)
    assert listed_by(client, Person, q="NMR") == {"bob@u.edu"}
    assert listed_by(client, Project, q="college") == {"lent"}


@pytest.mark.django_db
def test_a_project_shows_the_department_of_its_pi_where_it_has_none(client, house):
    client.force_login(house.viewer)
    page = client.get(reverse("admin:billing_project_changelist"))
    homes = {each.code: str(each.home) for each in page.context["cl"].result_list}
    assert homes == {
        "hers": "Chemistry (CHEM)",
        "lent": "College of Science (SCI)",
        "his": "NMR (CHEM-NMR)",
        "free": "None",
    }


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["reviewer", "finance", "admin"])
def test_staff_add_move_and_delete_departments_and_each_is_in_the_audit_log(client, house, who):
    client.force_login(getattr(house, who))
    college = Department.objects.coded("sci").get()
    answer = client.post(url("add"), {"code": " phys ", "name": "Physics", "parent": college.pk})
    assert answer.status_code == 302
    physics = Department.objects.coded("PHYS").get()
    assert (physics.code, physics.parent) == ("phys", college)
    client.post(url("change", physics.pk), {"code": "PHYS", "name": "Physics", "parent": ""})
    client.post(url("delete", physics.pk), {"post": "yes"})
    events = AuditEvent.objects.filter(object_type="department").order_by("pk")
    assert [(each.action, each.actor_name) for each in events] == [
        (f"department.{what}", getattr(house, who).username) for what in ("added", "changed", "deleted")
    ]
    assert events[0].after | {"created_at": ""} == {
        **{"code": "phys", "name": "Physics", "parent": college.pk, "created_at": ""},
    }
    assert (events[1].before, events[1].after) == (
        {"code": "phys", "parent": college.pk},
        {"code": "PHYS", "parent": None},
    )


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["viewer", "pi", "delegate", "stranger"])
def test_others_change_no_department(client, house, who):
    client.force_login(getattr(house, who))
    college = Department.objects.coded("sci").get()
    for address in (url("add"), url("change", college.pk), url("delete", college.pk)):
        assert client.post(address, {"code": "X", "post": "yes"}).status_code in (302, 403)
    assert set(Department.objects.values_list("code", flat=True)) == {"SCI", "CHEM", "CHEM-NMR"}


@pytest.mark.django_db
def test_the_form_refuses_a_code_that_is_taken_and_a_circle(client, house):
    client.force_login(house.reviewer)
    college, group = Department.objects.coded("sci").get(), Department.objects.coded("chem-nmr").get()
    taken = client.post(url("add"), {"code": "chem"}).content.decode()
    assert "There is a department with this code: Chemistry (CHEM)." in taken
    circle = client.post(url("change", college.pk), {"code": "SCI", "parent": group.pk}).content.decode()
    assert "NMR (CHEM-NMR) is within SCI: one of them cannot be part of the other." in circle
    itself = client.post(url("change", college.pk), {"code": "SCI", "parent": college.pk}).content.decode()
    assert "A department cannot be part of itself." in itself
    nothing = client.post(url("add"), {"code": "n/a"}).content.decode()
    assert "means that there is none" in nothing
    assert not AuditEvent.objects.filter(object_type="department").exists()


@pytest.mark.django_db
def test_the_page_says_what_keeps_a_department_from_being_deleted(client, house):
    client.force_login(house.reviewer)
    college, chemistry = Department.objects.coded("sci").get(), Department.objects.coded("chem").get()
    page = client.post(url("delete", chemistry.pk), {"post": "yes"}).content.decode()
    assert "Chemistry (CHEM) is in use and cannot be deleted. Give these another department first:" in page
    assert "1 PI of Chemistry (CHEM)" in page
    assert "1 department within Chemistry (CHEM)" in page
    chosen = {"action": "delete_selected", "_selected_action": [college.pk, chemistry.pk], "post": "yes"}
    page = client.post(url("changelist"), chosen).content.decode()
    assert "Departments in use cannot be deleted." in page
    assert "1 project of College of Science (SCI)" in page
    assert Department.objects.count() == 3
    assert not AuditEvent.objects.filter(action="department.deleted").exists()


@pytest.mark.django_db
def test_the_page_of_a_department_leads_to_what_is_in_it(client, house):
    client.force_login(house.viewer)
    college = Department.objects.coded("sci").get()
    page = client.get(url("change", college.pk)).content.decode()
    for said in ("2 PIs", "3 projects", "2 departments"):
        assert said in page
    assert f"{reverse('admin:billing_person_changelist')}?department={college.pk}" in page


@pytest.mark.django_db
def test_a_pi_and_a_project_get_a_department_by_searching_for_it(client, house):
    client.force_login(house.reviewer)
    query = {"app_label": "billing", "field_name": "department", "term": "chem"}
    for model in ("person", "project"):
        found = client.get(reverse("admin:autocomplete"), query | {"model_name": model}).json()["results"]
        assert [each["text"] for each in found] == ["Chemistry (CHEM)", "NMR (CHEM-NMR)"]
