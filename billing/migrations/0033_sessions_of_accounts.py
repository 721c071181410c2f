"""How often an account's sessions were ended; and attempts to sign in under no account's name are let go.

What was typed for a name may have been a password, and axes kept it as it was. Locks that follow from them
last half an hour at most. What the audit trail has is sealed and stays.
"""

from django.db import migrations, models


def forget_typed_names(apps, schema_editor):
    names = apps.get_model("billing", "User").objects.values("username")
    apps.get_model("axes", "AccessAttempt").objects.exclude(username__in=names).delete()
    # Kept only where somebody switched that on.
    apps.get_model("axes", "AccessFailureLog").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("axes", "0010_accessattemptexpiration"),
        ("billing", "0032_room_for_totals"),
    ]

    operations = [
        migrations.AlterModelManagers(name="user", managers=[]),
        migrations.AddField(
            model_name="user",
            name="sessions_ended",
            field=models.PositiveIntegerField(
                default=0,
                editable=False,
                help_text="How often all sessions were ended: switched on or off, other roles.",
            ),
        ),
        migrations.RunPython(forget_typed_names, migrations.RunPython.noop),
    ]
