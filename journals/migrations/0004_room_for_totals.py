from django.db import migrations

import billing.fields

# Amounts in whole cents were kept in units of 10⁻⁸; with 10⁻⁴, which the decimals of no currency exceed, a column has
# room for what whole months come to.
TOTALS = {
    "journals_journal": ("debits", "credits"),
    "journals_journalline": ("debit", "credit", "list_cost", "contracted_cost"),
}


def shorten(apps, schema_editor):
    for table, columns in TOTALS.items():
        changes = ", ".join(f"{name} = {name} / 10000" for name in columns)
        schema_editor.execute(f"UPDATE {table} SET {changes}")  # noqa: S608 (our own names)


def lengthen(apps, schema_editor):
    for table, columns in TOTALS.items():
        changes = ", ".join(f"{name} = {name} * 10000" for name in columns)
        schema_editor.execute(f"UPDATE {table} SET {changes}")  # noqa: S608 (our own names)


class Migration(migrations.Migration):
    dependencies = [
        ("journals", "0003_references_of_lines"),
    ]

    operations = [
        migrations.AlterField(
            model_name="journal",
            name="credits",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.AlterField(
            model_name="journal",
            name="debits",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.AlterField(
            model_name="journalline",
            name="contracted_cost",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.AlterField(
            model_name="journalline",
            name="credit",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.AlterField(
            model_name="journalline",
            name="debit",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.AlterField(
            model_name="journalline",
            name="list_cost",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.RunPython(shorten, lengthen),
    ]
