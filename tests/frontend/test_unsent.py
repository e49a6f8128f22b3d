"""What somebody typed and could not send is shown to them, whatever is gone: session, role, chat or playground."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Assignment, Campaign, Feedback, Role, User
from annotation.services import members, queue
from tests.factories import make_campaign, make_task
from tests.training.chat_world import answered, make_chat_loop, say
from training.services import chats

pytestmark = pytest.mark.django_db

TYPED = "Twenty <b>minutes</b> of my work."
SHOWN = "\n".join(['readonly aria-label="What you typed">', "Twenty &lt;b&gt;minutes&lt;/b&gt; of my work.</textarea>"])
FRAGMENT = {"headers": {"HX-Request": "true"}}


@pytest.fixture
def campaign(lead: User, annotator: User) -> Campaign:
    return make_campaign("Bread", lead=lead, annotators=[annotator])


@pytest.fixture
def browser(client: Client, annotator: User) -> Client:
    client.force_login(annotator)
    return client


def test_who_left_the_campaign_in_another_tab_gets_back_what_they_typed(
    campaign: Campaign, annotator: User, browser: Client
) -> None:
    make_task(campaign)
    held = queue.next_task(user=annotator, campaign=campaign)
    assert held is not None
    work = reverse("work", args=[campaign.pk])
    browser.post(reverse("work-leave", args=[campaign.pk]))
    sent = {"assignment": held.key, "preference": "2", "comment": TYPED, "client_key": "k", "behaviour": '{"a": 1}'}
    refused = browser.post(work, sent, headers={"Referer": f"http://testserver{work}?item={held.key}"})
    body = refused.content.decode()
    assert refused.status_code == 404 and "no-store" in refused.headers["Cache-Control"]
    assert SHOWN in body and body.count("<textarea") == 1 and "There is no such campaign." in body
    assert f'href="{work}?item={held.key}"' in body and not Feedback.objects.exists()
    # From anywhere else it leads home, and where nothing was typed it is the page that says nothing is there.
    assert 'href="/">Back' in browser.post(work, sent, headers={"Referer": "https://evil.example/x"}).content.decode()
    assert "There is nothing at this address" in browser.post(work, {**sent, "comment": " "}).content.decode()
    # A script has kept it, and is told no more than before.
    assert TYPED[:6] not in browser.post(work, sent, **FRAGMENT).content.decode()


def test_who_was_signed_out_gets_back_what_they_typed_and_the_way_to_sign_in(campaign: Campaign) -> None:
    address, page = reverse("chat-say", args=[campaign.pk]), reverse("chat", args=[campaign.pk])
    came = {"Referer": f"http://testserver{page}"}
    refused = Client().post(address, {"message": TYPED, "client_key": "k"}, headers=came)
    assert refused.status_code == 401 and SHOWN in refused.content.decode()
    assert f'href="{reverse("login")}?next={page.replace("/", "%2F")}"' in refused.content.decode()
    # An address that takes a POST alone is none to come back to, and no password stands on a screen.
    ended = Client().post(reverse("chat-end", args=[campaign.pk]), headers=came)
    assert ended.status_code == 302 and ended["Location"].endswith(f"?next={page}")
    assert (
        Client().post(reverse("password"), {"old_password": "My secret 1", "new_password1": "A b"}).status_code == 302
    )


def test_who_left_the_playground_or_ended_the_chat_in_another_tab_gets_back_what_they_typed(
    campaign: Campaign, annotator: User, lead: User, browser: Client
) -> None:
    make_chat_loop(campaign)
    turn = answered(say(campaign, annotator))
    chats.end(chat=turn.chat)
    chosen = browser.post(
        reverse("chat-choose", args=[campaign.pk]), {"turn": "1", "preference": "2", "comment": TYPED}
    )
    assert chosen.status_code == 404 and SHOWN in chosen.content.decode()
    assert "it may have ended" in chosen.content.decode() and not Assignment.objects.filter(state="submitted").exists()
    browser.force_login(lead)
    said = browser.post(reverse("playground-say", args=[campaign.pk]), {"message": TYPED, "client_key": "k"})
    assert said.status_code == 404 and SHOWN in said.content.decode()
    assert "You have no playground open here." in said.content.decode()


def test_somebody_whose_role_ended_gets_back_what_they_typed(campaign: Campaign, lead: User, browser: Client) -> None:
    members.add(campaign=campaign, username="annotator", role=Role.REVIEWER, actor=lead)
    browser.post(reverse("work-leave", args=[campaign.pk]))
    refused = browser.post(reverse("chat-say", args=[campaign.pk]), {"message": "hello", "client_key": "k"})
    assert refused.status_code == 403 and "\nhello</textarea>" in refused.content.decode()
    assert "This needs the role" in refused.content.decode()
