"""In which place an answer stands: balanced by what went before."""

from __future__ import annotations

from collections import Counter

from annotation.placement import first_order, leaning_after, order_for


def content(answers: int) -> dict:
    return {"messages": [], "completions": [{"text": str(n)} for n in range(answers)]}


def test_a_list_stands_once_in_each_place_and_the_first_of_the_row_moves_on_with_each_item():
    """Four people, one item: a Latin square. One person, eight items: the first of the row twice in each place."""
    square, before = [], None
    for person in range(4):
        before = order_for(content(4), before=before, people=person, leaning=person, seed=f"1/{person}")
        square.append(before)
    assert all(sorted(column) == [0, 1, 2, 3] for column in zip(*square, strict=True))
    places, leaning = Counter(), 0
    for item in range(8):
        order = order_for(content(4), before=None, people=0, leaning=leaning, seed=f"{item}/9")
        assert sorted(order) == [0, 1, 2, 3]
        places[order.index(0)] += 1
        leaning = leaning_after(content(4), order, leaning)
    assert places == dict.fromkeys(range(4), 2)


def test_of_pairs_the_item_decides_then_the_person_then_a_coin():
    assert order_for(content(2), before=[1, 0], people=1, leaning=-5, seed="x") == [0, 1], "the item"
    assert order_for(content(2), before=[1, 0], people=2, leaning=-5, seed="x") == [0, 1], "the person"
    assert order_for(content(2), before=None, people=0, leaning=2, seed="x") == [1, 0]
    coins = {tuple(order_for(content(2), before=None, people=0, leaning=0, seed=f"{n}/1")) for n in range(20)}
    assert coins == {(0, 1), (1, 0)}
    again = [order_for(content(2), before=None, people=0, leaning=0, seed="7/1") for _ in range(3)]
    assert again[0] == again[1] == again[2] == first_order(content(2), seed="7/1")


def test_turns_keep_their_order_and_lean_to_no_side():
    turns = {**content(2), "between": []}
    assert order_for(turns, before=[0, 1], people=1, leaning=4, seed="x") == [0, 1]
    assert leaning_after(turns, [0, 1], 4) == 4
    assert leaning_after(content(2), [1, 0], 4) == 3
    assert order_for(content(1), before=None, people=0, leaning=0, seed="x") == [0]
