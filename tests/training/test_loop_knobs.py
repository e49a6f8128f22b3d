"""What a loop tells the recipes of its runs: read, checked by each recipe's own declaration, never the loop's own."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from training.recipes import loop_knobs
from training.recipes.assembled import chosen_in
from training.recipes.base import RECIPES, RecipeError, recipe
from training.recipes.loop import LoopSettings, loop_settings
from training.recipes.loop_candidate import asked, candidate, trains_cost
from training.recipes.ways import OF_PAIRS, OF_SEVERAL, WAYS


def refused(**settings: object) -> dict[str, list[str]]:
    with pytest.raises(RecipeError) as wrong:
        loop_settings(settings)
    return wrong.value.errors


def test_lines_objects_and_json_say_the_same() -> None:
    lines = "lora_rank = 16\nmust_not_match = a=b, c\n"
    as_object = {"lora_rank": 16, "must_not_match": "a=b, c"}
    told = {"policy_recipe": "cgpo-crpg"}
    settings = [
        loop_settings(told | {"policy_settings": said})
        for said in (lines, as_object, '{"lora_rank": 16, "must_not_match": "a=b, c"}')
    ]
    assert {tuple(loop_knobs.read(one.policy_settings).items()) for one in settings} == {
        (("lora_rank", "16"), ("must_not_match", "a=b, c"))
    }
    assert loop_settings(asdict(settings[0])) == settings[0], "what is stored reads as what was meant"


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"policy_settings": "lora_rank: 16"}, "policy_settings", "Write one setting a line"),
        ({"policy_settings": "lora_rank = 1\nlora_rank = 2"}, "policy_settings", "lora_rank is set twice"),
        ({"policy_settings": "lora_rnk = 16"}, "policy_settings", "Did you mean lora_rank?"),
        ({"policy_settings": "lora_rank = -1"}, "policy_settings", "lora_rank: Enter at least 0."),
        ({"policy_settings": "kl = 0.1"}, "policy_settings", "no setting called kl"),
        ({"policy_parts": "filter = best"}, "policy_parts", "It has no such slot"),
        ({"policy_recipe": "rloo", "policy_parts": "filter = best"}, "policy_parts", "leaves one answer of each"),
        (
            {"policy_recipe": "cgpo-crpg", "policy_parts": "constrain = audited-judges"},
            "policy_parts",
            "would ask audit",
        ),
        ({"policy_recipe": "rloo", "policy_parts": "combine = min"}, "policy_recipe", "several opinions"),
        (
            {"policy_recipe": "cgpo-crpg", "policy_settings": "must_match = ("},
            "policy_settings",
            "no regular expression",
        ),
        ({"reward_settings": "beta = 1"}, "reward_settings", "no setting called beta"),
        ({"reward_settings": "epochs = 2"}, "reward_settings", "reward_epochs"),
        ({"cost_settings": "learning_rate = 1"}, "cost_settings", "reward_learning_rate"),
    ],
)
def test_what_a_recipe_does_not_have_is_said_at_its_setting(given: dict[str, object], field: str, says: str) -> None:
    assert says in " ".join(refused(**given)[field])


def settings_for(way: str) -> dict[str, object]:
    return {
        "policy_recipe": way,
        "reference": "data" if way == "refuel" else "previous",
        "selection": "bald" if way in OF_SEVERAL else "best_worst",
        "reward_recipe": "pairwise-generative" if way == "grpo-pairwise" else "bradley-terry",
        "tasks": '{"*": {"recipe": "cgpo-crpg"}}' if way == "task-mix" else "",
    }


@pytest.mark.parametrize("way", WAYS)
def test_every_way_takes_its_own_knobs_and_leaves_the_loop_its_own(way: str) -> None:
    usual = settings_for(way)
    settings = loop_settings(usual | {"policy_settings": "lora_rank = 8"})
    found = candidate(settings)
    knobs = {knob.name for knob in found.knobs()}
    for name in knobs & set(loop_knobs.OF_CANDIDATE):
        said = " ".join(refused(**usual, policy_settings=f"{name} = 1")["policy_settings"])
        assert f"{name} is decided by the loop's own setting {loop_knobs.OF_CANDIDATE[name]}" in said
    decided = loop_knobs.decided(loop_knobs.OF_CANDIDATE, asdict(settings), found)
    assert set(decided) < knobs and found.fill(decided | {"lora_rank": "8"})["lora_rank"] == 8
    if way not in OF_PAIRS:
        assert decided["temperature"] == settings.temperature and "iterations" not in decided, "0 is the recipe's own"


def test_settings_of_the_loop_that_decide_are_settings_of_the_loop() -> None:
    known = set(asdict(LoopSettings()))
    assert {*loop_knobs.OF_CANDIDATE.values(), *loop_knobs.OF_SCORING.values()} <= known


def test_parts_of_a_candidate_are_the_usual_ones_those_of_the_round_and_those_that_are_named() -> None:
    plain = loop_settings({"policy_recipe": "cgpo-crpg"})
    assert chosen_in(candidate(plain))["constrain"] == "rules"
    assert chosen_in(candidate(plain, ("reward", "cost")))["constrain"] == "judges"
    named = loop_settings({"policy_recipe": "cgpo-crpg", "policy_parts": "constrain = judges\nkl ="})
    assert chosen_in(candidate(named))["constrain"] == "judges" and candidate(named).part("kl") is None
    assert recipe("cgpo-crpg").part("kl") is not None
    assert trains_cost(named) and not trains_cost(plain)


# Why no round has its candidate learn by them.
NOT_IN_A_LOOP = {
    "continued-pretraining": "reads texts of a domain, and a round asks people to compare",
    "sft": "reads demonstrations, and a round asks people to compare",
    "ift": "reads demonstrations, and a round asks people to compare",
    "a-lol": "reads ratings, and a round asks people to compare",
    "magic-modes": "makes a policy with modes from safety labels alone; a gate would compare it in one of them",
    "merge": "learns nothing: it mixes two policies that are there",
    "reasoning-judge": "makes a judge, which answers no prompts",
    "reasoning-judge-rl": "makes a judge, which answers no prompts",
}


def test_every_policy_recipe_is_a_way_of_a_loop_or_has_a_reason_why_not() -> None:
    policies = {one.name for one in RECIPES.values() if one.makes == "policy"}
    assert len(WAYS) == len(set(WAYS)) and set(WAYS).isdisjoint(NOT_IN_A_LOOP)
    assert {*WAYS, *NOT_IN_A_LOOP} == policies


def test_costs_that_a_candidate_weighs_are_asked_and_learned() -> None:
    usual = {"policy_recipe": "grpo-objectives"}
    weighed = loop_settings(usual | {"policy_settings": "score_weights = reward=1, cost=-0.5"})
    assert asked(weighed) == ("reward", "cost") and trains_cost(weighed)
    assert asked(loop_settings(usual)) == ("reward",)
    summed = {"policy_recipe": "rloo", "policy_parts": "combine = weighted-sum", "policy_settings": "weights = cost=-1"}
    assert asked(loop_settings(summed)) == ("reward", "cost")
    thoughts = loop_settings({"policy_recipe": "safe-reasoning", "gate_cost_limit": 0.5})
    assert trains_cost(thoughts) and not trains_cost(
        loop_settings({"policy_recipe": "safe-reasoning", "refresh_cost": False})
    )
    told = loop_knobs.decided(loop_knobs.OF_CANDIDATE, asdict(thoughts), candidate(thoughts))
    assert told["judged_cost"] == 0.5
