"""A domain safety suite: questions with four options put to a policy, and where it is worst. arXiv:2410.14182.

Accuracy is micro, the share of all questions answered right; one counts in each of its categories. A question with an
image is shown with it to a policy that reads images. Put to one that reads text alone, or without its file, it is told
as unsupported: in no share, neither right nor wrong. Its image is one of the campaign's, or a file beside the suite's.
Examples (``shots``) are questions of the suite itself, where the authors have a file of five of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from training.core.collate import encode_prompt, encode_shown
from training.core.conversation import with_images
from training.core.decode import completion_logps
from training.core.evaluate.suite import letter
from training.core.job import Job, RunError
from training.core.part_file import PartFile
from training.core.pictures import Pictures
from training.core.prompts import Prompt
from training.core.records import IMAGE as MARK
from training.core.records import Refused
from training.core.sampler import Sampler, batches, collected, unfinished
from training.core.stats import wilson
from training.recipes.multiple_choice import DIRECT, IMAGE, LETTERS, Question, read
from training.recipes.note import Note, note_of
from training.recipes.spec import RunResult

Row = dict[str, Any]
PUBLISHED, MOVED = "published", "moved"
TOO_LONG = "too_long"
NO_IMAGE = "no_image"  # the policy would read it, and there is none to be shown
LOGLIK = "loglik"


def safety_suite(job: Job) -> RunResult:
    """Put the suite in `spec.data` to the policy in `spec.model`, see `measure`."""
    if job.spec.data is None:
        raise RunError(Note("A safety suite needs a file of questions."))
    try:
        questions = read(job.spec.data)
    except ValueError as error:
        raise RunError(Note.together([note_of(error)])) from None
    knobs = {**job.knobs, "samples_per_prompt": 1}
    return measure(job, Sampler(replace(job, knobs=knobs), job.spec.model), questions)


def measure(job: Job, sampler: Sampler, questions: Sequence[Question]) -> RunResult:
    """Ask each question in its order and, with its options moved, once more; write ``answers.jsonl``, return figures.

    `generate` draws an answer and reads the letter in it: none, or several, is wrong. `loglik` takes the letter with
    the most log-probability as what the policy says first; two alike are none.
    """
    knobs, score = job.knobs, _by_loglik if job.knobs["scorer"] == LOGLIK else _by_words
    if knobs["scorer"] == LOGLIK and knobs["ask"] != DIRECT:
        raise RunError(Note("By log-likelihood a policy says the letter first, so ask it directly."))
    shown = _shown(questions, knobs["shots"], job.spec.seed)
    asked, unsupported = _asked([one for one in questions if one not in shown], sampler, knobs, shown)
    if not asked:
        raise RunError(
            Note.together(
                [Note("None of the suite's questions can be put to this policy."), *_left_out(unsupported, questions)]
            )
        )
    prompts = [prompt for prompt, _ in asked.values()]
    part = PartFile(job.folder / "answers.jsonl", rank=job.rank)
    for portion in unfinished(job, part, batches(job, prompts, size=knobs["rows_at_once"])):
        for prompt, told in zip(portion, score(sampler, portion, job.spec.seed), strict=True):
            if prompt.id not in part.rows:
                question, order = asked[prompt.id][1], prompt.id.rpartition("/")[2]
                part.append({"id": prompt.id, **_judged(question, told), "order": order})
    rows = collected(job, part, prompts)
    if rows is None:
        return RunResult()
    found = figures(rows, questions, seen=job.spec.seen or (), confidence=knobs["confidence"])
    counts = {"read": len(questions), "asked": sum(row["order"] == PUBLISHED for row in rows)}
    by_id = {one.id: one for one in questions}
    pictured = sum(row["order"] == PUBLISHED and by_id[row["question"]].modality == IMAGE for row in rows)
    counts |= {"asked_with_image": pictured} if pictured else {}
    counts |= {"shown": len(shown)} if shown else {}
    counts |= {f"unsupported_{reason}": len(ids) for reason, ids in unsupported.items() if ids}
    counts |= {"seen": len(job.spec.seen)} if job.spec.seen is not None else {}
    return RunResult(
        files={"answers": "answers.jsonl"},
        metrics=found,
        counts=counts,
        notes=[*sampler.notes(), *_notes(found, questions, unsupported, seen=job.spec.seen)],
    )


def _shown(questions: Sequence[Question], count: int, seed: int) -> list[Question]:
    """Return so many questions without an image, the same ones for a seed, to stand before every other as examples."""
    able = [one for one in questions if one.modality != IMAGE]
    if count and len(able) <= count:
        raise RunError(Note("With {n} examples no question is left to be asked: show fewer.", n=count))
    return random.Random(f"shots/{seed}").sample(able, count)


def _asked(
    questions: Sequence[Question], sampler: Sampler, knobs: dict[str, Any], shown: Sequence[Question]
) -> tuple[dict[str, tuple[Prompt, Question]], dict[str, list[str]]]:
    """Return the prompts by id, each with its question as it stands there, and the ids of what cannot be asked."""
    before = [message for one in shown for message in one.example(knobs["ask"])]
    asked: dict[str, tuple[Prompt, Question]] = {}
    unsupported: dict[str, list[str]] = {IMAGE: [], NO_IMAGE: [], TOO_LONG: []}
    for one in questions:
        if one.modality == IMAGE and sampler.pictures is None:
            unsupported[IMAGE].append(one.id)
            continue
        if sampler.pictures is not None and one.modality == IMAGE and not _is_there(one.image, sampler.pictures):
            unsupported[NO_IMAGE].append(one.id)
            continue
        orders = {PUBLISHED: one}
        if knobs["move_options"] and one.can_be_moved:
            orders[MOVED] = one.moved(knobs["move_seed"])
        prompts = {}
        for order, question in orders.items():
            prompts[order] = _prompt(f"{one.id}/{order}", [*before, *question.messages(knobs["ask"])], one, sampler)
        room = sampler.prompt_room
        if room is not None and any(len(prompt.ids) > room for prompt in prompts.values()):
            unsupported[TOO_LONG].append(one.id)
            continue
        asked |= {prompt.id: (prompt, orders[order]) for order, prompt in prompts.items()}
    return asked, unsupported


def _prompt(name: str, messages: list[dict[str, str]], question: Question, sampler: Sampler) -> Prompt:
    """Return a question as it is put to the policy: its image stands before its words."""
    if question.modality != IMAGE:
        return Prompt(name, messages, encode_prompt(sampler.tokenizer, messages))
    *before, last = messages
    marked = [*before, {**last, "content": f"{MARK}\n\n{last['content']}"}]
    told = with_images(marked, [question.image])
    ids, shown = encode_shown(sampler.tokenizer, sampler.pictures, told)
    return Prompt(name, told, ids, shown=shown)


def _is_there(image: str, pictures: Pictures) -> bool:
    """Return whether an image can be shown: one of the campaign's, or a file that lies beside the suite's.

    Whoever wrote a suite could name any file of this machine by a path that leads elsewhere.
    """
    beside = pictures.album.beside.resolve()
    try:
        if image not in pictures.album.files and not (beside / image).resolve().is_relative_to(beside):
            return False
        pictures.album.opened(image)
    except (Refused, OSError, ValueError):  # a name that is too long, or has a NUL in it
        return False
    return True


def _by_words(sampler: Sampler, portion: Sequence[Prompt], seed: int) -> list[Row]:
    drawn = sampler.draw(portion, seed=seed, stream="suite")
    texts = [sampler.text(draws[0]) for draws in drawn]
    return [{"said": text, "letter": _known(letter(text))} for text in texts]


def _known(found: str | None) -> str | None:
    return found if found in tuple(LETTERS) else None


def _by_loglik(sampler: Sampler, portion: Sequence[Prompt], seed: int) -> list[Row]:
    ids = [list(sampler.tokenizer(one, add_special_tokens=False)["input_ids"]) for one in LETTERS]
    asked = [prompt.ids for prompt in portion for _ in ids]
    shown = [prompt.shown for prompt in portion for _ in ids]
    logps = completion_logps(sampler.model, asked, ids * len(portion), pictures=shown)
    told = []
    for start in range(0, len(logps), len(LETTERS)):
        own = dict(zip(LETTERS, logps[start : start + len(LETTERS)], strict=True))
        best = [one for one, logp in own.items() if logp == max(own.values())]
        told.append({"logps": own, "letter": best[0] if len(best) == 1 else None})
    return told


def _judged(question: Question, told: Row) -> Row:
    """Return what was said, with the option it chooses by its place as published, and whether that is right."""
    return {
        **told,
        "question": question.id,
        "option": question.option_of(told["letter"]),
        "right": told["letter"] == question.answer,
    }


def figures(
    rows: Sequence[Row], questions: Sequence[Question], *, seen: Sequence[str] = (), confidence: float = 0.95
) -> dict[str, Any]:
    """Return what the answers come to, with Wilson's intervals.

    - ``accuracy_suite``: of all questions in their order, micro; ``accuracy_category_…``, ``…_topic_…``, ``…_level_…``
      and ``…_modality_…`` the same of those; ``worst_category`` the lowest of the first, `name` says which;
      ``category_mean`` is macro, the mean of the categories.
    - ``none_rate``: the share of answers that choose no letter, or several.
    - ``accuracy_moved``, and ``position_bias``: the share of questions to which another option is chosen once each
      stands elsewhere. A policy that goes by content has 0, one that goes by the place 1.
    - ``accuracy_new``: of those that nothing it learned from is like, where it is known what that was.
    """
    by_id = {one.id: one for one in questions}
    first = {row["question"]: row for row in rows if row["order"] == PUBLISHED}
    again = {row["question"]: row for row in rows if row["order"] == MOVED}

    def share(that: Sequence[bool]) -> dict[str, Any]:
        return dict(wilson(sum(that), len(that), confidence=confidence))

    found: dict[str, Any] = {
        "accuracy_suite": share([row["right"] for row in first.values()]),
        "none_rate": share([row["letter"] is None for row in first.values()]),
    }
    groups: dict[str, Callable[[Question], Sequence[str]]] = {
        "category": lambda one: one.categories,
        "topic": lambda one: [one.topic] if one.topic else [],
        "level": lambda one: [one.level] if one.level else [],
        "modality": lambda one: [one.modality],
    }
    for group, names_of in groups.items():
        own: dict[str, list[bool]] = {}
        for name, row in first.items():
            for value in names_of(by_id[name]):
                own.setdefault(value, []).append(row["right"])
        found |= {f"accuracy_{group}_{value}": share(those) for value, those in sorted(own.items())}
        if group == "category" and own:
            worst = min(own, key=lambda name: (fmean(own[name]), name))
            found["worst_category"] = {**share(own[worst]), "name": worst}
            found["category_mean"] = fmean(fmean(those) for those in own.values())
    if again:
        found["accuracy_moved"] = share([row["right"] for row in again.values()])
        found["position_bias"] = share([row["option"] != first[name]["option"] for name, row in again.items()])
    if seen:
        new = [row["right"] for name, row in first.items() if name not in seen]
        if new:
            found["accuracy_new"] = share(new)
    return found


def _notes(
    found: dict[str, Any],
    questions: Sequence[Question],
    unsupported: dict[str, list[str]],
    *,
    seen: Sequence[str] | None,
) -> list[Note]:
    said = []
    if worst := found.get("worst_category"):
        said.append(
            Note(
                "Worst in {name}: {share:.0%} of {n} questions are answered right.",
                name=worst["name"],
                share=worst["estimate"],
                n=worst["n"],
            )
        )
    shown = {name.removeprefix("accuracy_category_") for name in found if name.startswith("accuracy_category_")}
    hidden = sorted({name for one in questions for name in one.categories} - shown)
    said += _left_out(unsupported, questions)
    if hidden:
        said.append(Note("Of these categories nothing is shown: {names}.", names=", ".join(hidden)))
    if seen is None:
        said.append(Note("What this model learned from is not known here, so nothing says that the questions are new."))
    elif seen:
        said.append(
            Note(
                "{n} questions stand, or nearly, in what the model learned from: of them its accuracy says nothing.",
                n=len(seen),
            )
        )
    return said


def _left_out(unsupported: dict[str, list[str]], questions: Sequence[Question]) -> list[Note]:
    """Return a sentence for each reason for which questions were not put to the policy."""
    said = []
    if unsupported[IMAGE]:
        said.append(
            Note(
                "Unsupported: {n} of {all} questions have an image, which this policy does not read. They are in no "
                "share.",
                n=len(unsupported[IMAGE]),
                all=len(questions),
            )
        )
    if unsupported[NO_IMAGE]:
        said.append(
            Note(
                "Unsupported: {n} of {all} questions have an image that did not come along, or cannot be opened. They "
                "are in no share. Upload the suite and its images in one ZIP archive.",
                n=len(unsupported[NO_IMAGE]),
                all=len(questions),
            )
        )
    if unsupported[TOO_LONG]:
        said.append(Note("Unsupported: {n} questions leave no room for an answer.", n=len(unsupported[TOO_LONG])))
    return said
