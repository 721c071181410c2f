from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_moved_charges")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="subject",
            field=models.CharField(
                blank=True,
                default="",
                help_text="What it is about, of which only one job at a time may be unfinished.",
                max_length=64,
            ),
            preserve_default=False,
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
                    ("apply", "Apply delivery"),
                    ("attribute", "Re-apply rules"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ("queued", "running"))) & ~models.Q(("subject", "")),
                fields=("kind", "subject"),
                name="one_unfinished_job_per_subject",
                violation_error_message="This is at work already.",
            ),
        ),
    ]
