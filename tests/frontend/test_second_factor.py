"""A password alone opens nothing once the second factor is on: no page, no admin, no token."""

from __future__ import annotations

import re
from base64 import b32decode

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django_otp.oath import totp

from annotation.models import User
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
NOW = 1_700_000_000


@pytest.fixture
def ada() -> User:
    cache.clear()
    return make_user("ada", password=PASSWORD, is_superuser=True, is_staff=True)


def set_up(user: User) -> tuple[bytes, list[str]]:
    browser = Client()
    browser.force_login(user)
    page = browser.post("/profile/second-factor/", {"action": "begin"}).content.decode()
    found = re.search(r'id="key">([A-Z2-7]+)<', page)
    assert found is not None and "data:image/svg+xml" in page
    key = b32decode(found[1])
    page = browser.post("/profile/second-factor/", {"action": "confirm", "digits": f"{totp(key):06}"}).content.decode()
    codes = re.findall(r"<li>([a-z2-7]+)</li>", page)
    assert len(codes) == 10
    assert codes[0] not in browser.get("/profile/second-factor/").content.decode()
    return key, codes


def test_wrong_digits_cost_no_second_scan(ada: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        browser = Client()
        browser.force_login(ada)
        path = "/profile/second-factor/"
        found = re.search(r'id="key">([A-Z2-7]+)<', browser.post(path, {"action": "begin"}).content.decode())
        assert found is not None
        wrong = browser.post(path, {"action": "confirm", "digits": "000000"})
        assert wrong.status_code == 422 and found[1] in wrong.content.decode(), "the app knows this key already"
        clock.shift(60)
        right = browser.post(path, {"action": "confirm", "digits": f"{totp(b32decode(found[1])):06}"})
        assert right.status_code == 200 and b'id="codes"' in right.content


def test_after_the_password_the_digits_are_asked_for_and_count_once(ada: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        key, codes = set_up(ada)
        clock.shift(60)
        browser = Client()
        sent = {"username": "ada", "password": PASSWORD, "next": "/profile/"}
        assert browser.post("/login/", sent).url == "/login/second-step/"
        assert browser.get("/profile/").status_code == 302, "not signed in yet"
        assert browser.post("/login/second-step/", {"given": "nonsense\x00ä"}).status_code == 422
        digits = f"{totp(key):06}"
        assert browser.post("/login/second-step/", {"given": digits}).url == "/profile/"
        assert browser.get("/profile/").status_code == 200
        again = Client()
        again.post("/login/", sent)
        assert again.post("/login/second-step/", {"given": digits}).status_code == 422, "used"
        clock.shift(60)
        assert again.post("/login/second-step/", {"given": codes[0].upper()}).status_code == 302
        third = Client()
        third.post("/login/", sent)
        assert third.post("/login/second-step/", {"given": codes[0]}).status_code == 422, "used up"


def test_neither_the_admin_nor_rest_is_a_way_round(ada: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        set_up(ada)
        assert Client().post("/admin/login/", {"username": "ada", "password": PASSWORD}).url.startswith("/login/")
        body = {"username": "ada", "password": PASSWORD}
        assert Client().post("/api/auth/token/", body, content_type="application/json").status_code == 403
        late = Client()
        late.post("/login/", body)
        clock.shift(601)
        assert late.get("/login/second-step/").url == "/login/"
        assert Client().get("/login/second-step/").url == "/login/"
        stale = Client()
        stale.post("/login/", body)
        ada.set_password("another long password")
        ada.save()
        assert stale.get("/login/second-step/").url == "/login/"


def test_it_is_turned_off_with_the_password_only(ada: User) -> None:
    set_up(ada)
    browser = Client()
    browser.force_login(ada)
    browser.post("/profile/second-factor/", {"action": "off", "password": "wrong"})
    assert Client().post("/login/", {"username": "ada", "password": PASSWORD}).url == "/login/second-step/"
    browser.post("/profile/second-factor/", {"action": "off", "password": PASSWORD})
    assert Client().post("/login/", {"username": "ada", "password": PASSWORD}).url == "/"
