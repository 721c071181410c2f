"""Who pays where tags do not say: rules learned from corrections, and the owners of cloud accounts."""

from django.db import models
from django.db.models import F, Q

from .people import Person, Project
from .sources import Source
from .typed import CodeField, NameField

# Conditions by pattern; without any of them a rule has to be of one source.
PATTERNS = (
    "billing_account",
    "sub_account",
    "cloud_project",
    "resource",
    "service",
    "charge_category",
    "charge_description",
    "commitment_status",
    "tag_key",
)


class AttributionRule(models.Model):
    """Says who pays for charges that fit it, where their tags are silent or, if told to, in their place.

    A charge remembers the number of the rule. A rule that no longer holds is ended or switched off
    rather than deleted, so that what it decided can be explained.
    """

    source = models.ForeignKey(
        Source,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="attribution_rules",
        help_text="Empty: every source.",
    )
    billing_account = models.CharField(max_length=254, blank=True, help_text="Its id or name.")
    sub_account = models.CharField(
        max_length=254, blank=True, help_text="Its id or name: AWS account, Azure subscription, GCP project."
    )
    cloud_project = models.CharField(
        "cloud project id",
        max_length=254,
        blank=True,
        help_text="The provider's project: the sub account's id, or the project that the resource's id names.",
    )
    resource = models.CharField(max_length=500, blank=True, help_text="Its id or name, such as *genome*.")
    service = models.CharField(max_length=254, blank=True, help_text="Its name, such as *Storage*.")
    charge_category = models.CharField(
        max_length=254, blank=True, help_text="Usage, Purchase, Tax, Credit or Adjustment."
    )
    charge_description = models.CharField(max_length=500, blank=True, help_text="Such as *enterprise support*.")
    commitment_status = models.CharField(
        max_length=254, blank=True, help_text="Of a reservation or savings plan: Used or Unused."
    )
    tag_key = NameField(max_length=254, blank=True, help_text="Prefixes, case and blanks are forgiven.")
    tag_value = models.CharField(
        max_length=254, blank=True, help_text="A pattern; empty: the charge has the tag, with whatever value."
    )
    valid_from = models.DateField(null=True, blank=True, help_text="The first day of service it holds for.")
    valid_until = models.DateField(null=True, blank=True, help_text="The last day of service it holds for.")
    priority = models.PositiveSmallIntegerField(
        default=100, help_text="The lowest number comes first. What it leaves empty, the next may fill."
    )
    pi = models.ForeignKey(
        Person,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="attribution_rules",
        verbose_name="PI",
    )
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.PROTECT, related_name="attribution_rules"
    )
    fund_org = CodeField("fund/org", max_length=64, blank=True)
    cost_center = CodeField(max_length=64, blank=True)
    natural_account = CodeField(max_length=64, blank=True)
    shared_as = NameField(
        max_length=128,
        blank=True,
        help_text="Shares the cost over everybody whom its source charged that month, in proportion. On statements it "
        "has this name, such as AWS Support. Then name no PI, project or fund/org.",
    )
    overrides_tags = models.BooleanField(
        default=False, help_text="Off: fills what tags leave empty. On: replaces what tags say."
    )
    is_active = models.BooleanField("active", default=True)
    note = models.TextField(blank=True, help_text="Why, and who said so.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("priority", "id")
        constraints = [
            models.CheckConstraint(
                condition=Q(source__isnull=False) | ~Q(**dict.fromkeys(PATTERNS, "")),
                name="rule_has_a_condition",
                violation_error_message="Say what the rule is for: a source, an account, a project, a resource, "
                "a service, a category, a description, a commitment or a tag.",
            ),
            models.CheckConstraint(
                condition=Q(pi__isnull=False)
                | Q(project__isnull=False)
                | ~Q(fund_org="", cost_center="", natural_account="", shared_as=""),
                name="rule_sets_something",
                violation_error_message="Say what the rule sets: a PI, a project, a fund/org, a cost center, "
                "an account code, or the name of a shared cost.",
            ),
            models.CheckConstraint(
                condition=Q(shared_as="") | Q(pi__isnull=True, project__isnull=True, fund_org=""),
                name="rule_names_a_payer_or_shares",
                violation_error_message="A shared cost is paid by everybody whom its source charged: "
                "name no PI, project or fund/org beside it.",
            ),
            models.CheckConstraint(
                condition=Q(tag_value="") | ~Q(tag_key=""),
                name="rule_names_its_tag",
                violation_error_message="Name the tag whose value the pattern is for.",
            ),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                name="rule_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        return f"rule {self.pk}"


class CloudAccount(models.Model):
    """A provider's account and who owns it: they pay for what neither tags nor rules nor projects say."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="cloud_accounts")
    account_id = CodeField(
        "account id",
        max_length=254,
        help_text="As the files write it: the sub account's id, else the billing account's.",
    )
    name = NameField(max_length=200, blank=True)
    default_pi = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="cloud_accounts", verbose_name="PI"
    )
    default_project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.PROTECT, related_name="cloud_accounts", verbose_name="project"
    )
    default_fund_org = CodeField("fund/org", max_length=64, blank=True)
    is_active = models.BooleanField("active", default=True)
    note = models.TextField(blank=True)

    class Meta:
        ordering = ("source", "account_id")
        constraints = [
            models.UniqueConstraint(
                fields=["source", "account_id"],
                name="one_owner_per_cloud_account",
                violation_error_message="This source has an account with this id already.",
            ),
            models.CheckConstraint(
                condition=Q(default_pi__isnull=False) | Q(default_project__isnull=False) | ~Q(default_fund_org=""),
                name="cloud_account_has_an_owner",
                violation_error_message="Say who owns the account: a PI, a project or a fund/org.",
            ),
        ]

    def __str__(self) -> str:
        return f"cloud account {self.account_id}"
