from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_flag_of_reversed_service")]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=[
                    ("import", "Import"),
                    ("generate", "Generate statements"),
                    ("send", "Send statements"),
                    ("book", "Book late changes"),
                    ("apply", "Apply delivery"),
                    ("attribute", "Re-apply rules"),
                    ("decide", "Decide about charges"),
                ],
                max_length=16,
            ),
        ),
    ]
