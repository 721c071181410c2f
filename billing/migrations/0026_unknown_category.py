from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0025_words_of_screens"),
    ]

    operations = [
        migrations.AddField(
            model_name="import",
            name="unread",
            field=models.JSONField(
                blank=True, default=list, help_text="Columns of the files that look like money and are not read."
            ),
        ),
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
                    ("unknown_category", "Charge category is unknown"),
                    ("amount_changed", "Amount changed since approval"),
                ],
                max_length=32,
            ),
        ),
    ]
