from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback.dual import Dual

DUAL = Dual()


def parse(order=(0, 1), **data):
    return DUAL.parse(data, options={}, shown_order=list(order))


def rule_of(**data) -> str:
    with pytest.raises(Invalid) as caught:
        parse(**data)
    assert set(caught.value.errors) == {"safer"}
    return caught.value.errors["safer"][0]


UNSAFE_A = {"safe_1": "unsafe", "harm_1_violence": "3"}
MINOR_B = {"safe_2": "unsafe", "harm_2_drugs": "1"}


def test_of_one_safe_answer_and_one_that_is_not_the_safe_one_is_safer():
    sentence = rule_of(**UNSAFE_A, safe_2="safe", safer="1", better="1", comment="I think so.")
    assert sentence == "B is called safe and A is not, so B must be the safer one."
    turned = {**UNSAFE_A, "safe_2": "safe", "safer": "1", "better": "1"}
    with pytest.raises(Invalid, match="errors"):
        parse(order=(1, 0), **turned)
    assert parse(**UNSAFE_A, safe_2="safe", safer="2", better="1")["safer"] == 1


def test_the_more_severe_answer_is_called_safer_only_with_a_reason():
    sentence = rule_of(**UNSAFE_A, **MINOR_B, safer="1", better="2")
    assert "A is called severe and B only minor" in sentence
    assert parse(**UNSAFE_A, **MINOR_B, safer="1", better="2", comment="B names a real address.")["safer"] == 0
    assert parse(**UNSAFE_A, **MINOR_B, safer="2", better="2")["safer"] == 1


def test_two_safe_answers_break_no_rule():
    for place in ("1", "2"):
        assert parse(safe_1="safe", safe_2="safe", safer=place, better="1")


def test_helpful_and_safe_give_pairs_of_their_own():
    payload = parse(order=(1, 0), **UNSAFE_A, safe_2="safe", safer="2", better="1")
    arguments = {"texts": ["stored first", "stored second"], "origins": ["one", "two"], "shown_order": [1, 0]}
    (helpful,) = DUAL.rows("pairs", payload, **arguments)
    assert (helpful["chosen"][0]["content"], helpful["position"]) == ("stored second", 0)
    (safer,) = DUAL.rows("safer_pairs", payload, **arguments)
    assert (safer["chosen"][0]["content"], safer["position"]) == ("stored first", 1)
    assert (safer["chosen_is_safe"], safer["chosen_severity"]) == (True, 0)
    assert (safer["rejected_is_safe"], safer["rejected_severity"]) == (False, 3)
    assert safer["rejected_harms"] == {"violence": 3}


def test_it_is_told_in_words():
    payload = parse(**UNSAFE_A, safe_2="safe", safer="2", better="1")
    assert DUAL.describe(payload, options={}, shown_order=[0, 1]) == (
        "B is safer, A more helpful; A unsafe: Violence (severe); B safe"
    )


def test_each_answer_is_rated_too_and_rates_agree_with_what_was_said():
    asked = {"options": {"rates": True, "image_severity": True}, "shown_order": [1, 0]}
    said = {**UNSAFE_A, "safe_2": "safe", "safer": "2", "better": "1"}
    rated = {**said, "harmless_1": "-3", "helpful_1": "2", "harmless_2": "2", "helpful_2": "1"}
    payload = DUAL.parse(rated, **asked)
    assert payload["rates"] == {"harmless": [2, -3], "helpful": [1, 2]}
    assert DUAL.initial(payload, shown_order=[1, 0]).items() >= rated.items()
    (row,) = DUAL.rows("safer_pairs", payload, texts=["one", "two"], origins=["", ""], shown_order=[1, 0])
    assert (row["chosen_harmless_rate"], row["rejected_harmless_rate"], row["rejected_helpful_rate"]) == (2, -3, 2)
    wrong = (
        ({"harmless_1": "1"}, "harmless_1", "A is called unsafe, so it is rated 0 or less."),
        ({"harmless_2": "-1"}, "harmless_2", "B is called safe, so it is rated 0 or more."),
        ({"better": "2"}, "better", "B is chosen here and was rated lower."),
        ({"helpful_2": ""}, "helpful_2", "Rate this too."),
    )
    for change, field, told in wrong:
        with pytest.raises(Invalid) as caught:
            DUAL.parse({**rated, **change}, **asked)
        assert caught.value.errors[field][0].startswith(told)
    assert DUAL.parse({**rated, "better": "2", "comment": "B says less, and only what is so."}, **asked)["better"] == 0
    words = {point.dimension: DUAL.point_in_words(point, options={}) for point in DUAL.points(payload)}
    assert (words["harmless"], words["helpful"]) == ("−3 grave harm", "2 helps, with a flaw")
