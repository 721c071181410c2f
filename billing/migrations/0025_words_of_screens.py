from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0024_kept_of_months"),
    ]

    operations = [
        migrations.AlterField(
            model_name="charge",
            name="state",
            field=models.CharField(
                choices=[
                    ("clear", "Clear"),
                    ("held", "Held for review"),
                    ("approved", "Approved"),
                    ("rejected", "Rejected"),
                    ("absorbed", "Charged to center"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="entryline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("charge", "Charge"),
                    ("absorbed", "Charged to center"),
                    ("subsidy", "Funded subsidy"),
                    ("late", "Late change"),
                    ("shared", "Share of a shared cost"),
                    ("transfer", "Transfer"),
                    ("refund", "Refund"),
                    ("write_off", "Write-off"),
                    ("borne", "Write-off borne by the center"),
                    ("manual", "Manual charge"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="payerline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("charge", "Charge"),
                    ("absorbed", "Charged to center"),
                    ("subsidy", "Funded subsidy"),
                    ("late", "Late change"),
                    ("shared", "Share of a shared cost"),
                    ("transfer", "Transfer"),
                    ("refund", "Refund"),
                    ("write_off", "Write-off"),
                    ("borne", "Write-off borne by the center"),
                    ("manual", "Manual charge"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="center_fund_org",
            field=models.CharField(
                blank=True,
                help_text="Pays what review charges to the center.",
                max_length=64,
                verbose_name="center's own fund/org",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="email_subject",
            field=models.CharField(
                default="Research computing statement for {{ period }}: {{ due }} charged", max_length=200
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="entries_need_second_person",
            field=models.BooleanField(
                default=False, help_text="A correction takes effect after a second person approves it."
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="issues_zero_statements",
            field=models.BooleanField(default=True, help_text="Issue statements that charge nothing."),
        ),
    ]
