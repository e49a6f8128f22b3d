"""The comparison: what is on screen and what is stored mean the same, whichever side an answer stood on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.errors import Invalid
from annotation.feedback import KINDS, kind

PAIRWISE = kind("pairwise")
OPTIONS = PAIRWISE.default_options()
ORDERS = ([0, 1], [1, 0])
VALUES = ["1", "2", "3", "4", "5", "6", "7", "both_bad", "both_good"]


def parse(data, *, order=(0, 1), **options):
    return PAIRWISE.parse(data, options={**OPTIONS, **options}, shown_order=list(order))


@pytest.mark.parametrize(
    ("shown", "preference"), [("1", 3), ("2", 2), ("3", 1), ("4", 0), ("5", -1), ("6", -2), ("7", -3)]
)
def test_the_left_answer_is_the_one_shown_first(shown, preference):
    """With order [1, 0] canonical answer 1 stands left: "left much better" then is preference -3."""
    assert parse({"preference": shown})["preference"] == preference
    assert parse({"preference": shown}, order=(1, 0))["preference"] == -preference


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("shown", "preference"), [*zip("12345678", (4, 3, 2, 1, -1, -2, -3, -4), strict=True)])
def test_eight_points_have_no_middle(shown, preference, order):
    """ "4" and "5" are the two sides of a hair's breadth; the strength of a pair is a share of four degrees."""
    eight = {"ties": False, "degrees": 4}
    payload = parse({"preference": shown}, order=order, **eight)
    turned = 1 if order == [0, 1] else -1
    assert (payload["verdict"], payload["preference"], payload["degrees"]) == ("prefer", turned * preference, 4)
    assert PAIRWISE.initial(payload, shown_order=order)["preference"] == shown
    (row,) = PAIRWISE.rows("pairs", payload, texts=("x", "y"), origins=("m", "n"), shown_order=order)
    assert row["strength"] == abs(preference) / 4
    words = PAIRWISE.describe(payload, options={**OPTIONS, **eight}, shown_order=order)
    scale = PAIRWISE.context(options={**OPTIONS, **eight}, shown_order=order)["scale"]
    assert [one["label"] for one in scale if one["value"] == shown] == [words] and len({o["label"] for o in scale}) == 8
    (point,) = PAIRWISE.points(payload)
    assert PAIRWISE.point_in_words(point, options={**OPTIONS, **eight}, shown_order=order) == words


def test_four_degrees_leave_no_room_for_a_tie_and_five_do_not_exist():
    for wrong in ({"degrees": 4}, {"degrees": 5, "ties": False}, {"degrees": "4", "ties": False}):
        with pytest.raises(Invalid) as refused:
            PAIRWISE.clean_options({**OPTIONS, **wrong})
        assert "degrees" in refused.value.errors
    assert PAIRWISE.clean_options({"degrees": 4, "ties": False})["degrees"] == 4
    schema = PAIRWISE.json_schema({**OPTIONS, "degrees": 4, "ties": False})
    assert schema["properties"]["preference"]["enum"][:8] == list("12345678")
    with pytest.raises(Invalid):
        parse({"preference": "8"})


def test_verdicts_tell_four_things_apart():
    verdicts = {value: parse({"preference": value})["verdict"] for value in VALUES}
    assert verdicts.pop("4") == "tie"
    assert verdicts.pop("both_bad") == "both_bad"
    assert verdicts.pop("both_good") == "both_good"
    assert set(verdicts.values()) == {"prefer"}


@given(value=st.sampled_from(VALUES), comment=st.text(max_size=30), order=st.sampled_from(ORDERS))
def test_initial_is_the_inverse_of_parse(value, comment, order):
    try:
        payload = parse({"preference": value, "comment": comment}, order=order)
    except Invalid as refused:
        assert set(refused.errors) == {"comment"}
        return
    again = PAIRWISE.initial(payload, shown_order=order)
    assert again["preference"] == value
    assert parse(again, order=order) == payload


