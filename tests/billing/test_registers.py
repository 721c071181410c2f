"""Lists of people, projects, funds, departments, rules and cloud accounts: exported, edited, shown and loaded again."""

import csv
import datetime
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from billing.background import jobs
from billing.errors import PreviewOutdated
from billing.models import (
    AttributionRule,
    AuditEvent,
    CloudAccount,
    Department,
    FundingSource,
    Job,
    Membership,
    PayerSplit,
    Person,
    Project,
    Source,
)
from billing.setup import kept_sheets, registers
from billing.setup.registers import ACCOUNTS, DEPARTMENTS, FUNDS, PEOPLE, PROJECTS, REGISTERS, RULES, exporting
from billing.texts import code_of, folded_code
from journals.account_rules import ACCOUNT_RULES
from tests import build

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
FORMS = ("csv", "xlsx")
DAY = datetime.date(2025, 6, 30)


def exported(register, form="csv", **options) -> bytes:
    file = io.BytesIO()
    registers.write(register, file=file, form=form, **options, **BY)
    return file.getvalue()


def load(register, text, **options):
    content = text if isinstance(text, bytes) else text.encode()
    return registers.load(register, file=io.BytesIO(content), **options, **BY)


def refusals(register, text):
    with pytest.raises(register.refused) as refused:
        load(register, text)
    return [str(each) for each in refused.value.errors] or [str(refused.value)]


def edited(content: bytes, edit) -> bytes:
    """Return a workbook as somebody saves it who changed its first sheet."""
    book = load_workbook(io.BytesIO(content))
    edit(book.worksheets[0])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


# What is exported and loaded again changes nothing --------------------------------------------------------------------

NASTY = (
    *("=1+1", "'=1+1", "''=1", "+49", "-5", "-x", "@here", "'quoted'", "0042", "12E10", "1E5", "2025-01-01", "Mar-25"),
    *("#N/A", "#REF!", "##", "TRUE", "0.5", "12:30", "a;b", "a,b", 'say "x"', "Ærø, Müller", "漢字", "\u00a0x\u00a0"),
    *("two\nlines", "tab\there", "＝full", "x" * 60),
)
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(alphabet="ab01;,\"'=+-@. é漢\n\t", max_size=12), st.just(""))
CODES = TEXTS.map(code_of).filter(lambda text: bool(text) and "\n" not in text)
DAYS = st.one_of(st.none(), st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31)))


def unlike(codes: list[str]) -> list[str]:
    return list({folded_code(each): each for each in codes if folded_code(each)}.values())


def make_everything(data) -> None:
    """Store what people and tags may have written at one time or other, whatever a form would say to it today."""
    Department.objects.update(parent=None)
    for model in (Membership, CloudAccount, AttributionRule, FundingSource, Project, Person, Department, Source):
        model.objects.all().delete()
    codes = unlike(data.draw(st.lists(CODES, min_size=1, max_size=4)))
    names, days = iter(data.draw(st.lists(TEXTS, min_size=40, max_size=40))), DAYS
    college = Department.objects.create(code="COLLEGE", name=next(names))
    departments = [Department.objects.create(code=code, name=next(names), parent=college) for code in codes]
    people = [
        Person.objects.create(
            email=f"p{number}@u.edu",
            name=next(names),
            department=departments[0],
            active_until=data.draw(days),
            is_listed=bool(number),
        )
        for number in range(2)
    ]
    projects = [
        Project.objects.create(
            code=code, name=next(names), pi=people[0], end_date=data.draw(days), default_fund_org=next(names)[:64]
        )
        for code in codes
    ]
    user = build.a_user(f"user-{next(build._numbers)}")
    Membership.objects.create(person=people[0], project=projects[0], user=user, valid_from=datetime.date(2024, 1, 1))
    for code in codes:
        fund = FundingSource.objects.create(fund_org=code, name=next(names), valid_from=data.draw(days))
        fund.projects.set(projects)
    source = Source.objects.create(name=f"aws{next(build._numbers)}", kind="focus")
    for code in codes:
        AttributionRule.objects.create(
            source=source, resource=next(names), tag_key=code, pi=people[1], note=next(names)
        )
        CloudAccount.objects.create(source=source, account_id=code, name=next(names), default_project=projects[0])


