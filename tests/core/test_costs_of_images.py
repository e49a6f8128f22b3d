"""Costs of answers to images (Safe RLHF-V): the cost model reads the picture, and a policy is held to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.core.seeing import FAMILIES, save_seeing
from tests.core.test_every_recipe import Crash
from tests.core.test_resume import weights
from tests.core.worlds import make_spec
from training.core.backbone import load_pictures, load_policy, save, start_reward
from training.core.conversation import with_images
from training.core.job import Stopped
from training.core.pictures import Album
from training.core.records import IMAGE
from training.core.run import KINDS, open_job
from training.core.scoring import scorer_of
from training.core.trainers.learner import Learner

SMALL = {"iterations": 2, "prompts_per_iteration": 3, "samples_per_prompt": 2, "max_new_tokens": 3, "batch_size": 6}
SMALL |= {"micro_batch": 6, "learning_rate": 1e-2, "eval_share": 0.0, "checkpoint_every": 1}
SHADES = (0, 80, 160, 240)


@pytest.fixture(scope="module", params=FAMILIES)
def seeing(request, tmp_path_factory) -> Path:
    return save_seeing(tmp_path_factory.mktemp(request.param), request.param)


def pictures(folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    for shade in SHADES:
        Image.new("RGB", (40, 30), (shade, 200, 0)).save(folder / f"{shade}.png")
    return {f"shade{shade}": str(folder / f"{shade}.png") for shade in SHADES}


def asked(shade: int) -> dict:
    parts = [{"type": "image", "text": None}, {"type": "text", "text": "what is it?"}]
    return {"prompt": [{"role": "user", "content": parts}], "images": [{"sha256": f"shade{shade}"}]}


def safer_pairs(*, shown: bool = True) -> list[dict]:
    """The same two answers to every picture: about a bright one both are safe, about a dark one neither."""
    rows = []
    for number in range(16):
        shade = SHADES[number % 4]
        label = {"chosen_is_safe": shade > 100, "rejected_is_safe": shade > 100}
        sides = ["yes", "no"] if number % 8 < 4 else ["no", "yes"]
        told = asked(shade) if shown else {"prompt": "what is it?"}
        rows.append({**told, "chosen": sides[0], "rejected": sides[1], **label})
    return rows


@pytest.fixture(scope="module")
def costing(seeing, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A cost model that has learned which pictures have nothing safe to be said about them, and the pictures' files."""
    folder = tmp_path_factory.mktemp("costing")
    files = pictures(folder / "files")
    quick = {"epochs": 30, "batch_size": 16, "micro_batch": 16, "learning_rate": 1e-2, "eval_share": 0.0}
    spec = make_spec(folder / "run", "cost-model", model=seeing, rows=safer_pairs(), images=files, **quick)
    KINDS["fit"](open_job(spec))
    return Path(spec.output) / "model", files


def test_a_cost_model_tells_safe_from_unsafe_by_the_picture_alone(costing):
    """Words and answers are the same for all pictures, so that who does not see them cannot tell."""
    cost, files = costing
    scorer = scorer_of(str(cost), device=torch.device("cpu"), album=Album(files))
    words = [{"role": "user", "content": f"{IMAGE}\n\nwhat is it?"}]
    for text in ("yes", "no"):
        costs = scorer.columns([with_images(words, [f"shade{shade}"]) for shade in SHADES], [text] * 4).values
        assert [one is not None and one[0] > 0 for one in costs] == [True, True, False, False]


def test_a_policy_is_held_to_costs_of_answers_to_images(do, seeing, costing, tmp_path, monkeypatch):
    """Two steps, cut up otherwise the same to rounding, and broken off and resumed the same to the last bit."""
    cost, files = costing
    torch.manual_seed(1)
    model, tokenizer = start_reward(str(seeing))
    torch.nn.init.normal_(next(model.head.parameters()))
    seen = load_pictures(str(seeing), Album())
    save(model, tokenizer, tmp_path / "reward", recipe="bradley-terry", base=str(seeing), pictures=seen)
    scorers = {"reward": str(tmp_path / "reward"), "cost": str(cost)}
    prompts = [{"id": str(shade), **asked(shade)} for shade in SHADES]
    more = {"model": seeing, "scorers": scorers, "rows": prompts, "images": files, **SMALL}
    whole, result = do("safe-rlhf", into="whole", **more)
    assert result.counts["prompts"] == 4
    lines = numbers(whole.output)
    assert len(lines) == 2 and lines[0]["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert lines[0]["cost"] == pytest.approx(lines[0]["score_cost"], abs=1e-5)
    assert lines[0]["multiplier"] != lines[1]["multiplier"]
    start, made = load_policy(str(seeing))[0].state_dict(), load_policy(f"{whole.output}/model")[0].state_dict()
    assert any(not torch.equal(start[key], made[key]) for key in start)

    step, left = Learner.step, iter([True, False])

    def breaks(self, *args, **kwargs):
        if not next(left):
            raise Crash
        return step(self, *args, **kwargs)

    with monkeypatch.context() as broken, pytest.raises(Crash):
        broken.setattr(Learner, "step", breaks)
        do("safe-rlhf", into="broken", **more)
    again, _ = do("safe-rlhf", into="broken", **more)
    assert weights(Path(again.output)) == weights(Path(whole.output)) != {}
    assert numbers(again.output) == lines
    single = make_spec(tmp_path / "single", "safe-rlhf", **{**more, "micro_batch": 1})
    (Path(single.output) / "STOP").touch()
    with pytest.raises(Stopped):
        KINDS["fit"](open_job(single))
    assert numbers(single.output)[0] == pytest.approx(lines[0], rel=1e-3, abs=1e-4)


def numbers(folder: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    return [{name: v for name, v in line.items() if name not in ("time", "tokens_per_second")} for line in lines]
