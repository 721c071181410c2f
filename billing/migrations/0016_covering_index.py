from django.db import migrations, models

from billing.indexes import CoveringIndex


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_decisions_by_the_worker")]

    operations = [
        migrations.RemoveIndex(model_name="charge", name="charge_month_owner"),
        migrations.AddIndex(
            model_name="charge",
            index=CoveringIndex(
                fields=["charged_in", "pi", "project", "state"],
                covered=["billed_cost"],
                condition=models.Q(withdrawn_in__isnull=True),
                name="charge_month_owner",
            ),
        ),
    ]
