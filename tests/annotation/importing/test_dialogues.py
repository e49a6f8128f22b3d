"""Whole dialogues come in, and are judged at a turn, at each turn, or as a whole; rows that cannot be say why."""

from __future__ import annotations

import json

import pytest

from annotation import datasets
from annotation.agreement import campaign_agreement
from annotation.dialogues import before, in_common, whole
from annotation.errors import Invalid
from annotation.models import Prompt, Task
from annotation.services import campaigns, intake
from tests.factories import judge, make_assignment, make_campaign, make_user

pytestmark = pytest.mark.django_db


def said(*texts: str) -> list[dict[str, str]]:
    """Return a dialogue in which a person and the assistant take turns."""
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]


BREAD = said("My bread is flat.", "Use more yeast.", "I did.", "Is the yeast alive?", "No idea.", "Stir it into water.")


def campaign_of(lead, scope: str, *people, kind: str = "safety", overlap: int = 1, **options):
    return make_campaign(kind=kind, lead=lead, annotators=people, overlap=overlap, options={"scope": scope, **options})


def imported(campaign, *rows):
    lines = [json.dumps(row) for row in rows]
    return intake.import_lines(campaign=campaign, lines=lines, actor=campaign.created_by)


def reasons(campaign, *rows) -> list[str]:
    return [error.reason for error in imported(campaign, *rows).errors]


def content_of(campaign) -> dict:
    return Task.objects.get(campaign=campaign).content


def test_a_chosen_turn_has_what_stood_before_it_and_what_came_after(lead):
    campaign = campaign_of(lead, "turn")
    assert imported(campaign, {"messages": BREAD, "turn": 2}).created == 1
    content = content_of(campaign)
    assert content["messages"] == BREAD[:3]
    assert [one["text"] for one in content["completions"]] == ["Is the yeast alive?"]
    assert (content["turn"], content["between"]) == (2, [BREAD[4:]])
    assert whole(content) == BREAD


def test_without_a_number_it_is_the_last_turn(lead):
    campaign = campaign_of(lead, "turn")
    imported(campaign, {"messages": BREAD})
    assert (content_of(campaign)["turn"], content_of(campaign)["between"]) == (3, [[]])


def test_two_turns_of_one_dialogue_are_two_items_under_one_prompt(lead):
    """So that a split never has a dialogue on both sides."""
    campaign = campaign_of(lead, "turn")
    rows = [{"messages": BREAD, "turn": turn} for turn in (1, 2, 3)]
    assert imported(campaign, *rows).created == 3
    assert imported(campaign, *rows).existing == 3
    assert Prompt.objects.get(campaign=campaign).messages == BREAD[:1]


def test_each_turn_of_a_dialogue_is_one_item(lead):
    campaign = campaign_of(lead, "each_turn")
    assert imported(campaign, {"id": "bread", "messages": BREAD}).created == 1
    content = content_of(campaign)
    assert [one["text"] for one in content["completions"]] == [
        BREAD[1]["content"],
        BREAD[3]["content"],
        BREAD[5]["content"],
    ]
    assert content["between"] == [BREAD[2:3], BREAD[4:5], []]
    assert [before(content, turn) for turn in (1, 2, 3)] == [BREAD[:1], BREAD[:3], BREAD[:5]]
    assert whole(content) == BREAD
    assert imported(campaign, {"id": "bread", "messages": BREAD}).existing == 1
    (reason,) = reasons(campaign, {"id": "bread", "messages": [*BREAD[:2], *said("Thanks!", "Is the yeast alive?")]})
    assert "other content" in reason


def test_a_turn_said_twice_is_no_trouble(lead):
    campaign = campaign_of(lead, "each_turn")
    assert imported(campaign, {"messages": said("Hi.", "Yes?", "You there?", "Yes?")}).created == 1


def test_a_prompt_with_its_answer_is_a_dialogue_too(lead):
    campaign = campaign_of(lead, "each_turn")
    assert imported(campaign, {"prompt": BREAD[:3], "response": "Is it alive?"}).created == 1
    assert len(content_of(campaign)["completions"]) == 2


def test_a_whole_dialogue_is_judged_after_its_opening(lead):
    campaign = campaign_of(lead, "dialogue")
    imported(campaign, {"messages": BREAD})
    content = content_of(campaign)
    assert content["messages"] == BREAD[:1]
    assert content["dialogues"] == [BREAD[1:]]
    assert content["completions"][0]["text"].startswith("Assistant: Use more yeast.\n\nPerson: I did.")


