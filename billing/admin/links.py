"""Addresses in the admin: of an object's page, of a model's list, and as a link."""

from django.contrib.admin.utils import quote
from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..models import HeldCharge


def link(url: str, text: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text)


def change_url(subject: models.Model) -> str:
    """Return the address of an object's page in the admin."""
    meta = subject._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(subject.pk)])


def list_url(model: type[models.Model], query: str = "") -> str:
    """Return the address of a model's list in the admin, with a query such as `state=held`."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{query}" if query else url


def held_url(imported: int) -> str:
    """Return the address of the queue with what an import brought and is held."""
    return list_url(HeldCharge, f"imported_in__id__exact={imported}")
