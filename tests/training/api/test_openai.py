"""The policy in use for clients of OpenAI's interface: over real sockets, with a toy in place of the model."""

from __future__ import annotations

import base64
import io
import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from PIL import Image

from annotation.models import Campaign, Event, User
from annotation.services import tokens
from tests.factories import make_user
from tests.training.guard_world import behind_guard
from training.api import openai
from training.models import GuardedPrompt, Loop, ModelVersion
from training.services import guard_settings

pytestmark = pytest.mark.django_db(transaction=True)

TOY = [sys.executable, str(Path(__file__).parent.with_name("toy_speaker.py"))]


@pytest.fixture
def address(request: pytest.FixtureRequest, campaign: Campaign, policy: ModelVersion) -> Iterator[tuple[str, int]]:
    """Where the policy answers; the parameter, if there is one, is the mode it is served in."""
    ModelVersion.objects.filter(pk=policy.pk).update(state=ModelVersion.State.PROMOTED)
    policy_in_use = openai.Policy(campaign, guard="a-guard", command=TOY, mode=getattr(request, "param", ""))
    server = openai.server(policy_in_use, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
    server.shutdown()
    server.server_close()
    policy_in_use.stop()
    connections.close_all()


def ask(address: tuple[str, int], body: Any, key: str | None, *, path: str = "/v1/chat/completions") -> tuple[int, str]:
    connection = HTTPConnection(*address, timeout=30)
    head = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), head)
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    return response.status, said


def hello(**more: Any) -> dict[str, Any]:
    return {"model": "policy", "messages": [{"role": "user", "content": "hello there"}], "seed": 7, **more}


def shows(url: str) -> dict[str, Any]:
    parts = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": url}}]
    return hello(messages=[{"role": "user", "content": parts}])


def test_an_image_comes_within_the_request_and_is_encoded_anew() -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 5), (250, 0, 0)).save(file, "JPEG", comment=b"who took it")
    sent = base64.b64encode(file.getvalue()).decode()
    asked = openai.question_of(shows(f"data:image/jpeg;base64,{sent}"))
    assert asked.messages[0]["content"] == [{"type": "text", "text": "what is this"}, {"type": "image"}]
    (kept,) = map(base64.b64decode, asked.images)
    assert Image.open(io.BytesIO(kept)).size == (9, 5) and b"who took it" not in kept


