import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import billing.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("billing", "0001_initial"),
        ("billing", "__first__"),
    ]

    operations = [
        migrations.CreateModel(
            name="Statement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "number",
                    models.CharField(
                        help_text="The reference and the revision: 2025-01-0007-1.", max_length=32, unique=True
                    ),
                ),
                ("revision", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("issued", "Issued"),
                            ("written", "Written to file"),
                            ("portal", "Portal only"),
                            ("sent", "Sent"),
                            ("superseded", "Superseded"),
                            ("void", "Void"),
                        ],
                        default="issued",
                        max_length=16,
                    ),
                ),
                (
                    "digest",
                    models.CharField(help_text="SHA-256 of what makes a new revision when it changes.", max_length=64),
                ),
                ("document", models.JSONField(help_text="Names, texts and notes as printed.")),
                ("currency", models.CharField(max_length=3)),
                ("list_cost", billing.fields.TotalField()),
                ("contracted_cost", billing.fields.TotalField()),
                ("charged", billing.fields.TotalField(verbose_name="total charged")),
                ("corrections_list_cost", billing.fields.TotalField(default=0)),
                ("corrections_contracted_cost", billing.fields.TotalField(default=0)),
                (
                    "corrections",
                    billing.fields.TotalField(
                        default=0,
                        help_text="What of the total charged is no charge of its own month: corrections and late changes.",
                    ),
                ),
                (
                    "review_until",
                    models.DateField(
                        blank=True,
                        help_text="As printed: where the month was in review when it was issued.",
                        null=True,
                        verbose_name="questions until",
                    ),
                ),
                ("issued_at", models.DateTimeField()),
                ("written_at", models.DateTimeField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("superseded_at", models.DateTimeField(blank=True, null=True)),
                ("voided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "void_reason",
                    models.TextField(
                        blank=True, help_text="Why it was voided; its PI reads it.", verbose_name="reason"
                    ),
                ),
                ("pdf_path", models.CharField(blank=True, max_length=254)),
                ("pdf_sha256", models.CharField(blank=True, max_length=64)),
                (
                    "charges_sha256",
                    models.CharField(
                        blank=True,
                        help_text="SHA-256 of charges.csv, as it was written when the statement was issued.",
                        max_length=64,
                    ),
                ),
                (
                    "issued_by",
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
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statements",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statements",
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
                        related_name="statements",
                        to="billing.project",
                    ),
                ),
                (
                    "reference",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statements",
                        to="billing.billingreference",
                    ),
                ),
                (
                    "superseded_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="supersedes",
                        to="statements.statement",
                    ),
                ),
            ],
            options={
                "ordering": ("-period__month", "number"),
                "permissions": [
                    ("issue_statements", "Can issue statements"),
                    ("send_statements", "Can send statements"),
                    ("void_statement", "Can void a statement"),
                ],
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["pi", "period"], name="statement_owner")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("issued", "written", "portal", "sent"))),
                        fields=("reference",),
                        name="one_live_statement",
                        violation_error_message="This PI and project have a statement for the period already.",
                    ),
                    models.UniqueConstraint(fields=("reference", "revision"), name="one_statement_per_revision"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "superseded"), _negated=True),
                            ("superseded_at__isnull", False),
                            _connector="OR",
                        ),
                        name="superseded_statement_has_stamp",
                        violation_error_message="A superseded statement says when.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "written"), _negated=True),
                            ("written_at__isnull", False),
                            _connector="OR",
                        ),
                        name="written_statement_has_stamp",
                        violation_error_message="A statement whose e-mail was written to a file says when.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "sent"), _negated=True), ("sent_at__isnull", False), _connector="OR"
                        ),
                        name="sent_statement_has_stamp",
                        violation_error_message="A sent statement says when.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "void"), _negated=True), ("voided_at__isnull", False), _connector="OR"
                        ),
                        name="void_statement_has_stamp",
                        violation_error_message="A void statement says when.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Email",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "recipient",
                    models.CharField(
                        help_text="The address it went to, or will by what is known today.", max_length=254
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[("pi", "PI"), ("contact", "Department contact"), ("delegate", "Delegate")],
                        default="pi",
                        help_text="Why they get it.",
                        max_length=16,
                    ),
                ),
                ("subject", models.CharField(max_length=254)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Waiting"),
                            ("claimed", "Being sent"),
                            ("sent", "Sent"),
                            ("written", "Written to file"),
                            ("redirected", "Sent to the test address"),
                            ("failed", "Not sent"),
                            ("refused", "Refused"),
                            ("uncertain", "Perhaps sent"),
                            ("dropped", "Left out"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                (
                    "error",
                    models.TextField(
                        blank=True,
                        help_text="Why it was not sent, waits or was left out, in the mail server's own words.",
                        verbose_name="reason",
                    ),
                ),
                (
                    "message_path",
                    models.CharField(
                        blank=True,
                        help_text="Where the message is kept as it was sent or written.",
                        max_length=254,
                        verbose_name="message",
                    ),
                ),
                (
                    "redirected_to",
                    models.CharField(
                        blank=True,
                        help_text="In test mode: who got it instead of its recipient.",
                        max_length=254,
                        verbose_name="test address",
                    ),
                ),
                (
                    "again_because",
                    models.TextField(
                        blank=True, help_text="Its recipient reads it.", verbose_name="sent again because"
                    ),
                ),
                (
                    "is_small",
                    models.BooleanField(
                        default=False,
                        help_text="Left out because its statements charge less than the policy has e-mailed.",
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "try_again_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the worker tries it again by itself; empty: it does not.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("claimed_at", models.DateTimeField(blank=True, null=True)),
                ("written_at", models.DateTimeField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statement_emails",
                        to="billing.billingperiod",
                        verbose_name="billing period",
                    ),
                ),
                (
                    "pi",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statement_emails",
                        to="billing.person",
                        verbose_name="PI",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        help_text="The delegate.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who had it sent; nobody where a job of the system did.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "repeats",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="repeated_by",
                        to="statements.email",
                        verbose_name="repeats",
                    ),
                ),
                ("statements", models.ManyToManyField(related_name="emails", to="statements.statement")),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("try_again_at__isnull", False)),
                        fields=["try_again_at"],
                        name="email_tried_again",
                    ),
                    models.Index(fields=["claimed_at"], name="email_claimed"),
                ],
                "verbose_name": "e-mail",
                "verbose_name_plural": "e-mails",
                "ordering": ("-id",),
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "sent"), _negated=True), ("sent_at__isnull", False), _connector="OR"
                        ),
                        name="sent_email_has_stamp",
                        violation_error_message="A sent e-mail says when.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "written"), _negated=True),
                            ("written_at__isnull", False),
                            _connector="OR",
                        ),
                        name="written_email_has_stamp",
                        violation_error_message="An e-mail written to a file says when.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "claimed"), _negated=True),
                            ("claimed_at__isnull", False),
                            _connector="OR",
                        ),
                        name="claimed_email_has_stamp",
                        violation_error_message="An e-mail that is being sent says since when.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StatementLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("payer_key", models.CharField(max_length=1000)),
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
                ("for_month", models.CharField(max_length=7)),
                ("fund_org", models.CharField(max_length=64, verbose_name="fund/org")),
                ("source_name", models.CharField(max_length=64)),
                ("source_label", models.CharField(max_length=128)),
                ("natural_account", models.CharField(blank=True, max_length=64)),
                ("service_name", models.CharField(blank=True, max_length=254)),
                ("list_cost", billing.fields.TotalField()),
                ("contracted_cost", billing.fields.TotalField()),
                ("charged", billing.fields.TotalField()),
                (
                    "shared_total",
                    billing.fields.TotalField(
                        blank=True, help_text="Of a share in a shared cost: the whole that was shared.", null=True
                    ),
                ),
                ("charge_count", models.BigIntegerField()),
                ("reference_1", models.CharField(blank=True, default="", max_length=512)),
                ("reference_2", models.CharField(blank=True, default="", max_length=512)),
                (
                    "corrects",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Lines of earlier statements that it corrects: 2025-01-0007-1:3.",
                    ),
                ),
                (
                    "charged_before",
                    billing.fields.TotalField(
                        blank=True,
                        help_text="Of a correction: what the lines that it corrects charged until then.",
                        null=True,
                    ),
                ),
                (
                    "original",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Where its charges came in another currency: that currency, the rate, and its amounts before it.",
                    ),
                ),
                (
                    "resources",
                    models.JSONField(
                        default=list,
                        help_text="What makes up the line, in cents that add up to it: name, id, count, list, contracted, charged, usage.",
                    ),
                ),
                (
                    "service_from",
                    models.DateField(
                        blank=True, help_text="The first day of service, by the calendar of UTC.", null=True
                    ),
                ),
                ("service_until", models.DateField(blank=True, help_text="The last day of service.", null=True)),
                (
                    "split",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Where several fund/orgs share a cost: the percent that this one is charged, and the whole in cents.",
                    ),
                ),
                (
                    "usage",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="How much was used, in each unit: of resources as a whole, with the percent charged here.",
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="statements.statement"
                    ),
                ),
            ],
            options={
                "ordering": ("statement", "number"),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["fund_org"], name="statement_line_fund")],
                "constraints": [
                    models.UniqueConstraint(fields=("statement", "number"), name="one_statement_line_per_number"),
                    models.UniqueConstraint(fields=("statement", "payer_key"), name="one_statement_line_per_payer"),
                ],
            },
        ),
    ]
