"""Django's changepassword, in the audit log, and with the account unlocked as by any other new password."""

import getpass

from django.contrib.auth.management.commands import changepassword
from django.utils import timezone

from billing.audit import Actor
from billing.commands import NeedsInitialize
from billing.models import User
from billing.setup import passwords


class Command(NeedsInitialize, changepassword.Command):
    def handle(self, *args: object, **options: object) -> str | None:
        said: str | None = super().handle(*args, **options)
        # Without a name Django takes that of the login.
        user = User.objects.get_by_natural_key(options["username"] or getpass.getuser())
        passwords.password_was_set(user=user, actor=Actor.from_command(), now=timezone.now())
        return said
