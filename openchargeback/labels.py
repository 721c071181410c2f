"""The labels of fields: Django would make "Pi", "Pdf sha256" and "Created by name" of their names."""

import re

from django.apps import apps

APPS = ("billing", "statements", "journals")

# Whole names, then words within names.
NAMES = {
    "charge count": "charges",
    "email": "e-mail",
    "line count": "lines",
    "row count": "rows",
    "source label": "source",
}
WORDS = {
    "fund org": "fund/org",
    "by name": "by",
    "email": "e-mail",
    "id": "ID",
    "natural account": "account code",
    "pdf": "PDF",
    "pi": "PI",
    "pis": "PIs",
    "sha256": "SHA-256",
    "sku": "SKU",
}
_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b")


def label_of(generated: str) -> str:
    """Return what a person would say for a label that was made of a field's name, or written like one."""
    return NAMES.get(generated) or _WORD.sub(lambda found: WORDS[found[0]], generated)


def put_right() -> None:
    """Label every field of ours so; migrations know nothing of it."""
    for app in APPS:
        for model in apps.get_app_config(app).get_models():
            for field in model._meta.local_fields + model._meta.local_many_to_many:
                if isinstance(field.verbose_name, str):
                    field.verbose_name = label_of(field.verbose_name)
