from __future__ import annotations

import jsonschema
import pytest

from annotation.errors import Invalid
from annotation.feedback.ranking import Ranking

RANKING = Ranking()


def parse(*ranks: int, order=None, **options):
    data = {f"rank_{place}": str(rank) for place, rank in enumerate(ranks, start=1)}
    return RANKING.parse(data, options=options, shown_order=order or list(range(len(ranks))))


def test_places_left_out_are_closed_up():
    assert parse(1, 4, 4, 3)["ranks"] == [1, 3, 3, 2]
    assert parse(2, 2, 2)["ranks"] == [1, 1, 1]
    assert parse(3, 1, 2, order=[2, 0, 1])["ranks"] == [1, 2, 3]


def test_every_ordered_pair_is_a_row_and_a_tie_is_none():
    payload = parse(2, 1, 2)
    rows = list(RANKING.rows("pairs", payload, texts=["a", "b", "c"], origins=["x", "y", "z"], shown_order=[2, 0, 1]))
    assert [(row["chosen_origin"], row["rejected_origin"], row["strength"], row["position"]) for row in rows] == [
        ("y", "x", 0.5, 1),
        ("y", "z", 0.5, 1),
    ]


def test_ties_can_be_refused():
    with pytest.raises(Invalid) as caught:
        parse(1, 1, 2, ties=False)
    assert set(caught.value.errors) == {"rank_1", "rank_2"}
    assert parse(1, 3, 2, ties=False)["ranks"] == [1, 3, 2]


def test_a_place_that_is_none_is_named():
    with pytest.raises(Invalid) as caught:
        RANKING.parse({"rank_1": "3", "rank_2": ""}, options={}, shown_order=[0, 1])
    assert caught.value.errors == {"rank_1": ["Choose one of: 1, 2."], "rank_2": ["Give this answer a place."]}


def test_two_answers_are_a_comparison_and_more_are_none():
    assert RANKING.scale_value(parse(1, 2)) == 1
    assert RANKING.scale_value(parse(2, 1)) == -1
    assert RANKING.scale_value(parse(1, 1)) == 0
    assert RANKING.scale_value(parse(1, 2, 3)) is None


def test_it_is_told_in_words():
    assert RANKING.describe(parse(2, 1, 2), options={}, shown_order=[2, 0, 1]) == "C > A = B"
    assert RANKING.describe(parse(2, 1, 2), options={}) == "Answer 2 > Answer 1 = Answer 3"


def test_people_agree_pair_by_pair():
    assert [tuple(point)[1:3] for point in RANKING.points(parse(1, 2, 2))] == [(0, 1), (1, 1), (2, 0)]


RATED = {"attributes": ["Helpfulness", "Tone"], "flags": ["Spam", "Wrong language"]}


def rated(order=(0, 1), **more):
    ratings = {"helpfulness_1": "3", "tone_1": "1", "helpfulness_2": "0", "tone_2": "4"}
    said = {"rank_1": "1", "rank_2": "2", **ratings, "flag_spam_2": "yes", **more}
    return RANKING.parse(said, options=RATED, shown_order=list(order))


def test_answers_are_rated_and_flagged_while_they_are_put_in_order():
    payload = rated(order=(1, 0))
    assert payload["ratings"] == [{"helpfulness": 0, "tone": 4}, {"helpfulness": 3, "tone": 1}]
    assert payload["flags"] == [{"spam": True, "wrong_language": False}, {"spam": False, "wrong_language": False}]
    rows = list(RANKING.rows("ratings", payload, texts=["a", "b"], origins=["x", "y"], shown_order=[1, 0]))
    assert [(row["completion_origin"], row["ratings"]["tone"], row["flags"]) for row in rows] == [
        ("x", 4, ["spam"]),
        ("y", 1, []),
    ]
    (ranked,) = RANKING.rows("rankings", payload, texts=["a", "b"], origins=["x", "y"], shown_order=[1, 0])
    assert ranked["flags"] == [["spam"], []]
    said = RANKING.describe(payload, options=RATED, shown_order=[1, 0])
    assert said == "A > B; A: Helpfulness 3, Tone 1; B: Helpfulness 0, Tone 4, Spam"


