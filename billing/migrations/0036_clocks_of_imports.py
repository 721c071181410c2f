from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0035_words_for_nothing")]

    operations = [
        migrations.AddField(
            model_name="import",
            name="billing_zone",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Whose days are its days of service, where its billing periods tell. Empty: UTC.",
                max_length=64,
                verbose_name="time zone of its days",
            ),
            preserve_default=False,
        ),
    ]
