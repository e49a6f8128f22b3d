"""Cost models become a kind of their own, and a round remembers the prompts its gate was decided on."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def part_costs(apps: Any, schema_editor: Any) -> None:
    """Move what the recipe cost-model made out of the reward models. Numbers stay: they are counted by kind."""
    versions = apps.get_model("training", "ModelVersion").objects.filter(kind="reward", recipe__name="cost-model")
    versions.filter(state="promoted").update(state="candidate")  # it was in use as a reward, which it is not
    versions.update(kind="cost")


def unite_costs(apps: Any, schema_editor: Any) -> None:
    """Go back; a number that both kinds have goes to the end."""
    model = apps.get_model("training", "ModelVersion")
    for version in model.objects.filter(kind="cost").order_by("pk"):
        same = model.objects.filter(campaign_id=version.campaign_id, kind="reward")
        if same.filter(number=version.number).exists():
            version.number = same.aggregate(last=models.Max("number"))["last"] + 1
        version.kind, version.state = "reward", "retired" if version.state == "promoted" else version.state
        version.save(update_fields=["kind", "state", "number"])


class Migration(migrations.Migration):
    dependencies = [("training", "0006_when_workers_were_seen")]

    operations = [
        migrations.AddField("round", "held_out", models.JSONField(default=list)),
        migrations.AlterField(
            "modelversion",
            "kind",
            models.CharField(
                choices=[("policy", "Policy"), ("reward", "Reward model"), ("cost", "Cost model")], max_length=10
            ),
        ),
        migrations.RunPython(part_costs, unite_costs),
    ]
