"""The frozen reference: which model it is, that it is computed once, and that training leaves it alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.core.worlds import make_spec
from training.core.backbone import load_policy, pad_id_of
from training.core.collate import collate_pairs
from training.core.policy import logps
from training.core.run import KINDS, open_job
from training.core.trainers.offline import prepare

FAST = {"batch_size": 8, "epochs": 2, "learning_rate": 1e-2, "eval_share": 0.1}


def by_hand(spec, model) -> torch.Tensor:
    """(N, 2) log-probabilities, one pair at a time."""
    _, tokenizer = load_policy(spec.model)
    rows = prepare(open_job(spec), tokenizer, max_length=512, eval_share=0.1)
    with torch.no_grad():
        return torch.stack(
            [logps(model, collate_pairs([example], pad_id_of(tokenizer)).tokens) for example in rows.examples]
        )


def kept(spec) -> torch.Tensor:
    return load_file(Path(spec.output) / "reference.safetensors")["logps"]


@pytest.mark.parametrize("named", [False, True])
def test_without_another_the_reference_is_the_start(do, policy, named):
    spec, _ = do("dpo", model=policy, reference=str(policy) if named else None, **FAST)
    torch.testing.assert_close(kept(spec), by_hand(spec, load_policy(str(policy))[0]), atol=1e-4, rtol=0)


def test_with_an_adapter_it_is_the_model_with_the_adapter_off(do, policy):
    spec, _ = do("dpo", model=policy, lora_rank=4, **FAST)
    trained, _ = load_policy(f"{spec.output}/model")
    assert (by_hand(spec, trained) - kept(spec)).abs().max() > 0.1
    with trained.disable_adapter():
        torch.testing.assert_close(kept(spec), by_hand(spec, trained), atol=1e-4, rtol=0)


def test_another_policy_can_be_the_reference_and_stays_as_it_was(do, policy):
    """As in a second round with the initial policy as reference: the first loss is no longer ln 2."""
    first, _ = do("dpo", into="first", model=policy, **FAST)
    before = {p.name: p.read_bytes() for p in policy.iterdir()}
    second, _ = do("dpo", into="second", model=Path(first.output) / "model", reference=str(policy), **FAST)
    assert {p.name: p.read_bytes() for p in policy.iterdir()} == before
    torch.testing.assert_close(kept(second), kept(first), atol=1e-4, rtol=0)
    start = (Path(second.output) / "metrics.jsonl").read_text().splitlines()[0]
    assert '"accuracy": 0.5' not in start


def test_rows_that_are_not_visited_are_not_computed(do, policy):
    spec, result = do("dpo", model=policy, max_steps=1, **{**FAST, "batch_size": 11})
    visited = 11 + result.counts["held_out"]
    assert torch.isfinite(kept(spec)).all(-1).sum().item() == visited < len(kept(spec))


def test_an_adapter_is_trained_on_in_a_second_run_and_merged_for_a_full_one(do, policy):
    """Second round with LoRA: the same adapter goes on, on the same base; in full: one whole model is left."""
    first, _ = do("dpo", into="first", model=policy, lora_rank=4, **FAST)
    on = Path(first.output) / "model"
    second, _ = do("dpo", into="second", model=on, lora_rank=4, **FAST)
    assert kept(second) is not None
    again, _ = load_policy(f"{second.output}/model")
    assert again.peft_config["default"].base_model_name_or_path == str(policy)
    torch.testing.assert_close(kept(second), by_hand(second, load_policy(str(on))[0]), atol=1e-4, rtol=0)
    whole, _ = do("dpo", into="whole", model=on, lora_rank=0, max_steps=1, **{**FAST, "learning_rate": 0.0})
    assert not (Path(whole.output) / "model" / "adapter_config.json").exists()
    merged, _ = load_policy(f"{whole.output}/model")
    torch.testing.assert_close(by_hand(second, merged), kept(second), atol=1e-3, rtol=0)


def test_a_kept_reference_is_used_again_and_one_of_other_data_is_not(tmp_path, policy):
    spec = make_spec(tmp_path / "run", "dpo", model=policy, max_steps=1, **FAST)
    KINDS["fit"](open_job(spec))
    path = Path(spec.output) / "reference.safetensors"
    stamp = path.stat().st_mtime_ns
    KINDS["fit"](open_job(spec))
    assert path.stat().st_mtime_ns == stamp
    other = make_spec(tmp_path / "run", "dpo", model=policy, seed=1, max_steps=1, **FAST)
    (Path(spec.output) / "checkpoints").rename(tmp_path / "away")
    KINDS["fit"](open_job(other))
    assert path.stat().st_mtime_ns != stamp
