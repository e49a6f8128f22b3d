"""The loop over the policy's own answers: every recipe, killed and resumed, whatever the micro-batch."""

from __future__ import annotations

import json
import math
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.core.test_every_recipe import Crash, bytes_of, weights_of
from tests.core.test_resume import killed_and_resumed, weights
from tests.core.worlds import make_spec, prompt_rows
from training.core.backbone import load_policy
from training.core.experience import Experience
from training.core.job import RunError, Stopped
from training.core.run import KINDS, open_job
from training.core.trainers.learner import Learner
from training.recipes import RECIPES, RecipeError
from training.recipes.assembled import assembled, choices, has_slots, to_json
from training.recipes.base import PARTS
from training.recipes.slots import ORDER, check_slots
from training.recipes.spec import RunSpec

NAMES = [r.name for r in RECIPES.values() if has_slots(r)]
SMALL = {
    "iterations": 2,
    "prompts_per_iteration": 3,
    "samples_per_prompt": 3,
    "max_new_tokens": 5,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "checkpoint_every": 1,
}


@pytest.fixture(scope="session")
def cost(tmp_path_factory, policy) -> Path:
    spec = make_spec(tmp_path_factory.mktemp("cost"), "cost-model", model=policy, max_steps=2, batch_size=4)
    KINDS["fit"](open_job(spec))
    return Path(spec.output) / "model"


@pytest.fixture(scope="session")
def judge(tmp_path_factory, policy) -> Path:
    spec = make_spec(tmp_path_factory.mktemp("judge"), "pairwise-generative", model=policy, max_steps=1, batch_size=4)
    KINDS["fit"](open_job(spec))
    return Path(spec.output) / "model"


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("name", "lora_rank"), [*((n, 0) for n in NAMES), ("ppo", 2), ("superhf", 2), ("grpo", 2)])
def test_two_iterations_change_the_policy_and_nothing_else(do, policy, reward, cost, judge, name, lora_rank):
    before = [bytes_of(folder) for folder in (policy, reward, cost)]
    first = judge if name == "grpo-pairwise" else reward
    scorers = {scorer: str({"reward": first, "cost": cost}[scorer]) for scorer in RECIPES[name].scorers}
    # A judge by a cost model of two steps lets nothing pass, and then there would be nothing to learn.
    more = {"ppo-max": {"critic_warmup": 1}, "safe-reasoning": {"judged_cost": 1000.0}}.get(name, {})
    spec, result = do(name, model=policy, scorers=scorers, lora_rank=lora_rank, **SMALL, **more)
    assert [bytes_of(folder) for folder in (policy, reward, cost)] == before
    folder = Path(spec.output)
    lines = lines_of(folder)
    assert [(line["step"], line["total_steps"]) for line in lines] == [(1, 2), (2, 2)]
    assert {"reward", "entropy", "length", "loss", "lr", "tokens_per_second", "ended_share"} <= set(lines[0])
    assert result.model == "model" and result.counts["read"] == 23
    assert {"eval_reward_before", "eval_reward", "eval_reward_gain"} <= set(result.metrics)
    plain = [note for note in result.notes if "One score of an answer has no worst" in note]
    assert len(plain) == (name in ("ppo-worst-case", "ppo-uncertainty", "ppo-robust"))
    made, _ = load_policy(str(folder / "model"))
    start, _ = load_policy(str(policy))
    assert torch.isfinite(weights_of(made)).all()
    # A policy that does not know how a verdict looks earns none, and so stays as it is.
    if not lora_rank:
        assert torch.equal(weights_of(made), weights_of(start)) == (name == "reasoning-judge-rl")


def numbers_of(folder: Path) -> list[dict]:
    return [{k: v for k, v in line.items() if k not in ("time", "tokens_per_second")} for line in lines_of(folder)]


# With controllers and a critic; with answers of the reference on disk.
@pytest.mark.parametrize("name", ["ppo-max", "ppo-preference"])
def test_killed_anywhere_and_resumed_is_the_same_as_never_killed(tmp_path, policy, reward, name):
    knobs = {**SMALL, "iterations": 3, "passes": 2, "checkpoint_every": 2, "lora_rank": 2}
    scorers = {"reward": str(reward)}
    plain = make_spec(tmp_path / "plain", name, model=policy, scorers=scorers, **knobs)
    often = make_spec(tmp_path / "often", name, model=policy, scorers=scorers, **knobs)
    one, other = (tmp_path / folder / "spec.json" for folder in ("plain", "often"))
    killed_and_resumed(one, other, "step:3", "flush:2", "step:9")
    assert weights(Path(often.output)) == weights(Path(plain.output)) != {}
    assert numbers_of(Path(often.output)) == numbers_of(Path(plain.output))


