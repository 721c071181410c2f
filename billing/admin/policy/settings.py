"""The settings of the policy as pages show them: in groups, by name, with what each does and when."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...models import Policy
from ...models.policy import TAG_FIELDS
from ...money import named

TAG_LABELS = {
    "pi_email": "PI",
    "project_id": "Project",
    "fund_org": "Fund/org",
    "cost_center": "Cost center",
    "natural_account": "Account code",
    "reference_1": "Reference 1",
    "reference_2": "Reference 2",
    "end_date": "End date",
}
# What the value of each tag means.
TAG_HELP = {
    "pi_email": "The e-mail address of the PI who pays.",
    "project_id": "The code of the project. One that is new is created by the import.",
    "fund_org": "The fund/org that pays. Without it, the project's default fund/org does.",
    "cost_center": "Goes with the charge to the journal.",
    "natural_account": "The ledger's kind of cost.",
    "reference_1": "A text of your own, such as a grant number. Its first key is its name on statements.",
    "reference_2": "Another text of your own, such as the number of a request.",
    "end_date": "The project's last day, such as 2026-06-30. Service after it is held for review.",
}

PRINTED = "On statements issued from now on. Those already issued stay as they are."
READ = "Imports from now on read tags so. For charges that are here, use “Re-apply rules…” on the page of their month."
HELD = "Imports from now on go by it. Charges that are here stay as they are."
MAILED = "E-mails sent from now on go by it."
ASKED = "Questions asked from now on go by it."
ENTERED = "Corrections entered from now on go by it."

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Institution",
        "Printed on statements.",
        (
            *("institution", "department", "contact_name", "contact_email", "contact_phone", "address"),
            "statement_footer",
            "statement_notices",
            "paper_size",
        ),
    ),
    (
        "Who pays: tag keys",
        "For each field the tag keys to look for, separated by commas: the first that a row carries wins. "
        "Upper and lower case, blanks and prefixes do not matter.",
        (*(f"keys_{name}" for name in TAG_FIELDS), "tag_prefixes", "missing_words", "folds_plus_addresses"),
    ),
    ("Held for review", "", ("own_domains", "flag_patterns", "amount_tolerance")),
    ("Fund/orgs", "", ("fund_org_patterns", "fund_org_segments", "example", "center_fund_org")),
    (
        "Questions of PIs",
        "PIs and their delegates ask in the portal, about a line of a statement.",
        ("questions_email", "question_days", "questions_hold_charges", "pis_propose"),
    ),
    ("Corrections", "", ("corrections_need_second_person", "transfer_justification_days")),
    (
        "Money and the ledger",
        "",
        ("currency", "fiscal_year_start", "requires_ledger_answer", "journals_need_second_person"),
    ),
    (
        "Statements and e-mail",
        "The words of e-mails have a page of their own: E-mail texts.",
        (
            *("issues_zero_statements", "warns_without_email", "email_attaches_xlsx", "email_attaches_charges"),
            *("email_megabytes", "smallest_emailed", "emails_per_minute"),
        ),
    ),
    ("Usage", "What the charges of a cluster, a gateway or a service say of their use.", ("shows_users",)),
    ("Reports", "", ("report_recipients",)),
)

# What each setting is called, and what a change of it does from now on.
SETTINGS: dict[str, tuple[str, str]] = {
    "institution": ("Institution", PRINTED),
    "department": ("Department", PRINTED),
    "contact_name": ("Contact name", PRINTED),
    "contact_email": ("Contact e-mail", PRINTED),
    "contact_phone": ("Contact phone", PRINTED),
    "address": ("Address", PRINTED),
    "statement_footer": ("Statement footer", PRINTED),
    "statement_notices": ("Notices on statements", PRINTED),
    "paper_size": ("Paper size", PRINTED),
    "logo": ("Logo", PRINTED),
    "tag_keys": ("Tag keys", READ),
    "tag_prefixes": ("Tag prefixes", READ),
    "missing_words": ("Words for nothing", READ),
    "folds_plus_addresses": ("Plus addresses are one mailbox", READ),
    "own_domains": (
        "Own e-mail domains",
        "Imports from now on go by it. Held charges that only waited for a PI who is known now are released at once.",
    ),
    "flag_patterns": ("Flag patterns", HELD),
    "amount_tolerance": ("Amount tolerance", HELD),
    "fund_org_patterns": ("Fund/org patterns", HELD),
    "fund_org_segments": ("Fund/org segments", "Journals drafted from now on have these columns."),
    "center_fund_org": ("Center's own fund/org", "Pays what is charged to the center in months that are not closed."),
    "corrections_need_second_person": ("Corrections need a second person", ENTERED),
    "transfer_justification_days": ("Days until a transfer needs a justification", ENTERED),
    "currency": ("Currency", "Months that are not closed are charged anew in it."),
    "fiscal_year_start": ("Fiscal year starts in", "Journals and reports count fiscal years by it at once."),
    "questions_email": ("Questions are mailed to", ASKED),
    "question_days": ("Days to answer a question", ASKED),
    "questions_hold_charges": ("Questions hold their charges", ASKED),
    "pis_propose": ("PIs may propose who pays", "The portal goes by it at once."),
    "shows_users": ("Charges of usage name users", "The portal and the pages of staff go by it at once."),
    "requires_ledger_answer": ("Await the ledger's answer", "Journals submitted from now on go by it."),
    "journals_need_second_person": ("Journals need a second person", "Journals submitted from now on go by it."),
    "issues_zero_statements": ("Issue statements that charge nothing", "Statements issued from now on go by it."),
    "warns_without_email": ("Say on every page when e-mail is not configured", "Staff pages go by it at once."),
    "email_subject": ("E-mail subject", MAILED),
    "email_text": ("E-mail text", MAILED),
    "email_html": ("E-mail HTML", MAILED),
    "email_attaches_xlsx": ("Attach an Excel file of the lines", MAILED),
    "email_attaches_charges": ("Attach charges.csv", MAILED),
    "email_megabytes": ("Largest e-mail, in megabytes", MAILED),
    "smallest_emailed": ("Smallest charge that is e-mailed", MAILED),
    "emails_per_minute": ("E-mails a minute", MAILED),
    "report_recipients": ("Reports are mailed to", "Months finalized from now on are reported to them."),
}
LABELS = {name: label for name, (label, _) in SETTINGS.items()}


@dataclass(frozen=True)
class Mark:
    """A line of a setting, which the other policy may not have."""

    text: str
    is_different: bool


@dataclass(frozen=True)
class Changed:
    """One setting before and after, line by line, and what its change does from now on."""

    name: str
    label: str
    then: str
    before: tuple[Mark, ...]
    after: tuple[Mark, ...]


def changed_settings(present: Policy, changed: Policy, names: Mapping[str, Any]) -> list[Changed]:
    """Return the settings that change, in the order of the form."""
    found = []
    for name, (label, then) in SETTINGS.items():
        if name in names:
            before, after = _lines(present, name), _lines(changed, name)
            sides = [
                tuple(Mark(line, line not in other) for line in own)
                for own, other in ((before, after), (after, before))
            ]
            found.append(Changed(name, label, then, *sides))
    return found


def _lines(policy: Policy, name: str) -> list[str]:
    """Return a setting as a person reads it."""
    value = getattr(policy, name)
    if name == "tag_keys":
        return [f"{TAG_LABELS.get(key, key)}: {', '.join(keys)}" for key, keys in value.items()]
    if name in ("amount_tolerance", "smallest_emailed"):
        return [named(value, policy.currency)]
    if name == "fiscal_year_start":
        return [calendar.month_name[value]]
    if name == "paper_size":
        return [policy.get_paper_size_display()]
    if isinstance(value, bool):
        return ["Yes" if value else "No"]
    return list(value) if isinstance(value, list) else str(value).splitlines()
