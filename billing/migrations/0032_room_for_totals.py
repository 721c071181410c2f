from django.db import migrations, models

import billing.fields
import billing.models.policy
from billing.money import plain

# Amounts in whole cents were kept in units of 10⁻⁸; with 10⁻⁴, which the decimals of no currency exceed, a column has
# room for what whole months come to.
TOTALS = {
    "billing_entry": ("amount", "total"),
    "billing_entryline": ("amount",),
    "billing_payerline": ("list_cost", "contracted_cost", "charged", "shared_total"),
}


def shorten(apps, schema_editor):
    for table, columns in TOTALS.items():
        changes = ", ".join(f"{name} = {name} / 10000" for name in columns)
        schema_editor.execute(f"UPDATE {table} SET {changes}")  # noqa: S608 (our own names)


def lengthen(apps, schema_editor):
    for table, columns in TOTALS.items():
        changes = ", ".join(f"{name} = {name} * 10000" for name in columns)
        schema_editor.execute(f"UPDATE {table} SET {changes}")  # noqa: S608 (our own names)


# Sums of rows as delivered, which have 8 decimals and any size: text.
SUMS = {
    "ImportTotal": ("billed_stored", "effective_stored", "list_stored", "contracted_stored"),
    "ImportOverlap": ("billed", "effective"),
    "InvoiceTotal": ("amount",),
}


def write_out(apps, schema_editor):
    """Turn units, as the text that the column made of them, into amounts."""
    _rewrite(apps, lambda units: plain(units.scaleb(-8)))


def write_units(apps, schema_editor):
    _rewrite(apps, lambda amount: str(int(amount.scaleb(8))))


def _rewrite(apps, written):
    for name, fields in SUMS.items():
        rows = apps.get_model("billing", name).objects
        for pk, *amounts in list(rows.values_list("pk", *fields)):
            texts = (models.Value(written(amount), models.CharField()) for amount in amounts)
            rows.filter(pk=pk).update(**dict(zip(fields, texts, strict=True)))


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0031_address_fits"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="entry",
            name="entry_in_whole_cents",
        ),
        migrations.RemoveConstraint(
            model_name="entryline",
            name="entry_line_in_whole_cents",
        ),
        migrations.RemoveConstraint(
            model_name="payerline",
            name="payer_line_in_whole_cents",
        ),
        migrations.AlterField(
            model_name="entry",
            name="amount",
            field=billing.fields.TotalField(
                help_text="What it moves, gives back, writes off or charges; a reversal's is negative."
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="total",
            field=billing.fields.TotalField(help_text="The sum of its lines."),
        ),
        migrations.AlterField(
            model_name="entryline",
            name="amount",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="importoverlap",
            name="billed",
            field=billing.fields.ExactField(max_length=64),
        ),
        migrations.AlterField(
            model_name="importoverlap",
            name="effective",
            field=billing.fields.ExactField(max_length=64),
        ),
        migrations.AlterField(
            model_name="importtotal",
            name="billed_stored",
            field=billing.fields.ExactField(max_length=64),
        ),
        migrations.AlterField(
            model_name="importtotal",
            name="contracted_stored",
            field=billing.fields.ExactField(max_length=64),
        ),
        migrations.AlterField(
            model_name="importtotal",
            name="effective_stored",
            field=billing.fields.ExactField(max_length=64),
        ),
        migrations.AlterField(
            model_name="importtotal",
            name="list_stored",
            field=billing.fields.ExactField(max_length=64),
        ),
        migrations.AlterField(
            model_name="invoicetotal",
            name="amount",
            field=billing.fields.ExactField(
                help_text="The total of the invoice, as the files count it: with or without tax.", max_length=64
            ),
        ),
        migrations.AlterField(
            model_name="payerline",
            name="charged",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="payerline",
            name="contracted_cost",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="payerline",
            name="list_cost",
            field=billing.fields.TotalField(),
        ),
        migrations.AlterField(
            model_name="payerline",
            name="shared_total",
            field=billing.fields.TotalField(
                blank=True, help_text="Of a share in a shared cost: the whole that was shared, in cents.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="currency",
            field=models.CharField(
                default="USD",
                help_text="ISO 4217, of statements and journals.",
                max_length=3,
                validators=[billing.models.policy.check_currency],
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True),
                name="entry_is_over_something",
                violation_error_message="An entry is over an amount, not over nothing.",
            ),
        ),
        migrations.AddConstraint(
            model_name="entryline",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True),
                name="entry_line_is_over_something",
                violation_error_message="A line of an entry is not over nothing.",
            ),
        ),
        migrations.RunPython(shorten, lengthen),
        migrations.RunPython(write_out, write_units),
    ]
