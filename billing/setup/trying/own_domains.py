"""Other e-mail domains against a month: whose charges somebody would have to confirm first."""

from django.db.models import Q

from ...attribution import holding, newcomers
from ...clocks import Clocks
from ...models import BillingPeriod, Charge, Flag, MonthTotal, Person, Policy
from ...models.periods import last_day_of
from ...review.shares import shares_of
from ...texts import long_month
from .effects import SHOWN, Effect, Line, Part, examples_of, held_only_for, parts_of

# Charges looked at for a page, where their days of service matter.
MOST = 50_000

_BY = ("pi__email", "attributed_by", "source", "fund_org", "payer_split", "shared_as")
_DAYS = ("charge_period_start", "charge_period_end", "imported_in")


def effect(*, present: Policy, changed: Policy, period: BillingPeriod) -> Effect:
    """Return what other domains do to a month: PIs who are no longer known, and those who need nobody any more."""
    was_known, is_known = newcomers.known(present), newcomers.known(changed)
    charged = MonthTotal.objects.of_month(period).filter(pi__isnull=False)
    emails = dict(Person.objects.filter(pk__in=charged.order_by().values("pi")).values_list("pk", "email"))
    strangers = [pk for pk, email in emails.items() if was_known.knows(email) and not is_known.knows(email)]
    released = {email for email in emails.values() if is_known.knows(email) and not was_known.knows(email)}
    found = Effect()
    if strangers:
        _hold(found, strangers, changed, period)
    if released:
        lines = {email: Line(email, is_removed=True) for email in sorted(released)}
        for part in parts_of(held_only_for(Flag.Code.UNKNOWN_PI, period), "pi__email"):
            if part.key[0] in released:
                found.free(part, (lines[str(part.key[0])],))
        found.lines += [line for line in lines.values() if line.charges.charges]
    return found


def _hold(found: Effect, strangers: list[int], changed: Policy, period: BillingPeriod) -> None:
    """Count the charges of PIs who would be unknown, but for those that their fund/org vouches for."""
    theirs = Charge.objects.in_month(period).filter(pi__in=strangers)
    checks, clocks = holding.Checks(changed), Clocks()
    # Without a list of funds no fund/org vouches for anybody, whatever the day.
    is_dated = checks.reference.funds is not None
    if is_dated and theirs.order_by()[: MOST + 1].count() > MOST:
        found.problem = (
            f"These domains leave {len(strangers):,} PIs unknown, with more than {MOST:,} charges in "
            f"{long_month(period.month)}: too many to try here."
        )
        return
    lines: dict[str, Line] = {}
    newly: list[Part] = []
    parts = list(parts_of(theirs, *_BY, *(_DAYS if is_dated else ())))
    shares = shares_of({part.key[4] for part in parts if part.key[4]})
    for part in parts:
        email, by, source, fund_org, split, shared_as, *service = part.key
        reasons = checks.reasons(
            pi_email=email,
            attributed_by=by,
            source_id=source,
            fund_orgs=tuple(sorted(shares[split])) if split else (fund_org,),
            has_split=bool(split),
            is_shared=bool(shared_as),
            days=clocks.days(*service) if is_dated else (period.month, period.month),
            posted=last_day_of(period.month),
        )
        is_unknown = any(reason.code == Flag.Code.UNKNOWN_PI for reason in reasons)
        if is_unknown and found.hold(part, (lines.setdefault(email, Line(email)),)):
            newly.append(part)
    held = (line for line in lines.values() if line.charges.charges)
    found.lines += sorted(held, key=lambda line: (-line.charges.charges, line.name))
    newly.sort(key=lambda part: -abs(part.billed))
    keys = [Q(**dict(zip((*_BY, *_DAYS), part.key, strict=False))) for part in newly[:SHOWN]]
    found.examples = examples_of(theirs, keys) if keys else []
