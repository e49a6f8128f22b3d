"""What is stored about one person, found by the keys that point at them: in every app, also those added later."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Field, Model, QuerySet

from annotation.models import User

# What opens doors is not told again, not even to whose doors they are.
# Nor which items are gold: that is about the items, and would tell everybody their answers.
_SECRET = ("password", "secret", "digest", "token", "key", "is_gold")
CHUNK = 1000


@dataclass(frozen=True)
class Rows:
    """The rows of one table that point at a person by one key."""

    name: str  # such as "annotation.feedback.user", which is also the name of its file
    found: QuerySet[Any]

    def as_json(self) -> Iterator[dict[str, Any]]:
        """Yield the rows by column, without secrets."""
        fields = [field for field in self.found.model._meta.concrete_fields if not _is_secret(field)]
        names = [field.attname for field in fields]
        for values in self.found.order_by("pk").values_list(*names).iterator(chunk_size=CHUNK):
            yield dict(zip(names, values, strict=True))


def _is_secret(field: Field[Any, Any]) -> bool:
    return any(word in field.attname for word in _SECRET)


def of(person: User) -> list[Rows]:
    """Return every table that has rows about a person, and the account itself. One statement per key."""
    found = [Rows("account", User.objects.filter(pk=person.pk))]
    for relation in User._meta.related_objects:
        model: type[Model] = relation.related_model  # type: ignore[assignment]
        field = relation.field
        if field.many_to_many:
            continue
        rows = model._default_manager.filter(**{field.name: person.pk})
        if rows.exists():
            found.append(Rows(f"{model._meta.label_lower}.{field.name}", rows))
    return sorted(found, key=lambda one: one.name)


def pack(person: User, file: IO[bytes]) -> None:
    """Write all of it into `file` as a ZIP archive: a file of JSON Lines for each table."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for rows in of(person):
            with archive.open(f"{rows.name}.jsonl", "w", force_zip64=True) as part:
                for row in rows.as_json():
                    line = json.dumps(row, ensure_ascii=False, default=_other)
                    part.write(line.encode("utf-8", "replace") + b"\n")


def _other(value: Any) -> Any:
    try:
        return DjangoJSONEncoder().default(value)
    except TypeError:
        return str(value)
