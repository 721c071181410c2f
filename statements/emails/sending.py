"""Sending a month's statements: what a run would send, and the run itself."""

import datetime
from collections.abc import Collection

from billing import mail_test_mode
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import BillingPeriod
from billing.progress import Progress, unwatched

from .. import issuing
from ..issuing import Generated
from . import choosing, outbox
from .dispatching import dispatch
from .doubts import in_doubt, note_left_behind, uncertain_messages
from .letters import check_templates
from .outcomes import Sent, folder_of_files, planned_message, refused_in, stated_by, written_in
from .queueing import planned_now, queue


class EmailNotConfigured(BillingError):
    """What was written to files was to be sent, and there is no mail server."""


def issue_and_send(
    *,
    period: BillingPeriod,
    dry_run: bool = False,
    send_now: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> tuple[Generated, Sent | None]:
    """Generate a period's statements and, if asked, send them; a dry run sends nothing."""
    generated = issuing.generate(period=period, dry_run=dry_run, actor=actor, now=now, progress=progress)
    if dry_run or not send_now:
        return generated, None
    return generated, send(period=period, actor=actor, now=now, progress=progress)


def preview(
    *,
    period: BillingPeriod,
    chosen: Collection[str] | None = None,
    outdated: bool = False,
    written: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Sent:
    """Return what `send` would do now. Writes nothing."""
    of_choice = choosing.chosen_of(period, chosen)
    planned, stale = planned_now(period, chosen=chosen, outdated=outdated, written=written, actor=actor, now=now)
    return Sent(
        period=period.iso_month,
        is_dry_run=True,
        is_written=outbox.writes_files(),
        messages=tuple(planned_message(each) for each in planned if not each.waits and not each.left_out),
        waiting=tuple(planned_message(each) for each in planned if each.waits),
        left_out=tuple(planned_message(each) for each in planned if each.left_out),
        interrupted=tuple(in_doubt()),
        outdated=stale,
        sends_outdated=outdated,
        chosen=None if chosen is None else frozenset(chosen),
        kept_back=choosing.kept_back(of_choice, planned, stale),
        stated=stated_by(planned),
        folder=folder_of_files(),
        files=0 if chosen is not None else written_in(period).count(),
        refused=() if chosen is not None else refused_in(period),
        redirected_to=mail_test_mode.test_address(),
    )


def send(
    *,
    period: BillingPeriod,
    chosen: Collection[str] | None = None,
    only: Collection[int] | None = None,
    outdated: bool = False,
    written: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Sent:
    """E-mail the statements of a period that are issued and not sent: one e-mail per recipient.

    1. E-mails that an earlier run had claimed when it was stopped are reported, and not sent: they may have arrived.
    2. What is to be sent is decided under the period's lock, so that two runs do not both write to somebody.
       Statements that are not current are left out, unless `outdated`. `written` adds what is a file so far.
       Of `chosen` statements (numbers of the month) nothing else is sent, but what shares an e-mail with one of them
       that is tried again. With `only` these e-mails (ids) are tried again, and nothing else is sent.
    3. Each e-mail is claimed, sent outside of any transaction, and recorded after. One that the server did not take for
       the moment is tried again by the worker, after a while, and by the next run; one that it refused permanently,
       once its address is another; one that was sent, never.

    Raises EmailTemplateError before anything is sent, UnknownStatement, EmailNotConfigured, and the errors of
    `charging.compute`.
    """
    if written and outbox.writes_files():
        raise EmailNotConfigured(
            "E-mail is not configured: there is no mail server to send to. Ask who runs this program to set EMAIL_URL."
        )
    of_choice = choosing.chosen_of(period, chosen)
    issuing.render_missing(period=period, actor=actor, now=now, progress=progress)
    check_templates(period)
    recorded = note_left_behind(actor=actor, now=now)
    planned, stale = queue(period, chosen=chosen, only=only, outdated=outdated, written=written, actor=actor, now=now)
    kept_back = choosing.kept_back(of_choice, planned, stale)
    going = [each for each in planned if not each.waits and not each.left_out]
    messages, failed, dropped = dispatch(going, actor=actor, now=now, progress=progress)
    return Sent(
        period=period.iso_month,
        is_written=outbox.writes_files(),
        messages=tuple(messages),
        failed=tuple(failed),
        interrupted=(*recorded, *uncertain_messages()),
        waiting=tuple(planned_message(each) for each in planned if each.waits),
        left_out=(*(planned_message(each) for each in planned if each.left_out), *dropped),
        outdated=stale,
        sends_outdated=outdated,
        chosen=None if chosen is None else frozenset(chosen),
        kept_back=kept_back,
        stated=stated_by(going),
        folder=folder_of_files(),
        files=0 if chosen is not None else written_in(period).count(),
        refused=() if chosen is not None or only is not None else refused_in(period),
        redirected_to=mail_test_mode.test_address(),
    )