def test_a_flag_that_nobody_raised_is_an_answer_to_agree_on():
    points = {(point.dimension, point.place): point.category for point in RANKING.points(rated())}
    assert points["flag_spam", 0] == "not raised"
    assert points["flag_spam", 1] == "raised"
    assert points["tone", 1] == "4"


def test_an_answer_that_was_not_rated_is_named_beside_what_else_is_wrong():
    with pytest.raises(Invalid) as caught:
        rated(rank_2="", tone_2="5", flag_spam_1="maybe")
    assert set(caught.value.errors) == {"rank_2", "tone_2", "flag_spam_1"}


def test_when_all_are_bad_each_is_rated_all_the_same():
    options = {**RATED, "write_on_tie": True}
    said = {"all": "bad", "written_better": "Better.", "helpfulness_1": "0", "tone_1": "0"}
    payload = RANKING.parse({**said, "helpfulness_2": "0", "tone_2": "1"}, options=options, shown_order=[0, 1])
    assert (payload["ranks"], payload["ratings"][1]["tone"]) == ([1, 1], 1)


@pytest.mark.parametrize("name", ["Rank", "Order: a | b | c | d | e", "Flag spam"])
def test_an_attribute_cannot_be_taken_for_something_else(name):
    with pytest.raises(Invalid) as caught:
        RANKING.clean_options({"attributes": [name]})
    assert set(caught.value.errors) == {"attributes"}


WITH_REASONS = {"attributes": ["Faithful: a | b | c | d | e", "Helpful"], "reasons": "optional"}
SAID = {
    "rank_1": "2",
    "rank_2": "1",
    "faithful_1": "0",
    "helpful_1": "3",
    "faithful_2": "4",
    "helpful_2": "1",
    "reason_faithful_1": " The bird is no wren. ",
}


def test_answers_are_rated_with_reasons_before_they_are_ordered():
    options = RANKING.clean_options(WITH_REASONS)
    payload = RANKING.parse(SAID, options=options, shown_order=[1, 0])
    assert payload["ranks"] == [1, 2]
    assert payload["ratings"] == [{"faithful": 4, "helpful": 1}, {"faithful": 0, "helpful": 3}]
    assert payload["reasons"] == [{}, {"faithful": "The bird is no wren."}]
    values = RANKING.initial(payload, shown_order=[1, 0])
    assert RANKING.parse(values, options=options, shown_order=[1, 0]) == payload
    rows = list(RANKING.rows("ratings", payload, texts=["a", "b"], origins=["x", "y"], shown_order=[1, 0]))
    assert [(row["ratings"]["faithful"], row["reasons"], row["position"]) for row in rows] == [
        (4, {}, 1),
        (0, {"faithful": "The bird is no wren."}, 0),
    ]
    assert len(list(RANKING.rows("pairs", payload, texts=["a", "b"], origins=["x", "y"], shown_order=[1, 0]))) == 1
    announced = {dimension.name for dimension in RANKING.dimensions(options)}
    assert {point.dimension for point in RANKING.points(payload)} == announced == {"order", "faithful", "helpful"}
    jsonschema.validate(SAID, RANKING.json_schema(options))
    (question, _) = RANKING.context(options=options, shown_order=[1, 0])["answers"][0]["rows"]
    assert (question["name"], question["reason_name"], question["points"][4]["words"]) == (
        "faithful_1",
        "reason_faithful_1",
        "e",
    )


def test_a_rating_or_a_reason_that_is_wanted_is_named():
    options = RANKING.clean_options({**WITH_REASONS, "reasons": "required"})
    with pytest.raises(Invalid) as caught:
        RANKING.parse({**SAID, "helpful_2": ""}, options=options, shown_order=[0, 1])
    assert set(caught.value.errors) == {"helpful_2", "reason_helpful_1", "reason_faithful_2", "reason_helpful_2"}
    with pytest.raises(Invalid) as caught:
        RANKING.clean_options({"attributes": ["Faithful: good | bad"], "reasons": "always"})
    assert set(caught.value.errors) == {"attributes", "reasons"}


def test_without_attributes_nobody_is_rated():
    payload = parse(1, 2)
    assert "ratings" not in payload
    assert list(RANKING.rows("ratings", payload, texts=["a", "b"], origins=["", ""], shown_order=[0, 1])) == []
