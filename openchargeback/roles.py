"""Who may do what: each role's permissions, written to the database by sync_roles."""

import datetime
from dataclasses import dataclass

from django.contrib.auth.models import Group, Permission

from billing import audit
from billing.audit import Actor

VIEW = {
    f"{app}.view_{model}"
    for app, models in {
        "billing": (
            "attributionrule auditevent billingperiod billingreference charge cloudaccount correction correctionline "
            "customer department exchangerate flag frozenproof fundexception fundingsource import importedfile "
            "importoverlap importtotal invoicetotal job membership payerline payersplit payersplitshare person "
            "personalias policy project question reviewdecision source costmeasurechange storedfile usagefeed "
            "usagefile pricedmonth rateschedule ratestudy costpool sharedcost sharedcostpart rateclassmember "
            "usagesubsidy allocation"
        ),
        "statements": "statement statementline email",
        "journals": "accountrule accountingperiod answermapping customerinvoice customerinvoiceline journal "
        "journalline journallayout journaltemplate lookuptable receivablesexport validvaluelist",
    }.items()
    for model in models.split()
}

CURATE = {
    f"billing.{verb}_{model}"
    for verb in ("add", "change", "delete")
    for model in (
        *("department", "person", "personalias", "project", "membership", "payersplit", "payersplitshare"),
        *("attributionrule", "cloudaccount"),
    )
}

REVIEW = {
    "billing.import_charges",
    "billing.take_usage",
    "billing.withdraw_import",
    "billing.book_import",
    "billing.review_charges",
    "billing.enter_corrections",
    "billing.open_period",
    "billing.cancel_job",
    "billing.retry_job",
    "billing.share_savedview",
    "statements.issue_statements",
    "statements.send_statements",
    "journals.export_journal",
    "journals.export_receivables",
}

FINANCE = {
    "billing.close_period",
    "billing.reopen_period",
    "billing.finalize_period",
    "billing.approve_correction",
    "billing.approve_move",
    "statements.void_statement",
    "journals.submit_journal",
    "journals.post_journal",
    "journals.submit_receivables",
    "billing.change_policy",
    "billing.add_fundexception",
    *("billing.view_legalhold", "billing.add_legalhold", "billing.lift_legalhold", "billing.view_disposal"),
    *(
        f"billing.{verb}_{model}"
        for verb in ("add", "change", "delete")
        for model in (
            *("source", "costmeasurechange", "customer", "fundingsource", "exchangerate", "invoicetotal"),
            *("usagefeed", "rateschedule", "ratestudy", "costpool", "sharedcost", "sharedcostpart"),
            *("rateclassmember", "usagesubsidy", "allocation"),
        )
    ),
    "billing.release_rateschedule",
    "billing.adopt_ratestudy",
    "journals.edit_layouts",
    "journals.add_validvaluelist",
    "journals.add_lookuptable",
    *(
        f"journals.{verb}_{model}"
        for verb in ("add", "change", "delete")
        for model in ("accountingperiod", "accountrule", "answermapping", "journaltemplate")
    ),
}

# Users are made inactive, never deleted, and groups are written by sync_roles.
ADMIN = {f"billing.{verb}_user" for verb in ("view", "add", "change")} | {
    "billing.dispose_records",
    *("auth.view_group", "billing.view_apitoken", "billing.add_apitoken", "billing.revoke_apitoken"),
}

# PIs and delegates have no permission: what they see follows from who they are.
ROLES: dict[str, set[str]] = {
    "admin": VIEW | CURATE | REVIEW | FINANCE | ADMIN,
    "finance": VIEW | CURATE | REVIEW | FINANCE,
    "reviewer": VIEW | CURATE | REVIEW,
    "viewer": VIEW,
    "pi": set(),
    "delegate": set(),
}

# Members of these roles may enter the admin (is_staff).
STAFF_ROLES = frozenset({"admin", "finance", "reviewer", "viewer"})


@dataclass(frozen=True)
class SyncedRole:
    """What sync_roles changed of a role."""

    name: str
    added: tuple[str, ...]
    removed: tuple[str, ...]


class UnknownPermission(Exception):
    """A role names a permission that no model has."""


def table() -> str:
    """Return who may do what as a Markdown table, a row for each permission, as docs/security/roles.md has it."""
    names = [name for name, held in ROLES.items() if held]
    every = sorted(set().union(*ROLES.values()), key=lambda each: (each.partition(".")[2].startswith("view_"), each))
    lines = [f"| permission | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines += [
        f"| `{permission}` | " + " | ".join("yes" if permission in ROLES[name] else "" for name in names) + " |"
        for permission in every
    ]
    return "\n".join(lines)


def sync_roles(*, actor: Actor, now: datetime.datetime) -> list[SyncedRole]:
    """Write ROLES to the database as groups, taking away what they no longer hold; safe to repeat."""
    with audit.gesture(actor=actor, now=now) as gesture:
        synced = _write_roles()
        for role in synced:
            if role.added or role.removed:
                group = Group.objects.get(name=role.name)
                gesture.record("role.synced", group, after={"added": role.added, "removed": role.removed})
    return synced


def _write_roles() -> list[SyncedRole]:
    known = {
        f"{app}.{codename}": pk
        for app, codename, pk in Permission.objects.values_list("content_type__app_label", "codename", "pk")
    }
    names = {pk: name for name, pk in known.items()}
    held: dict[str, set[str]] = {name: set() for name in ROLES}
    for role, pk in Group.objects.filter(name__in=ROLES, permissions__isnull=False).values_list("name", "permissions"):
        held[role].add(names[pk])
    synced = []
    for name, wanted in ROLES.items():
        if missing := sorted(wanted - set(known)):
            raise UnknownPermission(f"The role {name} names permissions that do not exist: {', '.join(missing)}.")
        group, _ = Group.objects.get_or_create(name=name)
        added, removed = sorted(wanted - held[name]), sorted(held[name] - wanted)
        if added:
            group.permissions.add(*(known[each] for each in added))
        if removed:
            group.permissions.remove(*(known[each] for each in removed))
        synced.append(SyncedRole(name, tuple(added), tuple(removed)))
    return synced
