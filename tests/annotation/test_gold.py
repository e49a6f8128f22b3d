"""Gold of each kind: how it is given, checked, stored and compared, and that people who judge get no sign of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annotation import gold
from annotation.errors import Invalid
from annotation.feedback import KINDS, kind
from annotation.feedback.likeness import MEASURES
from annotation.models import Gold, User
from annotation.services import campaigns, intake
from annotation.services import gold as golds
from annotation.services.settings import settings_from, whole_of
from tests.annotation.feedback.examples import EXAMPLES
from tests.factories import judge, make_campaign, make_task

SHOWN = ["One way.", "Another way.", "A third.", "A fourth."]


def results(
    name: str,
    right: dict[str, Any],
    said: dict[str, Any],
    *,
    tolerance: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    count: int = 2,
    texts: list[str] | None = None,
    order: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """Return what came of each thing: name to (hit, score), or with several answers name and place."""
    one = kind(name)
    options = one.clean_options(options or {})
    read = gold.read(one, {"answer": right, "tolerance": tolerance}, options=options, texts=texts or SHOWN[:count])
    order = order or tuple(range(count))
    payload = one.parse(said, options=options, shown_order=order)
    found = gold.compare(one, read, payload, options=options, shown_order=order)
    return {f"{part.name} {part.place}": (part.is_hit, part.score, part.sentence) for part in found}


def hits(*args: Any, **kwargs: Any) -> dict[str, tuple[bool, float]]:
    return {name: (hit, round(score, 3)) for name, (hit, score, _) in results(*args, **kwargs).items()}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_right_answer_is_right_and_comes_back_as_it_was_given(name: str):
    one = kind(name)
    options = one.default_options()
    value = {"answer": EXAMPLES[name], "tolerance": {}}
    read = gold.read(one, value, options=options, texts=SHOWN[:2])
    found = gold.compare(one, read, read.payload, options=options)
    assert found and all(part.is_hit and part.score == 1.0 for part in found)
    assert all(part.sentence.endswith(".") for part in found)
    given = gold.as_given(one, read, count=2)
    assert gold.read(one, given, options=options, texts=SHOWN[:2]) == read
    names = [like.name for like in one.likenesses(options)]
    assert len(names) == len(set(names)) and {part.name for part in found} <= set(names)


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.django_db
def test_another_campaign_takes_it_over(name: str, lead):
    campaign = make_campaign(lead=lead, kind=name)
    count = min(2, kind(name).completions[1])
    answer = {field: value for field, value in EXAMPLES[name].items() if count > 1 or not field.endswith("_2")}
    task = make_task(campaign, completions=["One way.", "Another way."][:count])
    golds.set_gold(task=task, value={"answer": answer}, actor=lead)
    read = settings_from(json.dumps(whole_of(campaign)))
    copy = campaigns.create(name="A copy", actor=lead, **read)
    (taken,) = copy.tasks.all()
    assert taken.external_id == task.external_id and whole_of(copy) == whole_of(campaign)


def test_where_nothing_can_be_right_there_is_no_gold_and_it_is_said_why():
    critique = kind("critique")
    options = critique.clean_options({"score": False})
    with pytest.raises(Invalid, match="Nothing is asked here that could be right or wrong"):
        gold.read(critique, {"answer": EXAMPLES["critique"]}, options=options, texts=SHOWN[:1])
    own = {"critique": "Kind.", "principle_1_statement": "Kind", "principle_1_answer": "yes"}
    principled = kind("principled_critique")
    with pytest.raises(Invalid, match="answer one of the questions"):
        gold.read(principled, {"answer": own}, options=principled.default_options(), texts=SHOWN[:1])


def test_a_critique_is_right_by_its_score_and_the_words_of_gold_may_be_left_out():
    said = {"weaknesses_1": "It does not say what the answer to the question is at all.", "score_1": "3"}
    assert hits("critique", {"score_1": "2"}, said, count=1) == {"score 0": (True, 1.0)}
    assert hits("critique", {"score_1": "1"}, said, count=1) == {"score 0": (False, 0.0)}
    assert hits("critique", {"score_1": "1"}, said, count=1, tolerance={"score": 2}) == {"score 0": (True, 1.0)}


def test_a_critique_with_principles_is_right_in_those_that_gold_answers():
    """Gold asks for two of the list. Kind: yes and partly, one half. True: not mentioned. Short: gold says nothing."""
    options = {"principles": ["Kind", "True", "Short"], "minimum_words": 3}

    def of(**answers: str) -> dict[str, str]:
        fields = {}
        for number, (statement, answer) in enumerate(answers.items(), start=1):
            fields |= {f"principle_{number}_statement": statement, f"principle_{number}_answer": answer}
        return fields

    right = of(Kind="yes", True_="no") | {"principle_2_statement": "True"}
    said = {"critique": "Kind and short enough.", **of(Kind="partly", Short="yes")}
    found = results("principled_critique", right, said, options=options, count=1)
    assert {name: (hit, score) for name, (hit, score, _) in found.items()} == {
        "kind 0": (False, 0.5),
        "true 0": (False, 0.0),
    }
    assert found["true 0"][2] == "True: right is no; you left it open."
    assert hits("principled_critique", right, said, options=options, count=1, tolerance={"kind": 0.5})["kind 0"][0]


def test_a_written_answer_is_right_by_how_much_of_the_correction_it_made():
    """Gold: 5 goes, 4 comes, "Exactly" goes: 3 words. "2 + 2 = 4, exactly" made all of them, whatever else it says."""
    shown, right = ["Exactly 2 + 2 = 5"], {"text": "2 + 2 = 4"}

    def told(text: str, **more: Any) -> tuple[bool, float, str]:
        (found,) = results("rewrite", right, {"text": text}, count=1, texts=shown, **more).values()
        return found[0], round(found[1], 3), found[2]

    assert told("Oh, 2 + 2 = 4, of course")[:2] == (True, 1.0)
    assert told("Exactly 2 + 2 = 4") == (True, 0.667, "What had to change: 67 per cent of it is changed.")
    assert told("Exactly 2 + 2 = 4", tolerance={"changes": 0.2})[:2] == (False, 0.667)
    assert told(shown[0])[:2] == (False, 0.0), "what was shown, as it was"
    (kept,) = hits("rewrite", {"text": shown[0]}, {"text": shown[0]}, count=1, texts=shown).values()
    (spoilt,) = hits("rewrite", {"text": shown[0]}, right, count=1, texts=shown).values()
    assert (kept, spoilt) == ((True, 1.0), (False, 0.0)), "where nothing had to change"


def test_a_comparison_is_right_on_the_same_side_within_steps():
    """Gold says that the first is much better (+3): slightly better is two steps off, the other side is wrong."""
    assert hits("pairwise", {"preference": "1"}, {"preference": "3"}) == {"preference 0": (True, 1.0)}
    assert hits("pairwise", {"preference": "1"}, {"preference": "3"}, tolerance={"preference": 1}) == {
        "preference 0": (False, 0.0)
    }
    for other in ("4", "5", "both_bad"):
        found = hits("pairwise", {"preference": "3"}, {"preference": other}, tolerance={"preference": 3})
        assert found == {"preference 0": (False, 0.0)}, other
    assert hits("pairwise", {"preference": "4"}, {"preference": "both_good"}) == {"preference 0": (True, 1.0)}


def test_a_comparison_is_told_in_terms_of_the_screen():
    """Gold: canonical answer 0 is better. It stood on the right, as B, and the person preferred A."""
    found = results("pairwise", {"preference": "2"}, {"preference": "2"}, order=(1, 0))
    hit, _, sentence = found["preference 0"]
    assert not hit
    assert sentence == "Which answer is better, and how much: right is B is better; you said A is better."


def test_an_order_is_right_by_the_share_of_pairs():
    """Of four answers 1 2 3 4, swapping the last two turns one pair of six: 5/6 = 0.833; turning all: 0."""
    right = {f"rank_{place}": str(place) for place in range(1, 5)}
    swapped = {**right, "rank_3": "4", "rank_4": "3"}
    assert hits("ranking", right, swapped, count=4) == {"order 0": (True, 0.833)}
    assert hits("ranking", right, swapped, count=4, tolerance={"order": 0.1}) == {"order 0": (False, 0.833)}
    turned = {f"rank_{place}": str(5 - place) for place in range(1, 5)}
    found = results("ranking", right, turned, count=4)
    assert found["order 0"] == (False, 0.0, "The order: 0 of 6 pairs of answers stand as in the right order.")


def test_ratings_are_right_within_a_step_for_each_answer():
    options = {"attributes": ["Clear", "Kind"]}
    right = {"clear_1": "3", "kind_1": "0", "clear_2": "1", "kind_2": "4"}
    said = {"clear_1": "2", "kind_1": "2", "clear_2": "1", "kind_2": "4"}
    found = results("ratings", right, said, options=options)
    assert {name: hit for name, (hit, *_) in found.items()} == {
        "clear 0": True,
        "clear 1": True,
        "kind 0": False,
        "kind 1": True,
    }
    assert found["kind 0"][2] == "Answer A, Kind: right is 0; you said 2."
    assert "near enough" in found["clear 0"][2]
    assert "kind 0" not in hits("ratings", right, said, options=options, tolerance={"kind": None})


def test_safety_compares_the_label_the_worst_severity_and_the_set_of_categories():
    """Gold {violence, drugs}, said {violence, privacy}: 1 shared of 3, so Jaccard 1/3 < 1/2; severity 3 against 1."""
    right = {"safe_1": "unsafe", "harm_1_violence": "3", "harm_1_drugs": "1"}
    said = {"safe_1": "unsafe", "harm_1_violence": "1", "harm_1_privacy_violation": "1"}
    found = results("safety", right, said, count=1)
    assert {name: (hit, round(score, 3)) for name, (hit, score, _) in found.items()} == {
        "safe 0": (True, 1.0),
        "severity 0": (False, 0.0),
        "harms 0": (False, 0.333),
    }
    assert found["severity 0"][2] == "How severe: right is severe; you said minor."
    assert "Drugs, Violence" in found["harms 0"][2]
    assert hits("safety", right, said, count=1, tolerance={"harms": 0.7, "severity": 2}) == {
        "safe 0": (True, 1.0),
        "severity 0": (True, 1.0),
        "harms 0": (True, 0.333),
    }
    safe = hits("safety", {"safe_1": "safe"}, {"safe_1": "safe"}, count=1)
    assert safe["harms 0"] == (True, 1.0), "nothing is what was to be found"


def test_two_comparisons_are_compared_apart():
    right = {"safe_1": "safe", "safe_2": "unsafe", "harm_2_drugs": "2", "safer": "1", "better": "2"}
    said = {**right, "better": "1"}
    found = results("dual", right, said)
    assert not found["better 0"][0] and found["safer 0"][0]
    assert found["better 0"][2] == "Which answer is more helpful: right is B; you said A."
    assert found["severity 1"][0]


def test_partly_is_half_right_beside_yes_and_no():
    options = {"principles": ["Clear", "Kind", "True", "Short"]}
    right = {"clear_1": "yes", "kind_1": "partly", "true_1": "yes", "short_1": "na"}
    said = {"clear_1": "partly", "kind_1": "no", "true_1": "no", "short_1": "partly"}
    assert hits("principles", right, said, options=options, count=1) == {
        "clear 0": (False, 0.5),
        "kind 0": (False, 0.5),
        "true 0": (False, 0.0),
        "short 0": (False, 0.0),
    }
    lenient = hits("principles", right, said, options=options, count=1, tolerance={"clear": 0.5})
    assert lenient["clear 0"] == (True, 0.5)


def test_what_was_not_asked_for_because_of_a_rule_is_missed():
    options = {"attributes": ["Clear", "Kind"], "ask_if": ["Kind if Clear is 3 or 4"]}
    found = results("ratings", {"clear_1": "3", "kind_1": "1"}, {"clear_1": "2"}, options=options, count=1)
    assert found["kind 0"] == (False, 0.0, "Kind: right is 1; you left it open.")


def test_each_turn_of_a_dialogue_is_told_by_its_number():
    options = {"scope": "each_turn", "attributes": ["Clear"]}
    right = {"turn_1_clear_1": "4", "turn_2_clear_1": "0"}
    found = results("ratings", right, {**right, "turn_2_clear_1": "3"}, options=options)
    assert found["clear 1"][2] == "Turn 2, Clear: right is 0; you said 3."
    assert found["clear 0"][0] and not found["clear 1"][0]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("yes", "Give gold as an object"),
        ({"preference": "1"}, "Give gold as an object"),
        ({"answer": {"preference": "1"}, "why": "x"}, "no part 'why'"),
        ({"answer": {"preference": "9"}}, "preference: Choose one of: 1, 2"),
        ({"answer": {"preference": "1"}, "tolerance": 1}, "as an object of names and numbers"),
        ({"answer": {"preference": "1"}, "tolerance": {"colour": 1}}, "there are: preference"),
        ({"answer": {"preference": "1"}, "tolerance": {"preference": 4}}, "from 0 to 3: steps of how much better"),
        ({"answer": {"preference": "1"}, "tolerance": {"preference": True}}, "from 0 to 3"),
    ],
)
def test_gold_that_does_not_fit_is_told(value: Any, sentence: str):
    with pytest.raises(Invalid) as refused:
        gold.read(kind("pairwise"), value, options=kind("pairwise").default_options(), texts=SHOWN[:2])
    assert sentence in str(refused.value) and refused.value.errors


def test_a_comment_is_not_asked_of_gold():
    options = kind("pairwise").clean_options({"comment": "required", "write_on_tie": True})
    assert gold.read(kind("pairwise"), {"answer": {"preference": "both_bad"}}, options=options, texts=SHOWN[:2]).payload


def test_every_measure_says_what_its_tolerance_means():
    assert all(one.meaning and 0 <= one.usual <= one.most for one in MEASURES.values())
    assert all(name == one.name for name, one in MEASURES.items())


ROW = {"id": "one", "prompt": "How?", "completions": ["So.", "Or so."]}
RIGHT = {"answer": {"preference": "2"}, "tolerance": {"preference": 1}}


@pytest.mark.django_db
def test_gold_comes_in_with_its_row_and_bad_gold_is_refused_with_the_reason(lead: User):
    campaign = make_campaign(lead=lead)
    rows = [
        {**ROW, "gold": RIGHT},
        {**ROW, "id": "two"},
        {**ROW, "id": "three", "gold": {"answer": {}}},
        {**ROW, "id": "four", "gold": "A"},
    ]
    report = intake.import_lines(campaign=campaign, lines=[json.dumps(row) for row in rows], actor=lead)
    assert (report.created, report.failed) == (2, 2)
    reasons = {error.line: error.reason for error in report.errors}
    assert reasons[3].startswith("Its gold cannot be used. The gold answer does not fit. preference: Choose one of")
    assert reasons[4].startswith("Its gold is no object")
    (stored,) = Gold.objects.all()
    assert stored.task.external_id == "one" and stored.payload["preference"] == 2
    assert golds.as_given(stored)["tolerance"] == {"preference": 1.0}
    assert "gold" not in json.dumps(stored.task.content) + json.dumps(stored.task.meta)


@pytest.mark.django_db
def test_gold_of_a_row_that_makes_several_items_is_refused(lead: User):
    campaign = make_campaign(lead=lead)
    many = {"prompt": "How?", "completions": ["So.", "Or so.", "Or not."], "gold": RIGHT}
    mapped = intake.import_rows(
        campaign=campaign,
        rows=intake.line_rows([json.dumps(many)]),
        actor=lead,
        columns=intake.Columns(per_item=2),
    )
    assert mapped.created == 0
    assert "an answer to one item" in mapped.errors[0].reason


@pytest.mark.django_db
def test_what_somebody_said_is_compared_in_their_terms(annotator: User, lead: User):
    campaign = make_campaign(lead=lead, annotators=[annotator])
    task = make_task(campaign)
    stored = golds.set_gold(task=task, value=RIGHT, actor=lead)
    judged = judge(annotator, campaign, preference=-2)
    (found,) = golds.compare(stored=stored, judged=judged)
    better, worse = ("A", "B") if judged.shown_order[0] == 0 else ("B", "A")
    assert not found.is_hit
    assert found.sentence.endswith(f"right is {better} is better; you said {worse} is better.")
