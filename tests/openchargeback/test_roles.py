"""The roles in the documents are the roles of the program."""

from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from billing.models import User
from openchargeback import roles
from tests import build

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security" / "roles.md"


def test_the_table_in_the_documents_is_that_of_the_program():
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(("| permission", "| `"))]
    now = [line for line in roles.table().splitlines() if not line.startswith("|---")]
    assert shown == now, (
        "docs/security/roles.md is not up to date. Put what `manage.py sync_roles --table` prints in place of its last "
        f"table:\n\n{roles.table()}\n"
    )


@pytest.mark.django_db
def test_the_table_is_printed_and_nothing_is_changed():
    out = StringIO()
    call_command("sync_roles", "--table", stdout=out)
    assert out.getvalue().strip() == roles.table()
    assert not Group.objects.exists()


@pytest.mark.django_db
def test_the_database_holds_what_the_table_says():
    roles.sync_roles(actor=build.SOMEBODY, now=build.NOW)
    for name, permissions in roles.ROLES.items():
        held = Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
        assert {f"{app}.{code}" for app, code in held} == permissions


def test_who_pays_has_no_right_and_more_comes_with_each_role():
    assert roles.ROLES["pi"] == roles.ROLES["delegate"] == set()
    assert roles.ROLES["viewer"] < roles.ROLES["reviewer"] < roles.ROLES["finance"] < roles.ROLES["admin"]
    binding = {"billing.close_period", "billing.reopen_period", "billing.finalize_period", "journals.submit_journal"}
    assert not binding & roles.ROLES["reviewer"]
    assert {each for each in roles.ROLES["admin"] if each.endswith("_user")}.isdisjoint(roles.ROLES["finance"])


@pytest.mark.django_db
def test_permissions_of_a_person_and_of_their_roles_are_asked_for_at_once(django_assert_num_queries):
    cast = build.the_cast()
    cast.viewer.user_permissions.add(Permission.objects.get(codename="close_period"))
    viewer, admin = User.objects.get(pk=cast.viewer.pk), User.objects.get(pk=cast.admin.pk)
    with django_assert_num_queries(1):
        assert viewer.get_all_permissions() == roles.ROLES["viewer"] | {"billing.close_period"}
        assert viewer.has_perm("billing.close_period")
        assert not viewer.has_perm("billing.finalize_period")
    assert viewer.get_all_permissions() == ModelBackend().get_all_permissions(User.objects.get(pk=viewer.pk))
    assert admin.get_all_permissions() == ModelBackend().get_all_permissions(User.objects.get(pk=admin.pk))
    User.objects.filter(pk=viewer.pk).update(is_active=False)
    assert User.objects.get(pk=viewer.pk).get_all_permissions() == set()
