from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_shared_costs")]

    operations = [
        migrations.AddField(
            model_name="import",
            name="rules",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="How values were taken that are not as FOCUS writes them: rule to rows.",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=[
                    ("import", "Import"),
                    ("generate", "Generate statements"),
                    ("send", "Send statements"),
                    ("book", "Book late changes"),
                    ("attribute", "Re-apply rules"),
                ],
                max_length=16,
            ),
        ),
    ]