def with_semicolons(content: bytes) -> bytes:
    """Return CSV as a spreadsheet of many countries saves it."""
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    return out.getvalue().encode("utf-8-sig")


@pytest.mark.parametrize("register", REGISTERS, ids=lambda each: each.name)
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_list_that_is_loaded_as_it_was_exported_changes_nothing(register, data):
    make_everything(data)
    before = list(register.model.objects.order_by("pk").values())
    contents = {form: exported(register, form) for form in FORMS}
    # A file with one column and its semicolons alone has no other separator.
    contents["semicolons"] = with_semicolons(contents["csv"])
    # Saved again by a program that keeps the cells and not the styles.
    contents["saved"] = edited(contents["xlsx"], lambda sheet: None)
    events = AuditEvent.objects.exclude(action=f"{register.name}.loaded").count()
    for form, content in contents.items():
        loaded = load(register, content)
        assert (loaded.added, loaded.changed, loaded.unchanged) == (0, 0, len(before)), (form, loaded.changes)
    assert list(register.model.objects.order_by("pk").values()) == before
    assert AuditEvent.objects.exclude(action=f"{register.name}.loaded").count() == events


@pytest.mark.parametrize("register", REGISTERS, ids=lambda each: each.name)
def test_an_exported_list_is_loaded_into_an_empty_database(register):
    """All that a list holds comes back by it, where what it names is there."""
    person = build.a_pi("ada@u.edu", department=build.a_department("CHEM"), is_listed=True)
    source, project = build.a_source(), build.a_project("genomics", pi=person, end_date=DAY)
    build.a_fund("0042", valid_until=DAY, is_sponsored=True).projects.set([project])
    Department.objects.create(code="NMR", parent=person.department)
    rule = {"source": source, "service": "*EC2*", "priority": 7, "is_active": False, "tag_key": "lab", "note": "Why"}
    AttributionRule.objects.create(pi=person, project=project, overrides_tags=True, valid_from=DAY, **rule)
    CloudAccount.objects.create(source=source, account_id="000123", default_pi=person)
    first = exported(register)
    model: Any = register.model
    kept = {
        PEOPLE: lambda: [Project.objects.update(pi=None), AttributionRule.objects.all().delete()],
        DEPARTMENTS: lambda: [Person.objects.update(department=None), Department.objects.update(parent=None)],
        PROJECTS: lambda: [AttributionRule.objects.all().delete()],
    }
    kept.get(register, list)()
    if register is PEOPLE:
        CloudAccount.objects.all().delete()
    model.objects.all().delete()
    # A rule gets a new number.
    lines = list(csv.reader(io.StringIO(first.decode("utf-8-sig"), newline="")))
    if register is RULES:
        lines = [lines[0], *(["", *line[1:]] for line in lines[1:])]
    out = io.StringIO()
    csv.writer(out).writerows(lines)
    assert load(register, out.getvalue()).added == len(lines) - 1
    again = list(csv.reader(io.StringIO(exported(register).decode("utf-8-sig"), newline="")))
    skipped = 1 if register is RULES else 0
    assert [line[skipped:] for line in again] == [line[skipped:] for line in lines]


@pytest.mark.parametrize("form", FORMS)
def test_no_text_of_a_list_becomes_a_formula(form):
    build.a_project("=cmd|'/c calc'!A1", name="=HYPERLINK(1)")
    content = exported(PROJECTS, form)
    if form == "csv":
        assert b"'=HYPERLINK(1)" in content
    else:
        cells = [cell for row in load_workbook(io.BytesIO(content)).worksheets[0].iter_rows() for cell in row]
        assert not [cell.coordinate for cell in cells if cell.data_type == "f"]


