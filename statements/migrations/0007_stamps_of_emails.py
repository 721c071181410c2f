from django.db import migrations, models


class Migration(migrations.Migration):
    # Apart from the rows' own migration: PostgreSQL changes no table in the transaction that wrote its rows.
    dependencies = [
        ("statements", "0006_email_per_recipient"),
    ]
    operations = [
        migrations.RemoveField(model_name="delivery", name="recipients"),
        migrations.RemoveConstraint(model_name="delivery", name="sent_delivery_has_stamp"),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "sent"), _negated=True) | models.Q(("sent_at__isnull", False)),
                name="sent_delivery_has_stamp",
                violation_error_message="A sent e-mail says when.",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "written"), _negated=True) | models.Q(("written_at__isnull", False)),
                name="written_delivery_has_stamp",
                violation_error_message="An e-mail written to a file says when.",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "claimed"), _negated=True) | models.Q(("claimed_at__isnull", False)),
                name="claimed_delivery_has_stamp",
                violation_error_message="An e-mail that is being sent says since when.",
            ),
        ),
    ]
