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
from annotation.importing.albums import Album
from annotation.importing.items import Refused
from annotation.messages import Content, Message, answer_of, content_from, has_words, images_of, text_of
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
    answers: Sequence[Content],
    versions: Sequence[ModelVersion],
    actor: User,
    principles: str = "",
    choices: Sequence[Mapping[str, Any]] = (),
) -> Run:
    """Return a queued run that scores `answers` to `prompt` by every one of `versions`; Invalid names what is wrong.

    `choices` are pairs (prompt, chosen, rejected) of one person, as whom models for people score besides.
    """
    errors: dict[str, list[str]] = {}
    given = [content for content in answers if has_words(content)]
    texts = [text_of(content) for content in given]
    said = "\n".join(text_of(message["content"]) for message in prompt)
    if not any(has_words(message["content"]) for message in prompt):
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
    messages = [{"role": message["role"], "content": message["content"]} for message in prompt]
    asked: dict[str, Any] = {"prompt": messages, "completions": [_completion(content) for content in given]}
    shown = [part["image"] for message in prompt for part in images_of(message["content"])]
    if shown:
        asked["images"] = shown
    of_answers = [[part["image"] for part in images_of(content)] for content in given]
    if any(of_answers):
        asked["completions_images"] = of_answers
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


def _completion(content: Content) -> Any:
    """Return an answer as rows of data have it: text, or with images one turn of the assistant."""
    return content if isinstance(content, str) else [{"role": "assistant", "content": content}]


def answers_of(run: Run) -> list[Content]:
    """Return the answers that were asked about."""
    return [one if isinstance(one, str) else one[0]["content"] for one in run.inputs["asked"]["completions"]]


def with_image(campaign: Campaign, text: str, *, image: bytes | None = None, known: Sequence[str] = ()) -> Message:
    """Return what a person asks with an image that was sent, or with images of the campaign by their sha256.

    An image that was sent is kept with those of the campaign. Invalid where it is none, or not there.
    """
    try:
        with Album(campaign) as album:
            parts = [album.known(sha256) for sha256 in known]
            if image is not None:
                parts.append(album.add(image))
                album.keep([parts[-1]["image"]])
    except Refused as refused:
        raise Invalid(str(refused), {"image": [_("The image {reason}.").format(reason=refused)]}) from None
    return {"role": "user", "content": content_from([*parts, {"type": "text", "text": text}])}


def told(run: Run) -> list[dict[str, Any]]:
    """Return what the models have said so far, in the order in which they were named."""
    path = store.run_file(run.pk, "explored.json")
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["models"]
    except FileNotFoundError:
        return []
    place = {name: number for number, name in enumerate(run.inputs["order"])}
    return sorted(found, key=lambda one: place[one["model"]])


def judgements(campaign: Campaign, prompt: Sequence[Message], answers: Sequence[Content]) -> list[Said]:
    """Return what people said of items that have this prompt and no other answers than these. Two SQL statements."""
    place = {_key(content): number for number, content in reversed(list(enumerate(answers)))}
    tasks: dict[int, tuple[Task, list[int]]] = {}
    for task in Task.objects.filter(campaign=campaign, prompt__content_hash=datasets.prompt_hash(list(prompt))):
        keys = [_key(answer_of(one)) for one in task.content["completions"]]
        if all(key in place for key in keys):
            tasks[task.pk] = (task, [place[key] for key in keys])
    found = []
    said = Feedback.objects.current().filter(task__in=tasks, is_review=False).select_related("user").order_by("pk")
    for one in said:
        task, places = tasks[one.task_id]
        order = sorted(range(len(places)), key=lambda position: places[position])
        words = kind(one.kind).describe(one.payload, options=campaign.options, shown_order=order)
        about = ", ".join(ascii_uppercase[places[position]] for position in order)
        found.append(Said(one.user.pseudonym, words, about, task))
    return found


def _key(content: Content) -> str:
    """Return what an answer is the same as another by: its text, or its text and its images."""
    return content.strip() if isinstance(content, str) else json.dumps(content, sort_keys=True)


def search(campaign: Campaign, text: str) -> list[Task]:
    """Return the newest items whose id or text has `text` in it, which may be empty."""
    found = Task.objects.filter(campaign=campaign)
    if text:
        found = found.filter(content__icontains=text) | found.filter(external_id__icontains=text)
    return list(found.order_by("-pk")[:FOUND])
