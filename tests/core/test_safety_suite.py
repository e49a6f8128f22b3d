"""A safety suite put to a policy: what is asked, by which words and log-probabilities it is right, and the figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.core.lab_safety import BIOLOGICAL, CHEMICAL, FIRE, lab_rows
from tests.core.scripted import scripted
from tests.core.seeing import save_seeing
from tests.core.worlds import make_spec
from training.core.backbone import load_policy
from training.core.collate import encode_prompt
from training.core.decode import completion_logps, next_logits
from training.core.evaluate.safety_suite import measure
from training.core.job import RunError
from training.core.pictures import Pictures
from training.core.records import IMAGE
from training.core.run import open_job
from training.core.sampler import Sampler
from training.recipes.multiple_choice import LETTERS, question


def put(folder: Path, script, rows: list[dict], *, seen: list[str] | None = None, max_length: int = 4096, **knobs):
    """Put rows to a policy that answers `script(prompt)`, and return the result and the rows of its answers."""
    spec = make_spec(folder, "safety-suite", model=folder, rows=rows, seen=seen, max_new_tokens=40, **knobs)
    job = open_job(spec)
    job.knobs["samples_per_prompt"] = 1
    loaded = scripted(script, max_length=max_length)
    result = measure(job, Sampler(job, "", loaded=loaded), [question(row) for row in rows])
    return result, [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def key_of(prompt: str) -> str:
    """Return the letter behind which the right option stands in a prompt, whatever its order."""
    for row in lab_rows():
        stem, *options = row["Question"].split("\n")
        right = options[LETTERS.index(row["Correct Answer"])].partition(": ")[2]
        if prompt.startswith(stem):
            return next(line[0] for line in prompt.split("\n") if line[1:3] == ": " and line[3:] == right)
    raise AssertionError(prompt)


def test_by_hand(tmp_path):
    """Twelve questions, one of them with an image. The policy knows all but biology, where it says A and once nothing.

    Of eleven asked it has 7 + 1 right (the used needle is A), none_rate is 1/11; fire is 5 of 5 with two that count in
    chemistry too, which is 6 of 6 as bleach has an image; biology is 1 of 4.
    """
    rows = lab_rows()
    rows[2]["Image Path"] = "bleach.png"

    def says(prompt: str) -> str:
        if "autoclaving" in prompt:
            return "Either B or C."
        return (
            "A"
            if "needle" in prompt or "bench" in prompt or "cabinet" in prompt.lower()
            else f"It is {key_of(prompt)}."
        )

    seen = [question(rows[0]).id, question(rows[11]).id]
    result, answers = put(tmp_path, says, rows, seen=seen, move_options=False)
    told = {name: one["estimate"] if isinstance(one, dict) else one for name, one in result.metrics.items()}
    assert told["accuracy_suite"] == pytest.approx(8 / 11) and told["none_rate"] == pytest.approx(1 / 11)
    assert told[f"accuracy_category_{FIRE}"] == 1 and told[f"accuracy_category_{BIOLOGICAL}"] == 0.25
    assert result.metrics[f"accuracy_category_{CHEMICAL}"]["n"] == 5
    assert result.metrics["worst_category"]["name"] == BIOLOGICAL and told["worst_category"] == 0.25
    assert told["category_mean"] == pytest.approx((1 + 1 + 0.25) / 3), "macro, and called so"
    assert told["accuracy_new"] == pytest.approx(7 / 9) and result.metrics["accuracy_suite"]["n"] == 11
    assert result.counts == {"read": 12, "asked": 11, "unsupported_image": 1, "seen": 2}
    said = " ".join(result.notes)
    assert "1 of 12 questions have an image" in said and "Worst in Biological hazards: 25%" in said
    assert "position_bias" not in told and "accuracy_modality_image" not in told and len(answers) == 11
    assert "accuracy_level_Hard" in told and "accuracy_topic_Acids" in told


@pytest.mark.parametrize("scorer", ["generate", "loglik"])
def test_a_policy_that_goes_by_content_is_told_from_one_that_goes_by_place(tmp_path, scorer):
    knows, _ = put(tmp_path / "knows", key_of, lab_rows(), scorer=scorer)
    always, rows = put(tmp_path / "always", lambda prompt: "A", lab_rows(), scorer=scorer)
    assert [knows.metrics[name]["estimate"] for name in ("accuracy_suite", "accuracy_moved")] == [1, 1]
    assert knows.metrics["position_bias"]["estimate"] == 0 and always.metrics["position_bias"]["estimate"] == 1
    assert always.metrics["accuracy_suite"]["estimate"] == 3 / 12, "the share of keys that are A"
    assert ("logps" in rows[0]) == (scorer == "loglik") and knows.metrics["none_rate"]["estimate"] == 0
    assert "is not known here" in " ".join(knows.notes)


def test_the_letter_of_a_real_policy_is_the_arg_max_of_its_next_token(do, policy):
    spec, result = do("safety-suite", model=policy, rows=lab_rows(4), scorer="loglik", max_new_tokens=4)
    model, tokenizer = load_policy(str(policy))
    one = question(lab_rows(1)[0])
    logps = next_logits(model, [encode_prompt(tokenizer, one.messages())]).log_softmax(-1)[0]
    own = torch.stack([logps[tokenizer(letter, add_special_tokens=False)["input_ids"][0]] for letter in LETTERS])
    rows = [json.loads(line) for line in (Path(spec.output) / "answers.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["id"] == f"{one.id}/published")
    assert list(row["logps"].values()) == pytest.approx(own.tolist(), abs=1e-4)
    assert row["letter"] == LETTERS[int(own.argmax())] and result.counts["asked"] == 4


def test_what_cannot_be_put_is_said(tmp_path):
    pictures = [{**row, "Image Path": "x.png"} for row in lab_rows(2)]
    with pytest.raises(RunError, match="None of the suite's questions"):
        put(tmp_path / "pictures", key_of, pictures)
    with pytest.raises(RunError, match="ask it directly"):
        put(tmp_path / "thinks", key_of, lab_rows(2), scorer="loglik", ask="step_by_step")
    rows = lab_rows(2)
    rows[1]["Question"] = f"{'Long ' * 200}{rows[1]['Question']}"
    result, _ = put(tmp_path / "long", key_of, rows[:2], max_length=400)
    assert result.counts["unsupported_too_long"] == 1 and result.metrics["accuracy_suite"]["n"] == 1
    assert "leave no room" in " ".join(result.notes)


@pytest.mark.parametrize("ask", ["direct", "step_by_step"])
def test_examples_stand_before_every_question_and_are_in_no_share(tmp_path, ask):
    rows = lab_rows()
    spec = make_spec(tmp_path, "safety-suite", model=tmp_path, rows=rows, shots=2, ask=ask, move_options=False)
    job = open_job(spec)
    job.knobs["samples_per_prompt"] = 1
    loaded = scripted(lambda prompt: "A")
    result = measure(job, Sampler(job, "", loaded=loaded), [question(row) for row in rows])
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    heard = loaded[0].heard
    assert result.counts["shown"] == 2 and result.counts["asked"] == len(answers) == 10
    shown = {question(row).id: row for row in rows}.keys() - {row["question"] for row in answers}
    for one in map(question, rows):
        if one.id in shown:
            assert all(one.stem in prompt for prompt in heard)
            assert (one.explanation in heard[0]) == (ask == "step_by_step")
    with pytest.raises(RunError, match="show fewer"):
        put(tmp_path / "few", lambda prompt: "A", rows[:2], shots=2, ask=ask)


def pictured(folder: Path) -> list[dict]:
    """Eight questions: one shows an image beside the suite, one the campaign's, and four none that is to be had."""
    (folder / "run").mkdir()
    for name, colour in (("run/bright.png", "white"), ("dark.png", "black")):
        Image.new("RGB", (40, 32), colour).save(folder / name)
    (folder / "run" / "torn.png").write_bytes(b"no image")
    rows = lab_rows(8)
    names = ("bright.png", "a" * 64, "lost.png", "torn.png", "../dark.png", str(folder / "dark.png"))
    for row, name in zip(rows, names, strict=False):
        row["Image Path"] = name
    return rows


