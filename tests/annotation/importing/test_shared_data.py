"""Real data sets, where this machine has a folder of them: the first rows of each are imported by its one line."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from annotation.importing import folders, mapping
from annotation.importing.attachments import FolderFiles
from annotation.models import Task
from annotation.services import intake
from tests.annotation.importing.shared_data import DATA
from tests.factories import make_campaign

FIRST = 20
PAIR = ["per_item=2"]

pytestmark = pytest.mark.django_db

# Files below the folder, the mapping, and how many answers an item has.
FOLDERS = {
    "hh-rlhf-pairs": (["helpful-base.jsonl.gz"], [], 2),
    "llmfao-crowd": (
        ["pairs-crowd.jsonl.gz"],
        ["prompt=text", "completions=result_x,result_y", "labels=model_x,model_y"],
        2,
    ),
    "oasst-100-trees": (["en_100_tree.jsonl.gz"], [], 2),
    "qa-feedback": (
        ["dev_feedback.json.gz"],
        [
            "prompt=question",
            "completions=prediction 1,prediction 2,prediction 3,prediction 4",
            "labels=preference",
            *PAIR,
        ],
        2,
    ),
    "arena-hard-v0.1": (
        ["model_answer_gpt-3.5-turbo-0125.jsonl.gz", "model_answer_gpt-4-0314.jsonl.gz"],
        ["together=uid"],
        2,
    ),
    "xstest": (
        ["completions/xstest_v2_completions_gpt4.csv.gz", "completions/xstest_v2_completions_llama2new.csv.gz"],
        ["together=id"],
        2,
    ),
    "llmbar-natural": (["llmbar_natural.json"], [], 2),
    "rm-bench-dev": (["chat_filtered.json.gz"], [], 2),
    "llm-rubric-dialogues": (["real_data.json.gz"], [], 1),
    "zhongjing-cmtmedqa": (["dialogues.jsonl.gz"], [], 1),
    "crows-pairs": (
        ["crows_pairs_anonymized.csv.gz"],
        ["prompt=bias_type", "completions=sent_more,sent_less", "labels=stereo_antistereo"],
        2,
    ),
    "convabuse": (["convabuse_long.csv.gz"], ["prompt=agent", "completions=user", "labels=is_abuse.-3"], 1),
    "hanna-critique-study": (["user_study.csv"], ["prompt=Input.story_id", "completions=Input.explanation"], 1),
    # A text that is judged alone stands as its own prompt.
    "hate-offensive-votes": (["labeled_data.csv.gz"], ["prompt=tweet", "completions=tweet", "labels=class"], 1),
    "jailbreak-prompts-dated": (
        ["jailbreak_prompts_2022-12_2023-03.csv.gz"],
        ["prompt=prompt", "completions=prompt", "labels=date,platform"],
        1,
    ),
    "openai-moderation-1680": (["samples-1680.jsonl.gz"], ["prompt=prompt", "completions=prompt", "labels=S,H"], 1),
}
HERE = {name: value for name, value in FOLDERS.items() if (DATA / name).is_dir()}


def first_rows(name: str):
    """Yield the first rows of each of the files, as if the files had no more."""
    for file in FOLDERS[name][0]:
        for row in islice(folders.rows_of_files([DATA / name / file]), FIRST):
            yield replace(row, file=file)


@pytest.mark.parametrize("name", [name for name, (_, _, answers) in HERE.items() if answers == 2])
def test_pairs_come_in_by_one_line(name: str, lead) -> None:
    campaign = make_campaign(lead=lead)
    columns = mapping.of_words(FOLDERS[name][1])
    refused = io.BytesIO()
    report = intake.import_rows(
        campaign=campaign, rows=first_rows(name), actor=None, columns=columns, refused_to=refused
    )
    assert report.created >= 10, report
    assert report.failed <= 4, refused.getvalue().decode()[:3000]
    for task in Task.objects.filter(campaign=campaign):
        assert len(task.content["completions"]) == 2
        assert all(task.meta["origins"])
    again = intake.import_rows(campaign=campaign, rows=first_rows(name), actor=None, columns=columns)
    assert (again.created, again.failed) == (0, report.failed)


@pytest.mark.parametrize("name", [name for name, (_, _, answers) in HERE.items() if answers == 1])
def test_single_answers_come_in_by_one_line(name: str, lead) -> None:
    campaign = make_campaign(lead=lead, kind="ratings")
    columns = mapping.of_words(FOLDERS[name][1])
    report = intake.import_rows(campaign=campaign, rows=first_rows(name), actor=None, columns=columns)
    # Where several people judged a text, it stands in several rows.
    assert report.created + report.existing == FIRST and report.created >= FIRST / 4, report.errors
    tasks = Task.objects.filter(campaign=campaign)
    assert all(len(task.content["completions"]) == 1 for task in tasks)
    assert all(task.content["messages"][-1]["role"] == "user" for task in tasks)


@pytest.mark.parametrize("folder", [folder for folder in [DATA / "images-small"] if folder.is_dir()])
def test_images_come_in_by_the_names_in_their_manifest(folder: Path, lead) -> None:
    campaign = make_campaign(lead=lead, kind="ratings")
    rows = islice(folders.rows_of_files([folder / "manifest.jsonl"]), 4)
    columns = mapping.of_words(["prompt=group", "completions=file"])
    report = intake.import_rows(campaign=campaign, rows=rows, actor=None, columns=columns, files=FolderFiles([folder]))
    assert (report.created, report.failed) == (4, 0), report.errors
    shown = [task.content["completions"][0]["parts"] for task in Task.objects.filter(campaign=campaign)]
    assert all(part["type"] == "image" for (part,) in shown)