def test_a_workbook_keeps_codes_as_text_and_days_as_dates_and_says_what_its_columns_are():
    build.a_project("0042", end_date=DAY)
    book = load_workbook(io.BytesIO(exported(PROJECTS, "xlsx")))
    sheet = book.worksheets[0]
    columns = {cell.value: cell.column_letter for cell in sheet[1]}
    assert (sheet["A2"].value, sheet["A2"].data_type) == ("0042", "s")
    day = sheet[f"{columns['end_date']}2"]
    assert (day.value.date(), day.number_format) == (DAY, "yyyy-mm-dd")
    # What is typed into an empty cell of a column of codes stays as it is typed.
    assert sheet.column_dimensions[columns["default_fund_org"]].number_format == "@"
    about = {row[0]: row[2] for row in book["Columns"].values}
    assert {each.name for each in PROJECTS.columns} <= set(about)


# What a file changes --------------------------------------------------------------------------------------------------


def a_faculty():
    build.a_department("CHEM", name="Chemistry")
    ada, bob = build.a_pi("ada@u.edu"), build.a_pi("bob@u.edu")
    return ada, bob, build.a_project("genomics", pi=ada, name="Genomics")


def test_a_list_of_projects_adds_and_changes_them_and_says_how_column_by_column():
    ada, bob, genomics = a_faculty()
    text = (
        "code,name,pi,department,end_date,default_fund_org\n"
        "GENOMICS,Genomics,bob@u.edu,chemistry,2025-06-30,0042\n"
        "new,New,ada@u.edu,,,\n"
    )
    preview = load(PROJECTS, text, is_dry_run=True)
    assert str(preview) == "1 project would be added, 1 would be changed, 0 stay as they are."
    assert [str(each) for each in preview.changes] == [
        "line 2: genomics: pi ada@u.edu → bob@u.edu, department – → CHEM, end_date – → 2025-06-30, "
        "default_fund_org – → 0042",
        "line 3: new is added (name New, pi ada@u.edu)",
    ]
    assert Project.objects.count() == 1
    load(PROJECTS, text, expected=preview.digest)
    genomics.refresh_from_db()
    assert (genomics.pi, genomics.end_date, genomics.default_fund_org) == (bob, DAY, "0042")
    changed = AuditEvent.objects.get(action="project.changed")
    assert changed.before["pi"] == ada.pk
    assert changed.after == {"pi": bob.pk, "department": genomics.department_id, "end_date": "2025-06-30"} | {
        "default_fund_org": "0042"
    }
    assert AuditEvent.objects.get(action="project.added").after["code"] == "new"
    assert AuditEvent.objects.get(action="projects.loaded").after == {"added": 1, "changed": 1}


def test_every_mistake_of_a_list_of_projects_is_told_by_line_and_column():
    build.a_policy()
    a_faculty()
    found = refusals(
        PROJECTS,
        "code,pi,department,end_date,members\n"
        "a,nobody@u.edu,,,\n"
        "b,,Alchemy,,\n"
        "c,,,30.6.2025,\n"
        ",,,,\n"
        ",ada@u.edu,,,\n"
        "A,,,,\n"
        "n/a,,,,\n"
        "d,ada@u.edu,,,ghost\n",
    )
    assert [line.partition(": ")[0] for line in found] == [
        *("line 2, pi", "line 3, department", "line 4, end_date", "line 6, code", "line 7, code", "line 8, code"),
        "line 9, members",
    ]
    assert "Load them with the list of people first" in found[0]
    assert Project.objects.count() == 1
    assert not AuditEvent.objects.filter(action__startswith="project").exists()


