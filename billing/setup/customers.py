"""Customers and splits: what a customer pays by invoice cannot be shared among fund/orgs."""

import datetime

from django.db.models import Q

from ..models import PayerSplit, Person


def holding_from(day: datetime.date) -> Q:
    """Match the splits of projects that hold on a day or later."""
    return Q(project__isnull=False) & (Q(valid_until__isnull=True) | Q(valid_until__gte=day))


def split_projects(person: Person, *, on: datetime.date) -> list[str]:
    """Return the projects whose charges a customer of their PI would pay, and a split shares from a day on."""
    splits = PayerSplit.objects.filter(holding_from(on), project__pi=person, project__customer__isnull=True)
    return sorted(set(splits.values_list("project__code", flat=True)))
