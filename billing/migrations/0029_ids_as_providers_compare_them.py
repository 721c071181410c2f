from django.db import migrations

from billing.importing.converting import content_hash_of, hash_as_delivered, identity_hash_of

CHUNK = 2_000

IDS = ("resource_id", "resource_name", "sub_account_id", "billing_account_id", "commitment_discount_id")
GUID = "-".join("_" * length for length in (8, 4, 4, 4, 12))
LIKE = ("/subscriptions/%", "/providers/%", GUID)


def hash_again(apps, schema_editor):
    """Give charges the hashes that their rows have now: Azure's ids, and GUIDs, are compared without case.

    Where the file had amounts of more than 8 decimals, only it knows the hash of the content. Such a charge is known
    again by what it speaks of, and keeps what was decided.
    """
    charges = apps.get_model("billing", "Charge").objects.select_related("period")
    fits = [f"lower({name}) LIKE %s" for name in IDS for _ in LIKE] + ["lower(tags) LIKE %s"]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM billing_charge WHERE {' OR '.join(fits)} ORDER BY id",  # noqa: S608
            [*LIKE * len(IDS), "%/subscriptions/%"],
        )
        ids = [pk for (pk,) in cursor.fetchall()]
        for start in range(0, len(ids), CHUNK):
            changed = []
            for charge in charges.filter(pk__in=ids[start : start + CHUNK]):
                content = bytes(charge.content_hash)
                if content == hash_as_delivered(charge):
                    content = content_hash_of(charge)
                hashes = (content, identity_hash_of(charge))
                if hashes != (bytes(charge.content_hash), bytes(charge.identity_hash)):
                    changed.append((*hashes, charge.pk))
            cursor.executemany("UPDATE billing_charge SET content_hash = %s, identity_hash = %s WHERE id = %s", changed)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0028_doubtful_deliveries"),
    ]

    operations = [
        migrations.RunPython(hash_again, migrations.RunPython.noop, elidable=True),
    ]
