"""Who uses and who pays: users, PIs and their projects, and the funds that may be charged."""

import datetime
import difflib

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

# What copying from mails and pages leaves in a text and nobody sees: soft hyphens, zero widths, marks of direction.
_UNSEEN = dict.fromkeys((0xAD, 0x061C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF))


def normalized_email(text: str) -> str:
    """Return an e-mail address as it is compared and stored: trimmed, in lower case, without what nobody sees."""
    return text.translate(_UNSEEN).strip().casefold()


class User(AbstractUser):
    """Somebody who signs in. What they may do comes from their roles (groups)."""

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=~Q(email=""),
                name="one_user_per_email",
                violation_error_message="Somebody else has this e-mail address.",
            ),
        ]


class PersonQuerySet(models.QuerySet["Person"]):
    def named(self, text: str) -> "Person":
        """Return the PI with this e-mail address or alias; raise DoesNotExist with those like it."""
        address = normalized_email(text)
        person = self.filter(Q(email=address) | Q(pk__in=PersonAlias.objects.filter(email=address).values("person")))
        if found := person.first():
            return found
        addresses = list(self.order_by("email").values_list("email", flat=True))
        like = difflib.get_close_matches(address, addresses, n=5, cutoff=0.6)
        like += [each for each in addresses if address.partition("@")[0] in each and each not in like][: 5 - len(like)]
        raise self.model.DoesNotExist(
            f"There is no PI “{text}”. "
            + (f"Did you mean {', '.join(like)}?" if like else "PIs are named by their e-mail address.")
        )


class Person(models.Model):
    """A PI: learned from the tags of the first charge that names them, then curated by staff."""

    email = models.EmailField(
        unique=True, help_text="In lower case.", error_messages={"unique": "There is a PI with this address."}
    )
    name = models.CharField(max_length=200, blank=True)
    department = models.CharField(max_length=200, blank=True)
    contact_email = models.EmailField(blank=True, help_text="A department contact who gets a copy of statements.")
    active_until = models.DateField(null=True, blank=True, help_text="The last day; later charges are held.")
    successor = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="predecessors")
    user = models.OneToOneField(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="person")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PersonQuerySet.as_manager()

    class Meta:
        verbose_name = "PI"
        verbose_name_plural = "PIs"
        ordering = ("name", "email")
        constraints = [
            models.CheckConstraint(
                condition=Q(email=Lower("email")),
                name="pi_email_is_lower_case",
                violation_error_message="Write the e-mail address in lower case.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email

    def clean(self) -> None:
        self.email = normalized_email(self.email)

    @property
    def display_name(self) -> str:
        return self.name or self.email

    def successor_on(self, day: datetime.date) -> "Person | None":
        """Return who takes over from this PI: the first in the line of successors who has not left by that day."""
        seen = {self.pk}
        heir = self.successor
        while heir and heir.pk not in seen and heir.active_until and heir.active_until < day:
            seen.add(heir.pk)
            heir = heir.successor
        return None if heir is None or heir.pk in seen else heir


class PersonAlias(models.Model):
    """Another address under which a PI's charges arrive."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="aliases")
    email = models.EmailField(unique=True, error_messages={"unique": "This alias is taken."})

    class Meta:
        verbose_name_plural = "e-mail aliases"

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        self.email = normalized_email(self.email)


class ProjectQuerySet(models.QuerySet["Project"]):
    def coded(self, code: str) -> "ProjectQuerySet":
        return self.filter(code__iexact=code.strip())


class Project(models.Model):
    """A piece of research that costs are gathered under; learned from tags, then curated."""

    code = models.CharField(max_length=128)
    name = models.CharField(max_length=200, blank=True)
    pi = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="projects")
    end_date = models.DateField(null=True, blank=True, help_text="Charges for service after this day are held.")
    reconciliation_end_date = models.DateField(null=True, blank=True)
    default_fund_org = models.CharField(
        max_length=64, blank=True, help_text="Charged when a row of this project names no fund/org."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ("code",)
        constraints = [
            models.UniqueConstraint(
                Lower("code"), name="one_project_per_code", violation_error_message="This project exists already."
            ),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def display_name(self) -> str:
        return self.name or self.code


class Membership(models.Model):
    """A person who may see and handle what a PI sees: a delegate, from one day to another."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="memberships", verbose_name="PI")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships", verbose_name="delegate")
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, help_text="Only this project; empty for all."
    )
    valid_from = models.DateField()
    valid_until = models.DateField(null=True, blank=True, help_text="The last day; empty while it lasts.")
    receives_statements = models.BooleanField(default=False)

    class Meta:
        verbose_name = "delegate"
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gte=F("valid_from")),
                name="membership_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        return f"delegate {self.user_id} of PI {self.person_id}"


class FundingSource(models.Model):
    """A fund/org of the institution's ledger, loaded from a list: never learned from a tag."""

    fund_org = models.CharField(
        "fund/org",
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"^\S(.*\S)?$", "A fund/org has no blanks at its ends.")],
    )
    name = models.CharField(max_length=200, blank=True)
    is_sponsored = models.BooleanField("sponsored award", default=False)
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True, help_text="The last day of service it may bear.")
    last_posting_date = models.DateField(null=True, blank=True)
    projects = models.ManyToManyField(Project, blank=True, related_name="funding_sources")

    class Meta:
        ordering = ("fund_org",)
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                name="fund_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        return self.fund_org
