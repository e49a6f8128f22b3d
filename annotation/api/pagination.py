"""How lists are paged: newest first, by id, so that page 2,000 costs what page 1 does."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from annotation.permissions import LARGEST_ID


class IdCursorPagination(BasePagination):
    """``?page_size=`` rows with an id below ``?before=``; ``next`` is the address of the following page or null.

    One statement per page and no count: a count of millions of rows is what makes other lists slow. Plain numbers
    instead of an opaque cursor, so that a script can go on where it stopped.
    """

    page_size = 50
    max_page_size = 500

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        size = _whole_number(request, "page_size", self.page_size, low=1, high=self.max_page_size)
        before = _whole_number(request, "before", LARGEST_ID, low=0, high=LARGEST_ID)
        if "before" in request.query_params:
            queryset = queryset.filter(pk__lt=before)
        rows: list[Model] = list(queryset.order_by("-pk")[: size + 1])
        self.next_url = None
        if len(rows) > size:
            rows = rows[:size]
            self.next_url = replace_query_param(request.build_absolute_uri(), "before", rows[-1].pk)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_url, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {
                "next": {"type": "string", "nullable": True, "format": "uri"},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            _parameter("before", "Only rows with an id below this one.", 0, LARGEST_ID),
            _parameter("page_size", f"Rows per page; {self.page_size} when left out.", 1, self.max_page_size),
        ]


class PagedView(APIView):
    """An address whose GET gives a list by pages."""

    pagination_class = IdCursorPagination

    def paged(self, found: Any, shape: type[Serializer[Any]], **context: Any) -> Response:
        """Return the page that is asked for, each row as `shape`; `context` is the serializer's. One statement."""
        pager = self.pagination_class()
        page: Any = pager.paginate_queryset(found, self.request, self)
        return pager.get_paginated_response(shape(page, many=True, context=context).data)


def _whole_number(request: Request, name: str, default: int, *, low: int, high: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    # isdecimal and a length: int() takes "1_0", other scripts' digits and numbers of any size.
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and low <= int(given) <= high):
        raise ValidationError({name: [f"This must be a whole number from {low} to {high}."]})
    return int(given)


def _parameter(name: str, description: str, low: int, high: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
