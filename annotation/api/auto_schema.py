"""What the OpenAPI document says of a field beyond what drf-spectacular finds out by itself."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework.fields import CharField


class Described(AutoSchema):
    """Says of a text that may not be empty that blanks alone are nothing either: they are cut off before it is read."""

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        found = super()._map_serializer_field(field, direction, bypass_extensions)
        is_trimmed = type(field) is CharField and field.trim_whitespace and not field.allow_blank
        if direction == "request" and is_trimmed and found and found.get("type") == "string":
            found.setdefault("pattern", r"[^\s]")
        return found
