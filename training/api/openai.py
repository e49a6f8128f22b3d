"""The policy in use behind the interface that OpenAI's clients speak: a server of its own, with one model loaded.

``GET /v1/models``, also of one of them, and ``POST /v1/chat/completions``, with a token of this server as the key. Who
may see a campaign's models may talk to its policy. A promotion takes effect with the next request. Requests are
answered one after another: there is one child with one model, as for the chats of a worker.
"""

from __future__ import annotations

import base64
import binascii
import http
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import close_old_connections
from django.http import Http404
from rest_framework.exceptions import AuthenticationFailed

from annotation.access import Action
from annotation.api.authentication import person_of
from annotation.importing import items
from annotation.importing.pictures import picture_of
from annotation.models import Campaign, User
from annotation.services import events
from annotation.storable import unstorable
from training import permissions, store
from training.errors import TrainingError
from training.models import ModelVersion
from training.recipes.chat import NEGATIVE, Question, Voice
from training.services import guard_attention, guard_prompts, guards, profiles, versions
from training.speaking import Speaker

log = logging.getLogger(__name__)

ROLES = ("system", "user", "assistant")
SYSTEM = "developer"  # what newer clients call the system's role
LONGEST_BODY = 16_000_000  # bytes, images included
MOST_DISCARDED = 4 * LONGEST_BODY  # read and thrown away, as who still sends hears no answer
MOST_IMAGES = 8
LONGEST_ANSWER = 4096  # tokens
USUAL_ANSWER = 256
KNOWN = "There are GET /v1/models and POST /v1/chat/completions."
USUAL = "policy"  # the name under which the policy in use is asked for, whatever its number
TIMEOUT_SECONDS = 30
# What would have another answer come than the policy gives, with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "top_p": (1,),
    "stop": ([],),
    "tools": ([],),
    "functions": ([],),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
}


class Refused(Exception):
    """A request that is not answered: HTTP status, OpenAI's code, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Policy:
    """A campaign's policy in use, as a child process that is exchanged when another one is promoted."""

    def __init__(
        self, campaign: Campaign, *, guard: str = "", mode: str = "", command: Sequence[str] | None = None
    ) -> None:
        """`guard` is a guard's folder, and goes before the one that the campaign's loop names.

        `mode` is one of `training.recipes.chat.MODES`, for a model that has learned them; no request can change it. The
        negative one is for red teams: a lead's token is asked for, and each answer is in the audit trail.
        """
        self.campaign = campaign
        self.mode = mode
        self._guard = guard
        self._command = command
        self._speaker: Speaker | None = None
        self._turn = threading.Lock()

    def version(self) -> ModelVersion:
        found = versions.current(self.campaign, ModelVersion.Kind.POLICY)
        if found is None:
            raise Refused(404, "model_not_found", "This campaign has no policy in use. Promote one first.")
        return found

    def answer(self, question: Question, version: ModelVersion, person: User | None) -> Iterator[dict[str, Any]]:
        """Yield ``{"text"}`` as the answer grows, and at last ``{"text", "tokens", "ended", "asked"}``.

        What the guard wants a person for is put into its inbox, with `person`, who asked.
        """
        with self._turn:
            finished = False
            try:
                for event in self._speaker_of(version).ask(question):
                    if "error" in event:
                        finished = True
                        if event.get("refused"):  # clients ask again after a 500
                            raise Refused(400, "invalid_request", str(event["error"]))
                        raise Refused(500, "model_failed", str(event["error"]))
                    if "answers" in event:
                        finished = True
                        if "attended" in event:
                            guard_attention.attend(
                                campaign=self.campaign,
                                messages=question.messages,
                                source="api",
                                person=person,
                                said=event["attended"],
                                answered=event["answers"][0]["text"],
                            )
                        yield dict(event["answers"][0])
                    elif event.get("texts"):
                        yield {"text": event["texts"][0]}
            except TrainingError as gone:
                raise Refused(503, "model_gone", str(gone)) from None
            finally:
                if not finished:  # whoever asked is gone, and the child writes on
                    self.stop()

    def stop(self) -> None:
        if self._speaker is not None:
            self._speaker.stop()
        self._speaker = None

    def _speaker_of(self, version: ModelVersion) -> Speaker:
        trust = settings.ATTUNE_TRUST_REMOTE_CODE
        voice = Voice(
            model=store.fetch(version.path),
            trust_remote_code=trust,
            idle_seconds=7 * 86_400.0,
            mode=self.mode,
            **guards.voiced(self.campaign, self._guard),
        )
        if self._speaker is None or self._speaker.voice != voice or not self._speaker.is_alive:
            self.stop()
            self._speaker = Speaker(voice, command=self._command)
        return self._speaker


