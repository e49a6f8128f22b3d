"""Recipes on models that read images: two families, through their own processors, and rows that cannot be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoConfig

from tests.core.seeing import FAMILIES, save_seeing
from training.core.backbone import load_reward, load_tokenizer, pad_id_of
from training.core.collate import collate_pairs, encode
from training.core.pictures import Pictures
from training.core.records import Tally, read

SMALL = {"max_steps": 2, "batch_size": 4, "micro_batch": 2, "learning_rate": 1e-3}


@pytest.fixture(scope="module", params=FAMILIES)
def seeing(request, tmp_path_factory) -> Path:
    return save_seeing(tmp_path_factory.mktemp(request.param), request.param)


def rows(folder: Path, count: int = 9) -> list[dict]:
    """Pairs about an image each, of two shapes; every third has none."""
    found = []
    for number in range(count):
        Image.new("RGB", (40 + number, 30), (25 * number, 0, 0)).save(folder / f"{number}.png")
        parts = [{"type": "image", "text": None}, {"type": "text", "text": "bright?"}]
        shown = {"images": [{"sha256": f"hash{number}"}]} if number % 2 else {"images": [f"{number}.png"]}
        prompt = [{"role": "user", "content": parts if number % 3 else f"{number}?"}]
        row = {"prompt": prompt, "chosen": "yes", "rejected": f"no {number}"}
        found.append(row | (shown if number % 3 else {}))
    return found


@pytest.mark.parametrize("name", ["bradley-terry", "reward-ensemble", "sft", "dpo"])
def test_a_recipe_trains_on_images_by_the_processor_alone(do, seeing, tmp_path, name):
    (tmp_path / "run").mkdir()
    told = rows(tmp_path / "run")
    if name == "sft":
        told = [{**row, "completion": row["chosen"]} for row in told]
    files = {f"hash{n}": str(tmp_path / "run" / f"{n}.png") for n in range(9)}
    told[1]["images"] = ["nowhere.png"]
    spec, result = do(name, model=seeing, rows=told, images=files, **SMALL)
    assert result.counts["refused_no_image"] == 1 and result.counts["trained_on"] + result.counts["held_out"] == 8
    made = Path(spec.output) / "model"
    assert AutoConfig.from_pretrained(made).model_type == AutoConfig.from_pretrained(seeing).model_type
    assert Pictures(str(made), files=files, beside=tmp_path).processor.image_token == "<image>"


def test_a_score_depends_on_the_image_and_not_on_what_shares_the_batch(do, seeing, tmp_path):
    (tmp_path / "run").mkdir()
    files = {f"hash{n}": str(tmp_path / "run" / f"{n}.png") for n in range(9)}
    told = [row for row in rows(tmp_path / "run") if "images" in row]
    spec, _ = do("bradley-terry", model=seeing, rows=told, images=files, **SMALL)
    path, tally = f"{spec.output}/model", Tally()
    model, tokenizer = load_reward(path), load_tokenizer(path)
    pictures = Pictures(path, files=files, beside=tmp_path / "run")
    records = read(spec.data, "pairs", tally, images=True)
    examples = encode(records, tokenizer, tally, max_length=256, pictures=pictures)
    assert len({example.prompt_hash for example in examples}) == len(examples) == 6  # other images, other prompts
    with torch.no_grad():
        every = model.pair_scores(collate_pairs(examples, pad_id_of(tokenizer)).tokens)
        for place, example in enumerate(examples):
            alone = model.pair_scores(collate_pairs([example], pad_id_of(tokenizer)).tokens)
            torch.testing.assert_close(alone, every[place :: len(examples)], rtol=1e-4, atol=1e-5)
    assert len({round(float(score), 7) for score in every[: len(examples)]}) == len(examples)  # all say "yes"


def test_a_model_that_reads_text_alone_is_shown_no_image(do, policy, tmp_path):
    (tmp_path / "run").mkdir()
    _, result = do("bradley-terry", model=policy, rows=rows(tmp_path / "run", 30), **SMALL)
    assert result.counts["refused_images"] == 20 and any("text alone" in note for note in result.notes)
