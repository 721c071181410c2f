import hashlib
import json
from decimal import Decimal

from django.db import migrations

from billing.money import plain

BATCH = 500
LIVE = ("issued", "written", "sent")
CORRECTIONS = ("late", "transfer", "refund", "write_off", "manual")
IN_DIGEST = {"pi_email": "", "project_code": "", "showback": []}


def bring_up_to_date(apps, schema_editor):
    """Have statements from before say what of them is corrections, and what makes a revision of them today.

    Without that every statement in force would count as changed, and be revised and mailed with equal figures. The
    digests of a finalized month stay: its seals are taken of them.
    """
    Statement = apps.get_model("statements", "Statement")
    StatementLine = apps.get_model("statements", "StatementLine")
    ids = list(Statement.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        statements = list(Statement.objects.filter(pk__in=ids[start : start + BATCH]).select_related("period"))
        lines = {}
        of_these = StatementLine.objects.filter(statement__in=[each.pk for each in statements])
        for line in of_these.order_by("statement", "number"):
            lines.setdefault(line.statement_id, []).append(line)
        for each in statements:
            own = lines.get(each.pk, [])
            month = f"{each.period.month:%Y-%m}"
            apart = [line for line in own if line.kind in CORRECTIONS or line.for_month != month]
            each.corrections_list_cost = sum((line.list_cost for line in apart), Decimal(0))
            each.corrections_contracted_cost = sum((line.contracted_cost for line in apart), Decimal(0))
            each.corrections = sum((line.charged for line in apart), Decimal(0))
            if each.state in LIVE and each.period.status != "finalized":
                each.digest = digest_of(each, own)
        Statement.objects.bulk_update(
            statements, ["corrections_list_cost", "corrections_contracted_cost", "corrections", "digest"], BATCH
        )


def digest_of(statement, lines):
    """As statements.issuing made them when this was written."""
    printed = {
        "content": {name: statement.document.get(name, empty) for name, empty in IN_DIGEST.items()},
        "currency": statement.currency,
        "lines": [
            [
                line.payer_key,
                line.for_month,
                line.fund_org,
                line.source_name,
                line.natural_account,
                line.service_name,
                plain(line.list_cost),
                plain(line.contracted_cost),
                plain(line.charged),
                line.charge_count,
                line.resources,
                *([plain(line.shared_total)] if line.shared_total is not None else []),
                *([line.reference_1, line.reference_2] if line.reference_1 or line.reference_2 else []),
                *([line.original] if line.original else []),
            ]
            for line in lines
        ],
    }
    text = json.dumps(printed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Migration(migrations.Migration):
    dependencies = [
        ("statements", "0009_corrections_of_statements"),
        ("billing", "0023_new_pis_of_imports"),
    ]

    operations = [migrations.RunPython(bring_up_to_date, migrations.RunPython.noop)]
