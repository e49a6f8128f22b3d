"""The frozen reference: which model it is, that it is computed once, and that training leaves it alone.

Once for all runs that share a cache, whatever their seeds and rates; other rows, and another reference, are new.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.core.worlds import make_spec, pair_rows
from training.core.backbone import load_policy, pad_id_of
from training.core.collate import collate_pairs
from training.core.policy import logps, pair_logps
from training.core.run import KINDS, open_job
from training.core.trainers import reference
from training.core.trainers.offline import prepare
from training.core.trainers.reference_cache import KnownLogps, row_key

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


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """The pairs of each forward pass under the reference."""
    seen: list[int] = []

    def counted(model, tokens):
        seen.append(len(tokens) // 2)
        return pair_logps(model, tokens)

    monkeypatch.setattr(reference, "pair_logps", counted)
    return seen


def test_a_second_run_on_the_same_rows_and_reference_computes_nothing(do, policy, passes, tmp_path):
    """With another seed, rate and β, and the same weights in another place; only new rows are read."""
    cache, few = str(tmp_path / "cache"), {**FAST, "epochs": 1, "eval_share": 0.0}
    first, _ = do("dpo", into="first", model=policy, cache=cache, **few)
    assert sum(passes) == 23
    passes.clear()
    copy = shutil.copytree(policy, tmp_path / "copied")
    other = {**few, "learning_rate": 1e-3, "beta": 0.5, "seed": 5, "lora_rank": 4}
    second, _ = do("dpo", into="second", model=copy, cache=cache, **other)
    assert passes == []
    assert torch.equal(kept(second), kept(first))
    rows = pair_rows(23)
    rows[4]["rejected"][0]["content"] += " too"
    more = pair_rows(26)[23:]
    third, _ = do("dpo", into="third", model=policy, cache=cache, rows=[*rows, *more], **few)
    assert sum(passes) == 1 + len(more)
    same = [i for i in range(23) if i != 4]
    assert torch.equal(kept(third)[same], kept(first)[same])
    torch.testing.assert_close(kept(third), by_hand(third, load_policy(str(policy))[0]), atol=1e-4, rtol=0)
    named = {**few, "reference": str(policy), "max_steps": 1}
    after, _ = do("dpo", into="after", model=Path(first.output) / "model", cache=cache, **named)
    assert sum(passes) == 1 + len(more)  # of a round that goes on against the first policy, too
    read = torch.isfinite(kept(after)).all(-1)
    assert read.any() and torch.equal(kept(after)[read], kept(first)[read])


def test_another_reference_in_the_same_place_is_computed(do, policy, passes, tmp_path):
    """And an adapter on another base; a cache that is damaged or gone costs nothing but time."""
    cache, few = tmp_path / "cache", {**FAST, "epochs": 1, "eval_share": 0.0}
    named = shutil.copytree(policy, tmp_path / "named")
    first, _ = do("dpo", into="first", model=named, lora_rank=2, cache=str(cache), **few)
    adapter = Path(first.output) / "model"
    do("dpo", into="on", model=adapter, lora_rank=2, cache=str(cache), **few)
    assert sum(passes) == 46
    weights = load_file(named / "model.safetensors")
    save_file({name: value * 1.5 for name, value in weights.items()}, named / "model.safetensors")
    passes.clear()
    second, _ = do("dpo", into="second", model=named, cache=str(cache), **few)
    do("dpo", into="on again", model=adapter, lora_rank=2, cache=str(cache), **few)
    assert sum(passes) == 46
    assert (kept(second) - kept(first)).abs().max() > 0.1
    passes.clear()
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    third, _ = do("dpo", into="third", model=named, cache=str(cache), **few)
    assert sum(passes) == 23 and torch.equal(kept(third), kept(second))
    passes.clear()
    do("dpo", into="fourth", model=named, cache=str(cache), **few)
    assert passes == []
    shutil.rmtree(cache)
    cache.write_text("no folder")
    fifth, _ = do("dpo", into="fifth", model=named, cache=str(cache), **few)
    assert torch.equal(kept(fifth), kept(third))


def test_a_rows_key_is_its_tokens_where_they_are_and_its_images():
    key = row_key([([1, 2], [3]), ([1, 2], [4])], [{}, {}])
    image = {"pixel_values": torch.arange(6.0).reshape(2, 3)}
    others = [
        row_key([([1], [2, 3]), ([1, 2], [4])], [{}, {}]),
        row_key([([1, 2], [4]), ([1, 2], [3])], [{}, {}]),
        row_key([([1, 2], [3]), ([1, 2], [4])], [image, image]),
        row_key([([1, 2], [3]), ([1, 2], [4])], [image, {}]),
        row_key([([1, 2], [3]), ([1, 2], [4])], [{"pixel_values": image["pixel_values"].T}] * 2),
        row_key([([1, 2], [3]), ([1, 2], [4])], [{"pixel_values": image["pixel_values"].bfloat16()}] * 2),
    ]
    assert len({key, *others}) == 7
    assert key == row_key([([1, 2], [3]), ([1, 2], [4])], [{}, {}])


def test_what_several_runs_add_is_found_together(tmp_path):
    known = KnownLogps(tmp_path / "cache", "model")
    rows = [row_key([([1], [number])], [{}]) for number in range(4)]
    values = {row: torch.tensor([float(number)]) for number, row in enumerate(rows)}
    assert known.find(rows) == {}
    known.add({row: values[row] for row in rows[:2]})
    known.add({row: values[row] for row in rows[1:3]})
    known.add({})
    assert known.find(rows) == {row: values[row] for row in rows[:3]}
    assert KnownLogps(tmp_path / "cache", "another").find(rows) == {}
    assert all(path.suffix == ".safetensors" for path in (tmp_path / "cache").iterdir())
