import django.contrib.auth.validators
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import billing.fields
import billing.models.dimensions
import billing.models.periods
import billing.models.policy
import billing.models.rates


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccountText",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("text_hash", models.BinaryField(max_length=16, unique=True)),
                ("billing_account_id", models.TextField(blank=True, verbose_name="billing account ID")),
                ("billing_account_name", models.TextField(blank=True)),
                ("sub_account_id", models.TextField(blank=True, verbose_name="sub account ID")),
                ("sub_account_name", models.TextField(blank=True)),
                ("invoice_id", models.TextField(blank=True, verbose_name="invoice ID")),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AtWork",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Such as job-7, or 12 for an import.", max_length=64, unique=True)),
                ("host", models.CharField(max_length=254)),
                ("seen_at", models.DateTimeField(help_text="By the database's clock.")),
            ],
            options={
                "verbose_name": "mark of work",
                "verbose_name_plural": "marks of work",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("events", models.BigIntegerField(default=0)),
                ("hash", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Description",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("text_hash", models.BinaryField(max_length=16, unique=True)),
                ("charge_description", models.TextField(blank=True)),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="FundingSource",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "fund_org",
                    models.CharField(
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^\\S(.*\\S)?$", "A fund/org has no blanks at its ends."
                            )
                        ],
                        verbose_name="fund/org",
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("is_sponsored", models.BooleanField(default=False, verbose_name="sponsored award")),
                (
                    "fa_treatment",
                    models.CharField(
                        blank=True,
                        choices=[("included", "In the F&A base"), ("excluded", "Not in the F&A base")],
                        default="",
                        help_text="Whether what it is charged here is in the base that its facilities and administration are worked out from (MTDC). Account rules can go by it.",
                        max_length=8,
                        verbose_name="F&A",
                    ),
                ),
                ("valid_from", models.DateField(blank=True, null=True)),
                (
                    "valid_until",
                    models.DateField(blank=True, help_text="The last day of service it may pay for.", null=True),
                ),
                ("last_posting_date", models.DateField(blank=True, null=True)),
                (
                    "final_report_date",
                    models.DateField(
                        blank=True,
                        help_text="When the final financial report of the award was submitted. Detail of what it was charged is kept for three years from then (2 CFR 200.334).",
                        null=True,
                        verbose_name="final financial report",
                    ),
                ),
                (
                    "budget",
                    billing.fields.TotalField(
                        blank=True,
                        help_text="What may be charged to it here while it is valid, in the institution's currency. PIs read how many months of it are left.",
                        null=True,
                    ),
                ),
            ],
            options={
                "verbose_name": "fund",
                "verbose_name_plural": "funds",
                "ordering": ("fund_org",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_from__isnull", True),
                            ("valid_until__isnull", True),
                            ("valid_until__gte", models.F("valid_from")),
                            _connector="OR",
                        ),
                        name="fund_dates_in_order",
                        violation_error_message="The last day is before the first.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("budget__isnull", True), ("budget__gte", 0), _connector="OR"),
                        name="budget_is_not_negative",
                        violation_error_message="A budget is not below zero.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Kept",
            fields=[
                ("cache_key", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("value", models.TextField()),
                ("expires", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name": "cached value",
                "verbose_name_plural": "cached values",
                "db_table": "billing_kept",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Logo",
            fields=[
                (
                    "sha256",
                    models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="SHA-256"),
                ),
                ("picture", models.BinaryField(verbose_name="PNG or SVG")),
                ("added_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="PayerSplit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("valid_from", models.DateField(blank=True, null=True)),
                (
                    "valid_until",
                    models.DateField(blank=True, help_text="The last day of service it holds for.", null=True),
                ),
                ("note", models.CharField(blank=True, max_length=254)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ("project", "valid_from", "id"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_from__isnull", True),
                            ("valid_until__isnull", True),
                            ("valid_until__gte", models.F("valid_from")),
                            _connector="OR",
                        ),
                        name="split_dates_in_order",
                        violation_error_message="The last day is before the first.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("text_hash", models.BinaryField(max_length=16, unique=True)),
                ("list_unit_price", models.TextField(blank=True)),
                ("contracted_unit_price", models.TextField(blank=True)),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="StoredFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sha256", models.CharField(max_length=64, unique=True, verbose_name="SHA-256")),
                ("size", models.BigIntegerField(help_text="Bytes.")),
                ("path", models.CharField(help_text="Below the storage's root; made from the hash.", max_length=254)),
                ("received_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="TagSet",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("text_hash", models.BinaryField(max_length=16, unique=True)),
                ("tags", models.TextField(blank=True)),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Its machine and process.", max_length=254, unique=True)),
                ("seen_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        error_messages={"unique": "A user with that username already exists."},
                        help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.",
                        max_length=150,
                        unique=True,
                        validators=[django.contrib.auth.validators.UnicodeUsernameValidator()],
                        verbose_name="username",
                    ),
                ),
                ("first_name", models.CharField(blank=True, max_length=150, verbose_name="first name")),
                ("last_name", models.CharField(blank=True, max_length=150, verbose_name="last name")),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="email address")),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                ("date_joined", models.DateTimeField(default=django.utils.timezone.now, verbose_name="date joined")),
                (
                    "sessions_ended",
                    models.PositiveIntegerField(
                        default=0,
                        editable=False,
                        help_text="How often all sessions were ended: switched on or off, other roles.",
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "user",
                "verbose_name_plural": "users",
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("email"),
                        condition=models.Q(("email", ""), _negated=True),
                        name="one_user_per_email",
                        violation_error_message="Somebody else has this e-mail address.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True, verbose_name="when")),
                ("actor_name", models.CharField(max_length=254, verbose_name="who")),
                ("via", models.CharField(help_text="The door: web, command, task.", max_length=32)),
                ("action", models.CharField(max_length=64)),
                ("object_type", models.CharField(blank=True, max_length=64)),
                ("object_id", models.CharField(blank=True, max_length=64)),
                ("object_label", models.CharField(blank=True, max_length=254)),
                ("before", models.JSONField(blank=True, null=True)),
                ("after", models.JSONField(blank=True, null=True)),
                ("note", models.TextField(blank=True)),
                ("gesture", models.UUIDField(help_text="Groups the events of one act, such as a bulk approval.")),
                ("previous_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64, unique=True)),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["object_type", "object_id"], name="audit_event_object"),
                    models.Index(fields=["action", "at"], name="audit_event_action"),
                    models.Index(fields=["gesture"], name="audit_event_gesture"),
                ],
            },
        ),
        migrations.CreateModel(
            name="BillingPeriod",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                (
                    "month",
                    billing.models.periods.MonthField(
                        error_messages={"unique": "This billing period exists already."}, unique=True
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("review", "In review"),
                            ("closed", "Closed"),
                            ("finalized", "Finalized"),
                        ],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                ("opened_by", models.CharField(blank=True, max_length=254)),
                ("review_until", models.DateField(blank=True, null=True)),
                ("review_at", models.DateTimeField(blank=True, null=True)),
                ("review_by", models.CharField(blank=True, max_length=254)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("closed_by", models.CharField(blank=True, max_length=254)),
                ("finalized_at", models.DateTimeField(blank=True, null=True)),
                ("finalized_by", models.CharField(blank=True, max_length=254)),
                ("notes", models.TextField(blank=True)),
                (
                    "removed_at",
                    models.DateTimeField(
                        blank=True, help_text="Empty, and out of sight until something comes in for it.", null=True
                    ),
                ),
            ],
            options={
                "ordering": ("-month",),
                "permissions": [
                    ("open_period", "Can open a billing period and put it in review"),
                    ("close_period", "Can close a billing period"),
                    ("reopen_period", "Can reopen a closed billing period"),
                    ("finalize_period", "Can finalize a billing period"),
                ],
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("month__day", 1)),
                        name="period_is_a_month",
                        violation_error_message="A billing period is the first day of a month.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status__in", ("closed", "finalized")), _negated=True),
                            ("closed_at__isnull", False),
                            _connector="OR",
                        ),
                        name="closed_period_has_stamp",
                        violation_error_message="A closed period says when it was closed.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "finalized"), _negated=True),
                            ("finalized_at__isnull", False),
                            _connector="OR",
                        ),
                        name="finalized_period_has_stamp",
                        violation_error_message="A finalized period says when it was finalized.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "review"), _negated=True),
                            ("review_until__isnull", False),
                            _connector="OR",
                        ),
                        name="period_in_review_has_end",
                        violation_error_message="A period in review says until when.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("removed_at__isnull", True), ("status__in", ("open", "review")), _connector="OR"
                        ),
                        name="removed_period_was_open",
                        violation_error_message="Only an open month can be removed.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Charge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("file_number", models.PositiveSmallIntegerField(default=1)),
                ("line_number", models.BigIntegerField()),
                (
                    "is_late",
                    models.BooleanField(
                        default=False, help_text="Booked after its period was closed.", verbose_name="late change"
                    ),
                ),
                ("content_hash", models.BinaryField(max_length=16)),
                ("identity_hash", models.BinaryField(max_length=16)),
                ("charge_period_start", billing.fields.MomentField()),
                ("charge_period_end", billing.fields.MomentField(help_text="Exclusive.")),
                ("currency", models.CharField(max_length=3)),
                ("billed_cost", billing.fields.AmountField()),
                ("effective_cost", billing.fields.AmountField(blank=True, null=True)),
                ("list_cost", billing.fields.AmountField(blank=True, null=True)),
                ("contracted_cost", billing.fields.AmountField(blank=True, null=True)),
                ("pricing_quantity", models.TextField(blank=True)),
                ("consumed_quantity", models.TextField(blank=True)),
                (
                    "row_count",
                    models.BigIntegerField(
                        db_default=1,
                        default=1,
                        help_text="Rows of the files that were added up to it (see the source's grain).",
                    ),
                ),
                ("fund_org", models.CharField(blank=True, max_length=64, verbose_name="fund/org")),
                (
                    "shared_as",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The name of a shared cost: everybody whom its source charged pays a part.",
                        max_length=128,
                    ),
                ),
                ("cost_center", models.CharField(blank=True, max_length=64)),
                ("natural_account", models.CharField(blank=True, max_length=64)),
                ("reference_1", models.CharField(blank=True, max_length=128)),
                ("reference_2", models.CharField(blank=True, max_length=128)),
                (
                    "attributed_by",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("tag", "Tags"),
                            ("rule", "Rule"),
                            ("project", "Project"),
                            ("account", "Cloud account"),
                            ("default", "Default of the source"),
                            ("decision", "Decision"),
                            ("charged", "As charged before"),
                            ("", "Nothing"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "deciders",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Which rules or cloud account decided what: rule 7 (PI).",
                        max_length=254,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("clear", "Clear"),
                            ("held", "Held for review"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("charged_to_center", "Charged to center"),
                        ],
                        max_length=24,
                    ),
                ),
                (
                    "account",
                    billing.models.dimensions.DimensionKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="charges",
                        to="billing.accounttext",
                    ),
                ),
                (
                    "charged_in",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="charges",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="delivered_charges",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "replaces",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="replaced_by",
                        to="billing.charge",
                    ),
                ),
                (
                    "reverses",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        help_text="The charge that this row reverses: all its amounts are negated.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversed_by",
                        to="billing.charge",
                    ),
                ),
                (
                    "description",
                    billing.models.dimensions.DimensionKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="charges",
                        to="billing.description",
                    ),
                ),
            ],
            options={
                "permissions": [("review_charges", "Can decide about charges held for review")],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("charged_in", models.F("period")), _negated=True),
                        fields=["charged_in", "period"],
                        name="charge_moved",
                    ),
                    models.Index(
                        condition=models.Q(("state", "held")), fields=["charged_in", "id"], name="charge_held"
                    ),
                    models.Index(
                        condition=models.Q(("replaces__isnull", False)), fields=["replaces"], name="charge_replaces"
                    ),
                    models.Index(
                        condition=models.Q(("reverses__isnull", False)), fields=["reverses"], name="charge_reverses"
                    ),
                    models.Index(
                        condition=models.Q(("reference_1", ""), _negated=True),
                        fields=["reference_1"],
                        name="charge_reference_1",
                    ),
                    models.Index(
                        condition=models.Q(("reference_2", ""), _negated=True),
                        fields=["reference_2"],
                        name="charge_reference_2",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state", "clear"),
                            ("state__in", ("held", "approved", "rejected", "charged_to_center")),
                            _connector="OR",
                        ),
                        name="charge_state_known",
                        violation_error_message="This is not a state of a charge.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HeldCharge",
            fields=[],
            options={
                "verbose_name": "charge to review",
                "verbose_name_plural": "charges to review",
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("billing.charge",),
        ),
        migrations.CreateModel(
            name="Correction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("transfer", "Transfer"),
                            ("refund", "Refund"),
                            ("write_off", "Write-off"),
                            ("manual", "Manual charge"),
                            ("prepaid", "Prepaid balance"),
                        ],
                        max_length=16,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "amount",
                    billing.fields.TotalField(
                        help_text="What it moves, gives back, writes off or charges; a reversal's is negative."
                    ),
                ),
                ("total", billing.fields.TotalField(help_text="The sum of its lines.")),
                ("reason", models.TextField(help_text="Why, for staff. It is on no document and no page of a PI.")),
                (
                    "printed_text",
                    models.TextField(
                        blank=True,
                        help_text="What everybody whom it concerns reads on their statement: of a transfer, both sides. May be empty.",
                    ),
                ),
                (
                    "justification",
                    models.TextField(blank=True, help_text="Why a sponsored award pays so long after the service."),
                ),
                (
                    "needs_second_person",
                    models.BooleanField(default=False, help_text="As the policy was when it was entered."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("proposed", "Waits for approval"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                        ],
                        max_length=16,
                    ),
                ),
                ("entered_at", models.DateTimeField()),
                ("entered_by_name", models.CharField(max_length=254, verbose_name="entered by")),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decided_by_name", models.CharField(blank=True, max_length=254, verbose_name="decided by")),
                ("decision_note", models.TextField(blank=True)),
                ("gesture", models.UUIDField(db_index=True)),
                (
                    "charge",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The one charge it is about, if it is about one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="corrections",
                        to="billing.charge",
                    ),
                ),
                (
                    "charged_in",
                    models.ForeignKey(
                        help_text="The month whose statements and journal it is on.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="corrections",
                        to="billing.billingperiod",
                        verbose_name="billing period",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "entered_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "for_period",
                    models.ForeignKey(
                        help_text="The month it corrects.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="corrected_by",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "reverses",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversed_by",
                        to="billing.correction",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "permissions": [
                    ("enter_corrections", "Can enter corrections: transfers, refunds, write-offs, manual charges"),
                    ("approve_correction", "Can approve or reject corrections that somebody else entered"),
                ],
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["charged_in", "state"], name="correction_month")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind__in", ("transfer", "refund", "write_off", "manual", "prepaid")),
                            ("state__in", ("proposed", "approved", "rejected")),
                        ),
                        name="correction_is_known",
                        violation_error_message="This is no kind or state of a correction.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind__in", ("transfer", "write_off")), _negated=True),
                            ("total", 0),
                            _connector="OR",
                        ),
                        name="correction_sums_to_zero",
                        violation_error_message="The lines of a transfer or a write-off sum to zero.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount", 0), _negated=True),
                        name="correction_is_over_something",
                        violation_error_message="A correction is over an amount, not over nothing.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="correction_has_reason",
                        violation_error_message="A correction says why it was made.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at__isnull", True), ("state", "proposed")),
                            models.Q(
                                models.Q(("state", "proposed"), _negated=True),
                                ("decided_at__isnull", False),
                                models.Q(("decided_by_name", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="decided_correction_has_stamp",
                        violation_error_message="A correction that was approved or rejected says when and by whom.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("needs_second_person", False),
                            models.Q(("state", "approved"), _negated=True),
                            models.Q(("decided_by_name", models.F("entered_by_name")), _negated=True),
                            _connector="OR",
                        ),
                        name="correction_needs_second_person",
                        violation_error_message="A correction is approved by another person than the one who entered it.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "rejected"), _negated=True),
                        fields=("reverses",),
                        name="one_reversal_per_correction",
                        violation_error_message="This correction has a reversal already.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Department",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    models.CharField(help_text="Unique, in whatever case it is written, such as CHEM.", max_length=200),
                ),
                ("folded_code", models.CharField(editable=False, max_length=600, unique=True)),
                (
                    "name",
                    models.CharField(
                        blank=True, help_text="Printed on statements. Empty: the code is printed.", max_length=200
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        help_text="The school or college it belongs to.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="billing.department",
                        verbose_name="part of",
                    ),
                ),
            ],
            options={
                "ordering": ("code",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("parent__isnull", True),
                            models.Q(("parent", models.F("id")), _negated=True),
                            _connector="OR",
                        ),
                        name="department_is_not_part_of_itself",
                        violation_error_message="A department cannot be part of itself.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=3)),
                (
                    "rate",
                    models.DecimalField(
                        decimal_places=10, max_digits=20, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "entered_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exchange_rates",
                        to="billing.billingperiod",
                    ),
                ),
            ],
            options={
                "ordering": ("-period__month", "currency"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("period", "currency"),
                        name="one_rate_per_currency",
                        violation_error_message="This currency has a rate for this period already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rate__gt", 0)),
                        name="rate_is_positive",
                        violation_error_message="A rate is above zero.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Flag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    models.CharField(
                        choices=[
                            ("missing_pi", "No PI"),
                            ("missing_fund_org", "No fund/org"),
                            ("invalid_tags", "Tags cannot be read"),
                            ("missing_project", "No project"),
                            ("invalid_fund_org", "Fund/org has an unknown form"),
                            ("unknown_fund_org", "Fund/org is not on the list"),
                            ("fund_not_valid", "Fund/org not valid on the dates of service"),
                            ("fund_closed", "Fund/org past its last posting date"),
                            ("unknown_pi", "PI not confirmed"),
                            ("pi_inactive", "PI has left"),
                            ("project_ended", "Project has ended"),
                            ("customer_inactive", "Customer is not active"),
                            ("pattern_match", "Matches a pattern"),
                            ("period_mismatch", "Another period than expected"),
                            ("period_reversed", "Service ends before it begins"),
                            ("unknown_category", "Charge category is unknown"),
                            ("amount_changed", "Amount changed since approval"),
                            ("possible_duplicate", "Possible duplicate"),
                            ("disputed", "Questioned by the PI"),
                        ],
                        max_length=32,
                    ),
                ),
                ("detail", models.CharField(blank=True, max_length=500)),
                ("is_resolved", models.BooleanField(default=False, help_text="Corrected since; kept for the record.")),
                (
                    "charge",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="flags",
                        to="billing.charge",
                    ),
                ),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="FrozenProof",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField(help_text="The JSON, to the byte.")),
                ("json_sha256", models.CharField(max_length=64, verbose_name="SHA-256 of the JSON")),
                ("pdf", models.BinaryField()),
                ("pdf_sha256", models.CharField(max_length=64, verbose_name="SHA-256 of the PDF")),
                ("frozen_at", models.DateTimeField()),
                ("frozen_by", models.CharField(blank=True, max_length=254)),
                (
                    "period",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="frozen_proof",
                        to="billing.billingperiod",
                    ),
                ),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="FundException",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("valid_from", models.DateField(blank=True, help_text="An earlier first day of service.", null=True)),
                ("valid_until", models.DateField(blank=True, help_text="A later last day of service.", null=True)),
                ("last_posting_date", models.DateField(blank=True, help_text="A later last posting date.", null=True)),
                ("reason", models.TextField()),
                ("recorded_at", models.DateTimeField()),
                ("recorded_by_name", models.CharField(max_length=254, verbose_name="recorded by")),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_by_name", models.CharField(blank=True, max_length=254, verbose_name="revoked by")),
                (
                    "recorded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "fund",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exceptions",
                        to="billing.fundingsource",
                        verbose_name="fund/org",
                    ),
                ),
            ],
            options={
                "verbose_name": "exception of a fund/org",
                "verbose_name_plural": "exceptions of fund/orgs",
                "ordering": ("-pk",),
                "default_permissions": ("add", "view"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_from__isnull", False),
                            ("valid_until__isnull", False),
                            ("last_posting_date__isnull", False),
                            _connector="OR",
                        ),
                        name="fund_exception_moves_a_date",
                        violation_error_message="Give at least one of the three dates.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="fund_exception_has_a_reason",
                        violation_error_message="An exception needs a reason.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("revoked_at__isnull", True), ("revoked_by_name", "")),
                            models.Q(("revoked_at__isnull", False), models.Q(("revoked_by_name", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="fund_exception_revoked_by_somebody",
                        violation_error_message="An exception is revoked by somebody at some time.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Import",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("checked", "Checked"),
                            ("applied", "Applied"),
                            ("failed", "Failed"),
                            ("deferred", "Waiting"),
                            ("withdrawn", "Withdrawn"),
                            ("dismissed", "Dismissed"),
                            ("superseded", "Superseded"),
                        ],
                        default="received",
                        max_length=16,
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("snapshot", "Snapshot: each file is the whole truth for its period"),
                            ("append", "Append: each file adds"),
                            ("merge", "Merge: each file adds and updates, and withdraws nothing"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "expected_period",
                    models.CharField(
                        blank=True,
                        help_text="From -p or the file name: 2025-01, or 2025-Q1 for one of three.",
                        max_length=16,
                    ),
                ),
                (
                    "replace",
                    models.BooleanField(default=False, help_text="Told to withdraw more than half of a scope."),
                ),
                ("name", models.CharField(help_text="The files' names as they came.", max_length=254)),
                ("rows", models.BigIntegerField(default=0)),
                ("new", models.BigIntegerField(default=0)),
                ("changed", models.BigIntegerField(default=0)),
                ("unchanged", models.BigIntegerField(default=0)),
                ("withdrawn", models.BigIntegerField(default=0)),
                (
                    "unseen",
                    models.BigIntegerField(
                        default=0, help_text="Charges from before that are not in the files and stay."
                    ),
                ),
                ("flagged", models.BigIntegerField(default=0)),
                ("flags", models.JSONField(blank=True, default=dict, help_text="Code to count.")),
                (
                    "totals",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Currency to FOCUS cost column to the exact total of the files.",
                    ),
                ),
                (
                    "stored",
                    models.JSONField(blank=True, default=dict, help_text="The same, as stored (8 decimals a row)."),
                ),
                (
                    "difference",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Rows and money new, changed and gone against what was there.",
                    ),
                ),
                (
                    "rules",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="How values were taken that are not as FOCUS writes them: rule to rows.",
                    ),
                ),
                (
                    "billing_zone",
                    models.CharField(
                        blank=True,
                        help_text="Whose days are its days of service, where its billing periods tell. Empty: UTC.",
                        max_length=64,
                        verbose_name="time zone of its days",
                    ),
                ),
                (
                    "unread",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Columns of the files that look like money and are not read.",
                    ),
                ),
                (
                    "new_pis",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="PIs that it named for the first time: charges and money of each.",
                    ),
                ),
                (
                    "errors",
                    models.JSONField(blank=True, default=list, help_text="File, line, column and message of each."),
                ),
                ("created_at", models.DateTimeField()),
                ("created_by_name", models.CharField(blank=True, max_length=254)),
                ("applied_at", models.DateTimeField(blank=True, null=True)),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.TextField(blank=True, help_text="Why it was dismissed.")),
                (
                    "made_at",
                    models.DateTimeField(
                        blank=True, help_text="When the provider made it, as its manifest says.", null=True
                    ),
                ),
                (
                    "doubts",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Why it waits or waited: what it lacks, or which newer run is there.",
                    ),
                ),
                (
                    "missing",
                    models.CharField(
                        blank=True,
                        choices=[("keep", "Kept"), ("replace", "Withdrawn")],
                        default="",
                        help_text="What became of the charges that it lacks, where somebody was asked.",
                        max_length=8,
                        verbose_name="what is missing",
                    ),
                ),
                (
                    "booked_in",
                    models.ForeignKey(
                        blank=True,
                        help_text="The month it is charged in as late changes.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="booked_imports",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "rest_of",
                    models.ForeignKey(
                        blank=True,
                        help_text="The same files, whose rows of open periods were applied at once; this is what waits.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rests",
                        to="billing.import",
                    ),
                ),
                (
                    "superseded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="supersedes",
                        to="billing.import",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "permissions": [
                    ("import_charges", "Can import charges"),
                    ("withdraw_import", "Can withdraw an import"),
                    ("book_import", "Can book or dismiss a deferred import"),
                ],
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "withdrawn"), _negated=True),
                            ("withdrawn_at__isnull", False),
                            _connector="OR",
                        ),
                        name="withdrawn_import_has_stamp",
                        violation_error_message="A withdrawn import says when it was withdrawn.",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="charge",
            name="imported_in",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.import",
            ),
        ),
        migrations.AddField(
            model_name="charge",
            name="withdrawn_in",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="withdrawn_charges",
                to="billing.import",
            ),
        ),
        migrations.CreateModel(
            name="ImportOverlap",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("again", "Said again"), ("displaced", "Replaced, withdrawn or reversed")],
                        max_length=16,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("rows", models.BigIntegerField()),
                ("billed", billing.fields.ExactField(max_length=64)),
                ("effective", billing.fields.ExactField(max_length=64)),
                (
                    "borne_by",
                    models.ForeignKey(
                        help_text="The month charged.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="import_overlaps",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "imported_in",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="overlaps", to="billing.import"
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        help_text="The month that the files say.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.billingperiod",
                    ),
                ),
            ],
            options={
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("imported_in", "kind", "period", "borne_by", "currency"), name="one_overlap_per_scope"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ImportTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("billing_account_id", models.CharField(blank=True, max_length=254)),
                ("currency", models.CharField(max_length=3)),
                ("rows", models.BigIntegerField()),
                ("billed_exact", models.CharField(max_length=64)),
                ("effective_exact", models.CharField(max_length=64)),
                ("list_exact", models.CharField(max_length=64)),
                ("contracted_exact", models.CharField(max_length=64)),
                ("billed_stored", billing.fields.ExactField(max_length=64)),
                ("effective_stored", billing.fields.ExactField(max_length=64)),
                ("list_stored", billing.fields.ExactField(max_length=64)),
                ("contracted_stored", billing.fields.ExactField(max_length=64)),
                (
                    "imported_in",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="scope_totals", to="billing.import"
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="import_totals",
                        to="billing.billingperiod",
                    ),
                ),
            ],
            options={
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("imported_in", "period", "billing_account_id", "currency"), name="one_total_per_scope"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("list", models.CharField(choices=[("charges", "Charges")], max_length=16)),
                ("name", models.CharField(max_length=60)),
                ("query", models.CharField(blank=True, max_length=2000)),
                ("is_shared", models.BooleanField(default=False, verbose_name="shared with all staff")),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="saved_views",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "saved view",
                "permissions": [("share_savedview", "Can share saved views with all staff")],
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "list", "name"),
                        name="one_view_per_name",
                        violation_error_message=(
                            "You have a view with this name. Choose another name, or delete that view."
                        ),
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("import", "Import"),
                            ("generate", "Issue statements"),
                            ("send", "Send statements"),
                            ("book", "Book late changes"),
                            ("apply", "Apply import"),
                            ("attribute", "Re-apply rules"),
                            ("decide", "Decide about charges"),
                            ("funds", "Load fund/orgs"),
                            ("people", "Load PIs"),
                            ("export", "Export charges"),
                            ("usage", "Price usage"),
                            ("try", "Try rates"),
                            ("prove", "Prove a month"),
                            ("draft", "Draft a journal"),
                            ("invoice", "Draft invoices"),
                            ("collect", "Collect statements"),
                            ("calendar", "Load accounting periods"),
                            ("values", "Load valid values"),
                            ("lookups", "Load lookup tables"),
                            ("tell", "Mail a message about a question"),
                            ("report", "Mail a report"),
                            ("projects", "Load projects"),
                            ("departments", "Load departments"),
                            ("rules", "Load attribution rules"),
                            ("accounts", "Load cloud accounts"),
                            ("account_rules", "Load account rules"),
                            ("statements", "Export statements"),
                            ("report_file", "Write a report"),
                            ("list", "Export a list"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Waiting"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                (
                    "subject",
                    models.CharField(
                        blank=True,
                        help_text="What it is about, of which only one job at a time may be unfinished.",
                        max_length=64,
                    ),
                ),
                ("arguments", models.JSONField(default=dict, help_text="Ids and options, never data.")),
                ("done", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(default=0)),
                ("message", models.CharField(blank=True, max_length=500)),
                ("result", models.JSONField(blank=True, null=True)),
                ("created_at", models.DateTimeField()),
                (
                    "handed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the queue took it last, by the database's clock; empty: not yet.",
                        null=True,
                    ),
                ),
                ("cancel_asked_at", models.DateTimeField(blank=True, null=True)),
                ("cancel_asked_by", models.CharField(blank=True, max_length=254)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "retry_of",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="retried_as",
                        to="billing.job",
                    ),
                ),
            ],
            options={
                "verbose_name": "background job",
                "ordering": ("-id",),
                "permissions": [
                    ("cancel_job", "Can cancel background jobs of work they may ask for"),
                    ("retry_job", "Can retry background jobs of work they may ask for"),
                ],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ("queued", "running"))),
                        fields=["state"],
                        name="unfinished_jobs",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("state__in", ("queued", "running")), models.Q(("subject", ""), _negated=True)
                        ),
                        fields=("kind", "subject"),
                        name="one_unfinished_job_per_subject",
                        violation_error_message="This is at work already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ("done", "failed", "canceled")), _negated=True),
                            ("finished_at__isnull", False),
                            _connector="OR",
                        ),
                        name="finished_job_has_stamp",
                        violation_error_message="A finished job says when it ended.",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="charge",
            name="payer_split",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                help_text="Shares several fund/orgs pay, in place of one.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.payersplit",
            ),
        ),
        migrations.CreateModel(
            name="PayerSplitShare",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("fund_org", models.CharField(max_length=64, verbose_name="fund/org")),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=6, max_digits=9, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "split",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="shares", to="billing.payersplit"
                    ),
                ),
            ],
            options={
                "ordering": ("split", "fund_org"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("split", "fund_org"),
                        name="one_share_per_fund",
                        violation_error_message="This fund/org has a share already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("percent__gt", 0), ("percent__lte", 100)),
                        name="share_is_a_percentage",
                        violation_error_message="A share is above 0 and at most 100 percent.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Person",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                (
                    "email",
                    models.EmailField(
                        error_messages={"unique": "There is a PI with this address."},
                        help_text="In lower case.",
                        max_length=254,
                        unique=True,
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                (
                    "contact_email",
                    models.EmailField(
                        blank=True, help_text="A department contact who gets a copy of statements.", max_length=254
                    ),
                ),
                (
                    "active_until",
                    models.DateField(blank=True, help_text="The last day; later charges are held.", null=True),
                ),
                (
                    "is_listed",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="The loaded list of people names them.",
                        verbose_name="on the list of people",
                    ),
                ),
                ("confirmed_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="confirmed")),
                (
                    "confirmed_by_name",
                    models.CharField(blank=True, editable=False, max_length=254, verbose_name="confirmed by"),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "confirmed_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "department",
                    models.ForeignKey(
                        blank=True,
                        help_text="Printed on statements.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="people",
                        to="billing.department",
                    ),
                ),
                (
                    "successor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="predecessors",
                        to="billing.person",
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="person",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "PI",
                "verbose_name_plural": "PIs",
                "ordering": ("name", "email"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("email", django.db.models.functions.text.Lower("email"))),
                        name="pi_email_is_lower_case",
                        violation_error_message="Write the e-mail address in lower case.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("confirmed_at__isnull", True), ("confirmed_by_name", "")),
                            models.Q(
                                ("confirmed_at__isnull", False), models.Q(("confirmed_by_name", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="confirmed_by_somebody",
                        violation_error_message="A PI is confirmed by somebody at some time.",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="charge",
            name="pi",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.person",
                verbose_name="PI",
            ),
        ),
        migrations.CreateModel(
            name="PersonAlias",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "email",
                    models.EmailField(error_messages={"unique": "This alias is taken."}, max_length=254, unique=True),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="aliases", to="billing.person"
                    ),
                ),
            ],
            options={
                "verbose_name": "e-mail alias",
                "verbose_name_plural": "e-mail aliases",
            },
        ),
        migrations.CreateModel(
            name="Policy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("institution", models.CharField(default="Research Computing", max_length=200)),
                ("department", models.CharField(blank=True, max_length=200)),
                ("contact_name", models.CharField(blank=True, max_length=200)),
                ("contact_email", models.EmailField(blank=True, max_length=254)),
                ("contact_phone", models.CharField(blank=True, max_length=64)),
                ("address", models.TextField(blank=True, validators=[billing.models.policy.check_address])),
                (
                    "currency",
                    models.CharField(
                        default="USD",
                        help_text="ISO 4217, of statements and journals.",
                        max_length=3,
                        validators=[billing.models.policy.check_currency],
                    ),
                ),
                (
                    "tag_keys",
                    models.JSONField(
                        default=billing.models.policy.default_tag_keys,
                        validators=[billing.models.policy.check_tag_keys],
                    ),
                ),
                ("tag_prefixes", models.JSONField(blank=True, default=billing.models.policy.default_tag_prefixes)),
                (
                    "missing_words",
                    models.JSONField(
                        blank=True,
                        default=billing.models.policy.default_missing_words,
                        help_text="A tag that says one of these says nothing, in any case: n/a, none, -. Nobody can type them as a fund/org, project or PI either.",
                        validators=[billing.models.policy.check_words],
                        verbose_name="words for nothing",
                    ),
                ),
                (
                    "folds_plus_addresses",
                    models.BooleanField(
                        default=True,
                        help_text="ada+aws@u.edu is ada@u.edu, as most mail systems deliver it. Off: they are two PIs.",
                        verbose_name="plus addresses are one mailbox",
                    ),
                ),
                (
                    "own_domains",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Domains of the institution's e-mail addresses, such as u.edu; their sub-domains count. A PI outside them who is not on the list of people is held until somebody confirms them.",
                        validators=[billing.models.policy.check_domains],
                        verbose_name="own e-mail domains",
                    ),
                ),
                (
                    "flag_patterns",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Charges whose service, resource or description matches one of these are held for review.",
                        validators=[billing.models.policy.check_patterns],
                    ),
                ),
                (
                    "fund_org_patterns",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="A fund/org that matches none of these is held for review. Empty: any form is accepted.",
                        validators=[billing.models.policy.check_patterns],
                    ),
                ),
                (
                    "fund_org_segments",
                    models.CharField(
                        blank=True,
                        help_text="A regular expression with named groups, such as (?P<fund>[A-Z]+)-(?P<org>[0-9]+): its groups become columns of the journal.",
                        max_length=500,
                        validators=[billing.models.policy.check_pattern],
                    ),
                ),
                (
                    "center_fund_org",
                    models.CharField(
                        blank=True,
                        help_text="Pays what review charges to the center.",
                        max_length=64,
                        verbose_name="center's own fund/org",
                    ),
                ),
                (
                    "amount_tolerance",
                    billing.fields.AmountField(
                        default=0,
                        help_text="An approval survives an import that moves the amount by no more than this.",
                    ),
                ),
                (
                    "corrections_need_second_person",
                    models.BooleanField(
                        default=False, help_text="A correction takes effect after a second person approves it."
                    ),
                ),
                (
                    "transfer_justification_days",
                    models.PositiveSmallIntegerField(
                        default=90,
                        help_text="A cost transfer to a sponsored award needs a justification if it comes more than so many days after the service.",
                    ),
                ),
                (
                    "questions_email",
                    models.EmailField(
                        blank=True,
                        help_text="Where questions of PIs are mailed to. Empty: to the contact e-mail.",
                        max_length=254,
                    ),
                ),
                (
                    "questions_hold_charges",
                    models.BooleanField(
                        default=True,
                        help_text="A question asked before the review date holds its charges until it is answered or the month closes.",
                    ),
                ),
                (
                    "question_days",
                    models.PositiveSmallIntegerField(default=5, help_text="Days that staff have to answer a question."),
                ),
                (
                    "pis_propose",
                    models.BooleanField(
                        default=False,
                        help_text="PIs propose other valid funds of their own: of a project for what comes, and of this month's charges until the review date.",
                        verbose_name="PIs may propose who pays",
                    ),
                ),
                (
                    "shows_users",
                    models.BooleanField(
                        default=False,
                        help_text="PIs and staff read who ran a job or used a seat. Off: they read the job and its account, and no name.",
                        verbose_name="charges of usage name users",
                    ),
                ),
                (
                    "requires_ledger_answer",
                    models.BooleanField(default=True, help_text="Off: a submitted journal counts as posted."),
                ),
                (
                    "journals_need_second_person",
                    models.BooleanField(
                        default=False,
                        help_text="A journal is submitted by another person than the one who drafted it.",
                    ),
                ),
                (
                    "fiscal_year_start",
                    models.PositiveSmallIntegerField(
                        default=7,
                        help_text="The month, 1 to 12, in which fiscal years start. A fiscal year is named for the year it ends in: where it starts in July, July 2025 is in FY2026.",
                    ),
                ),
                ("statement_footer", models.TextField(blank=True)),
                (
                    "paper_size",
                    models.CharField(choices=[("letter", "US Letter"), ("a4", "A4")], default="letter", max_length=8),
                ),
                (
                    "logo",
                    models.CharField(
                        blank=True,
                        help_text="Of the picture that is kept for it: its SHA-256.",
                        max_length=64,
                        verbose_name="logo on statements",
                    ),
                ),
                (
                    "statement_notices",
                    models.TextField(blank=True, validators=[billing.models.policy.check_notices]),
                ),
                (
                    "issues_zero_statements",
                    models.BooleanField(default=True, help_text="Issue statements that charge nothing."),
                ),
                (
                    "warns_without_email",
                    models.BooleanField(
                        default=True,
                        help_text="Every staff page says that e-mail is not configured, as long as it is not. Off: for a site that sends no e-mail on purpose.",
                    ),
                ),
                (
                    "email_subject",
                    models.CharField(
                        default="Research computing statement for {{ month }}: {{ due }} charged", max_length=200
                    ),
                ),
                ("email_text", models.TextField(blank=True, help_text="Empty: the text that comes with the program.")),
                (
                    "email_html",
                    models.TextField(
                        blank=True,
                        help_text="Empty: the HTML that comes with the program, with the text above.",
                        verbose_name="e-mail HTML",
                    ),
                ),
                (
                    "email_attaches_xlsx",
                    models.BooleanField(
                        default=False,
                        help_text="The lines of each statement as an Excel file, beside its PDF.",
                        verbose_name="e-mails attach XLSX",
                    ),
                ),
                (
                    "email_attaches_charges",
                    models.BooleanField(
                        default=False,
                        help_text="The charges behind each statement as charges.csv, which its PDF holds as well.",
                    ),
                ),
                (
                    "email_megabytes",
                    models.PositiveSmallIntegerField(
                        default=10,
                        help_text="Files that make an e-mail larger stay out, and it links to the portal instead. 0: links alone.",
                    ),
                ),
                (
                    "smallest_emailed",
                    billing.fields.AmountField(
                        default=0,
                        help_text="A statement that charges less is on the portal only. 0: each is e-mailed. A revision of one that was e-mailed always is.",
                    ),
                ),
                (
                    "emails_per_minute",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="As many as the mail server takes. 0: as fast as it takes them."
                    ),
                ),
                (
                    "report_recipients",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Who gets the report of the value delivered, of the fiscal year so far, when a month is finalized.",
                        validators=[billing.models.policy.check_addresses],
                        verbose_name="reports are mailed to",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "policy version",
                "verbose_name_plural": "policy versions",
                "default_permissions": ("view", "change"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("fiscal_year_start__gte", 1), ("fiscal_year_start__lte", 12)),
                        name="fiscal_year_starts_in_a_month",
                        violation_error_message="A fiscal year starts in a month from 1 to 12.",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="charge",
            name="price",
            field=billing.models.dimensions.DimensionKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.price",
            ),
        ),
        migrations.CreateModel(
            name="Product",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("text_hash", models.BinaryField(max_length=16, unique=True)),
                ("provider_name", models.TextField(blank=True, verbose_name="provider")),
                ("publisher_name", models.TextField(blank=True, verbose_name="publisher")),
                ("service_category", models.TextField(blank=True)),
                ("service_name", models.TextField(blank=True, verbose_name="service")),
                ("charge_category", models.TextField(blank=True)),
                ("charge_class", models.TextField(blank=True)),
                ("charge_frequency", models.TextField(blank=True)),
                ("sku_id", models.TextField(blank=True, verbose_name="SKU ID")),
                ("sku_price_id", models.TextField(blank=True, verbose_name="SKU price ID")),
                ("pricing_category", models.TextField(blank=True)),
                ("pricing_currency", models.TextField(blank=True)),
                ("pricing_unit", models.TextField(blank=True)),
                ("consumed_unit", models.TextField(blank=True)),
                ("commitment_discount_id", models.TextField(blank=True, verbose_name="commitment discount ID")),
                ("commitment_discount_status", models.TextField(blank=True)),
                (
                    "subsidy_fund_org",
                    models.TextField(
                        blank=True,
                        help_text="Pays what the user does not. Empty: as the source says.",
                        verbose_name="subsidy fund/org",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
                "indexes": [models.Index(fields=["service_name"], name="product_service")],
            },
        ),
        migrations.AddField(
            model_name="charge",
            name="product",
            field=billing.models.dimensions.DimensionKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.product",
            ),
        ),
        migrations.CreateModel(
            name="Project",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("code", models.CharField(max_length=128)),
                ("name", models.CharField(blank=True, max_length=200)),
                (
                    "end_date",
                    models.DateField(blank=True, help_text="Charges for service after this day are held.", null=True),
                ),
                ("reconciliation_end_date", models.DateField(blank=True, null=True)),
                (
                    "default_fund_org",
                    models.CharField(
                        blank=True, help_text="Charged when a row of this project names no fund/org.", max_length=64
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "department",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: that of the PI.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="projects",
                        to="billing.department",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="projects",
                        to="billing.person",
                    ),
                ),
            ],
            options={
                "ordering": ("code",),
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("code"),
                        name="one_project_per_code",
                        violation_error_message="This project exists already.",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="payersplit",
            name="project",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty for a split made in a review.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payer_splits",
                to="billing.project",
            ),
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("valid_from", models.DateField()),
                (
                    "valid_until",
                    models.DateField(blank=True, help_text="The last day; empty while it lasts.", null=True),
                ),
                (
                    "may_act",
                    models.BooleanField(
                        default=True,
                        help_text="May ask and propose in the PI's name, and not only see.",
                        verbose_name="may act",
                    ),
                ),
                ("receives_statements", models.BooleanField(default=False)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="delegate",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        help_text="Only this project; empty for all.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="billing.project",
                    ),
                ),
            ],
            options={
                "verbose_name": "delegate",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_until__isnull", True), ("valid_until__gte", models.F("valid_from")), _connector="OR"
                        ),
                        name="membership_dates_in_order",
                        violation_error_message="The last day is before the first.",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="fundingsource",
            name="projects",
            field=models.ManyToManyField(blank=True, related_name="funding_sources", to="billing.project"),
        ),
        migrations.AddField(
            model_name="charge",
            name="project",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.project",
            ),
        ),
        migrations.CreateModel(
            name="BillingReference",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="references",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="references",
                        to="billing.person",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="references",
                        to="billing.project",
                    ),
                ),
            ],
            options={
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(fields=("period", "number"), name="one_reference_per_number"),
                    models.UniqueConstraint(
                        condition=models.Q(("pi__isnull", False), ("project__isnull", False)),
                        fields=("period", "pi", "project"),
                        name="one_reference_per_project",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("pi__isnull", False), ("project__isnull", True)),
                        fields=("period", "pi"),
                        name="one_reference_without_project",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("pi__isnull", True), ("project__isnull", True)),
                        fields=("period",),
                        name="one_reference_of_center",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ResourceText",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("text_hash", models.BinaryField(max_length=16, unique=True)),
                ("resource_id", models.TextField(blank=True, verbose_name="resource ID")),
                ("resource_name", models.TextField(blank=True)),
                ("resource_type", models.TextField(blank=True)),
                ("region_id", models.TextField(blank=True, verbose_name="region ID")),
                (
                    "folded_id",
                    models.TextField(
                        blank=True,
                        editable=False,
                        help_text="The ID in the form that all its spellings share; without one, the name.",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "default_permissions": (),
                "indexes": [models.Index(fields=["folded_id"], name="resource_folded")],
            },
        ),
        migrations.AddField(
            model_name="charge",
            name="resource",
            field=billing.models.dimensions.DimensionKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.resourcetext",
            ),
        ),
        migrations.CreateModel(
            name="ReviewDecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("file_sha256", models.CharField(blank=True, max_length=64)),
                ("line_number", models.BigIntegerField()),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("approve", "Approve"),
                            ("reject", "Reject"),
                            ("charge_to_center", "Charge to center"),
                            ("reattribute", "Reattribute"),
                            ("split", "Split"),
                            ("undo", "Undo"),
                            ("inherit", "Inherited from the charge it replaces"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("duplicate", "Billed twice"),
                            ("not_ours", "Not this institution's"),
                            ("provider_error", "The provider's error"),
                            ("test", "Test or training"),
                            ("other", "Other (see the note)"),
                        ],
                        max_length=32,
                    ),
                ),
                ("note", models.TextField(blank=True)),
                ("before", models.JSONField(default=dict)),
                ("after", models.JSONField(default=dict)),
                ("decided_by_name", models.CharField(max_length=254)),
                ("decided_at", models.DateTimeField()),
                ("gesture", models.UUIDField(db_index=True)),
                (
                    "charge",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decisions",
                        to="billing.charge",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="SentForm",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("sent_at", models.DateTimeField(db_index=True)),
                ("done_at", models.DateTimeField(null=True)),
                ("led_to", models.TextField(blank=True, default="")),
                (
                    "sent_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("done_at__isnull", True), models.Q(("led_to", ""), _negated=True), _connector="OR"
                        ),
                        name="sent_form_led_somewhere",
                        violation_error_message="A form that is done led to a page.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Source",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        help_text="How commands and file names call it, such as aws.",
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _."
                            )
                        ],
                    ),
                ),
                ("display_name", models.CharField(blank=True, max_length=128)),
                (
                    "kind",
                    models.CharField(
                        choices=[("internal", "Internal service"), ("provider", "Outside provider")],
                        default="provider",
                        max_length=16,
                    ),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                (
                    "file_name_patterns",
                    models.CharField(
                        blank=True,
                        help_text="Parts of file names, separated by commas. The longest that fits a file decides its source.",
                        max_length=254,
                    ),
                ),
                (
                    "import_mode",
                    models.CharField(
                        choices=[
                            ("snapshot", "Snapshot: each file is the whole truth for its period"),
                            ("append", "Append: each file adds"),
                            ("merge", "Merge: each file adds and updates, and withdraws nothing"),
                        ],
                        default="merge",
                        help_text="What a second file for the same period means.",
                        max_length=16,
                        verbose_name="import mode",
                    ),
                ),
                (
                    "grain",
                    models.CharField(
                        choices=[("line", "Every row"), ("day", "Rolled up to days"), ("month", "Rolled up to months")],
                        default="line",
                        max_length=8,
                    ),
                ),
                (
                    "cost_measure",
                    models.CharField(
                        choices=[("billed", "BilledCost"), ("effective", "EffectiveCost")],
                        default="billed",
                        help_text="Which cost payers are charged. It changes from a month on, never within one.",
                        max_length=16,
                    ),
                ),
                (
                    "is_journaled",
                    models.BooleanField(
                        default=True,
                        help_text="Off for showback: shown on statements, never journaled.",
                        verbose_name="charged back",
                    ),
                ),
                (
                    "debit_account",
                    models.CharField(
                        blank=True,
                        help_text="Where a row names no account code.",
                        max_length=64,
                        verbose_name="debit account code",
                    ),
                ),
                ("recovery_fund_org", models.CharField(blank=True, max_length=64, verbose_name="recovery fund/org")),
                ("recovery_account", models.CharField(blank=True, max_length=64, verbose_name="recovery account code")),
                (
                    "subsidy_fund_org",
                    models.CharField(
                        blank=True,
                        help_text="Pays what users do not (contracted − charged). Empty: the subsidy is forgone and only shown.",
                        max_length=64,
                        verbose_name="subsidy fund/org",
                    ),
                ),
                (
                    "holds_prepayments",
                    models.BooleanField(
                        default=False,
                        help_text="Its recovery fund/org and account are deferred revenue: what is bought before use lies there.",
                        verbose_name="holds prepayments",
                    ),
                ),
                (
                    "overflow_fund_org",
                    models.CharField(
                        blank=True,
                        help_text="Charged where a row names no fund/org.",
                        max_length=64,
                        verbose_name="default fund/org",
                    ),
                ),
                ("notes", models.TextField(blank=True)),
                (
                    "default_pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.person",
                        verbose_name="default PI",
                    ),
                ),
                (
                    "default_project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.project",
                    ),
                ),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="PayerLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=1000)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("charge", "Charge"),
                            ("receivable", "Receivable"),
                            ("charged_to_center", "Charged to center"),
                            ("subsidy", "Funded subsidy"),
                            ("late", "Late change"),
                            ("shared", "Share of a shared cost"),
                            ("transfer", "Transfer"),
                            ("refund", "Refund"),
                            ("write_off", "Write-off"),
                            ("borne", "Write-off charged to the center"),
                            ("manual", "Manual charge"),
                            ("prepaid_use", "Use of a prepaid balance"),
                            ("prepaid_expired", "Expired prepaid balance"),
                        ],
                        max_length=24,
                    ),
                ),
                ("fund_org", models.CharField(max_length=64, verbose_name="fund/org")),
                ("natural_account", models.CharField(blank=True, max_length=64)),
                ("service_name", models.CharField(blank=True, max_length=254)),
                ("currency", models.CharField(max_length=3)),
                ("list_cost", billing.fields.TotalField()),
                ("contracted_cost", billing.fields.TotalField()),
                ("charged", billing.fields.TotalField()),
                (
                    "rounding",
                    billing.fields.AmountField(
                        default=0, help_text="Exact sum of the group less its cents; on its first payer only."
                    ),
                ),
                (
                    "shared_total",
                    billing.fields.TotalField(
                        blank=True,
                        help_text="Of a share in a shared cost: the whole that was shared, in cents.",
                        null=True,
                    ),
                ),
                ("charge_count", models.BigIntegerField()),
                (
                    "reference_1",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="What its charges name as the policy's first reference, such as grants: sorted, the first few.",
                        max_length=512,
                    ),
                ),
                (
                    "reference_2",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="What its charges name as the policy's second reference, such as requests.",
                        max_length=512,
                    ),
                ),
                ("computed_at", models.DateTimeField()),
                (
                    "for_period",
                    models.ForeignKey(
                        help_text="The month it is for.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        help_text="The month it is charged in.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payer_lines",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "reference",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payer_lines",
                        to="billing.billingreference",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payer_lines",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payer_lines",
                        to="billing.project",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="payer_lines", to="billing.source"
                    ),
                ),
            ],
            options={
                "ordering": ("period", "key"),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["period", "pi", "project"], name="payer_line_owner")],
                "constraints": [models.UniqueConstraint(fields=("period", "key"), name="one_line_per_payer")],
            },
        ),
        migrations.CreateModel(
            name="MonthTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("state", models.CharField(max_length=24)),
                ("fund_org", models.CharField(blank=True, max_length=64, verbose_name="fund/org")),
                ("service_name", models.TextField(blank=True)),
                ("currency", models.CharField(max_length=3)),
                ("prices", models.PositiveSmallIntegerField(help_text="Which prices of its charges are known.")),
                ("charges", models.BigIntegerField()),
                ("list_high", models.BigIntegerField()),
                ("list_low", models.BigIntegerField()),
                ("contracted_high", models.BigIntegerField()),
                ("contracted_low", models.BigIntegerField()),
                ("effective_high", models.BigIntegerField()),
                ("effective_low", models.BigIntegerField()),
                ("billed_high", models.BigIntegerField()),
                ("billed_low", models.BigIntegerField()),
                (
                    "charged_in",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The month that the charges were delivered for.",
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.person",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.project",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.source",
                    ),
                ),
            ],
            options={
                "verbose_name": "month total",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["charged_in", "state"], name="total_month"),
                    models.Index(fields=["pi", "charged_in"], name="total_owner"),
                ],
            },
        ),
        migrations.CreateModel(
            name="InvoiceTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "invoice_id",
                    models.CharField(
                        blank=True,
                        help_text="As in the files' InvoiceId. Empty: the invoice covers all the source billed for the month.",
                        max_length=254,
                        verbose_name="invoice",
                    ),
                ),
                (
                    "billing_account_id",
                    models.CharField(
                        blank=True,
                        help_text="Empty: whatever account the rows name.",
                        max_length=254,
                        verbose_name="billing account",
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "amount",
                    billing.fields.ExactField(
                        help_text="The total of the invoice, as the files count it: with or without tax.", max_length=64
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=254)),
                ("entered_at", models.DateTimeField(editable=False)),
                (
                    "entered_by_name",
                    models.CharField(blank=True, editable=False, max_length=254, verbose_name="entered by"),
                ),
                (
                    "entered_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_totals",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="invoice_totals", to="billing.source"
                    ),
                ),
            ],
            options={
                "verbose_name": "provider invoice",
                "verbose_name_plural": "provider invoices",
                "ordering": ("-period__month", "source__name", "invoice_id"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "period", "invoice_id", "billing_account_id", "currency"),
                        name="one_total_per_invoice",
                        violation_error_message="This invoice is entered already.",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="import",
            name="source",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="imports",
                to="billing.source",
            ),
        ),
        migrations.CreateModel(
            name="CostMeasureChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("from_month", billing.models.periods.MonthField()),
                (
                    "measure",
                    models.CharField(choices=[("billed", "BilledCost"), ("effective", "EffectiveCost")], max_length=16),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="measure_changes", to="billing.source"
                    ),
                ),
            ],
            options={
                "ordering": ("source", "-from_month"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "from_month"),
                        name="one_measure_per_month",
                        violation_error_message="This source has a measure from this month already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("from_month__day", 1)),
                        name="measure_changes_at_a_start",
                        violation_error_message="A measure changes at the start of a month.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CorrectionLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("charge", "Charge"),
                            ("receivable", "Receivable"),
                            ("charged_to_center", "Charged to center"),
                            ("subsidy", "Funded subsidy"),
                            ("late", "Late change"),
                            ("shared", "Share of a shared cost"),
                            ("transfer", "Transfer"),
                            ("refund", "Refund"),
                            ("write_off", "Write-off"),
                            ("borne", "Write-off charged to the center"),
                            ("manual", "Manual charge"),
                            ("prepaid_use", "Use of a prepaid balance"),
                            ("prepaid_expired", "Expired prepaid balance"),
                        ],
                        max_length=24,
                    ),
                ),
                ("fund_org", models.CharField(blank=True, max_length=64, verbose_name="fund/org")),
                ("natural_account", models.CharField(blank=True, max_length=64)),
                ("service_name", models.CharField(blank=True, max_length=254)),
                ("amount", billing.fields.TotalField()),
                (
                    "corrects_key",
                    models.CharField(blank=True, help_text="The natural key of that payer line.", max_length=1000),
                ),
                (
                    "correction",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="billing.correction"
                    ),
                ),
                (
                    "corrects_period",
                    models.ForeignKey(
                        blank=True,
                        help_text="The month whose payer line it reverses.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="correction_lines",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="correction_lines",
                        to="billing.project",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="correction_lines",
                        to="billing.source",
                    ),
                ),
            ],
            options={
                "ordering": ("correction", "number"),
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(fields=("correction", "number"), name="one_correction_line_per_number"),
                    models.CheckConstraint(
                        condition=models.Q(("amount", 0), _negated=True),
                        name="correction_line_is_over_something",
                        violation_error_message="A line of a correction is not over nothing.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("corrects_key", ""), ("corrects_period__isnull", True)),
                            models.Q(("corrects_period__isnull", False), models.Q(("corrects_key", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="corrected_line_is_named",
                        violation_error_message="A payer line is named by its month and its key.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CloudAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "account_id",
                    models.CharField(
                        help_text="As the files write it: the sub account's id, else the billing account's.",
                        max_length=254,
                        verbose_name="account id",
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("default_fund_org", models.CharField(blank=True, max_length=64, verbose_name="fund/org")),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("note", models.TextField(blank=True)),
                (
                    "default_pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cloud_accounts",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "default_project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cloud_accounts",
                        to="billing.project",
                        verbose_name="project",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="cloud_accounts", to="billing.source"
                    ),
                ),
            ],
            options={
                "ordering": ("source", "account_id"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "account_id"),
                        name="one_owner_per_cloud_account",
                        violation_error_message="This source has an account with this id already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("default_pi__isnull", False),
                            ("default_project__isnull", False),
                            models.Q(("default_fund_org", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="cloud_account_has_an_owner",
                        violation_error_message="Say who owns the account: a PI, a project or a fund/org.",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="charge",
            name="source",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.source",
            ),
        ),
        migrations.CreateModel(
            name="AttributionRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("billing_account", models.CharField(blank=True, help_text="Its id or name.", max_length=254)),
                (
                    "sub_account",
                    models.CharField(
                        blank=True,
                        help_text="Its id or name: AWS account, Azure subscription, GCP project.",
                        max_length=254,
                    ),
                ),
                (
                    "cloud_project",
                    models.CharField(
                        blank=True,
                        help_text="The provider's project: the sub account's id, or the project that the resource's id names.",
                        max_length=254,
                        verbose_name="cloud project id",
                    ),
                ),
                (
                    "resource",
                    models.CharField(blank=True, help_text="Its id or name, such as *genome*.", max_length=500),
                ),
                ("service", models.CharField(blank=True, help_text="Its name, such as *Storage*.", max_length=254)),
                (
                    "charge_category",
                    models.CharField(
                        blank=True, help_text="Usage, Purchase, Tax, Credit or Adjustment.", max_length=254
                    ),
                ),
                (
                    "charge_description",
                    models.CharField(blank=True, help_text="Such as *enterprise support*.", max_length=500),
                ),
                (
                    "commitment_status",
                    models.CharField(
                        blank=True, help_text="Of a reservation or savings plan: Used or Unused.", max_length=254
                    ),
                ),
                (
                    "tag_key",
                    models.CharField(blank=True, help_text="Prefixes, case and blanks are forgiven.", max_length=254),
                ),
                (
                    "tag_value",
                    models.CharField(
                        blank=True,
                        help_text="A pattern; empty: the charge has the tag, with whatever value.",
                        max_length=254,
                    ),
                ),
                (
                    "valid_from",
                    models.DateField(blank=True, help_text="The first day of service it holds for.", null=True),
                ),
                (
                    "valid_until",
                    models.DateField(blank=True, help_text="The last day of service it holds for.", null=True),
                ),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        default=100, help_text="The lowest number comes first. What it leaves empty, the next may fill."
                    ),
                ),
                ("fund_org", models.CharField(blank=True, max_length=64, verbose_name="fund/org")),
                ("cost_center", models.CharField(blank=True, max_length=64)),
                ("natural_account", models.CharField(blank=True, max_length=64)),
                (
                    "shared_as",
                    models.CharField(
                        blank=True,
                        help_text="Shares the cost over everybody whom its source charged that month, in proportion. On statements it has this name, such as AWS Support. Then name no PI, project or fund/org.",
                        max_length=128,
                    ),
                ),
                (
                    "overrides_tags",
                    models.BooleanField(
                        default=False, help_text="Off: fills what tags leave empty. On: replaces what tags say."
                    ),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("note", models.TextField(blank=True, help_text="Why, and who said so.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attribution_rules",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attribution_rules",
                        to="billing.project",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: every source.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attribution_rules",
                        to="billing.source",
                    ),
                ),
            ],
            options={
                "ordering": ("priority", "id"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("source__isnull", False),
                            models.Q(
                                ("billing_account", ""),
                                ("charge_category", ""),
                                ("charge_description", ""),
                                ("cloud_project", ""),
                                ("commitment_status", ""),
                                ("resource", ""),
                                ("service", ""),
                                ("sub_account", ""),
                                ("tag_key", ""),
                                _negated=True,
                            ),
                            _connector="OR",
                        ),
                        name="rule_has_a_condition",
                        violation_error_message="Say what the rule is for: a source, an account, a project, a resource, a service, a category, a description, a commitment or a tag.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("pi__isnull", False),
                            ("project__isnull", False),
                            models.Q(
                                ("cost_center", ""),
                                ("fund_org", ""),
                                ("natural_account", ""),
                                ("shared_as", ""),
                                _negated=True,
                            ),
                            _connector="OR",
                        ),
                        name="rule_sets_something",
                        violation_error_message="Say what the rule sets: a PI, a project, a fund/org, a cost center, an account code, or the name of a shared cost.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("shared_as", ""),
                            models.Q(("fund_org", ""), ("pi__isnull", True), ("project__isnull", True)),
                            _connector="OR",
                        ),
                        name="rule_names_a_payer_or_shares",
                        violation_error_message="A shared cost is paid by everybody whom its source charged: name no PI, project or fund/org beside it.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("tag_value", ""), models.Q(("tag_key", ""), _negated=True), _connector="OR"
                        ),
                        name="rule_names_its_tag",
                        violation_error_message="Name the tag whose value the pattern is for.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_from__isnull", True),
                            ("valid_until__isnull", True),
                            ("valid_until__gte", models.F("valid_from")),
                            _connector="OR",
                        ),
                        name="rule_dates_in_order",
                        violation_error_message="The last day is before the first.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ImportedFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField()),
                ("name", models.CharField(max_length=254)),
                ("member", models.TextField(blank=True, help_text="Of an archive: which of its files this is.")),
                ("rows", models.BigIntegerField(default=0)),
                (
                    "imported_in",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="imported_files", to="billing.import"
                    ),
                ),
                (
                    "file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="imported_files",
                        to="billing.storedfile",
                    ),
                ),
            ],
            options={
                "ordering": ("imported_in", "number"),
                "default_permissions": ("view",),
                "constraints": [models.UniqueConstraint(fields=("imported_in", "number"), name="one_file_per_number")],
            },
        ),
        migrations.AddField(
            model_name="import",
            name="files",
            field=models.ManyToManyField(
                related_name="imports", through="billing.ImportedFile", to="billing.storedfile"
            ),
        ),
        migrations.AddField(
            model_name="charge",
            name="tag_set",
            field=billing.models.dimensions.DimensionKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charges",
                to="billing.tagset",
            ),
        ),
        migrations.AddConstraint(
            model_name="import",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ("applied", "withdrawn")), _negated=True),
                    models.Q(("applied_at__isnull", False), ("source__isnull", False)),
                    _connector="OR",
                ),
                name="applied_import_has_stamp",
                violation_error_message="An applied import has a source and says when it was applied.",
            ),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(
                condition=models.Q(("withdrawn_in__isnull", True)),
                fields=["charged_in", "pi", "project"],
                name="charge_month_owner",
            ),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(fields=["source", "period"], name="charge_scope"),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(fields=["imported_in"], name="charge_import"),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(fields=["resource"], name="charge_resource"),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(
                condition=models.Q(("withdrawn_in__isnull", False)), fields=["withdrawn_in"], name="charge_withdrawn"
            ),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(
                condition=models.Q(("payer_split__isnull", False)), fields=["payer_split"], name="charge_split"
            ),
        ),
        migrations.AddConstraint(
            model_name="charge",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("shared_as", ""),
                    models.Q(
                        ("fund_org", ""), ("payer_split__isnull", True), ("pi__isnull", True), ("project__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="shared_charge_is_nobodys",
                violation_error_message="A shared cost has no PI, project or fund/org of its own.",
            ),
        ),
        migrations.CreateModel(
            name="Question",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("question", "Question"), ("proposal", "Proposal")], default="question", max_length=16
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("usage", "The usage looks wrong"),
                            ("price", "The price, discount or subsidy looks wrong"),
                            ("not_ours", "This is not ours"),
                            ("twice", "It is charged twice"),
                            ("fund", "It belongs on another fund/org"),
                            ("other", "Something else"),
                            ("benefits", "The work belongs to another fund/org"),
                            ("ends", "The fund/org ends or has ended"),
                            ("mistake", "The project names the wrong fund/org"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("asked", "Waiting for staff"),
                            ("replied", "Waiting for the PI"),
                            ("approval", "Waiting for approval"),
                            ("answered", "Answered"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="asked",
                        max_length=16,
                    ),
                ),
                (
                    "payer_key",
                    models.CharField(blank=True, help_text="The natural key of the payer line.", max_length=1000),
                ),
                ("line", models.CharField(blank=True, help_text="As it was shown: 2025-01-0007-1:3.", max_length=64)),
                ("about", models.CharField(help_text="What was used, or the project.", max_length=254)),
                (
                    "paid_by",
                    models.CharField(
                        blank=True,
                        help_text="The fund/orgs that pay, as it was asked.",
                        max_length=254,
                        verbose_name="fund/org",
                    ),
                ),
                (
                    "amount",
                    billing.fields.TotalField(
                        blank=True, help_text="What the line or charge came to, as it was asked.", null=True
                    ),
                ),
                ("currency", models.CharField(blank=True, max_length=3)),
                (
                    "proposed",
                    models.JSONField(
                        blank=True, default=dict, help_text="The proposed fund/orgs, each with its percent as text."
                    ),
                ),
                ("basis", models.TextField(blank=True, help_text="What the shares of a proposed split follow from.")),
                (
                    "starts_on",
                    models.DateField(
                        blank=True, help_text="Of a proposal for what comes: the first day of service.", null=True
                    ),
                ),
                (
                    "is_sponsored",
                    models.BooleanField(
                        default=False,
                        help_text="It moves a cost to or from a sponsored award.",
                        verbose_name="moves a sponsored award",
                    ),
                ),
                (
                    "is_in_time",
                    models.BooleanField(
                        default=False,
                        help_text="The month took changes, and its review date had not passed.",
                        verbose_name="asked in time",
                    ),
                ),
                ("respond_by", models.DateField(help_text="The day by which staff answer.", verbose_name="answer due")),
                ("asked_at", models.DateTimeField()),
                ("asked_by_name", models.CharField(max_length=254, verbose_name="asked by")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("stays", "Stays as it is"),
                            ("approved", "Approved as it is"),
                            ("rejected", "Not charged"),
                            ("moved", "Charged as proposed"),
                            ("corrected", "Corrected"),
                            ("changed", "Project changed as proposed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("ended_by_name", models.CharField(blank=True, max_length=254, verbose_name="answered by")),
                (
                    "gesture",
                    models.UUIDField(
                        blank=True,
                        db_index=True,
                        help_text="The gesture that answered it: its decisions have the same.",
                        null=True,
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="questions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "charge",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The one charge of the line that it is about, if it is about one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="questions",
                        to="billing.charge",
                    ),
                ),
                (
                    "ended_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        blank=True,
                        help_text="The month whose statement it is about; empty for a proposal of what comes.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="questions",
                        to="billing.billingperiod",
                        verbose_name="billing period",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="questions",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="questions",
                        to="billing.project",
                    ),
                ),
                (
                    "reference",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="questions",
                        to="billing.billingreference",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "permissions": [("approve_move", "Can approve moves to or from sponsored awards that PIs propose")],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["state", "respond_by"], name="question_waiting"),
                    models.Index(fields=["asked_by", "asked_at"], name="question_asked"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("charge__isnull", True),
                            ("state__in", ("asked", "replied", "approval")),
                            models.Q(("payer_key", ""), _negated=True),
                        ),
                        fields=("period", "payer_key"),
                        name="one_open_question_per_line",
                        violation_error_message="There is an open question about this line already.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("charge__isnull", False), ("state__in", ("asked", "replied", "approval"))),
                        fields=("charge",),
                        name="one_open_question_per_charge",
                        violation_error_message="There is an open question about this charge already.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("payer_key", ""), ("state__in", ("asked", "replied", "approval"))),
                        fields=("pi", "project"),
                        name="one_open_proposal_per_project",
                        violation_error_message="There is an open proposal for this project already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("period__isnull", False),
                                ("reference__isnull", False),
                                ("starts_on__isnull", True),
                                models.Q(("payer_key", ""), _negated=True),
                            ),
                            models.Q(
                                ("charge__isnull", True),
                                ("payer_key", ""),
                                ("period__isnull", True),
                                ("project__isnull", False),
                                ("reference__isnull", True),
                                ("starts_on__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="question_is_about_something",
                        violation_error_message="A question is about a line of a month, or a proposal for a project.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("ended_at__isnull", True),
                                ("ended_by_name", ""),
                                ("outcome", ""),
                                ("state__in", ("asked", "replied", "approval")),
                            ),
                            models.Q(
                                ("ended_at__isnull", False),
                                ("state", "answered"),
                                models.Q(("outcome", ""), _negated=True),
                                models.Q(("ended_by_name", ""), _negated=True),
                            ),
                            models.Q(
                                ("ended_at__isnull", False),
                                ("outcome", ""),
                                ("state", "withdrawn"),
                                models.Q(("ended_by_name", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="ended_question_has_stamp",
                        violation_error_message="A question that was answered or withdrawn says when, by whom and how.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField()),
                ("is_from_staff", models.BooleanField(default=False)),
                ("written_at", models.DateTimeField()),
                ("written_by_name", models.CharField(max_length=254, verbose_name="written by")),
                (
                    "written_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "question",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="messages", to="billing.question"
                    ),
                ),
            ],
            options={
                "ordering": ("question", "id"),
                "default_permissions": (),
                "indexes": [models.Index(fields=["written_by", "written_at"], name="message_written")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("text", ""), _negated=True),
                        name="message_says_something",
                        violation_error_message="A message says something.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DisputedCharge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "was",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("clear", "Clear"),
                            ("held", "Held for review"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("charged_to_center", "Charged to center"),
                        ],
                        help_text="Empty where it was not held for the question.",
                        max_length=24,
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, help_text="When the charge was no longer held for it.", null=True),
                ),
                (
                    "charge",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputed",
                        to="billing.charge",
                    ),
                ),
                (
                    "question",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="charges", to="billing.question"
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("question", "charge"), name="one_mark_per_question_and_charge")
                ],
            },
        ),
        migrations.AddField(
            model_name="correction",
            name="question",
            field=models.ForeignKey(
                blank=True,
                help_text="The question of a PI that it answers.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="corrections",
                to="billing.question",
            ),
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(choices=[("portal", "Portal"), ("service", "Service")], max_length=16),
                ),
                (
                    "name",
                    models.CharField(help_text="What it is for, such as the program that uses it.", max_length=60),
                ),
                (
                    "prefix",
                    models.CharField(
                        help_text="By which people tell it.", max_length=16, unique=True, verbose_name="begins with"
                    ),
                ),
                ("secret_hash", models.CharField(help_text="SHA-256 of the whole token.", max_length=64)),
                ("created_at", models.DateTimeField(verbose_name="made")),
                ("valid_until", models.DateField(help_text="The last day on which it works.")),
                ("last_used_at", models.DateTimeField(blank=True, null=True, verbose_name="last used")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("revoked_by_name", models.CharField(blank=True, max_length=254, verbose_name="revoked by")),
                ("window_began_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("window_requests", models.PositiveIntegerField(default=0, editable=False)),
                ("sees_everything", models.BooleanField(default=False, verbose_name="sees all statements")),
                (
                    "departments",
                    models.ManyToManyField(
                        blank=True,
                        help_text=("Statements of projects that belong to these departments or to those within them."),
                        related_name="+",
                        to="billing.department",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        help_text=("It works as long as this account does. A portal token sees what its owner sees."),
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="api_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "people",
                    models.ManyToManyField(
                        blank=True,
                        help_text="All statements of these PIs.",
                        related_name="+",
                        to="billing.person",
                        verbose_name="PIs",
                    ),
                ),
                (
                    "projects",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Statements of these projects, whoever their PI is.",
                        related_name="+",
                        to="billing.project",
                    ),
                ),
            ],
            options={
                "verbose_name": "API token",
                "ordering": ("-pk",),
                "permissions": [("revoke_apitoken", "Can revoke API tokens of anybody")],
                "default_permissions": ("add", "view"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("revoked_at__isnull", True)),
                        fields=("owner", "name"),
                        name="one_token_per_name",
                        violation_error_message=(
                            "There is a token with this name. Choose another name, or revoke that token."
                        ),
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", "service"), ("sees_everything", False), _connector="OR"),
                        name="portal_token_sees_what_its_owner_sees",
                        violation_error_message="A portal token sees what its owner sees.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("revoked_at__isnull", True), ("revoked_by_name", "")),
                            models.Q(("revoked_at__isnull", False), models.Q(("revoked_by_name", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="token_revoked_by_somebody",
                        violation_error_message="A token is revoked by somebody at some time.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageSubsidy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    models.CharField(
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _."
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=128)),
                (
                    "percent",
                    billing.fields.ExactField(
                        help_text="Of what would be charged.",
                        max_length=64,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "cap",
                    billing.fields.AmountField(
                        blank=True, help_text="At most so much for each of the scope and span.", null=True
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("pi", "PI"),
                            ("project", "Project"),
                            ("department", "Department"),
                            ("account", "Account"),
                            ("user", "User"),
                            ("feed", "All of the feed"),
                        ],
                        default="pi",
                        max_length=16,
                    ),
                ),
                (
                    "span",
                    models.CharField(
                        choices=[
                            ("day", "Day"),
                            ("month", "Month"),
                            ("quarter", "Quarter of the fiscal year"),
                            ("fiscal_year", "Fiscal year"),
                        ],
                        default="month",
                        max_length=16,
                    ),
                ),
                (
                    "recipients",
                    models.JSONField(
                        blank=True, default=list, help_text="Addresses of PIs, or codes, one per line; none: everybody."
                    ),
                ),
                ("feeds", models.JSONField(blank=True, default=list, help_text="Names of usage feeds; none: all.")),
                ("rates", models.JSONField(blank=True, default=list, help_text="Codes of rates; none: all.")),
                (
                    "classes",
                    models.JSONField(
                        blank=True, default=list, help_text="Rate classes; none: all that are not external."
                    ),
                ),
                (
                    "fund_org",
                    models.CharField(
                        blank=True, help_text="Empty: forgone, and only shown.", max_length=64, verbose_name="funded by"
                    ),
                ),
                ("order", models.PositiveSmallIntegerField(default=0, help_text="Lower ones come first.")),
                ("valid_from", billing.models.periods.MonthField(validators=[billing.models.rates.check_month])),
                (
                    "valid_until",
                    billing.models.periods.MonthField(
                        blank=True,
                        help_text="The last month.",
                        null=True,
                        validators=[billing.models.rates.check_month],
                    ),
                ),
                ("reason", models.TextField(help_text="Who grants it, and why.")),
            ],
            options={
                "verbose_name": "subsidy",
                "verbose_name_plural": "subsidies",
                "ordering": ("order", "code"),
            },
        ),
        migrations.CreateModel(
            name="RateSchedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="How feeds call it, such as hpc.",
                        max_length=64,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _."
                            )
                        ],
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("released", "In force"), ("retired", "Retired")],
                        default="draft",
                        max_length=16,
                    ),
                ),
                (
                    "valid_from",
                    billing.models.periods.MonthField(
                        help_text="The first month that it prices.", validators=[billing.models.rates.check_month]
                    ),
                ),
                (
                    "content",
                    models.JSONField(default=dict, help_text="Its rates and rate classes, as an export has them."),
                ),
                (
                    "note",
                    models.TextField(
                        blank=True, help_text="Why it is as it is: approved by whom, after which rate study."
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("released_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "released_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("name", "-version"),
                "permissions": [("release_rateschedule", "Can put a rate schedule in force")],
            },
        ),
        migrations.CreateModel(
            name="UsageFeed",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="How commands call it, such as tiger.",
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _."
                            )
                        ],
                    ),
                ),
                ("display_name", models.CharField(blank=True, max_length=128)),
                ("kind", models.CharField(help_text="What kind of files it has.", max_length=32)),
                ("settings", models.JSONField(blank=True, default=dict)),
                (
                    "time_zone",
                    models.CharField(
                        default="UTC",
                        help_text="Whose months its usage is charged in, such as America/New_York.",
                        max_length=64,
                    ),
                ),
                (
                    "schedule",
                    models.CharField(blank=True, help_text="By name.", max_length=64, verbose_name="rate schedule"),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("notes", models.TextField(blank=True)),
                (
                    "source",
                    models.OneToOneField(
                        help_text="Whose charges its usage becomes. It has to import snapshots, and has no other feed.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage_feed",
                        to="billing.source",
                    ),
                ),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="UsageFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="As it came.", max_length=254)),
                ("original_sha256", models.CharField(max_length=64, verbose_name="SHA-256 as it came")),
                ("original_size", models.BigIntegerField(help_text="Bytes.", verbose_name="size as it came")),
                (
                    "state",
                    models.CharField(
                        choices=[("standing", "Counts"), ("withdrawn", "Withdrawn")], default="standing", max_length=16
                    ),
                ),
                ("lines", models.BigIntegerField(default=0)),
                ("records", models.BigIntegerField(default=0)),
                (
                    "left_out",
                    models.JSONField(blank=True, default=dict, help_text="What became no record: reason to lines."),
                ),
                ("notes", models.JSONField(blank=True, default=list)),
                (
                    "totals",
                    models.JSONField(blank=True, default=dict, help_text="Measure to its exact sum, in base units."),
                ),
                ("first", models.DateTimeField(blank=True, help_text="When its first usage started.", null=True)),
                ("last", models.DateTimeField(blank=True, help_text="When its last usage ended.", null=True)),
                ("read_at", models.DateTimeField()),
                ("read_by_name", models.CharField(blank=True, max_length=254)),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.TextField(blank=True, help_text="Why it was withdrawn.")),
                (
                    "feed",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="files", to="billing.usagefeed"
                    ),
                ),
                (
                    "read_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "records_file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="usage_files", to="billing.storedfile"
                    ),
                ),
            ],
            options={
                "ordering": ("-pk",),
                "permissions": [("take_usage", "Can read and withdraw files of usage, and price months of it")],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="PricedMonth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(help_text="Of all that it was priced from.", max_length=64)),
                (
                    "digests",
                    models.JSONField(
                        default=dict, help_text="Of each thing that it was priced from, and that came of it."
                    ),
                ),
                (
                    "terms",
                    models.JSONField(
                        default=dict, help_text="The settings, subsidies and balances that it was priced with."
                    ),
                ),
                (
                    "used",
                    models.JSONField(
                        default=dict, help_text="What was used by the end of the month, for the next one."
                    ),
                ),
                (
                    "units",
                    models.JSONField(
                        default=list, help_text="By rate: units delivered, charged, free by reason, held."
                    ),
                ),
                (
                    "drawn",
                    models.JSONField(
                        blank=True, default=list, help_text="Subsidies used, and what was drawn from balances."
                    ),
                ),
                ("notes", models.JSONField(blank=True, default=list)),
                ("rows", models.BigIntegerField(default=0)),
                ("priced_at", models.DateTimeField()),
                ("priced_by_name", models.CharField(blank=True, max_length=254)),
                (
                    "before",
                    models.ForeignKey(
                        blank=True,
                        help_text="What it goes on from.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.pricedmonth",
                    ),
                ),
                (
                    "focus_file",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="priced_usage",
                        to="billing.storedfile",
                        verbose_name="FOCUS file",
                    ),
                ),
                (
                    "imported",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="priced_usage",
                        to="billing.import",
                    ),
                ),
                (
                    "payers_file",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who paid for whom, as far as prices depend on it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="priced_payers",
                        to="billing.storedfile",
                    ),
                ),
                (
                    "workings_file",
                    models.ForeignKey(
                        blank=True,
                        help_text="How each row came about.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="priced_workings",
                        to="billing.storedfile",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="priced_usage",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="months", to="billing.rateschedule"
                    ),
                ),
                (
                    "feed",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="months", to="billing.usagefeed"
                    ),
                ),
                ("files", models.ManyToManyField(related_name="months", to="billing.usagefile")),
            ],
            options={
                "ordering": ("-pk",),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="RateStudy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "rate",
                    models.CharField(
                        help_text="The code of a rate of the feed's schedule, such as cpu.", max_length=64
                    ),
                ),
                (
                    "fiscal_year",
                    models.PositiveSmallIntegerField(
                        help_text="The year whose costs and use it studies, by the year in which it ends: 2026.",
                        validators=[
                            django.core.validators.MinValueValidator(2000),
                            django.core.validators.MaxValueValidator(9998),
                        ],
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("adopted", "Adopted")], default="draft", max_length=16
                    ),
                ),
                (
                    "opening_balance",
                    billing.fields.TotalField(
                        default=0,
                        help_text="Over-recovery of the years before above zero, under-recovery below. Where a study of the year before was adopted, its balance counts.",
                    ),
                ),
                (
                    "expected_units",
                    billing.fields.ExactField(
                        blank=True,
                        help_text="Units that are expected in the years the rate is for. Empty: those of the fiscal year.",
                        max_length=64,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "places",
                    models.PositiveSmallIntegerField(
                        default=4,
                        help_text="The break-even rate is rounded to so many decimals, halves up.",
                        validators=[django.core.validators.MaxValueValidator(8)],
                        verbose_name="decimals",
                    ),
                ),
                (
                    "proposed_rate",
                    billing.fields.AmountField(
                        blank=True,
                        help_text="For one unit. Empty: the break-even rate.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                ("note", models.TextField(blank=True, help_text="Who approved it, and what it rests on.")),
                ("figures", models.JSONField(blank=True, help_text="What it came to when it was adopted.", null=True)),
                ("created_at", models.DateTimeField()),
                ("adopted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "adopted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "feed",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rate_studies",
                        to="billing.usagefeed",
                        verbose_name="usage feed",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "adopted")),
                        fields=("feed", "rate", "fiscal_year"),
                        name="one_adopted_study_of_a_year",
                        violation_error_message="A study of this rate and year was adopted already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("adopted_at__isnull", True), ("figures__isnull", True), ("state", "draft")),
                            models.Q(("adopted_at__isnull", False), ("figures__isnull", False), ("state", "adopted")),
                            _connector="OR",
                        ),
                        name="adopted_study_has_figures",
                        violation_error_message="An adopted study has its figures, and says when it was adopted.",
                    ),
                ],
                "verbose_name_plural": "rate studies",
                "ordering": ("-fiscal_year", "feed", "rate", "-pk"),
                "permissions": [("adopt_ratestudy", "Can adopt a rate study")],
            },
        ),
        migrations.CreateModel(
            name="CostPool",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=128)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("staff", "Staff"),
                            ("supplies", "Supplies"),
                            ("contracts", "Contracts and licenses"),
                            ("facilities", "Power, cooling and space"),
                            ("other", "Other"),
                            ("depreciation", "Depreciation"),
                            ("unallowable", "Unallowable"),
                        ],
                        default="staff",
                        max_length=16,
                    ),
                ),
                (
                    "amount",
                    billing.fields.TotalField(
                        blank=True,
                        help_text="Empty for depreciation.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "cost",
                    billing.fields.TotalField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="acquisition cost",
                    ),
                ),
                (
                    "federally_funded",
                    billing.fields.TotalField(
                        blank=True,
                        default=0,
                        help_text="The part of its cost that a federal award paid.",
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "life_years",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                        verbose_name="useful life, years",
                    ),
                ),
                (
                    "in_service",
                    models.DateField(blank=True, help_text="The day on which it went into service.", null=True),
                ),
                ("note", models.CharField(blank=True, max_length=254)),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pools", to="billing.ratestudy"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("amount__isnull", True),
                                ("cost__isnull", False),
                                ("in_service__isnull", False),
                                ("kind", "depreciation"),
                                ("life_years__isnull", False),
                            ),
                            models.Q(
                                models.Q(("kind", "depreciation"), _negated=True),
                                ("amount__isnull", False),
                                ("cost__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="cost_pool_has_its_amount",
                        violation_error_message="Depreciation has a cost, a useful life and a day in service. Any other cost has an amount.",
                    ),
                ],
                "ordering": ("pk",),
                "default_permissions": ("view", "add", "change", "delete"),
            },
        ),
        migrations.CreateModel(
            name="SharedCost",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=128)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("staff", "Staff"),
                            ("supplies", "Supplies"),
                            ("contracts", "Contracts and licenses"),
                            ("facilities", "Power, cooling and space"),
                            ("other", "Other"),
                            ("depreciation", "Depreciation"),
                            ("unallowable", "Unallowable"),
                        ],
                        default="staff",
                        max_length=16,
                    ),
                ),
                (
                    "amount",
                    billing.fields.TotalField(
                        blank=True,
                        help_text="Empty for depreciation.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "cost",
                    billing.fields.TotalField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="acquisition cost",
                    ),
                ),
                (
                    "federally_funded",
                    billing.fields.TotalField(
                        blank=True,
                        default=0,
                        help_text="The part of its cost that a federal award paid.",
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "life_years",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                        verbose_name="useful life, years",
                    ),
                ),
                (
                    "in_service",
                    models.DateField(blank=True, help_text="The day on which it went into service.", null=True),
                ),
                ("note", models.CharField(blank=True, max_length=254)),
                (
                    "fiscal_year",
                    models.PositiveSmallIntegerField(
                        help_text="The year whose studies share it, by the year in which it ends: 2026.",
                        validators=[
                            django.core.validators.MinValueValidator(2000),
                            django.core.validators.MaxValueValidator(9998),
                        ],
                    ),
                ),
                (
                    "base",
                    models.CharField(
                        default="percent",
                        help_text="“percent”, or what is counted: rack units, hours of staff. Say how that was measured in the note.",
                        max_length=64,
                        verbose_name="shared by",
                    ),
                ),
                ("locked_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "ordering": ("-fiscal_year", "name", "pk"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("fiscal_year", "name"),
                        name="one_shared_cost_of_a_name",
                        violation_error_message="There is a shared cost of this name and year already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("amount__isnull", True),
                                ("cost__isnull", False),
                                ("in_service__isnull", False),
                                ("kind", "depreciation"),
                                ("life_years__isnull", False),
                            ),
                            models.Q(
                                models.Q(("kind", "depreciation"), _negated=True),
                                ("amount__isnull", False),
                                ("cost__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="shared_cost_has_its_amount",
                        violation_error_message="Depreciation has a cost, a useful life and a day in service. Any other cost has an amount.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SharedCostPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "rate",
                    models.CharField(
                        help_text="The code of a rate of the feed's schedule, such as cpu.", max_length=64
                    ),
                ),
                (
                    "share",
                    billing.fields.ExactField(help_text="Its percent, or how many of what is counted.", max_length=64),
                ),
                (
                    "feed",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.usagefeed",
                        verbose_name="usage feed",
                    ),
                ),
                (
                    "shared_cost",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="parts", to="billing.sharedcost"
                    ),
                ),
            ],
            options={
                "ordering": ("pk",),
                "default_permissions": ("view", "add", "change", "delete"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("shared_cost", "feed", "rate"),
                        name="one_part_of_a_rate",
                        violation_error_message="This rate has a part of the cost already.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Allocation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    models.CharField(
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _."
                            )
                        ],
                    ),
                ),
                (
                    "amount",
                    billing.fields.ExactField(
                        help_text="In its unit, or in money where it has none.",
                        max_length=64,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                ("unit", models.CharField(blank=True, help_text="Such as core-hour; empty: money.", max_length=64)),
                (
                    "rates",
                    models.JSONField(blank=True, default=list, help_text="Codes of rates; none: all of its unit."),
                ),
                ("is_prepaid", models.BooleanField(default=False, verbose_name="paid before")),
                ("fund_org", models.CharField(blank=True, max_length=64, verbose_name="paid by")),
                (
                    "deferred_fund_org",
                    models.CharField(
                        blank=True,
                        help_text="The fund/org that its money lies on until it is used. Use moves it to recovery.",
                        max_length=64,
                        verbose_name="deferred revenue",
                    ),
                ),
                (
                    "deferred_account",
                    models.CharField(blank=True, max_length=64, verbose_name="account code of deferred revenue"),
                ),
                ("bought_on", models.DateField(blank=True, editable=False, null=True, verbose_name="bought on")),
                ("price", billing.fields.AmountField(blank=True, help_text="What was paid for it.", null=True)),
                (
                    "approved_by",
                    models.CharField(
                        blank=True,
                        help_text="Who let a sponsored fund pay before use.",
                        max_length=128,
                        verbose_name="approved by finance",
                    ),
                ),
                ("order", models.PositiveSmallIntegerField(default=0, help_text="Lower ones are drawn from first.")),
                ("valid_from", billing.models.periods.MonthField(validators=[billing.models.rates.check_month])),
                (
                    "valid_until",
                    billing.models.periods.MonthField(
                        blank=True,
                        help_text="The last month.",
                        null=True,
                        validators=[billing.models.rates.check_month],
                    ),
                ),
                ("reason", models.TextField(help_text="Who granted or bought it, and for what.")),
                (
                    "feed",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: use of any feed is drawn from it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="allocations",
                        to="billing.usagefeed",
                        verbose_name="usage feed",
                    ),
                ),
                (
                    "department",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.department",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.project",
                    ),
                ),
            ],
            options={
                "ordering": ("order", "code"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("department__isnull", True), ("pi__isnull", False), ("project__isnull", True)),
                            models.Q(("department__isnull", True), ("pi__isnull", True), ("project__isnull", False)),
                            models.Q(("department__isnull", False), ("pi__isnull", True), ("project__isnull", True)),
                            _connector="OR",
                        ),
                        name="allocation_is_of_one",
                        violation_error_message="Name a PI, a project or a department: one of them.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RateClassMember",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "rate_class",
                    models.CharField(
                        max_length=64,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]*$", "Use lower-case letters, digits, - and _."
                            )
                        ],
                        verbose_name="rate class",
                    ),
                ),
                ("valid_from", billing.models.periods.MonthField(validators=[billing.models.rates.check_month])),
                (
                    "valid_until",
                    billing.models.periods.MonthField(
                        blank=True,
                        help_text="The last month.",
                        null=True,
                        validators=[billing.models.rates.check_month],
                    ),
                ),
                ("reason", models.TextField(help_text="A class for one PI needs a reason that an auditor can follow.")),
                (
                    "department",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.department",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.project",
                    ),
                ),
            ],
            options={
                "verbose_name": "member of a rate class",
                "verbose_name_plural": "members of rate classes",
                "ordering": ("rate_class", "pk"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("department__isnull", True), ("pi__isnull", False), ("project__isnull", True)),
                            models.Q(("department__isnull", True), ("pi__isnull", True), ("project__isnull", False)),
                            models.Q(("department__isnull", False), ("pi__isnull", True), ("project__isnull", True)),
                            _connector="OR",
                        ),
                        name="class_member_is_one",
                        violation_error_message="Name a PI, a project or a department: one of them.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_until__isnull", True), ("valid_until__gte", models.F("valid_from")), _connector="OR"
                        ),
                        name="class_member_months_in_order",
                        violation_error_message="The last month is before the first.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="class_member_has_a_reason",
                        violation_error_message="Say why.",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="rateschedule",
            constraint=models.UniqueConstraint(
                fields=("name", "version"),
                name="one_schedule_of_a_version",
                violation_error_message="The schedule has this version already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="rateschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("valid_from__day", 1)),
                name="schedules_start_with_a_month",
                violation_error_message="A schedule starts with a month.",
            ),
        ),
        migrations.AddConstraint(
            model_name="usagefile",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "standing")),
                fields=("feed", "original_sha256", "first"),
                name="a_usage_file_counts_once",
            ),
        ),
        migrations.AddIndex(
            model_name="pricedmonth",
            index=models.Index(fields=["feed", "period"], name="priced_feed_month"),
        ),
        migrations.CreateModel(
            name="Customer",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("number", models.CharField(help_text="As accounts receivable knows the customer.", max_length=32)),
                ("name", models.CharField(help_text="Printed on the invoice.", max_length=200)),
                ("address", models.TextField(blank=True, help_text="Printed on the invoice, in several lines.")),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="e-mail for invoices")),
                (
                    "is_taxed",
                    models.BooleanField(
                        default=False, help_text="Accounts receivable adds tax to the invoice.", verbose_name="taxed"
                    ),
                ),
                (
                    "tax_code",
                    models.CharField(blank=True, help_text="Passed on to accounts receivable as it is.", max_length=32),
                ),
                ("terms", models.CharField(blank=True, help_text="Terms of payment, such as Net 30.", max_length=64)),
                (
                    "active_from",
                    models.DateField(blank=True, help_text="Charges for service before this day are held.", null=True),
                ),
                (
                    "active_until",
                    models.DateField(blank=True, help_text="Charges for service after this day are held.", null=True),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ("number",),
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("number"),
                        name="one_customer_per_number",
                        violation_error_message="There is a customer with this number.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("number", ""), _negated=True), models.Q(("name", ""), _negated=True)
                        ),
                        name="customer_is_named",
                        violation_error_message="A customer has a number and a name.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("active_from__isnull", True),
                            ("active_until__isnull", True),
                            ("active_until__gte", models.F("active_from")),
                            _connector="OR",
                        ),
                        name="customer_dates_in_order",
                        violation_error_message="The last day is before the first.",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="correctionline",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="correction_lines",
                to="billing.customer",
            ),
        ),
        migrations.AddField(
            model_name="payerline",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                help_text="Gets an invoice of accounts receivable; no fund/org is charged in the ledger.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payer_lines",
                to="billing.customer",
            ),
        ),
        migrations.AddField(
            model_name="person",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                help_text="Gets an invoice for the charges of this PI, which need no fund/org.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="people",
                to="billing.customer",
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                help_text="Gets an invoice for the charges of this project, which need no fund/org. Empty: that of the PI.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="projects",
                to="billing.customer",
            ),
        ),
        migrations.AddConstraint(
            model_name="correctionline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("customer__isnull", True), models.Q(("fund_org", ""), _negated=True)),
                    models.Q(("customer__isnull", False), ("fund_org", "")),
                    _connector="OR",
                ),
                name="correction_line_has_payer",
                violation_error_message="A line of a correction names the fund/org or the customer it is about.",
            ),
        ),
        migrations.AddConstraint(
            model_name="payerline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("customer__isnull", True), models.Q(("kind", "receivable"), _negated=True)),
                    models.Q(("customer__isnull", False), ("fund_org", "")),
                    _connector="OR",
                ),
                name="receivable_has_customer",
                violation_error_message="A receivable has a customer, and no fund/org.",
            ),
        ),
        migrations.CreateModel(
            name="PrepaidEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("purchase", "Purchase"), ("use", "Use"), ("expiry", "Expiry")], max_length=16
                    ),
                ),
                (
                    "allocation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="billing.allocation"
                    ),
                ),
                (
                    "correction",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="prepaid_entry",
                        to="billing.correction",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "prepaid entries",
                "ordering": ("pk",),
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "purchase")),
                        fields=("allocation",),
                        name="one_purchase_per_allocation",
                        violation_error_message="This balance was bought already.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Disposal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "before",
                    models.PositiveIntegerField(
                        help_text="What was kept of earlier fiscal years.", verbose_name="before fiscal year"
                    ),
                ),
                ("first_kept", models.DateField(verbose_name="first month kept")),
                (
                    "years",
                    models.PositiveSmallIntegerField(
                        help_text="RETENTION_YEARS as it was then.", verbose_name="years kept"
                    ),
                ),
                (
                    "held_back",
                    models.JSONField(
                        default=list, help_text="Kind, month, files, bytes and why of what was held back."
                    ),
                ),
                ("decided_at", models.DateTimeField(verbose_name="decided")),
                ("decided_by_name", models.CharField(max_length=254, verbose_name="decided by")),
                ("completed_at", models.DateTimeField(blank=True, null=True, verbose_name="completed")),
                ("certificate", models.TextField(blank=True, help_text="To the byte.")),
                ("sha256", models.CharField(blank=True, max_length=64, verbose_name="SHA-256 of the certificate")),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-pk",),
                "permissions": [("dispose_records", "Can dispose of records past their retention")],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="DisposedFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("received", "Files as received"),
                            ("usage", "Usage records"),
                            ("charges", "Charges of statements"),
                            ("statement", "PDFs with charges attached"),
                            ("email", "E-mails as sent"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="Its path in the storage, or the name of the document.", max_length=254),
                ),
                ("sha256", models.CharField(db_index=True, max_length=64, verbose_name="SHA-256")),
                ("size", models.BigIntegerField(help_text="Bytes.")),
                ("months", models.JSONField(default=list, help_text="The months that it was of: 2019-01.")),
                (
                    "disposal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="files", to="billing.disposal"
                    ),
                ),
            ],
            options={
                "ordering": ("pk",),
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "reason",
                    models.TextField(
                        help_text="Such as the number of the case, the audit or the request. It stays with it."
                    ),
                ),
                ("placed_at", models.DateTimeField(editable=False, verbose_name="placed")),
                ("placed_by_name", models.CharField(editable=False, max_length=254, verbose_name="placed by")),
                ("lifted_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="lifted")),
                (
                    "lifted_by_name",
                    models.CharField(blank=True, editable=False, max_length=254, verbose_name="lifted by"),
                ),
                ("lifted_because", models.TextField(blank=True, editable=False, verbose_name="lifted because")),
                (
                    "fund",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_holds",
                        to="billing.fundingsource",
                        verbose_name="fund/org",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_holds",
                        to="billing.billingperiod",
                        verbose_name="month",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_holds",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "placed_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_holds",
                        to="billing.project",
                    ),
                ),
            ],
            options={
                "ordering": ("-pk",),
                "permissions": [("lift_legalhold", "Can lift a legal hold")],
                "default_permissions": ("add", "view"),
            },
        ),
        migrations.AddConstraint(
            model_name="disposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("certificate", ""), ("completed_at__isnull", True), ("sha256", "")),
                    models.Q(
                        ("completed_at__isnull", False),
                        models.Q(("certificate", ""), _negated=True),
                        models.Q(("sha256", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="completed_disposal_has_a_certificate",
                violation_error_message="A completed disposal has a certificate.",
            ),
        ),
        migrations.AddIndex(
            model_name="disposedfile",
            index=models.Index(fields=["name"], name="disposed_file_name"),
        ),
        migrations.AddConstraint(
            model_name="disposedfile",
            constraint=models.UniqueConstraint(fields=("disposal", "name"), name="one_disposed_file_per_name"),
        ),
        migrations.AddConstraint(
            model_name="legalhold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("fund__isnull", True),
                        ("period__isnull", True),
                        ("pi__isnull", False),
                        ("project__isnull", True),
                    ),
                    models.Q(
                        ("fund__isnull", True),
                        ("period__isnull", True),
                        ("pi__isnull", True),
                        ("project__isnull", False),
                    ),
                    models.Q(
                        ("fund__isnull", False),
                        ("period__isnull", True),
                        ("pi__isnull", True),
                        ("project__isnull", True),
                    ),
                    models.Q(
                        ("fund__isnull", True),
                        ("period__isnull", False),
                        ("pi__isnull", True),
                        ("project__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="legal_hold_has_one_subject",
                violation_error_message="Choose one of PI, project, fund/org and month.",
            ),
        ),
        migrations.AddConstraint(
            model_name="legalhold",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True),
                name="legal_hold_has_a_reason",
                violation_error_message="A legal hold needs a reason.",
            ),
        ),
        migrations.AddConstraint(
            model_name="legalhold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lifted_at__isnull", True), ("lifted_because", ""), ("lifted_by_name", "")),
                    models.Q(
                        ("lifted_at__isnull", False),
                        models.Q(("lifted_by_name", ""), _negated=True),
                        models.Q(("lifted_because", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="legal_hold_lifted_by_somebody",
                violation_error_message="A legal hold is lifted by somebody, at some time, for a reason.",
            ),
        ),
    ]
