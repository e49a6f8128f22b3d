"""The JSON shapes of an export: what may be asked for, and what its columns mean."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import dataset_views
from annotation.dataset_filters import Filters
from annotation.export_formats import FORMATS
from annotation.permissions import LARGEST_ID

FILES = {"jsonl": "JSON Lines", "jsonl.gz": "JSON Lines, compressed", "parquet": "Parquet"}
LARGEST_ROUND = 2**31 - 1


def _several(child: serializers.Field, help_text: str) -> Any:
    # More would not fit into an address that web servers take.
    return serializers.ListField(child=child, required=False, max_length=100, help_text=help_text)


class ExportQuery(serializers.Serializer):
    view = serializers.ChoiceField(choices=sorted(dataset_views.VIEWS), default="pairs")
    layout = serializers.ChoiceField(
        choices=sorted(FORMATS),
        required=False,
        help_text="Columns of another project instead of a view's own; then the view is chosen by the layout.",
    )
    file = serializers.ChoiceField(choices=list(FILES.items()), default="jsonl", help_text="What kind of file.")
    split = serializers.ChoiceField(choices=["train", "test"], required=False)
    batch = _several(
        serializers.CharField(max_length=60, allow_blank=True), "Only these batches; may be given several times."
    )
    round = _several(
        serializers.IntegerField(min_value=0, max_value=LARGEST_ROUND),
        "Only answers made in these rounds; may be given several times.",
    )
    policy = _several(
        serializers.CharField(max_length=120), "Only answers of these policy versions; may be given several times."
    )
    language = _several(
        serializers.CharField(max_length=35),
        "Only items that ask for one of these languages, such as de; may be given several times.",
    )
    since = serializers.CharField(
        max_length=40, required=False, help_text="Only judgements made then or later; a date or a moment in ISO 8601."
    )
    until = serializers.CharField(max_length=40, required=False, help_text="Only judgements made before.")
    min_agreement = serializers.FloatField(
        min_value=0,
        max_value=1,
        required=False,
        help_text="Only items that several people judged, on which at least this share of pairs of them agrees.",
    )
    min_severity = serializers.IntegerField(
        min_value=0, max_value=3, required=False, help_text="Only judgements that name harm at least so severe."
    )
    audit = serializers.BooleanField(default=True, help_text="Whether the audit slice is part of the export.")
    gold = serializers.BooleanField(
        default=False, help_text="Whether judgements of items whose right answer is known are."
    )
    simulated = serializers.BooleanField(default=True, help_text="Whether simulated people's judgements are.")
    min_weight = serializers.FloatField(
        min_value=0,
        max_value=10,
        required=False,
        help_text="Only judgements of people whose weight in the quality report is at least this; 1 is the mean.",
    )
    adjudicated = serializers.BooleanField(
        default=False, help_text="Of items that a reviewer decided, only the judgement that stands for them."
    )
    after = serializers.IntegerField(
        min_value=0, max_value=LARGEST_ID, default=0, help_text="Only judgements with a larger id: to go on later."
    )
    through = serializers.IntegerField(
        min_value=0,
        max_value=LARGEST_ID,
        required=False,
        help_text="Only judgements with an id up to this one, as Export-Through told: to go on with the same export.",
    )
    skip = serializers.IntegerField(
        min_value=0,
        max_value=1_000_000,
        default=0,
        help_text="Leave out so many rows: those you have of the first judgement after `after`; it may give several.",
    )
    gzip = serializers.BooleanField(default=False, help_text="The same as file=jsonl.gz.")


def filters_of(asked: dict[str, Any]) -> Filters:
    """Return what an `ExportQuery` keeps; raises `Invalid`."""
    return Filters(
        split=asked.get("split"),
        batches=asked.get("batch"),
        include_audit=asked["audit"],
        include_gold=asked["gold"],
        include_simulated=asked["simulated"],
        rounds=asked.get("round"),
        policies=asked.get("policy"),
        languages=asked.get("language"),
        since=asked.get("since"),
        until=asked.get("until"),
        min_agreement=asked.get("min_agreement"),
        min_severity=asked.get("min_severity"),
        adjudicated=asked["adjudicated"],
        min_weight=asked.get("min_weight"),
    )


class ExportSchemaQuery(serializers.Serializer):
    view = serializers.ChoiceField(choices=sorted(dataset_views.VIEWS), default="pairs")
    layout = serializers.ChoiceField(choices=sorted(FORMATS), required=False)


class ExportSchemaOut(serializers.Serializer):
    name = serializers.CharField()
    title = serializers.CharField()
    columns = serializers.DictField(child=serializers.CharField())
    image_columns = serializers.DictField(
        child=serializers.CharField(), help_text="What rows have besides in a campaign with images."
    )


class ExportOffer(serializers.Serializer):
    """What a campaign can be exported as."""

    views = serializers.ListField(child=serializers.CharField())
    layouts = serializers.ListField(child=serializers.CharField())
    files = serializers.ListField(child=serializers.CharField())