@pytest.mark.parametrize("value", [None, "", "0", "8", "1.0", "better", True, [], {}, "１", 1.5, "-1"])
def test_what_is_no_preference_is_refused_at_its_field(value):
    with pytest.raises(Invalid) as refused:
        parse({"preference": value})
    assert set(refused.value.errors) == {"preference"}


def test_whole_numbers_count_as_well():
    assert parse({"preference": 2}) == parse({"preference": "2"})


@pytest.mark.parametrize(("option", "value"), [("ties", "4"), ("both_bad", "both_bad"), ("both_good", "both_good")])
def test_what_the_campaign_does_not_allow_is_neither_offered_nor_taken(option, value):
    options = {**OPTIONS, option: False}
    with pytest.raises(Invalid):
        parse({"preference": value}, **{option: False})
    context = PAIRWISE.context(options=options, shown_order=[0, 1])
    offered = [one["value"] for one in context["scale"] + context["verdicts"]]
    assert sorted(offered) == sorted(set(VALUES) - {value})
    assert PAIRWISE.json_schema(options)["properties"]["preference"]["enum"] == offered


def test_comments_are_required_optional_or_off():
    with pytest.raises(Invalid) as refused:
        parse({"preference": "1", "comment": "  "}, comment="required")
    assert set(refused.value.errors) == {"comment"}
    assert parse({"preference": "1", "comment": " x "}, comment="required")["comment"] == "x"
    assert parse({"preference": "1"})["comment"] == ""
    assert parse({"preference": "1", "comment": "x"}, comment="off")["comment"] == ""


@pytest.mark.parametrize("comment", [7, ["x"], "x" * 10_001, "a\x00b", "\ud83d"])
def test_comments_that_cannot_be_stored_are_refused_at_their_field(comment):
    with pytest.raises(Invalid) as refused:
        parse({"preference": "1", "comment": comment})
    assert set(refused.value.errors) == {"comment"}


def test_every_key_is_on_its_control_once():
    context = PAIRWISE.context(options=OPTIONS, shown_order=[0, 1])
    assert [one["key"] for one in context["scale"] + context["verdicts"]] == [*"1234567", "0", "9"]
    assert [one["side"] for one in context["scale"]] == ["left"] * 3 + ["tie"] + ["right"] * 3


def test_words_speak_of_the_screen_when_they_know_it():
    payload = parse({"preference": "1"}, order=(1, 0))
    assert PAIRWISE.describe(payload, options=OPTIONS, shown_order=[1, 0]) == "A is much better"
    assert PAIRWISE.describe(payload, options=OPTIONS) == "Answer 2 is much better"
    assert PAIRWISE.describe(parse({"preference": "4"}), options=OPTIONS) == "About the same"
    assert PAIRWISE.describe(parse({"preference": "both_bad"}), options=OPTIONS) == "Both are bad"


def test_a_preference_gives_one_row_and_everything_else_none():
    arguments = {"texts": ["zero", "one"], "origins": ["a", "b"], "shown_order": [1, 0]}
    (row,) = PAIRWISE.rows("pairs", parse({"preference": "3", "comment": "c"}, order=(1, 0)), **arguments)
    assert row == {
        "chosen": [{"role": "assistant", "content": "one"}],
        "rejected": [{"role": "assistant", "content": "zero"}],
        "strength": 1 / 3,
        "position": 0,
        "chosen_origin": "b",
        "rejected_origin": "a",
        "comment": "c",
    }
    for value in ("4", "both_bad", "both_good"):
        assert list(PAIRWISE.rows("pairs", parse({"preference": value}), **arguments)) == []


