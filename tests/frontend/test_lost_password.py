"""A lost password: a link by e-mail that is good once, and the same words for everybody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from annotation.models import Event, User
from annotation.services import passwords
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
NEW = "another quite long one"


@pytest.fixture
def person(settings: Any) -> User:
    cache.clear()
    settings.CELERY_TASK_ALWAYS_EAGER = True
    return make_user("ada", password=PASSWORD, email="ada@example.org")


def ask(email: str, client: Client | None = None) -> str:
    answer = (client or Client()).post(reverse("lost-password"), {"email": email})
    assert answer.status_code == 200
    return re.sub(r"[\w.]+@[\w.]+|csrf\w+\W+\w+", "", answer.content.decode())


def link() -> str:
    found = re.search(r"https?://testserver(/login/lost-password/\S+)", mail.outbox[-1].body)
    assert found is not None
    return found.group(1)


def test_the_link_sets_a_password_once_and_ends_other_sessions(person: User) -> None:
    elsewhere = Client()
    elsewhere.login(username="ada", password=PASSWORD)
    ask("ADA@example.org")
    assert mail.outbox[-1].to == ["ada@example.org"] and "ada" in mail.outbox[-1].body
    browser = Client()
    page = browser.get(link(), follow=True)
    form = page.request["PATH_INFO"]
    assert "set-password" in form, "the secret is not in the address of the page"
    assert browser.post(form, {"new_password1": "short", "new_password2": "short"}).status_code == 200
    assert browser.post(form, {"new_password1": NEW, "new_password2": NEW}).headers["Location"] == reverse("login")
    person.refresh_from_db()
    assert person.check_password(NEW)
    assert elsewhere.get(reverse("profile")).status_code == 302
    assert "used already" in Client().get(link(), follow=True).content.decode()
    assert Event.objects.filter(action="account.password_reset", target="ada").count() == 1


def test_who_asks_learns_nothing(person: User) -> None:
    make_user("nopassword", email="oidc@example.org")
    assert ask("ada@example.org") == ask("nobody@example.org") == ask("oidc@example.org")
    assert [message.to for message in mail.outbox] == [["ada@example.org"]]


def test_it_is_sent_so_often_and_answered_alike_after_that(person: User) -> None:
    answers = {ask("ada@example.org") for _ in range(passwords.FOR_EMAIL + 2)}
    assert len(answers) == 1 and len(mail.outbox) == passwords.FOR_EMAIL
    for number in range(passwords.FROM_ADDRESS):
        ask(f"other{number}@example.org")
    make_user("bob", password=PASSWORD, email="bob@example.org")
    ask("bob@example.org")
    assert len(mail.outbox) == passwords.FOR_EMAIL


def test_the_address_is_changed_with_the_password_only(person: User) -> None:
    browser = Client()
    browser.force_login(person)
    for current, status, email in ((NEW, 422, "ada@example.org"), (PASSWORD, 302, "ada@example.net")):
        sent = {"action": "email", "email-email": "ada@example.net", "email-current": current}
        assert browser.post(reverse("profile"), sent).status_code == status
        person.refresh_from_db()
        assert person.email == email
    assert "example" not in str(Event.objects.get(action="account.email_changed").detail)
