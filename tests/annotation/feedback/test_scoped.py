"""What every kind does with turns and whole dialogues; a kind that allows them is tested here by itself."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.dataset_views import PROVENANCE, VIEWS
from annotation.dialogues import ANSWER, DIALOGUE, EACH_TURN, SCOPES, TURN
from annotation.errors import Invalid
from annotation.feedback import KINDS
from annotation.feedback.scoped import bounds
from tests.annotation.feedback.examples import EXAMPLES
from tests.annotation.feedback.test_kinds import values

TURNS = [0, 1]  # two turns, in the order shown
TEXTS = ["It is said in plain words, here.", "Something else."]


def by_turn(name: str) -> dict[str, Any]:
    """Return the example of a kind with what it says about the first answer for turn 1, about the second for turn 2."""
    fields = {}
    for field, value in EXAMPLES[name].items():
        if field == "comment":
            fields |= {"turn_1_comment": value, "turn_2_comment": "And so it goes on."}
        else:
            fields[f"turn_{field[-1]}_{field[:-2]}_1"] = value
    if name == "safety":  # its categories stand behind the place
        return {
            "turn_1_safe_1": "unsafe",
            "turn_1_harm_1_violence": "3",
            "turn_2_safe_1": "safe",
            "turn_2_comment": "Put right.",
        }
    return fields


EACH = sorted(name for name, kind in KINDS.items() if EACH_TURN in kind.scopes)


@pytest.fixture(params=EACH)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def options(kind):
    return kind.clean_options({"scope": EACH_TURN})


def test_which_kinds_judge_what():
    assert {name for name, kind in KINDS.items() if set(kind.scopes) == set(SCOPES)} == {
        *("safety", "ratings", "principles", "critique"),
    }
    assert KINDS["pairwise"].scopes == (ANSWER, DIALOGUE)
    for kind in KINDS.values():
        assert kind.default_options().get("scope", ANSWER) == ANSWER


def test_a_scope_that_a_kind_has_not_is_named_with_those_it_has():
    with pytest.raises(Invalid) as caught:
        KINDS["pairwise"].clean_options({"scope": TURN, "question": ""})
    assert caught.value.errors["scope"] == ["Give one of: answer, dialogue."]
    assert "question" in caught.value.errors
    with pytest.raises(Invalid):
        KINDS["ranking"].clean_options({"scope": DIALOGUE})
    with pytest.raises(Invalid):
        KINDS["safety"].clean_options({"scope": ["turn"]})


def test_only_comparisons_of_dialogues_want_more_than_one(kind):
    assert bounds(kind, {"scope": EACH_TURN}) == bounds(kind, {"scope": TURN}) == (1, 1)
    assert bounds(kind, {"scope": DIALOGUE}) == bounds(kind, {}) == kind.completions
    assert bounds(KINDS["pairwise"], {"scope": DIALOGUE}) == (2, 2)


def test_each_turn_is_the_kinds_own_judgement_with_its_number(kind, options):
    payload = kind.parse(by_turn(kind.name), options=options, shown_order=TURNS)
    assert json.loads(json.dumps(payload)) == payload
    assert [part["turn"] for part in payload["turns"]] == [1, 2]
    for part in payload["turns"]:
        own = {
            name.removeprefix(f"turn_{part['turn']}_"): value
            for name, value in by_turn(kind.name).items()
            if name.startswith(f"turn_{part['turn']}_")
        }
        alone = kind.parse(own, options=kind.default_options(), shown_order=[0])
        assert {name: value for name, value in part.items() if name != "turn"} == alone


def test_what_was_given_for_each_turn_comes_back(kind, options):
    payload = kind.parse(by_turn(kind.name), options=options, shown_order=TURNS)
    filled = kind.initial(payload, shown_order=TURNS)
    assert {name: value for name, value in by_turn(kind.name).items() if value}.items() <= filled.items()
    assert kind.parse(filled, options=options, shown_order=TURNS) == payload
    words = kind.describe(payload, options=options, shown_order=TURNS)
    assert words.startswith("Turn 1: ") and "; Turn 2: " in words


def test_nothing_is_taken_until_every_turn_is_judged_and_errors_name_the_turn(kind, options):
    given = {name: value for name, value in by_turn(kind.name).items() if not name.startswith("turn_2_")}
    with pytest.raises(Invalid) as caught:
        kind.parse(given, options=options, shown_order=TURNS)
    assert caught.value.errors
    for name, reasons in caught.value.errors.items():
        assert name.startswith("turn_2_")
        assert all(reason.startswith("Turn 2: ") and reason.endswith(".") for reason in reasons)


def test_turn_ten_is_not_turn_one():
    kind = KINDS["safety"]
    options = kind.clean_options({"scope": EACH_TURN})
    given = {f"turn_{turn}_safe_1": "safe" for turn in range(1, 13) if turn != 10}
    with pytest.raises(Invalid) as caught:
        kind.parse(given, options=options, shown_order=list(range(12)))
    assert set(caught.value.errors) == {"turn_10_safe_1"}


def test_rows_of_each_turn_are_those_of_its_view_and_say_the_turn(kind, options):
    payload = kind.parse(by_turn(kind.name), options=options, shown_order=TURNS)
    for view in kind.views:
        found = list(kind.rows(view, payload, texts=TEXTS, origins=["one", "two"], shown_order=TURNS))
        assert {row["turn"] for row in found} == {1, 2}
        for row in found:
            assert set(row) - {"turn"} == set(VIEWS[view].columns) - set(PROVENANCE) - {"prompt", "domain", "language"}
            assert row["completion"][0]["content"] == TEXTS[row["turn"] - 1]
            assert (row["completion_origin"], row["position"]) == (["one", "two"][row["turn"] - 1], 0)


def test_each_turn_is_a_unit_of_agreement(kind, options):
    payload = kind.parse(by_turn(kind.name), options=options, shown_order=TURNS)
    points = list(kind.points(payload))
    assert {point.place for point in points} == {0, 1}
    assert len({(point.dimension, point.place) for point in points}) == len(points)
    assert {point.dimension for point in points} == {dimension.name for dimension in kind.dimensions(options)}
    said = kind.tally(payload, options=options, shown_order=TURNS)
    assert said and set(said) <= set(kind.tally_labels(options))


def test_the_schema_of_each_turn_names_the_fields_of_the_first(kind, options):
    schema = kind.json_schema(options)
    jsonschema.Draft202012Validator.check_schema(schema)
    first = {name: value for name, value in by_turn(kind.name).items() if name.startswith("turn_1_")}
    jsonschema.validate(first, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({}, schema)
    with pytest.raises(Invalid) as caught:
        kind.parse({}, options=options, shown_order=[0])
    assert set(schema["required"]) <= set(caught.value.errors)


def test_the_inputs_of_each_turn_have_names_of_their_own(kind, options):
    inputs = kind.context(options=options, shown_order=[0, 1, 2])
    assert [turn["prefix"] for turn in inputs["turns"]] == ["turn_1_", "turn_2_", "turn_3_"]
    assert inputs["template"] == f"feedback/{kind.name}.html"
    assert inputs["inputs"] == kind.context(options=kind.default_options(), shown_order=[0])


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_is_sent_about_turns_is_stored_or_refused_in_sentences(data):
    kind = KINDS[data.draw(st.sampled_from(EACH))]
    options = kind.clean_options({"scope": EACH_TURN})
    fields = st.sampled_from([*by_turn(kind.name), "turns", "turn_1", "turn_", "turn_3_safe_1"])
    sent = {**by_turn(kind.name), **data.draw(st.dictionaries(fields, values, max_size=6))}
    try:
        payload = kind.parse(sent, options=options, shown_order=TURNS)
    except Invalid as error:
        assert error.errors
        assert all(text.endswith(".") for texts in error.errors.values() for text in texts)
    else:
        json.dumps(payload, allow_nan=False)
        assert kind.parse(kind.initial(payload, shown_order=TURNS), options=options, shown_order=TURNS) == payload
