from django.db import migrations, models

import billing.models.policy


class Migration(migrations.Migration):
    dependencies = [("billing", "0030_possible_duplicates")]

    operations = [
        migrations.AlterField(
            model_name="policy",
            name="address",
            field=models.TextField(blank=True, validators=[billing.models.policy.check_address]),
        ),
    ]
