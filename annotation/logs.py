"""Lines of logs: which request, task and run they are of, as text or as JSON, without what people wrote.

`LOG_FORMAT` chooses between `Plain` and `Lines`. Fifty lines of ours instead of python-json-logger or structlog: both
write everything that a library hands over beside a message, and Django hands over its request with the path (which
holds the tokens of invitations), Celery the arguments of tasks. Here only the fields named below are written.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

from django.http import HttpRequest

REQUEST, TASK, RUN = "request", "task", "run"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_about: ContextVar[Mapping[str, str]] = ContextVar("attune_log_about", default=_NOTHING)

# What another system may call a request: nothing that could be a line, a colour, or long.
_GOOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,63}")
# With a refused row, PostgreSQL tells its values.
_ROW = re.compile(
    r"(?:DETAIL|CONTEXT|PARAMETERS):.*?(?=\n(?:Traceback \(|The above exception|During handling|  File \")|\Z)", re.S
)


def request_name(given: str) -> str:
    """Return the name for a request: the one `given` by whoever asks if it is fit to be written, or a new one."""
    return given if _GOOD.fullmatch(given) else uuid.uuid4().hex


def begin(**names: str) -> None:
    """Write `names` into each line of this thread from now on, and no others; empty ones are left out."""
    _about.set({name: value for name, value in names.items() if value})


def end() -> None:
    """Write no names any more."""
    _about.set(_NOTHING)


@contextmanager
def about(**names: str) -> Iterator[None]:
    """Write `names` besides the others into each line of the block."""
    before = _about.set({**_about.get(), **{name: value for name, value in names.items() if value}})
    try:
        yield
    finally:
        _about.reset(before)


def current_request() -> str:
    """Return the name of the request that is answered now, or that had this task sent; or the empty string."""
    return _about.get().get(REQUEST, "")


def address(request: HttpRequest) -> str:
    """Return the path without what could be secret in it: texts of its address, and all that nobody has a page for."""
    match = request.resolver_match
    if match is None:
        first = request.path.split("/")[1] if "/" in request.path else ""
        return request.path if request.path.strip("/") in ("", first) and len(first) < 16 else f"/{first[:16]}/…"
    shown = request.path
    for value in match.kwargs.values():
        if isinstance(value, str) and not value.isdecimal() and len(value) > 1:
            shown = shown.replace(value, "…")
    return shown


def _message(record: logging.LogRecord) -> str:
    said = record.getMessage()
    request = record.__dict__.get("request")
    if isinstance(request, HttpRequest):
        safe = address(request)
        for path in (request.path, request.path.encode("unicode_escape").decode("ascii")):  # as Django writes it
            said = said.replace(path, safe) if len(path) > 1 else said
    return _ROW.sub("(the row's values are left out)", said)


class Expected(logging.Filter):
    """Take the traceback from what Django logs of a request that somebody may not make: its code is not at fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "django.request" and record.__dict__.get("status_code", 500) < 500:
            record.exc_info = record.exc_text = None
        return True


class _Line(logging.Formatter):
    def formatException(self, ei: object) -> str:
        return _ROW.sub("(the row's values are left out)", super().formatException(ei))  # type: ignore[arg-type]


class Plain(_Line):
    """A line for people: time, level, names, message; a traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(about)s%(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        names = " ".join(f"{name}={value}" for name, value in _about.get().items())
        values = {**record.__dict__, "message": _message(record), "about": f"[{names}] " if names else ""}
        return (self._fmt or "") % values


class Lines(_Line):
    """One JSON object a line: `time` (UTC), `level`, `logger`, `message`, `request`, `task`, `run`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_about.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