def test_members_of_a_project_are_named_and_removed_as_delegates(cast):
    ada = Person.objects.get(email="ada@u.edu")
    project = build.a_project("genomics", pi=ada)
    load(PROJECTS, "code,members\ngenomics,vera; rex@u.edu\n")
    member = {each.user.username for each in Membership.objects.filter(project=project)}
    assert member == {"vera", "rex"}
    assert AuditEvent.objects.filter(action="membership.added").count() == 2
    preview = load(PROJECTS, "code,members\ngenomics,rex\n", is_dry_run=True)
    assert [str(each) for each in preview.changes] == ["line 2: genomics: members rex@u.edu; vera@u.edu → rex@u.edu"]
    load(PROJECTS, "code,members\ngenomics,rex\n")
    assert [each.user.username for each in Membership.objects.filter(project=project)] == ["rex"]
    # Grace may see all projects of the PI, and Ada is the PI.
    assert "all projects" in refusals(PROJECTS, "code,members\ngenomics,grace\n")[0]
    assert "own account" in refusals(PROJECTS, "code,members\ngenomics,ada\n")[0]
    assert "name the PI" in refusals(PROJECTS, "code,members\nnew,rex\n")[0]


def test_a_new_pi_gets_the_members_that_the_list_names(cast):
    ada, mallory = (Person.objects.get(email=f"{name}@u.edu") for name in ("ada", "mallory"))
    project = build.a_project("genomics", pi=ada)
    Membership.objects.create(person=ada, project=project, user=cast.viewer, valid_from=datetime.date(2024, 1, 1))
    changes = load(PROJECTS, "code,pi,members\ngenomics,mallory@u.edu,vera@u.edu\n").changes
    assert [str(each) for each in changes] == [
        "line 2: genomics: pi ada@u.edu → mallory@u.edu, members vera@u.edu → vera@u.edu"
    ]
    assert Membership.objects.filter(person=mallory, project=project, user=cast.viewer).exists()


def test_a_pi_whose_customer_pays_by_invoice_gets_no_project_with_a_split():
    build.a_pi("paying@x.com", customer=build.a_customer())
    project = build.a_project("genomics")
    build.a_split({"BIO-1": "60", "BIO-2": "40"}, project=project, valid_until=None)
    assert PayerSplit.objects.get().project == project
    assert "by invoice" in refusals(PROJECTS, "code,pi\ngenomics,paying@x.com\n")[0]


def test_departments_come_in_any_order_and_never_within_themselves():
    load(DEPARTMENTS, "code,name,part_of\nNMR,Spectroscopy,CHEM\nCHEM,Chemistry,SCI\nSCI,Science,\n")
    assert dict(Department.objects.values_list("code", "parent__code")) == {"NMR": "CHEM", "CHEM": "SCI", "SCI": None}
    assert refusals(DEPARTMENTS, "code,part_of\nSCI,NMR\n") == ["line 2, part_of: SCI would be within itself"]
    assert len(refusals(DEPARTMENTS, "code,part_of\nA,B\nB,A\n")) == 2
    assert refusals(DEPARTMENTS, "code,part_of\nSCI,SCI\n") == ["line 2, part_of: SCI would be within itself"]
    assert "there is no department" in refusals(DEPARTMENTS, "code,part_of\nX,Alchemy\n")[0]
    # A department that moves is recorded alone.
    load(DEPARTMENTS, "code,name,part_of\nNMR,Spectroscopy,SCI\nCHEM,Chemistry,SCI\n")
    assert AuditEvent.objects.filter(action="department.changed").count() == 1


def test_rules_are_changed_by_number_and_added_without_one():
    ada, source = build.a_pi("ada@u.edu"), build.a_source("aws")
    rule = AttributionRule.objects.create(source=source, pi=ada, service="*EC2*")
    head = "rule,active,source,service,pi,fund_org\n"
    done = load(RULES, f"{head}{rule.pk},no,aws,*EC2*,ada@u.edu,\n,,,*S3*,,BIO-1\n,,aws,,ada@u.edu,\n")
    assert (done.added, done.changed) == (2, 1)
    assert list(AttributionRule.objects.order_by("pk").values_list("is_active", "priority")) == [
        *((False, 100), (True, 100), (True, 100))
    ]
    assert refusals(RULES, "rule,service\n999,x\n")[0].startswith("line 2, rule: there is no attribution rule")
    said = refusals(
        RULES, "rule,service,pi,valid_from,valid_until\n,x,,,\n,,ada@u.edu,,\n,x,ada@u.edu,2025-02-01,2025-01-01\n"
    )
    assert [each.partition(": ")[2][:22] for each in said] == [
        "Say what the rule sets",
        "Say what the rule is f",
        "The last day is before",
    ]


