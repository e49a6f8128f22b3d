"""Simulated people over HTTP: annotators who write down what the server acknowledged, and a lead who goes on."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

GIVES_UP_SECONDS = 180.0
CLIENT_ERRORS = range(400, 500)


class Refused(Exception):
    """The server answered with 4xx."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:300]}")
        self.status = status


@dataclass
class Ledger:
    """What everybody was told. `acknowledged`: (person, key of the submit) to the number of the judgement."""

    acknowledged: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def acknowledge(self, person: str, key: str, feedback: int) -> None:
        with self.lock:
            known = self.acknowledged.setdefault((person, key), feedback)
            if known != feedback:
                self.faults.append(f"{person}'s submit {key} was judgement {known} and then {feedback}.")


@dataclass(frozen=True)
class Client:
    """One person's token. Asks again until there is an answer, as the page's own script does."""

    url: str
    person: str
    token: str
    ledger: Ledger

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the decoded answer, None for 204; Refused for 4xx. 5xx and silence are tried again."""
        deadline = time.monotonic() + GIVES_UP_SECONDS
        pause = 0.1
        while True:
            request = urllib.request.Request(
                f"{self.url}/api/{path}",
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    content = response.read()
                    return json.loads(content) if response.status != 204 else None
            except urllib.error.HTTPError as error:
                told = error.read().decode(errors="replace")
                # 408 and 429 say: later.
                if error.code in CLIENT_ERRORS and error.code not in (408, 429):
                    raise Refused(error.code, told) from None
                self.ledger.count(f"answers {error.code}")
                last = f"{error.code} {told[:200]}"
            except (OSError, ValueError) as error:  # ValueError: an answer that broke off
                self.ledger.count("no answer")
                last = repr(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path} was not answered for {GIVES_UP_SECONDS:.0f} s: {last}")
            time.sleep(pause)
            pause = min(pause * 2, 1.0)


def annotate(client: Client, campaigns: list[int], *, stop: threading.Event, pace: float, seed: int) -> None:
    """Judge what there is in each campaign in turn until told to stop; now and then skip, or send a judgement twice."""
    dice, ledger = random.Random(seed), client.ledger
    turn = 0
    try:
        while not stop.is_set():
            turn += 1
            campaign = campaigns[turn % len(campaigns)]
            item = client.call("POST", f"campaigns/{campaign}/next/", {})
            if item is None:
                stop.wait(0.5)
                continue
            stop.wait(dice.uniform(0.5, 1.5) * pace)
            key = item["key"]
            try:
                if dice.random() < 0.03:
                    client.call("POST", f"assignments/{key}/skip/", {"reason": "unclear"})
                    ledger.count("skipped")
                    continue
                answer = {"preference": str(dice.choice("1234567")), "client_key": f"{client.person}-{key}"}
                for _ in range(2 if dice.random() < 0.05 else 1):
                    told = client.call("POST", f"assignments/{key}/submit/", answer)
                    ledger.acknowledge(client.person, answer["client_key"], told["feedback"])
            except Refused as refused:
                if refused.status not in (404, 409):
                    raise
                # The lease was lost, or the round withdrew the item: the person goes on with the next.
                ledger.count(f"answers {refused.status}")
                ledger.refused[client.person, f"{client.person}-{key}"] = str(refused)
    except Exception as error:
        ledger.faults.append(f"{client.person} could not go on: {error!r}")


@dataclass
class Lead:
    """Looks at the loop every second: what stalled is resumed, and where a round has ended the next is started."""

    client: Client
    campaign: int
    stop: threading.Event
    ending: threading.Event = field(default_factory=threading.Event)  # no new rounds
    has_told: bool = False  # the loop, that it begins none by itself
    rounds: list[dict[str, Any]] = field(default_factory=list)

    FINAL = ("promoted", "rejected", "cancelled")

    def lead(self) -> None:
        try:
            while not self.stop.is_set():
                self.look()
                self.stop.wait(1.0)
        except Exception as error:
            self.client.ledger.faults.append(f"The lead could not go on: {error!r}")

    def look(self) -> None:
        found = self.client.call("GET", f"training/campaigns/{self.campaign}/rounds/")["results"]
        self.rounds = sorted(found, key=lambda one: one["index"])
        try:
            if not self.rounds or (self.has_ended and not self.ending.is_set()):
                self.client.call("POST", f"training/campaigns/{self.campaign}/rounds/", {})
                self.client.ledger.count("rounds started")
            elif self.ending.is_set() and not self.has_told:
                told = {"settings": {"auto_continue": False}}
                self.client.call("PATCH", f"training/campaigns/{self.campaign}/loop/", told)
                self.has_told, self.rounds = True, []
            elif self.rounds[-1]["state"] == "stalled":
                self.client.call("POST", f"training/rounds/{self.rounds[-1]['id']}/resume/", {})
                self.client.ledger.count("rounds resumed")
        except Refused as refused:  # it was started, or went on, before this request was asked again
            if refused.status != 409:
                raise

    @property
    def has_ended(self) -> bool:
        return bool(self.rounds) and self.rounds[-1]["state"] in self.FINAL

    @property
    def is_done(self) -> bool:
        return self.has_told and self.has_ended
