"""The OpenAPI document of the whole server, and the page to browse it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

ERRORS = {
    "400": "Some values do not fit, or the body cannot be read.",
    "401": "No token, or one that is unknown or has expired.",
    "403": "You have a role in this campaign, but not one that may do this.",
    "404": "There is no such thing, or you may not know of it.",
    "409": "The state of things does not allow this now.",
    "413": "The body is too large.",
    "414": "The address is too long; of what may be given several times, give less.",
    "415": "The body has a content type that is not read here.",
    "422": "What was sent breaks a rule of the campaign.",
    "429": "Too many requests; wait a minute.",
}
# The web server says so before this application is asked.
WITHOUT_BODY = {"414"}


def document_errors(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add to every operation the errors it can answer with; all have one shape."""
    result["components"]["schemas"]["Error"] = {
        "type": "object",
        "required": ["detail", "errors"],
        "properties": {
            "detail": {"type": "string", "description": "A whole sentence that says what to do."},
            "errors": {"type": "object", "additionalProperties": {}, "description": "Field → what is wrong with it."},
        },
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            for code, description in ERRORS.items():
                told: dict[str, Any] = {"description": description}
                if code not in WITHOUT_BODY:
                    told["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
                operation["responses"].setdefault(code, told)
    return result


# Beside what the document names, these carry the fields of the campaign's own kind of feedback.
OPEN_BODIES = {"SubmitIn", "ChoiceIn"}


def close_bodies(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Say of every body that a field nobody knows is refused, as `annotation.api.parsing.checked` does."""
    schemas = result["components"]["schemas"]
    for operations in result["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[-1]
            if name and name not in OPEN_BODIES:
                for one in [name, *_all_named_in(schemas[name], schemas)]:
                    if "properties" in schemas[one]:
                        schemas[one]["additionalProperties"] = False
    bodies = [one.get("requestBody") for operations in result["paths"].values() for one in operations.values()]
    for name in _all_named_in(bodies, schemas):
        _say_what_is_not_null(schemas[name])
    return result


# Any JSON value but null, which a field of such a name refuses; OpenAPI 3.0 has no type "null" to exclude.
NOT_NULL = {
    "anyOf": [
        *({"type": kind} for kind in ("string", "number", "boolean")),
        {"type": "array", "items": {}},
        {"type": "object", "additionalProperties": {}},
    ]
}


def _say_what_is_not_null(schema: dict[str, Any]) -> None:
    for one in schema.get("properties", {}).values():
        if one.get("type") == "object" and one.get("additionalProperties") == {}:
            one["additionalProperties"] = NOT_NULL


def leave_answers_blank(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Take back of answers what the setting ENFORCE_NON_BLANK_FIELDS says of everything: that no text is empty."""
    schemas = result["components"]["schemas"]
    answers = [one["responses"] for operations in result["paths"].values() for one in operations.values()]
    for name in _all_named_in(answers, schemas):
        _let_be_blank(schemas[name])
    return result


def _all_named_in(part: Any, schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that a part of the document needs, also by way of others."""
    todo, seen = list(_named_in(part)), set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += _named_in(schemas[name])
    return seen


def _named_in(part: Any) -> Iterator[str]:
    """Yield the names of the schemas that a part of the document refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[-1]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _named_in(one)


def _let_be_blank(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("type") == "string" and part.get("minLength") == 1:
            del part["minLength"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            _let_be_blank(one)


# The document is the same for everybody and takes a good part of a second to make.
@method_decorator(cache_page(600, key_prefix="schema"), name="dispatch")
class Document(SpectacularAPIView):
    pass


class Browser(SpectacularSwaggerSplitView):
    """Swagger UI; the script comes from an address of its own, so that the page needs no inline script."""

    url_name = "api-schema"
    template_name = "annotation/api_docs.html"
