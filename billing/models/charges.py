"""Charges: imported facts, the reasons to look at them, and what people decided about them."""

import datetime
from collections.abc import Iterable

from django.conf import settings
from django.db import models
from django.db.models import Case, Expression, F, Q, When
from django.db.models.functions import Coalesce

from ..fields import AmountField, MomentField
from ..readers.dimensions import DIMENSIONS
from .dimensions import AccountText, Description, Dimension, DimensionKey, Price, Product, ResourceText, Said, TagSet
from .imports import Import
from .payers import PayerSplit
from .people import Person, Project
from .periods import BillingPeriod
from .sources import Source
from .standing import Standing, StandingQuerySet
from .totalling import Counted, CountedQuerySet


class ChargeQuerySet(CountedQuerySet["Charge"]):
    def live(self) -> "ChargeQuerySet":
        """Leave out what a later import replaced or withdrew."""
        return self.filter(withdrawn_in__isnull=True)

    def in_month(self, period: BillingPeriod) -> "ChargeQuerySet":
        """Keep the live charges that a month bears."""
        return self.live().of_month(period)

    def with_texts(self) -> "ChargeQuerySet":
        """Fetch the texts with the charges."""
        return self.select_related(*DIMENSIONS)

    def held(self) -> "ChargeQuerySet":
        return self.live().filter(state=Charge.State.HELD)

    def shared(self) -> "ChargeQuerySet":
        """Keep the costs that are shared over what their source charged."""
        return self.exclude(shared_as="")

    def chargeable(self) -> "ChargeQuerySet":
        """Keep what somebody pays: clear or approved by a PI, or charged to the center."""
        return self.live().filter(state__in=Charge.CHARGEABLE)

    def standing(self) -> "ChargeQuerySet":
        """Keep what the imports in force say: rows as delivered that no late change reversed."""
        taken_back = Charge.objects.live().filter(reverses=models.OuterRef("pk"))
        return self.live().filter(reverses__isnull=True).exclude(models.Exists(taken_back))

    def with_prices(self, sources: "Iterable[Source] | None" = None, *, estimates: bool = False) -> "ChargeQuerySet":
        """Add the aliases `exact_list`, `exact_contracted` and `exact_charged`, as statements count them.

        Charged is the cost by which the charge's source is charged in its month: null where that is EffectiveCost
        and the charge has none; with `estimates`, BilledCost then. A price that is absent, or 0 while something is
        charged, is not known. Then the list price is the contracted one, and the contracted one is what is charged:
        no discount is made up. Of an internal service, what is listed and not charged is subsidy: no provider gave a
        discount. Discount is list − contracted, subsidy contracted − charged.

        This is the only place that knows the rule. `sources` saves looking them up, with their changes of measure.
        """
        known = list(Source.objects.prefetch_related("measure_changes") if sources is None else sources)
        internal = Q(source__in=[source.pk for source in known if source.kind == Source.Kind.INTERNAL])
        charged: Expression = cost_charged(known)
        if estimates:
            charged = Coalesce(charged, F("billed_cost"))
        no_contracted, no_list = _is_unknown("contracted_cost"), _is_unknown("list_cost")
        contracted = Case(
            When(internal & no_contracted & ~no_list, then=F("list_cost")),
            When(no_contracted, then=F("exact_charged")),
            default=F("contracted_cost"),
            output_field=AmountField(),
        )
        listed = Case(When(no_list, then=F("exact_contracted")), default=F("list_cost"), output_field=AmountField())
        return self.alias(exact_charged=charged).alias(exact_contracted=contracted).alias(exact_list=listed)

    def flagged(self, code: str) -> "ChargeQuerySet":
        """Keep the charges that have this reason for a look, unanswered by a correction."""
        return self.filter(
            models.Exists(Flag.objects.filter(charge=models.OuterRef("pk"), code=code, is_resolved=False))
        )


