"""A principle with its examples: read, versioned by its words, and answered under that version."""

from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback import kind, of_item, starter_principles, worded
from tests.factories import judge, make_assignment, make_campaign, make_task

LINE = "Concise: no repetition | yes: says it once | NO: says it: twice | if: it is long | or short"


def test_a_line_is_read_in_its_parts() -> None:
    one = worded.read(LINE)
    assert (one.key, one.title, one.meaning) == ("concise", "Concise", "no repetition | or short")
    assert (one.good, one.bad, one.when) == ("says it once", "says it: twice", "it is long")
    assert worded.plain(LINE) == "Concise: no repetition | or short"
    assert worded.read("Clear").meaning == ""


def test_other_words_are_another_version_and_a_copy_is_the_same() -> None:
    version = worded.read(LINE).version
    assert worded.read(LINE.replace("  ", " ") + " ").version == version
    assert worded.read(LINE.replace("once", "one time")).version != version


def test_a_judgement_says_which_wording_it_answered() -> None:
    principles = kind("principles")
    options = principles.clean_options({"principles": [LINE, "Clear: at first reading"]})
    shown = principles.context(options=options, shown_order=[0])["answers"][0]["rows"]
    assert [(row["name"], row["said"].good) for row in shown] == [("concise_1", "says it once"), ("clear_1", "")]
    payload = principles.parse({"concise_1": "yes", "clear_1": "no"}, options=options, shown_order=[0])
    rows = list(principles.rows("principles", payload, texts=["One."], origins=[""], shown_order=[0]))
    assert [row["principle_version"] for row in rows] == [worded.read(line).version for line in options["principles"]]
    schema = principles.json_schema(options)["properties"]["concise_1"]["description"]
    assert "says it once" not in schema


@pytest.mark.parametrize("name", ["principles", "principled_critique"])
def test_examples_need_a_meaning_before_them(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        kind(name).clean_options({"principles": ["Concise | yes: says it once"]})
    assert "before its examples" in caught.value.errors["principles"][0]


CODE = "Runs: as it is given | yes: pasted, it works | for: Code, computer  science"
SEEN = "Only what is visible: describes nothing else | for: image"
CLEAR = "Clear: at first reading"


@pytest.mark.parametrize(
    ("domain", "turns", "asked"),
    [
        ("code", 1, ["runs_1", "clear_1"]),
        ("Computer science", 1, ["runs_1", "clear_1"]),
        ("history", 1, ["clear_1"]),
        ("", 1, ["runs_1", "clear_1"]),  # nobody said what it is about, but that it has no image is seen
        ("history", 3, ["earlier_1", "clear_1"]),
    ],
)
@pytest.mark.django_db
def test_a_principle_is_asked_about_the_items_it_is_for(domain, turns, asked, lead, annotator) -> None:
    earlier = "Earlier: uses what was said before | for: dialogue"
    options = {"principles": [CODE, SEEN, earlier, CLEAR], "evidence": False}
    campaign = make_campaign(lead=lead, kind="principles", annotators=[annotator], options=options)
    task = make_task(campaign, completions=["One."])
    task.prompt.domain = domain
    task.prompt.save()
    task.content["messages"] *= turns
    task.save()
    held = make_assignment(annotator, campaign)
    shown = kind("principles").context(options=of_item.for_task(campaign.options, task), shown_order=[0])
    assert [row["name"] for row in shown["answers"][0]["rows"]] == asked
    judged = judge(annotator, campaign, assignment=held, data=dict.fromkeys(asked, "yes"))
    assert [f"{key}_1" for key in judged.payload["principles"][0]] == asked
    with pytest.raises(Invalid):
        judge(annotator, campaign, assignment=held, data=dict.fromkeys(asked[:-1], "yes"))


def test_of_gold_those_count_that_it_answers_and_one_principle_is_for_all() -> None:
    principles = kind("principles")
    options = principles.clean_options({"principles": [CODE, CLEAR], "evidence": False})
    for answer in ({"clear_1": "no"}, {"clear_1": "no", "runs_1": "yes"}):
        payload = principles.parse_given(answer, options=options, count=1, told="{reasons}")
        assert len(payload["principles"][0]) == len(answer)
    assert principles.json_schema(options)["required"] == ["clear_1"]
    with pytest.raises(Invalid) as caught:
        principles.clean_options({"principles": [CODE]})
    assert "at least one principle" in caught.value.errors["principles"][0]


def test_what_a_list_begins_with_has_examples_both_ways() -> None:
    lines = [line for group in starter_principles.offers().values() for line in group]
    read = [worded.read(line) for line in lines]
    assert all(one.meaning and one.good and one.bad for one in read)
    assert len({one.key for one in read}) == len(read) > 35
    assert {subject for one in read for subject in one.subjects} == {"code", "image", "dialogue"}
    kind("principles").clean_options({"principles": lines[:30]})