def test_cloud_accounts_are_known_by_source_and_id():
    ada, source = build.a_pi("ada@u.edu"), build.a_source("aws")
    CloudAccount.objects.create(source=source, account_id="000123", default_pi=ada)
    done = load(ACCOUNTS, "source,account_id,pi,active\nAWS,000123,ada@u.edu,no\naws,000124,ada@u.edu,\n")
    assert (done.added, done.changed) == (1, 1)
    assert dict(CloudAccount.objects.values_list("account_id", "is_active")) == {"000123": False, "000124": True}
    assert "no column account_id" in refusals(ACCOUNTS, "source,pi\naws,ada@u.edu\n")[0]
    assert "There are: aws" in refusals(ACCOUNTS, "source,account_id,pi\ngcp,1,ada@u.edu\n")[0]
    assert "Say who owns the account" in refusals(ACCOUNTS, "source,account_id\naws,5\n")[0]


def test_a_column_that_says_who_is_listed_lists_nobody_else():
    stranger = build.a_pi("stranger@gmail.com")
    content = exported(PEOPLE)
    assert load(PEOPLE, content).unchanged == 1
    stranger.refresh_from_db()
    assert not stranger.is_listed
    load(PEOPLE, "email,listed\nnew@u.edu,\nother@u.edu,no\n")
    assert dict(Person.objects.values_list("email", "is_listed")) == {
        "stranger@gmail.com": False,
        "new@u.edu": True,
        "other@u.edu": False,
    }


def test_a_list_that_would_do_something_else_by_now_is_refused_and_changes_nothing():
    _, _, genomics = a_faculty()
    text = "code,name\ngenomics,New name\n"
    shown = load(PROJECTS, text, is_dry_run=True)
    Project.objects.update(name="Changed by somebody")
    with pytest.raises(PreviewOutdated, match="Look at the new preview"):
        load(PROJECTS, text, expected=shown.digest)
    genomics.refresh_from_db()
    assert genomics.name == "Changed by somebody"
    assert load(PROJECTS, text, expected=load(PROJECTS, text, is_dry_run=True).digest).changed == 1


@pytest.mark.parametrize("register", REGISTERS, ids=lambda each: each.name)
def test_a_long_list_asks_no_more_of_the_database(register, django_assert_max_num_queries):
    build.a_pi("ada@u.edu")
    build.a_source("aws")
    build.a_department("CHEM")
    build.a_project("genomics")
    head, line = {
        PEOPLE: ("email,department", "p{}@u.edu,CHEM"),
        PROJECTS: ("code,pi,department", "p{},ada@u.edu,CHEM"),
        FUNDS: ("fund_org,valid_from,projects", "F-{},2025-01-01,genomics"),
        DEPARTMENTS: ("code,part_of", "D{},CHEM"),
        RULES: ("rule,source,service,pi", ",aws,s{},ada@u.edu"),
        ACCOUNTS: ("source,account_id,pi", "aws,{},ada@u.edu"),
    }[register]
    with django_assert_max_num_queries(25):
        assert load(register, "\n".join([head, *(line.format(at) for at in range(300))]), is_dry_run=True).added == 300


# On the web -----------------------------------------------------------------------------------------------------------

URLS = {
    PEOPLE: "person",
    PROJECTS: "project",
    FUNDS: "fundingsource",
    DEPARTMENTS: "department",
    RULES: "attributionrule",
    ACCOUNTS: "cloudaccount",
}


