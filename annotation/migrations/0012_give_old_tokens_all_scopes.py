from django.db import migrations

SCOPES = ["read", "judge", "import", "export", "train", "manage"]


def forwards(apps, schema_editor):
    """Tokens made before there were scopes keep doing everything their owner may do."""
    tokens = apps.get_model("knox", "AuthToken")
    grants = apps.get_model("annotation", "TokenGrant")
    grants.objects.bulk_create(
        [grants(token_id=digest, scopes=SCOPES) for digest in tokens.objects.values_list("digest", flat=True)],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0011_scopes_of_tokens"),
    ]

    operations = [
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
