"""Accounts that a lead makes: the password works, is shown once, and a bad name is refused in a sentence."""

from __future__ import annotations

import re

import pytest

from annotation.errors import Invalid
from annotation.models import Event, Membership, Role, User
from annotation.services import people
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db


def test_the_account_can_sign_in_and_judge(lead: User) -> None:
    campaign = make_campaign(lead=lead)
    account = people.create_annotator(campaign=campaign, username="  nia ", actor=lead)
    stored = User.objects.get(username="nia")
    assert stored.check_password(account.password)
    assert not stored.is_staff and not stored.is_superuser
    assert list(Membership.objects.filter(user=stored).values_list("role", flat=True)) == [Role.ANNOTATOR]
    event = Event.objects.get(action="account.created")
    assert (event.actor, event.target) == (lead, "nia")
    assert account.password not in str(event.detail)


@pytest.mark.parametrize("username", ["lead", "", "two words", "a\x00b", "x" * 151])
def test_a_name_that_cannot_be_is_refused(lead: User, username: str) -> None:
    campaign = make_campaign(lead=lead)
    before = User.objects.count()
    with pytest.raises(Invalid) as refused:
        people.create_annotator(campaign=campaign, username=username, actor=lead)
    assert refused.value.errors["username"] and User.objects.count() == before
    assert ("already" in str(refused.value)) is (username == "lead")


def test_passwords_are_long_and_easy_to_copy() -> None:
    made = {people.new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{4}-){3}[a-hjkmnp-z2-9]{4}", password) for password in made)
