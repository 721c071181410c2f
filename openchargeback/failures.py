"""What failed and nobody has seen to: jobs, imports and e-mails, for the month's page, and how one dismisses them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing import failures
from billing.admin.audited import actor_of
from billing.errors import BillingError
from billing.models import BillingPeriod, Import, Job, User
from statements.models import Email

# How many of a kind the page shows; when these are dismissed, it shows the next.
SHOWN = 5


@dataclass(frozen=True)
class Failure:
    """Something that failed, as the page says it, and whether this person may dismiss it."""

    key: str
    what: str
    text: str
    url: str
    may_dismiss: bool


def _jobs() -> "QuerySet[Any]":
    failed = Job.objects.filter(state=Job.State.FAILED, retried_as=None)
    return failures.remaining(failed, since=("finished_at",)).order_by("-id")


def _imports() -> "QuerySet[Any]":
    failed = Import.objects.filter(state=Import.State.FAILED)
    return failures.remaining(failed, since=("created_at",)).select_related("source").order_by("-id")


def _emails(period: BillingPeriod) -> "QuerySet[Any]":
    failed = Email.objects.filter(period=period, state__in=Email.TROUBLED)
    return failures.remaining(failed, since=("claimed_at", "created_at"))


# What it takes to dismiss a kind: to be the one who could do it again.
PERMISSIONS = {"job": "billing.retry_job", "import": "billing.import_charges", "emails": "statements.send_statements"}


def jobs_of_note() -> tuple[list[Job], list[Job]]:
    """Return, in one query, the newest jobs that are not over, and those that failed: neither retried nor dismissed."""
    unfinished = Job.objects.filter(state__in=(Job.State.QUEUED, Job.State.RUNNING)).order_by("-pk")[:SHOWN]
    either = Q(pk__in=unfinished.values("pk")) | Q(pk__in=_jobs()[:SHOWN].values("pk"))
    found = list(Job.objects.filter(either).order_by("-pk"))
    return [each for each in found if not each.is_over], [each for each in found if each.is_over]


def failures_of(period: BillingPeriod | None, user: User, jobs: Sequence[Job]) -> list[Failure]:
    """Return what failed, of that which this person may see, and is not dismissed; e-mails are those of the month.

    `jobs` are those of `jobs_of_note`.
    """
    found = []
    if user.has_perm("billing.view_job"):
        found += [
            _failure("job", each.pk, each.get_kind_display(), each.message, "admin:billing_job_change", user)
            for each in jobs
        ]
    if user.has_perm("billing.view_import"):
        found += [
            _failure("import", each.pk, f"Import {each.pk}", _import_text(each), "admin:billing_import_change", user)
            for each in _imports()[:SHOWN]
        ]
    if period and user.has_perm("statements.view_email") and (number := _emails(period).count()):
        url = f"{reverse('admin:statements_email_changelist')}?period={period.iso_month}&state=trouble"
        what = f"{number:,} e-mail{'' if number == 1 else 's'}"
        text = "Not sent, or perhaps not."
        found.append(Failure(f"emails:{period.iso_month}", what, text, url, user.has_perm(PERMISSIONS["emails"])))
    return found


def _failure(kind: str, pk: int, what: str, text: str, page: str, user: User) -> Failure:
    return Failure(f"{kind}:{pk}", what, text, reverse(page, args=[pk]), user.has_perm(PERMISSIONS[kind]))


def _import_text(failed: Import) -> str:
    return f"{failed.name} of {failed.source or 'an unknown source'} could not be imported."


def named(key: str) -> tuple[str, list[Any]]:
    """Return the permission that dismissing this takes, and what is still to be dismissed of it.

    Raises LookupError for what is none.
    """
    kind, _, name = key.partition(":")
    finders: dict[str, Callable[[], QuerySet[Any]]] = {
        "job": lambda: _jobs().filter(pk=int(name)),
        "import": lambda: _imports().filter(pk=int(name)),
        "emails": lambda: _emails(BillingPeriod.objects.named(name)),
    }
    try:
        return PERMISSIONS[kind], list(finders[kind]())
    except (KeyError, ValueError, BillingPeriod.DoesNotExist) as error:
        raise LookupError(f"There is no failure {key}.") from error


def dismiss(request: HttpRequest) -> None:
    """Dismiss the failure that a form names, and tell the person. Raises PermissionDenied where they may not."""
    try:
        permission, found = named(request.POST.get("failure", ""))
    except LookupError as error:
        messages.error(request, str(error.args[0]))
        return
    if not request.user.has_perm(permission):
        raise PermissionDenied
    try:
        number = failures.dismiss(failures=found, actor=actor_of(request), now=timezone.now())
    except BillingError as error:
        messages.error(request, str(error))
        return
    what = "1 failure is" if number == 1 else f"{number:,} failures are"
    messages.success(request, f"{what} dismissed. The audit log says who did it.")