def cost_charged(sources: "Iterable[Source]") -> Case:
    """Return the cost that payers are charged, by the measure of each charge's source and month."""
    cost = Case(default=F("billed_cost"), output_field=AmountField())
    for source in sources:
        starts = sorted(change.from_month for change in source.measure_changes.all())
        for start, end in zip([datetime.date.min, *starts], [*starts, datetime.date.max], strict=True):
            if source.measure_in(start) != Source.Measure.EFFECTIVE:
                continue
            of = Q(source=source.pk)
            if starts:
                of &= Q(period__in=BillingPeriod.objects.filter(month__gte=start, month__lt=end).order_by())
            cost.cases.append(When(of, then=F("effective_cost")))
    return cost


def _is_unknown(cost: str) -> Q:
    """A price that is absent, or 0 while something is charged: no price is known, which is no discount."""
    return Q(**{f"{cost}__isnull": True}) | (Q(**{cost: 0}) & ~Q(exact_charged=0))


def _dimension(model: type[Dimension]) -> DimensionKey:
    return DimensionKey(model, on_delete=models.PROTECT, related_name="charges", db_constraint=False, db_index=False)


INDEXES = [
    # Of a month, what each owner is charged.
    models.Index(
        fields=["charged_in", "pi", "project"],
        condition=Q(withdrawn_in__isnull=True),
        name="charge_month_owner",
    ),
    models.Index(fields=["source", "period"], name="charge_scope"),
    models.Index(fields=["imported_in"], name="charge_import"),
    models.Index(fields=["resource"], name="charge_resource"),
    # Late changes and what was carried over: few, and found without a look at the months.
    models.Index(fields=["charged_in", "period"], condition=~Q(charged_in=F("period")), name="charge_moved"),
    models.Index(fields=["charged_in", "id"], condition=Q(state="held"), name="charge_held"),
    models.Index(fields=["withdrawn_in"], condition=Q(withdrawn_in__isnull=False), name="charge_withdrawn"),
    models.Index(fields=["payer_split"], condition=Q(payer_split__isnull=False), name="charge_split"),
    models.Index(fields=["replaces"], condition=Q(replaces__isnull=False), name="charge_replaces"),
    models.Index(fields=["reverses"], condition=Q(reverses__isnull=False), name="charge_reverses"),
    # Most charges name none.
    models.Index(fields=["reference_1"], condition=~Q(reference_1=""), name="charge_reference_1"),
    models.Index(fields=["reference_2"], condition=~Q(reference_2=""), name="charge_reference_2"),
]


