"""Policies that read images answer prompts with them, scored by a reward model that reads them, in two families."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from tests.core.seeing import FAMILIES, save_seeing
from training.core.backbone import load_pictures, load_policy, load_reward, load_tokenizer, save, start_reward
from training.core.chat import Speaker
from training.core.collate import pad
from training.core.conversation import apart, with_images
from training.core.decode import generate
from training.core.evaluate.benchmarks import read_cases
from training.core.guard.folder import load_guard, save_guard
from training.core.guard.guard import MODEL, REFUSED
from training.core.guard.lexical import Lexical
from training.core.guard.scored import Scored
from training.core.guard.thresholds import Threshold
from training.core.guard.verdicts import SAFE, UNSAFE
from training.core.job import RunError
from training.core.pictures import Album
from training.core.policy import logps
from training.core.prompts import read_prompts
from training.core.records import IMAGE, Tally
from training.core.scoring import scorer_of
from training.recipes.chat import Question, Voice

SMALL = {"iterations": 2, "prompts_per_iteration": 3, "samples_per_prompt": 2, "max_new_tokens": 3, "batch_size": 6}
SMALL |= {"micro_batch": 2, "learning_rate": 1e-2, "eval_share": 0.0}


@pytest.fixture(scope="module", params=FAMILIES)
def seeing(request, tmp_path_factory) -> Path:
    return save_seeing(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def rewarding(seeing, tmp_path) -> Path:
    """A reward model on the policy's own body, with a head that was not trained."""
    torch.manual_seed(1)
    model, tokenizer = start_reward(str(seeing))
    torch.nn.init.normal_(next(model.head.parameters()))
    pictures = load_pictures(str(seeing), Album())
    save(model, tokenizer, tmp_path / "reward", recipe="bradley-terry", base=str(seeing), pictures=pictures)
    return tmp_path / "reward"


def asked(folder: Path) -> list[dict]:
    """Four prompts: two words about two images, one with two images, and one without any."""
    folder.mkdir(exist_ok=True)
    for number in range(3):
        Image.new("RGB", (40, 30 + number), (80 * number, 200, 0)).save(folder / f"{number}.png")
    mark, words = {"type": "image", "text": None}, {"type": "text", "text": "bright?"}
    parts = [[mark, words], [mark, words], [mark, words, mark]]
    shown = [["0.png"], [{"sha256": "one"}], ["0.png", "2.png"]]
    rows = [
        {"id": str(number), "prompt": [{"role": "user", "content": content}], "images": images}
        for number, (content, images) in enumerate(zip(parts, shown, strict=True))
    ]
    return [*rows, {"id": "3", "prompt": "is the sun bright?"}]


def test_an_answer_is_drawn_from_what_the_model_says_with_the_images(seeing, tmp_path):
    told = asked(tmp_path)
    (tmp_path / "data").write_text("".join(json.dumps(row) + "\n" for row in told))
    model, tokenizer = load_policy(str(seeing))
    pictures = load_pictures(str(seeing), Album({"one": str(tmp_path / "1.png")}, tmp_path))
    prompts = read_prompts(tmp_path / "data", tokenizer, Tally(), max_length=200, pictures=pictures)
    assert len(prompts) == 4 and prompts[0].ids == prompts[1].ids
    drawn = generate(
        model,
        [prompt.ids for prompt in prompts],
        n=2,
        temperature=1.0,
        max_new_tokens=4,
        stop=frozenset({-1}),
        seeds=[7] * 4,
        pictures=[prompt.shown for prompt in prompts],
    )
    for prompt, draws in zip(prompts, drawn, strict=True):  # each by itself, in one pass and without a cache
        tokens = pad([(prompt.ids, draw.ids) for draw in draws], 0, [prompt.shown] * 2)
        with torch.no_grad():
            expected = logps(model, tokens)
        torch.testing.assert_close(torch.tensor([draw.logp for draw in draws]).float(), expected, rtol=1e-4, atol=1e-4)
    assert drawn[0][0].logp != drawn[1][0].logp  # the same words about another image


