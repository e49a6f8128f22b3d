"""A link lets people in until it ends or is used up; nobody else, and nobody twice."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.errors import Invalid
from annotation.models import Event, Invitation, Membership, Role, User
from annotation.services import invitations
from tests.factories import PASSWORD, make_campaign, make_user
from tests.frontend.lead_world import World, make_world


@pytest.fixture
def world(db: None) -> World:
    return make_world(tasks=1)


def test_somebody_without_an_account_comes_in_by_link_and_works(world: World) -> None:
    where = reverse("campaign-invitations", args=[world.campaign.pk])
    sent = {"action": "make", "role": "reviewer", "most_uses": "1", "days": "3"}
    html = world.client("lead").post(where, sent).content.decode()
    link = re.search(r'id="new-link">http://testserver([^<]+)<', html)
    assert link is not None
    assert link[1] not in world.client("lead").get(where).content.decode(), "shown once"
    guest = Client()
    assert world.campaign.name in guest.get(link[1]).content.decode()
    weak = guest.post(link[1], {"username": "nora", "password": "short"})
    assert weak.status_code == 422 and not User.objects.filter(username="nora").exists()
    taken = guest.post(link[1], {"username": "amir", "password": PASSWORD})
    assert taken.status_code == 422
    assert guest.post(link[1], {"username": "nora", "password": PASSWORD}).url == "/"
    assert Membership.objects.get(user__username="nora").role == Role.REVIEWER
    assert guest.get("/").status_code == 200
    assert Client().get(link[1]).status_code == 404, "used up"
    assert Event.objects.filter(action="member.added", target="nora").exists()


def test_an_account_one_has_joins_and_a_second_opening_uses_nothing_up(world: World) -> None:
    made = invitations.invite(campaign=world.campaign, role="annotator", actor=world.lead, most_uses=2)
    path = reverse("invitation", args=[made.secret])
    stranger = world.client("stranger")
    assert "signed in as mallory" in stranger.get(path).content.decode()
    assert stranger.post(path).status_code == 302
    assert stranger.post(path).status_code == 302
    made.invitation.refresh_from_db()
    assert made.invitation.uses == 1
    assert stranger.get(reverse("work", args=[world.campaign.pk])).status_code == 200


def test_a_link_that_ended_or_was_revoked_opens_nothing(world: World) -> None:
    ended = invitations.invite(campaign=world.campaign, role="lead", actor=world.lead, days=1)
    revoked = invitations.invite(campaign=world.campaign, role="lead", actor=world.lead)
    where = reverse("campaign-invitations", args=[world.campaign.pk])
    world.client("lead").post(where, {"action": "revoke", "invitation": str(revoked.invitation.pk)})
    for nonsense in ("", "x", "9" * 40):
        assert world.client("lead").post(where, {"action": "revoke", "invitation": nonsense}).status_code == 302
    other = make_campaign()
    assert not invitations.revoke(campaign=other, invitation_id=ended.invitation.pk, actor=world.lead)
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        for made in (ended, revoked):
            assert Client().get(reverse("invitation", args=[made.secret])).status_code == 404
            with pytest.raises(Invalid):
                invitations.accept(secret=made.secret, user=world.stranger)
    assert not Membership.objects.filter(user=world.stranger).exists()
    assert made.secret not in str(Invitation.objects.values())


def test_it_is_sent_where_there_is_a_mail_server(world: World, settings) -> None:
    where = reverse("campaign-invitations", args=[world.campaign.pk])
    sent = {"action": "make", "role": "annotator", "most_uses": "1", "days": "3", "email": "nora@example.org"}
    world.client("lead").post(where, sent)
    assert mail.outbox == []
    settings.ATTUNE_SENDS_MAIL = True
    world.client("lead").post(where, sent)
    (message,) = mail.outbox
    assert message.to == ["nora@example.org"] and "/invitation/" in message.body
    wrong = world.client("lead").post(where, {**sent, "most_uses": "0", "email": "x"})
    assert wrong.status_code == 422


@pytest.mark.django_db(transaction=True)
def test_two_people_and_one_last_use() -> None:
    lead, people = make_user(), [make_user() for _ in range(4)]
    made = invitations.invite(campaign=make_campaign(lead=lead), role="annotator", actor=lead)
    let_in = []

    def knock(user: User) -> None:
        try:
            let_in.append(invitations.accept(secret=made.secret, user=user))
        except Invalid:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=knock, args=[user]) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == 1


@pytest.mark.django_db
def test_one_changes_ones_password_and_other_sessions_end() -> None:
    user = make_user("ada", password=PASSWORD)
    here, elsewhere = Client(), Client()
    here.force_login(user)
    elsewhere.force_login(user)
    new = "another long password"
    sent = {"old_password": "wrong", "new_password1": new, "new_password2": new}
    assert here.post("/profile/password/", sent).status_code == 200
    assert here.post("/profile/password/", {**sent, "old_password": PASSWORD}).url == "/profile/"
    assert here.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/").status_code == 302
