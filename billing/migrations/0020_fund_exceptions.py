import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0019_references_of_payer_lines"),
    ]

    operations = [
        migrations.AlterField(
            model_name="flag",
            name="code",
            field=models.CharField(
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
                    ("pattern_match", "Matches a pattern"),
                    ("period_mismatch", "Another period than expected"),
                    ("period_reversed", "Service ends before it begins"),
                    ("amount_changed", "Amount changed since approval"),
                ],
                max_length=32,
            ),
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
                    "fund",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exceptions",
                        to="billing.fundingsource",
                        verbose_name="fund/org",
                    ),
                ),
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
    ]