def test_two_dialogues_are_compared_from_where_they_part(lead):
    campaign = campaign_of(lead, "dialogue", kind="pairwise")
    other = [*BREAD[:3], *said("x", "Throw it away.", "Why?", "It is dead.")[1:]]
    assert imported(campaign, {"dialogues": [BREAD, {"messages": other, "origin": "policy-2"}]}).created == 1
    task = Task.objects.get(campaign=campaign)
    assert task.content["messages"] == BREAD[:3]
    assert task.content["dialogues"] == [BREAD[3:], other[3:]]
    assert task.meta["origins"] == ["", "policy-2"]


def test_dialogues_that_part_at_a_turn_of_the_person_are_compared_from_the_answer_before():
    one, other = said("Hi.", "Hello.", "How?", "So."), said("Hi.", "Hello.", "Why?", "Because.")
    assert in_common([one, other]) == 1
    assert in_common([one, said("Ho.", "Hello.")]) == 0
    assert in_common([one, one[:2]]) == 1


ASKS = {"role": "user", "content": "And now?"}


@pytest.mark.parametrize(
    ("scope", "row", "sentence"),
    [
        ("each_turn", {"messages": BREAD[:1]}, "no turn of the assistant"),
        ("turn", {"messages": [*BREAD, ASKS]}, "does not end with a turn of the assistant"),
        ("dialogue", {"messages": BREAD[:5]}, "does not end with a turn of the assistant"),
        ("each_turn", {"messages": BREAD[1:]}, "begins with a turn of the assistant"),
        ("each_turn", {"messages": [*BREAD[:2], BREAD[1]]}, "Messages 2 and 3 of its dialogue are both"),
        ("each_turn", {"messages": said("Hi.", "  ")}, "is empty"),
        ("each_turn", {"messages": [*said("Hi.", "Ho."), {"role": "robot", "content": "x"}]}, "role 'robot'"),
        ("each_turn", {"messages": said(*["Hi."] * 42)}, "has 21 turns of the assistant; at most 20"),
        ("turn", {"messages": BREAD, "turn": 4}, "names turn 4, and its dialogue has 3 turns"),
        ("turn", {"messages": BREAD, "turn": 0}, "counted from 1"),
        ("turn", {"messages": BREAD, "turn": "first"}, "no whole number"),
        ("each_turn", {"prompt": "Hi.", "completions": ["a", "b"]}, "Set answers per item to 1"),
        ("each_turn", {"dialogues": [BREAD]}, "give its messages instead"),
        ("answer", {"dialogues": [BREAD]}, "judges last answers"),
        ("dialogue", {"dialogues": "all"}, "no list of dialogues"),
        ("dialogue", {"dialogues": [said("Hi.", "Ho."), said("Ho.", "Hi.")]}, "do not begin with the same turn"),
        ("dialogue", {"dialogues": [BREAD, BREAD[:1]]}, "Its dialogue 2 has no turn of the assistant"),
    ],
)
def test_what_cannot_be_judged_says_why(lead, scope, row, sentence):
    campaign = campaign_of(lead, scope)
    (reason,) = reasons(campaign, row)
    assert sentence in reason and reason.endswith(".")
    assert not Task.objects.exists()


def test_one_dialogue_alone_cannot_be_compared(lead):
    (reason,) = reasons(campaign_of(lead, "dialogue", kind="pairwise"), {"messages": BREAD})
    assert "1 completion" in reason


@pytest.mark.parametrize(
    ("scope", "row"), [("turn", {"messages": BREAD, "turn": 2}), ("each_turn", {"messages": BREAD})]
)
def test_what_is_refused_for_its_id_comes_back_as_it_can_be_imported(lead, tmp_path, scope, row):
    campaign = campaign_of(lead, scope)
    imported(campaign, {"id": "x", "messages": said("Hi.", "Ho.")})
    with open(tmp_path / "refused", "w+b") as file:
        rows = intake.line_rows([json.dumps({"id": "x", **row})])
        intake.import_rows(campaign=campaign, rows=rows, actor=lead, refused_to=file)
        file.seek(0)
        refused = json.loads(file.read())["row"]
    assert imported(campaign, {**refused, "id": "y"}).created == 1
    assert whole(Task.objects.get(external_id="y").content) == BREAD


