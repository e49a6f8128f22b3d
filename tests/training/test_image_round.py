"""A loop whose prompts show images: answered by a policy that sees them, judged with them, learned from with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from annotation import datasets
from annotation.messages import from_columns, images_of, to_columns
from annotation.models import Campaign, Image, Task, User
from annotation.services import queue
from tests.annotation.pictures import data_uri, picture
from tests.factories import judge, make_campaign
from tests.training.core_world import work
from training import paths
from training.core.backbone import load_pictures
from training.core.pictures import Album
from training.errors import Invalid, WrongState
from training.models import Loop, ModelVersion, Round, Run
from training.services import gates, near_duplicates, prompts, rounds, snapshots, versions

pytestmark = pytest.mark.django_db

COLOURS = ["red", "green", "blue", "white", "black", "orange", "purple", "pink", "brown", "gray", "cyan", "gold"]
QUESTION = "What is in it?"
SETTINGS = {
    "prompts_per_round": 4,
    "samples_per_prompt": 2,
    "max_new_tokens": 5,
    "gate_prompts": 4,
    "gate_human_pairs": 2,
    "gate_minimum_win_rate": 0.0,
    "gate_maximum_kl": 1000,
    "learning_rate": 1e-3,
    "batch_size": 2,
    "audit_share": 0.0,
    "auto_continue": True,
}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.core.seeing import save_seeing

    return save_seeing(tmp_path_factory.mktemp("seeing"), "llava")


@pytest.fixture
def campaign(lead: User, annotator: User) -> Campaign:
    return make_campaign("Pictures", lead=lead, annotators=[annotator])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return prompts that say the same about several images: as data URIs, and as files beside them."""
    folder.mkdir(exist_ok=True)
    images: list[str] = []
    for number, colour in enumerate(COLOURS):
        sent = picture(colour, size=(24 + number, 24))
        if number % 2:
            (folder / f"{number}.png").write_bytes(sent)
        images.append(f"{number}.png" if number % 2 else data_uri(sent))
    rows = []
    for number in range(144):
        words = f"{QUESTION} {number // 12}: {number // 12 * 7919}"
        parts = [{"type": "image"}, {"type": "text", "text": words}]
        rows.append(
            {"id": f"q{number}", "prompt": [{"role": "user", "content": parts}], "images": [images[number % 12]]}
        )
    return rows


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "asked" / "prompts.jsonl"
    rows = rows_of(path.parent)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def judge_all(client: Any, campaign: Campaign, person: User) -> list[Task]:
    """Judge what is there, each item seen on its page with its image."""
    judged = []
    client.force_login(person)
    while (assignment := queue.next_task(user=person, campaign=campaign)) is not None:
        (shown,) = images_of(assignment.task.content["messages"][0]["content"])
        html = client.get(reverse("work", args=[campaign.pk])).text
        assert reverse("api-image", args=[campaign.pk, shown["image"]]) in html and QUESTION in html
        texts = [completion["text"] for completion in assignment.task.content["completions"]]
        judge(person, campaign, assignment=assignment, preference=3 if len(texts[0]) <= len(texts[1]) else -3)
        judged.append(assignment.task)
    return judged


@pytest.mark.one_database
def test_a_round_about_images_goes_its_whole_way(
    campaign: Campaign, annotator: User, lead: User, seeing: Path, asked: Path, client: Any
) -> None:
    settings = {"campaign": campaign, "prompts_path": str(asked), "settings": SETTINGS, "actor": lead}
    loop = rounds.create_loop(policy=str(seeing), **settings)
    assert Image.objects.filter(campaign=campaign).count() == 12
    round = rounds.start_round(loop=loop, actor=lead)
    assert work(round).state == Round.State.LABELLING, (str(round.note), list(round.runs.values("error")))
    sampled = Run.objects.get(round=round, purpose="sample")
    assert sampled.result["counts"]["prompts"] == 4 and not sampled.result["counts"].get("refused_images")
    own = judge_all(client, campaign, annotator)
    assert len(own) >= 2 and {task.batch for task in own} == {"round-1"}

    assert work(round).state == Round.State.GATING, (str(round.note), list(round.runs.values("error")))
    assert round.snapshot is not None
    for row in snapshots.lines(round.snapshot):
        (image,) = images_of(from_columns(row)[0]["content"])
        assert Image.objects.filter(campaign=campaign, sha256=image["image"]).exists()
    learned = [run.result["counts"] for run in round.runs.filter(kind=Run.Kind.FIT)]
    assert len(learned) == 2 and all(counts["trained_on"] and not counts.get("refused_images") for counts in learned)
    blind = judge_all(client, campaign, annotator)
    assert {task.batch for task in blind} == {gates.batch(round)}

    assert work(round).state == Round.State.PROMOTED, str(round.note)
    candidate = versions.current(campaign, ModelVersion.Kind.POLICY)
    assert candidate is not None and candidate == round.candidate
    assert load_pictures(paths.resolve(candidate.path), Album()) is not None
    assert {one["name"] for one in candidate.gate_report.figures} >= {"human_win_rate", "kl"}
    client.force_login(lead)
    for report in ("model-gate", "model-gate-pdf"):
        assert client.get(reverse(report, args=[candidate.pk])).status_code == 200, report
    page = client.get(reverse("round", args=[round.pk])).text
    held_out = prompts.read(loop.prompts_path, campaign).held_out
    shown = [images_of(held_out[name][0]["content"])[0]["image"] for name in round.held_out]
    assert all(reverse("api-image-thumbnail", args=[campaign.pk, sha256]) in page for sha256 in shown)
    assert work(Round.objects.get(loop=loop, index=2)).state == Round.State.LABELLING


