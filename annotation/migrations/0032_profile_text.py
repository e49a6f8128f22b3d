from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0031_assignee"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="profile_text",
            field=models.TextField(blank=True, default="", editable=False),
        ),
    ]