def test_turns_stand_in_their_order_for_everybody(lead):
    people = [make_user() for _ in range(6)]
    campaign = campaign_of(lead, "each_turn", *people, overlap=6)
    imported(campaign, {"messages": BREAD})
    assert {tuple(make_assignment(person, campaign).shown_order) for person in people} == {(0, 1, 2)}


SAFE = {f"turn_{turn}_safe_1": "safe" for turn in (1, 2, 3)}


def test_rows_of_each_turn_have_the_prompt_cut_before_it(lead, annotator):
    campaign = campaign_of(lead, "each_turn", annotator)
    imported(campaign, {"id": "bread", "messages": BREAD})
    judge(annotator, campaign, data={**SAFE, "turn_2_safe_1": "unsafe", "turn_2_harm_1_violence": "2"})
    rows = list(datasets.rows(campaign, "safety"))
    assert [row["turn"] for row in rows] == [1, 2, 3]
    assert [row["is_safe"] for row in rows] == [True, False, True]
    for row, end in zip(rows, (1, 3, 5), strict=True):
        assert row["prompt"] == BREAD[:end]
        assert row["completion"] == [BREAD[end]]
    assert {row["task"] for row in rows} == {"bread"}
    (judgement,) = datasets.rows(campaign, "judgements")
    assert judgement["dialogue"] == BREAD
    assert [part["turn"] for part in judgement["payload"]["turns"]] == [1, 2, 3]
    assert judgement["verdict"].startswith("Turn 1: safe; Turn 2: unsafe: ")
    assert {row["prompt"][0]["content"] for row in datasets.rows(campaign, "prompts")} == {BREAD[0]["content"]}


def test_a_row_of_a_chosen_turn_says_which(lead, annotator):
    campaign = campaign_of(lead, "turn", annotator, kind="ratings", attributes=["Helpfulness"])
    imported(campaign, {"messages": BREAD, "turn": 2})
    judge(annotator, campaign, data={"helpfulness_1": "3"})
    (row,) = datasets.rows(campaign, "ratings")
    assert (row["turn"], row["prompt"], row["completion"]) == (2, BREAD[:3], [BREAD[3]])
    (judgement,) = datasets.rows(campaign, "judgements")
    assert (judgement["turn"], judgement["dialogue"]) == (2, BREAD)


def test_rows_of_whole_dialogues_have_them_as_messages(lead, annotator):
    campaign = campaign_of(lead, "dialogue", annotator, kind="pairwise")
    other = [*BREAD[:1], *said("x", "Throw it away.")[1:]]
    imported(campaign, {"dialogues": [BREAD, other]})
    judge(annotator, campaign, preference=2)
    (row,) = datasets.rows(campaign, "pairs")
    assert (row["prompt"], row["chosen"], row["rejected"], row["turn"]) == (BREAD[:1], BREAD[1:], other[1:], None)
    (judgement,) = datasets.rows(campaign, "judgements")
    assert [completion["messages"] for completion in judgement["completions"]] == [BREAD[1:], other[1:]]
    assert judgement["dialogue"] is None


def test_agreement_counts_each_turn_of_each_item(lead):
    people = [make_user(), make_user()]
    campaign = campaign_of(lead, "each_turn", *people, overlap=2)
    imported(campaign, {"messages": BREAD})
    unsafe = {"turn_3_safe_1": "unsafe", "turn_3_harm_1_drugs": "1"}
    judge(people[0], campaign, data={**SAFE, **unsafe})
    judge(people[1], campaign, data={**SAFE, **unsafe, "turn_1_safe_1": "unsafe", "turn_1_harm_1_drugs": "1"})
    safe = campaign_agreement(campaign)["safe"]
    assert (safe.items, safe.judgements) == (3, 6)
    assert safe.percent == pytest.approx(2 / 3)


def test_what_is_judged_cannot_change_under_items(lead):
    campaign = campaign_of(lead, "answer")
    campaigns.update(campaign=campaign, actor=lead, options={"scope": "each_turn"})
    campaign.refresh_from_db()
    imported(campaign, {"messages": BREAD})
    with pytest.raises(Invalid) as caught:
        campaigns.update(campaign=campaign, actor=lead, options={"scope": "turn"})
    assert "start another campaign" in caught.value.errors["scope"][0]
    campaigns.update(campaign=campaign, actor=lead, options={"scope": "each_turn", "comment": "off"})
