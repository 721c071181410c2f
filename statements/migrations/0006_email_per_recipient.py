import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def one_per_recipient(apps, schema_editor):
    """Keep an e-mail for its first recipient, and add one like it for each who got a copy."""
    Delivery = apps.get_model("statements", "Delivery")
    User = apps.get_model(settings.AUTH_USER_MODEL)
    for email in list(Delivery.objects.select_related("pi").order_by("pk")):
        statements = list(email.statements.all())
        for number, recipient in enumerate(email.recipients or [email.pi.email]):
            known = recipient.casefold()
            if number:
                email.pk = None
            email.recipient = recipient[:254]
            email.user = None
            if known == email.pi.email.casefold():
                email.role = "pi"
            elif known == (email.pi.contact_email or "").casefold():
                email.role = "contact"
            else:
                email.role = "delegate"
                email.user = User.objects.filter(email__iexact=recipient).order_by("pk").first()
            if email.state == "claimed" and email.claimed_at is None:
                email.claimed_at = email.created_at
            email.save()
            email.statements.set(statements)
    if schema_editor.connection.vendor == "postgresql":
        # Foreign keys are checked at once: else the table takes no index in the transaction that wrote its rows.
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


class Migration(migrations.Migration):
    dependencies = [
        ("statements", "0005_references_of_lines"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AlterModelOptions(
            name="delivery",
            options={
                "default_permissions": ("view",),
                "ordering": ("-id",),
                "verbose_name": "e-mail",
                "verbose_name_plural": "e-mails",
            },
        ),
        migrations.AddField(
            model_name="delivery",
            name="recipient",
            field=models.CharField(
                default="",
                help_text="The address it went to, or will by what is known today.",
                max_length=254,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="delivery",
            name="role",
            field=models.CharField(
                choices=[("pi", "PI"), ("contact", "Department contact"), ("delegate", "Delegate")],
                default="pi",
                help_text="Why they get it.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="user",
            field=models.ForeignKey(
                blank=True,
                help_text="The delegate.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="written_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "Waiting"),
                    ("claimed", "Being sent"),
                    ("sent", "Sent"),
                    ("written", "Written to file"),
                    ("failed", "Not sent"),
                    ("uncertain", "Perhaps sent"),
                    ("dropped", "Left out"),
                ],
                default="queued",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="error",
            field=models.TextField(
                blank=True,
                help_text="Why it was not sent, waits or was left out, in the mail server's own words.",
                verbose_name="reason",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="message_path",
            field=models.CharField(
                blank=True,
                help_text="Where the message is kept as it was sent or written.",
                max_length=254,
                verbose_name="message",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="period",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deliveries",
                to="billing.billingperiod",
                verbose_name="billing period",
            ),
        ),
        migrations.RunPython(one_per_recipient, migrations.RunPython.noop),
    ]
