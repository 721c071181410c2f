import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import billing.models.policy


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0015_decisions_by_the_worker"),
    ]

    operations = [
        migrations.AddField(
            model_name="person",
            name="confirmed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="confirmed"),
        ),
        migrations.AddField(
            model_name="person",
            name="confirmed_by",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="person",
            name="confirmed_by_name",
            field=models.CharField(blank=True, editable=False, max_length=254, verbose_name="confirmed by"),
        ),
        migrations.AddField(
            model_name="person",
            name="is_listed",
            field=models.BooleanField(
                default=False,
                editable=False,
                help_text="The loaded list of people names them.",
                verbose_name="on the list of people",
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="own_domains",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Domains of the institution's e-mail addresses, such as u.edu; their sub-domains count. A PI outside them who is not on the list of people is held until somebody confirms them.",
                validators=[billing.models.policy.check_domains],
                verbose_name="own e-mail domains",
            ),
        ),
        migrations.AddConstraint(
            model_name="person",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("confirmed_at__isnull", True), ("confirmed_by_name", "")),
                    models.Q(("confirmed_at__isnull", False), models.Q(("confirmed_by_name", ""), _negated=True)),
                    _connector="OR",
                ),
                name="confirmed_by_somebody",
                violation_error_message="A PI is confirmed by somebody at some time.",
            ),
        ),
    ]
