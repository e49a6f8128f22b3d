"""Whether how reliable people are changes what a model learns: two of three people say the contrary of the third."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.core.worlds import pair_rows
from training.core.backbone import load_reward, load_tokenizer
from training.core.collate import encode_conversation, pad


def judged_by_three() -> list[dict]:
    """Return each pair thrice: as it is by somebody of weight 2.4, and turned round by two of weight 0.3; mean 1."""
    rows = []
    for row in pair_rows(8):
        turned = {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
        rows += [{**row, "annotator_weight": 2.4}, *({**turned, "annotator_weight": 0.3} for _ in range(2))]
    return rows


def margin(model: Path) -> float:
    """Return by how much the answers that say thanks are above the others, in the mean over pairs never trained on."""
    learned, tokenizer, rows = load_reward(str(model)), load_tokenizer(str(model)), pair_rows(16, seed=7)
    means = []
    for side in ("chosen", "rejected"):
        said = [encode_conversation(tokenizer, row["prompt"], row[side][0]["content"]) for row in rows]
        together = pad([(ids, []) for ids in said], pad_id=3)
        with torch.no_grad():
            means.append(learned.scores(together.input_ids, together.attention_mask).mean().item())
    return means[0] - means[1]


def test_the_reliable_one_decides_with_weights_and_the_two_others_without(do, policy):
    found = {}
    for weighted in (True, False):
        spec, _result = do(
            "bradley-terry",
            into=str(weighted),
            model=policy,
            rows=judged_by_three(),
            annotator_weights=weighted,
            epochs=30,
            batch_size=24,
            learning_rate=3e-3,
            eval_share=0.0,
        )
        found[weighted] = margin(Path(spec.output) / "model")
    assert found[True] > 0.1, "weights 2.4 against 0.6"
    assert found[False] < -0.05, "one against two"
