"""Whom people can turn to after reading something bad."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('annotation', '0006_routing'),
    ]

    operations = [
        migrations.AddField(
            model_name='campaign',
            name='support',
            field=models.TextField(blank=True, max_length=2000),
        ),
    ]
