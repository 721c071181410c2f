from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0020_fund_exceptions"),
    ]
    operations = [
        migrations.AddField(
            model_name="policy",
            name="warns_without_email",
            field=models.BooleanField(
                default=True,
                help_text="Every staff page says that e-mail is not configured, as long as it is not. Off: for a site "
                "that sends no e-mail on purpose.",
            ),
        ),
    ]
