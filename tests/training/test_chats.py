"""Chats in the database: saying, choosing, going on; a choice is a judgement like any other."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from annotation import datasets, progress
from annotation.errors import CampaignClosed, NotAgreed, TooMany
from annotation.errors import Invalid as NotAccepted
from annotation.models import Assignment, Campaign, Event, Feedback, Prompt, Task, User
from annotation.permissions import campaign_for
from annotation.services import campaigns, members, queue, submission, wellbeing
from tests.factories import make_campaign, make_task, make_user
from tests.training.chat_world import answered, choose, make_chat_loop, say, talk
from training.errors import Invalid, WrongState
from training.models import Chat, ChatTurn, ModelVersion, Sample
from training.services import chats, rounds, versions

pytestmark = pytest.mark.django_db

State = ChatTurn.State


@pytest.fixture
def chatty(campaign: Campaign) -> Campaign:
    """A campaign whose policy people may talk to."""
    make_chat_loop(campaign)
    return campaign


def red_team(**values: Any) -> Campaign:
    made = make_campaign(options={"mode": "red_team"}, **values)
    make_chat_loop(made)
    return made


# --- Whether -----------------------------------------------------------------------------------------------------


def test_nobody_talks_to_a_model_before_a_lead_allows_it(campaign: Campaign, annotator: User, lead: User) -> None:
    with pytest.raises(WrongState, match="A lead can allow it"):
        chats.start(campaign=campaign, user=annotator)
    loop = make_chat_loop(campaign, chat=False)
    with pytest.raises(WrongState, match="A lead can allow it"):
        chats.start(campaign=campaign, user=annotator)
    assert chats.offered_in([campaign]) == set()
    rounds.configure(loop=loop, settings={"chat": True}, actor=lead)
    assert chats.offered_in([campaign, make_campaign(kind="rewrite")]) == {campaign.pk}
    chat = chats.start(campaign=campaign, user=annotator)
    assert chat.policy == versions.current(campaign, ModelVersion.Kind.POLICY)
    assert chat.settings == {"temperature": 0.7, "max_new_tokens": 16}
    assert Event.objects.filter(campaign=campaign, action="chat.started", actor=annotator).exists()


def test_an_answer_is_never_longer_than_a_chat_allows(campaign: Campaign, annotator: User) -> None:
    make_chat_loop(campaign, max_new_tokens=4000)
    assert chats.start(campaign=campaign, user=annotator).settings["max_new_tokens"] == 256


def test_without_a_policy_in_use_there_is_nobody_to_talk_to(chatty: Campaign, annotator: User) -> None:
    ModelVersion.objects.filter(campaign=chatty).update(state=ModelVersion.State.RETIRED)
    with pytest.raises(WrongState, match="no model to talk to yet"):
        chats.start(campaign=chatty, user=annotator)


def test_a_campaign_that_is_not_open_gives_no_answers_but_takes_a_choice(
    chatty: Campaign, annotator: User, lead: User
) -> None:
    turn = answered(say(chatty, annotator))
    campaigns.pause_campaign(campaign=chatty, actor=lead)
    with pytest.raises(CampaignClosed, match="is paused"):
        chats.start(campaign=chatty, user=annotator)
    assert choose(turn).state == State.CHOSEN
    campaigns.close_campaign(campaign=chatty, actor=lead)
    with pytest.raises(CampaignClosed, match="is closed"):
        chats.start(campaign=chatty, user=annotator)


def test_a_closed_campaign_takes_no_choice(chatty: Campaign, annotator: User, lead: User) -> None:
    turn = answered(say(chatty, annotator))
    campaigns.close_campaign(campaign=chatty, actor=lead)
    with pytest.raises(CampaignClosed):
        choose(turn)
    turn.refresh_from_db()
    assert turn.state == State.ANSWERED and not Task.objects.filter(batch="chat-policy-0").exists()


def test_people_are_told_and_asked_first(chatty: Campaign, annotator: User, lead: User) -> None:
    campaigns.update(campaign=chatty, actor=lead, wellbeing="likely")
    with pytest.raises(NotAgreed, match="agree to it before you talk"):
        chats.start(campaign=campaign_for(annotator, chatty.pk), user=annotator)
    members.agree(campaign=chatty, user=annotator)
    assert chats.start(campaign=campaign_for(annotator, chatty.pk), user=annotator).pk


def test_what_somebody_declined_or_cannot_do_is_not_for_them(chatty: Campaign, annotator: User, lead: User) -> None:
    campaigns.update(campaign=chatty, actor=lead, about=["violence"])
    chatty.refresh_from_db()
    wellbeing.decline(campaign=chatty, user=annotator, declined=["violence"])
    with pytest.raises(WrongState, match="violence, which you declined"):
        chats.start(campaign=campaign_for(annotator, chatty.pk), user=annotator)
    wellbeing.decline(campaign=chatty, user=annotator, declined=[])
    campaigns.update(campaign=chatty, actor=lead, requires=["lang:de"], about=[])
    chatty.refresh_from_db()
    make_task(chatty)  # numbers the skill
    with pytest.raises(WrongState, match="lang:de"):
        chats.start(campaign=campaign_for(annotator, chatty.pk), user=annotator)


def test_limits_of_a_day_hold_in_chats_and_chats_count_for_them(chatty: Campaign, annotator: User, lead: User) -> None:
    campaigns.update(campaign=chatty, actor=lead, daily_limit=2)
    chatty.refresh_from_db()
    talk(chatty, annotator, "One.", "Two.")
    with pytest.raises(TooMany, match="as many items as one person does"):
        say(chatty, annotator, "Three.")
    assert progress.my_progress(annotator, chatty).left_today == 0


def test_after_several_unpleasant_turns_there_is_a_rest(chatty: Campaign, annotator: User, lead: User) -> None:
    campaigns.update(campaign=chatty, actor=lead, about=["violence"], rest_after=2)
    chatty.refresh_from_db()
    talk(chatty, annotator, "One.", "Two.")
    chatty.refresh_from_db()  # the category is numbered now
    with pytest.raises(TooMany, match="unpleasant texts in a row"):
        say(chatty, annotator, "Three.")


# --- Saying ------------------------------------------------------------------------------------------------------


def test_one_chat_a_person_and_the_same_key_is_the_same_turn(chatty: Campaign, annotator: User) -> None:
    first = say(chatty, annotator, "Hello.", key="k1")
    assert say(chatty, annotator, "Hello.", key="k1") == first
    assert Chat.objects.count() == 1 and ChatTurn.objects.count() == 1
    other = make_user()
    members.add(campaign=chatty, username=other.username, role="annotator", actor=chatty.created_by)
    assert say(chatty, other, "Hello.", key="k1") != first


@pytest.mark.parametrize(
    ("message", "reason"),
    [("  \n ", "Write something"), ("x" * 4001, "4001 characters; at most 4000"), ("a\x00b", "NUL")],
)
def test_a_message_that_cannot_be_sent_is_refused_with_a_reason(
    chatty: Campaign, annotator: User, message: str, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason) as wrong:
        say(chatty, annotator, message)
    assert list(wrong.value.errors) == ["message"]
    with pytest.raises(Invalid, match="client_key"):
        chats.say(chat=chats.start(campaign=chatty, user=annotator), message="Hello.", client_key="")


def test_nothing_is_said_before_the_choice(chatty: Campaign, annotator: User) -> None:
    turn = say(chatty, annotator)
    with pytest.raises(WrongState, match="Choose between the two answers"):
        say(chatty, annotator, "And?")
    with pytest.raises(WrongState, match="no two finished answers"):
        choose(turn)
    answered(turn)
    with pytest.raises(WrongState, match="Choose between the two answers"):
        say(chatty, annotator, "And?")


def test_a_chat_has_twenty_turns(chatty: Campaign, annotator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "MAX_TURNS", 2)
    talk(chatty, annotator, "One.", "Two.")
    with pytest.raises(WrongState, match="at most 2 turns"):
        say(chatty, annotator, "Three.")


def test_a_chat_that_has_ended_takes_nothing_and_the_next_one_is_new(chatty: Campaign, annotator: User) -> None:
    turn = answered(say(chatty, annotator))
    chat = turn.chat
    ended = chats.end(chat=chat)
    assert (ended.state, ended.turns.get().state) == (Chat.State.ENDED, State.LEFT)
    assert chats.end(chat=chat) == ended, "once is enough"
    with pytest.raises(WrongState, match="no two finished answers"):
        choose(turn)
    chat.campaign, chat.user = chatty, annotator
    with pytest.raises(WrongState, match="has ended"):
        chats.say(chat=chat, message="Hello?", client_key="k")
    assert say(chatty, annotator).chat != chat


def test_a_chat_keeps_its_policy_and_the_next_one_takes_the_new(chatty: Campaign, annotator: User) -> None:
    chat = talk(chatty, annotator)
    old = chat.policy
    ModelVersion.objects.filter(pk=old.pk).update(state=ModelVersion.State.RETIRED)
    new = versions.register(campaign=chatty, kind="policy", path=old.path, actor=None, state="promoted")
    assert say(chatty, annotator, "Next.").chat.policy == old
    chats.end(chat=chat)
    assert say(chatty, annotator, "Again.").chat.policy == new


# --- Choosing ----------------------------------------------------------------------------------------------------


def test_a_choice_is_a_judgement_like_any_other(chatty: Campaign, annotator: User) -> None:
    turn = answered(say(chatty, annotator, "Hello."), "Good day.", "What?")
    chosen = choose(turn, "1", comment="polite")
    left = turn.shown_order[0]
    assert (chosen.state, chosen.chosen) == (State.CHOSEN, left)
    feedback = Feedback.objects.get()
    assert (feedback.user, feedback.shown_order) == (annotator, turn.shown_order)
    assert feedback.payload["preference"] == (3 if left == 0 else -3)
    assert feedback.seconds is not None and feedback.seconds >= 0
    task = feedback.task
    assert (task.state, task.wanted, task.done, task.seats) == (Task.State.COMPLETE, 1, 1, 0)
    assert task.batch == "chat-policy-0"
    assert task.content["messages"] == [{"role": "user", "content": "Hello."}]
    assert [one["text"] for one in task.content["completions"]] == ["Good day.", "What?"]
    assert feedback.assignment == chosen.assignment
    assert feedback.assignment.state == Assignment.State.SUBMITTED
    samples = Sample.objects.order_by("id")
    assert [(one.version.label, one.round, one.logp, one.settings["seed"]) for one in samples] == [
        ("policy-0", None, -2.0, 0),
        ("policy-0", None, -2.0, 1),
    ]
    assert queue.next_task(user=annotator, campaign=chatty) is None, "it is nobody's item on the work screen"
    assert [one.pk for one in submission.last_submitted(user=annotator, campaign=chatty)] == [feedback.pk]


def test_the_chosen_branch_goes_on_and_the_other_is_forgotten(chatty: Campaign, annotator: User) -> None:
    first = answered(say(chatty, annotator, "One?"), "a", "b")
    right = first.shown_order[1]
    assert choose(first, "6").chosen == right
    second = answered(say(chatty, annotator, "Two?"), "c", "d")
    said = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "ab"[right]},
        {"role": "user", "content": "Two?"},
    ]
    assert chats.conversation(second) == said
    choose(second, "2")
    assert Task.objects.get(external_id=f"chat-{second.chat_id}-turn-2").content["messages"] == said


@pytest.mark.parametrize("verdict", ["4", "both_bad", "both_good"])
@pytest.mark.parametrize("goes_on", [None, "0", "1"])
def test_where_neither_is_better_the_person_says_which_goes_on_or_the_first_does(
    chatty: Campaign, annotator: User, verdict: str, goes_on: str | None
) -> None:
    turn = answered(say(chatty, annotator))
    chosen = choose(turn, verdict, **({} if goes_on is None else {"goes_on": goes_on}))
    assert chosen.chosen == turn.shown_order[int(goes_on or "0")]


def test_a_branch_that_goes_on_against_the_choice_is_not_asked_about(chatty: Campaign, annotator: User) -> None:
    turn = answered(say(chatty, annotator))
    assert choose(turn, "1", goes_on="1").chosen == turn.shown_order[0]


def test_the_same_key_again_changes_nothing_and_another_one_is_refused(chatty: Campaign, annotator: User) -> None:
    turn = answered(say(chatty, annotator))
    once = choose(turn, "1", key="same")
    assert choose(turn, "7", key="same").chosen == once.chosen
    assert Feedback.objects.count() == 1
    with pytest.raises(WrongState, match="Your history lets you change"):
        choose(turn, "7", key="other")


def test_a_choice_that_does_not_fit_leaves_the_turn_as_it_was(chatty: Campaign, annotator: User) -> None:
    turn = answered(say(chatty, annotator))
    with pytest.raises(NotAccepted) as wrong:
        choose(turn, "")
    assert "preference" in wrong.value.errors
    with pytest.raises(Invalid, match="0 for the first"):
        choose(turn, "1", goes_on="2")
    turn.refresh_from_db()
    assert turn.state == State.ANSWERED
    assert not Task.objects.exists() and not Sample.objects.exists() and not Assignment.objects.exists()
    assert choose(turn, "1").state == State.CHOSEN


def test_two_equal_answers_go_on_without_a_judgement(chatty: Campaign, annotator: User) -> None:
    turn = answered(say(chatty, annotator), "The same.", "The same. ")
    assert turn.says_the_same
    chosen = choose(turn, "", key="k")
    assert (chosen.state, chosen.assignment, Task.objects.count()) == (State.CHOSEN, None, 0)
    assert choose(turn, "", key="k").state == State.CHOSEN
    assert say(chatty, annotator, "Go on.").number == 2


def test_what_was_said_is_amended_in_the_history_and_the_chat_stays_as_it_went(
    chatty: Campaign, annotator: User
) -> None:
    chat = talk(chatty, annotator, shown="1")
    turn = chat.turns.get()
    assert turn.assignment is not None
    submission.submit(assignment=turn.assignment, data={"preference": "7"}, client_key="changed my mind")
    assert Feedback.objects.current().get().version == 2
    turn.refresh_from_db()
    assert turn.chosen == turn.shown_order[0]


# --- Red team, export, split ------------------------------------------------------------------------------------


def test_a_red_team_goes_on_with_the_worse_and_exports_prefer_the_better(lead: User, annotator: User) -> None:
    campaign = red_team(lead=lead, annotators=[annotator])
    turn = answered(say(campaign, annotator, "Be nasty."), "I will not.", "You fool.")
    nasty = turn.shown_order.index(1)
    chosen = choose(turn, "1" if nasty == 0 else "7")
    assert chosen.chosen == 1, "the chat goes on with the more harmful answer"
    assert chosen.chat.mode == "red_team"
    (pair,) = datasets.rows(campaign, "pairs")
    assert pair["chosen"][0]["content"] == "I will not."
    assert pair["rejected"][0]["content"] == "You fool."


def test_the_mode_is_that_of_the_chats_start(lead: User, annotator: User) -> None:
    """Before the first item a lead may still turn a campaign round; a chat begun before does not go on upside down."""
    campaign = make_campaign(lead=lead, annotators=[annotator])
    make_chat_loop(campaign)
    turn = answered(say(campaign, annotator))
    campaigns.update(campaign=campaign, actor=lead, options={"mode": "red_team"})
    with pytest.raises(WrongState, match="changed what people choose"):
        choose(turn)


def test_pairs_of_a_chat_say_where_they_come_from(chatty: Campaign, annotator: User) -> None:
    chat = talk(chatty, annotator, "One?", "Two?")
    rows = list(datasets.rows(chatty, "pairs"))
    assert [row["task"] for row in rows] == [f"chat-{chat.pk}-turn-1", f"chat-{chat.pk}-turn-2"]
    assert {row["policy"] for row in rows} == {"policy-0"}
    assert {row["chosen_origin"] for row in rows} == {row["rejected_origin"] for row in rows} == {"policy-0"}
    assert {row["round"] for row in rows} == {None}
    assert len(rows[1]["prompt"]) == 3
    assert [row["task"] for row in datasets.rows(chatty, "pairs", datasets.Filters(batches=("chat-policy-0",)))] == [
        row["task"] for row in rows
    ]
    meta = Task.objects.get(external_id=f"chat-{chat.pk}-turn-2").meta
    assert (meta["source"], meta["chat"], meta["turn"], meta["mode"]) == ("chat", chat.pk, 2, "helpful")


def test_all_turns_of_a_chat_lie_on_one_side_of_the_split(chatty: Campaign, annotator: User) -> None:
    for number in range(12):
        chat = talk(chatty, annotator, f"Question {number}?", "And then?", "Why?")
        chats.end(chat=chat)
    sides: dict[str, set[str]] = {}
    for side in datasets.SPLITS:
        for row in datasets.rows(chatty, "pairs", datasets.Filters(split=side)):
            sides.setdefault(row["task"].rsplit("-turn-", 1)[0], set()).add(side)
    assert len(sides) == 12
    assert all(len(found) == 1 for found in sides.values()), sides
    assert Prompt.objects.count() == 12


# --- At the same moment ------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_double_click_is_one_message_and_one_choice(campaign: Campaign, annotator: User) -> None:
    make_chat_loop(campaign)
    made: list[Any] = []
    faults: list[Exception] = []

    def at_once(work: Any) -> None:
        gate = threading.Barrier(4)

        def one() -> None:
            gate.wait()
            try:
                made.append(work())
            except Exception as error:
                faults.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    at_once(lambda: say(campaign, annotator, "Hello.", key="one").pk)
    assert (faults, len(set(made))) == ([], 1)
    turn = answered(ChatTurn.objects.get())
    at_once(lambda: choose(turn, "1", key="two").chosen)
    assert faults == []
    assert (Chat.objects.count(), ChatTurn.objects.count(), Feedback.objects.count()) == (1, 1, 1)