def test_a_policy_without_eyes_is_refused_before_the_first_sample(
    campaign: Campaign, lead: User, asked: Path, tmp_path: Path
) -> None:
    blind = tmp_path / "blind"
    blind.mkdir()
    (blind / "config.json").write_text(json.dumps({"model_type": "llama"}))
    settings: dict[str, Any] = {"campaign": campaign, "prompts_path": str(asked), "settings": SETTINGS}
    with pytest.raises(Invalid, match="144 prompts show images, and policy-0 reads text alone") as refused:
        rounds.create_loop(policy=str(blind), actor=lead, **settings)
    assert list(refused.value.errors) == ["policy"] and not Loop.objects.exists()
    sees = tmp_path / "sees"
    sees.mkdir()
    (sees / "processor_config.json").write_text("{}")
    loop = rounds.create_loop(policy=str(sees), actor=lead, **settings)
    (sees / "processor_config.json").unlink()
    (sees / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(WrongState, match="reads text alone"):
        rounds.start_round(loop=loop, actor=lead)
    assert not Run.objects.exists()


def test_images_of_a_file_of_prompts_that_cannot_be_taken_are_told_by_their_line(
    campaign: Campaign, tmp_path: Path
) -> None:
    rows = rows_of(tmp_path / "asked")[:2]
    path = tmp_path / "asked" / "prompts.jsonl"
    for image, why in (("nowhere.png", "'nowhere.png'"), ("0" * 64, "no image of this campaign")):
        path.write_text("".join(json.dumps(row) + "\n" for row in [rows[0], rows[1] | {"images": [image]}]))
        with pytest.raises(Invalid, match=f"Line 2 of prompts.jsonl: .*{why}"):
            prompts.read(str(path), campaign)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first = prompts.read(str(path), campaign)
    found = {**first.train, **first.held_out}
    # What a run is told of them is what the campaign's own export says, and it is read back as it is stored.
    exported = [to_columns(messages) for messages in found.values()]
    assert [from_columns(row) for row in exported] == list(found.values())
    path.write_text("".join(json.dumps({"id": str(n), **row}) + "\n" for n, row in enumerate(exported)))
    again = prompts.read(str(path), campaign)
    assert [*again.train.values(), *again.held_out.values()] == [*first.train.values(), *first.held_out.values()]
    hashes = {datasets.prompt_hash(messages) for messages in found.values()}
    assert len(hashes) == 2
    with pytest.raises(ValueError, match="more images than marks"):
        from_columns({"prompt": "What?", "images": ["a"]} | {"prompt": [{"role": "user", "content": "What?"}]})
    with pytest.raises(ValueError, match="more images than it has"):
        from_columns({"prompt": rows[0]["prompt"], "images": []})


def test_the_same_words_about_another_image_are_no_near_duplicate() -> None:
    def shown(*names: str, words: str = "Is there a dog on the lawn, and what colour has it?") -> str:
        parts = [{"type": "image", "image": name, "width": 1, "height": 1, "alt": ""} for name in names]
        return near_duplicates.text_of_prompt([{"role": "user", "content": [*parts, {"type": "text", "text": words}]}])

    nearly = "Is there a dog on the lawn, and what colour has it??"
    told = {"a": shown("one"), "b": shown("two"), "c": shown("one", words=nearly), "d": shown("one", "two")}
    assert near_duplicates.leaders(told.items()) == {"a": "a", "b": "b", "c": "a", "d": "d"}


def test_prompts_that_nobody_can_answer_are_told_by_their_line(campaign: Campaign, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    said = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]
    for bad in (said, []):
        rows = [{"id": str(number), "prompt": one} for number, one in enumerate((said[:1], bad))]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(Invalid, match=r"Line 2 of prompts\.jsonl: its prompt must end with what is to be answered"):
            prompts.read(str(path), campaign)
    path.write_bytes('{"id": "1", "prompt": "Ärger?"}'.encode("latin-1"))
    with pytest.raises(Invalid, match=r"prompts\.jsonl is not in UTF-8"):
        prompts.read(str(path), campaign)
