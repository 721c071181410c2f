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
            name="AccountingPeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "fiscal_year",
                    models.PositiveSmallIntegerField(help_text="Such as 2026, for the year that ends in 2026."),
                ),
                (
                    "number",
                    models.PositiveSmallIntegerField(
                        help_text="From 1. Those after the last month are for adjustments.", verbose_name="period"
                    ),
                ),
                ("first_day", models.DateField(help_text="Of the posting dates that are in it.")),
                ("last_day", models.DateField()),
                (
                    "opens_on",
                    models.DateField(
                        blank=True, help_text="Empty: it is open already.", null=True, verbose_name="opens"
                    ),
                ),
                (
                    "cutoff_on",
                    models.DateField(
                        blank=True,
                        help_text="The last day on which a journal for it is submitted without a reason. Empty: the day it closes.",
                        null=True,
                        verbose_name="cutoff",
                    ),
                ),
                (
                    "closes_on",
                    models.DateField(
                        blank=True,
                        help_text="The last day on which the ledger takes journals for it.",
                        null=True,
                        verbose_name="closes",
                    ),
                ),
            ],
            options={
                "ordering": ("-fiscal_year", "-number"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("fiscal_year", "number"),
                        name="one_accounting_period_per_number",
                        violation_error_message="The fiscal year has this period already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("fiscal_year__gte", 1900),
                            ("fiscal_year__lte", 2999),
                            ("number__gte", 1),
                            ("number__lte", 99),
                        ),
                        name="accounting_period_is_numbered",
                        violation_error_message="A fiscal year is from 1900 to 2999, and its periods from 1 to 99.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("last_day__gte", models.F("first_day"))),
                        name="accounting_period_days_in_order",
                        violation_error_message="The last day is before the first.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("opens_on__isnull", True),
                                ("closes_on__isnull", True),
                                ("closes_on__gte", models.F("opens_on")),
                                _connector="OR",
                            ),
                            models.Q(
                                ("cutoff_on__isnull", True),
                                ("closes_on__isnull", True),
                                ("closes_on__gte", models.F("cutoff_on")),
                                _connector="OR",
                            ),
                            models.Q(
                                ("opens_on__isnull", True),
                                ("cutoff_on__isnull", True),
                                ("cutoff_on__gte", models.F("opens_on")),
                                _connector="OR",
                            ),
                        ),
                        name="accounting_period_dates_in_order",
                        violation_error_message="A period opens, then comes its cutoff, then it closes.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="JournalTemplate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(help_text="Used as -f NAME.", max_length=64, unique=True)),
                ("description", models.CharField(blank=True, max_length=254)),
                ("extension", models.SlugField(default="csv", max_length=8)),
                ("header", models.TextField(blank=True, help_text="Once, at the top.")),
                ("line", models.TextField(help_text="For each line of the journal.")),
                ("footer", models.TextField(blank=True, help_text="Once, at the end.")),
                (
                    "is_csv",
                    models.BooleanField(
                        default=True,
                        help_text="Quote fields and defuse those that a spreadsheet takes for formulas.",
                        verbose_name="guard as CSV",
                    ),
                ),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Journal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "number",
                    models.CharField(
                        help_text="Such as J2025-01-1; R for a reversal, A for an accrual.", max_length=32, unique=True
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("journal", "Journal"), ("reversal", "Reversal"), ("accrual", "Accrual")],
                        default="journal",
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("submitted", "Submitted"),
                            ("posted", "Posted"),
                            ("rejected", "Rejected"),
                            ("reversed", "Reversed"),
                        ],
                        default="draft",
                        max_length=16,
                    ),
                ),
                (
                    "format",
                    models.CharField(blank=True, help_text="The format of the file as submitted.", max_length=64),
                ),
                ("posting_date", models.DateField()),
                (
                    "reversal_date",
                    models.DateField(
                        blank=True,
                        help_text="Of an accrual: the posting date of the reversal that is submitted with it.",
                        null=True,
                    ),
                ),
                (
                    "estimates",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Of an accrual: amounts that were entered for what is not imported yet, each with its "
                        "reason.",
                    ),
                ),
                (
                    "date_reason",
                    models.TextField(
                        blank=True,
                        help_text="Why it is posted in another fiscal year than its month's, or after a cutoff.",
                        verbose_name="reason for the date",
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("debits", billing.fields.TotalField(default=0)),
                ("credits", billing.fields.TotalField(default=0)),
                ("line_count", models.PositiveIntegerField(default=0)),
                ("drafted_at", models.DateTimeField()),
                ("submitted_at", models.DateTimeField(blank=True, null=True)),
                ("posted_at", models.DateTimeField(blank=True, null=True)),
                ("document_number", models.CharField(blank=True, max_length=64)),
                ("rejected_at", models.DateTimeField(blank=True, null=True)),
                ("rejection_reason", models.TextField(blank=True)),
                ("reversed_at", models.DateTimeField(blank=True, null=True)),
                ("reversal_reason", models.TextField(blank=True)),
                ("file_path", models.CharField(blank=True, max_length=254)),
                ("file_sha256", models.CharField(blank=True, max_length=64)),
                (
                    "draft_changes",
                    models.JSONField(
                        blank=True,
                        help_text="What the last draft that differed says otherwise than the one before it: "
                        "see journals.differences.",
                        null=True,
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="journals", to="billing.billingperiod"
                    ),
                ),
                (
                    "reverses",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversals",
                        to="journals.journal",
                    ),
                ),
                (
                    "drafted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "submitted_by",
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
                "ordering": ("-id",),
                "permissions": [
                    ("export_journal", "Can draft and export journals"),
                    ("submit_journal", "Can submit a journal"),
                    ("post_journal", "Can record the ledger's answer and reverse a journal"),
                ],
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "draft")),
                        fields=("period", "kind"),
                        name="one_draft_per_period",
                        violation_error_message="This period has a draft already.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "rejected"), _negated=True),
                        fields=("reverses",),
                        name="one_standing_reversal",
                        violation_error_message="This journal has a reversal already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                models.Q(("kind", "accrual"), _negated=True),
                                ("reversal_date__isnull", True),
                            ),
                            models.Q(
                                ("kind", "accrual"),
                                ("reversal_date__gt", models.F("posting_date")),
                                ("reversal_date__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="accrual_is_reversed_later",
                        violation_error_message="An accrual, and nothing else, says on which later day it is reversed.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state", "draft"), ("debits", models.F("credits")), _connector="OR"),
                        name="journal_balances",
                        violation_error_message="A journal leaves draft only when its debits equal its credits.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state", "draft"), ("submitted_at__isnull", False), _connector="OR"),
                        name="submitted_journal_has_stamp",
                        violation_error_message="A submitted journal says when it was submitted.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ("posted", "reversed")), _negated=True),
                            ("posted_at__isnull", False),
                            _connector="OR",
                        ),
                        name="posted_journal_has_stamp",
                        violation_error_message="A posted journal says when it was posted.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "rejected"), _negated=True),
                            models.Q(("rejected_at__isnull", False), models.Q(("rejection_reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="rejected_journal_has_reason",
                        violation_error_message="A rejected journal says when and why.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "reversed"), _negated=True),
                            models.Q(("reversed_at__isnull", False), models.Q(("reversal_reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="reversed_journal_has_reason",
                        violation_error_message="A reversed journal says when and why.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="JournalLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("payer_key", models.CharField(max_length=1000)),
                ("side", models.CharField(choices=[("payer", "Payer"), ("recovery", "Recovery")], max_length=16)),
                ("fund_org", models.CharField(blank=True, max_length=64, verbose_name="fund/org")),
                ("natural_account", models.CharField(blank=True, max_length=64)),
                (
                    "account_by",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="What decided its account code, and why.",
                        max_length=254,
                        verbose_name="account code by",
                    ),
                ),
                (
                    "segments",
                    models.JSONField(
                        blank=True, default=dict, help_text="Parsed from the fund/org by the Policy's regex."
                    ),
                ),
                ("debit", billing.fields.TotalField(default=0)),
                ("credit", billing.fields.TotalField(default=0)),
                ("reference", models.CharField(max_length=32)),
                ("description", models.CharField(max_length=254)),
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
                ("pi_email", models.CharField(blank=True, max_length=254)),
                ("pi_name", models.CharField(blank=True, max_length=254)),
                ("project_code", models.CharField(blank=True, max_length=128)),
                ("source_name", models.CharField(max_length=64)),
                ("service_name", models.CharField(blank=True, max_length=254)),
                ("list_cost", billing.fields.TotalField(default=0)),
                ("contracted_cost", billing.fields.TotalField(default=0)),
                ("reference_1", models.CharField(blank=True, default="", max_length=512)),
                ("reference_2", models.CharField(blank=True, default="", max_length=512)),
                (
                    "journal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="journals.journal"
                    ),
                ),
            ],
            options={
                "ordering": ("journal", "number"),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["payer_key"], name="journal_line_payer")],
                "constraints": [
                    models.UniqueConstraint(fields=("journal", "number"), name="one_journal_line_per_number"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("credit__gte", 0),
                            ("debit__gte", 0),
                            models.Q(("debit", 0), ("credit", 0), _connector="OR"),
                        ),
                        name="line_is_debit_or_credit",
                        violation_error_message="A line is a debit or a credit, and neither is negative.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReceivablesExport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.CharField(help_text="Such as A2025-01-1.", max_length=32, unique=True)),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("submitted", "Submitted")], default="draft", max_length=16
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("total", billing.fields.TotalField(default=0)),
                ("invoice_count", models.PositiveIntegerField(default=0, verbose_name="invoices")),
                ("line_count", models.PositiveIntegerField(default=0, verbose_name="lines")),
                ("drafted_at", models.DateTimeField()),
                ("submitted_at", models.DateTimeField(blank=True, null=True)),
                ("file_path", models.CharField(blank=True, max_length=254)),
                ("file_sha256", models.CharField(blank=True, max_length=64)),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="receivables_exports",
                        to="billing.billingperiod",
                    ),
                ),
                (
                    "submitted_by",
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
                "verbose_name": "export of receivables",
                "verbose_name_plural": "exports of receivables",
                "ordering": ("-id",),
                "permissions": [
                    ("export_receivables", "Can draft and export receivables"),
                    ("submit_receivables", "Can submit receivables"),
                ],
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "draft")),
                        fields=("period",),
                        name="one_receivables_draft_per_period",
                        violation_error_message="This period has a draft of its receivables already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state", "draft"), ("submitted_at__isnull", False), _connector="OR"),
                        name="submitted_receivables_have_stamp",
                        violation_error_message="A submitted export of receivables says when it was submitted.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CustomerInvoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                (
                    "number",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="One after the other, over all customers and months.",
                        null=True,
                        unique=True,
                    ),
                ),
                ("kind", models.CharField(choices=[("invoice", "Invoice"), ("credit", "Credit")], max_length=16)),
                ("customer_number", models.CharField(max_length=32)),
                ("customer_name", models.CharField(max_length=200)),
                ("address", models.TextField(blank=True)),
                ("email", models.CharField(blank=True, max_length=254, verbose_name="e-mail")),
                ("is_taxed", models.BooleanField(default=False, verbose_name="taxed")),
                ("tax_code", models.CharField(blank=True, max_length=32)),
                ("terms", models.CharField(blank=True, max_length=64)),
                ("date", models.DateField()),
                ("total", billing.fields.TotalField(default=0)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="invoices", to="billing.customer"
                    ),
                ),
                (
                    "follows",
                    models.ForeignKey(
                        blank=True,
                        help_text="The invoice of the same customer and month before it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="followed_by",
                        to="journals.customerinvoice",
                    ),
                ),
                (
                    "export",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="invoices",
                        to="journals.receivablesexport",
                    ),
                ),
            ],
            options={
                "ordering": ("export", "position"),
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(fields=("export", "position"), name="one_customer_invoice_per_position")
                ],
            },
        ),
        migrations.CreateModel(
            name="CustomerInvoiceLine",
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
                ("reference", models.CharField(max_length=32)),
                ("pi_email", models.CharField(blank=True, max_length=254)),
                ("pi_name", models.CharField(blank=True, max_length=254)),
                ("project_code", models.CharField(blank=True, max_length=128)),
                ("source_name", models.CharField(max_length=64)),
                ("service_name", models.CharField(blank=True, max_length=254)),
                ("description", models.CharField(max_length=254)),
                (
                    "quantity",
                    models.TextField(blank=True, help_text="Where the line is of one unit, and not a change."),
                ),
                ("unit", models.CharField(blank=True, max_length=64)),
                ("amount", billing.fields.TotalField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="journals.customerinvoice"
                    ),
                ),
            ],
            options={
                "ordering": ("invoice", "number"),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["payer_key"], name="invoice_line_payer")],
                "constraints": [
                    models.UniqueConstraint(fields=("invoice", "number"), name="one_invoice_line_per_number"),
                    models.CheckConstraint(
                        condition=models.Q(("amount", 0), _negated=True),
                        name="invoice_line_is_over_something",
                        violation_error_message="A line of an invoice is over an amount, not over nothing.",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="journal",
            name="batch",
            field=models.PositiveIntegerField(
                blank=True, help_text="Which of that day's files in its layout it is, from 1.", null=True
            ),
        ),
        migrations.AddField(
            model_name="journal",
            name="fiscal_period",
            field=models.PositiveSmallIntegerField(
                blank=True, help_text="The period of the fiscal year that its posting date is in, from 1.", null=True
            ),
        ),
        migrations.AddField(
            model_name="journal",
            name="fiscal_year",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="JournalLayout",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(help_text="Used as -f NAME.", max_length=64)),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("released", "Released"), ("retired", "Retired")],
                        default="draft",
                        max_length=16,
                    ),
                ),
                ("title", models.CharField(help_text="As its content has it.", max_length=120)),
                ("content", models.TextField(help_text="JSON, of the published schema.")),
                ("created_at", models.DateTimeField()),
                ("released_at", models.DateTimeField(blank=True, null=True)),
                ("retired_at", models.DateTimeField(blank=True, null=True)),
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
                (
                    "retired_by",
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
                "permissions": [("edit_layouts", "Can edit, release and retire journal layouts")],
                "default_permissions": ("view",),
            },
        ),
        migrations.AddField(
            model_name="journal",
            name="layout",
            field=models.ForeignKey(
                blank=True,
                help_text="The version of the layout that its file was submitted in.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="journals",
                to="journals.journallayout",
            ),
        ),
        migrations.CreateModel(
            name="JournalFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("sha256", models.CharField(max_length=64)),
                (
                    "journal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="files_beside", to="journals.journal"
                    ),
                ),
            ],
            options={
                "ordering": ("journal", "id"),
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("journal", "name"), name="one_journal_file_per_name")],
            },
        ),
        migrations.CreateModel(
            name="JournalFileLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "number",
                    models.PositiveIntegerField(help_text="Of the line of the file, headers and headings not counted."),
                ),
                (
                    "journal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="file_lines", to="journals.journal"
                    ),
                ),
                (
                    "line",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="file_line",
                        to="journals.journalline",
                    ),
                ),
            ],
            options={
                "ordering": ("journal", "number", "line"),
                "default_permissions": (),
                "indexes": [models.Index(fields=["journal", "number"], name="journal_file_line_number")],
            },
        ),
        migrations.AddConstraint(
            model_name="journallayout",
            constraint=models.UniqueConstraint(
                fields=("name", "version"),
                name="one_layout_per_version",
                violation_error_message="This layout has such a version already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="journallayout",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "draft")),
                fields=("name",),
                name="one_layout_draft_per_name",
                violation_error_message="This layout has a draft already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="journallayout",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "released")),
                fields=("name",),
                name="one_released_layout_per_name",
                violation_error_message="This layout has a released version already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="journallayout",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "draft"), ("released_at__isnull", False), _connector="OR"),
                name="released_layout_has_stamp",
                violation_error_message="A released layout says when it was released.",
            ),
        ),
        migrations.AddConstraint(
            model_name="journallayout",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "retired"), _negated=True), ("retired_at__isnull", False), _connector="OR"
                ),
                name="retired_layout_has_stamp",
                violation_error_message="A retired layout says when it was retired.",
            ),
        ),
        migrations.CreateModel(
            name="ValidValueList",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("version", models.PositiveIntegerField(default=1)),
                ("row_count", models.PositiveIntegerField(default=0, verbose_name="rows")),
                ("loaded_at", models.DateTimeField(verbose_name="loaded")),
                ("loaded_by_name", models.CharField(max_length=254, verbose_name="loaded by")),
                ("replaced_at", models.DateTimeField(blank=True, null=True, verbose_name="replaced")),
                (
                    "loaded_by",
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
                "verbose_name": "list of valid values",
                "verbose_name_plural": "lists of valid values",
                "ordering": ("name", "-version"),
                "default_permissions": ("add", "view"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("name", "version"),
                        name="one_validvaluelist_per_version",
                        violation_error_message="This list has such a version already.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("replaced_at__isnull", True)),
                        fields=("name",),
                        name="one_validvaluelist_in_force",
                        violation_error_message="This list has a version in force already.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ValidValue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("value", models.CharField(max_length=64)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("valid_from", models.DateField(blank=True, null=True)),
                ("valid_until", models.DateField(blank=True, null=True)),
                (
                    "list",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="journals.validvaluelist"
                    ),
                ),
            ],
            options={
                "ordering": ("list", "value", "valid_from"),
                "default_permissions": (),
                "indexes": [models.Index(fields=["list", "value"], name="valid_value_of_list")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_from__isnull", True),
                            ("valid_until__isnull", True),
                            ("valid_until__gte", models.F("valid_from")),
                            _connector="OR",
                        ),
                        name="validvalue_dates_in_order",
                        violation_error_message="The last day is before the first.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WarningAcknowledgement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.CharField(
                        help_text="What the warning says, as a SHA-256: another one is open again.", max_length=64
                    ),
                ),
                ("check_name", models.CharField(max_length=32, verbose_name="check")),
                ("message", models.CharField(max_length=1000)),
                ("reason", models.TextField()),
                ("acknowledged_at", models.DateTimeField()),
                ("acknowledged_by_name", models.CharField(max_length=254, verbose_name="acknowledged by")),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "journal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="acknowledgements",
                        to="journals.journal",
                    ),
                ),
            ],
            options={
                "ordering": ("journal", "id"),
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("journal", "key"), name="one_acknowledgement_per_warning"),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="acknowledgement_has_a_reason",
                        violation_error_message="Say why the journal can go to the ledger in spite of it.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AnswerMapping",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=64, unique=True)),
                (
                    "journal_column",
                    models.CharField(
                        help_text="Has the number of our journal, such as J2026-01-1; with -7 or #7 that of its line, too.",
                        max_length=120,
                    ),
                ),
                (
                    "document_column",
                    models.CharField(help_text="Has the ledger's document number of what it posted.", max_length=120),
                ),
                (
                    "line_column",
                    models.CharField(
                        blank=True, help_text="Has the number of the line of our file. May be empty.", max_length=120
                    ),
                ),
                (
                    "status_column",
                    models.CharField(
                        blank=True,
                        help_text="Says whether it was posted. Empty: a row with a reason was rejected.",
                        max_length=120,
                    ),
                ),
                ("reason_column", models.CharField(blank=True, help_text="Says why it was rejected.", max_length=120)),
                (
                    "posted_words",
                    models.CharField(
                        blank=True,
                        default="posted, accepted",
                        help_text="What the status says of what was posted.",
                        max_length=200,
                    ),
                ),
                (
                    "rejected_words",
                    models.CharField(
                        blank=True,
                        default="rejected, error",
                        help_text="What the status says of what was rejected.",
                        max_length=200,
                    ),
                ),
            ],
            options={
                "verbose_name": "form of answers",
                "verbose_name_plural": "forms of answers",
                "ordering": ("name",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status_column", ""), _negated=True),
                            models.Q(("reason_column", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="answers_say_what_was_rejected",
                        violation_error_message="Name the column of the status or of the reason, or both.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AccountRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "sponsored",
                    models.CharField(
                        blank=True,
                        choices=[("yes", "Sponsored awards"), ("no", "All others")],
                        help_text="By the list of fund/orgs.",
                        max_length=3,
                        verbose_name="funds",
                    ),
                ),
                (
                    "fa",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("included", "In the F&A base"),
                            ("excluded", "Not in the F&A base"),
                            ("unstated", "Not stated on the list of fund/orgs"),
                        ],
                        help_text="Of the fund/org, by the list of fund/orgs.",
                        max_length=8,
                        verbose_name="F&A",
                    ),
                ),
                (
                    "fund_org",
                    models.CharField(blank=True, help_text="Such as NSF-*.", max_length=254, verbose_name="fund/org"),
                ),
                ("project", models.CharField(blank=True, help_text="Its code, such as genome*.", max_length=254)),
                ("service", models.CharField(blank=True, help_text="Its name, such as *Storage*.", max_length=254)),
                (
                    "named_account",
                    models.CharField(
                        blank=True,
                        help_text="That a tag, an attribution rule or a decision names, such as 65*.",
                        max_length=64,
                        verbose_name="named account code",
                    ),
                ),
                ("debit_account", models.CharField(blank=True, max_length=64, verbose_name="debit account code")),
                (
                    "overrides_named",
                    models.BooleanField(
                        default=False,
                        help_text="Off: debits charges with the default account code of their source. On: also those for which a tag, an attribution rule or a decision names another.",
                        verbose_name="overrides named codes",
                    ),
                ),
                ("recovery_account", models.CharField(blank=True, max_length=64, verbose_name="recovery account code")),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        default=100, help_text="The lowest number comes first. What it leaves empty, the next may fill."
                    ),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("note", models.TextField(blank=True, help_text="Why, and who said so.")),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: every source.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="account_rules",
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
                                ("fa", ""),
                                ("fund_org", ""),
                                ("named_account", ""),
                                ("project", ""),
                                ("service", ""),
                                ("sponsored", ""),
                                _negated=True,
                            ),
                            _connector="OR",
                        ),
                        name="account_rule_has_a_condition",
                        violation_error_message="Say what the rule is for: a source, funds, a fund/org, a project, a service or a named account code.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("debit_account", ""), ("recovery_account", ""), _negated=True),
                        name="account_rule_sets_something",
                        violation_error_message="Say what the rule sets: a debit or a recovery account code.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("named_account", ""), ("debit_account", ""), ("overrides_named", True), _connector="OR"
                        ),
                        name="account_rule_overrides_what_it_is_for",
                        violation_error_message="A rule for named account codes has to override them, or debits nothing.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LookupTable",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("version", models.PositiveIntegerField(default=1)),
                ("keys", models.JSONField(help_text="Names of a line that rows are found by.")),
                ("columns", models.JSONField(help_text="Names of the values that a row has.")),
                ("row_count", models.PositiveIntegerField(default=0, verbose_name="rows")),
                ("loaded_at", models.DateTimeField(verbose_name="loaded")),
                ("loaded_by_name", models.CharField(max_length=254, verbose_name="loaded by")),
                ("replaced_at", models.DateTimeField(blank=True, null=True, verbose_name="replaced")),
                (
                    "loaded_by",
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
                "default_permissions": ("add", "view"),
            },
        ),
        migrations.CreateModel(
            name="LookupRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(help_text="What the line says for each of the table's keys.", max_length=500)),
                ("values", models.JSONField(help_text="By the table's columns.")),
                ("valid_from", models.DateField(blank=True, null=True)),
                ("valid_until", models.DateField(blank=True, null=True)),
                (
                    "list",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="journals.lookuptable"
                    ),
                ),
            ],
            options={
                "ordering": ("list", "key", "valid_from"),
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="JournalLookup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "journal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lookups", to="journals.journal"
                    ),
                ),
                (
                    "table",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="journals", to="journals.lookuptable"
                    ),
                ),
            ],
            options={
                "ordering": ("journal", "id"),
                "default_permissions": (),
            },
        ),
        migrations.AddConstraint(
            model_name="lookuptable",
            constraint=models.UniqueConstraint(
                fields=("name", "version"),
                name="one_lookuptable_per_version",
                violation_error_message="This list has such a version already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="lookuptable",
            constraint=models.UniqueConstraint(
                condition=models.Q(("replaced_at__isnull", True)),
                fields=("name",),
                name="one_lookuptable_in_force",
                violation_error_message="This list has a version in force already.",
            ),
        ),
        migrations.AddIndex(
            model_name="lookuprow",
            index=models.Index(fields=["list", "key"], name="lookup_row_of_table"),
        ),
        migrations.AddConstraint(
            model_name="lookuprow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_from__isnull", True),
                    ("valid_until__isnull", True),
                    ("valid_until__gte", models.F("valid_from")),
                    _connector="OR",
                ),
                name="lookuprow_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ),
        migrations.AddConstraint(
            model_name="journallookup",
            constraint=models.UniqueConstraint(fields=("journal", "table"), name="one_journal_lookup_per_table"),
        ),
    ]
