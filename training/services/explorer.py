"""The reward explorer: answers that somebody typed or picked, what each model says of them, and what people said.

Scoring is a run, whose row holds what was asked; the web process reads the file that the run fills model by model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from django.utils.translation import gettext as _

from annotation import datasets
from annotation.feedback import kind
from annotation.messages import Message, answer_of, text_of
from annotation.models import Campaign, Feedback, Task, User
from training import paths, store
from training.errors import Invalid
from training.models import ModelVersion, Run
from training.recipes.spec import write_text
from training.services import runs

RECIPE = "reward-explorer"
MOST_ANSWERS = 8
MOST_MODELS = 12
MOST_CHARACTERS = 20_000  # of the prompt and of each answer
FOUND = 20  # items that a search shows


@dataclass(frozen=True)
class Said:
    """One person's judgement of answers that are looked at, in words."""

    person: str  # a pseudonym
    words: str
    about: str  # the letters of the answers, in the order in which the words name them
    task: Task


def models(campaign: Campaign) -> list[ModelVersion]:
    """Return the reward models that can be asked, the one in use first and then the newest."""
    found = ModelVersion.objects.filter(campaign=campaign, kind__in=ModelVersion.SCORING)
    return sorted(found, key=lambda one: (one.state != ModelVersion.State.PROMOTED, -one.number))


def create(
    *,
    campaign: Campaign,
    prompt: Sequence[Message],
    answers: Sequence[str],
    versions: Sequence[ModelVersion],
    actor: User,
    principles: str = "",
    choices: Sequence[Mapping[str, Any]] = (),
) -> Run:
    """Return a queued run that scores `answers` to `prompt` by every one of `versions`; Invalid names what is wrong.

    `choices` are pairs (prompt, chosen, rejected) of one person, as whom models for people score besides.
    """
    errors: dict[str, list[str]] = {}
    texts = [text for text in answers if text.strip()]
    said = "\n".join(text_of(message["content"]) for message in prompt)
    if not said.strip():
        errors["prompt"] = [_("Type a prompt, or pick an item.")]
    if not texts:
        errors["answers"] = [_("Type at least one answer.")]
    if len(texts) > MOST_ANSWERS:
        errors["answers"] = [_("Look at up to {n} answers at once.").format(n=MOST_ANSWERS)]
    if max(map(len, [said, *texts])) > MOST_CHARACTERS:
        errors.setdefault("answers", []).append(_("A text here has up to {n} characters.").format(n=MOST_CHARACTERS))
    if not versions:
        errors["models"] = [_("Choose at least one reward model.")]
    if len(versions) > MOST_MODELS:
        errors["models"] = [_("Ask up to {n} models at once.").format(n=MOST_MODELS)]
    foreign = [one for one in versions if one.campaign_id != campaign.pk or one.kind not in ModelVersion.SCORING]
    if foreign:
        errors["models"] = [_("Only reward models of this campaign can be asked.")]
    if errors:
        raise Invalid(" ".join(text for texts in errors.values() for text in texts), errors)
    messages = [{"role": message["role"], "content": text_of(message["content"])} for message in prompt]
    asked: dict[str, Any] = {"prompt": messages, "completions": texts}
    if choices:
        asked["choices"] = list(choices)
    text = json.dumps(asked, ensure_ascii=False)
    # By its content: the same question twice is one file, and an attempt that comes later finds it unchanged.
    path = paths.files() / "explored" / f"{datasets.content_hash(asked)}.json"
    write_text(path, text)
    return runs.create(
        campaign=campaign,
        recipe=RECIPE,
        knobs={"principles": principles.strip()},
        actor=actor,
        inputs={
            "model": versions[0].path,
            "scorers": {one.label: one.path for one in versions},
            "order": [one.label for one in versions],  # a stored object keeps no order of its own
            "data": store.keep(path),
            "asked": asked,
        },
    )


def told(run: Run) -> list[dict[str, Any]]:
    """Return what the models have said so far, in the order in which they were named."""
    path = store.run_file(run.pk, "explored.json")
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["models"]
    except FileNotFoundError:
        return []
    place = {name: number for number, name in enumerate(run.inputs["order"])}
    return sorted(found, key=lambda one: place[one["model"]])


def judgements(campaign: Campaign, prompt: Sequence[Message], answers: Sequence[str]) -> list[Said]:
    """Return what people said of items that have this prompt and no other answers than these. Two SQL statements."""
    place = {text.strip(): number for number, text in reversed(list(enumerate(answers)))}
    tasks: dict[int, tuple[Task, list[int]]] = {}
    for task in Task.objects.filter(campaign=campaign, prompt__content_hash=datasets.prompt_hash(list(prompt))):
        texts = [text_of(answer_of(one)).strip() for one in task.content["completions"]]
        if all(text in place for text in texts):
            tasks[task.pk] = (task, [place[text] for text in texts])
    found = []
    said = Feedback.objects.current().filter(task__in=tasks, is_review=False).select_related("user").order_by("pk")
    for one in said:
        task, places = tasks[one.task_id]
        order = sorted(range(len(places)), key=lambda position: places[position])
        words = kind(one.kind).describe(one.payload, options=campaign.options, shown_order=order)
        about = ", ".join(ascii_uppercase[places[position]] for position in order)
        found.append(Said(one.user.pseudonym, words, about, task))
    return found


def search(campaign: Campaign, text: str) -> list[Task]:
    """Return the newest items whose id or text has `text` in it, which may be empty."""
    found = Task.objects.filter(campaign=campaign)
    if text:
        found = found.filter(content__icontains=text) | found.filter(external_id__icontains=text)
    return list(found.order_by("-pk")[:FOUND])
