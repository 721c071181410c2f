from django.db import migrations, models

import billing.models.policy


class Migration(migrations.Migration):
    dependencies = [("billing", "0034_sent_forms")]

    operations = [
        migrations.AddField(
            model_name="policy",
            name="missing_words",
            field=models.JSONField(
                blank=True,
                default=billing.models.policy.default_missing_words,
                help_text="A tag that says one of these says nothing, in any case: n/a, none, -. Nobody can type them "
                "as a fund/org, project or PI either.",
                validators=[billing.models.policy.check_words],
                verbose_name="words for nothing",
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="folds_plus_addresses",
            field=models.BooleanField(
                default=True,
                help_text="ada+aws@u.edu is ada@u.edu, as most mail systems deliver it. Off: they are two PIs.",
                verbose_name="plus addresses are one mailbox",
            ),
        ),
    ]
