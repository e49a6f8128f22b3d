"""Principles by a language model behind an OpenAI-compatible address: vLLM, llama.cpp, TGI, or a hosted service.

Zero-shot, one critique at a time, the evidence quoted before the verdict, as Z. Wang et al., "RLBFF" (2025), section
2.1 describe it; the prompt is in our words. The address is an operator's setting and comes from nobody else.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from itertools import islice
from typing import IO, Any

from annotation.extraction.base import NO, PARTLY, YES, Extractor, ExtractorFailed, Found

log = logging.getLogger(__name__)

WAITS = (1.0, 3.0)  # seconds before each further try
MAX_ANSWER_BYTES = 1_000_000
MAX_TOKENS = 2_000
MOST_STARTS = 2_000  # brackets from which a list is tried to be read
SYSTEM = """\
You read what somebody wrote about an assistant's answer. Name the principles by which they judge it: short properties \
of a good answer, such as "Accuracy of information" or "Readable code", each worded so that having it is good. For \
each one quote, word for word, the passage of their text that speaks of it, and only then say whether they find it met.

Answer with JSON and nothing else:
{"principles": [{"evidence": "words copied from the text", "principle": "name of the property", \
"verdict": "yes" or "no" or "partly"}]}

Name only what the text speaks of. Leave out "helpfulness". Never quote what does not stand there."""
_YES = {"yes", "true", "fulfilled", "satisfied", "met", "y"}
_NO = {"no", "false", "unfulfilled", "not fulfilled", "unsatisfied", "not satisfied", "not met", "n"}
_PARTLY = {"partly", "partial", "partially", "partially fulfilled", "mixed", "somewhat"}


class ByModel(Extractor):
    def __init__(self, *, url: str, model: str, key: str, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        if not self._url.endswith("/chat/completions"):
            self._url += "/chat/completions"
        self._model, self._key, self._timeout = model, key, timeout_seconds
        self.name = f"model:{model or 'default'}"

    def find(self, critique: str, known: Mapping[str, str]) -> list[Found]:
        """Return what the model found. Tries again when the service fails or its answer cannot be read."""
        body = self._body(critique, known)
        for wait in (*WAITS, None):
            try:
                return read(_said(self._ask(body)))
            except ExtractorFailed as failed:
                # What another try cannot mend: the address, the key, the request itself.
                if wait is None or isinstance(failed, _Refused):
                    raise
                log.warning("%s; once more in %s s.", failed, wait)
                time.sleep(wait)
        raise AssertionError("The last try returns or raises.")

    def _body(self, critique: str, known: Mapping[str, str]) -> bytes:
        listed = "\n".join(f"- {line}" for line in known.values())
        names = f"Use these names where one of them fits:\n{listed}\n\n" if listed else ""
        asked = f"{names}The text, between the lines of equal signs:\n=====\n{critique}\n====="
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]
        request: dict[str, Any] = {"messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
        if self._model:
            request["model"] = self._model
        return json.dumps(request).encode()

    def _ask(self, body: bytes) -> bytes:
        """Return the body of the service's answer; raises `ExtractorFailed` after the timeout at the latest."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310 - an operator's setting
            end = time.monotonic() + self._timeout
            with _opener().open(request, timeout=self._timeout) as answer:
                return _within(answer, end)
        except urllib.error.HTTPError as error:
            with error:
                raise _of_status(error.code) from None
        except TimeoutError:
            raise ExtractorFailed(f"The model did not answer within {self._timeout:g} seconds.") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise ExtractorFailed(f"The model did not answer within {self._timeout:g} seconds.") from None
            raise ExtractorFailed("The model that proposes principles cannot be reached.") from None
        except (OSError, http.client.HTTPException):
            raise ExtractorFailed("The connection to the model that proposes principles broke off.") from None
        except ValueError:
            raise _Refused("The address of the model that proposes principles is none; tell your operator.") from None


class _Refused(ExtractorFailed):
    """The service will not answer this, however often it is asked."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key and the critique go to the address that was set, and nowhere else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


def _within(answer: Any, end: float) -> bytes:
    """Return the whole body, unless it takes longer than `end` or is beyond what can be a list of principles."""
    parts, size = [], 0
    while part := answer.read1(65_536):
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise ExtractorFailed("The model answered with far more than a list of principles.")
        if time.monotonic() > end:
            raise TimeoutError
        parts.append(part)
    return b"".join(parts)


def _of_status(status: int) -> ExtractorFailed:
    if status == 429 or status >= 500:
        return ExtractorFailed(f"The model that proposes principles is in trouble (HTTP {status}).")
    return _Refused(f"The model that proposes principles refused the request (HTTP {status}); tell your operator.")


def _said(body: bytes) -> str:
    """Return the text in a chat completion."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        content = None
    if not isinstance(content, str):
        raise ExtractorFailed("The service answered, but with no chat completion.")
    return content


def read(text: str) -> list[Found]:
    """Return the principles in a model's answer, whatever stands around the JSON; raises `ExtractorFailed`.

    An entry that lacks something is left out. An empty list is an answer: the critique names no principle.
    """
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.S)
    alone = []
    for mark in islice(re.finditer(r"[{\[]", text), MOST_STARTS):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, mark.start())
        except (ValueError, RecursionError):
            continue
        entries = value.get("principles") if isinstance(value, dict) else value
        if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
            return [found for entry in entries if (found := _entry(entry))]
        if isinstance(value, dict) and (found := _entry(value)):
            alone.append(found)
    if alone:  # the list was cut off by the limit of tokens; its whole entries count
        return alone
    raise ExtractorFailed("The model answered with something that is no list of principles.")


def _entry(entry: dict[str, Any]) -> Found | None:
    statement = _first_text(entry, "principle", "statement", "name")
    evidence = _first_text(entry, "evidence", "span", "quote")
    verdict = entry.get("verdict", entry.get("fulfilled", entry.get("answer")))
    word = str(verdict).strip().strip(".").lower()
    answer = YES if word in _YES else NO if word in _NO else PARTLY if word in _PARTLY else ""
    return Found(statement, answer, evidence) if statement and evidence and answer else None


def _first_text(entry: dict[str, Any], *names: str) -> str:
    for name in names:
        value = entry.get(name)
        if isinstance(value, list):  # several passages: the first one shows it
            value = next((part for part in value if isinstance(part, str) and part.strip()), "")
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""