def test_asked_to_stop_it_stops_after_its_iteration(tmp_path, policy, reward):
    spec = make_spec(tmp_path / "run", "rloo", model=policy, scorers={"reward": str(reward)}, **SMALL)
    (Path(spec.output) / "STOP").touch()
    with pytest.raises(Stopped):
        KINDS["fit"](open_job(spec))
    assert [line["step"] for line in lines_of(Path(spec.output))] == [1]
    (Path(spec.output) / "STOP").unlink()
    assert KINDS["fit"](open_job(spec)).model == "model"
    assert [line["step"] for line in lines_of(Path(spec.output))] == [1, 2]


@pytest.mark.parametrize("name", [*NAMES, "task-mix"])
def test_broken_off_or_cut_up_it_learns_the_same(do, policy, reward, cost, judge, monkeypatch, name):
    """Broken off in its second iteration it goes on to the same bytes; answer by answer it comes to the same step.

    `test_killed_anywhere…` kills real processes, at any place.
    """
    first = judge if name == "grpo-pairwise" else reward
    scorers = {scorer: str({"reward": first, "cost": cost}[scorer]) for scorer in RECIPES[name].scorers}
    more = {"ppo-max": {"critic_warmup": 1}, "safe-reasoning": {"judged_cost": 1000.0}}.get(name, {})
    knobs = {**SMALL, "max_new_tokens": 3, "batch_size": 9, "eval_share": 0.05, **more}
    asked = {"model": policy, "scorers": scorers, **knobs}
    whole, expected = do(name, into="whole", **asked)
    step, left = Learner.step, iter([True, False])

    def breaks(self, *args, **kwargs):
        if not next(left):
            raise Crash
        return step(self, *args, **kwargs)

    with monkeypatch.context() as broken, pytest.raises(Crash):
        broken.setattr(Learner, "step", breaks)
        do(name, into="broken", **asked)
    again, found = do(name, into="broken", **asked)
    assert weights(Path(again.output)) == weights(Path(whole.output)) != {}
    assert numbers_of(Path(again.output)) == numbers_of(Path(whole.output))
    assert found.counts == expected.counts

    single = make_spec(Path(whole.output).with_name("single"), name, **{**asked, "micro_batch": 1})
    (Path(single.output) / "STOP").touch()
    with pytest.raises(Stopped):
        KINDS["fit"](open_job(single))
    (line,), (same, _) = numbers_of(Path(single.output)), numbers_of(Path(whole.output))
    assert line.keys() == same.keys()
    assert line == pytest.approx(same, rel=1e-3, abs=1e-4)


def test_the_first_update_is_on_policy_whatever_the_micro_batch(do, policy, reward):
    found = []
    for micro_batch in (2, 8):
        knobs = {**SMALL, "iterations": 1, "micro_batch": micro_batch, "batch_size": 64, "gradient_clip": 0.0}
        spec, _ = do("ppo", into=f"{micro_batch}", model=policy, scorers={"reward": str(reward)}, **knobs)
        (line,) = lines_of(Path(spec.output))
        assert line["ratio"] == 1.0 and line["clip_share"] == 0.0
        assert line["policy_loss"] == pytest.approx(0.0, abs=1e-6)  # the mean of whitened advantages
        found.append(weights_of(load_policy(f"{spec.output}/model")[0]))
    torch.testing.assert_close(found[0], found[1], atol=2e-5, rtol=1e-4)


def test_judges_that_let_nothing_pass_stop_no_run_and_say_so(do, policy, reward):
    """There is nothing to learn from, so the policy stays as it is; the notes of the run say what to try."""
    for name in ("cgpo-codpo", "cgpo-crraft"):
        knobs = {**SMALL, "must_match": "words that no answer has"}
        spec, result = do(name, into=name, model=policy, scorers={"reward": str(reward)}, **knobs)
        made, start = load_policy(f"{spec.output}/model")[0], load_policy(str(policy))[0]
        assert torch.equal(weights_of(made), weights_of(start))
        assert [line["violations"] for line in lines_of(Path(spec.output))] == [1.0, 1.0]
        assert any("had no answer to learn from" in note for note in result.notes)


def test_while_the_critic_warms_up_the_policy_stays(do, policy, reward):
    spec, _ = do("ppo", model=policy, scorers={"reward": str(reward)}, **{**SMALL, "critic_warmup": 2})
    made, start = load_policy(f"{spec.output}/model")[0], load_policy(str(policy))[0]
    assert torch.equal(weights_of(made), weights_of(start))
    first, second = lines_of(Path(spec.output))
    assert first["value_loss"] > 0 and first["explained_variance"] == 0.0 != second["explained_variance"]


def test_what_cannot_be_done_is_refused_before_anything_is_sampled(do, policy, reward):
    with pytest.raises(RunError, match="Train a reward model first"):
        do("ppo", model=policy, **SMALL)
    with pytest.raises(RunError, match="Train the recipe cost-model"):
        do("safe-rlhf", into="b", model=policy, scorers={"reward": str(reward)}, **SMALL)
    with pytest.raises(RunError, match="All prompts are held out"):
        rows = prompt_rows(1)
        do("rloo", into="d", model=policy, rows=rows, scorers={"reward": str(reward)}, **{**SMALL, "eval_share": 0.9})


