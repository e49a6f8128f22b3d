"""Ratings, principles and critiques: what is particular to each."""

from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback import KINDS, scales
from annotation.feedback.critique import Critique
from annotation.feedback.fields import key_of
from annotation.feedback.principles import Principles
from annotation.feedback.ratings import Ratings
from tests.annotation.feedback.examples import EXAMPLES


def test_attributes_are_lines_and_their_points_have_words():
    ratings = Ratings()
    options = ratings.clean_options({"attributes": "Warmth: cold | cool | mild | warm | hot\n\n  Use  \n"})
    assert options["attributes"] == ["Warmth: cold | cool | mild | warm | hot", "Use"]
    (answer,) = ratings.context(options=options, shown_order=[0])["answers"]
    assert [row["name"] for row in answer["rows"]] == ["warmth_1", "use_1"]
    assert [point["words"] for point in answer["rows"][0]["points"]] == ["cold", "cool", "mild", "warm", "hot"]
    assert [point["face"] for point in answer["rows"][0]["points"]] == list("01234")
    drawn = scales.row("Letter: A | B | C | D | ?", 1, "off")["points"]
    assert [(point["value"], point["face"]) for point in drawn] == list(zip("01234", "ABCD?", strict=True))
    payload = ratings.parse({"warmth_1": 4, "use_1": "0"}, options=options, shown_order=[0])
    assert payload["ratings"] == [{"warmth": 4, "use": 0}]
    assert ratings.describe(payload, options=options) == "Warmth 4, Use 0"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("Warmth: cold | hot", "2 words"),
        ("Warmth\nWarmth: cold | cool | mild | warm | hot", "Two lines"),
        ("!!!", "Begin each line"),
        ("", "1 to 12"),
        (["a", 3], "list of texts"),
        (7, "list of texts"),
        (["a\x00"], "NUL"),
        ([f"a{number}" for number in range(13)], "1 to 12"),
    ],
)
def test_attributes_that_do_not_fit_are_told(lines, sentence):
    with pytest.raises(Invalid) as caught:
        Ratings().clean_options({"attributes": lines})
    assert sentence in " ".join(caught.value.errors["attributes"])


def test_beside_a_rating_people_say_how_sure_they_are_and_raise_flags():
    ratings = KINDS["ratings"]
    options = ratings.clean_options({"attributes": ["Use", "Tone"], "confidence": True, "flags": ["Unsafe"]})
    said = {"use_1": "3", "tone_1": "1", "confidence_use_1": "2", "flag_unsafe_1": "yes"}
    payload = ratings.parse(said, options=options, shown_order=[0])
    assert (payload["confidence"], payload["flags"]) == ([{"use": 2}], [{"unsafe": True}])
    assert ratings.describe(payload, options=options) == "Use 3 (fairly sure), Tone 1, Unsafe"
    assert [one.name for one in ratings.likenesses(options)] == ["use", "tone", "flag_unsafe"]
    known = ratings.parse(said, options=ratings.options_of_gold(options), shown_order=[0])
    assert "confidence" not in known and known["flags"] == payload["flags"]
    with pytest.raises(Invalid) as caught:
        ratings.parse({**said, "confidence_tone_1": "4"}, options=options, shown_order=[0])
    assert list(caught.value.errors) == ["confidence_tone_1"]
    clashing = {"attributes": ["Confidence of tone", "Flag of use"], "confidence": True, "flags": ["Unsafe"]}
    with pytest.raises(Invalid) as caught:
        ratings.clean_options(clashing)
    assert len(caught.value.errors["attributes"]) == 2
    assert ratings.clean_options({"attributes": clashing["attributes"]})["confidence"] is False


def test_a_rating_that_is_missing_is_named():
    data = {name: value for name, value in EXAMPLES["ratings"].items() if name != "coherence_2"}
    with pytest.raises(Invalid) as caught:
        Ratings().parse(data, options={}, shown_order=[0, 1])
    assert caught.value.errors == {"coherence_2": ["Rate this too."]}


def test_a_key_is_the_same_whatever_signs_a_title_has():
    assert key_of("White-collar crime: deceit") == "white_collar_crime"
    assert key_of("Ärger & Co.") == "ärger_co"
    assert key_of(" : x") == ""


def test_evidence_gets_its_place_in_the_raw_text():
    principles = Principles()
    payload = principles.parse(EXAMPLES["principles"], options={}, shown_order=[0, 1])
    texts = ["It is said in **plain** words.", "Other."]
    found = list(principles.rows("principles", payload, texts=texts, origins=["", ""], shown_order=[0, 1]))
    evidence = next(row["evidence"] for row in found if row["principle"] == "clear" and row["position"] == 0)
    assert texts[0][evidence["start"] : evidence["end"]] == "in **plain** words"
    assert len(found) == 14
    assert {row["answer"] for row in found} == {"yes", "no", "partly", "na"}


def test_without_evidence_none_is_kept():
    payload = Principles().parse(EXAMPLES["principles"], options={"evidence": False}, shown_order=[0, 1])
    assert all(one["evidence"] == "" for said in payload["principles"] for one in said.values())


def test_a_critique_is_as_long_as_asked_for():
    critique = Critique()
    with pytest.raises(Invalid) as caught:
        critique.parse({"strengths_1": "Good.", "score_1": "4"}, options={}, shown_order=[0])
    assert "5 characters; at least 40" in caught.value.errors["weaknesses_1"][0]
    assert critique.parse({"strengths_1": "Good.", "score_1": "4"}, options={"minimum": 5}, shown_order=[0])


def test_a_critique_without_a_score_has_none():
    critique = Critique()
    options = {"score": False, "minimum": 5}
    payload = critique.parse({"weaknesses_1": "Too long."}, options=options, shown_order=[0])
    assert payload["critiques"] == [{"strengths": "", "weaknesses": "Too long.", "score": None}]
    assert critique.dimensions(options) == [] and list(critique.points(payload)) == []
    assert critique.describe(payload, options=options) == "“Too long.”"
    (row,) = critique.rows("critiques", payload, texts=["…"], origins=["x"], shown_order=[0])
    assert (row["critique"], row["score"]) == ("Too long.", None)


def test_passages_of_a_critique_have_their_places_in_the_raw_text():
    one = Critique()
    sent = {"weaknesses_1": "It leaves out how long to wait for it.", "score_1": "2", "passages_weaknesses_1": "b c\nx"}
    payload = one.parse(sent, options={"minimum": 10}, shown_order=[0])
    (row,) = one.rows("critiques", payload, texts=["a **b** c"], origins=[""], shown_order=[0])
    assert row["passages"] == [
        {"about": "weaknesses", "text": "b c", "start": 4, "end": 9},
        {"about": "weaknesses", "text": "x", "start": None, "end": None},
    ]
    with pytest.raises(Invalid) as refused:
        one.parse({**sent, "passages_weaknesses_1": "x\n" * 21}, options={"minimum": 10}, shown_order=[0])
    assert set(refused.value.errors) == {"passages_weaknesses_1"}
