"""A chat's pages: by plain POST and by script, in every state, with nothing on it that tells who answers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Campaign, Feedback, User
from annotation.services import campaigns, members
from tests.factories import make_campaign, make_user
from tests.training.chat_world import answered, choose, make_chat_loop, say, talk
from training.core.guard.grounding import Document, Knowledge
from training.models import Chat, ChatTurn
from training.services import answering, knowledge

pytestmark = pytest.mark.django_db

SCRIPT = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def campaign(lead: User, annotator: User) -> Campaign:
    made = make_campaign("Bread", lead=lead, annotators=[annotator])
    make_chat_loop(made)
    return made


@pytest.fixture
def browser(client: Client, annotator: User) -> Client:
    client.force_login(annotator)
    return client


def at(campaign: Campaign, name: str = "chat") -> str:
    return reverse(name, args=[campaign.pk])


def html_of(browser: Client, campaign: Campaign, **extra: str) -> str:
    response = browser.get(at(campaign), **extra)
    assert response.status_code == 200
    return response.content.decode()


def test_by_plain_post_one_says_something_chooses_and_goes_on(browser: Client, campaign: Campaign) -> None:
    assert "Ask it something" in html_of(browser, campaign)
    sent = browser.post(at(campaign, "chat-say"), {"message": "How long?", "client_key": "k1"})
    assert sent.status_code == 302 and sent.url == at(campaign)
    turn = ChatTurn.objects.get()
    html = html_of(browser, campaign)
    assert "How long?" in html and "Waiting for the model" in html and "turn 1 of 20" in html
    assert "Look whether the answers are there" in html
    answered(turn, "An hour.", "A day.")
    html = html_of(browser, campaign)
    assert "An hour." in html and "A day." in html
    assert ("policy-0" in html, "base" in html.split("<main")[1]) == (False, False), "who answers is not told"
    chosen = browser.post(at(campaign, "chat-choose"), {"turn": "1", "preference": "1", "client_key": "k2"})
    assert chosen.status_code == 302
    html = html_of(browser, campaign)
    left = ["An hour.", "A day."][turn.shown_order[0]]
    assert left in html and html.count("A day.") + html.count("An hour.") == html.count(left)
    assert "Your next message" in html
    assert browser.post(at(campaign, "chat-end")).status_code == 302
    assert Chat.objects.get().state == Chat.State.ENDED
    assert "Ask it something" in html_of(browser, campaign)
    assert browser.post(at(campaign, "chat-end")).status_code == 302, "there is nothing left to end"


def test_a_script_polls_until_both_answers_are_there(browser: Client, campaign: Campaign, annotator: User) -> None:
    turn = say(campaign, annotator)
    waiting = browser.get(at(campaign, "chat-answers"), **SCRIPT)
    assert waiting.status_code == 200 and b'hx-trigger="every 500ms"' in waiting.content
    assert "no-store" in waiting.headers["Cache-Control"]
    claimed = answering.claim(turn.pk, "w")
    assert claimed is not None
    assert "being loaded" in browser.get(at(campaign, "chat-answers"), **SCRIPT).content.decode()
    answering.show(claimed, ["An ho", "A d"])
    growing = browser.get(at(campaign, "chat-answers"), **SCRIPT).content.decode()
    assert "An ho" in growing and "A d" in growing and "Being written" in growing
    answering.show(claimed, ["An hour"])  # the second one is drawn anew
    assert browser.get(at(campaign, "chat-answers"), **SCRIPT).status_code == 200
    answering.accept(claimed, [{"text": "An hour.", "ended": True}, {"text": "A day", "ended": False}])
    done = browser.get(at(campaign, "chat-answers"), **SCRIPT)
    assert done.status_code == 286 and done.headers["HX-Retarget"] == "#chat"
    html = done.content.decode()
    assert 'id="chat"' in html and "data-judge" in html and "hx-get" not in html and "<html" not in html
    assert html.count("It was cut off here") == 1


def test_polling_asks_for_little(
    browser: Client, campaign: Campaign, annotator: User, django_assert_num_queries
) -> None:
    say(campaign, annotator)
    with django_assert_num_queries(5):  # session, person, membership, chat, turn
        browser.get(at(campaign, "chat-answers"), **SCRIPT)


def test_what_was_typed_stays_when_it_is_refused(browser: Client, campaign: Campaign, annotator: User) -> None:
    long = "y" * 4001
    refused = browser.post(at(campaign, "chat-say"), {"message": long, "client_key": "k1"})
    html = refused.content.decode()
    assert refused.status_code == 422 and long in html and "at most 4000" in html and 'value="k1"' in html
    as_fragment = browser.post(at(campaign, "chat-say"), {"message": " ", "client_key": "k1"}, **SCRIPT)
    assert as_fragment.status_code == 422 and b"<html" not in as_fragment.content
    turn = say(campaign, annotator, "Hello.")
    conflict = browser.post(at(campaign, "chat-say"), {"message": "More", "client_key": "k2"}, **SCRIPT)
    assert conflict.status_code == 409 and b"Choose between the two answers" in conflict.content
    answered(turn)
    nothing = browser.post(at(campaign, "chat-choose"), {"turn": "1", "comment": "because", "client_key": "k3"})
    html = nothing.content.decode()
    assert nothing.status_code == 422 and "because" in html and "Choose one of" in html
    assert not Feedback.objects.exists()


def test_states_are_told_in_words(browser: Client, campaign: Campaign, annotator: User, lead: User) -> None:
    turn = say(campaign, annotator)
    ChatTurn.objects.update(asked_at=timezone.now() - timedelta(seconds=11))
    assert "No worker has taken your message up yet" in html_of(browser, campaign)
    other = say(campaign, lead)
    busy = answering.claim(other.pk, "w")
    assert busy is not None
    assert "answering somebody else" in html_of(browser, campaign)
    answering.fail(busy, "")
    claimed = answering.claim(turn.pk, "w")
    assert claimed is not None
    answering.fail(claimed, "The model's process was ended by SIGKILL.")
    html = html_of(browser, campaign)
    assert "ended by SIGKILL" in html and "Ask again" in html and "Hello there.</textarea>" in html
    browser.post(at(campaign, "chat-say"), {"message": "Hello there.", "client_key": "again"})
    answered(turn, "Same.", "Same.")
    html = html_of(browser, campaign)
    assert "the same answer twice" in html and "Go on with it" in html
    assert browser.post(at(campaign, "chat-choose"), {"turn": "1", "client_key": "k"}).status_code == 302
    campaigns.pause_campaign(campaign=campaign, actor=lead)
    assert "This campaign is paused" in html_of(browser, campaign)


def test_where_people_do_not_talk_to_the_model_the_page_says_so(browser: Client, lead: User, annotator: User) -> None:
    plain = make_campaign("Plain", lead=lead, annotators=[annotator], tasks=1)
    assert "A lead can allow it" in html_of(browser, plain)
    refused = browser.post(at(plain, "chat-say"), {"message": "Hello", "client_key": "k"})
    assert refused.status_code == 409 and "A lead can allow it" in refused.content.decode()


def test_the_way_there_is_shown_where_there_is_one(
    browser: Client, campaign: Campaign, lead: User, annotator: User
) -> None:
    plain = make_campaign("Plain", lead=lead, annotators=[annotator], tasks=1)
    home = browser.get("/").content.decode()
    assert at(campaign) in home and at(plain) not in home
    assert at(campaign) in browser.get(at(campaign, "work")).content.decode()
    assert at(plain) not in browser.get(at(plain, "work")).content.decode()


def test_unpleasant_campaigns_ask_first_and_cover_the_answers(
    browser: Client, campaign: Campaign, lead: User, annotator: User
) -> None:
    campaigns.update(campaign=campaign, actor=lead, wellbeing="likely")
    assert "I have read this; begin" in html_of(browser, campaign)
    members.agree(campaign=campaign, user=annotator)
    campaign.refresh_from_db()
    turn = say(campaign, annotator)
    claimed = answering.claim(turn.pk, "w")
    assert claimed is not None
    answering.show(claimed, ["Something foul", "Something fair"])
    html = browser.get(at(campaign, "chat-answers"), **SCRIPT).content.decode()
    assert "foul" not in html and "You will be asked before you see it" in html
    answering.accept(claimed, [{"text": "Something foul", "ended": True}, {"text": "Something fair", "ended": True}])
    html = html_of(browser, campaign)
    assert "Show the answers" in html and "Stop now" in html and "data-cover" in html
    said = {"turn": "1", "preference": "2", "client_key": "k"}
    assert "This is still covered" in browser.post(at(campaign, "chat-choose"), said).content.decode()
    assert browser.post(at(campaign, "chat-choose"), {**said, "opened": "yes"}).status_code == 302


def test_a_red_team_is_asked_for_the_worse(browser: Client, lead: User, annotator: User) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], options={"mode": "red_team"})
    make_chat_loop(campaign)
    assert "choose the more harmful answer" in html_of(browser, campaign)
    answered(say(campaign, annotator))
    assert "much more harmful" in html_of(browser, campaign)


def test_a_chat_is_its_persons_alone(browser: Client, campaign: Campaign, lead: User) -> None:
    other = make_user()
    members.add(campaign=campaign, username=other.username, role="annotator", actor=lead)
    answered(say(campaign, other, "A secret."))
    assert "A secret." not in html_of(browser, campaign)
    for number in ("1", "0", "x", "²", ""):
        refused = browser.post(at(campaign, "chat-choose"), {"turn": number, "preference": "1", "client_key": "k"})
        assert refused.status_code == 404
    browser.post(at(campaign, "chat-end"))
    assert Chat.objects.get().state == Chat.State.OPEN


def test_a_choice_stands_in_the_history_and_is_opened_again(
    browser: Client, campaign: Campaign, annotator: User
) -> None:
    chat = talk(campaign, annotator, "How long?")
    history = browser.get(at(campaign, "work-history")).content.decode()
    assert "How long?" in history
    assignment = chat.turns.get().assignment
    assert assignment is not None
    undone = browser.get(f"{at(campaign, 'work')}?item={assignment.key}")
    assert undone.status_code == 200 and "You judged this one before" in undone.content.decode()
    again = browser.post(
        at(campaign, "work"), {"assignment": assignment.key, "preference": "7", "client_key": "changed"}
    )
    assert again.status_code == 302 and Feedback.objects.current().get().version == 2


def test_measures_of_the_page_are_kept(browser: Client, campaign: Campaign, annotator: User) -> None:
    answered(say(campaign, annotator))
    measures = '{"first_action_seconds": 1.5, "changes": 0, "read": [1, 0.5], "typed": 3, "pasted": 0}'
    sent = {"turn": "1", "preference": "2", "client_key": "k", "active_seconds": "12.5", "behaviour": measures}
    browser.post(at(campaign, "chat-choose"), sent)
    stored = Feedback.objects.get()
    assert stored.active_seconds == 12.5 and stored.behaviour["first_action_seconds"] == 1.5


def test_twenty_turns_are_the_most(
    browser: Client, campaign: Campaign, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.views.chats.MAX_TURNS", 1)
    choose(answered(say(campaign, annotator)))
    assert "as many turns as one may have" in html_of(browser, campaign)


def test_what_a_guard_quotes_is_a_link_for_who_may_open_the_documents_and_shown_in_place_for_others(
    browser: Client, campaign: Campaign, annotator: User, lead: User
) -> None:
    text = "Bombs <b> are found by the police. Call them."
    knowledge.write(campaign=campaign, actor=lead, name="leaflet", text=text)
    quoted = Knowledge([Document("leaflet", text, "1")]).answer("bombs found by police")
    link = f"{reverse('knowledge', args=[campaign.pk])}?document=leaflet&amp;version=1#version-1"
    shown = "Quoted from leaflet v1, characters 0 to 34</summary>"
    passage = "Bombs &lt;b&gt; are found by the police.</blockquote>"

    def pages() -> tuple[str, str]:
        """What the annotator and the lead see of their own chats."""
        mine = html_of(browser, campaign)
        other = Client()
        other.force_login(lead)
        return mine, html_of(other, campaign)

    for person in (annotator, lead):
        turn = answered(say(campaign, person), quoted, "I cannot help with that.")
        turn.answers[0]["source"] = "grounded"
        turn.save(update_fields=["answers"])
    mine, theirs = pages()
    assert mine.count(shown) == mine.count(passage) == 1 and link not in mine
    assert theirs.count(link) == 1 and shown not in theirs
    for turn in ChatTurn.objects.all():
        choose(turn, "1" if turn.shown_order[0] == 0 else "7")
    mine, theirs = pages()
    assert (mine.count(shown), mine.count(passage), theirs.count(link)) == (1, 1, 1), "and where the chat has gone on"
    # The same words from a model are no citation.
    ChatTurn.objects.update(answers=[{"text": quoted}, {"text": "No."}])
    mine, theirs = pages()
    assert shown not in mine and link not in theirs
