"""What usage costs: rate schedules with their dates, who has which rate class, subsidies, and balances to draw from."""

import datetime
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from ..errors import BillingError
from ..fields import AmountField, ExactField
from .departments import Department
from .people import Person, Project
from .periods import MonthField
from .typed import CodeField, NameField

SLUG = RegexValidator(r"^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _.")


def check_month(month: datetime.date | None) -> None:
    if month and month.day != 1:
        raise ValidationError("Write the year and month, such as 2025-01.")


class Scope(models.TextChoices):
    """Whose use is added up; as `usage.pricing.terms.Scope`."""

    PI = "pi", "PI"
    PROJECT = "project", "Project"
    DEPARTMENT = "department", "Department"
    ACCOUNT = "account", "Account"
    USER = "user", "User"
    FEED = "feed", "All of the feed"


class Span(models.TextChoices):
    """Over which time; as `usage.pricing.terms.Span`."""

    DAY = "day", "Day"
    MONTH = "month", "Month"
    QUARTER = "quarter", "Quarter of the fiscal year"
    FISCAL_YEAR = "fiscal_year", "Fiscal year"


class VersionLocked(BillingError):
    """A version of a rate schedule that was put in force was to change or be deleted."""


class RateScheduleQuerySet(models.QuerySet["RateSchedule"]):
    """Versions, of which those that were put in force are neither changed nor deleted; they may be retired."""

    def update(self, **fields: Any) -> int:
        if set(fields) - {"state"}:
            self.require_drafts()
        return super().update(**fields)

    def delete(self) -> tuple[int, dict[str, int]]:
        self.require_drafts()
        return super().delete()

    def bulk_create(self, objs: Iterable["RateSchedule"], *args: Any, **options: Any) -> Any:
        versions: Any = list(objs)
        if options.get("update_conflicts"):
            self.model.objects.filter(name__in=[each.name for each in versions]).require_drafts()
        return super().bulk_create(versions, *args, **options)

    def require_drafts(self) -> None:
        """Raise VersionLocked if one of these versions was put in force."""
        if locked := self.exclude(state=RateSchedule.State.DRAFT).first():
            locked.require_draft()

    def in_force(self, name: str, month: datetime.date) -> "RateSchedule | None":
        """Return the version of a schedule that prices a month: the last released one that starts by then."""
        return (
            self.filter(name=name, valid_from__lte=month, state=RateSchedule.State.RELEASED)
            .order_by("-valid_from", "-version")
            .first()
        )