class Charge(Counted):
    """A row of an import, as delivered, with who pays for it beside it. Its month counts it (see `MonthTotal`).

    Foreign keys carry no database constraint and loading goes by INSERT ... SELECT: five checked
    keys cost 15 s per million rows. The applying transaction checks them by set, and parents are
    protected from deletion. Links (`replaces`) go from the newer row to the older.
    """

    class State(models.TextChoices):
        CLEAR = "clear", "Clear"
        HELD = "held", "Held for review"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        CHARGED_TO_CENTER = "charged_to_center", "Charged to center"

    # What its own payer is charged, and what anybody is: the center, too.
    CHARGED_TO_OWNER = (State.CLEAR, State.APPROVED)
    CHARGEABLE = (*CHARGED_TO_OWNER, State.CHARGED_TO_CENTER)
    # What a person decided, beside who pays.
    DECIDED = (State.APPROVED, State.REJECTED, State.CHARGED_TO_CENTER)

    STANDS_BY = "charged_in"

    # Withdrawal is not a state but `withdrawn_in`, so that reviving a charge restores what it was.
    TRANSITIONS = {
        State.CLEAR: {State.HELD, State.REJECTED, State.CHARGED_TO_CENTER},
        # Clear again when rules, projects or funds that came later answer every reason for a look.
        State.HELD: {State.APPROVED, State.REJECTED, State.CHARGED_TO_CENTER, State.CLEAR},
        State.APPROVED: {State.HELD},
        State.REJECTED: {State.HELD},
        State.CHARGED_TO_CENTER: {State.HELD},
    }

    class AttributedBy(models.TextChoices):
        TAG = "tag", "Tags"
        RULE = "rule", "Rule"
        PROJECT = "project", "Project"
        ACCOUNT = "account", "Cloud account"
        DEFAULT = "default", "Default of the source"
        DECISION = "decision", "Decision"
        CHARGED = "charged", "As charged before"
        NOTHING = "", "Nothing"

    # Who pays is settled: splits of the project and rules leave it alone.
    SETTLED = (AttributedBy.DECISION, AttributedBy.CHARGED)

    class Category(models.TextChoices):
        """FOCUS ChargeCategory; each may be positive or negative."""

        USAGE = "Usage"
        PURCHASE = "Purchase"
        TAX = "Tax"
        CREDIT = "Credit"
        ADJUSTMENT = "Adjustment"

    source = models.ForeignKey(
        Source, on_delete=models.PROTECT, related_name="charges", db_constraint=False, db_index=False
    )
    imported_in = models.ForeignKey(
        Import, on_delete=models.PROTECT, related_name="charges", db_constraint=False, db_index=False
    )
    file_number = models.PositiveSmallIntegerField(default=1)
    line_number = models.BigIntegerField()
    withdrawn_in = models.ForeignKey(
        Import,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="withdrawn_charges",
        db_constraint=False,
        db_index=False,
    )
    replaces = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="replaced_by",
        db_constraint=False,
        db_index=False,
    )
    # A month that is closed keeps its charges. What its provider changes since is booked in a later one:
    # the charge as it was is reversed by a row of its own, and charged again as it is now.
    reverses = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reversed_by",
        db_constraint=False,
        db_index=False,
        help_text="The charge that this row reverses: all its amounts are negated.",
    )
    is_late = models.BooleanField("late change", default=False, help_text="Booked after its period was closed.")
    content_hash = models.BinaryField(max_length=16)
    identity_hash = models.BinaryField(max_length=16)

    # FOCUS: time and money
    period = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="delivered_charges", db_constraint=False, db_index=False
    )
    charged_in = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="charges", db_constraint=False, db_index=False
    )
    charge_period_start = MomentField()
    charge_period_end = MomentField(help_text="Exclusive.")
    currency = models.CharField(max_length=3)
    billed_cost = AmountField()
    effective_cost = AmountField(null=True, blank=True)
    list_cost = AmountField(null=True, blank=True)
    contracted_cost = AmountField(null=True, blank=True)

    # FOCUS: what it was for. Texts that repeat are rows of dimensions.
    product = _dimension(Product)
    price = _dimension(Price)
    description = _dimension(Description)
    resource = _dimension(ResourceText)
    account = _dimension(AccountText)
    tag_set = _dimension(TagSet)
    pricing_quantity = models.TextField(blank=True)
    consumed_quantity = models.TextField(blank=True)
    row_count = models.BigIntegerField(
        default=1, db_default=1, help_text="Rows of the files that were added up to it (see the source's grain)."
    )

    # Who pays
    pi = models.ForeignKey(
        Person,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="charges",
        db_constraint=False,
        db_index=False,
        verbose_name="PI",
    )
    project = models.ForeignKey(
        Project,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="charges",
        db_constraint=False,
        db_index=False,
    )
    fund_org = models.CharField("fund/org", max_length=64, blank=True)
    payer_split = models.ForeignKey(
        PayerSplit,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="charges",
        db_constraint=False,
        db_index=False,
        help_text="Shares several fund/orgs pay, in place of one.",
    )
    shared_as = models.CharField(
        max_length=128,
        blank=True,
        default="",
        db_default="",
        help_text="The name of a shared cost: everybody whom its source charged pays a part.",
    )
    cost_center = models.CharField(max_length=64, blank=True)
    natural_account = models.CharField(max_length=64, blank=True)
    reference_1 = models.CharField(max_length=128, blank=True)
    reference_2 = models.CharField(max_length=128, blank=True)
    attributed_by = models.CharField(max_length=16, choices=AttributedBy.choices, blank=True)
    # Text and no link: it outlives the rule, and loading checks nothing.
    deciders = models.CharField(
        max_length=254, blank=True, default="", help_text="Which rules or cloud account decided what: rule 7 (PI)."
    )

    state = models.CharField(max_length=24, choices=State.choices)

    # Texts by their FOCUS names. Whoever reads those of many charges asks for `with_texts` first.
    provider_name = Said("product")
    publisher_name = Said("product")
    service_category = Said("product")
    service_name = Said("product")
    charge_category = Said("product")
    charge_class = Said("product")
    charge_frequency = Said("product")
    sku_id = Said("product")
    sku_price_id = Said("product")
    pricing_category = Said("product")
    pricing_currency = Said("product")
    pricing_unit = Said("product")
    consumed_unit = Said("product")
    commitment_discount_id = Said("product")
    commitment_discount_status = Said("product")
    subsidy_fund_org = Said("product")
    list_unit_price = Said("price")
    contracted_unit_price = Said("price")
    charge_description = Said("description")
    resource_id = Said("resource")
    resource_name = Said("resource")
    resource_type = Said("resource")
    region_id = Said("resource")
    billing_account_id = Said("account")
    billing_account_name = Said("account")
    sub_account_id = Said("account")
    sub_account_name = Said("account")
    invoice_id = Said("account")
    tags = Said("tag_set")

    objects = ChargeQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [("review_charges", "Can decide about charges held for review")]
        indexes = INDEXES
        constraints = [
            models.CheckConstraint(
                # Nearly all are clear, and SQLite looks through a list much slower than at one text.
                condition=Q(state="clear") | Q(state__in=("held", "approved", "rejected", "charged_to_center")),
                name="charge_state_known",
                violation_error_message="This is not a state of a charge.",
            ),
            models.CheckConstraint(
                condition=Q(shared_as="")
                | Q(pi__isnull=True, project__isnull=True, payer_split__isnull=True, fund_org=""),
                name="shared_charge_is_nobodys",
                violation_error_message="A shared cost has no PI, project or fund/org of its own.",
            ),
        ]

    def __str__(self) -> str:
        return f"charge {self.pk}"

    @property
    def resource_label(self) -> str:
        """The name a person knows the resource by."""
        return self.resource_name or self.resource_id


