"""Django's createsuperuser, whose accounts with every right stand in the audit log."""

from django.contrib.auth.management.commands import createsuperuser
from django.utils import timezone

from billing import audit
from billing.audit import Actor
from billing.commands import NeedsInitialize
from billing.models import User


class Command(NeedsInitialize, createsuperuser.Command):
    def handle(self, *args: object, **options: object) -> None:
        before = set(User.objects.values_list("pk", flat=True))
        super().handle(*args, **options)
        # Afterwards: Django's command asks its questions in between, and no transaction waits for an answer.
        with audit.gesture(actor=Actor.from_command(), now=timezone.now()) as gesture:
            for user in User.objects.filter(is_superuser=True).exclude(pk__in=before):
                gesture.record("user.added", user, after={"email": user.email, "is_superuser": True})
