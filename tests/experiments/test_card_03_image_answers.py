"""Card 3: a reward model ranks answers that are pictures, of two families, on real photographs with a rule as gold."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.core.seeing import FAMILIES
from tests.experiments.frame import Card
from tests.experiments.test_card_03_images import crops, share_right

CARD = Card(
    3,
    "Reward model on pictures as answers (MM-RLHF)",
    "Of two pictures that are answers to one prompt a reward model learns which people prefer, in whichever family its "
    "eyes are; shown other pictures than the ones that were compared, it is right about half of them.",
    "arXiv:2502.10391",
)
SEEDS = (0, 1)

pytestmark = pytest.mark.experiment


def brighter(folder: Path, family: str, seed: int, shift: int) -> float:
    """Return the share of held-out pairs of parts of different pictures of which the brighter one scores higher.

    With a `shift` other parts are shown than the ones that were compared.
    """
    folder.mkdir(parents=True)
    draw = random.Random(seed)
    parts = crops(folder, draw)
    cut = len(parts) * 4 // 5 // 4 * 4
    rows = []
    for low, high in ((0, cut), (cut, len(parts))):  # no image has parts on both sides
        for number in range(low, high):
            other = draw.choice([one for one in range(low, high) if one // 4 != number // 4])
            better, worse = sorted((number, other), key=lambda one: -parts[one][1])
            shown = [parts[low + (one - low + shift) % (high - low)][0] for one in (better, worse)]
            answer = [{"role": "assistant", "content": [{"type": "image", "text": None}]}]
            row = {"prompt": f"Draw something bright. {number}", "chosen": answer, "rejected": answer}
            rows.append(row | {"chosen_images": shown[:1], "rejected_images": shown[1:]})
    return share_right(folder, family, seed, rows[:cut], rows[cut:])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reward_model_ranks_answers_that_are_pictures(report, tmp_path, family):
    values = [brighter(tmp_path / f"drawn-{seed}", family, seed, shift=0) for seed in SEEDS]
    without = brighter(tmp_path / "other", family, SEEDS[0], shift=37)
    report(
        CARD,
        f"pairs of pictures that are answers put right, {family}",
        values,
        seeds=SEEDS,
        at_least=0.8,
        within=(0, 1),
        every_seed=True,
        switched_off="the pictures: other ones are shown",
        without=without,
    )