def test_a_sample_run_scores_the_answers_with_the_images(do, seeing, rewarding, tmp_path):
    told, files = asked(tmp_path / "run"), {"one": str(tmp_path / "run" / "1.png")}
    told.append({"id": "lost", "prompt": told[0]["prompt"], "images": ["nowhere.png"]})
    more = {"samples_per_prompt": 2, "max_new_tokens": 3}
    spec, result = do("sample", model=seeing, scorers={"reward": str(rewarding)}, rows=told, images=files, **more)
    assert result.counts["prompts"] == 4 and result.counts["refused_no_image"] == 1
    lines = (Path(spec.output) / "samples.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["prompt"] for row in rows[:3]] == [row["prompt"] for row in told[:3]]
    assert [row.get("images") for row in rows] == [row.get("images") for row in told[:4]]
    album = Album(files, tmp_path / "run")
    scorer = scorer_of(str(rewarding), device=torch.device("cpu"), album=album)
    words = [{"role": "user", "content": f"{IMAGE}\n\nbright?"}]
    said = rows[1]["completions"]
    found = scorer.score([with_images(words, ["one"])] * 2, [answer["text"] for answer in said])
    assert [answer["scores"].get("reward") for answer in said] == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_a_policy_learns_from_its_answers_to_images(do, seeing, rewarding, tmp_path, name):
    told, files = asked(tmp_path / "run"), {"one": str(tmp_path / "run" / "1.png")}
    spec, result = do(name, model=seeing, scorers={"reward": str(rewarding)}, rows=told, images=files, **SMALL)
    assert result.counts["prompts"] == 4
    lines = [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and lines[0]["ratio"] == pytest.approx(1.0, abs=1e-5)
    made = f"{spec.output}/model"
    before, after = load_policy(str(seeing))[0].state_dict(), load_policy(made)[0].state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert load_pictures(made, Album()) is not None and load_tokenizer(made).chat_template


def test_the_processor_says_whether_a_model_reads_images(rewarding, reward):
    assert load_pictures(str(rewarding), Album()) is not None
    assert load_pictures(str(reward), Album()) is None
    assert load_reward(str(rewarding)).pooling == "last"


WORDS = Lexical(labels=(SAFE, UNSAFE), weights={"bright": (1.0, 5.0, -5.0)}, bias=(5.0, -5.0))


def guard_of(folder: Path, prompt, answer) -> Path:
    half = Threshold(0.5, 0.9, 0.95, 0.9, 100, 1, {"estimate": 0.0, "low": 0.0, "high": 0.1, "n": 100})
    return save_guard(folder, prompt=(prompt, half), answer=(answer, half))


def test_a_guard_that_reads_images_holds_back_by_them_and_one_that_does_not_holds_all_back(
    rewarding, reward, tmp_path, do, seeing
):
    told, files = asked(tmp_path), {"one": str(tmp_path / "1.png")}
    album, device = Album(files, tmp_path), torch.device("cpu")
    seen = scorer_of(str(rewarding), device=device, album=album)
    first, other = (
        with_images([{"role": "user", "content": f"{IMAGE}\n\nbright?"}], [one]) for one in ("0.png", "one")
    )
    guard = load_guard(
        guard_of(tmp_path / "g", Scored(seen, str(rewarding)), Scored(seen, str(rewarding))), album=album
    )
    one, two = guard.prompt(first), guard.prompt(other)
    assert not one.failed and not two.failed and one.risk != two.risk  # the same words
    answers = [guard.answers(asked_, ["yes"])[0] for asked_ in (first, other)]
    assert not any(verdict.failed for verdict in answers) and answers[0].risk != answers[1].risk
    assert guard.prompt([{"role": "user", "content": "is the sun bright?"}]).failed is False
    lost = guard.prompt(with_images(first[:1], ["nowhere.png"]))
    assert lost.failed and not lost.allowed and "image" in lost.reason
    assert guard.prompt(with_images(first[:1], ["0.png", "one"])).failed  # an image that no mark stands for

    for name, check in (("words", WORDS), ("text", Scored(scorer_of(str(reward), device=device), str(reward)))):
        blind = load_guard(guard_of(tmp_path / name, check, check), album=album)
        verdict = blind.prompt(first)
        assert not verdict.allowed and verdict.failed and "reads images" in verdict.reason
        assert blind.prompt([{"role": "user", "content": "is it bright?"}]).failed is False
    # In a sample run nothing is drawn for what the guard cannot read, and the run says so.
    (tmp_path / "run").mkdir()
    asked(tmp_path / "run")
    more = {"samples_per_prompt": 2, "max_new_tokens": 3, "guard": str(tmp_path / "words")}
    _, result = do("sample", model=seeing, rows=told, images=files, **more)
    assert result.counts["guard_prompts_blocked"] == 3 and result.counts["guard_failed"] >= 3


def test_a_benchmark_about_images_is_read_as_published_and_scored_by_who_reads_images(do, rewarding, reward, tmp_path):
    asked(tmp_path)
    told = [
        {"image": {"bytes": (tmp_path / f"{number}.png").read_bytes(), "path": "x.jpg"}, "query": "<image>\nbright?"}
        | {"response": ["yes", "no"], "human_ranking": [number % 2, 1 - number % 2], "query_source": "POVID"}
        for number in range(3)
    ]
    told.append({**told[0], "human_ranking": [0, 0]})  # nobody is ahead
    folder = tmp_path / "published"
    folder.mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(told), folder / "test-00000.parquet")
    cases, refused = read_cases(folder, "vl-rewardbench", unpacked=tmp_path / "unpacked")
    assert refused == 1 and [case.chosen for case in cases] == [("yes",), ("no",), ("yes",)]
    words, images = apart(cases[0].prompt)
    assert words == [{"role": "user", "content": f"{IMAGE}\n\nbright?"}]
    assert Path(images[0]).read_bytes() == told[0]["image"]["bytes"]
    lines = [{"image": f"../{n}.png", "question": "bright?", "chosen": "yes", "rejected": "no"} for n in range(2)]
    (folder / "rlaif.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (case, _), _ = read_cases(folder / "rlaif.jsonl", "rlaif-v")
    assert Image.open(apart(case.prompt)[1][0]).size == (40, 30)

    about = [{"image": f"../{n}.png", "question": "bright?", "chosen": "yes", "rejected": "no"} for n in range(3)]
    _, result = do("reward-benchmark", model=rewarding, rows=about, layout="rlaif-v")
    assert result.counts["kept"] == 3 and result.counts["unread"] == 0
    scorer = scorer_of(str(rewarding), device=torch.device("cpu"), album=Album({}, tmp_path))
    prompts = [with_images(words, [f"{n}.png"]) for n in range(3)]
    yes, no = (scorer.score(prompts, [text] * 3) for text in ("yes", "no"))
    ahead = sum(a > b for a, b in zip(yes, no, strict=True))
    assert result.metrics["accuracy"]["estimate"] == pytest.approx(ahead / 3)
    with pytest.raises(RunError, match="trained on images"):
        do("reward-benchmark", into="blind", model=reward, rows=about, layout="rlaif-v")


def test_the_explorer_shows_images_to_who_reads_them_and_the_others_say_that_they_cannot(
    do, rewarding, reward, tmp_path
):
    asked(tmp_path)
    parts = [{"type": "image", "image": "one"}, {"type": "text", "text": "bright?"}]
    answer = [{"role": "assistant", "content": [{"type": "image", "image": "two"}]}]
    row = {"prompt": [{"role": "user", "content": parts}], "images": ["one"], "completions": ["yes", answer]}
    row["completions_images"] = [[], ["two"]]
    files = {"one": str(tmp_path / "1.png"), "two": str(tmp_path / "2.png")}
    scorers = {"sees": str(rewarding), "reads": str(reward)}
    spec, result = do("reward-explorer", model=rewarding, scorers=scorers, rows=[row], images=files)
    told = {one["model"]: one for one in json.loads((Path(spec.output) / "explored.json").read_text())["models"]}
    assert told["reads"]["error"] == "This model reads text alone, and there is an image."
    scorer = scorer_of(str(rewarding), device=torch.device("cpu"), album=Album(files))
    words = [{"role": "user", "content": f"{IMAGE}\n\nbright?"}]
    found = scorer.score([with_images(words, ["one"]), with_images(words, ["one", "two"])], ["yes", IMAGE])
    assert told["sees"]["scores"] == pytest.approx(found, abs=1e-5) and None not in found
    assert result.counts["failed"] == 1
    spec, _ = do("reward-explorer", into="lost", model=rewarding, scorers={"sees": str(rewarding)}, rows=[row])
    (lost,) = json.loads((Path(spec.output) / "explored.json").read_text())["models"]
    assert "file is not at hand" in lost["error"]


def test_a_served_policy_looks_at_images_behind_its_guard(seeing, rewarding, policy, tmp_path):
    asked(tmp_path)
    sent = [base64.b64encode((tmp_path / f"{number}.png").read_bytes()).decode() for number in range(2)]
    parts = [{"type": "image"}, {"type": "text", "text": "bright?"}]
    more = {"id": "q", "seeds": [5], "temperature": 1.0, "max_new_tokens": 4}
    ask = [Question(messages=[{"role": "user", "content": parts}], images=[image], **more) for image in sent]
    plain = Question(messages=[{"role": "user", "content": f"{IMAGE} bright?"}], **more)

    def said(voice: Voice, question: Question):
        (answer,) = Speaker(voice).answer(question, lambda texts: None)
        return answer

    open_ = Voice(model=str(seeing))
    assert said(open_, ask[0]).logp != said(open_, ask[1]).logp and said(open_, plain).tokens
    with pytest.raises(RunError, match="reads text alone"):
        said(Voice(model=str(policy)), ask[0])
    always = Threshold(1.0, 0.9, 0.95, 0.9, 100, 1, {"estimate": 0.0, "low": 0.0, "high": 0.1, "n": 100})
    check = Scored(scorer_of(str(rewarding), device=torch.device("cpu")), str(rewarding))
    for name, prompt, source in (("sees", check, MODEL), ("words", WORDS, REFUSED)):
        save_guard(tmp_path / name, prompt=(prompt, always), answer=(check, always))
        voice = Voice(model=str(seeing), guard=str(tmp_path / name), guard_log=str(tmp_path / f"{name}.log"))
        assert said(voice, ask[0]).source == source
    assert (
        "reads images" in (tmp_path / "words.log").read_text() and "bright" not in (tmp_path / "words.log").read_text()
    )


def test_a_comparison_and_its_suite_show_the_images(do, seeing, rewarding, policy, tmp_path):
    told, files = asked(tmp_path / "run"), {"one": str(tmp_path / "run" / "1.png")}
    suite = tmp_path / "run" / "suite.jsonl.txt"
    measured = [row | {"measure": "safety", "category": "pictures"} for row in told]
    suite.write_text("".join(json.dumps(row) + "\n" for row in measured))
    more = {"samples_per_prompt": 1, "max_new_tokens": 3, "images": files}
    scorers = {"reward": str(rewarding), "cost": str(rewarding)}
    both = {"model": seeing, "reference": str(seeing), "scorers": scorers}
    spec, result = do("compare", rows=told, suite=str(suite), **both, **more)
    assert result.metrics["kl"]["estimate"] == pytest.approx(0, abs=1e-5)  # of a policy to itself, with its images
    assert result.counts["prompts"] == 4 and result.metrics["suite"]["left_out"] == 0
    album, device = Album(files, tmp_path / "run"), torch.device("cpu")
    seen = scorer_of(str(rewarding), device=device, album=album)
    for name in ("comparisons", "suite"):
        rows = [json.loads(line) for line in (Path(spec.output) / f"{name}.jsonl").read_text().splitlines()]
        assert [row["prompt"] for row in rows[:3]] == [row["prompt"] for row in told[:3]]
        assert [row.get("images") for row in rows] == [row.get("images") for row in told]
        if name == "suite":
            words = [{"role": "user", "content": f"{IMAGE}\n\nbright?"}]
            texts = [row["candidate_text"] for row in rows[:2]]
            found = seen.score([with_images(words, ["0.png"]), with_images(words, ["one"])], texts)
            assert [row["candidate"] for row in rows[:2]] == [score is not None and score >= 0 for score in found]
    blind = {"model": policy, "reference": str(policy)}
    with pytest.raises(RunError, match=r"3 prompts show images \(line 1, 2, 3\), and this policy reads text alone"):
        do("compare", into="blind", rows=told, **blind, **more)
    with pytest.raises(RunError, match="3 prompts show images"):
        do("sample", into="blind sample", model=policy, rows=told, **more)
    with pytest.raises(RunError, match="3 prompts show images"):
        do("compare", into="blind suite", rows=told[3:], suite=str(suite), **blind, **more)
