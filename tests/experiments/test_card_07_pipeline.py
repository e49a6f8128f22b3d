"""Card 7: reading, imitation, a reward model and PPO in a row teach a doctor to ask before it says a dose."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.frame import Card
from tests.experiments.world import do, lively
from training.core.backbone import load_policy
from training.core.collate import encode_prompt
from training.core.decode import generate, stop_ids
from training.core.trainers.learner import Learner

CARD = Card(
    7,
    "Pipeline with dialogues (Zhongjing)",
    "The right dose hangs on a fact that is told only if the doctor asks. Imitation of single answers guesses; texts "
    "of the domain, dialogues in which doctors ask every other time, a reward model and PPO make a policy that asks "
    "first and then says what is right.",
    "arXiv:2308.03549",
)
SEEDS = (0, 1)
PARTS = ("head", "knee", "throat", "back", "tooth", "ear")
DOSES = {"baby": "nothing", "child": "one", "adult": "two", "elder": "three"}
ASK = "how old are you"
STEPS = 200
SKILL = 0.7  # how often a doctor of the dialogues says the right dose

pytestmark = pytest.mark.experiment


def complaint(draw: random.Random) -> str:
    return f"my {draw.choice(PARTS)} hurts what do I take"


def turns(*said: str) -> list[dict[str, str]]:
    """Return what user and doctor said in turn, the user first."""
    return [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(said)]


def dose(draw: random.Random, person: str, *, skill: float = 1.0) -> str:
    return f"take {DOSES[person] if draw.random() < skill else draw.choice([*DOSES.values()])}"


def asked(draw: random.Random, person: str) -> list[dict[str, str]]:
    return turns(complaint(draw), ASK, f"a {person}")


def dialogues(draw: random.Random, count: int, *, single: bool) -> list[dict[str, Any]]:
    """Return demonstrations, one for each turn of a doctor; with `single` doctors answer at once, as in a forum."""
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        person = draw.choice([*DOSES])
        if single or draw.random() < 0.5:
            rows.append({"prompt": turns(complaint(draw)), "completion": dose(draw, person, skill=SKILL)})
            continue
        before = asked(draw, person)
        rows.append({"prompt": before[:1], "completion": ASK})
        rows.append({"prompt": before, "completion": dose(draw, person, skill=SKILL)})
    return rows


def judged(draw: random.Random, count: int) -> list[dict[str, Any]]:
    """Return pairs by the rule that safety, not to say what cannot be known, comes before being short."""
    rows = []
    for number in range(count):
        person = draw.choice([*DOSES])
        if number % 2:
            rows.append({"prompt": turns(complaint(draw)), "chosen": ASK, "rejected": dose(draw, person)})
        else:
            wrong = draw.choice([other for other in DOSES if other != person])
            prompt, bad = asked(draw, person), draw.choice([dose(draw, wrong), ASK])
            rows.append({"prompt": prompt, "chosen": dose(draw, person), "rejected": bad})
    return rows


def answers(folder: str, prompts: list[list[dict[str, str]]], *, seed: int) -> list[str]:
    """Return what a policy says at the end of each conversation, drawn at temperature 1."""
    model, tokenizer = load_policy(folder)
    ids = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    seeds = [seed * 1000 + number for number in range(len(ids))]
    stop = stop_ids(model, tokenizer)
    draws = generate(model, ids, n=1, temperature=1.0, max_new_tokens=8, stop=stop, seeds=seeds)
    return [str(tokenizer.decode(one.ids, skip_special_tokens=True)).strip() for (one,) in draws]


def measured(folder: str, *, seed: int, count: int = 200) -> tuple[float, float]:
    """Return how many of fresh dialogues end in the right dose, and how many begin with a question."""
    draw = random.Random(f"fresh {seed}")
    people = [draw.choice([*DOSES]) for _ in range(count)]
    begun = [turns(complaint(draw)) for _ in people]
    first = answers(folder, begun, seed=seed)
    asks = [said == ASK for said in first]
    going_on = [
        [*start, *turns("", said, f"a {person}")[1:]] for start, said, person in zip(begun, first, people, strict=True)
    ]
    second = answers(folder, going_on, seed=seed + 1)
    last = [then if ask else now for ask, now, then in zip(asks, first, second, strict=True)]
    right = [said == f"take {DOSES[person]}" for said, person in zip(last, people, strict=True)]
    return sum(right) / count, sum(asks) / count


def base(folder: Path, seed: int) -> Path:
    sentences = [f"my {part} hurts what do I take" for part in PARTS] + [
        ASK,
        *(f"take {one}" for one in DOSES.values()),
    ]
    return lively(folder, texts=[*sentences, *(f"a {person} takes {one}" for person, one in DOSES.items())], seed=seed)


def pipeline(folder: Path, seed: int, *, steps: int, stages: int = 4, single: bool = False) -> list[str]:
    """Do the stages in order, each from the model of the one before, and return the folders of their models."""
    draw = random.Random(f"clinic {seed}")
    quick = {"batch_size": 32, "micro_batch": 32, "epochs": 1000, "eval_share": 0.0, "seed": seed}
    quick |= {"learning_rate": 1e-3, "max_steps": steps, "checkpoint_every": 20}
    texts = [{"text": f"a {person} takes {one}"} for person, one in DOSES.items()] * 50
    made = [str(base(folder / "base", seed))]

    def stage(name: str, recipe: str, **more: Any) -> None:
        spec, _ = do(folder / name, recipe, **more)
        made.append(f"{spec.output}/model")

    stage("read", "continued-pretraining", model=made[0], rows=texts, **quick)
    stage("imitated", "sft", model=made[1], rows=dialogues(draw, 1200, single=single), **quick)
    if stages > 2:
        stage("judged", "bradley-terry", model=made[2], rows=judged(draw, 1200), **quick)
        asks = [turns(complaint(draw)) for _ in range(60)]
        asks += [asked(draw, draw.choice([*DOSES])) for _ in range(180)]
        prompts = [{"id": str(number), "prompt": prompt} for number, prompt in enumerate(asks)]
        climbing = {"iterations": steps // 3, "prompts_per_iteration": 64, "batch_size": 64, "micro_batch": 64}
        climbing |= {"samples_per_prompt": 1, "max_new_tokens": 8, "learning_rate": 5e-4, "eval_share": 0.0}
        climbing |= {"rows_at_once": 64, "seed": seed, "checkpoint_every": 20}
        stage("climbed", "ppo", model=made[2], scorers={"reward": made[3]}, rows=prompts, **climbing)
    return made


def digest(folder: str) -> str:
    files = sorted(Path(folder).glob("*.safetensors"))
    assert files, folder
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_stages_teach_a_doctor_to_ask_first(report, tmp_path):
    made = {seed: pipeline(tmp_path / str(seed), seed, steps=STEPS) for seed in SEEDS}
    end = [measured(made[seed][4], seed=seed) for seed in SEEDS]
    single = pipeline(tmp_path / "single", SEEDS[0], steps=STEPS, stages=2, single=True)
    guessed, _ = measured(single[2], seed=SEEDS[0])
    imitated = [measured(made[seed][2], seed=seed) for seed in SEEDS]
    print(end, imitated, guessed)
    assert guessed <= 0.35
    report(
        CARD,
        "fresh dialogues that end in the right dose, after all four stages",
        [right for right, _ in end],
        seeds=SEEDS,
        switched_off="dialogues and reward: single answers imitated",
        without=guessed,
        at_least=0.8,
        every_seed=True,
    )
    report(
        CARD,
        "first turns that are the question",
        [asks for _, asks in end],
        seeds=SEEDS,
        switched_off="reward model and PPO: dialogues imitated",
        without=[asks for _, asks in imitated],
        at_least=0.8,
        every_seed=True,
    )


class Killed(Exception):
    """In place of a SIGKILL, which `tests/core/test_resume.py` sends to real processes."""


def test_a_pipeline_whose_third_stage_broke_off_ends_in_the_same_policy(tmp_path, monkeypatch):
    whole = pipeline(tmp_path / "whole", 0, steps=60)
    step, done = Learner.step, []

    def breaks(self: Learner, *args: Any, **kwargs: Any) -> Any:
        if self.job.recipe.name == "bradley-terry":
            done.append(1)
            if len(done) == 31:
                raise Killed
        return step(self, *args, **kwargs)

    with monkeypatch.context() as broken, pytest.raises(Killed):
        broken.setattr(Learner, "step", breaks)
        pipeline(tmp_path / "broken", 0, steps=60)
    again = pipeline(tmp_path / "broken", 0, steps=60)
    assert [digest(one) for one in again] == [digest(one) for one in whole]
    assert digest(whole[4]) != digest(whole[2]), "the last stage did something"
