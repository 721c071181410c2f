"""The forms that were sent, each of which is done once."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0033_sessions_of_accounts"),
    ]

    operations = [
        migrations.CreateModel(
            name="SentForm",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("sent_at", models.DateTimeField(db_index=True)),
                ("done_at", models.DateTimeField(null=True)),
                ("led_to", models.TextField(blank=True, default="")),
                (
                    "sent_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("done_at__isnull", True), models.Q(("led_to", ""), _negated=True), _connector="OR"
                        ),
                        name="sent_form_led_somewhere",
                        violation_error_message="A form that is done led to a page.",
                    )
                ],
            },
        ),
    ]