class RateSchedule(models.Model):
    """A version of a rate schedule. Once it is released it never changes: a later version takes its place."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        RELEASED = "released", "In force"
        RETIRED = "retired", "Retired"

    name = models.CharField(max_length=64, validators=[SLUG], help_text="How feeds call it, such as hpc.")
    version = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    valid_from = MonthField(help_text="The first month that it prices.", validators=[check_month])
    content = models.JSONField(default=dict, help_text="Its rates and rate classes, as an export has them.")
    note = models.TextField(blank=True, help_text="Why it is as it is: approved by whom, after which rate study.")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = RateScheduleQuerySet.as_manager()

    class Meta:
        ordering = ("name", "-version")
        permissions = [("release_rateschedule", "Can put a rate schedule in force")]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "version"],
                name="one_schedule_of_a_version",
                violation_error_message="The schedule has this version already.",
            ),
            models.CheckConstraint(
                condition=Q(valid_from__day=1),
                name="schedules_start_with_a_month",
                violation_error_message="A schedule starts with a month.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def save(self, *args: Any, **options: Any) -> None:
        stored = RateSchedule.objects.filter(pk=self.pk).first() if self.pk else None
        if stored and set(options.get("update_fields") or ()) != {"state"}:
            stored.require_draft()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        RateSchedule.objects.filter(pk=self.pk).require_drafts()
        return super().delete(*args, **options)

    def require_draft(self) -> None:
        """Raise VersionLocked where this version was put in force once."""
        if self.state != self.State.DRAFT:
            raise VersionLocked(f"{self} was put in force, and does not change any more. Draft a new version.")


class _OfScope(models.Model):
    """Somebody: a PI, a project or a department, exactly one of them."""

    pi = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name="PI")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    department = models.ForeignKey(Department, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        abstract = True

    @property
    def scope(self) -> str:
        """Which of the three it is, as pricing names scopes."""
        return "pi" if self.pi_id else "project" if self.project_id else "department"

    @property
    def owner(self) -> str:
        """The owner as pricing knows it: an address, or a code."""
        if self.pi:
            return self.pi.email
        return self.project.code if self.project else self.department.code if self.department else ""

    def clean(self) -> None:
        if sum(map(bool, (self.pi_id, self.project_id, self.department_id))) != 1:
            raise ValidationError("Name a PI, a project or a department: exactly one of them.")


def one_of_scope(name: str) -> models.CheckConstraint:
    """Refuse, in the database too, a row of no owner or of several."""
    owners = ("pi", "project", "department")
    condition = Q()
    for each in owners:
        condition |= Q(**{f"{other}__isnull": other != each for other in owners})
    return models.CheckConstraint(
        condition=condition, name=name, violation_error_message="Name a PI, a project or a department: one of them."
    )


class RateClassMember(_OfScope):
    """Who has another rate class than internal users have, from when to when, and why."""

    rate_class = models.CharField("rate class", max_length=64, validators=[SLUG])
    valid_from = MonthField(validators=[check_month])
    valid_until = MonthField(null=True, blank=True, validators=[check_month], help_text="The last month.")
    reason = models.TextField(help_text="A class for one PI needs a reason that an auditor can follow.")

    class Meta:
        ordering = ("rate_class", "pk")
        verbose_name = "member of a rate class"
        verbose_name_plural = "members of rate classes"
        constraints = [
            one_of_scope("class_member_is_one"),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gte=F("valid_from")),
                name="class_member_months_in_order",
                violation_error_message="The last month is before the first.",
            ),
            models.CheckConstraint(
                condition=~Q(reason=""),
                name="class_member_has_a_reason",
                violation_error_message="Say why.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner}: {self.rate_class}"


class UsageSubsidy(models.Model):
    """What somebody need not pay of usage: forgone, or paid by a fund/org."""

    code = models.CharField(max_length=64, unique=True, validators=[SLUG])
    name = NameField(max_length=128)
    percent = ExactField(
        help_text="Of what would be charged.",
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    cap = AmountField(null=True, blank=True, help_text="At most so much for each of the scope and span.")
    scope = models.CharField(max_length=16, choices=Scope.choices, default=Scope.PI)
    span = models.CharField(max_length=16, choices=Span.choices, default=Span.MONTH)
    recipients = models.JSONField(
        default=list, blank=True, help_text="Addresses of PIs, or codes, one per line; none: everybody."
    )
    feeds = models.JSONField(default=list, blank=True, help_text="Names of usage feeds; none: all.")
    rates = models.JSONField(default=list, blank=True, help_text="Codes of rates; none: all.")
    classes = models.JSONField(default=list, blank=True, help_text="Rate classes; none: all that are not external.")
    fund_org = CodeField("funded by", max_length=64, blank=True, help_text="Empty: forgone, and only shown.")
    order = models.PositiveSmallIntegerField(default=0, help_text="Lower ones come first.")
    valid_from = MonthField(validators=[check_month])
    valid_until = MonthField(null=True, blank=True, validators=[check_month], help_text="The last month.")
    reason = models.TextField(help_text="Who grants it, and why.")

    class Meta:
        ordering = ("order", "code")
        verbose_name = "subsidy"
        verbose_name_plural = "subsidies"

    def __str__(self) -> str:
        return self.name


class Allocation(_OfScope):
    """A balance that use is drawn from before it is charged: granted, or paid before."""

    code = models.CharField(max_length=64, unique=True, validators=[SLUG])
    amount = ExactField(help_text="In its unit, or in money where it has none.", validators=[MinValueValidator(0)])
    unit = models.CharField(max_length=64, blank=True, help_text="Such as core-hour; empty: money.")
    rates = models.JSONField(default=list, blank=True, help_text="Codes of rates; none: all of its unit.")
    is_prepaid = models.BooleanField("paid before", default=False)
    fund_org = CodeField("paid by", max_length=64, blank=True)
    deferred_fund_org = CodeField(
        "deferred revenue",
        max_length=64,
        blank=True,
        help_text="The fund/org that its money lies on until it is used. Use moves it to recovery.",
    )
    deferred_account = CodeField("account code of deferred revenue", max_length=64, blank=True)
    feed = models.ForeignKey(
        "UsageFeed",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="allocations",
        verbose_name="usage feed",
        help_text="Empty: use of any feed is drawn from it.",
    )
    bought_on = models.DateField("bought on", null=True, blank=True, editable=False)
    price = AmountField(null=True, blank=True, help_text="What was paid for it.")
    approved_by = NameField(
        "approved by finance", max_length=128, blank=True, help_text="Who let a sponsored fund pay before use."
    )
    order = models.PositiveSmallIntegerField(default=0, help_text="Lower ones are drawn from first.")
    valid_from = MonthField(validators=[check_month])
    valid_until = MonthField(null=True, blank=True, validators=[check_month], help_text="The last month.")
    reason = models.TextField(help_text="Who granted or bought it, and for what.")

    class Meta:
        ordering = ("order", "code")
        constraints = [one_of_scope("allocation_is_of_one")]

    def __str__(self) -> str:
        return self.code

    @property
    def worth(self) -> Decimal:
        """What was paid for it; money is worth what it is."""
        if not self.is_prepaid:
            return Decimal(0)
        return self.price if self.price is not None else self.amount