def url_of(register, verb):
    return reverse(f"admin:billing_{URLS[register]}_{verb}")


def confirming(preview):
    """Return what the page of a preview sends back."""
    return {name: preview.context[name] for name in ("kept", "file_name")} | {"expected": preview.context["digest"]}


def content_of(answer):
    return b"".join(answer.streaming_content)


def test_a_manager_exports_projects_edits_them_in_excel_and_loads_them_again(client, cast):
    a_person = Person.objects.get(email="ada@u.edu")
    for number in range(12):
        build.a_project(f"p{number:02}", pi=a_person, name=f"Project {number}")
    client.force_login(cast.reviewer)
    page = client.get(url_of(PROJECTS, "changelist"))
    assert url_of(PROJECTS, "export") in page.content.decode()
    answer = client.post(url_of(PROJECTS, "export"), {"format": "xlsx"})
    assert answer["Content-Disposition"].startswith('attachment; filename="projects-')

    def edit(sheet):
        columns = {cell.value: cell.column for cell in sheet[1]}
        for line in range(2, 12):
            sheet.cell(line, columns["end_date"], datetime.datetime(2025, 6, 30))  # noqa: DTZ001 (Excel knows no zones)
        sheet.append(["new-1", "New", "mallory@u.edu"])
        sheet.append(["new-2", "Newer", "ada@u.edu"])

    file = io.BytesIO(edited(content_of(answer), edit))
    file.name = "projects.xlsx"
    preview = client.post(url_of(PROJECTS, "load"), {"file": file})
    assert preview.context["planned"] == "2 projects would be added, 10 would be changed, 2 stay as they are."
    text = preview.content.decode()
    assert "<td>end_date</td><td>–</td><td>2025-06-30</td>" in text
    assert Project.objects.count() == 12
    confirmed = confirming(preview)
    answer = client.post(url_of(PROJECTS, "load"), confirmed, follow=True)
    assert "2 projects added, 10 changed, 2 stay as they are." in answer.content.decode()
    assert Project.objects.filter(end_date=DAY).count() == 10
    assert AuditEvent.objects.filter(action__in=("project.added", "project.changed"), actor_name="rex").count() == 12


def test_a_mistake_in_an_uploaded_list_is_told_by_line_and_nothing_is_loaded(client, cast):
    client.force_login(cast.reviewer)
    file = io.BytesIO(b"code,pi\na,ada@u.edu\nb,nobody@u.edu\n")
    file.name = "projects.csv"
    answer = client.post(url_of(PROJECTS, "load"), {"file": file})
    assert "line 3, pi: there is no PI “nobody@u.edu”" in answer.content.decode()
    assert not Project.objects.exists()


def test_a_preview_that_is_out_of_date_is_shown_anew_and_not_loaded(client, cast):
    build.a_project("genomics", name="Old")
    client.force_login(cast.reviewer)
    file = io.BytesIO(b"code,name\ngenomics,New\n")
    file.name = "projects.csv"
    preview = client.post(url_of(PROJECTS, "load"), {"file": file})
    Project.objects.update(name="Somebody else's")
    confirmed = confirming(preview)
    answer = client.post(url_of(PROJECTS, "load"), confirmed)
    assert "somebody changed meanwhile" in answer.content.decode()
    assert answer.context["plan"]["changed"][0]["columns"] == {"name": {"before": "Somebody else's", "after": "New"}}
    assert Project.objects.get().name == "Somebody else's"
    confirmed |= {"kept": answer.context["kept"], "expected": answer.context["digest"]}
    client.post(url_of(PROJECTS, "load"), confirmed)
    assert Project.objects.get().name == "New"


