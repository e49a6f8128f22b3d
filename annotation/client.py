"""A client of the REST interface, with the standard library alone: import it where there is neither Django nor torch.

from annotation.client import Client

attune = Client("http://127.0.0.1:8000", token="…")
attune.import_rows(1, [{"prompt": "Why?", "completions": ["Because.", "No idea."]}])
for row in attune.export(1, layout="preference"):
    ...
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT = 60.0  # seconds, for each step of a request
TRIES = 5  # of an export that breaks off without a row more
PIECE = 1 << 16
LINES = "application/x-ndjson"

Row = dict[str, Any]


class RequestRefused(Exception):
    """The server answered with 4xx or 5xx; `errors` says which field is wrong with what."""

    def __init__(self, status: int, detail: str, errors: Mapping[str, Any] | None = None) -> None:
        said = "; ".join(f"{name}: {reasons}" for name, reasons in (errors or {}).items())
        super().__init__(f"{status}: {detail}" + (f" ({said})" if said else ""))
        self.status, self.detail, self.errors = status, detail, dict(errors or {})


@dataclass(frozen=True)
class Campaign:
    id: int
    name: str
    kind: str
    state: str
    more: Row = field(repr=False, default_factory=dict)  # all that the server said


@dataclass(frozen=True)
class ImportReport:
    created: int
    existing: int
    failed: int
    errors: list[Row]  # {"line", "reason"}, of the first thousand


@dataclass(frozen=True)
class Item:
    """An item that this person holds: what they are asked, in the order shown."""

    key: str
    kind: str
    prompt: list[Row]
    completions: list[str]
    more: Row = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    id: int
    view: str
    rows: int
    sha256: str
    more: Row = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class Run:
    id: int
    kind: str
    state: str
    more: Row = field(repr=False, default_factory=dict)


class Client:
    """One person's way in. Not for several threads at once to share a stream, else free of state."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token

    @classmethod
    def signed_in(cls, url: str, *, username: str, password: str) -> Client:
        """Return a client with a new token of this person."""
        answer = cls(url, "")._json("POST", "/api/auth/token/", {"username": username, "password": password})
        return cls(url, answer["token"])

    # --- Campaigns and items --------------------------------------------------------------------------------------

    def campaigns(self) -> Iterator[Campaign]:
        """Yield the campaigns in which this person has a role, newest first."""
        for row in self._pages("/api/campaigns/"):
            yield _campaign(row)

    def campaign(self, campaign: int) -> Campaign:
        return _campaign(self._json("GET", f"/api/campaigns/{campaign}/"))

    def create_campaign(self, name: str, **given: Any) -> Campaign:
        """Return a new campaign in draft; `given` are its settings, such as kind, options, overlap and guideline."""
        return _campaign(self._json("POST", "/api/campaigns/", {"name": name, **given}))

    def open_campaign(self, campaign: int) -> Campaign:
        return _campaign(self._json("POST", f"/api/campaigns/{campaign}/open/", {}))

    def import_rows(
        self, campaign: int, rows: Iterable[Mapping[str, Any]], *, mapping: Mapping[str, Any] | None = None
    ) -> ImportReport:
        """Import items, a row each. Rows that cannot be taken are in the report; the same ids again change nothing."""
        body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        query = {"mapping": json.dumps(mapping)} if mapping else {}
        answer = self._json("POST", f"/api/campaigns/{campaign}/import/", body, query=query, content_type=LINES)
        return ImportReport(answer["created"], answer["existing"], answer["failed"], answer["errors"])

    def import_file(self, campaign: int, path: Path, *, mapping: Mapping[str, Any] | None = None) -> ImportReport:
        """Import a file of any size, sent in parts. Call it again after an interruption: it goes on from there."""
        stat = path.stat()
        named: dict[str, Any] = {"name": path.name, "size": stat.st_size, "key": str(stat.st_mtime_ns)}
        address = f"/api/campaigns/{campaign}/upload/"
        state = self._json("GET", address, query=named)
        with path.open("rb") as file:
            while state["there"] < stat.st_size:
                file.seek(state["there"])
                part = file.read(state["part_bytes"])
                query = {**named, "at": state["there"]}
                state = self._json("PUT", address, part, query=query, content_type="application/octet-stream")
        query = {"upload": state["upload"], **({"mapping": json.dumps(mapping)} if mapping else {})}
        answer = self._json("POST", f"/api/campaigns/{campaign}/import/", b"", query=query, content_type=LINES)
        return ImportReport(answer["created"], answer["existing"], answer["failed"], answer["errors"])

    # --- Judging --------------------------------------------------------------------------------------------------

    def next_item(self, campaign: int) -> Item | None:
        """Return the item to judge now; None when there is none for this person."""
        row = self._json("POST", f"/api/campaigns/{campaign}/next/", {})
        return row and Item(row["key"], row["kind"], row["prompt"], row["completions"], row)

    def submit(self, item: Item, answer: Mapping[str, Any]) -> int:
        """Store the judgement of an item and return its id; `answer` are the kind's own fields, as shown."""
        return int(self._json("POST", f"/api/assignments/{item.key}/submit/", dict(answer))["feedback"])

    def skip(self, item: Item, reason: str, note: str = "") -> None:
        self._json("POST", f"/api/assignments/{item.key}/skip/", {"reason": reason, "note": note})

    # --- Data out -------------------------------------------------------------------------------------------------

    def export(self, campaign: int, *, view: str = "", layout: str = "", **asked: Any) -> Iterator[Row]:
        """Yield the rows of a view or a layout. Goes on by itself where the connection breaks off.

        `asked` are the parameters of an export: split, batch, round, policy, language, since, until, min_agreement,
        min_severity, audit, simulated, after. What was judged after the export began is not in it.
        """
        shown = {"layout": layout} if layout else {"view": view or "pairs"}
        where = f"/api/campaigns/{campaign}/export/"
        query: dict[str, Any] = {**shown, **asked}
        last, of_last, before = None, 0, asked.get("after", 0)
        failures, count = 0, 0
        while True:
            reached = count
            try:
                with self._open("GET", where, query=query) as response:
                    query.setdefault("through", response.headers["Export-Through"])
                    for line in response:
                        if not line.endswith(b"\n"):
                            raise ConnectionError("The export broke off within a row.")
                        row = json.loads(line)
                        number = row.get("feedback", row.get("id"))
                        if number != last:
                            before, last, of_last = (last or before), number, 0
                        of_last += 1
                        count += 1
                        yield row
                    _whole(response)
                return
            except (ConnectionError, TimeoutError, http.client.HTTPException, urllib.error.URLError):
                failures = 0 if count > reached else failures + 1
                if failures >= TRIES:
                    raise
                if isinstance(last, int):
                    # On after the last judgement whose rows are all there, without the rows there are of the next.
                    query |= {"after": before, "skip": of_last}
                else:
                    query["skip"] = count
                time.sleep(min(0.1 * 2**failures, 5.0) if failures else 0)

    def download(self, campaign: int, path: str | Path, *, etag: str = "", **asked: Any) -> str:
        """Write an export as a file, such as ``file="parquet"``, and return its ETag.

        With the `etag` of the last time, nothing is written when nothing is new. The file appears when it is complete.
        """
        wanted = Path(path)
        headers = {"If-None-Match": etag} if etag else {}
        try:
            with self._open("GET", f"/api/campaigns/{campaign}/export/", query=asked, headers=headers) as response:
                part = wanted.with_name(wanted.name + ".part")
                with part.open("wb") as file:
                    while piece := response.read(PIECE):
                        file.write(piece)
                _whole(response)
                part.replace(wanted)
                return str(response.headers["ETag"])
        except RequestRefused as refused:
            if refused.status == 304:
                return etag
            raise

    def freeze(
        self, campaign: int, *, view: str = "pairs", filters: Mapping[str, Any] | None = None, licence: str = ""
    ) -> Snapshot:
        """Freeze a data set; the same rows give the same one."""
        asked = {"view": view, "filters": dict(filters or {}), "licence": licence}
        return _snapshot(self._json("POST", f"/api/training/campaigns/{campaign}/snapshots/", asked))

    def snapshots(self, campaign: int) -> Iterator[Snapshot]:
        for row in self._pages(f"/api/training/campaigns/{campaign}/snapshots/"):
            yield _snapshot(row)

    def snapshot_rows(self, snapshot: int) -> Iterator[Row]:
        with self._open("GET", f"/api/training/snapshots/{snapshot}/rows/") as response:
            for line in response:
                yield json.loads(line)

    def snapshot_folder(self, snapshot: int, path: str | Path) -> None:
        """Write the folder that `datasets.load_dataset` reads as a ZIP archive."""
        with (
            self._open("GET", f"/api/training/snapshots/{snapshot}/folder/") as response,
            Path(path).open("wb") as file,
        ):
            while piece := response.read(PIECE):
                file.write(piece)

    # --- Runs and webhooks ----------------------------------------------------------------------------------------

    def start_run(self, campaign: int, recipe: str, *, knobs: Mapping[str, Any] | None = None, **given: Any) -> Run:
        """Queue a run; `given` are parent, model, snapshot, reference, reward and seed."""
        asked = {"recipe": recipe, "knobs": dict(knobs or {}), **given}
        return _run(self._json("POST", f"/api/training/campaigns/{campaign}/runs/", asked))

    def run(self, run: int) -> Run:
        return _run(self._json("GET", f"/api/training/runs/{run}/"))

    def add_webhook(self, campaign: int, url: str, events: Sequence[str]) -> str:
        """Have another server told what happens, and return the secret that its messages are signed with."""
        answer = self._json("POST", f"/api/campaigns/{campaign}/webhooks/", {"url": url, "events": list(events)})
        return str(answer["secret"])

    # --- Requests -------------------------------------------------------------------------------------------------

    def _pages(self, path: str) -> Iterator[Row]:
        url: str | None = self._url + path
        while url:
            page = self._json("GET", url)
            yield from page["results"]
            url = page["next"]

    def _json(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        body = data if isinstance(data, bytes) or data is None else json.dumps(data, ensure_ascii=False).encode()
        headers = {"Content-Type": content_type} if body is not None else {}
        with self._open(method, path, body, query=query, headers=headers) as response:
            text = response.read()
        return json.loads(text) if text else None

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        url = path if path.startswith(("http://", "https://")) else self._url + path
        if query:
            url += "?" + urllib.parse.urlencode({name: _said(value) for name, value in query.items()}, doseq=True)
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url} does not begin with http:// or https://.")
        sent = {"Accept": f"application/json, {LINES}", **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Token {self._token}"
        request = urllib.request.Request(url, data=body, method=method, headers=sent)  # noqa: S310 - checked above
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
        except urllib.error.HTTPError as error:
            raise _refused(error) from None


def _whole(response: Any) -> None:
    """Raise ConnectionError when there should have been more; a chunked answer says so by itself."""
    if response.length:
        raise ConnectionError(f"The answer broke off {response.length} bytes before its end.")


def _said(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _refused(error: urllib.error.HTTPError) -> RequestRefused:
    with error:
        try:
            told = json.loads(error.read())
            return RequestRefused(error.code, told["detail"], told["errors"])
        except (ValueError, TypeError, KeyError):
            return RequestRefused(error.code, str(error.reason))


def _campaign(row: Row) -> Campaign:
    return Campaign(row["id"], row["name"], row["kind"], row["state"], row)


def _snapshot(row: Row) -> Snapshot:
    return Snapshot(row["id"], row["view"], row["rows"], row["sha256"], row)


def _run(row: Row) -> Run:
    return Run(row["id"], row["kind"], row["state"], row)


def verified(secret: str, headers: Mapping[str, str], body: bytes, *, tolerance_seconds: int = 300) -> Row:
    """Return what a webhook's message says; raises ValueError for one that is not from the server, or too old.

    `headers` by any spelling; `body` exactly as it came. Standard Webhooks 1.0.
    """
    known = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = known.get("webhook-id", ""), known.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > tolerance_seconds:
        raise ValueError("The message is too old, or has no time.")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(signed).decode()
    if not any(hmac.compare_digest(wanted, one) for one in known.get("webhook-signature", "").split()):
        raise ValueError("The signature does not fit.")
    return json.loads(body)
