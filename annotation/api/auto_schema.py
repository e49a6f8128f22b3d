"""What the OpenAPI document says of a field beyond what drf-spectacular finds out by itself."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework.fields import CharField

# A character that `str.strip` leaves. Spelt out, as what \s means differs: Python's has the separators 1C to 1F.
SOMETHING = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


class Described(AutoSchema):
    """Says of a text that may not be empty that blanks alone are nothing either: they are cut off before it is read."""

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        found = super()._map_serializer_field(field, direction, bypass_extensions)
        is_trimmed = type(field) is CharField and field.trim_whitespace and not field.allow_blank
        if direction == "request" and is_trimmed and found and found.get("type") == "string":
            found.setdefault("pattern", SOMETHING)
        return found