def test_a_list_is_exported_as_it_is_searched(client, cast):
    build.a_project("genomics")
    build.a_project("physics")
    client.force_login(cast.viewer)
    answer = client.post(f"{url_of(PROJECTS, 'export')}?q=genom", {"format": "csv"})
    lines = content_of(answer).decode("utf-8-sig").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["code", "genomics"]
    event = AuditEvent.objects.get(action="projects.exported")
    assert event.after == {"rows": 1, "format": "csv", "filters": "q=genom"}
    assert client.post(url_of(PROJECTS, "export"), {"format": "exe"}).status_code == 302


@pytest.mark.parametrize("register", REGISTERS, ids=lambda each: each.name)
def test_who_may_look_exports_and_who_may_add_loads(client, cast, register):
    client.force_login(cast.viewer)
    page = client.get(url_of(register, "changelist")).content.decode()
    assert url_of(register, "export") in page
    assert url_of(register, "load") not in page
    assert client.get(url_of(register, "load")).status_code == 403
    client.force_login(cast.finance)
    assert url_of(register, "load") in client.get(url_of(register, "changelist")).content.decode()
    page = client.get(url_of(register, "load")).content.decode()
    assert all(column.name in page for column in register.columns)


def test_a_large_list_is_read_by_the_worker_for_its_preview_and_to_load_it(client, cast, monkeypatch, settings):
    monkeypatch.setattr(kept_sheets, "LARGE_BYTES", 10)
    client.force_login(cast.reviewer)
    file = io.BytesIO(b"code,name\ngenomics,Genomics\n")
    file.name = "projects.csv"
    client.post(url_of(PROJECTS, "load"), {"file": file})
    job = Job.objects.get()
    assert job.kind == Job.Kind.PROJECTS
    jobs.run(job.pk)
    preview = client.get(f"{url_of(PROJECTS, 'load')}?job={job.pk}")
    assert preview.context["plan"]["added"][0]["name"] == "genomics"
    confirmed = confirming(preview)
    client.post(url_of(PROJECTS, "load"), confirmed)
    assert not Project.objects.exists()
    jobs.run(Job.objects.latest("pk").pk)
    assert Project.objects.get().name == "Genomics"


def one_of_each():
    build.a_policy()
    build.a_project("genomics", pi=build.a_pi("ada@u.edu", department=build.a_department("CHEM")))
    build.a_fund("0042")
    source = build.a_source("aws")
    AttributionRule.objects.create(source=source, fund_org="0042")
    CloudAccount.objects.create(source=source, account_id="1", default_fund_org="0042")


