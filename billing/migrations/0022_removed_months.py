from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0021_warns_without_email"),
    ]

    operations = [
        migrations.AddField(
            model_name="billingperiod",
            name="removed_at",
            field=models.DateTimeField(
                blank=True, help_text="Empty, and out of sight until something comes in for it.", null=True
            ),
        ),
        migrations.AddConstraint(
            model_name="billingperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("removed_at__isnull", True), ("status__in", ("open", "review")), _connector="OR"),
                name="removed_period_was_open",
                violation_error_message="Only an open month can be removed.",
            ),
        ),
    ]
