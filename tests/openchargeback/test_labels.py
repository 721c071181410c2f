"""Labels of fields: words that a person would say."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import label_for_field

from openchargeback.labels import label_of

# As Django makes them of names.
CLUMSY = re.compile(r"\b([Pp]i|[Pp]df|[Ss]ha256|[Ii]d|[Ss]ku|by name|fund org|natural account)\b")


@pytest.mark.parametrize(
    ("generated", "label"),
    [
        ("pi", "PI"),
        ("pi email", "PI e-mail"),
        ("pdf sha256", "PDF SHA-256"),
        ("created by name", "created by"),
        ("default fund org", "default fund/org"),
        ("natural account", "account code"),
        ("picture", "picture"),
    ],
)
def test_a_label_made_of_a_name_becomes_what_a_person_says(generated, label):
    assert label_of(generated) == label


def test_no_label_of_ours_is_clumsy():
    clumsy = {
        f"{model._meta.label}.{field.name}: {field.verbose_name}"
        for app in ("billing", "statements", "journals")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.fields
        if CLUMSY.search(str(field.verbose_name))
    }
    assert not clumsy


def test_no_heading_of_a_list_is_clumsy():
    clumsy = set()
    for model, screen in admin.site._registry.items():
        for column in screen.list_display:
            label = str(label_for_field(column, model, screen))
            if CLUMSY.search(label):
                clumsy.add(f"{model._meta.label}: {label}")
    assert not clumsy
