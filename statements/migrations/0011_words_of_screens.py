from django.db import migrations

import billing.fields


class Migration(migrations.Migration):
    dependencies = [
        ("statements", "0010_statements_from_before"),
    ]

    operations = [
        migrations.AlterField(
            model_name="statement",
            name="charged",
            field=billing.fields.AmountField(verbose_name="total charged"),
        ),
        migrations.AlterField(
            model_name="statement",
            name="corrections",
            field=billing.fields.AmountField(
                default=0,
                help_text="What of the total charged is no charge of its own month: corrections and late changes.",
            ),
        ),
    ]
