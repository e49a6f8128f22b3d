"""Reports on quality say from here on what is usual of items without gold; those without it are made again."""

from django.db import migrations


def forget(apps, schema_editor):
    apps.get_model("annotation", "QualityReport").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("annotation", "0029_red_team")]

    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
