"""Where a loop's prompts come from, and which of them a round uses."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.datasets import prompt_hash, split
from annotation.importing.albums import Album
from annotation.importing.attachments import FolderFiles
from annotation.importing.illustrations import count_of, illustrated
from annotation.importing.mapping import Columns
from annotation.importing.rows import Row
from annotation.messages import Message, content_from, images_of, to_columns
from annotation.models import Campaign
from annotation.told import Told, told
from training import paths, store
from training.errors import Invalid
from training.models import Loop, ModelVersion, Round
from training.recipes.spec import write_text
from training.recipes.tasks import OTHERS, Task
from training.services import snapshots
from training.services.near_duplicates import near, text_of_prompt

# Fewer held-out prompts than this make no comparison.
LEAST_HELD_OUT = 4


@dataclass(frozen=True)
class Prompts:
    """A loop's prompts by id. Held-out ones are used by the gate alone and by no round's training."""

    train: dict[str, list[Message]]
    held_out: dict[str, list[Message]]
    domains: dict[str, str] = field(default_factory=dict)  # of those prompts that name one

    @property
    def with_images(self) -> int:
        return sum(map(has_images, [*self.train.values(), *self.held_out.values()]))


def has_images(messages: list[Message]) -> bool:
    return any(images_of(message["content"]) for message in messages)


def read(path: str, campaign: Campaign) -> Prompts:
    """Return the prompts of a JSON Lines file with rows ``{"id", "prompt": [messages]}``; Invalid names a bad line.

    A row may have a ``domain``, as rows of the view ``prompts`` have: judges and figures of a run go by it.

    Images are named as rows of an import name them: as the campaign's export `prompts` does, as data URIs, or as files
    beside the rows. Those that the campaign does not have yet are kept with its own.
    """
    file = Path(store.fetch(path))
    if not file.is_file():
        raise _invalid(told("There is no file of prompts at {path}.", path=path))
    train: dict[str, list[Message]] = {}
    held_out: dict[str, list[Message]] = {}
    domains: dict[str, str] = {}
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        why = told("{name} is not in UTF-8, as a file of prompts has to be. Save it anew as UTF-8.", name=file.name)
        raise _invalid(why) from None
    with Album(campaign, FolderFiles([file.parent])) as album:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                name, messages = str(row["id"]), _messages(row, number, file.name, album)
                hash_ = prompt_hash(messages)
            except (ValueError, KeyError, TypeError):
                form = '{"id": …, "prompt": [{"role": …, "content": …}]}'
                why = told(
                    "Line {number} of {name} is not of the form {form}.", number=number, name=file.name, form=form
                )
                raise _invalid(why) from None
            if not messages or messages[-1].get("role") == "assistant":
                why = told(
                    "Line {number} of {name}: its prompt must end with what is to be answered, not with an answer of "
                    "the assistant.",
                    number=number,
                    name=file.name,
                )
                raise _invalid(why)
            album.keep({part["image"] for message in messages for part in images_of(message["content"])})
            if name in train or name in held_out:
                why = told(
                    "Line {number} of {file} has the id {name}, which an earlier line has too.",
                    number=number,
                    file=file.name,
                    name=name,
                )
                raise _invalid(why)
            (held_out if split(hash_) == "test" else train)[name] = messages
            if row.get("domain"):
                domains[name] = str(row["domain"])
    return Prompts(train=train, held_out=held_out, domains=domains)


def _messages(row: dict[str, Any], number: int, file: str, album: Album) -> list[Message]:
    """Return the prompt of a row as the campaign stores one, with its images; Invalid where one cannot be taken."""
    if not count_of(row["prompt"]) and not row.get("images") and not row.get("image"):
        found: list[Message] = row["prompt"]
        return [{**one, "content": content_from(one["content"])} if _in_parts(one) else one for one in found]
    asked: dict[str, Any] = {name: row[name] for name in ("prompt", "image", "images") if name in row}
    (read_,) = illustrated([Row(number, asked)], Columns(), album)
    if read_.value is None:
        raise _invalid(told("Line {number} of {file}: {why}", number=number, file=file, why=read_.reason))
    messages = read_.value["prompt"]
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    parts = [one["content"] if _in_parts(one) else [{"type": "text", "text": one["content"]}] for one in messages]
    # Without placeholders they go before the text of the first question, as TRL puts them.
    first = next((place for place, one in enumerate(messages) if one["role"] == "user"), 0)
    parts[first] = [*read_.value.get("images", ()), *parts[first]]
    return [{**one, "content": content_from(own)} for one, own in zip(messages, parts, strict=True)]


def _in_parts(message: Message) -> bool:
    return isinstance(message["content"], list)


def check(path: str, campaign: Campaign) -> Prompts:
    """Return the prompts at `path`; Invalid when they are too few for rounds or for a gate."""
    found = read(path, campaign)
    if len(found.train) < 2 or len(found.held_out) < LEAST_HELD_OUT:
        why = told(
            "The file has {rounds} prompts for rounds and {held_out} held out for the gate, a tenth by hash; at least "
            "2 and {least} are needed. Add more prompts.",
            rounds=len(found.train),
            held_out=len(found.held_out),
            least=LEAST_HELD_OUT,
        )
        raise _invalid(why)
    return found


def check_tasks(found: Prompts, tasks: Iterable[Task]) -> None:
    """Raise Invalid where a task of a candidate has no prompt to learn on."""
    there = {found.domains.get(name, "") for name in found.train}
    named = {domain for task in tasks for domain in task.domains}
    for task in tasks:
        own = there - named if OTHERS in task.domains else set()
        if not own and there.isdisjoint(task.domains):
            why = told(
                "No prompt of the file is for the task {task}: none that is not held out has a domain called "
                "{domains}. Give prompts that domain, or leave the task out.",
                task=task.name,
                domains=", ".join(task.domains),
            )
            raise _invalid(why)


def choose(loop: Loop, *, index: int, count: int) -> dict[str, list[Message]]:
    """Return `count` prompts for round `index`, those used least so far first; the same ones whenever asked."""
    found = read(loop.prompts_path, loop.campaign).train
    used: Counter[str] = Counter()
    for ids in Round.objects.filter(loop=loop, index__lt=index).values_list("prompts", flat=True):
        used.update(ids)
    dice = random.Random(f"loop {loop.pk} round {index}")
    order = sorted(found)
    dice.shuffle(order)
    order.sort(key=lambda name: used[name])  # stable: among equally used ones the shuffle decides
    return {name: found[name] for name in order[:count]}


def all_to_learn_on(loop: Loop) -> dict[str, list[Message]]:
    """Return every prompt that is not held out, for a policy that learns on its own answers."""
    return read(loop.prompts_path, loop.campaign).train


@dataclass(frozen=True)
class HeldOut:
    """The prompts of one gate, and which of them no gate of this loop was decided on before."""

    chosen: dict[str, list[Message]]
    fresh: set[str]
    touched: int  # how many were left out because a model had learned from them
    there: int  # how many the file holds out in all


def choose_held_out(loop: Loop, *, index: int, count: int, models: Iterable[ModelVersion]) -> HeldOut:
    """Return `count` held-out prompts for the gate of round `index`, fresh ones first; all there are when fewer.

    They are held out by their hash, and here that is proved rather than trusted: one that stands in a data set which
    one of `models` or its ancestors learned from, or whose near duplicate stands there, is left out. The same ones
    whenever asked.
    """
    found = read(loop.prompts_path, loop.campaign).held_out
    learned = {name: text for version in models for name, text in snapshots.learned_texts(version).items()}
    touched = near(learned.values(), {name: text_of_prompt(messages) for name, messages in found.items()})
    before = Round.objects.filter(loop=loop, index__lt=index).values_list("held_out", flat=True)
    used = Counter(name for ids in before for name in ids)
    order = sorted(set(found) - touched)
    random.Random(f"loop {loop.pk} gate {index}").shuffle(order)
    order.sort(key=lambda name: used[name])
    chosen = {name: found[name] for name in order[:count]}
    return HeldOut(chosen, {name for name in chosen if not used[name]}, len(touched), len(found))


def data_of_held_out(loop: Loop, *, count: int, models: Iterable[ModelVersion]) -> str:
    """Write `count` held-out prompts that none of `models` learned from, as a run reads them; return the stored path.

    Those that no gate was decided on come first and are marked as fresh. Invalid where there is none.
    """
    rounds = loop.rounds.order_by("-index").values_list("index", flat=True)
    found = choose_held_out(loop, index=(rounds.first() or 0) + 1, count=count, models=models)
    if not found.chosen:
        why = told("The models learned from every prompt that the loop holds out. Add prompts to its file.")
        raise Invalid(why, {"held_out": [str(why)]})
    text = _lines(found.chosen, domains=read(loop.prompts_path, loop.campaign).domains, fresh=found.fresh)
    return store.keep_text("held_out", text)


def write(
    round: Round,
    name: str,
    chosen: dict[str, list[Message]],
    *,
    fresh: Container[str] | None = None,
    users: Mapping[str, str] | None = None,
    said: Mapping[str, str] | None = None,
) -> str:
    """Write the chosen prompts into the round's folder as a run reads them, and return the stored path.

    With `fresh` each row says whether its prompt is among them; `users` says by the prompt's id whom to answer, and
    `said` what each of them says of the answers they like.
    """
    path = paths.files() / "rounds" / str(round.pk) / f"{name}.jsonl"
    domains = read(round.loop.prompts_path, round.loop.campaign).domains
    write_text(path, _lines(chosen, domains=domains, fresh=fresh, users=users, said=said))
    return store.keep(path)


def _lines(
    chosen: dict[str, list[Message]],
    *,
    domains: dict[str, str],
    fresh: Container[str] | None,
    users: Mapping[str, str] | None = None,
    said: Mapping[str, str] | None = None,
) -> str:
    texts = {id_: said[user] for id_, user in (users or {}).items() if said and user in said}
    rows: list[dict[str, Any]] = [
        {
            "id": id_,
            **to_columns(messages),
            **({"domain": domains[id_]} if id_ in domains else {}),
            **({"user": users[id_]} if users and id_ in users else {}),
            **({"profile": texts[id_]} if id_ in texts else {}),
            **({} if fresh is None else {"fresh": id_ in fresh}),
        }
        for id_, messages in chosen.items()
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _invalid(why: Told) -> Invalid:
    return Invalid(why, {"prompts_path": [str(why)]})
