"""A policy that answers prompts portion by portion: what the run kinds `sample` and `compare` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from training.core.backbone import PLAIN_NOTE, has_plain_template, load_pictures, load_policy
from training.core.collate import encode_prompt, informed
from training.core.decode import Draw, generate, prompt_seed, stop_ids
from training.core.distributed import wait
from training.core.job import Job, RunError, Stopped
from training.core.part_file import PartFile
from training.core.personal import load_users
from training.core.pictures import album_of
from training.core.prompts import Prompt
from training.core.scorers import Scorer
from training.core.selection import REWARD
from training.core.vllm_sampling import for_folder
from training.recipes.note import Note


@dataclass(frozen=True)
class Answer:
    """A completion as it is stored. `logp` is in nats under temperature 1, over `tokens` tokens and its end."""

    text: str
    logp: float
    sampled_logp: float
    tokens: int
    ended: bool
    scores: dict[str, float]
    # What each member of an ensemble says, where the scorer that the rules go by is one.
    members: list[float] = field(default_factory=list)


class Sampler:
    """A policy ready to answer each prompt `n` times, as the knobs of the run say; with `user` as it answers them.

    With `personal` each prompt is answered as the person is whom it names, or who says what they like. Who the policy
    does not know, and who says nothing, is answered as anybody.
    """

    def __init__(
        self,
        job: Job,
        path: str,
        *,
        loaded: tuple[nn.Module, PreTrainedTokenizerBase] | None = None,
        user: str = "",
        personal: bool = False,
    ) -> None:
        model, self.tokenizer = loaded or load_policy(path, trust_remote_code=job.spec.trust_remote_code)
        self.model = model.to(job.device)
        # A model that is at hand may have no folder, and is given prompts without images.
        trust = job.spec.trust_remote_code
        self.pictures = None if loaded else load_pictures(path, album_of(job.spec), trust_remote_code=trust)
        self.user = user
        self.users = load_users(path, self.model) if user or personal else None
        self.stop = stop_ids(self.model, self.tokenizer)
        self.n: int = job.knobs["samples_per_prompt"]
        self.temperature: float = job.knobs["temperature"]
        self.max_new_tokens: int = job.knobs["max_new_tokens"]
        self.halved = 0
        self._unread: set[str] = set()  # prompts whose profile text leaves no room for an answer
        self.engine, self.said = for_folder(
            job, path, self.model, prefixed=self.users is not None, at_hand=loaded is not None
        )

    @property
    def prompt_room(self) -> int | None:
        """The longest prompt that leaves room for the longest answer; None where the model names no limit."""
        room = room_for_prompt(self.model, self.max_new_tokens)
        return room if room is None or self.users is None else room - self.users.length

    def ids(self, prompt: Prompt) -> list[int]:
        """Return what the policy reads of a prompt: with what the user says of their wishes, where it reads that, and
        with its tokens for them, where it knows them.
        """
        if self.users is None:
            return prompt.ids
        return self.users.before(self._informed(prompt), prompt.user or self.user)

    def _informed(self, prompt: Prompt) -> list[int]:
        assert self.users is not None
        most = self.users.profile_tokens
        if not most or not prompt.profile or prompt.shown:
            return prompt.ids
        told = informed(self.tokenizer, prompt.messages, prompt.profile, most=most)
        if told == prompt.messages:
            return prompt.ids
        ids, room = encode_prompt(self.tokenizer, told), self.prompt_room
        if room is not None and len(ids) > room:
            self._unread.add(prompt.id)
            return prompt.ids
        return ids

    def strangers(self, prompts: Sequence[Prompt]) -> list[Note]:
        """Return a sentence about those whom prompts name and the policy does not know; none where it knows all."""
        known = self.users.users if self.users is not None else {}
        reads = self.users is not None and self.users.profile_tokens > 0
        unknown = [prompt for prompt in prompts if prompt.user and prompt.user not in known]
        there = {prompt.user for prompt in unknown if not (reads and prompt.profile)}
        if not there:
            return []
        return [Note("It does not know {n} of the people whom it answered; those got what anybody gets.", n=len(there))]

    def draw(self, prompts: Sequence[Prompt], *, seed: int, stream: str = "") -> list[list[Draw]]:
        """Return n draws for each prompt. Where memory runs out the prompts are taken in two halves."""
        try:
            return (self.engine.generate if self.engine else generate)(
                self.model,
                [self.ids(prompt) for prompt in prompts],
                n=self.n,
                temperature=self.temperature,
                max_new_tokens=self.max_new_tokens,
                stop=self.stop,
                seeds=[prompt_seed(seed, prompt.id, stream) for prompt in prompts],
                pictures=[prompt.shown for prompt in prompts],
            )
        except torch.OutOfMemoryError:
            if len(prompts) == 1:
                raise RunError(
                    Note(
                        "There is not enough memory on the device to answer one prompt. Lower samples_per_prompt or "
                        "max_new_tokens."
                    )
                ) from None
            torch.cuda.empty_cache()
            self.halved += 1
        half = len(prompts) // 2
        return self.draw(prompts[:half], seed=seed, stream=stream) + self.draw(prompts[half:], seed=seed, stream=stream)

    def text(self, draw: Draw) -> str:
        return text_of(self.tokenizer, draw.ids[:-1] if draw.ended else draw.ids)

    def answers(self, prompt: Prompt, draws: Sequence[Draw], scorers: dict[str, Scorer]) -> list[Answer]:
        """Return the draws of one prompt with their texts and scores."""
        texts = [self.text(draw) for draw in draws]
        found = {name: scorer.columns([prompt.messages] * len(texts), texts) for name, scorer in scorers.items()}
        columns = {name: one.score for name, one in found.items()}
        members = found[REWARD].members if REWARD in found else [[] for _ in texts]
        return [
            Answer(
                text=text,
                logp=draw.logp,
                sampled_logp=draw.sampled_logp,
                tokens=len(draw.ids),
                ended=draw.ended,
                scores={name: score for name, column in columns.items() if (score := column[index]) is not None},
                members=members[index],
            )
            for index, (text, draw) in enumerate(zip(texts, draws, strict=True))
        ]

    def notes(self) -> list[Note]:
        said = list(self.said)
        if has_plain_template(self.tokenizer):
            said.append(PLAIN_NOTE)
        if self.user and (self.users is None or self.user not in self.users.users):
            said.append(Note("The policy does not know {user}, and answered as it answers anybody.", user=self.user))
        if self._unread:
            said.append(
                Note(
                    "What people say of the answers they like left no room for an answer to {n} prompts, which were "
                    "answered without it. Lower max_new_tokens.",
                    n=len(self._unread),
                )
            )
        if self.halved:
            said.append(
                Note(
                    "Memory ran out {n} times and the prompts were taken in smaller portions. Lower rows_at_once.",
                    n=self.halved,
                )
            )
        return said


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return what a reader sees of an answer's tokens: without the special ones.

    A NUL, which a policy over bytes can write, becomes the replacement character, as a byte that is no character does:
    nobody can see it, and PostgreSQL cannot store it.
    """
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).replace("\x00", "\ufffd")


