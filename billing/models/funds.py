"""The fund/orgs that may be charged, and exceptions to their dates."""

import datetime
from collections.abc import Iterable

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from ..fields import TotalField
from ..texts import long_date
from .people import Project, User
from .typed import CodeField, NameField


class FaTreatment(models.TextChoices):
    """Whether costs are in the base that facilities and administration (F&A, indirect cost) are worked out from.

    The base is that of 2 CFR 200.414: modified total direct costs (MTDC), or the award's own.
    """

    INCLUDED = "included", "In the F&A base"
    EXCLUDED = "excluded", "Not in the F&A base"


class FundingSource(models.Model):
    """A fund/org of the institution's ledger, loaded from a list: never learned from a tag."""

    fund_org = CodeField(
        "fund/org",
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"^\S(.*\S)?$", "A fund/org has no blanks at its ends.")],
    )
    name = NameField(max_length=200, blank=True)
    is_sponsored = models.BooleanField("sponsored award", default=False)
    fa_treatment = models.CharField(
        "F&A",
        max_length=8,
        choices=FaTreatment.choices,
        blank=True,
        default="",
        help_text="Whether what it is charged here is in the base that its facilities and administration are worked "
        "out from (MTDC). Account rules can go by it.",
    )
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True, help_text="The last day of service it may pay for.")
    last_posting_date = models.DateField(null=True, blank=True)
    final_report_date = models.DateField(
        "final financial report",
        null=True,
        blank=True,
        help_text="When the final financial report of the award was submitted. Detail of what it was charged is kept "
        "for three years from then (2 CFR 200.334).",
    )
    budget = TotalField(
        null=True,
        blank=True,
        help_text="What may be charged to it here while it is valid, in the institution's currency. PIs read how many "
        "months of it are left.",
    )
    projects = models.ManyToManyField(Project, blank=True, related_name="funding_sources")

    class Meta:
        verbose_name, verbose_name_plural = "fund", "funds"
        ordering = ("fund_org",)
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                name="fund_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
            models.CheckConstraint(
                condition=Q(budget__isnull=True) | Q(budget__gte=0),
                name="budget_is_not_negative",
                violation_error_message="A budget is not below zero.",
            ),
        ]

    def __str__(self) -> str:
        return self.fund_org

    def last_day(self, exceptions: "Iterable[FundException]") -> datetime.date | None:
        """Return the last day of service it may pay for, by the list or a later one by an exception in force."""
        if self.valid_until is None:
            return None
        return max([self.valid_until, *(each.valid_until for each in exceptions if each.valid_until)])


class FundException(models.Model):
    """Dates of a fund/org that finance has moved outward, for a reason: a no-cost extension, for example.

    Exceptions are kept: one that no longer holds is revoked.
    """

    fund = models.ForeignKey(
        FundingSource, on_delete=models.PROTECT, related_name="exceptions", verbose_name="fund/org"
    )
    valid_from = models.DateField(null=True, blank=True, help_text="An earlier first day of service.")
    valid_until = models.DateField(null=True, blank=True, help_text="A later last day of service.")
    last_posting_date = models.DateField(null=True, blank=True, help_text="A later last posting date.")
    reason = models.TextField()
    recorded_at = models.DateTimeField()
    recorded_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    recorded_by_name = models.CharField("recorded by", max_length=254)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by_name = models.CharField("revoked by", max_length=254, blank=True)

    class Meta:
        ordering = ("-pk",)
        default_permissions = ("add", "view")
        verbose_name = "exception of a fund/org"
        verbose_name_plural = "exceptions of fund/orgs"
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_from__isnull=False)
                | Q(valid_until__isnull=False)
                | Q(last_posting_date__isnull=False),
                name="fund_exception_moves_a_date",
                violation_error_message="Give at least one of the three dates.",
            ),
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="fund_exception_has_a_reason",
                violation_error_message="An exception needs a reason.",
            ),
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True, revoked_by_name="")
                | (Q(revoked_at__isnull=False) & ~Q(revoked_by_name="")),
                name="fund_exception_revoked_by_somebody",
                violation_error_message="An exception is revoked by somebody at some time.",
            ),
        ]

    def __str__(self) -> str:
        return f"exception {self.pk}"

    @property
    def dates(self) -> str:
        """What it allows, as people read it: `valid until Jun 30, 2025`."""
        named = {
            "valid from": self.valid_from,
            "valid until": self.valid_until,
            "postings until": self.last_posting_date,
        }
        return ", ".join(f"{name} {long_date(day)}" for name, day in named.items() if day)

    @classmethod
    def in_force_by_fund(cls) -> "dict[int, list[FundException]]":
        """Return the exceptions that are not revoked, by the id of their fund."""
        found: dict[int, list[FundException]] = {}
        for each in cls.objects.filter(revoked_at__isnull=True):
            found.setdefault(each.fund_id, []).append(each)
        return found
