from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("statements", "0002_shared_costs"),
    ]
    operations = [
        migrations.RemoveConstraint(model_name="statement", name="one_live_statement"),
        migrations.AddField(
            model_name="statement",
            name="written_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="statement",
            name="state",
            field=models.CharField(
                choices=[
                    ("issued", "Issued"),
                    ("written", "Written to file"),
                    ("sent", "Sent"),
                    ("superseded", "Superseded"),
                    ("void", "Void"),
                ],
                default="issued",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ("issued", "written", "sent"))),
                fields=("reference",),
                name="one_live_statement",
                violation_error_message="This PI and project have a statement for the period already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="statement",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "written"), _negated=True) | models.Q(("written_at__isnull", False)),
                name="written_statement_has_stamp",
                violation_error_message="A statement whose e-mail was written to a file says when.",
            ),
        ),
    ]