def room_for_prompt(model: nn.Module, max_new_tokens: int) -> int | None:
    """Return the longest prompt that leaves room for the longest answer; None where the model names no limit."""
    # Some architectures have no limit of positions, and then no such setting.
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)  # type: ignore[union-attr, operator]
    if context is None:
        return None
    if context <= max_new_tokens:
        raise RunError(
            Note(
                "The model reads at most {context} tokens, and max_new_tokens is {max_new_tokens}. Lower it.",
                context=context,
                max_new_tokens=max_new_tokens,
            )
        )
    return int(context) - max_new_tokens


def batches(job: Job, prompts: Sequence[Prompt], *, size: int) -> list[list[Prompt]]:
    """Return this process's prompts in portions of `size` and about one length.

    The portions depend on the prompts alone and not on what is already done, so that a run that goes on after a crash
    computes the same matrix products as one that was never interrupted.
    """
    ordered = sorted(prompts, key=lambda prompt: (len(prompt.ids), prompt.id))
    size = max(1, size)
    portions = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return portions[job.rank :: job.world_size]


def unfinished(job: Job, part: PartFile, portions: Sequence[list[Prompt]]) -> Iterator[list[Prompt]]:
    """Yield the portions that still need work and write a line of progress after each; Stopped when asked to stop."""
    total = sum(map(len, portions))
    done = sum(prompt.id in part.rows for portion in portions for prompt in portion)
    job.rewind(done)
    for portion in portions:
        if all(prompt.id in part.rows for prompt in portion):
            continue
        if job.stop_requested():
            part.close()
            raise Stopped
        started = sum(prompt.id in part.rows for prompt in portion)
        yield portion
        done += len(portion) - started
        job.progress(step=done, total_steps=total, **progress_figures(part, portion))


def gathered(job: Job, part: PartFile, prompts: Sequence[Prompt]) -> list[dict[str, Any]] | None:
    """Return the rows of all processes once each has done its part; None where another process goes on with them."""
    part.close()
    wait(job)
    return part.collect([prompt.id for prompt in prompts]) if job.is_main else None


def collected(job: Job, part: PartFile, prompts: Sequence[Prompt]) -> list[dict[str, Any]] | None:
    """Return what is `gathered`, written to the file as it is."""
    rows = gathered(job, part, prompts)
    if rows is not None:
        part.finish(rows)
    return rows


def progress_figures(part: PartFile, portion: Sequence[Prompt]) -> dict[str, float]:
    """Return the means of a portion's figures, for the chart."""
    rows = [part.rows[prompt.id] for prompt in portion]
    answers = [answer for row in rows for answer in answers_of(row)]
    if not answers:  # a guard let none through
        return {}
    figures = {"tokens": fmean(answer["tokens"] for answer in answers)}
    rewards = [answer["scores"][REWARD] for answer in answers if REWARD in answer["scores"]]
    return figures | ({"reward": fmean(rewards)} if rewards else {})


def answers_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answers in a row, of either kind of run; none of a row that has other things."""
    return row["completions"] if "completions" in row else [row[one] for one in ("candidate", "current") if one in row]
