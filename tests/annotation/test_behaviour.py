"""What a page measured is stored where it can be true, and never stands in the way of a judgement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.behaviour import MEASURES, plausible
from annotation.storable import unstorable


def test_measures_are_kept_and_read_is_turned_into_the_canonical_order() -> None:
    answered = {"helpfulness_1": 3.14, "comment": 12}
    sent = {
        "first_action_seconds": 2.34567,
        "answered": answered,
        "changes": 2,
        "read": [1, 0.25],
        "typed": 40,
        "pasted": 0,
    }
    assert plausible(sent, shown_order=[1, 0]) == {
        "first_action_seconds": 2.346,
        "answered": {"helpfulness_1": 3.1, "comment": 12},
        "changes": 2,
        "read": [0.25, 1],
        "typed": 40,
        "pasted": 0,
    }
    assert set(sent) == set(MEASURES)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"changes": -1, "typed": 3}, {"typed": 3}),
        ({"changes": 1.5, "typed": 3.0}, {"typed": 3}),
        ({"changes": True, "typed": "3"}, None),
        ({"first_action_seconds": float("nan"), "changes": 0}, {"changes": 0}),
        ({"first_action_seconds": float("inf"), "pasted": 10**400}, None),
        ({"first_action_seconds": 86_401}, None),
        ({"read": [0.5, 1.01]}, {"read": [0.5, None]}),
        ({"read": [0.5]}, None),
        ({"read": [0.5, 0.5, 0.5]}, None),
        ({"read": [None, "all"]}, None),
        ({"read": {"a": 1}}, None),
        ({"answered": {"a b": 1, "c": -1, "d": "2", "e-1": 3}}, {"answered": {"e-1": 3}}),
        ({"answered": {str(number): 1 for number in range(501)}}, None),
        ({"answered": ["comment"]}, None),
        ({"screen": "1440x900"}, None),
        (["changes"], None),
        ("", None),
        (None, None),
    ],
)
def test_what_cannot_be_true_is_left_out_and_the_rest_stays(sent: object, kept: object) -> None:
    assert plausible(sent, shown_order=[0, 1]) == kept


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*MEASURES, "x"]), inner, max_size=6),
    max_leaves=12,
)


@given(JSON)
def test_anything_can_be_sent_and_what_is_kept_can_be_stored(sent: object) -> None:
    kept = plausible(sent, shown_order=[1, 0])
    assert kept is None or set(kept) <= set(MEASURES)
    assert not unstorable(kept)