def test_agreement_sees_direction_and_strength():
    left = parse({"preference": "1"}, order=(1, 0))
    assert list(PAIRWISE.points(left)) == [("preference", 0, -3, "second")]
    neither = parse({"preference": "both_good"})
    assert list(PAIRWISE.points(neither)) == [("preference", 0, 0, "neither")]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"ties": "yes"}, "ties"),
        ({"comment": "maybe"}, "comment"),
        ({"question": " "}, "question"),
        ({"question": "a\x00"}, "question"),
        ({"question": 3}, "question"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_options_that_do_not_fit_are_refused_at_their_field(options, field):
    with pytest.raises(Invalid) as refused:
        PAIRWISE.clean_options(options)
    assert set(refused.value.errors) == {field}


def test_options_are_completed_with_the_defaults():
    assert PAIRWISE.clean_options({"ties": False}) == {**OPTIONS, "ties": False}
    assert set(PAIRWISE.options_schema()["properties"]) == set(OPTIONS)


def test_the_registry_suggests_the_near_name():
    with pytest.raises(Invalid, match="did you mean 'pairwise'"):
        kind("pairwize")
    assert all(name == one.name and one.template == f"feedback/{name}.html" for name, one in KINDS.items())


ASKED = {"dimensions": ["Accuracy: what is true", "Clarity: easy to follow"]}


RANKED = {"dimensions": ["Safety: safe to follow", "Craft: goes into detail", "Style: clear"], "priorities": True}


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize(
    ("safety", "craft", "whole", "prefers"),
    [
        ("2", "6", "1", ""),  # A wins on what comes first
        ("2", "6", "6", "A"),  # B wins by craft, and must not
        ("2", "4", "4", "A"),  # a tie is no way out where something decides
        ("4", "5", "2", "B"),  # a tie passes down, and craft decides
        ("4", "5", "7", ""),
        ("4", "4", "1", ""),  # nothing decides, so the whole is free
        ("2", "6", "both_bad", ""),  # says nothing about which is better
    ],
)
def test_where_dimensions_have_priorities_the_first_that_differs_decides(order, safety, craft, whole, prefers):
    options = PAIRWISE.clean_options(RANKED)
    said = {"preference": whole, "preference_safety": safety, "preference_craft": craft, "preference_style": "4"}
    if not prefers:
        assert PAIRWISE.parse(said, options=options, shown_order=order)["verdict"]
        return
    with pytest.raises(Invalid) as refused:
        PAIRWISE.parse(said, options=options, shown_order=order)
    (reason,) = refused.value.errors["preference"]
    assert f"you prefer {prefers};" in reason and ("Safety" if safety != "4" else "Craft") in reason


def test_priorities_need_dimensions_and_put_the_whole_last():
    with pytest.raises(Invalid) as refused:
        PAIRWISE.clean_options({"priorities": True})
    assert "priorities" in refused.value.errors
    options = PAIRWISE.clean_options(RANKED)
    names = [row["name"] for row in PAIRWISE.context(options=options, shown_order=[0, 1])["rows"]]
    assert names[0] == "preference_safety" and names[-1] == "preference" and PAIRWISE.has_rules_in(options)


@pytest.mark.parametrize("order", ORDERS)
def test_dimensions_are_compared_beside_the_whole(order):
    options = PAIRWISE.clean_options(ASKED)
    sent = {"preference": "both_bad", "preference_accuracy": "1", "preference_clarity": "6"}
    payload = parse(sent, order=order, **ASKED)
    sign = 1 if order == [0, 1] else -1
    assert payload["dimensions"] == {"accuracy": 3 * sign, "clarity": -2 * sign}
    assert {**sent, "comment": ""} == PAIRWISE.initial(payload, shown_order=order)
    said = PAIRWISE.describe(payload, options=options, shown_order=order)
    assert said == "Both are bad; Accuracy: A is much better; Clarity: B is better"
    assert [point.dimension for point in PAIRWISE.points(payload)] == [
        dimension.name for dimension in PAIRWISE.dimensions(options)
    ]
    rows = {
        row["dimension"]: row
        for row in PAIRWISE.rows("dimension_pairs", payload, texts=["x", "y"], origins=["", ""], shown_order=order)
    }
    first = ["x", "y"][order[0]]
    assert set(rows) == {"accuracy", "clarity"}  # the whole has no better answer
    assert rows["accuracy"]["chosen"][0]["content"] == first and rows["accuracy"]["position"] == 0
    assert rows["clarity"]["rejected"][0]["content"] == first and rows["clarity"]["strength"] == 2 / 3
    assert not list(PAIRWISE.rows("pairs", payload, texts=["x", "y"], origins=["", ""], shown_order=order))


def test_a_dimension_without_an_answer_is_named_and_the_whole_is_none():
    with pytest.raises(Invalid) as refused:
        parse({"preference": "2", "preference_accuracy": "both_bad"}, **ASKED)
    assert set(refused.value.errors) == {"preference_accuracy", "preference_clarity"}
    with pytest.raises(Invalid) as refused:
        PAIRWISE.clean_options({"dimensions": ["Overall: all of it"]})
    assert "dimensions" in refused.value.errors
    schema = PAIRWISE.json_schema(PAIRWISE.clean_options(ASKED))
    assert {"preference", "preference_accuracy", "preference_clarity"} == set(schema["required"])


RED_TEAM = PAIRWISE.clean_options({"mode": "red_team"})


@pytest.mark.parametrize(("order", "sign"), [([0, 1], -1), ([1, 0], 1)])
def test_a_red_team_chooses_the_more_harmful_answer_and_exports_prefer_the_other(order, sign):
    """1 says that what stood left is much more harmful; so the other one is stored, and exported, as much better."""
    payload = PAIRWISE.parse({"preference": "1"}, options=RED_TEAM, shown_order=order)
    assert payload == {"verdict": "prefer", "preference": 3 * sign, "comment": "", "asked": "worse"}
    assert PAIRWISE.initial(payload, shown_order=order) == {"preference": "1", "comment": ""}
    assert PAIRWISE.describe(payload, options=RED_TEAM, shown_order=order) == "A is much more harmful"
    harmful = order[0]
    words = PAIRWISE.describe(payload, options=RED_TEAM)
    assert words == f"Answer {harmful + 1} is much more harmful"
    texts = ["zero", "one"]
    (row,) = PAIRWISE.rows("pairs", payload, texts=texts, origins=["", ""], shown_order=order)
    assert row["rejected"][0]["content"] == texts[harmful]
    assert row["chosen"][0]["content"] == texts[1 - harmful]
    assert row["position"] == 1  # the better one stood right
    assert PAIRWISE.scale_value(payload) == 3 * sign


def test_a_red_team_is_asked_so_in_words_and_may_word_it_itself():
    assert RED_TEAM["question"] == "Which answer is more harmful?"
    inputs = PAIRWISE.context(options=RED_TEAM, shown_order=[0, 1])
    assert inputs["scale"][0]["label"] == "A is much more harmful"
    assert "much more harmful" in PAIRWISE.json_schema(RED_TEAM)["properties"]["preference"]["description"]
    own = PAIRWISE.clean_options({"mode": "red_team", "question": "Which one would you not say?"})
    assert own["question"] == "Which one would you not say?"
    with pytest.raises(Invalid):
        PAIRWISE.clean_options({"mode": "blue_team"})
    tie = PAIRWISE.parse({"preference": "4"}, options=RED_TEAM, shown_order=[0, 1])
    assert (tie["verdict"], tie["preference"]) == ("tie", 0)


def test_a_red_team_compares_the_whole_alone():
    for more in ({"dimensions": ["Accuracy"]}, {"write_on_tie": True}):
        with pytest.raises(Invalid) as refused:
            PAIRWISE.clean_options({"mode": "red_team", **more})
        assert set(refused.value.errors) == set(more)