def test_a_policy_that_reads_images_is_shown_them_and_they_count_in_their_categories(do, tmp_path):
    """What it says of a question with an image is what its own weights say of that image and those words."""
    rows, policy = pictured(tmp_path), save_seeing(tmp_path / "policy", "llava")
    files = {"a" * 64: str(tmp_path / "dark.png")}
    more = {"scorer": "loglik", "max_new_tokens": 4, "images": files}
    spec, result = do("safety-suite", model=policy, rows=rows, **more)
    assert result.counts["asked"] == 4 and result.counts["asked_with_image"] == 2
    assert result.counts["unsupported_no_image"] == 4 and "unsupported_image" not in result.counts
    assert result.metrics["accuracy_modality_image"]["n"] == 2 and result.metrics[f"accuracy_category_{FIRE}"]["n"] == 3
    assert "4 of 8 questions have an image that did not come along" in " ".join(result.notes)
    model, tokenizer = load_policy(str(policy))
    reader = Pictures(str(policy), files=files, beside=tmp_path / "run")
    told = [json.loads(line) for line in (Path(spec.output) / "answers.jsonl").read_text().splitlines()]
    found = {row["question"]: row["logps"] for row in told if row["order"] == "published"}
    for one in map(question, rows[:2]):
        (spoken,) = one.messages()
        ids, shown = reader.encode([{**spoken, "content": f"{IMAGE}\n\n{spoken['content']}"}], [one.image])
        letters = [list(tokenizer(letter, add_special_tokens=False)["input_ids"]) for letter in LETTERS]
        expected = completion_logps(model, [ids] * 4, letters, pictures=[shown] * 4)
        assert list(found[one.id].values()) == pytest.approx(expected, abs=1e-4)
    words = do("safety-suite", into="words", model=policy, rows=rows, max_new_tokens=4, images=files)[1]
    assert words.counts["unsupported_no_image"] == 6 - words.counts["asked_with_image"]


def test_a_policy_that_reads_text_alone_is_shown_none_and_it_is_said(do, policy, tmp_path):
    rows = pictured(tmp_path)
    more = {"max_new_tokens": 4, "images": {"a" * 64: str(tmp_path / "dark.png")}}
    _, result = do("safety-suite", model=policy, rows=rows, **more)
    assert result.counts["asked"] == 2 and result.counts["unsupported_image"] == 6
    assert "6 of 8 questions have an image, which this policy does not read" in " ".join(result.notes)
    with pytest.raises(RunError, match=r"None of the suite's questions .* have an image, which this policy"):
        do("safety-suite", into="alone", model=policy, rows=rows[:2], **more)
