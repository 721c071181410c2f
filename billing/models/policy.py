"""The institution's own rules, kept version by version so that an old month can be replayed."""

import copy
import datetime
import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models

from .. import fiscal_years, once_a_page
from ..addresses import normalized_domain
from ..currencies import refusal
from ..fields import AmountField
from ..patterns import PatternNotUnderstood, compiled
from ..texts import MISSING_WORDS, quoted
from .typed import AddressField, CodeField, NameField

# What an attribution can take from a row's tags, and the tag keys tried when a policy names none.
TAG_FIELDS: dict[str, list[str]] = {
    "pi_email": ["pi_email", "pi-email", "pi", "owner_email"],
    "project_id": ["project_id", "project-id", "project"],
    "fund_org": ["fund_org", "fund-org", "fund", "chartstring"],
    "cost_center": ["cost_center", "cost-center", "department"],
    "natural_account": ["natural_account", "account_code", "object_code"],
    "reference_1": ["grant_number", "reference_1"],
    "reference_2": ["request_id", "reference_2"],
    "end_date": ["end_date", "end-date"],
}
# Two labels at least, of letters of any script, digits and hyphens.
DOMAIN = re.compile(r"[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)+")

# What fits at the head of a statement.
ADDRESS_LINES, ADDRESS_WIDTH = 8, 100
NOTICES, NOTICE_WIDTH = 4, 300

TAG_PREFIXES = ["user:", "aws:", "label:", "labels."]


def reference_labels(tag_keys: dict[str, list[str]]) -> tuple[str, str]:
    """Return what people call the two references: by the first key of each, `grant_number` is “Grant number”."""
    first, second = (
        (tag_keys.get(name) or TAG_FIELDS[name])[0].replace("_", " ").replace("-", " ").strip().capitalize()
        for name in ("reference_1", "reference_2")
    )
    return first, second


def default_tag_keys() -> dict[str, list[str]]:
    return {field: list(keys) for field, keys in TAG_FIELDS.items()}


def default_tag_prefixes() -> list[str]:
    return list(TAG_PREFIXES)


def default_missing_words() -> list[str]:
    return list(MISSING_WORDS)


def check_words(words: object) -> None:
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValidationError("Write the words as a list.")


def check_pattern(pattern: str) -> None:
    """Raise ValidationError for a text that cannot be used as a regular expression."""
    try:
        compiled(pattern)
    except PatternNotUnderstood as error:
        raise ValidationError(str(error)) from error


def check_patterns(patterns: object) -> None:
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValidationError("Write one pattern per line.")
    if problems := problems_of(list(enumerate(patterns, 1))):
        raise ValidationError(problems)


def problems_of(lines: list[tuple[int, str]]) -> list[str]:
    """Say what is wrong with patterns, each given with the number of its line: line, character, and what to do."""
    problems = []
    for number, pattern in lines:
        try:
            compiled(pattern)
        except PatternNotUnderstood as error:
            place = f", character {error.place}" if error.place else ""
            problems.append(f"Line {number}{place}: {quoted(pattern)} is not a regular expression: {error.reason}")
    return problems


def check_tag_keys(value: object) -> None:
    if not isinstance(value, dict) or set(value) - set(TAG_FIELDS):
        raise ValidationError(f"Tag keys are lists for these fields: {', '.join(TAG_FIELDS)}.")
    for keys in value.values():
        if not isinstance(keys, list) or not all(isinstance(key, str) and key.strip() for key in keys):
            raise ValidationError("Each field has a list of tag keys, the first that a row carries wins.")


def check_address(address: str) -> None:
    """Raise ValidationError for an address that leaves no room for what it heads."""
    lines = [line.strip() for line in address.splitlines() if line.strip()]
    if len(lines) > ADDRESS_LINES or any(len(line) > ADDRESS_WIDTH for line in lines):
        raise ValidationError(
            f"The address is at the head of every statement: {ADDRESS_LINES} lines at most, of "
            f"{ADDRESS_WIDTH} characters each. Put anything longer into the footer."
        )


