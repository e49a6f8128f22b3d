"""The JSON shapes of frozen data sets."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.dataset_views import VIEWS
from annotation.permissions import LARGEST_ID
from training.recipes.anchors import ANCHORS


class Decontaminate(serializers.Serializer):
    suites = serializers.ListField(
        child=serializers.CharField(max_length=400),
        min_length=1,
        max_length=20,
        help_text='Evaluation suites: "snapshot:12", or files and folders on the server that may be named.',
    )
    n = serializers.ChoiceField(choices=[8, 13], default=13, help_text="How many words in a row make an overlap.")


def _several(child: serializers.Field) -> Any:
    return serializers.ListField(child=child, required=False, max_length=1000)


class SnapshotFilters(serializers.Serializer):
    split = serializers.ChoiceField(choices=["train", "test"], required=False)
    batches = _several(serializers.CharField(max_length=60, allow_blank=True))
    include_audit = serializers.BooleanField(required=False)
    include_simulated = serializers.BooleanField(required=False)
    include_gold = serializers.BooleanField(required=False)
    rounds = _several(serializers.IntegerField(min_value=0, max_value=2**31 - 1))
    policies = _several(serializers.CharField(max_length=120))
    languages = _several(serializers.CharField(max_length=35))
    since = serializers.CharField(max_length=40, required=False)
    until = serializers.CharField(max_length=40, required=False)
    min_agreement = serializers.FloatField(min_value=0, max_value=1, required=False)
    min_severity = serializers.IntegerField(min_value=0, max_value=3, required=False)
    min_weight = serializers.FloatField(min_value=0, max_value=100, required=False)
    adjudicated = serializers.BooleanField(required=False)
    group_near_duplicates = serializers.BooleanField(
        required=False, help_text="Keep prompts that are nearly the same on one side of the split."
    )
    decontaminate = Decontaminate(required=False, help_text="Leave out rows that share words with these suites.")
    anchors = serializers.ChoiceField(
        choices=[*ANCHORS],
        required=False,
        help_text="Of the view prompts: put beside each an answer known to be good, which a pairwise judge holds a "
        "policy's answers against (see the setting judge_against).",
    )
    profiles = serializers.BooleanField(
        required=False,
        help_text="Of the view pairs, where the loop has profiles on: put beside each what who judged it says of the "
        "answers they like (see the recipe dpo-personal).",
    )


class SnapshotIn(serializers.Serializer):
    view = serializers.ChoiceField(choices=sorted(VIEWS))
    filters = SnapshotFilters(required=False)
    licence = serializers.CharField(
        max_length=60, required=False, allow_blank=True, default="", help_text="For its card, such as cc-by-4.0."
    )


class SnapshotOut(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.IntegerField(source="campaign_id")
    view = serializers.CharField()
    filters = serializers.DictField(child=serializers.JSONField())
    rows = serializers.IntegerField()
    sha256 = serializers.CharField()
    licence = serializers.CharField()
    withdrawn_at = serializers.DateTimeField(
        allow_null=True, help_text="When somebody whose judgements are in it had their data erased."
    )
    created_at = serializers.DateTimeField()


class SnapshotDetailOut(SnapshotOut):
    card = serializers.DictField(child=serializers.JSONField(), help_text="What was so when it was frozen.")
    pushed = serializers.ListField(child=serializers.DictField(child=serializers.CharField(allow_blank=True)))


class DiffQuery(serializers.Serializer):
    older = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, help_text="Id of the snapshot before.")


class DiffRowOut(serializers.Serializer):
    what = serializers.ChoiceField(choices=["added", "removed", "changed"])
    task = serializers.CharField(allow_null=True)
    annotator = serializers.CharField(allow_null=True)
    columns = serializers.ListField(child=serializers.CharField(), help_text="Which columns changed.")
    row = serializers.DictField(child=serializers.JSONField(), help_text="The newer one where there are two.")


class DiffOut(serializers.Serializer):
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    changed = serializers.IntegerField()
    same = serializers.IntegerField()
    rows = DiffRowOut(many=True, help_text="Up to fifty of each.")


class OverlapsQuery(serializers.Serializer):
    suite = serializers.ListField(child=serializers.CharField(max_length=400), min_length=1, max_length=20)
    n = serializers.ChoiceField(choices=[8, 13], default=13)


class SharedRowOut(serializers.Serializer):
    line = serializers.IntegerField()
    feedback = serializers.IntegerField(allow_null=True)
    task = serializers.CharField(allow_blank=True)
    suite = serializers.CharField()
    words = serializers.CharField()


class OverlapsOut(serializers.Serializer):
    rows = SharedRowOut(many=True, help_text="The first thousand.")
    more = serializers.BooleanField()


class PushIn(serializers.Serializer):
    repository = serializers.CharField(max_length=200, help_text="name, or organisation/name.")


class PushOut(serializers.Serializer):
    to = serializers.CharField()
    at = serializers.CharField()
    commit = serializers.CharField(allow_blank=True)
