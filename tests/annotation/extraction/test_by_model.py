"""A model behind a real local HTTP server: what it answers, what it fails at, and what is sent to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from annotation.extraction import by_model
from annotation.extraction.base import ExtractorFailed, Found
from annotation.extraction.by_model import ByModel, read

ENTRY = {"evidence": "is clear", "principle": "Clear", "verdict": "yes"}


class Service:
    """A stand-in for an OpenAI-compatible server. `answers` are (status, body) in turn; the last one repeats."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes | None]] = [(200, b"{}")]
        self.asked: list[dict[str, Any]] = []
        self.over = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.asked.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)})
                status, answer = service.answers[min(len(service.asked), len(service.answers)) - 1]
                if answer is None:  # says nothing for as long as the test runs
                    service.over.wait(10)
                    return
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def says(self, *contents: Any) -> None:
        texts = [one if isinstance(one, str) else json.dumps(one) for one in contents]
        self.answers = [
            (200, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode())
            for text in texts
        ]

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(by_model, "WAITS", (0.0, 0.0))
    one = Service()
    yield one
    one.close()


def model(service: Service, *, key: str = "", timeout: float = 5.0) -> ByModel:
    return ByModel(url=service.url, model="tiny", key=key, timeout_seconds=timeout)


def test_it_asks_for_evidence_before_the_verdict_and_reads_the_answer(service: Service):
    service.says({"principles": [ENTRY]})
    found = model(service, key="secret").find("It is clear.", {"clear": "Clear: at first reading"})
    assert found == [Found("Clear", "yes", "is clear")]
    (asked,) = service.asked
    assert asked["path"] == "/v1/chat/completions"
    assert asked["headers"]["Authorization"] == "Bearer secret"
    assert (asked["body"]["model"], asked["body"]["temperature"]) == ("tiny", 0)
    system, user = (message["content"] for message in asked["body"]["messages"])
    assert system.index('"evidence"') < system.index('"principle"') < system.index('"verdict"')
    assert "It is clear." in user and "- Clear: at first reading" in user


@pytest.mark.parametrize(
    "text",
    [
        'Sure! Here it is:\n```json\n{"principles": [' + json.dumps(ENTRY) + "]}\n```\nI hope it helps.",
        "<think>[maybe] {no}</think>" + json.dumps([ENTRY]),
        json.dumps({"principles": [{"span": ["is clear", "so"], "name": "Clear", "fulfilled": True}]}),
        json.dumps({"principles": [ENTRY, {"principle": "No verdict", "evidence": "is"}, {}]}),
        '{"principles": [' + json.dumps(ENTRY) + ', {"evidence": "cut o',
    ],
)
def test_json_is_found_whatever_stands_around_it(text: str):
    assert read(text) == [Found("Clear", "yes", "is clear")]


def test_verdicts_come_in_many_words():
    words = {"Yes.": "yes", "not fulfilled": "no", "PARTIAL": "partly", "unfulfilled": "no"}
    entries = [{**ENTRY, "verdict": word} for word in words]
    assert [one.answer for one in read(json.dumps(entries))] == list(words.values())
    assert read('{"principles": []}') == []


@pytest.mark.parametrize("text", ["", "I cannot do that.", "[1, 2]", '{"a": 1}', "[" * 5000, "{" * 5000])
def test_what_is_no_list_is_told(text: str):
    with pytest.raises(ExtractorFailed, match=r"no list of principles\.$"):
        read(text)


def test_an_answer_that_cannot_be_read_is_asked_for_again(service: Service):
    service.says("I would rather not.", {"principles": [ENTRY]})
    assert len(model(service).find("It is clear.", {})) == 1
    assert len(service.asked) == 2


def test_trouble_is_tried_again_and_then_told(service: Service):
    service.answers = [(500, b"oops")]
    with pytest.raises(ExtractorFailed, match=r"in trouble \(HTTP 500\)\.$"):
        model(service).find("It is clear.", {})
    assert len(service.asked) == 3
    service.asked.clear()
    service.answers = [(200, b"<html>no JSON</html>")]
    with pytest.raises(ExtractorFailed, match="no chat completion"):
        model(service).find("It is clear.", {})


def test_a_refusal_is_not_asked_again_and_a_redirect_is_not_followed(service: Service):
    for status in (401, 404, 302):
        service.asked.clear()
        service.answers = [(status, b"")]
        with pytest.raises(ExtractorFailed, match=rf"refused the request \(HTTP {status}\)"):
            model(service, key="secret").find("It is clear.", {})
        assert len(service.asked) == 1


def test_a_service_that_says_nothing_is_given_up(service: Service):
    service.answers = [(200, None)]
    with pytest.raises(ExtractorFailed, match=r"did not answer within 0\.2 seconds\.$"):
        model(service, timeout=0.2).find("It is clear.", {})


def test_a_service_that_is_not_there_and_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(by_model, "WAITS", ())
    for url in ("http://127.0.0.1:9/v1", "http://nowhere.invalid/v1"):
        with pytest.raises(ExtractorFailed, match="cannot be reached"):
            ByModel(url=url, model="", key="", timeout_seconds=2).find("It is clear.", {})
    with pytest.raises(ExtractorFailed, match="tell your operator"):
        ByModel(url="nonsense", model="", key="", timeout_seconds=2).find("It is clear.", {})
    with pytest.raises(ExtractorFailed):
        ByModel(url="file:///etc/hostname", model="", key="", timeout_seconds=2).find("It is clear.", {})
