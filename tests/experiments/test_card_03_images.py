"""Card 3: the same recipe on models that read images, of two families, on real photographs with a rule as gold."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageStat

from tests.annotation.importing.shared_data import DATA
from tests.core.seeing import FAMILIES, save_seeing
from tests.experiments.frame import Card
from tests.experiments.world import do
from training.core.backbone import load_reward, load_tokenizer, pad_id_of
from training.core.collate import collate_pairs, encode
from training.core.pictures import Pictures
from training.core.records import Tally, read

CARD = Card(
    3,
    "Reward model on images (MM-RLHF)",
    "Shown parts of photographs, a reward model learns which of two answers about a picture is right, in whichever "
    "family its eyes are; shown another picture than the answers are about, it is right about half of them.",
    "arXiv:2502.10391",
)
SEEDS = (0, 1)
SIDE = 64
PICTURES = DATA / "images-small" / "images"  # photographs; where they are not at hand, pictures are drawn

pytestmark = pytest.mark.experiment


def crops(folder: Path, draw: random.Random) -> list[tuple[str, float]]:
    """Return four parts of each image with how bright each is, the parts of one image behind each other."""
    found = []
    paths = sorted(PICTURES.glob("*.*")) if PICTURES.is_dir() else drawn(folder)
    draw.shuffle(paths)  # their names tell what they are of
    for path in paths:
        with Image.open(path) as image:
            whole = image.convert("RGB").resize((2 * SIDE, 2 * SIDE))
        for part in range(4):
            left, top = SIDE * (part % 2), SIDE * (part // 2)
            crop = whole.crop((left, top, left + SIDE, top + SIDE))
            name = folder / f"{path.stem}-{part}.png"
            crop.save(name)
            found.append((str(name), ImageStat.Stat(crop.convert("L")).mean[0]))
    return found


def drawn(folder: Path) -> list[Path]:
    """Draw 75 pictures of noise on a ground of some brightness, for where no photographs are at hand."""
    generator = torch.Generator().manual_seed(0)
    paths = []
    for number in range(75):
        ground = torch.rand((), generator=generator) * 200
        noise = torch.rand(2 * SIDE, 2 * SIDE, 3, generator=generator) * 55
        path = folder / f"drawn-{number}.png"
        Image.fromarray((ground + noise).byte().numpy()).save(path)
        paths.append(path)
    return paths


def right(folder: Path, family: str, seed: int, shift: int) -> float:
    """Return the share of held-out parts about which the right answer scores higher.

    With a `shift` each row shows the image of another one, in training and after it.
    """
    folder.mkdir(parents=True)
    parts = crops(folder, random.Random(seed))
    middle = sorted(brightness for _, brightness in parts)[len(parts) // 2]
    ask = [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "Is it bright?"}]}]
    rows = []
    for number, (_, brightness) in enumerate(parts):
        said = ("yes", "no") if brightness >= middle else ("no", "yes")
        shown = parts[(number + shift) % len(parts)][0]
        rows.append({"prompt": ask, "chosen": said[0], "rejected": said[1], "images": [shown]})
    cut = len(rows) * 4 // 5 // 4 * 4  # no image has parts on both sides
    return share_right(folder, family, seed, rows[:cut], rows[cut:])


def share_right(folder: Path, family: str, seed: int, told: list[dict], fresh: list[dict]) -> float:
    """Return the share of `fresh` pairs whose better answer scores higher by a reward model of what was `told`."""
    quick = {"max_steps": 100, "epochs": 100, "batch_size": 24, "micro_batch": 24, "learning_rate": 1e-3}
    base = save_seeing(folder / "base", family)
    spec, _ = do(folder / "run", "bradley-terry", model=base, rows=told, seed=seed, eval_share=0.0, **quick)
    path = f"{spec.output}/model"
    held = folder / "held.jsonl"
    held.write_text("".join(json.dumps(row) + "\n" for row in fresh))
    model, tokenizer, tally = load_reward(path), load_tokenizer(path), Tally()
    pictures = Pictures(path, files={}, beside=folder, answers=True)
    examples = encode(read(held, "pairs", tally, images=True), tokenizer, tally, max_length=256, pictures=pictures)
    with torch.no_grad():
        chosen, rejected = model.pair_scores(collate_pairs(examples, pad_id_of(tokenizer)).tokens).chunk(2)
    return float((chosen > rejected).float().mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reward_model_reads_the_picture(report, tmp_path, family):
    values = [right(tmp_path / f"seen-{seed}", family, seed, shift=0) for seed in SEEDS]
    without = right(tmp_path / "other", family, SEEDS[0], shift=37)
    report(
        CARD,
        f"answers about parts of unseen pictures put right, {family}",
        values,
        seeds=SEEDS,
        at_least=0.85,
        within=(0, 1),
        every_seed=True,
        switched_off="the picture: another one is shown",
        without=without,
    )
