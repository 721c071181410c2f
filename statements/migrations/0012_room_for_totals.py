from django.db import migrations

import billing.fields

# Amounts in whole cents were kept in units of 10⁻⁸; with 10⁻⁴, which the decimals of no currency exceed, a column has
# room for what whole months come to.
TOTALS = {
    "statements_statement": (
        "list_cost",
        "contracted_cost",
        "charged",
        "corrections_list_cost",
        "corrections_contracted_cost",
        "corrections",
    ),
    "statements_statementline": ("list_cost", "contracted_cost", "charged", "shared_total"),
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
        ("statements", "0011_words_of_screens"),
    ]

    operations = [
        migrations.AlterField(
            model_name="statement",
            name="charged",
            field=billing.fields.TotalField(verbose_name="total charged"),
        ),
        migrations.AlterField(
            model_name="statement",
            name="contracted_cost",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="statement",
            name="corrections",
            field=billing.fields.TotalField(
                default=0,
                help_text="What of the total charged is no charge of its own month: corrections and late changes.",
            ),
        ),
        migrations.AlterField(
            model_name="statement",
            name="corrections_contracted_cost",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.AlterField(
            model_name="statement",
            name="corrections_list_cost",
            field=billing.fields.TotalField(default=0),
        ),
        migrations.AlterField(
            model_name="statement",
            name="list_cost",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="statementline",
            name="charged",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="statementline",
            name="contracted_cost",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="statementline",
            name="list_cost",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="statementline",
            name="shared_total",
            field=billing.fields.TotalField(
                blank=True, help_text="Of a share in a shared cost: the whole that was shared.", null=True
            ),
        ),
        migrations.RunPython(shorten, lengthen),
    ]
