"""Each kind of reward model inside the loop: what a policy is paid is the model's own verdict, and it climbs that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch

from tests.core.worlds import make_spec, people_rows, stands_on, write_lines
from training.core.backbone import load_policy
from training.core.experience import Experience
from training.core.job import RunError
from training.core.people import PersonalScorer
from training.core.policy import token_logps
from training.core.records import parse_person
from training.core.rollout import Rollout
from training.core.run import KINDS, open_job
from training.core.scoring import scorer_of
from training.recipes.assembled import to_json
from training.recipes.users_file import forget, known_users

CPU = torch.device("cpu")
CPU = torch.device("cpu")
RUN = {
    "iterations": 2,
    "prompts_per_iteration": 4,
    "samples_per_prompt": 8,
    "max_new_tokens": 4,
    "batch_size": 32,
    "micro_batch": 32,
    "learning_rate": 1e-3,
    "warmup": 0.0,
    "eval_share": 0.0,
    "kl": 0.0,
}
# How the scores of each kind of reward model become the one that a policy climbs.
WAYS = {
    "gated-objectives": "gated",
    "multi-objective": "mean",
    "style-discriminator": "first",
    "demonstration-reward": "first",
    "priority-reward": "first",
    "seq2seq-reward": "first",
    "critique-reward": "first",
    "latent-user": "first",
}


def trained(folder: Path, name: str, policy: Path, reward: Path, **more) -> Path:
    """Return the reward model of a recipe after two steps, upon the model that the recipe stands on."""
    below = stands_on(name)
    start = reward if below == "bradley-terry" else policy
    if below == "multi-objective":
        start = trained(folder / "below", below, policy, reward)
    quick = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-4 if name == "seq2seq-reward" else 0.01}
    spec = make_spec(folder, name, model=start, **quick, **more)
    KINDS["fit"](open_job(spec))
    return Path(spec.output) / "model"


@pytest.fixture
def climb(tmp_path, policy, monkeypatch):
    """Do a run of RLOO by a reward model; return its lines, its policy's folder, and the rollouts that were scored."""
    seen: list[Rollout] = []
    scored, answered = Experience._scored, Experience._answers
    drawn: list[int] = []
    monkeypatch.setattr(Experience, "_scored", lambda *args: seen.append(scored(*args)) or seen[-1])
    monkeypatch.setattr(Experience, "_answers", lambda *args, **more: drawn.append(1) or answered(*args, **more))

    def run(reward: Path, combine: str, into: str = "policy", **more) -> tuple[list[dict], Path, list[Rollout]]:
        seen.clear()
        spec = make_spec(tmp_path / into, "rloo", model=policy, scorers={"reward": str(reward)})
        spec = replace(spec, recipe=to_json("rloo", {**RUN, **more}, {"combine": combine}))
        KINDS["fit"](open_job(spec))
        lines = [json.loads(text) for text in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]
        return lines, Path(spec.output) / "model", list(seen)

    run.drawn = lambda: len(drawn)
    return run


def known(scores: Sequence[float | None]) -> list[float]:
    """Return a scorer's own scores, of which one that it could not read counts as the worst."""
    lowest = min(score for score in scores if score is not None)
    return [lowest if score is None else score for score in scores]


def climbed(start: Path, end: Path, rollout: Rollout) -> float:
    """Return by how much more likely the first answers became, weighed by how far each is above those of its prompt."""
    before, after = (
        token_logps(load_policy(str(folder))[0], rollout.tokens).sum(1).detach() for folder in (start, end)
    )
    groups = rollout.reward.view(-1, RUN["samples_per_prompt"])
    return float(((groups - groups.mean(1, keepdim=True)).flatten() * (after - before)).sum())


@pytest.mark.parametrize("name", WAYS)
def test_a_policy_is_paid_the_model_s_own_verdict_and_climbs_it(climb, policy, reward, tmp_path, name):
    model = trained(tmp_path / "reward", name, policy, reward)
    # A rewriter pays tokens that it would write itself, which are rare in what so unlearned a policy draws.
    often = {"temperature": 0.1} if name == "seq2seq-reward" else {}
    lines, made, rollouts = climb(model, WAYS[name], **often)
    scorer = scorer_of(str(model), device=CPU)
    for line, rollout in zip(lines, rollouts, strict=True):
        own = known(scorer.score([list(prompt) for prompt in rollout.prompts], rollout.texts))
        assert rollout.reward.tolist() == pytest.approx(own, abs=1e-4) and len(set(own)) > 1
        assert line["reward"] == pytest.approx(fmean(own), abs=1e-4)
    assert climbed(policy, made, rollouts[0]) > 0


def test_of_several_attributes_none_is_climbed_without_a_word(climb, policy, reward, tmp_path):
    attributes = trained(tmp_path / "attributes", "multi-objective", policy, reward)
    with pytest.raises(RunError, match="weighted-sum or mean"):
        climb(attributes, "first", "a")
    gate = trained(tmp_path / "gate", "gated-objectives", policy, reward)
    with pytest.raises(RunError, match="Choose gated"):
        climb(gate, "first", "b")
    with pytest.raises(RunError, match="Train the recipe gated-objectives"):
        climb(reward, "gated", "c")
    assert climb.drawn() == 0


def test_a_policy_is_paid_as_the_person_would_who_is_named(climb, policy, reward, tmp_path):
    """What is known of somebody is what their choices tell; of nobody, what strangers want on average."""
    rows = people_rows(8)
    newcomer = people_rows(1, seed=3)[0] | {"annotator": "a newcomer"}
    apart = write_lines(tmp_path / "apart.jsonl", [newcomer])
    model = trained(tmp_path / "people", "latent-user", policy, reward, rows=rows, eval_data=str(apart))
    assert known_users(model) == ["a newcomer", *sorted(row["annotator"] for row in rows)]
    _, made, rollouts = climb(model, "first", person="person 3")
    scorer = PersonalScorer(str(model), device=CPU)
    (context,) = [parse_person(row).context for row in rows if row["annotator"] == "person 3"]
    asked = [list(prompt) for prompt in rollouts[0].prompts]
    own = known(scorer.meet(context, asked, rollouts[0].texts).score)
    assert rollouts[0].reward.tolist() == pytest.approx(own, abs=1e-4)
    assert rollouts[0].reward.tolist() != pytest.approx(known(scorer.score(asked, rollouts[0].texts)), abs=1e-4)
    assert climbed(policy, made, rollouts[0]) > 0


def test_a_person_whom_nobody_knows_is_refused_before_anything_is_drawn(climb, policy, reward, tmp_path):
    model = trained(tmp_path / "people", "latent-user", policy, reward, rows=people_rows(8))
    with pytest.raises(RunError, match=r"met nobody called person 9 .*Some that it knows: person"):
        climb(model, "first", "a", person="person 9")
    with pytest.raises(RunError, match="scores for nobody in particular"):
        climb(reward, "first", "b", person="person 3")
    assert forget(model, "person 3") and "person 4" in known_users(model)
    with pytest.raises(RunError, match="met nobody called person 3"):
        climb(model, "first", "c", person="person 3")
    assert climb.drawn() == 0
