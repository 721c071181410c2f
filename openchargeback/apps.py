"""The project's own app (commands, roles) and the admin with our site in place of Django's."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class OpenChargebackConfig(AppConfig):
    name = "openchargeback"

    def ready(self) -> None:
        from billing.background import jobs
        from billing.models import Job

        from . import checks, report_files, sign_ins  # noqa: F401 (the checks register themselves)

        jobs.register(Job.Kind.REPORT_FILE, report_files.run_job, permission=report_files.PERMISSION)
        sign_ins.connect()


class OpenChargebackAdminConfig(AdminConfig):
    default_site = "openchargeback.admin_site.OpenChargebackAdminSite"

    def ready(self) -> None:
        from . import labels

        # Before the screens are read, whose forms take their labels from the models.
        labels.put_right()
        super().ready()

        from django.contrib.admin.templatetags import admin_list

        from billing.admin import formatting

        # Django's lists and read-only forms all ask this function, and take no other: its own "no" is a red cross.
        admin_list._boolean_icon = formatting.yes_or_no  # type: ignore[attr-defined] # noqa: SLF001
