"""Models that stand on one frozen base hold it once, and do not notice each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.core.worlds import make_spec
from training.core.backbone import load_body, load_policy, load_reward, start_policy, width_of
from training.core.batch import Tokens
from training.core.critic import Critic
from training.core.one_body import share_frozen
from training.core.policy import token_logps
from training.core.run import KINDS, open_job
from training.core.tiny import save_tiny
from training.core.trainers import onpolicy

SMALL = {
    "iterations": 2,
    "prompts_per_iteration": 3,
    "samples_per_prompt": 3,
    "max_new_tokens": 5,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "critic_learning_rate": 1e-2,
    "lora_rank": 2,
}


@pytest.fixture(scope="module")
def judges(tmp_path_factory, policy) -> dict[str, Path]:
    """A reward and a cost model by adapters on the policy's base, and one that was trained as a whole."""
    found = {}
    for name, recipe, rank in (
        ("reward", "bradley-terry", 2),
        ("cost", "cost-model", 3),
        ("whole", "bradley-terry", 0),
    ):
        knobs = {"max_steps": 2, "batch_size": 4, "lora_rank": rank, "learning_rate": 1e-2}
        spec = make_spec(tmp_path_factory.mktemp(name), recipe, model=policy, **knobs)
        KINDS["fit"](open_job(spec))
        found[name] = Path(spec.output) / "model"
    return found


def numbers(*models: nn.Module) -> int:
    """How many numbers the models keep in memory together."""
    return sum(p.numel() for p in {id(p): p for model in models for p in model.parameters()}.values())


def tokens() -> Tokens:
    ids = torch.randint(5, 200, (3, 9), generator=torch.Generator().manual_seed(0))
    return Tokens(ids, torch.ones_like(ids), (torch.arange(9) > 3).expand_as(ids))


def read(model, some: Tokens) -> torch.Tensor:
    return model.scores(some.input_ids, some.attention_mask, some.completion_mask)


@torch.no_grad()
def test_the_base_is_there_once_and_scores_are_those_of_a_body_of_its_own(policy, judges):
    mine, _ = start_policy(str(policy), lora_rank=2)
    body = load_body(str(policy), lora_rank=2)
    critic, some = Critic(body, width_of(body)), tokens()
    scorers = [load_reward(str(judges[name])) for name in ("reward", "cost")]
    base = numbers(load_body(str(policy)))
    before, apart = numbers(mine, critic, *scorers), [read(one, some) for one in scorers]
    assert share_frozen(mine, [critic, *scorers]) == 3 * base
    assert numbers(mine, critic, *scorers) == before - 3 * base
    assert all(torch.equal(read(one, some), was) for one, was in zip(scorers, apart, strict=True))
    assert share_frozen(mine, [critic, *scorers]) == 0  # once is enough


def test_what_another_base_or_no_adapter_stands_on_stays_its_own(tmp_path, policy, judges):
    mine, _ = start_policy(str(policy), lora_rank=2)
    other = load_policy(str(save_tiny(tmp_path / "other", seed=9)))[0].requires_grad_(False)
    norms = sum(p.numel() for name, p in other.named_parameters() if "norm" in name)  # all 1 in both
    assert share_frozen(mine, [load_reward(str(judges["whole"])), other]) <= norms
    whole, _ = start_policy(str(policy))
    assert share_frozen(whole, [load_reward(str(judges["reward"]))]) == 0


def test_policy_and_critic_learn_without_noticing_each_other(policy):
    mine, _ = start_policy(str(policy), lora_rank=2)
    body = load_body(str(policy), lora_rank=2)
    critic, some = Critic(body, width_of(body)), tokens()
    nn.init.normal_(critic.value.weight)
    share_frozen(mine, [critic])
    base = {name: p.clone() for name, p in mine.named_parameters() if not p.requires_grad}
    for learner, other, said in (
        (mine, critic, lambda: (token_logps(mine, some), critic(some))),
        (critic, mine, lambda: (critic(some), token_logps(mine, some))),
    ):
        own, others = (value.detach() for value in said())
        optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=1e-2)
        for _ in range(2):
            said()[0].sum().backward()
            optimizer.step()
        now, untouched = (value.detach() for value in said())
        assert torch.equal(untouched, others) and not torch.allclose(now, own)
        assert other is not learner
    assert all(torch.equal(p, base[name]) for name, p in mine.named_parameters() if name in base)


def test_a_run_learns_to_the_bit_what_it_learns_on_bodies_of_their_own(do, policy, judges, monkeypatch):
    """PPO with a reward by an adapter; and on from the adapter that it made, whose critic stands on the base too."""
    told, shared = {}, []

    def counted(owner, others):
        found = share_frozen(owner, others)
        if len(others) > 1:  # else it is the policy as it was, to measure the new one against
            shared.append(found)
        return found

    for way, share in (("together", counted), ("apart", lambda owner, others: 0)):
        monkeypatch.setattr(onpolicy, "share_frozen", share)
        scorers = {"reward": str(judges["reward"])}
        first, _ = do("ppo", into=f"{way} 1", model=policy, scorers=scorers, **SMALL)
        on = Path(first.output) / "model"
        second, _ = do("ppo", into=f"{way} 2", model=on, scorers=scorers, **SMALL)
        files = [Path(spec.output) / "model" / "adapter_model.safetensors" for spec in (first, second)]
        lines = [line for spec in (first, second) for line in (Path(spec.output) / "metrics.jsonl").open()]
        figures = [{k: v for k, v in json.loads(line).items() if k != "time" and "second" not in k} for line in lines]
        told[way] = (figures, [load_file(file) for file in files])
        config = json.loads((on / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == str(policy) and not list(on.glob("model*.safetensors"))
    base = numbers(load_body(str(policy)))
    # Of the second run the reference is the first's policy, a third body beside critic and reward model.
    assert shared[0] == 2 * base and shared[1] >= 3 * base
    assert told["together"][0] == told["apart"][0]
    for one, other in zip(told["together"][1], told["apart"][1], strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