def slots(**chosen):
    return {slot: PARTS[slot, name]() for slot, name in chosen.items()}


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"combine": "first", "kl": "fixed", "update": "ppo"}, "update/ppo needs advantages, returns"),
        ({"combine": "first", "advantage": "leave-one-out", "update": "ppo"}, "update/ppo needs returns"),
        ({"advantage": "gae", "update": "ppo"}, "in the slot combine"),
        ({"combine": "first", "advantage": "gae"}, "in the slot update"),
        (
            {"combine": "first", "filter": "best", "advantage": "group-norm", "update": "clipped"},
            "filter/best leaves one answer of each prompt",
        ),
        ({"combine": "first", "constrain": "rules", "update": "imitate"}, "constrain/rules needs calibrated"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_in_words(chosen, said):
    with pytest.raises(RecipeError, match=said):
        check_slots(slots(**chosen))


def test_what_no_paper_combined_runs_when_the_check_lets_it(tmp_path, policy, reward):
    """Preference as reward, filtered, with macro actions: three papers in one recipe."""
    parts = {"shape": "preference", "filter": "best-and-worst", "segment": "ngram"}
    spec = make_spec(tmp_path, "ppo", model=policy, scorers={"reward": str(reward)}, **SMALL)
    spec = replace(spec, recipe=to_json("ppo", spec.recipe["knobs"], parts))
    assert KINDS["fit"](open_job(spec)).metrics["shape_saturated"] >= 0


def allowed(seed: int, count: int) -> list[tuple[str, dict[str, str]]]:
    """Draw recipes with other parts in about half of their slots, of those that the check lets."""
    draw = random.Random(seed)
    found: list[tuple[str, dict[str, str]]] = []
    while len(found) < count:
        name = draw.choice(NAMES)
        parts = {slot: draw.choice([*choices(slot), ""]) for slot in ORDER if draw.random() < 0.5}
        with suppress(RecipeError):
            assembled(name, parts)
            found.append((name, parts))
    return found


def spec_of(folder: Path, name: str, parts: dict[str, str], **more: Any) -> RunSpec:
    """Return one small iteration of a recipe with other parts; weights name a score that no model here gives."""
    spec = make_spec(folder, name, **more, **SMALL | {"iterations": 1})
    knobs = spec.recipe["knobs"] | {"weights": "helpful=1", "score_weights": "helpful=1"}
    there = {one.name for one in assembled(name, parts).knobs()}
    return replace(spec, recipe=to_json(name, {k: v for k, v in knobs.items() if k in there}, parts))


# The last two left an iteration without a single answer, on which a brake and GAE then broke.
CGPO = {"constrain": "judges", "kl": "predictive", "advantage": "batch-mean"}
THOUGHTS = {"constrain": "judges", "filter": "judged-pairs", "advantage": "gae"}


@pytest.mark.parametrize(("name", "parts"), [*allowed(0, 16), ("cgpo-crraft", CGPO), ("safe-reasoning", THOUGHTS)])
def test_any_combination_that_the_check_allows_runs_or_is_refused_before_sampling(
    tmp_path, policy, reward, cost, judge, monkeypatch, name, parts
):
    found = assembled(name, parts)
    first = judge if getattr(found.part("advantage"), "name", "") == "pairwise" else reward
    scorers = {one: str(first if one == "reward" else cost) for one in found.scorers}
    spec = spec_of(tmp_path, name, parts, model=policy, scorers=scorers)
    drawn = []
    real = Experience.rollout
    monkeypatch.setattr(Experience, "rollout", lambda self, *a, **k: drawn.append(1) or real(self, *a, **k))
    try:
        result = KINDS["fit"](open_job(spec))
    except RunError:
        assert not drawn  # what these scorers cannot give
    else:
        assert all(math.isfinite(value) for value in result.metrics.values() if isinstance(value, float))


@pytest.mark.parametrize(
    ("name", "parts", "said"),
    [
        ("grpo", {"combine": "gated"}, "Train the recipe gated-objectives"),
        ("grpo", {"combine": "weighted-sum"}, "The weights name helpful"),
        ("grpo", {"advantage": "group-norm-each"}, "The weights name helpful"),
        ("grpo", {"advantage": "group-norm-steps"}, "take a model as the reward that knows it"),
        ("grpo", {"advantage": "pairwise"}, "take a judge as the reward"),
    ],
)
def test_scores_that_the_parts_cannot_do_with_are_refused_before_sampling(
    tmp_path, policy, reward, monkeypatch, name, parts, said
):
    spec = spec_of(tmp_path, name, parts, model=policy, scorers={"reward": str(reward)})
    monkeypatch.setattr(Experience, "rollout", lambda *_args, **_kwargs: pytest.fail("it sampled"))
    with pytest.raises(RunError, match=said):
        KINDS["fit"](open_job(spec))
