"""A new table, and a value of every person written anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("billing", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="Extra",
            fields=[("id", models.BigAutoField(primary_key=True)), ("text", models.CharField(max_length=10))],
        ),
        migrations.RunSQL("UPDATE billing_department SET name = upper(name)"),
    ]