def check_notices(text: str) -> None:
    """Raise ValidationError for notices that leave no room for what they stand above."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > NOTICES or any(len(line) > NOTICE_WIDTH for line in lines):
        raise ValidationError(
            f"Notices stand above the charges of every statement: {NOTICES} at most, a line each, of "
            f"{NOTICE_WIDTH} characters. Put anything longer into the footer."
        )


def check_currency(currency: str) -> None:
    """Raise ValidationError unless something can be charged in a currency."""
    if problem := refusal(currency):
        raise ValidationError(problem)


def check_domains(domains: object) -> None:
    """Raise ValidationError unless these are domains of e-mail addresses, in lower case, such as `u.edu`."""
    if not isinstance(domains, list) or not all(isinstance(domain, str) for domain in domains):
        raise ValidationError("Write the domains as a list.")
    for domain in domains:
        if domain != normalized_domain(domain) or not DOMAIN.fullmatch(domain):
            raise ValidationError(f"“{domain}” is not the domain of an e-mail address. Write u.edu, for example.")


def check_addresses(addresses: object) -> None:
    """Raise ValidationError unless these are e-mail addresses, as they are stored."""
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise ValidationError("Write the addresses as a list.")
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            raise ValidationError(f"“{address}” is not an e-mail address. Write vpr@u.edu, for example.") from None


class PolicyManager(models.Manager["Policy"]):
    def current(self) -> "Policy":
        """Return the policy in force: the newest version, or the built-in defaults before there is one."""
        # A form may change what it was given.
        return copy.copy(once_a_page.value("policy", self._newest))

    def _newest(self) -> "Policy":
        return self.order_by("-id").first() or self.model()


class Policy(models.Model):
    """One version of the rules. Saving a change adds a version; none is ever edited."""

    class PaperSize(models.TextChoices):
        LETTER = "letter", "US Letter"
        A4 = "a4", "A4"

    institution = NameField(max_length=200, default="Research Computing")
    department = NameField(max_length=200, blank=True)
    contact_name = NameField(max_length=200, blank=True)
    contact_email = AddressField(blank=True)
    contact_phone = models.CharField(max_length=64, blank=True)
    address = models.TextField(blank=True, validators=[check_address])
    currency = models.CharField(
        max_length=3, default="USD", validators=[check_currency], help_text="ISO 4217, of statements and journals."
    )
    tag_keys = models.JSONField(default=default_tag_keys, validators=[check_tag_keys])
    tag_prefixes = models.JSONField(default=default_tag_prefixes, blank=True)
    missing_words = models.JSONField(
        "words for nothing",
        default=default_missing_words,
        blank=True,
        validators=[check_words],
        help_text="A tag that says one of these says nothing, in any case: n/a, none, -. Nobody can type them as a "
        "fund/org, project or PI either.",
    )
    folds_plus_addresses = models.BooleanField(
        "plus addresses are one mailbox",
        default=True,
        help_text="ada+aws@u.edu is ada@u.edu, as most mail systems deliver it. Off: they are two PIs.",
    )
    own_domains = models.JSONField(
        "own e-mail domains",
        default=list,
        blank=True,
        validators=[check_domains],
        help_text="Domains of the institution's e-mail addresses, such as u.edu; their sub-domains count. A PI outside "
        "them who is not on the list of people is held until somebody confirms them.",
    )
    flag_patterns = models.JSONField(
        default=list,
        blank=True,
        validators=[check_patterns],
        help_text="Charges whose service, resource or description matches one of these are held for review.",
    )
    fund_org_patterns = models.JSONField(
        default=list,
        blank=True,
        validators=[check_patterns],
        help_text="A fund/org that matches none of these is held for review. Empty: any form is accepted.",
    )
    fund_org_segments = models.CharField(
        max_length=500,
        blank=True,
        validators=[check_pattern],
        help_text="A regular expression with named groups, such as (?P<fund>[A-Z]+)-(?P<org>[0-9]+): "
        "its groups become columns of the journal.",
    )
    center_fund_org = CodeField(
        "center's own fund/org", max_length=64, blank=True, help_text="Pays what review charges to the center."
    )
    amount_tolerance = AmountField(
        default=0, help_text="An approval survives an import that moves the amount by no more than this."
    )
    corrections_need_second_person = models.BooleanField(
        default=False, help_text="A correction takes effect after a second person approves it."
    )
    transfer_justification_days = models.PositiveSmallIntegerField(
        default=90,
        help_text="A cost transfer to a sponsored award needs a justification if it comes more than so many days after "
        "the service.",
    )
    questions_email = AddressField(
        blank=True, help_text="Where questions of PIs are mailed to. Empty: to the contact e-mail."
    )
    questions_hold_charges = models.BooleanField(
        default=True,
        help_text="A question asked before the review date holds its charges until it is answered or the month closes.",
    )
    question_days = models.PositiveSmallIntegerField(default=5, help_text="Days that staff have to answer a question.")
    pis_propose = models.BooleanField(
        "PIs may propose who pays",
        default=False,
        help_text="PIs propose other valid funds of their own: of a project for what comes, and of this month's "
        "charges until the review date.",
    )
    shows_users = models.BooleanField(
        "charges of usage name users",
        default=False,
        help_text="PIs and staff read who ran a job or used a seat. Off: they read the job and its account, and no "
        "name.",
    )
    requires_ledger_answer = models.BooleanField(default=True, help_text="Off: a submitted journal counts as posted.")
    journals_need_second_person = models.BooleanField(
        default=False, help_text="A journal is submitted by another person than the one who drafted it."
    )
    fiscal_year_start = models.PositiveSmallIntegerField(
        default=7,
        help_text="The month, 1 to 12, in which fiscal years start. A fiscal year is named for the year it ends in: "
        "where it starts in July, July 2025 is in FY2026.",
    )
    statement_footer = models.TextField(blank=True)
    paper_size = models.CharField(max_length=8, choices=PaperSize.choices, default=PaperSize.LETTER)
    logo = models.CharField(
        "logo on statements", max_length=64, blank=True, help_text="Of the picture that is kept for it: its SHA-256."
    )
    statement_notices = models.TextField(blank=True, validators=[check_notices])
    issues_zero_statements = models.BooleanField(default=True, help_text="Issue statements that charge nothing.")
    warns_without_email = models.BooleanField(
        default=True,
        help_text="Every staff page says that e-mail is not configured, as long as it is not. Off: for a site that "
        "sends no e-mail on purpose.",
    )
    email_subject = models.CharField(
        max_length=200, default="Research computing statement for {{ month }}: {{ due }} charged"
    )
    email_text = models.TextField(blank=True, help_text="Empty: the text that comes with the program.")
    email_html = models.TextField(
        "e-mail HTML", blank=True, help_text="Empty: the HTML that comes with the program, with the text above."
    )
    email_attaches_xlsx = models.BooleanField(
        "e-mails attach XLSX", default=False, help_text="The lines of each statement as an Excel file, beside its PDF."
    )
    email_attaches_charges = models.BooleanField(
        default=False, help_text="The charges behind each statement as charges.csv, which its PDF holds as well."
    )
    email_megabytes = models.PositiveSmallIntegerField(
        default=10,
        help_text="Files that make an e-mail larger stay out, and it links to the portal instead. 0: links alone.",
    )
    smallest_emailed = AmountField(
        default=0,
        help_text="A statement that charges less is on the portal only. 0: each is e-mailed. A revision of one that "
        "was e-mailed always is.",
    )
    emails_per_minute = models.PositiveSmallIntegerField(
        default=0, help_text="As many as the mail server takes. 0: as fast as it takes them."
    )
    report_recipients = models.JSONField(
        "reports are mailed to",
        default=list,
        blank=True,
        validators=[check_addresses],
        help_text="Who gets the report of the value delivered, of the fiscal year so far, when a month is finalized.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )

    objects = PolicyManager()

    class Meta:
        verbose_name, verbose_name_plural = "policy version", "policy versions"
        default_permissions = ("view", "change")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(fiscal_year_start__gte=1, fiscal_year_start__lte=12),
                name="fiscal_year_starts_in_a_month",
                violation_error_message="A fiscal year starts in a month from 1 to 12.",
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.pk}" if self.pk else "built-in defaults"

    def fiscal_year_of(self, month: datetime.date) -> int:
        """Return the fiscal year that a month, given by any day of it, is in."""
        return fiscal_years.fiscal_year_of(month, start=self.fiscal_year_start)

    def fiscal_period_of(self, month: datetime.date) -> int:
        """Return which month of its fiscal year a month is, given by any day of it: 1 to 12."""
        return fiscal_years.period_of(month, start=self.fiscal_year_start)

    def months_of_fiscal_year(self, fiscal_year: int) -> tuple[datetime.date, datetime.date]:
        """Return the first and the last month of a fiscal year, each by its first day."""
        return fiscal_years.months_of(fiscal_year, start=self.fiscal_year_start)
