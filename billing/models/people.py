"""Who uses and who pays: users, PIs, their projects, and their delegates."""

import datetime
import difflib
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Lower
from django.utils.crypto import salted_hmac

from ..addresses import ascii_address, mailbox_of, normalized_email
from ..texts import code_of
from .customers import Customer
from .departments import Department
from .policy import Policy
from .typed import AddressField, CodeField, NameField

# What somebody may do besides their roles. A session begun before one of these changed has ended.
RIGHTS = frozenset({"is_active", "is_staff", "is_superuser"})


class UserQuerySet(models.QuerySet["User"]):
    def update(self, **values: object) -> int:
        if not RIGHTS.isdisjoint(values):
            values.setdefault("sessions_ended", F("sessions_ended") + 1)
        return super().update(**values)

    def end_sessions(self) -> None:
        """End the sessions that these users have, and the links to set a password that were made for them."""
        super().update(sessions_ended=F("sessions_ended") + 1)


class UserManager(DjangoUserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    use_in_migrations = False


class User(AbstractUser):
    """Somebody who signs in. What they may do comes from their roles (groups)."""

    # Counted up in the database alone: a row that was read before must not set it back.
    sessions_ended = models.PositiveIntegerField(
        default=0, editable=False, help_text="How often all sessions were ended: switched on or off, other roles."
    )

    objects = UserManager()  # type: ignore[misc]

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=~Q(email=""),
                name="one_user_per_email",
                violation_error_message="Somebody else has this e-mail address.",
            ),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save what was changed; whoever is switched on or off, or is staff no longer, is signed out everywhere."""
        if self._state.adding:
            return super().save(*args, **kwargs)
        named = kwargs.get("update_fields")
        if named is None:
            named = {field.name for field in self._meta.concrete_fields if not field.primary_key}
        kwargs["update_fields"] = set(named) - {"sessions_ended"}
        with transaction.atomic():
            rights = RIGHTS & kwargs["update_fields"]
            stored = type(self).objects.filter(pk=self.pk).values(*rights).first() if rights else None
            super().save(*args, **kwargs)
            if stored and any(stored[name] != getattr(self, name) for name in rights):
                self.end_sessions()

    def end_sessions(self) -> None:
        """End every session of this person."""
        type(self).objects.filter(pk=self.pk).end_sessions()
        self.refresh_from_db(fields=["sessions_ended"])

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # Django's own hangs on the password alone: an account switched off and on again would revive its sessions.
        said = self.password + (f" {self.sessions_ended}" if self.sessions_ended else "")
        salt = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash"
        return salted_hmac(salt, said, secret=secret, algorithm="sha256").hexdigest()


def users_addressed(address: str) -> models.QuerySet[User]:
    """Return the users with this e-mail address (normalized), its domain in either form."""
    return User.objects.filter(Q(email__iexact=address) | Q(email__iexact=ascii_address(address)))


class Mailboxes:
    """Whose an address is: that of the PI who has it, has it as an alias, or alone has the mailbox it leads to.

    Two PIs may share a mailbox, from before anybody knew: then each keeps what is addressed to them, and what is
    addressed to neither of them is for the mailbox itself. Nobody is merged by that; see `shared`.
    """

    def __init__(self, *, folds_plus: bool | None = None, people: Iterable[str] | None = None) -> None:
        self.folds_plus = Policy.objects.current().folds_plus_addresses if folds_plus is None else folds_plus
        self.aliases = dict(PersonAlias.objects.values_list("email", "person__email"))
        # Their addresses, where somebody read them already.
        self.people = set(Person.objects.values_list("email", flat=True) if people is None else people)
        self._by_mailbox: dict[str, set[str]] = {}
        for address, owner in [*zip(self.people, self.people, strict=True), *self.aliases.items()]:
            self._by_mailbox.setdefault(self.mailbox(address), set()).add(owner)

    def mailbox(self, address: str) -> str:
        return mailbox_of(address, folds_plus=self.folds_plus)

    def owner(self, address: str) -> str:
        """Return the PI's address as it is stored, "" for nobody's; `address` is normalized."""
        if address in self.aliases:
            return self.aliases[address]
        if address in self.people:
            return address
        mailbox = self.mailbox(address)
        if mailbox != address and (mailbox in self.aliases or mailbox in self.people):
            return self.owner(mailbox)
        owners = self._by_mailbox.get(mailbox, set())
        return next(iter(owners)) if len(owners) == 1 else ""

    def known_as(self, address: str) -> str:
        """Return the address of the PI it leads to: of one who is there, or of one to be made."""
        return (self.owner(address) or self.mailbox(address)) if address else ""

    def shared(self) -> dict[str, list[str]]:
        """Return the PIs (their addresses, in order) who share a mailbox with others, by mailbox.

        An address that is an alias of another PI, too, is that PI's from now on: whoever had it has been dealt with.
        """
        found = {
            mailbox: sorted({self.mailbox_owner(each) for each in owners})
            for mailbox, owners in self._by_mailbox.items()
        }
        return {mailbox: owners for mailbox, owners in sorted(found.items()) if len(owners) > 1}

    def sharing(self) -> dict[str, list[str]]:
        """Return, for each PI who shares a mailbox, the others who do; see `shared`."""
        return {
            each: [other for other in owners if other != each] for owners in self.shared().values() for each in owners
        }

    def mailbox_owner(self, address: str) -> str:
        """Return who gets what is addressed to a PI's own address: an alias of somebody else has taken it over."""
        return self.aliases.get(address, address)


