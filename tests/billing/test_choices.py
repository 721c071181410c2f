"""Fields that choose records: by key, and by what is typed where there is no script."""

import re
from pathlib import Path

import pytest
from django.contrib import admin
from django.urls import reverse

import openchargeback
from billing.models import FundingSource, Person, Project
from tests import build
from tests.test_pages import MODELS, Asking, admin_url

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]


def save(client, project, **typed):
    """Send the form of a project with these fields, and return the page."""
    url = reverse("admin:billing_project_change", args=[project.pk])
    rows = {f"splits-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
    page = client.get(url)
    fields = page.context["adminform"].form
    kept = {name: fields[name].value() or "" for name in fields.fields}
    kept |= {
        f"{each.formset.prefix}-{name}_FORMS": 0
        for each in page.context["inline_admin_formsets"]
        for name in ("TOTAL", "INITIAL")
    }
    return client.post(url, kept | rows | typed)


def errors_of(page, name):
    return list(page.context["adminform"].form.errors.get(name, []))


@pytest.fixture
def project(client, cast):
    client.force_login(cast.reviewer)
    build.a_pi("ada.byron@u.edu", name="Ada Byron")
    return build.a_project("genomics")


@pytest.mark.parametrize("text", ["ada@u.edu", "ADA@U.EDU", "Ada Lovelace", "lovelace", "  lovelace  "])
def test_a_record_is_named_by_what_is_typed(client, project, text):
    assert save(client, project, **{"pi-typed": text}).status_code == 302
    project.refresh_from_db()
    assert project.pi.email == "ada@u.edu"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ada", "“ada” matches more than one: Ada Byron <ada.byron@u.edu>; Ada Lovelace <ada@u.edu>."),
        ("zzz", "Nothing matches “zzz”."),
        ("a\nb", "Type a name of 200 characters at most, on one line."),
        ("a" * 201, "Type a name of 200 characters at most, on one line."),
    ],
)
def test_what_names_none_or_more_than_one_is_refused_and_shown_again(client, project, text, said):
    page = save(client, project, **{"pi-typed": text})
    (error,) = errors_of(page, "pi")
    assert error.startswith(said)
    shown = re.search(r'name="pi-typed" value="([^"]*)"', page.content.decode())
    assert shown[1] == text
    project.refresh_from_db()
    assert project.pi is None


def test_many_names_are_listed_up_to_five(client, project):
    for number in range(9):
        build.a_pi(f"p{number}@u.edu")
    (error,) = errors_of(save(client, project, **{"pi-typed": "u.edu"}), "pi")
    assert error.count(";") == 5
    assert error.endswith("; …. Type more of the name.")


def test_a_name_beside_a_choice_wins(client, project):
    ada = Person.objects.get(email="ada@u.edu")
    assert save(client, project, pi=ada.pk, **{"pi-typed": "byron"}).status_code == 302
    project.refresh_from_db()
    assert project.pi.name == "Ada Byron"


def test_several_are_named_with_commas_beside_those_chosen(client, cast):
    client.force_login(cast.finance)
    chosen = build.a_project("astro")
    for code in ("genomics", "climate"):
        build.a_project(code)
    fund = build.a_fund()
    url = reverse("admin:billing_fundingsource_change", args=[fund.pk])
    form = client.get(url).context["adminform"].form
    kept = {name: form[name].value() or "" for name in form.fields} | {"projects": [chosen.pk]}
    kept |= {"exceptions-TOTAL_FORMS": 0, "exceptions-INITIAL_FORMS": 0}
    page = client.post(url, kept | {"projects-typed": "genomics, nonsense"})
    assert errors_of(page, "projects") == ["Nothing matches “nonsense”."]
    assert client.post(url, kept | {"projects-typed": "genomics, clim,"}).status_code == 302
    codes = FundingSource.objects.get(pk=fund.pk).projects.values_list("code", flat=True)
    assert sorted(codes) == ["astro", "climate", "genomics"]


# ---- Scripts: each only where it does something


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)
def test_no_list_loads_jquery_and_no_page_select2(client, cast, model):
    client.force_login(cast.admin)
    assert "jquery" not in client.get(admin_url(model, "changelist")).content.decode()
    if admin.site._registry[model].has_add_permission(Asking(cast.admin)):
        page = client.get(admin_url(model, "add")).content.decode()
        assert "select2" not in page
        needs_it = "related-widget-wrapper-link" in page or "js-inline-admin-formset" in page
        assert ("jquery" in page) == needs_it


def test_our_scripts_together_stay_small():
    scripts = (Path(openchargeback.__file__).parent / "static").rglob("*.js")
    assert sum(each.stat().st_size for each in scripts) <= 160_000


def test_project_is_saved_by_its_key_as_ever(client, project):
    ada = Person.objects.get(email="ada@u.edu")
    assert save(client, project, pi=ada.pk).status_code == 302
    assert Project.objects.get().pi == ada
