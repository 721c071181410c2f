from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0022_removed_months"),
    ]

    operations = [
        migrations.AddField(
            model_name="import",
            name="new_pis",
            field=models.JSONField(
                blank=True, default=list, help_text="PIs that it named for the first time: charges and money of each."
            ),
        ),
    ]
