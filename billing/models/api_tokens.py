"""Tokens with which programs read: whose they are, what they see, until when, and how often they asked."""

import datetime
import hashlib

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, When

from .departments import Department
from .people import Person, Project
from .typed import NameField

# How long a count of requests lasts before the next begins.
WINDOW = datetime.timedelta(minutes=1)
START = "ocb"


def hashed(secret: str) -> str:
    """Return what is kept of a token. It is drawn at random and as long as the hash, so no salt makes it safer."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def in_force(self, *, on: datetime.date) -> "ApiTokenQuerySet":
        """Keep those that nobody revoked and that have not expired."""
        return self.filter(revoked_at__isnull=True, valid_until__gte=on)

    def count_request(self, *, limit: int, now: datetime.datetime) -> bool:
        """Count one request of these tokens; return whether it is within so many a minute.

        One conditional update decides it: however many processes ask at once, each request is counted once, and one
        that is too many changes nothing.
        """
        is_over = Q(window_began_at__isnull=True) | Q(window_began_at__lte=now - WINDOW)
        return bool(
            self.filter(is_over | Q(window_requests__lt=limit)).update(
                window_requests=Case(When(is_over, then=1), default=F("window_requests") + 1),
                window_began_at=Case(When(is_over, then=now), default=F("window_began_at")),
                last_used_at=now,
            )
        )


class ApiToken(models.Model):
    """A secret that lets a program read statements. The secret itself is shown once and kept nowhere."""

    class Kind(models.TextChoices):
        PORTAL = "portal", "Portal"
        SERVICE = "service", "Service"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = NameField(max_length=60, help_text="What it is for, such as the program that uses it.")
    prefix = models.CharField("begins with", max_length=16, unique=True, help_text="By which people tell it.")
    secret_hash = models.CharField(max_length=64, help_text="SHA-256 of the whole token.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="api_tokens",
        help_text="It works as long as this account does. A portal token sees what its owner sees.",
    )
    created_at = models.DateTimeField("made")
    valid_until = models.DateField(help_text="The last day on which it works.")
    last_used_at = models.DateTimeField("last used", null=True, blank=True)
    revoked_at = models.DateTimeField("revoked", null=True, blank=True)
    revoked_by_name = models.CharField("revoked by", max_length=254, blank=True)
    window_began_at = models.DateTimeField(null=True, blank=True, editable=False)
    window_requests = models.PositiveIntegerField(default=0, editable=False)
    # Of a service token alone.
    sees_everything = models.BooleanField("sees all statements", default=False)
    people = models.ManyToManyField(
        Person, blank=True, related_name="+", verbose_name="PIs", help_text="All statements of these PIs."
    )
    projects = models.ManyToManyField(
        Project, blank=True, related_name="+", help_text="Statements of these projects, whoever their PI is."
    )
    departments = models.ManyToManyField(
        Department,
        blank=True,
        related_name="+",
        help_text="Statements of projects that belong to these departments or to those within them.",
    )

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        verbose_name = "API token"
        default_permissions = ("add", "view")
        permissions = [("revoke_apitoken", "Can revoke API tokens of anybody")]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                condition=Q(revoked_at__isnull=True),
                name="one_token_per_name",
                violation_error_message="There is a token with this name. Choose another name, or revoke that token.",
            ),
            models.CheckConstraint(
                condition=Q(kind="service") | Q(sees_everything=False),
                name="portal_token_sees_what_its_owner_sees",
                violation_error_message="A portal token sees what its owner sees.",
            ),
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True, revoked_by_name="")
                | (Q(revoked_at__isnull=False) & ~Q(revoked_by_name="")),
                name="token_revoked_by_somebody",
                violation_error_message="A token is revoked by somebody at some time.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_in_force(self, on: datetime.date) -> bool:
        return self.revoked_at is None and self.valid_until >= on
