"""Sign-in at a real OpenID provider beside the test: discovery, PKCE, a signed identity, and forgeries of it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

import pytest
from django.test import Client
from joserfc import jwt
from joserfc.jwk import RSAKey

from annotation.models import Event, Identity, User
from tests.factories import make_user

pytestmark = pytest.mark.django_db
KEYS = {"right": RSAKey.generate_key(2048, {"kid": "1"}), "other": RSAKey.generate_key(2048, {"kid": "1"})}


class Provider(ThreadingHTTPServer):
    """Signs in whoever comes, as `claims` say; `signed_by`, `changes` and `breaks_nonce` forge what it hands out."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.claims: dict[str, Any] = {"sub": "s-1", "preferred_username": "nora", "email": "nora@example.org"}
        self.signed_by, self.changes = "right", {}
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []


class Pages(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *_args: Any) -> None:
        pass

    def _json(self, body: Any, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        where, provider = urlsplit(self.path), self.server
        provider.asked.append(where.path)
        if where.path == "/.well-known/openid-configuration":
            ends = {"authorization": "authorize", "token": "token"}
            self._json(
                {
                    "issuer": provider.issuer,
                    "jwks_uri": f"{provider.issuer}/jwks",
                    **{f"{name}_endpoint": f"{provider.issuer}/{path}" for name, path in ends.items()},
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )
        elif where.path == "/jwks":
            self._json({"keys": [KEYS["right"].as_dict(private=False)]})
        elif where.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(where.query).items()}
            code = f"code-{len(provider.codes)}"
            provider.codes[code] = asked
            self.send_response(302)
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()

    def do_POST(self) -> None:
        provider = self.server
        sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        asked = provider.codes.pop(sent["code"][0], None)
        basic = base64.b64encode(b"attune:secret").decode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"][0].encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or self.headers["Authorization"] != f"Basic {basic}"
            or (asked["code_challenge"] != challenge.decode() or asked["code_challenge_method"] != "S256")
        ):
            self._json({"error": "invalid_grant"}, 400)
            return
        now = int(time.time())
        claims = {"iss": provider.issuer, "aud": "attune", "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        claims |= provider.claims | provider.changes
        identity = jwt.encode({"alg": "RS256", "kid": "1"}, claims, KEYS[provider.signed_by])
        self._json({"access_token": "a", "token_type": "Bearer", "id_token": identity})


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    made = Provider()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    known = {
        "client_id": "attune",
        "client_secret": "secret",
        "scopes": "openid profile",
        "name": "House",
        "creates": True,
    }
    settings.ATTUNE_OIDC = {"issuer": made.issuer, **known}
    yield made
    made.shutdown()
    made.server_close()


def sign_in(browser: Client, **query: str) -> Any:
    """Follow the way through the provider and return the answer to its redirect back."""
    started = browser.get("/login/oidc/", query)
    assert started.status_code == 302
    try:
        build_opener(Stay).open(started.url)
    except HTTPError as redirected:
        back = redirected.headers["Location"]
        redirected.close()
    return browser.get(back.removeprefix("http://testserver"))


def test_somebody_new_gets_an_account_and_comes_back_to_it(provider: Provider) -> None:
    make_user("nora")  # somebody else, who happens to have that name
    assert "House" in Client().get("/login/").content.decode()
    first, second = Client(), Client()
    assert sign_in(first, next="/profile/").url == "/profile/"
    assert sign_in(second, next="https://evil.example/").url == "/"
    account = Identity.objects.get(subject="s-1").user
    assert (account.username, account.has_usable_password()) == ("nora-2", False)
    assert User.objects.count() == 2
    assert "nora-2" in second.get("/profile/").content.decode()
    assert Event.objects.filter(action="account.connected", target="nora-2").exists()
    account.is_active = False
    account.save()
    assert sign_in(Client()).url == "/login/"


@pytest.mark.parametrize(
    "forged",
    [
        {"signed_by": "other"},
        {"changes": {"aud": "another client"}},
        {"changes": {"iss": "https://evil.example"}},
        {"changes": {"nonce": "another one"}},
        {"changes": {"exp": 1_000_000_000}},
        {"changes": {"sub": ""}},
    ],
    ids=str,
)
def test_a_forged_identity_opens_nothing(provider: Provider, forged: dict[str, Any]) -> None:
    vars(provider).update(forged)
    browser = Client()
    assert sign_in(browser).url == "/login/"
    assert browser.get("/profile/").status_code == 302
    assert not User.objects.exists()


def test_an_answer_that_nobody_asked_for_opens_nothing(provider: Provider) -> None:
    for query in ({}, {"code": "x"}, {"code": "x", "state": "y"}, {"error": "access_denied"}):
        assert Client().get("/login/oidc/callback/", query).url == "/login/"
    attacker = Client().get("/login/oidc/")  # whose state is in another browser's session
    state = parse_qs(urlsplit(attacker.url).query)["state"][0]
    assert Client().get("/login/oidc/callback/", {"code": "code-0", "state": state}).url == "/login/"
    assert "/token" not in provider.asked


def test_without_leave_to_create_accounts_one_connects_ones_own(provider: Provider, settings: Any) -> None:
    settings.ATTUNE_OIDC = {**settings.ATTUNE_OIDC, "creates": False}
    assert sign_in(Client()).url == "/login/"
    browser, ada, bob = Client(), make_user("ada"), make_user("bob")
    browser.force_login(ada)
    assert sign_in(browser).url == "/profile/"
    again = Client()
    assert sign_in(again).url == "/"
    assert "ada" in again.get("/profile/").content.decode()
    browser.force_login(bob)
    assert sign_in(browser).url == "/profile/"
    assert Identity.objects.get().user == ada, "an identity has one account"


def test_it_is_off_unless_a_provider_is_named_and_a_silent_one_is_no_error(settings: Any) -> None:
    for path in ("/login/oidc/", "/login/oidc/callback/"):
        assert Client().get(path).status_code == 404
    silent = {"issuer": "http://127.0.0.1:9", "client_id": "a", "client_secret": "b", "scopes": "openid"}
    settings.ATTUNE_OIDC = {**silent, "name": "Silent", "creates": True}
    assert Client().get("/login/oidc/").url == "/login/"