class Flag(Standing):
    """One reason why a charge wants a human."""

    class Code(models.TextChoices):
        MISSING_PI = "missing_pi", "No PI"
        MISSING_FUND_ORG = "missing_fund_org", "No fund/org"
        INVALID_TAGS = "invalid_tags", "Tags cannot be read"
        MISSING_PROJECT = "missing_project", "No project"
        INVALID_FUND_ORG = "invalid_fund_org", "Fund/org has an unknown form"
        UNKNOWN_FUND_ORG = "unknown_fund_org", "Fund/org is not on the list"
        FUND_NOT_VALID = "fund_not_valid", "Fund/org not valid on the dates of service"
        FUND_CLOSED = "fund_closed", "Fund/org past its last posting date"
        UNKNOWN_PI = "unknown_pi", "PI not confirmed"
        PI_INACTIVE = "pi_inactive", "PI has left"
        PROJECT_ENDED = "project_ended", "Project has ended"
        CUSTOMER_INACTIVE = "customer_inactive", "Customer is not active"
        PATTERN_MATCH = "pattern_match", "Matches a pattern"
        PERIOD_MISMATCH = "period_mismatch", "Another period than expected"
        PERIOD_REVERSED = "period_reversed", "Service ends before it begins"
        UNKNOWN_CATEGORY = "unknown_category", "Charge category is unknown"
        AMOUNT_CHANGED = "amount_changed", "Amount changed since approval"
        POSSIBLE_DUPLICATE = "possible_duplicate", "Possible duplicate"
        DISPUTED = "disputed", "Questioned by the PI"

    # What neither a correction of the charge alone nor an approval has to answer: a PI is confirmed, and finance makes
    # an exception for a fund/org, once for all the charges.
    ANSWERED_ELSEWHERE = (Code.UNKNOWN_PI, Code.FUND_NOT_VALID, Code.FUND_CLOSED)
    # Approval has to wait until these are answered; the others ask a question that approval answers.
    BLOCKING = (Code.MISSING_PI, Code.MISSING_FUND_ORG, Code.INVALID_TAGS, *ANSWERED_ELSEWHERE)

    charge = models.ForeignKey(Charge, on_delete=models.CASCADE, related_name="flags", db_constraint=False)
    code = models.CharField(max_length=32, choices=Code.choices)
    detail = models.CharField(max_length=500, blank=True)
    is_resolved = models.BooleanField(default=False, help_text="Corrected since; kept for the record.")

    STANDS_BY = "charge__charged_in"

    objects = StandingQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.code

    @property
    def is_blocking(self) -> bool:
        """Whether approval has to wait until it is answered otherwise."""
        return self.code in self.BLOCKING