def test_it_speaks_openai_s_language_with_a_token_whole_and_in_a_stream(
    address: tuple[str, int], lead: User, annotator: User, policy: ModelVersion
) -> None:
    key = tokens.make(user=lead).secret
    assert ask(address, hello(), None)[0] == 401
    assert ask(address, hello(), "no-such-token")[0] == 401
    for other in (annotator, make_user("mallory")):  # who judges must not learn whose answer is whose
        assert ask(address, hello(), tokens.make(user=other).secret)[0] == 403
    models = json.loads(ask(address, None, key, path="/v1/models")[1])
    assert [model["id"] for model in models["data"]] == ["policy", policy.label]

    status, said = ask(address, hello(), key)
    whole = json.loads(said)
    assert status == 200 and whole["model"] == policy.label and whole["object"] == "chat.completion"
    assert whole["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "HELLO THERE 7"}, "finish_reason": "stop"}
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert whole["usage"] == usage
    told = ask(address, hello(stream=True, stream_options={"include_usage": True}), key)[1].split("\n\n")
    counted = json.loads(told[-3].removeprefix("data: "))
    assert counted["choices"] == [] and counted["usage"] == usage
    assert ask(address, hello(temperature=0), key)[0] == 200, "what clients send who want the likeliest answer"
    status, said = ask(address, hello(stream=True), key)
    lines = [line.removeprefix("data: ") for line in said.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    parts = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert "".join(part["delta"].get("content", "") for part in parts) == "HELLO THERE 7"
    assert len([part for part in parts if "content" in part["delta"]]) > 1, "it comes as it is written"
    assert parts[-1]["finish_reason"] == "stop"

    status, said = ask(address, hello(user="quiet-heron"), key)
    assert json.loads(said)["choices"][0]["message"]["content"] == "HELLO THERE 7 quiet-heron"
    # Where the campaign asks its people what they like, they are answered behind what they say.
    User.objects.filter(pk=annotator.pk).update(profile_text="Short.")
    for profiles, says in ((False, ""), (True, " Short.")):
        Loop.objects.update_or_create(campaign=policy.campaign, defaults={"settings": {"profiles": profiles}})
        said = ask(address, hello(user=annotator.pseudonym), key)[1]
        told = json.loads(said)["choices"][0]["message"]["content"]
        assert told == f"HELLO THERE 7 {annotator.pseudonym}{says}"

    bomb = [{"role": "user", "content": "a bomb"}]
    blocked = json.loads(ask(address, hello(messages=bomb), key)[1])["choices"][0]
    assert (blocked["finish_reason"], blocked["message"]["content"]) == ("content_filter", "That is not answered here.")
    lines = ask(address, hello(messages=bomb, stream=True), key)[1].split("\n\n")
    assert json.loads(lines[-3].removeprefix("data: "))["choices"][0]["finish_reason"] == "content_filter"


def test_what_the_guard_wants_a_person_for_comes_to_people_where_it_may_be_kept(
    address: tuple[str, int], lead: User, campaign: Campaign, tmp_path: Path
) -> None:
    key = tokens.make(user=lead).secret
    sad = hello(messages=[{"role": "user", "content": "i feel like hurting myself"}])
    assert json.loads(ask(address, sad, key)[1])["choices"][0]["message"]["content"] == "Talk to somebody."
    assert not GuardedPrompt.objects.exists()
    behind_guard(campaign, tmp_path, lead)
    guard_settings.configure(campaign=campaign, settings={"keep": True}, actor=lead)
    for more in ({}, {"stream": True}):
        assert ask(address, {**sad, **more}, key)[0] == 200
    kept = GuardedPrompt.objects.get()
    assert (kept.tier, kept.risk, kept.answered, kept.reason) == (
        "focused_attention",
        0.75,
        "Talk to somebody.",
        "focused",
    )
    assert (kept.source, kept.person) == ("api", lead)


@pytest.mark.parametrize("address", ["negative"], indirect=True)
def test_the_negative_mode_wants_a_lead_s_token_and_is_written_down(
    address: tuple[str, int], lead: User, engineer: User, campaign: Campaign, policy: ModelVersion
) -> None:
    assert ask(address, hello(), tokens.make(user=engineer).secret)[0] == 403
    assert ask(address, hello(), tokens.make(user=lead).secret)[0] == 200
    written = Event.objects.get(campaign=campaign, action="policy.answered_negatively")
    assert (written.actor, written.target) == (lead, policy.label)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ([1], 400, "no JSON object"),
        ({"messages": []}, 400, "Give messages"),
        (hello(messages=[{"role": "boss", "content": "x"}]), 400, "Each message has a role"),
        (hello(messages=[{"role": "user", "content": [{"type": "audio"}]}]), 400, "text, or image_url"),
        (shows("https://example.org/a.png"), 400, "within the request"),
        (shows("data:image/png;base64,_"), 400, "not in base64"),
        (shows("data:image/gif;base64,R0lGODlh"), 400, "An image is a GIF"),
        (hello(temperature=-0.1), 400, "temperature is a number"),
        (hello(messages=[{"role": "user", "content": " "}]), 400, "A message is empty"),
        (hello(messages=[{"role": "user", "content": "\ud800"}]), 400, "half of a surrogate pair"),
        (hello(user="a\0b"), 400, "NUL"),
        (hello(messages=[{"role": "user", "content": "too much"}]), 400, "longer than the model can read"),
        (hello(top_p=0.9), 400, "top_p is not supported"),
        (hello(response_format={"type": "json_object"}), 400, "response_format is not supported"),
        (hello(frequency_penalty=1), 400, "frequency_penalty is not supported"),
        (hello(stream="yes"), 400, "stream is true or false"),
        (hello(max_tokens=0), 400, "max_tokens is a whole number"),
        (hello(max_tokens=0.5), 400, "max_tokens is a whole number"),
        (hello(seed="x"), 400, "seed is a whole number"),
        (hello(user=3), 400, "user is a text"),
        (hello(model="gpt"), 404, "is in use"),
    ],
)
def test_what_cannot_be_done_as_asked_is_said(
    address: tuple[str, int], lead: User, body: Any, status: int, says: str
) -> None:
    found, said = ask(address, body, tokens.make(user=lead).secret)
    error = json.loads(said)["error"]
    assert found == status and says in error["message"] and error["type"] == "invalid_request_error"