class PersonQuerySet(models.QuerySet["Person"]):
    def who_are(self, user: User) -> "PersonQuerySet":
        """Keep the PIs who a user is: by the link or, where none is made, by the user's address or an alias."""
        own = Q(user=user)
        if user.email:
            email = normalized_email(user.email)
            aliased = PersonAlias.objects.filter(email__iexact=email).values("person")
            by_address = Q(email=email) | Q(pk__in=aliased)
            if owner := Person.objects.owning(email):
                by_address |= Q(pk=owner.pk)
            own |= Q(user__isnull=True) & by_address
        return self.filter(own)

    def owning(self, text: str) -> "Person | None":
        """Return the PI whose address, alias or mailbox this is, None for nobody's; see Mailboxes."""
        address = normalized_email(text)
        alias = PersonAlias.objects.filter(email=address).values("person")
        if found := self.filter(pk__in=alias).first() or self.filter(email=address).first():
            return found
        owner = Mailboxes().owner(address) if "@" in address else ""
        return self.filter(email=owner).first() if owner else None

    def named(self, text: str) -> "Person":
        """Return the PI with this e-mail address or alias; raise DoesNotExist with those like it."""
        address = normalized_email(text)
        if found := self.owning(address):
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

    id = models.AutoField(primary_key=True)
    email = AddressField(
        unique=True, help_text="In lower case.", error_messages={"unique": "There is a PI with this address."}
    )
    name = NameField(max_length=200, blank=True)
    department = models.ForeignKey(
        Department,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="people",
        help_text="Printed on statements.",
    )
    contact_email = AddressField(blank=True, help_text="A department contact who gets a copy of statements.")
    active_until = models.DateField(null=True, blank=True, help_text="The last day; later charges are held.")
    customer = models.ForeignKey(
        Customer,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="people",
        help_text="Gets an invoice for the charges of this PI, which need no fund/org.",
    )
    successor = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="predecessors")
    user = models.OneToOneField(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="person")
    is_listed = models.BooleanField(
        "on the list of people", default=False, editable=False, help_text="The loaded list of people names them."
    )
    confirmed_at = models.DateTimeField("confirmed", null=True, blank=True, editable=False)
    confirmed_by = models.ForeignKey(
        User, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    confirmed_by_name = models.CharField("confirmed by", max_length=254, blank=True, editable=False)
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
            models.CheckConstraint(
                condition=Q(confirmed_at__isnull=True, confirmed_by_name="")
                | (Q(confirmed_at__isnull=False) & ~Q(confirmed_by_name="")),
                name="confirmed_by_somebody",
                violation_error_message="A PI is confirmed by somebody at some time.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email

    def clean(self) -> None:
        self.email = normalized_email(self.email)
        owner = Mailboxes().owner(self.email) if self.pk is None and "@" in self.email else ""
        if owner and owner != self.email:
            raise ValidationError(
                {"email": f"This is the mailbox of the PI {owner}. Give that PI the address as an alias, if at all."}
            )

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
    email = AddressField(unique=True, error_messages={"unique": "This alias is taken."})

    class Meta:
        verbose_name, verbose_name_plural = "e-mail alias", "e-mail aliases"

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        self.email = normalized_email(self.email)


class ProjectQuerySet(models.QuerySet["Project"]):
    def coded(self, code: str) -> "ProjectQuerySet":
        return self.filter(code__iexact=code_of(code))

    def with_department(self) -> "ProjectQuerySet":
        """Annotate `home_id`: the id of the department that a project belongs to, which its PI's is by default."""
        return self.annotate(home_id=Coalesce("department", "pi__department"))


class Project(models.Model):
    """A piece of research that costs are gathered under; learned from tags, then curated."""

    id = models.AutoField(primary_key=True)
    code = CodeField(max_length=128)
    name = NameField(max_length=200, blank=True)
    pi = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="projects")
    department = models.ForeignKey(
        Department,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="projects",
        help_text="Empty: that of the PI.",
    )
    end_date = models.DateField(null=True, blank=True, help_text="Charges for service after this day are held.")
    reconciliation_end_date = models.DateField(null=True, blank=True)
    default_fund_org = CodeField(
        max_length=64, blank=True, help_text="Charged when a row of this project names no fund/org."
    )
    customer = models.ForeignKey(
        Customer,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="projects",
        help_text="Gets an invoice for the charges of this project, which need no fund/org. Empty: that of the PI.",
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

    @property
    def home(self) -> Department | None:
        """The department it belongs to: its own, or that of its PI."""
        return self.department or (self.pi.department if self.pi else None)


class MembershipQuerySet(models.QuerySet["Membership"]):
    def in_force(self, on: datetime.date) -> "MembershipQuerySet":
        """Keep those that hold on a day."""
        return self.filter(Q(valid_until__isnull=True) | Q(valid_until__gte=on), valid_from__lte=on)


class Membership(models.Model):
    """Somebody who may see what a PI sees, and perhaps act for them: a delegate, from one day to another."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="memberships", verbose_name="PI")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships", verbose_name="delegate")
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, help_text="Only this project; empty for all."
    )
    valid_from = models.DateField()
    valid_until = models.DateField(null=True, blank=True, help_text="The last day; empty while it lasts.")
    may_act = models.BooleanField(
        "may act", default=True, help_text="May ask and propose in the PI's name, and not only see."
    )
    receives_statements = models.BooleanField(default=False)

    objects = MembershipQuerySet.as_manager()

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
