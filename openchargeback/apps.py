"""The project's own app (commands, roles) and the admin with our site in place of Django's."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class OpenChargebackConfig(AppConfig):
    name = "openchargeback"

    def ready(self) -> None:
        from . import checks, sign_ins  # noqa: F401 (the checks register themselves)

        sign_ins.connect()


class OpenChargebackAdminConfig(AdminConfig):
    default_site = "openchargeback.admin_site.OpenChargebackAdminSite"

    def ready(self) -> None:
        from . import labels

        # Before the screens are read, whose forms take their labels from the models.
        labels.put_right()
        super().ready()
