"""Recipes on models that read images: two families, through their own processors, and rows that cannot be shown.

Images stand in prompts and, for what scores answers, in the answers too.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoConfig

from tests.core.seeing import FAMILIES, save_seeing
from training.core.backbone import load_reward, load_tokenizer, pad_id_of
from training.core.collate import collate_pairs, encode
from training.core.conversation import with_images
from training.core.pictures import Album, Pictures
from training.core.records import Tally, answers_images, read
from training.core.scoring import scorer_of

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


def drawn(folder: Path, count: int = 8) -> list[dict]:
    """Pairs of pictures, the redder one preferred; the first is beside a word, and the prompt of the second has one."""
    found = []
    for number in range(count):
        for side, red in (("good", 255), ("bad", 20)):
            Image.new("RGB", (30, 30 + number), (red, 10 * number, 0)).save(folder / f"{side}{number}.png")
        content = [{"type": "image", "text": None}, *([{"type": "text", "text": "so"}] if number == 0 else [])]
        answer = [{"role": "assistant", "content": content}]
        asked = [
            {"type": "text", "text": f"draw {number}"},
            *([{"type": "image", "text": None}] if number == 1 else []),
        ]
        row = {"prompt": [{"role": "user", "content": asked}], "chosen": answer, "rejected": answer}
        row |= {"chosen_images": [f"good{number}.png"], "rejected_images": [{"path": f"bad{number}.png"}]}
        found.append(row | ({"images": ["good0.png"]} if number == 1 else {}))
    return found


def test_answers_that_are_images_are_learned_from_and_measured(do, seeing, tmp_path):
    for folder in ("run", "measured"):
        (tmp_path / folder).mkdir()
        told = drawn(tmp_path / folder)
    same, lost, text = ({**told[2]}, {**told[3]}, {**told[4], "chosen": "red", "chosen_images": []})
    same["rejected_images"] = same["chosen_images"]
    lost["chosen_images"] = ["nowhere.png"]
    spec, result = do("bradley-terry", model=seeing, rows=[*told, same, lost, text], eval_share=0.0, **SMALL)
    assert result.counts["trained_on"] == 9  # a picture may be held against words
    assert result.counts["refused_identical"] == result.counts["refused_no_image"] == 1
    path = f"{spec.output}/model"
    pictures = Pictures(path, files={}, beside=tmp_path / "run", answers=True)
    model, tokenizer, tally = load_reward(path), load_tokenizer(path), Tally()
    examples = encode(read(spec.data, "pairs", tally, images=True), tokenizer, tally, max_length=256, pictures=pictures)
    with torch.no_grad():
        every = model.pair_scores(collate_pairs(examples, pad_id_of(tokenizer)).tokens)
        for place, example in enumerate(examples):
            alone = model.pair_scores(collate_pairs([example], pad_id_of(tokenizer)).tokens)
            torch.testing.assert_close(alone, every[place :: len(examples)], rtol=1e-4, atol=1e-5)
    good, bad = every.chunk(2)
    assert bool((good != bad).all()), "the same words with other pictures score alike"
    _, measured = do("reward-accuracy", into="measured", model=Path(path), rows=told)
    assert measured.counts["kept"] == len(told)
    assert measured.metrics["accuracy"]["estimate"] == float((good > bad)[: len(told)].float().mean())


def test_points_for_a_picture_and_what_writes_answers_learns_from_none(do, seeing, tmp_path):
    (tmp_path / "run").mkdir()
    told = drawn(tmp_path / "run")
    rated = []
    for row in told:
        for side, points in (("chosen", 4), ("rejected", 0)):
            answer = {"completion": row[side], "completion_images": row[f"{side}_images"], "ratings": {"red": points}}
            rated.append({name: row[name] for name in ("prompt", "images") if name in row} | answer)
    _, result = do("multi-objective", model=seeing, rows=rated, eval_share=0.0, **SMALL)
    assert result.counts["trained_on"] == len(rated)
    rows_ = [*told, {"prompt": "say it", "chosen": "yes", "rejected": "no"}]
    _, result = do("dpo", into="run2", model=seeing, rows=rows_, eval_share=0.0, **SMALL)
    assert result.counts["refused_images"] == len(told) and result.counts["trained_on"] == 1


def told_of(record) -> list[tuple[list[dict], str]]:
    """What a scorer is asked of a pair: each answer to the prompt with its images, and behind them the answer's."""
    both = answers_images(record) or ((), ())
    texts = (record.chosen, record.rejected)
    return [(with_images(record.prompt, (*record.images, *own)), text) for own, text in zip(both, texts, strict=True)]


def test_a_scorer_reads_what_the_model_learned_from(do, seeing, reward, tmp_path):
    (tmp_path / "run").mkdir()
    told = [*rows(tmp_path / "run", 6), *drawn(tmp_path / "run", 3)]
    files = {f"hash{n}": str(tmp_path / "run" / f"{n}.png") for n in range(6)}
    spec, _ = do("bradley-terry", model=seeing, rows=told, images=files, eval_share=0.0, **SMALL)
    path, tally, device = f"{spec.output}/model", Tally(), torch.device("cpu")
    album = Album(files, tmp_path / "run")
    pictures = Pictures(path, files=files, beside=tmp_path / "run", answers=True)
    model, tokenizer = load_reward(path), load_tokenizer(path)
    records = read(spec.data, "pairs", tally, images=True)
    examples = encode(records, tokenizer, tally, max_length=256, pictures=pictures)
    with torch.no_grad():
        better, worse = model.pair_scores(collate_pairs(examples, pad_id_of(tokenizer)).tokens).chunk(2)
    asked = [one for _, record in records for one in told_of(record)]
    prompts, texts = [list(one) for one in zip(*asked, strict=True)]
    scores = scorer_of(path, device=device, album=album, rows_at_once=4).score(prompts, texts)
    expected = [float(score) for both in zip(better, worse, strict=True) for score in both]
    assert scores == pytest.approx(expected, abs=1e-4)
    # Without the files, and for who reads text alone, there is no score where there are images, and one elsewhere.
    plain = [not any(message["role"] == "image" for message in prompt) for prompt in prompts]
    for blind in (scorer_of(path, device=device), scorer_of(str(reward), device=device, album=album)):
        assert [score is not None for score in blind.score(prompts, texts)] == plain and any(plain)


def test_margins_of_pairs_about_images_reach_the_loss(do, seeing, tmp_path):
    for folder in ("run", "margins"):
        (tmp_path / folder).mkdir()
        told = [row for row in rows(tmp_path / folder) if "images" in row]
    files = {f"hash{n}": str(tmp_path / "run" / f"{n}.png") for n in range(9)}
    made, _ = do("bradley-terry", model=seeing, rows=told, images=files, eval_share=0.0, **SMALL)
    scorers = {"reward": f"{made.output}/model"}
    more = {"model": seeing, "scorers": scorers, "rows": told, "images": files, "eval_share": 0.0, **SMALL}
    _, result = do("dpo-margin", into="margins", **more)
    assert result.counts["trained_on"] == len(told) == 6 and result.metrics["reward_margin"] != 0
