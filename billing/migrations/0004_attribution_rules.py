import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0003_late_changes"),
    ]

    operations = [
        migrations.AddField(
            model_name="charge",
            name="deciders",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Which rules or cloud account said what of it: rule 7 (PI).",
                max_length=254,
            ),
        ),
        migrations.AlterField(
            model_name="charge",
            name="attributed_by",
            field=models.CharField(
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
                        default=100, help_text="The lowest number speaks first; what it leaves open, the next may fill."
                    ),
                ),
                ("fund_org", models.CharField(blank=True, max_length=64, verbose_name="fund/org")),
                ("cost_center", models.CharField(blank=True, max_length=64)),
                ("natural_account", models.CharField(blank=True, max_length=64)),
                (
                    "overrides_tags",
                    models.BooleanField(
                        default=False,
                        help_text="Off: fills what tags leave empty. On: holds in place of what tags say.",
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
                                ("cloud_project", ""),
                                ("resource", ""),
                                ("service", ""),
                                ("sub_account", ""),
                                ("tag_key", ""),
                                _negated=True,
                            ),
                            _connector="OR",
                        ),
                        name="rule_has_a_condition",
                        violation_error_message="Say what the rule is for: a source, an account, a project, a resource, a service or a tag.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("pi__isnull", False),
                            ("project__isnull", False),
                            models.Q(("cost_center", ""), ("fund_org", ""), ("natural_account", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="rule_sets_something",
                        violation_error_message="Say what the rule sets: a PI, a project, a fund/org, a cost center or a natural account.",
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
    ]
