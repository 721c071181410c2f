import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0026_unknown_category"),
    ]

    operations = [
        migrations.CreateModel(
            name="AtWork",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Such as job-7, or 12 for an import.", max_length=64, unique=True)),
                ("host", models.CharField(max_length=254)),
                ("seen_at", models.DateTimeField(help_text="By the database's clock.")),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AlterModelOptions(
            name="job",
            options={
                "default_permissions": ("view",),
                "ordering": ("-id",),
                "permissions": [
                    ("cancel_job", "Can cancel background jobs of work they may ask for"),
                    ("retry_job", "Can retry background jobs of work they may ask for"),
                ],
                "verbose_name": "background job",
            },
        ),
        migrations.RemoveConstraint(
            model_name="job",
            name="finished_job_has_stamp",
        ),
        migrations.AddField(
            model_name="job",
            name="cancel_asked_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="cancel_asked_by",
            field=models.CharField(blank=True, max_length=254),
        ),
        migrations.AddField(
            model_name="job",
            name="handed_at",
            field=models.DateTimeField(
                blank=True, help_text="When the queue took it last, by the database's clock; empty: not yet.", null=True
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="retry_of",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="retried_as",
                to="billing.job",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "Waiting"),
                    ("running", "Running"),
                    ("done", "Done"),
                    ("failed", "Failed"),
                    ("canceled", "Canceled"),
                ],
                default="queued",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("state__in", ("queued", "running"))), fields=["state"], name="unfinished_jobs"
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ("done", "failed", "canceled")), _negated=True),
                    ("finished_at__isnull", False),
                    _connector="OR",
                ),
                name="finished_job_has_stamp",
                violation_error_message="A finished job says when it ended.",
            ),
        ),
    ]