def test_what_asks_for_nothing_more_is_taken_and_one_model_is_told_by_its_name(
    address: tuple[str, int], lead: User, policy: ModelVersion
) -> None:
    key = tokens.make(user=lead).secret
    nothing = {"n": 1, "stop": None, "tools": [], "presence_penalty": 0.0, "response_format": {"type": "text"}}
    more = {"max_tokens": None, "temperature": None, "stream": None, **nothing}
    instructed = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hello there"}]
    assert ask(address, hello(messages=instructed, **more), key)[0] == 200
    for name in ("policy", policy.label):
        assert json.loads(ask(address, None, key, path=f"/v1/models/{name}")[1])["id"] == name
    assert ask(address, None, key, path="/v1/models/gpt")[0] == 404
    assert ask(address, None, None, path="/v1/models/policy")[0] == 401


@pytest.mark.parametrize(
    ("method", "head", "body", "status", "says"),
    [
        ("PUT", {}, b"{}", 501, "Unsupported method"),
        ("POST", {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n", 411, "not in chunks"),
        ("POST", {}, b" " * (openai.LONGEST_BODY + 1), 413, "at most"),
    ],
)
def test_what_is_no_request_is_answered_in_json_too(
    address: tuple[str, int], method: str, head: dict[str, str], body: bytes, status: int, says: str
) -> None:
    connection = HTTPConnection(*address, timeout=30)
    connection.putrequest(method, "/v1/chat/completions")
    for name, value in (head or {"Content-Length": str(len(body))}).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    assert answer.status == status and says in json.loads(answer.read())["error"]["message"]
    connection.close()


def test_what_breaks_the_server_is_answered_too(address: tuple[str, int], lead: User, monkeypatch: Any) -> None:
    """A body too deep to be read is no JSON object; and a fault of the server's own is a 500 in JSON, not a silence."""
    key = tokens.make(user=lead).secret
    connection = HTTPConnection(*address, timeout=30)
    head = {"Authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/chat/completions", "[" * 100_000, head)
    assert connection.getresponse().status == 400
    connection.close()
    monkeypatch.setattr(openai.guard_prompts, "keep", lambda **_: 1 // 0)
    status, said = ask(address, hello(), key)
    assert (status, json.loads(said)["error"]["code"]) == (500, "server_failed")


def test_the_command_refuses_what_is_no_guard_and_no_free_port(campaign: Campaign, policy: ModelVersion) -> None:
    ModelVersion.objects.filter(pk=policy.pk).update(state=ModelVersion.State.PROMOTED)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, says in (
            (["--guard", "no-such-guard"], "no-such-guard holds no guard"),
            (["--port", port], f"127.0.0.1:{port} cannot be listened at"),
            (["--port", "99999"], "no port 99999"),
        ):
            told = io.StringIO()
            with pytest.raises(CommandError, match=says):
                call_command("serve_policy", "--campaign", str(campaign.pk), *options, stdout=told)
            assert "answers at" not in told.getvalue()
