from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback.pairwise import Pairwise
from annotation.feedback.rewrite import Rewrite
from training.core.records import parse_demonstration, parse_pair

REWRITE, PAIRWISE = Rewrite(), Pairwise()
PROMPT = {"prompt": [{"role": "user", "content": "How?"}]}


def rows(view: str, text: str):
    payload = REWRITE.parse({"text": text}, options={}, shown_order=[0])
    return list(REWRITE.rows(view, payload, texts=["As it was. "], origins=["policy-3"], shown_order=[0]))


def test_a_better_answer_is_a_demonstration_and_a_pair_with_the_one_before():
    (shown,) = rows("demonstrations", "As it should be.")
    assert parse_demonstration({**PROMPT, **shown}).completion == "As it should be."
    (pair,) = rows("pairs", "As it should be.")
    record = parse_pair({**PROMPT, **pair})
    assert (record.chosen, record.rejected) == ("As it should be.", "As it was. ")
    assert (pair["chosen_origin"], pair["rejected_origin"]) == ("rewrite", "policy-3")


def test_an_answer_left_as_it_is_is_worth_imitating_but_no_pair():
    assert rows("pairs", "As it was.") == []
    assert len(rows("demonstrations", "As it was.")) == 1


def test_nothing_is_no_answer():
    with pytest.raises(Invalid) as caught:
        REWRITE.parse({"text": "  \r\n "}, options={}, shown_order=[0])
    assert caught.value.errors == {"text": ["Write the answer here."]}


def test_preferred_and_good_answers_are_demonstrations_too():
    def shown(preference: str):
        payload = PAIRWISE.parse({"preference": preference}, options={}, shown_order=[1, 0])
        found = PAIRWISE.rows(
            "demonstrations", payload, texts=["stored first", "stored second"], origins=["a", "b"], shown_order=[1, 0]
        )
        return [(row["completion"][0]["content"], round(row["weight"], 3)) for row in found]

    assert shown("1") == [("stored second", 1.0)]
    assert shown("5") == [("stored first", 0.333)]
    assert shown("both_good") == [("stored first", 1.0), ("stored second", 1.0)]
    assert shown("4") == shown("both_bad") == []