def question_of(body: dict[str, Any]) -> Question:
    """Return what is asked; Refused names the first thing that cannot be done as asked."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "invalid_request", "Give messages: a list of {role, content}.")
    images: list[str] = []
    said = [_message(message, images) for message in messages]
    for name, usual in UNSUPPORTED.items():
        if body.get(name) is not None and body[name] not in usual:
            raise Refused(400, "unsupported", f"{name} is not supported: the policy answers at a temperature alone.")
    limits = (body.get("max_completion_tokens"), body.get("max_tokens"), USUAL_ANSWER)
    tokens = next(limit for limit in limits if limit is not None)
    temperature = 1.0 if body.get("temperature") is None else body["temperature"]
    seed = body.get("seed")
    if not _is_number(tokens) or not 1 <= tokens <= LONGEST_ANSWER or int(tokens) != tokens:
        raise Refused(400, "invalid_request", f"max_tokens is a whole number from 1 to {LONGEST_ANSWER}.")
    if not _is_number(temperature) or not 0 <= temperature <= 5:
        raise Refused(400, "invalid_request", "temperature is a number from 0, which takes the likeliest word, to 5.")
    if seed is not None and (not _is_number(seed) or not 0 <= seed < 2**63 or int(seed) != seed):
        raise Refused(400, "invalid_request", "seed is a whole number from 0.")
    if not isinstance(body.get("stream") or False, bool):
        raise Refused(400, "invalid_request", "stream is true or false.")
    user = body.get("user")
    if user is not None and not isinstance(user, str):
        raise Refused(400, "invalid_request", "user is a text: the pseudonym of who is answered.")
    return Question(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        messages=said,
        images=images,
        seeds=[secrets.randbits(62) if seed is None else int(seed)],
        temperature=float(temperature),
        max_new_tokens=int(tokens),
        user=user or "",
    )


def _message(message: Any, images: list[str]) -> dict[str, Any]:
    """Return a message as the child reads it; `images` gets those that are in it, as they are encoded here."""
    if isinstance(message, dict) and message.get("role") in (*ROLES, SYSTEM):
        role, content = message["role"], message.get("content")
        role = "system" if role == SYSTEM else role
        if isinstance(content, str):
            if not content.strip():
                raise Refused(400, "invalid_request", "A message is empty. Say something in it, or leave it out.")
            return {"role": role, "content": content}
        if isinstance(content, list) and content:
            return {"role": role, "content": [_content(part, images) for part in content]}
    expected = f"Each message has a role ({', '.join(ROLES)}) and content, a text or a list of parts."
    raise Refused(400, "invalid_request", expected)


def _content(part: Any, images: list[str]) -> dict[str, str]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    address = part.get("image_url") if kind == "image_url" else None
    url = address.get("url") if isinstance(address, dict) else None
    if not isinstance(url, str):
        raise Refused(400, "invalid_request", "A part of a message is text, or image_url with its url.")
    head, _, data = url.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        # An address would have this server fetch what somebody names.
        raise Refused(400, "unsupported", "An image is sent within the request, as data:image/png;base64,… and so on.")
    if len(images) == MOST_IMAGES:
        raise Refused(400, "invalid_request", f"A conversation has up to {MOST_IMAGES} images.")
    try:
        picture = picture_of(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise Refused(400, "invalid_request", "An image is not in base64.") from None
    except items.Refused as refused:
        raise Refused(400, "invalid_request", f"An image {refused}.") from None
    images.append(base64.b64encode(picture.data).decode())
    return {"type": "image"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def server(policy: Policy, *, host: str, port: int) -> ThreadingHTTPServer:
    """Return the server, which listens and does not answer yet."""
    made = ThreadingHTTPServer((host, port), type("Asked", (_Asked,), {"policy": policy}))
    made.daemon_threads = True
    return made


class _Asked(BaseHTTPRequestHandler):
    policy: Policy
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS
    server_version = "attune"

    def do_GET(self) -> None:
        path = self.path.rstrip("/")
        self._safely(self._models if path == "/v1/models" or path.startswith("/v1/models/") else self._unknown)

    def do_POST(self) -> None:
        self._safely(self._complete if self.path.rstrip("/") == "/v1/chat/completions" else self._unknown)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request that this server knows as everything else is answered: in JSON."""
        self.close_connection = True
        told = message or http.HTTPStatus(code).phrase
        self._say(code, _error(Refused(code, "invalid_request", f"{told}. {KNOWN}")))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what people ask is no business of a log."""

    def _safely(self, work: Callable[[], None]) -> None:
        close_old_connections()
        try:
            work()
        except Refused as refused:
            self._say(refused.status, _error(refused))
        except OSError:
            self.close_connection = True  # whoever asked is gone
        except Exception:
            log.exception("A request cannot be answered.")
            self.close_connection = True  # of a stream a part may have been sent
            said = "The server failed; its log says more. Tell whoever runs it."
            self._say(500, _error(Refused(500, "server_failed", said)))
        finally:
            close_old_connections()

    def _unknown(self) -> None:
        self._body()
        raise Refused(404, "not_found", KNOWN)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Refused(411, "length_required", "Send the body whole, with a Content-Length, and not in chunks.")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            self.close_connection = True
            left = int(length) if length.isdecimal() and len(length) < 12 else 0
            while 0 < left <= MOST_DISCARDED and (piece := self.rfile.read(min(left, 65_536))):
                left -= len(piece)
            raise Refused(413, "too_large", f"A request has at most {LONGEST_BODY} bytes, and says how many.")
        return self.rfile.read(int(length))

    def _let_in(self) -> User:
        """Return whose token it is; Refused for who may not talk to this policy in this mode."""
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise AuthenticationFailed("Give a token of this server as the key: Authorization: Bearer <the token>.")
            person = person_of(given.strip())
            action = Action.STEER if self.policy.mode == NEGATIVE else Action.READ
            permissions.training_of(person, self.policy.campaign.pk, action)
            return person
        except AuthenticationFailed as error:
            raise Refused(401, "invalid_api_key", str(error.detail)) from None
        except (PermissionDenied, Http404):
            raise Refused(403, "forbidden", "This token's owner may not see this campaign's models.") from None

    def _models(self) -> None:
        self._let_in()
        version = self.policy.version()
        made = int(version.created_at.timestamp())
        ids = (USUAL, version.label)
        asked = unquote(self.path.rstrip("/")).removeprefix("/v1/models").removeprefix("/")
        if not asked:
            self._say(200, {"object": "list", "data": [_model(name, made) for name in ids]})
        elif asked in ids:
            self._say(200, _model(asked, made))
        else:
            raise _no_such_model(version)

    def _complete(self) -> None:
        raw = self._body()
        person = self._let_in()
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "invalid_request", "The body is no JSON object.")
        if reason := unstorable({name: body.get(name) for name in ("messages", "user")}):
            raise Refused(400, "invalid_request", f"The request cannot be read. {reason}")
        question, version = question_of(body), self.policy.version()
        question = replace(question, profile=profiles.text_of(self.policy.campaign, question.user))
        if body.get("model", USUAL) not in (USUAL, version.label):
            raise _no_such_model(version)
        if self.policy.mode == NEGATIVE:
            events.record(
                campaign=self.policy.campaign, actor=person, action="policy.answered_negatively", target=version.label
            )
        guard_prompts.keep(campaign=self.policy.campaign, messages=question.messages, source="api", person=person)
        head = {"id": question.id, "created": int(time.time()), "model": version.label}
        told = self.policy.answer(question, version, person)
        if body.get("stream"):
            options = body.get("stream_options")
            self._stream(head, told, counted=isinstance(options, dict) and options.get("include_usage") is True)
            return
        last = list(told)[-1]
        choice = {"index": 0, "message": {"role": "assistant", "content": last["text"]}}
        choice["finish_reason"] = _ended(last)
        self._say(200, {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(last)})

    def _stream(self, head: dict[str, Any], told: Iterator[dict[str, Any]], *, counted: bool) -> None:
        """Send what is new of the answer as server-sent events, as it grows."""
        first = next(told)  # an error before the first word is still one with a status
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self._event({**head, "object": "chat.completion.chunk", "choices": [_part({"role": "assistant"})]})
        sent, last = "", first
        try:
            for last in chain([first], told):
                text = last["text"]
                if text.startswith(sent) and text != sent:
                    part = _part({"content": text[len(sent) :]})
                    self._event({**head, "object": "chat.completion.chunk", "choices": [part]})
                    sent = text
            end = _part({}, _ended(last))
            self._event({**head, "object": "chat.completion.chunk", "choices": [end]})
            if counted:
                self._event({**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(last)})
        except Refused as refused:
            self._event(_error(refused))
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, data: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode())
        self.wfile.flush()

    def _say(self, status: int, data: dict[str, Any]) -> None:
        body = json.dumps(data, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _error(refused: Refused) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {"error": {"message": str(refused), "code": refused.code, "type": kind, "param": None}}


def _no_such_model(version: ModelVersion) -> Refused:
    return Refused(404, "model_not_found", f"{version.label} is in use; ask for it, or for “{USUAL}”.")


def _ended(last: dict[str, Any]) -> str:
    if last.get("source", "model") != "model":  # a guard held the policy's own answer back
        return "content_filter"
    return "stop" if last.get("ended") else "length"


def _usage(answer: dict[str, Any]) -> dict[str, int]:
    """Return how many tokens were read and written."""
    asked, written = answer["asked"], answer["tokens"]
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _part(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "attune"}
