"""A migration that makes a mistake: every charge costs a unit of 10⁻⁸ more."""

from django.db import migrations


class Migration(migrations.Migration):
    initial = True
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunSQL("UPDATE billing_charge SET billed_cost = billed_cost + 1")]
