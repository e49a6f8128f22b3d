"""Rewards made of several opinions: each recipe that takes an ensemble pays what its formula says, and none is PPO."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.worlds import make_spec
from training.core.backbone import load_reward, load_tokenizer, save
from training.core.job import RunError
from training.core.run import KINDS, open_job

ONE = {
    "iterations": 1,
    "prompts_per_iteration": 3,
    "samples_per_prompt": 3,
    "max_new_tokens": 4,
    "batch_size": 9,
    "eval_share": 0.1,
}


def made(folder: Path, name: str, policy: Path) -> Path:
    spec = make_spec(folder, name, model=policy, max_steps=2, batch_size=4, learning_rate=0.01)
    KINDS["fit"](open_job(spec))
    return Path(spec.output) / "model"


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory, policy) -> Path:
    return made(tmp_path_factory.mktemp("ensemble"), "reward-ensemble", policy)


@pytest.fixture
def paid(do, policy):
    """Return the figures of a recipe's first iteration by a reward model, and the run's notes."""

    def run(name: str, reward: Path, *, into: str = "", **more):
        knobs = {**ONE, **more}
        spec, result = do(name, into=into or name, model=policy, scorers={"reward": str(reward)}, **knobs)
        (line,) = [json.loads(text) for text in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]
        return line, result.notes

    return run


def scores_of(line: dict) -> dict[str, float]:
    return {name: value for name, value in line.items() if name.startswith("score_")}


def test_each_way_pays_what_its_formula_says_of_an_ensemble(paid, ensemble):
    """The first answers are the same whatever is made of their scores, so that means of rewards can be compared.

    With members that differ: the worst is less than the mean; the mean less 0.1 variances likewise; the robust reward
    is 0.6 means and 0.4 worst ones; of the first member alone it would be none of these.
    """
    told = {name: paid(name, ensemble) for name in ("rloo", "ppo-worst-case", "ppo-uncertainty", "ppo-robust")}
    lines = {name: line for name, (line, _notes) in told.items()}
    members = scores_of(lines["rloo"])
    assert len(members) > 1
    for line, notes in told.values():
        assert scores_of(line) == pytest.approx(members, abs=1e-5), "the same answers, scored alike"
        assert not any("has no worst" in note for note in notes)
    mean = sum(members.values()) / len(members)
    worst, less, robust = (lines[name]["reward"] for name in ("ppo-worst-case", "ppo-uncertainty", "ppo-robust"))
    assert lines["rloo"]["reward"] == pytest.approx(next(iter(members.values())), abs=1e-5)
    assert worst <= min(members.values()) + 1e-6 < mean, "a mean of minima is below every member's mean"
    assert robust == pytest.approx(0.6 * mean + 0.4 * worst, abs=1e-5)
    harder, _ = paid("ppo-uncertainty", ensemble, into="harder", variance_weight=0.5)
    assert less < mean and mean - harder["reward"] == pytest.approx(5 * (mean - less), rel=1e-3, abs=1e-6)


def test_a_robust_reward_model_pays_between_its_mean_and_its_worst(paid, tmp_path, reward):
    robust = made(tmp_path / "robust", "robust-reward", reward)
    usual, notes = paid("ppo-robust", robust, into="mean", nominal_weight=1.0)
    worst, _ = paid("ppo-robust", robust, into="worst", nominal_weight=0.0)
    members = scores_of(usual)
    assert scores_of(worst) == pytest.approx(members, abs=1e-5) and len(members) > 1
    assert usual["reward"] == pytest.approx(sum(members.values()) / len(members), abs=1e-5)
    assert worst["reward"] <= min(members.values()) + 1e-6 < usual["reward"]
    assert not any("has no worst" in note for note in notes)


def test_the_nominal_reward_may_be_the_member_that_is_least_unsure(paid, tmp_path, reward, ensemble):
    """With all weight on it and the second member made the surest of every answer, the reward is that one's score.

    An ensemble's members do not say how unsure they are, which is told in a sentence.
    """
    robust = made(tmp_path / "robust", "robust-reward", reward)
    model = load_reward(str(robust))
    model.head.deviations.mean[1] += 20.0  # what is subtracted before the softplus
    save(model, load_tokenizer(str(robust)), robust, recipe="robust-reward", base=str(reward))
    surest, _ = paid("ppo-robust", robust, into="surest", nominal_weight=1.0, nominal="least_spread")
    members = scores_of(surest)
    second = members["score_reward_2"]
    assert surest["reward"] == pytest.approx(second, abs=1e-5)
    assert all(abs(value - second) > 1e-3 for name, value in members.items() if name != "score_reward_2")
    with pytest.raises(RunError, match="no spread of their own"):
        paid("ppo-robust", ensemble, into="plain", nominal_weight=1.0, nominal="least_spread")