class ReviewDecision(Standing):
    """What somebody decided about a charge: kept permanently, with before and after."""

    class Action(models.TextChoices):
        APPROVE = "approve", "Approve"
        REJECT = "reject", "Reject"
        CHARGE_TO_CENTER = "charge_to_center", "Charge to center"
        REATTRIBUTE = "reattribute", "Reattribute"
        SPLIT = "split", "Split"
        UNDO = "undo", "Undo"
        INHERIT = "inherit", "Inherited from the charge it replaces"

    class Reason(models.TextChoices):
        """Why nobody should pay."""

        DUPLICATE = "duplicate", "Billed twice"
        NOT_OURS = "not_ours", "Not this institution's"
        PROVIDER_ERROR = "provider_error", "The provider's error"
        TEST = "test", "Test or training"
        OTHER = "other", "Other (see the note)"

    charge = models.ForeignKey(Charge, on_delete=models.PROTECT, related_name="decisions", db_constraint=False)
    file_sha256 = models.CharField(max_length=64, blank=True)
    line_number = models.BigIntegerField()
    action = models.CharField(max_length=16, choices=Action.choices)
    reason = models.CharField(max_length=32, choices=Reason.choices, blank=True)
    note = models.TextField(blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_constraint=False
    )
    decided_by_name = models.CharField(max_length=254)
    decided_at = models.DateTimeField()
    gesture = models.UUIDField(db_index=True)

    STANDS_BY = "charge__charged_in"
    KEPT = "A decision is kept: undo it, which is another decision."

    objects = StandingQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"decision {self.pk}"

    @property
    def provider_credits(self) -> bool:
        """Whether it rejected what a provider bills, as somebody said that the provider will credit it."""
        return bool(self.after.get("provider_credits"))

    @property
    def why(self) -> str:
        """Why it was decided so, as people read it: the reason, and what becomes of a provider's cost."""
        credit = "the provider credits it" if self.provider_credits else ""
        return "; ".join(filter(None, (self.get_reason_display() if self.reason else "", credit)))


class HeldChargeManager(models.Manager.from_queryset(ChargeQuerySet)):  # type: ignore[misc]
    def get_queryset(self) -> models.QuerySet["HeldCharge"]:
        return super().get_queryset().filter(withdrawn_in__isnull=True, state=Charge.State.HELD)


class HeldCharge(Charge):
    """A charge as it waits in the queue of the review."""

    objects = HeldChargeManager()  # type: ignore[misc]

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "charge to review"
        verbose_name_plural = "charges to review"
