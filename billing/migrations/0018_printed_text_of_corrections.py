from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0017_workers"),
    ]

    operations = [
        migrations.AddField(
            model_name="entry",
            name="printed_text",
            field=models.TextField(
                blank=True,
                default="",
                help_text="What everybody whom it concerns reads on their statement: of a transfer, both sides. "
                "May be empty.",
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="entry",
            name="reason",
            field=models.TextField(help_text="Why, for staff. It is on no document and no page of a PI."),
        ),
    ]
