"""What a request carries, read with care: nothing gets past here that a database would choke on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import IO, Any

from rest_framework import fields
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.request import Request
from rest_framework.serializers import ListSerializer, Serializer

from annotation.errors import Invalid
from annotation.importing.attachments import ZIP_TYPES
from annotation.importing.formats import BY_CONTENT_TYPE
from annotation.storable import depth, unstorable

# No judgement, draft or setting is larger; data comes in by the line.
MAX_JSON_BYTES = 8 * 1024 * 1024
# Deeper than any answer or draft; what is deeper would overflow the stack of whoever walks it later.
MAX_DEPTH = 60


class TooLarge(APIException):
    status_code = 413
    default_detail = f"The body has more than {MAX_JSON_BYTES // 1024**2} MiB; data is imported as a file."


class StrictJSONParser(JSONParser):
    """JSON that can be stored: no NUL, no lone surrogate, no NaN, not too deep."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(MAX_JSON_BYTES + 1)
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge
        try:
            text = body.decode()  # JSON is UTF-8 (RFC 8259), whatever a charset parameter says
            value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        if text.count("{") + text.count("[") > MAX_DEPTH and depth(value) > MAX_DEPTH:
            raise ParseError(f"The body is nested too deeply; {MAX_DEPTH} levels are read.")
        # A raw NUL is no JSON and a raw surrogate no UTF-8: both can only come from an escape.
        if "\\u" in text and (reason := unstorable(value)):
            raise Invalid(f"The body cannot be stored. {reason}")  # it is JSON: no 400
        return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is too large")
    return number


class BodyParser(BaseParser):
    """Hands the body on as it is, to be read row by row, so that one of any size takes the memory of a row."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return stream


def _body_of(content_type: str) -> type[BodyParser]:
    return type("BodyParser", (BodyParser,), {"media_type": content_type})


# What cannot be told by these is told by how the body begins.
BODY_PARSERS = [_body_of(kind) for kind in [*BY_CONTENT_TYPE, *ZIP_TYPES, "text/plain", "application/octet-stream"]]


class OctetsParser(BodyParser):
    """A body of any kind, to be stored as it is."""

    media_type = "*/*"


def checked(serializer: type[Serializer], data: Any, *, partial: bool = False) -> dict[str, Any]:
    """Return the validated values of `data`; a name nobody knows is an error, not a silent loss."""
    reader = _reader(serializer, partial)
    if isinstance(data, Mapping) and (unknown := _unknown(reader, data)):
        raise ValidationError(unknown)
    if wrong := _mistyped(reader, data):
        raise ValidationError(wrong)
    return reader.run_validation(data)


def _unknown(reader: Serializer, data: Mapping[str, Any]) -> dict[str, list[str]]:
    known = ", ".join(reader.fields) or "none"
    return {name: [f"There is no such field; there are: {known}."] for name in data if name not in reader.fields}


def _mistyped(field: fields.Field, value: Any) -> Any:
    """Return what has another JSON type than the document says, or a name it does not, as errors; else nothing.

    Left to itself, the framework reads 0 and "no" as false, 5 as "5" and "5" as 5: a slip would be stored as an answer.
    """
    wrong: dict[Any, Any] = {}
    if isinstance(field, Serializer) and isinstance(value, Mapping):
        wrong = {name: _mistyped(field.fields[name], one) for name, one in value.items() if name in field.fields}
        wrong |= _unknown(field, value)
    elif isinstance(field, ListSerializer | fields.ListField) and isinstance(value, list):
        wrong = {at: _mistyped(field.child, one) for at, one in enumerate(value) if field.child is not None}
    elif isinstance(field, fields.DictField) and isinstance(value, Mapping):
        wrong = {name: _mistyped(field.child, one) for name, one in value.items()}
    elif value is not None and (said := _not_of_its_type(field, value)):
        return [said]
    return {str(where): errors for where, errors in wrong.items() if errors}


def _not_of_its_type(field: fields.Field, value: Any) -> str:
    kinds = ((fields.BooleanField, bool), (fields.IntegerField, int), (fields.FloatField, float))
    kind = next((kind for of, kind in kinds if isinstance(field, of)), None)
    if kind is not None:
        return not_of_kind(kind, value)
    is_text = isinstance(field, fields.CharField | fields.UUIDField) or (
        isinstance(field, fields.ChoiceField) and all(isinstance(one, str) for one in field.choices)
    )
    return not_of_kind(str, value) if is_text and not isinstance(field, fields.MultipleChoiceField) else ""


def not_of_kind(kind: type, value: Any) -> str:
    """Return what is said of a JSON value that is no `kind` (bool, int, float or str); nothing where it is one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is bool:
        return "" if isinstance(value, bool) else "This must be true or false."
    if kind is int:
        # A float that is one counts, as in JSON Schema; a long integer is no float at all.
        is_whole = is_number and (isinstance(value, int) or value.is_integer())
        return "" if is_whole else "This must be a whole number, without quotes."
    if kind is float:
        return "" if is_number else "This must be a number, without quotes."
    return "" if isinstance(value, str) else "This must be a text, in quotes."


@cache
def _reader(serializer: type[Serializer], partial: bool) -> Serializer:
    """Return one instance that serves every request: making one copies all its fields, and checking changes none."""
    return serializer(data=None, partial=partial)


def checked_query(serializer: type[Serializer], request: Request) -> dict[str, Any]:
    """Return the validated query parameters; parameters nobody knows are ignored, as everywhere on the web."""
    reader: Serializer = serializer(data=request.query_params)
    if with_nul := [name for name, values in request.query_params.lists() if any("\0" in one for one in values)]:
        told = "This contains a NUL character, which PostgreSQL cannot store; remove it."
        raise Invalid("Some parameters contain a NUL character; remove it.", {name: [told] for name in with_nul})
    # Left to itself, the framework takes an empty value for one left out: a script whose variable is unset would get
    # more than it asked for. What may be null is said to be empty so, as an address has no other way.
    empty = [
        name
        for name, field in reader.fields.items()
        if request.query_params.get(name) == ""
        and not (isinstance(field, fields.ListField) or field.allow_null or getattr(field, "allow_blank", False))
    ]
    if empty:
        raise ValidationError({name: ["Give this a value, or leave it out."] for name in empty})
    # It would take the last of several and keep quiet about the others.
    once = [name for name, field in reader.fields.items() if not isinstance(field, fields.ListField)]
    if repeated := [name for name in once if len(request.query_params.getlist(name)) > 1]:
        raise ValidationError({name: ["Give this once."] for name in repeated})
    reader.is_valid(raise_exception=True)
    return reader.validated_data
