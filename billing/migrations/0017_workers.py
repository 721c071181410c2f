from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_known_people")]

    operations = [
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Its machine and process.", max_length=254, unique=True)),
                ("seen_at", models.DateTimeField(db_index=True)),
            ],
            options={"default_permissions": ()},
        ),
    ]
