"""Who pays for a project from a day on, as its PI proposed it."""

import datetime
from decimal import Decimal

from django.utils import timezone

from .. import audit
from ..models import PayerSplit, PayerSplitShare, Project, Question
from ..texts import long_date
from . import rules


def paid_by(project: Project, day: datetime.date) -> dict[str, Decimal]:
    """Return who pays for a project on a day where its charges name nobody: its split, or its default fund/org."""
    split = PayerSplit.holding_on(day, PayerSplit.objects.filter(project=project).of_projects())
    if split:
        return dict(split.shares.order_by("fund_org").values_list("fund_org", "percent"))
    return {project.default_fund_org: rules.HUNDRED} if project.default_fund_org else {}


def change(question: Question, gesture: audit.Gesture) -> str:
    """Have a project paid as proposed from its day on; return what to tell its PI.

    A single fund/org becomes the default; several become a split. A split that would still hold ends the day before.
    What was charged until then stays. Raises ProposalRefused where a fund/org is no longer valid.
    """
    assert question.project
    assert question.starts_on
    project = Project.objects.select_for_update(no_key=True).get(pk=question.project.pk)
    starts_on = max(question.starts_on, timezone.localdate(gesture.now))
    allowed = rules.funds_for(pi=question.pi, project=project, first=starts_on, last=starts_on)
    shares = rules.proposed_shares(question.shares, allowed=allowed, now_paid_by={})
    _end_splits(project, starts_on, gesture)
    if len(shares) == 1:
        (fund_org,) = shares
        before = project.default_fund_org
        project.default_fund_org = fund_org
        project.save(update_fields=["default_fund_org"])
        gesture.record(
            "project.changed", project, before={"default_fund_org": before}, after={"default_fund_org": fund_org}
        )
        return f"{project.display_name} has {fund_org} as its default fund/org from now on."
    split = PayerSplit.objects.create(project=project, valid_from=starts_on, note=str(question).capitalize())
    PayerSplitShare.objects.bulk_create(
        PayerSplitShare(split=split, fund_org=fund_org, percent=percent) for fund_org, percent in shares.items()
    )
    gesture.record(
        "payer_split.added",
        split,
        after={"project": project.code, "valid_from": starts_on, "shares": question.proposed},
    )
    return f"{project.display_name} is paid by {question.proposed_text} from {long_date(starts_on)} on."


def _end_splits(project: Project, starts_on: datetime.date, gesture: audit.Gesture) -> None:
    """End what holds on the day or later; a split of that day itself gives way to the one that begins last."""
    last = starts_on - datetime.timedelta(days=1)
    for split in PayerSplit.objects.select_for_update(no_key=True).filter(project=project).order_by("pk"):
        if split.days[0] <= last < split.days[1]:
            before = split.valid_until
            split.valid_until = last
            split.save(update_fields=["valid_until"])
            gesture.record("payer_split.changed", split, before={"valid_until": before}, after={"valid_until": last})