def rows_of(content: bytes, form: str) -> list[tuple[Any, ...]]:
    if form == "xlsx":
        return list(load_workbook(io.BytesIO(content)).worksheets[0].iter_rows(values_only=True))
    return [tuple(row) for row in csv.reader(io.StringIO(content.decode("utf-8-sig")))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("register", REGISTERS, ids=lambda each: each.name)
def test_a_long_list_is_written_by_the_worker_for_who_asked(client, cast, monkeypatch, register, form):
    monkeypatch.setattr(jobs, "LARGE", 0)
    one_of_each()
    client.force_login(cast.viewer)
    answer = client.post(url_of(register, "export"), {"format": form})
    job = Job.objects.get(kind=Job.Kind.LIST)
    assert answer.url == reverse("admin:billing_job_change", args=[job.pk])
    jobs.run(job.pk)
    job.refresh_from_db()
    # The cast has a PI of its own.
    told = "2 PIs" if register is PEOPLE else f"1 {register.nouns[0]}"
    assert job.message == f"{told} exported. The file is kept for 24 hours."
    page = client.get(answer.url).content.decode()
    assert f"Download the {'CSV' if form == 'csv' else 'Excel'} file" in page
    assert f"Go to these {register.nouns[1]}" in page
    download = reverse("admin:billing_job_download", args=[job.pk])
    file = client.get(download)
    name = f"{register.name.replace('_', '-')}-{timezone.localdate(job.finished_at).isoformat()}.{form}"
    assert file["Content-Disposition"] == f'attachment; filename="{name}"'
    # It is what the list itself hands over.
    monkeypatch.setattr(jobs, "LARGE", 10)
    at_once = content_of(client.post(url_of(register, "export"), {"format": form}))
    assert rows_of(content_of(file), form) == rows_of(at_once, form)
    assert AuditEvent.objects.filter(action=f"{register.name}.exported").count() == 2

    client.force_login(cast.admin)
    assert client.get(download).status_code == 404
    # Who lost the role is handed nothing, and nothing is written for them.
    client.force_login(cast.viewer)
    cast.viewer.groups.clear()
    assert client.get(download).status_code in (302, 403, 404)


def test_a_long_list_tells_how_far_it_has_come_and_is_narrowed_as_the_page(client, cast, monkeypatch):
    monkeypatch.setattr(jobs, "LARGE", 1)
    monkeypatch.setattr(exporting, "CHUNK", 1)
    for code in ("genomics", "genetics", "physics"):
        build.a_project(code)
    client.force_login(cast.viewer)
    client.post(f"{url_of(PROJECTS, 'export')}?q=gen", {"format": "csv"})
    told = []
    monkeypatch.setattr(jobs.JobProgress, "__call__", lambda self, *said: told.append(said))
    job = Job.objects.get()
    jobs.run(job.pk)
    assert told == [(1, 2, "Writing projects"), (2, 2, "Writing projects")]
    file = client.get(reverse("admin:billing_job_download", args=[job.pk]))
    assert [line[0] for line in rows_of(content_of(file), "csv")] == ["code", "genetics", "genomics"]


def test_a_list_that_somebody_may_see_no_more_is_not_written(client, cast, monkeypatch):
    """Jobs they may still see; the permission of the list is asked for again when its turn comes."""
    monkeypatch.setattr(jobs, "LARGE", 0)
    build.a_project("genomics")
    client.force_login(cast.viewer)
    client.post(url_of(PROJECTS, "export"), {"format": "csv"})
    cast.viewer.groups.get().permissions.filter(codename="view_project").delete()
    job = Job.objects.get()
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result) == (Job.State.FAILED, None)
    assert "no longer allowed" in job.message
    assert not AuditEvent.objects.filter(action="projects.exported").exists()


# By command -----------------------------------------------------------------------------------------------------------


def run(*arguments):
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("register", REGISTERS, ids=lambda each: each.name)
def test_each_list_has_a_command_that_exports_and_loads_it(register, tmp_path):
    one_of_each()
    for form in FORMS:
        path = tmp_path / f"list.{form}"
        done = json.loads(run(register.name, "export", "-o", path, "--json"))
        assert done == {"rows": 1, "file": str(path)}
        loaded = json.loads(run(register.name, "load", path, "--json"))
        assert (loaded["added"], loaded["changed"], loaded["unchanged"], loaded["changes"]) == (0, 0, 1, [])
    with pytest.raises(CommandError, match=r"end its name in .csv or .xlsx"):
        run(register.name, "export", "-o", tmp_path / "list.pdf")


def test_a_command_loads_what_its_dry_run_showed_and_nothing_else(tmp_path):
    build.a_project("genomics", name="Old")
    path = tmp_path / "projects.csv"
    path.write_text("code,name\ngenomics,New\n")
    shown = json.loads(run("projects", "load", path, "--dry-run", "--json"))
    assert shown["changes"] == [
        {"line": 2, "name": "genomics", "new": False, "columns": {"name": {"before": "Old", "after": "New"}}}
    ]
    Project.objects.update(name="Other")
    with pytest.raises(CommandError, match="somebody changed meanwhile"):
        run("projects", "load", path, "--expected", shown["digest"])
    assert Project.objects.get().name == "Other"


@pytest.mark.same_on_either
def test_the_page_of_lists_says_what_each_column_is():
    text = (Path(__file__).resolve().parents[2] / "docs/admin-guide/lists.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    assert told == [
        (each.name, str(each.kind), each.about) for register in (*REGISTERS, ACCOUNT_RULES) for each in register.columns
    ]
