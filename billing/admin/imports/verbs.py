"""What can be done with an import: applied, booked, dismissed or withdrawn, each after a page that asks."""

from functools import partial
from typing import Any

from django import forms
from django.db.models import Sum
from django.http import HttpRequest
from django.utils import timezone

from ... import importing
from ...background import jobs
from ...importing import doubts, late
from ...importing.again import SETTLED
from ...models import BillingPeriod, Import, Job, Source
from ..audited import actor_of
from ..verbs import Verb
from . import words
from .fields import PeriodField, SourceField

State = Import.State


def withdraw(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str:
    done = importing.withdraw(imported=imported, actor=actor_of(request), now=timezone.now())
    return f"Import {imported.pk} is withdrawn: {done} Issue the statements again where some were out."


class BookForm(forms.Form):
    into = forms.ModelChoiceField(
        BillingPeriod.objects.none(),
        label="Charged in",
        empty_label=None,
        help_text="An open month: its statements and journal show the late changes, with the month they correct.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["into"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = BillingPeriod.objects.taking_changes().order_by("-month")


class AgainForm(forms.Form):
    """As what the kept files of an import are imported again."""

    source = SourceField(Source.objects.filter(is_active=True).order_by("name"), empty_label="Choose a source")
    period = PeriodField(
        label="Expected period",
        help_text="Such as 2025-01, or 2025-Q1. Empty: the months that the rows name.",
    )


class DismissForm(forms.Form):
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the import.")


def book(request: HttpRequest, imported: Import, data: dict[str, Any], missing: str = "") -> str | Job:
    acting: dict[str, Any] = {
        "imported": imported,
        "missing": missing,
        "actor": actor_of(request),
        "now": timezone.now(),
    }
    if is_large(imported):
        return importing.decide_later(into=data["into"], **acting)
    return importing.book(into=data["into"], **acting).summary


def is_large(imported: Import) -> bool:
    """Whether reading an import once more takes longer than a page may."""
    rows = imported.imported_files.aggregate(rows=Sum("rows"))["rows"] or 0
    return max(rows, imported.rows) > jobs.LARGE


def apply_deferred(request: HttpRequest, imported: Import, data: dict[str, Any], missing: str = "") -> str | Job:
    acting: dict[str, Any] = {"missing": missing, "actor": actor_of(request), "now": timezone.now()}
    if is_large(imported):
        return importing.decide_later(imported=imported, **acting)
    return importing.apply_deferred(imported=imported, **acting).as_text().split("\n")[0]


def takes_changes(imported: Import) -> bool:
    """Whether a deferred import can be applied by hand to one of its months."""
    return imported.state == State.DEFERRED and any(period.takes_changes for period in late.months_of(imported))


def is_certain(imported: Import) -> bool:
    """Whether an import waits for its month alone, and nobody has to say what becomes of charges that it lacks."""
    return imported.state == State.DEFERRED and not imported.doubts


def can_be_read_again(imported: Import) -> bool:
    """Whether an import came to nothing, and its files are there to be imported again."""
    return imported.state in SETTLED and imported.imported_files.exists()


def can_move(imported: Import) -> bool:
    """Whether an import can be withdrawn and imported as another source's."""
    return imported.state == State.APPLIED and imported.imported_files.exists()


def is_doubtful(imported: Import) -> bool:
    return imported.state == State.DEFERRED and bool(imported.doubts)


def can_keep(imported: Import) -> bool:
    """Whether keeping what is missing is an answer.

    An older run would put its older amounts over newer ones, and what is written otherwise would be charged twice.
    """
    return is_doubtful(imported) and not (doubts.is_older(imported) or doubts.is_written_anew(imported))


def dismiss(request: HttpRequest, imported: Import, data: dict[str, Any]) -> str:
    importing.dismiss(imported=imported, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Import {imported.pk} is dismissed: nothing of it is booked."


def import_again(request: HttpRequest, imported: Import, data: dict[str, Any]) -> Job:
    return importing.import_again(
        imported=imported,
        source=data["source"],
        period=data["period"],
        actor=actor_of(request),
        now=timezone.now(),
    )


def as_before(imported: Import) -> dict[str, Any]:
    return {"source": imported.source_id, "period": imported.expected_period}


def move_question(imported: Import) -> str:
    """Say what becomes of what was imported under the wrong source."""
    billed = words.money(words.billed_of(imported.stored))
    rows = f"{imported.rows:,} row{'' if imported.rows == 1 else 's'}{f' ({billed})' if billed else ''}"
    return (
        "The worker tries the same files as what you choose. If they are refused there, everything stays as it is. "
        f"If they fit, import {imported.pk} is withdrawn: its {rows} leave their months, and what it replaced lives "
        "again. Then the files are imported."
    )


def none_open(imported: Import) -> list[str]:
    if BillingPeriod.objects.taking_changes().exists():
        return []
    return ["No month takes changes. Open one under All months."]


VERBS = (
    Verb(
        name="apply",
        label="Apply…",
        button="Apply import",
        permission="billing.book_import",
        run=apply_deferred,
        offered=lambda imported: takes_changes(imported) and is_certain(imported),
        question=lambda imported: (
            f"What import {imported.pk} changes is applied to the months that take changes. Decisions made in the "
            "review are kept; what is new may be held. Issue the statements again after it."
        ),
        details="admin/billing/import/original_difference.html",
        is_primary=True,
    ),
    Verb(
        name="book",
        label="Book late changes…",
        button="Book late changes",
        permission="billing.book_import",
        run=book,
        form=BookForm,
        offered=lambda imported: is_certain(imported) and not takes_changes(imported),
        missing=none_open,
        question=lambda imported: (
            f"What import {imported.pk} changes is booked as late changes, to the payers charged then. "
            "The charges of the closed month stay as they are."
        ),
        details="admin/billing/import/original_difference.html",
        is_primary=True,
    ),
    Verb(
        name="apply_keeping",
        label="Apply, keep what is missing…",
        button="Apply and keep",
        permission="billing.book_import",
        run=partial(apply_deferred, missing=Import.Missing.KEEP),
        offered=lambda imported: takes_changes(imported) and can_keep(imported),
        question=lambda imported: (
            f"What import {imported.pk} changes and adds is applied. The charges that it lacks stay: it withdraws "
            "nothing."
        ),
        details="admin/billing/import/original_difference.html",
        is_primary=True,
    ),
    Verb(
        name="book_keeping",
        label="Book, keep what is missing…",
        button="Book and keep",
        permission="billing.book_import",
        run=partial(book, missing=Import.Missing.KEEP),
        form=BookForm,
        offered=lambda imported: can_keep(imported) and not takes_changes(imported),
        missing=none_open,
        question=lambda imported: (
            f"What import {imported.pk} changes and adds is booked as late changes, to the payers charged then. "
            "The charges that it lacks stay as they are."
        ),
        details="admin/billing/import/original_difference.html",
        is_primary=True,
    ),
    Verb(
        name="apply_replacing",
        label="Apply as delivered…",
        button="Apply as delivered",
        permission="billing.book_import",
        run=partial(apply_deferred, missing=Import.Missing.REPLACE),
        offered=lambda imported: takes_changes(imported) and is_doubtful(imported),
        question=lambda imported: (
            f"Import {imported.pk} is applied as it was delivered: charges that it lacks are withdrawn, and its "
            "amounts replace those that are there."
        ),
        details="admin/billing/import/original_difference.html",
        is_dangerous=True,
    ),
    Verb(
        name="book_replacing",
        label="Book as delivered…",
        button="Book as delivered",
        permission="billing.book_import",
        run=partial(book, missing=Import.Missing.REPLACE),
        form=BookForm,
        offered=lambda imported: is_doubtful(imported) and not takes_changes(imported),
        missing=none_open,
        question=lambda imported: (
            f"Import {imported.pk} is booked as it was delivered: charges that it lacks are reversed for those "
            "who were charged them."
        ),
        details="admin/billing/import/original_difference.html",
        is_dangerous=True,
    ),
    Verb(
        name="dismiss",
        label="Dismiss…",
        button="Dismiss import",
        permission="billing.book_import",
        run=dismiss,
        form=DismissForm,
        offered=lambda imported: imported.state == State.DEFERRED,
        question="Nothing of it is booked, and the same files do not ask again. A later import is compared "
        "with what was charged.",
        details="admin/billing/import/original_difference.html",
        is_dangerous=True,
    ),
    Verb(
        name="again",
        label="Try again…",
        button="Import again",
        permission="billing.import_charges",
        run=import_again,
        form=AgainForm,
        initial=as_before,
        offered=can_be_read_again,
        question=lambda imported: (
            f"Nothing of import {imported.pk} is charged. The worker imports its files again, as you say here: "
            f"{imported.name}. They are kept, so you need not upload them."
        ),
        is_primary=True,
    ),
    Verb(
        name="move",
        label="Import as another source…",
        button="Withdraw and import again",
        permission="billing.withdraw_import",
        run=import_again,
        form=AgainForm,
        initial=lambda imported: {"period": imported.expected_period},
        offered=can_move,
        question=move_question,
    ),
    Verb(
        name="withdraw",
        label="Withdraw…",
        button="Withdraw import",
        permission="billing.withdraw_import",
        run=withdraw,
        offered=lambda imported: imported.state == State.APPLIED,
        question=lambda imported: (
            f"All charges of import {imported.pk} ({imported.rows:,} rows) leave their periods, and what it "
            "replaced lives again. Decisions made about its charges are kept."
        ),
        is_dangerous=True,
    ),
)
