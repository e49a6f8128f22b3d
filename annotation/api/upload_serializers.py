"""The JSON shapes of files that are uploaded in parts."""

from __future__ import annotations

from rest_framework import serializers

from annotation.importing import partial


class UploadQuery(serializers.Serializer):
    name = serializers.CharField(max_length=200, help_text="The file's name; its end tells the format.")
    size = serializers.IntegerField(min_value=1, max_value=partial.MOST_BYTES, help_text="Of the whole file, in bytes.")
    key = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=200,
        help_text="What tells this file from another of this name and size, such as its hash or its time.",
    )


class PartQuery(UploadQuery):
    at = serializers.IntegerField(min_value=0, max_value=partial.MOST_BYTES, help_text="Where it begins, in bytes.")


class UploadOut(serializers.Serializer):
    upload = serializers.CharField(help_text="The token to import it by.")
    size = serializers.IntegerField()
    there = serializers.IntegerField(help_text="How many bytes have arrived: the next part begins there.")
    part_bytes = serializers.IntegerField(help_text="A good size for a part.")
