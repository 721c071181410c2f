"""Account codes by rule: for awards, for what is outside the F&A base, for a project or source."""

from django.db import models
from django.db.models import Q

from billing.models import FaTreatment, Source
from billing.models.typed import CodeField

# Conditions by pattern.
PATTERNS = ("project", "service", "fund_org", "named_account")


class AccountRule(models.Model):
    """Says which account codes lines that fit it are posted to.

    A journal's line keeps the number of the rule and why it fits. A rule that no longer holds is switched off rather
    than deleted, so that what it decided can be explained.
    """

    class Sponsored(models.TextChoices):
        YES = "yes", "Sponsored awards"
        NO = "no", "All others"

    class Fa(models.TextChoices):
        INCLUDED = FaTreatment.INCLUDED.value, FaTreatment.INCLUDED.label
        EXCLUDED = FaTreatment.EXCLUDED.value, FaTreatment.EXCLUDED.label
        UNSTATED = "unstated", "Not stated on the list of fund/orgs"

    source = models.ForeignKey(
        Source,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="account_rules",
        help_text="Empty: every source.",
    )
    sponsored = models.CharField(
        "funds", max_length=3, choices=Sponsored.choices, blank=True, help_text="By the list of fund/orgs."
    )
    fa = models.CharField(
        "F&A", max_length=8, choices=Fa.choices, blank=True, help_text="Of the fund/org, by the list of fund/orgs."
    )
    fund_org = models.CharField("fund/org", max_length=254, blank=True, help_text="Such as NSF-*.")
    project = models.CharField(max_length=254, blank=True, help_text="Its code, such as genome*.")
    service = models.CharField(max_length=254, blank=True, help_text="Its name, such as *Storage*.")
    named_account = models.CharField(
        "named account code",
        max_length=64,
        blank=True,
        help_text="That a tag, an attribution rule or a decision names, such as 65*.",
    )
    debit_account = CodeField("debit account code", max_length=64, blank=True)
    overrides_named = models.BooleanField(
        "overrides named codes",
        default=False,
        help_text="Off: debits charges with the default account code of their source. On: also those for which a tag, "
        "an attribution rule or a decision names another.",
    )
    recovery_account = CodeField("recovery account code", max_length=64, blank=True)
    priority = models.PositiveSmallIntegerField(
        default=100, help_text="The lowest number comes first. What it leaves empty, the next may fill."
    )
    is_active = models.BooleanField("active", default=True)
    note = models.TextField(blank=True, help_text="Why, and who said so.")

    class Meta:
        ordering = ("priority", "id")
        constraints = [
            models.CheckConstraint(
                condition=Q(source__isnull=False) | ~Q(sponsored="", fa="", **dict.fromkeys(PATTERNS, "")),
                name="account_rule_has_a_condition",
                violation_error_message="Say what the rule is for: a source, funds, a fund/org, a project, a service "
                "or a named account code.",
            ),
            models.CheckConstraint(
                condition=~Q(debit_account="", recovery_account=""),
                name="account_rule_sets_something",
                violation_error_message="Say what the rule sets: a debit or a recovery account code.",
            ),
            models.CheckConstraint(
                condition=Q(named_account="") | Q(debit_account="") | Q(overrides_named=True),
                name="account_rule_overrides_what_it_is_for",
                violation_error_message="A rule for named account codes has to override them, or debits nothing.",
            ),
        ]

    def __str__(self) -> str:
        return f"account rule {self.pk}" if self.pk else "this account rule"
