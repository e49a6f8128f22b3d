"""Which pair is asked about: rules by hand, never two equal texts, and an audit slice that no rule touches."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.selection import (
    ACQUISITION,
    CHOOSERS,
    REWARD,
    audit_slice,
    bald,
    choose_pair,
    closeness,
    disagreement,
    doubted,
    doubts,
    k_center,
    labelled,
    preferences,
    select,
    worth_and_apart,
)
from training.errors import TrainingError
from training.recipes.sampling import OF_ENSEMBLES, RULES

TEXTS = ["a", "b", "c", "d"]
SCORES = [0.1, 2.0, -3.0, 1.6]


def chosen(selection: str, texts=TEXTS, scores=SCORES, seed=0):
    return choose_pair(texts, scores, selection=selection, rng=random.Random(seed))


def test_rules_by_hand():
    """Best is b (2.0), worst c (-3.0); the gaps in order are 3.1, 1.5 and 0.4, so d and b are nearest."""
    pair, rule = chosen("best_worst")
    assert set(pair) == {1, 2} and rule == "best_worst"
    pair, rule = chosen("most_uncertain")
    assert set(pair) == {1, 3} and rule == "most_uncertain"


def test_order_in_the_pair_says_nothing():
    firsts = [chosen("best_worst", seed=s)[0][0] for s in range(400)]
    assert 160 < firsts.count(1) < 240 and set(firsts) == {1, 2}


def test_random_reaches_every_pair():
    pairs = {frozenset(chosen("random", seed=s)[0]) for s in range(200)}
    assert len(pairs) == 6


@pytest.mark.parametrize("scores", [None, [1.0] * 4, [1.0, 2.0, float("nan"), 0.0], [1.0, float("inf"), 0.0, 2.0]])
def test_without_usable_scores_the_rule_is_random_and_says_so(scores):
    pairs = {frozenset(chosen("best_worst", scores=scores, seed=s)[0]) for s in range(200)}
    assert len(pairs) == 6 and chosen("best_worst", scores=scores)[1] == "random"


def test_unknown_rule_is_refused():
    with pytest.raises(TrainingError, match="best_worst"):
        chosen("best")


@given(
    st.lists(st.tuples(st.sampled_from(["x", "x ", " x", "y", "y\n", "z"]), st.floats(-5, 5)), min_size=1, max_size=8),
    st.sampled_from(sorted(CHOOSERS)),
    st.integers(0, 5),
)
def test_equal_texts_are_never_paired(rows, selection, seed):
    texts, scores = [t for t, _ in rows], [s for _, s in rows]
    pair, _ = chosen(selection, texts, scores, seed)
    if len({t.strip() for t in texts}) < 2:
        assert pair is None
    else:
        assert pair is not None and texts[pair[0]].strip() != texts[pair[1]].strip()


def test_audit_slice_has_its_share_and_ignores_file_order():
    ids = [f"p{i}" for i in range(40)]
    drawn = audit_slice(ids, audit_share=0.1, seed=3)
    assert len(drawn) == 4 and drawn == audit_slice(reversed(ids), audit_share=0.1, seed=3)
    assert drawn != audit_slice(ids, audit_share=0.1, seed=4)
    assert audit_slice(ids, audit_share=0.0, seed=3) == frozenset()


def test_every_rule_of_the_recipe_exists():
    assert set(RULES) == set(CHOOSERS) | set(OF_ENSEMBLES) and set(OF_ENSEMBLES) < set(ACQUISITION)


# What three members say of four answers: of a and b they disagree, of c and d each is sure of a toss-up.
MEMBERS = [[2.0, -2.0, 0.0], [-2.0, 2.0, 0.0], [9.0, 9.0, 9.0], [9.0, 9.0, 9.0]]


def test_what_members_believe_by_hand():
    """Beliefs ½ and ½ tell nothing; 0.9 and 0.1 have variance 0.16, and BALD is ln 2 - H(0.9) = 0.3680642."""
    assert preferences([math.log(3), 0.0], [0.0, 0.0]) == pytest.approx([0.75, 0.5])
    assert disagreement([0.9, 0.1]) == pytest.approx(0.16) and disagreement([0.5, 0.5]) == 0
    assert bald([0.9, 0.1]) == pytest.approx(0.3680642, abs=1e-6) and bald([0.5, 0.5]) == pytest.approx(0)
    assert bald([1.0, 0.0]) == pytest.approx(math.log(2)) and preferences([1e9], [-1e9]) == [1.0]
    assert bald([1.0, 0.0], wrong=0.1) == pytest.approx(0.3680642, abs=1e-6)  # answers of 0.9 and 0.1
    sure, doubtful = [1.0, 1.0, 1.0, 0.5], [0.75, 0.25]
    assert bald(sure) > bald(doubtful) and ACQUISITION["bald"](sure) < ACQUISITION["bald"](doubtful)
    assert closeness([0.9, 0.1]) == 0.5 == closeness([0.5, 0.5])


@pytest.mark.parametrize("rule", ["disagreement", "bald"])
def test_an_ensemble_is_asked_about_where_it_disagrees_and_without_one_the_pair_is_random(rule):
    pair, used = choose_pair(TEXTS, SCORES, selection=rule, rng=random.Random(0), members=MEMBERS)
    assert set(pair) == {0, 1} and used == rule
    for members in ((), [[1.0]] * 4, [[], *MEMBERS[1:]]):
        pairs = {
            frozenset(choose_pair(TEXTS, SCORES, selection=rule, rng=random.Random(s), members=members)[0])
            for s in range(100)
        }
        assert len(pairs) == 6
        assert choose_pair(TEXTS, SCORES, selection=rule, rng=random.Random(0), members=members)[1] == "random"


def test_k_center_takes_the_farthest_each_time():
    """On a line from 0 known: 10 is farthest, then 5 of the rest (5 from both ends)."""
    points = [[1.0], [10.0], [5.0], [9.0]]
    assert k_center(points, 2, known=[[0.0]]) == [1, 2]
    assert sorted(k_center(points, 9)) == [0, 1, 2, 3]


def test_a_sampled_answer_carries_what_the_members_say(do, policy):
    spec, _ = do("reward-ensemble", into="rm", model=policy, max_steps=2, batch_size=4, members=3)
    rows = [{"id": str(i), "prompt": f"why {i}"} for i in range(3)]
    knobs = {"samples_per_prompt": 3, "max_new_tokens": 6, "selection": "bald", "audit_share": 0.0}
    sampled, _ = do("sample", model=policy, rows=rows, scorers={"reward": f"{spec.output}/model"}, **knobs)
    told = [json.loads(line) for line in (Path(sampled.output) / "samples.jsonl").read_text().splitlines()]
    assert {row["selection"] for row in told} == {"bald"}
    for row in told:
        answers = [answer for answer in row["completions"] if answer["members"]]
        assert answers and all(len(answer["members"]) == 3 for answer in answers)


def test_a_model_labels_what_is_asked_about_no_audit_and_has_two_different_scores():
    def row(name, pair, scores, *, audit=False, asked=True):
        answers = [
            {"text": text, "scores": {} if score is None else {"reward": score}}
            for text, score in zip(TEXTS, scores, strict=False)
        ]
        return {"id": name, "prompt": [], "completions": answers, "pair": pair, "audit": audit, "asked": asked}

    rows = [
        row("first", (2, 1), (0.0, -1.0, 3.0)),
        row("second", (0, 1), (0.0, 1.0)),
        row("audit", (0, 1), (0.0, 1.0), audit=True),
        row("unasked", (0, 1), (0.0, 1.0), asked=False),
        row("same", (0, 1), (1.0, 1.0)),
        row("unread", (0, 1), (1.0, None)),
        row("alone", None, (1.0, 2.0)),
    ]
    told = [(one["id"], one["chosen"], one["rejected"], one["source"]) for one in labelled(rows, by="reward")]
    assert told == [("first", "c", "b", "reward"), ("second", "b", "a", "reward")]
    assert labelled(rows, by="implied") == []


def sampled(count=8, **answers):
    """Rows of a sample run with two answers each; the first has a reward of 0, the second that of `answers`."""
    rows = []
    for number in range(count):
        scores = [{"reward": 0.0}, {"reward": float(answers.get(f"p{number}", number + 1))}]
        told = [{"text": f"{side}", "scores": one, "members": []} for side, one in zip("ab", scores, strict=True)]
        rows.append({"id": f"p{number}", "prompt": [{"role": "user", "content": f"say {number}"}], "completions": told})
    return rows


def asked(rows, share, *, selection, seed=0, audit_share=0.0):
    found = select(rows, selection=selection, audit_share=audit_share, asked_share=share, seed=seed)
    return {row["id"] for row in found if row["asked"]}


def test_people_are_asked_about_the_share_that_the_rule_values_most():
    """The gap of prompt n is n + 1: best against worst takes the widest, most uncertain the narrowest."""
    rows = sampled()
    assert asked(rows, 0.25, selection="best_worst") == {"p6", "p7"}
    assert asked(rows[::-1], 0.25, selection="most_uncertain") == {"p0", "p1"}
    assert asked(rows, 1.0, selection="best_worst") == {row["id"] for row in rows}
    assert len(asked(rows, 0.01, selection="best_worst")) == 1


def test_an_ensemble_is_asked_about_the_prompts_on_which_it_disagrees():
    rows = sampled(4)
    for number, row in enumerate(rows):  # of prompt 2 the members disagree, of the others they are sure of a toss-up
        for answer, one in zip(row["completions"], MEMBERS[:2] if number == 2 else MEMBERS[2:], strict=True):
            answer["members"] = one
    for rule in OF_ENSEMBLES:
        assert asked(rows, 0.25, selection=rule) == {"p2"}


def test_where_nothing_is_valued_the_draw_decides_and_what_is_valued_comes_first():
    rows = sampled(8)
    for row in rows[1:]:
        row["completions"] = [{**one, "scores": {}} for one in row["completions"]]
    draws = [asked(rows, 0.25, selection="best_worst", seed=seed) for seed in range(40)]
    assert all("p0" in draw and len(draw) == 2 for draw in draws) and len(set(map(frozenset, draws))) > 4


def test_the_audit_slice_is_asked_whatever_the_rule_thinks():
    rows = sampled(8)
    found = select(rows, selection="best_worst", audit_share=0.25, asked_share=0.5, seed=1)
    audit = {row["id"] for row in found if row["audit"]}
    assert len(audit) == 2 and all(row["asked"] for row in found if row["audit"])
    others = sorted({row["id"] for row in rows} - audit)
    assert {row["id"] for row in found if row["asked"]} - audit == set(others[-3:])


def test_what_a_model_doubts_by_hand():
    """σ of the gaps 2, 0.1 and 1 is 0.88, 0.52 and 0.73; what has no score comes first; the audit slice never."""

    def row(name, one, other, **more):
        completions = [{"scores": {REWARD: score}} for score in (one, other)]
        return {"id": name, "pair": (0, 1), "asked": True, "audit": False, "completions": completions, **more}

    rows = [row("sure", 2.0, 0.0), row("close", 0.0, 0.1), row("fair", 1.0, 0.0), row("audit", 0.0, 0.0, audit=True)]
    rows += [row("unasked", 0.0, 0.0, asked=False), {**row("same", 0.0, 0.0), "pair": None}]
    orders = ((0.0, set()), (0.3, {"close"}), (0.5, {"close", "fair"}), (0.67, {"close", "fair", "sure"}))
    for share, wanted in orders:
        assert {one["id"] for one in doubted(rows, share=share, by=REWARD) if one["doubtful"]} == wanted
    limits = ((0.7, {"close"}), (0.75, {"close", "fair"}), (0.9, {"close", "fair", "sure"}), (0.5, set()))
    for below, wanted in limits:
        found = doubted(rows, share=0.95, below=below, by=REWARD)
        assert {one["id"] for one in found if one["doubtful"]} == wanted
        assert doubts(found, below=below) == {"doubtful": len(wanted), "labellable": 3, "unsure": len(wanted)}
    most = doubted(rows, share=0.3, below=0.9, by=REWARD)
    assert doubts(most, below=0.9) == {"doubtful": 1, "labellable": 3, "unsure": 3}, "the share is the most"
    unscored = {**row("unscored", 0.0, 0.0), "completions": [{"scores": {}}, {"scores": {}}]}
    found = doubted([*rows, unscored], share=0.25, by=REWARD)
    assert [one["id"] for one in found if one["doubtful"]] == ["unscored"]


def test_an_ensemble_doubts_what_its_members_are_not_sure_of_together():
    """The mean gap of "split" is 3, that of "agreed" 1; they believe 0.9997 and 0.12, and 0.73 both: mean 0.56."""
    rows = [
        {"id": name, "pair": (0, 1), "asked": True, "audit": False}
        | {"completions": [{"scores": {REWARD: sum(m) / 2}, "members": m} for m in (members, [0.0, 0.0])]}
        for name, members in (("split", [8.0, -2.0]), ("agreed", [1.0, 1.0]))
    ]
    assert [one["doubtful"] for one in doubted(rows, share=0.5, by=REWARD)] == [True, False]


def test_k_center_asks_about_prompts_that_are_unlike_each_other():
    rows = sampled(6)
    for row, text in zip(rows, ["a b", "a b", "a b", "c d", "c d", "e f"], strict=True):
        row["prompt"] = [{"role": "user", "content": text}]
    told = {row["id"]: row["prompt"][0]["content"] for row in rows}
    for seed in range(5):
        assert {told[one] for one in asked(rows, 0.5, selection="k_center", seed=seed)} == {"a b", "c d", "e f"}
    found = select(rows, selection="k_center", audit_share=0.0, asked_share=0.5, seed=0)
    assert {row["selection"] for row in found} == {"k_center"} and all(set(row["pair"]) == {0, 1} for row in found)


def test_what_is_worth_asking_and_apart_by_hand():
    """Worth 4 first; then 2 x 2, as 3.9 is 0.01 from it and worth 0.039 there; where nothing is apart, worth alone."""
    points = [[0.0], [0.1], [2.0], [-1.0]]
    assert worth_and_apart([4.0, 3.9, 2.0, 1.5], points, 3) == [0, 2, 3]
    assert worth_and_apart([1.0, 3.0, 2.0], [[0.0]] * 3, 2) == [1, 2]
    assert worth_and_apart([1.0, 3.0], [[0.0], [1.0]], 5) == [1, 0] and worth_and_apart([], [], 1) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-4, 4)), min_size=1, max_size=12), st.integers(1, 12))
def test_only_bringing_the_leader_up_to_date_chooses_as_bringing_all_does(rows, count):
    worth, points = [float(value) for value, _ in rows], [[place / 4] for _, place in rows]
    chosen: list[int] = []

    def value(place: int) -> tuple[float, float, int]:
        near = min([2.0, *(math.dist(points[place], points[other]) ** 2 for other in chosen)])
        return worth[place] * near, worth[place], -place

    for _ in range(min(count, len(rows))):
        chosen.append(max(set(range(len(rows))) - set(chosen), key=value))
    assert worth_and_apart(worth, points, count) == chosen


@pytest.mark.parametrize("rule", ["disagreement", "bald"])
def test_an_ensemble_is_not_asked_about_one_prompt_in_several_words(rule):
    """The members disagree most on two prompts that are nearly the same: one of them is asked, and then another one."""
    rows = []
    prompts = {"a": ("how do magnets work", 4.0), "b": ("how do magnets work ?", 3.9), "c": ("why rain", 2.0)}
    for name, (text, gap) in prompts.items():
        told = [{"text": "x", "scores": {}, "members": [gap, -gap]}, {"text": "y", "scores": {}, "members": [0.0, 0.0]}]
        rows.append({"id": name, "prompt": [{"role": "user", "content": text}], "completions": told})
    assert asked(rows, 0.6, selection=rule) == {"a", "c"}
    assert asked(rows, 0.3, selection=rule) == {"a"} and asked(rows, 1.0, selection=rule) == {"a", "b", "c"}
