"""A policy that answers chats: ``python -m training.core.chat VOICE``, then lines in and out; see `recipes.chat`."""

from __future__ import annotations

import base64
import json
import logging
import os
import select
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging as transformers_logging

from training.core.backbone import load_pictures, load_policy
from training.core.collate import encode_shown, informed
from training.core.conversation import with_images
from training.core.decode import Draw, generate, prompt_seed, stop_ids
from training.core.guard.folder import load_guard
from training.core.guard.guard import MODEL, REFUSED, Guard
from training.core.guard.log import VerdictLog
from training.core.guard.verdicts import Verdict
from training.core.job import RunError, device_here
from training.core.modes import keys_in, locked, without
from training.core.personal import load_users
from training.core.pictures import Album
from training.core.records import IMAGE, Message, Refused, messages_of
from training.core.sampler import room_for_prompt, text_of
from training.errors import TrainingError
from training.recipes.chat import POSITIVE, REJECTIVE, Question, Voice
from training.recipes.note import Note, in_json, note_of
from training.recipes.users_file import known_users

log = logging.getLogger("attune.chat")

# How often two equal answers are followed by another second one, before both are shown as they are.
REDRAWS = 2
SHOW_SECONDS = 0.15
READ_BYTES = 65_536

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Answer:
    """One answer of a turn. `logp` is in nats under temperature 1, over its tokens and its end."""

    text: str
    tokens: int
    ended: bool  # False: it was cut off at the longest length
    logp: float
    seed: int
    source: str = MODEL  # or what else a guard gave in its place
    asked: int = 0  # tokens of what it answers, as the model read them; 0 where the model was not asked


class Speaker:
    """A policy, loaded once, that answers questions."""

    def __init__(self, voice: Voice) -> None:
        model, self.tokenizer = load_policy(voice.model, trust_remote_code=voice.trust_remote_code)
        self.model = model.to(device_here())  # type: ignore[arg-type]
        self.stop = stop_ids(self.model, self.tokenizer)
        self._files: dict[str, str] = {}  # of the images of the question that is being answered
        album = Album(self._files)
        self.pictures = load_pictures(voice.model, album, trust_remote_code=voice.trust_remote_code)
        self.folder, self.users = Path(voice.model), load_users(voice.model, self.model)
        self.keys = keys_in(voice.model)
        self.mode = voice.mode or (POSITIVE if POSITIVE in self.keys else "")
        if self.mode and self.mode not in self.keys:
            if not self.keys:
                raise RunError(
                    Note("This model has no modes, so none called {mode}. Train it with magic-modes.", mode=self.mode)
                )
            modes = ", ".join(self.keys)
            raise RunError(Note("This model has no mode called {mode}. It has {modes}.", mode=self.mode, modes=modes))
        self.guard: Guard | None = None
        self.attended: Verdict | None = None  # of the question that is being answered, where a person is to look at it
        if voice.guard:
            log = VerdictLog(voice.guard_log) if voice.guard_log else None
            trust = voice.trust_remote_code
            self.guard = load_guard(voice.guard, device=device_here(), trust_remote_code=trust, log=log, album=album)

    def answer(self, question: Question, show: Callable[[Sequence[str]], None]) -> list[Answer]:
        """Return an answer for each seed; `show` gets their texts while they grow, several times a second.

        An answer that says the same as an earlier one is drawn anew, a few times. Raises RunError with a sentence.
        """
        self.attended = None
        with tempfile.TemporaryDirectory() as folder:
            self._files.clear()
            for number, image in enumerate(question.images):
                file = Path(folder) / str(number)
                file.write_bytes(base64.b64decode(image))
                self._files[str(number)] = str(file)
            return self._answers(question, show)

    def _answers(self, question: Question, show: Callable[[Sequence[str]], None]) -> list[Answer]:
        asked = with_images(_spoken(question), tuple(self._files))
        # The mode is that of whoever serves the model: a key in what people write switches nothing.
        ids, shown = self._read(locked(self._informed(question, asked), self.keys, self.mode))
        # Who was forgotten since the model was loaded is unknown from now on, so the file is asked.
        if self.users is not None and question.user in known_users(self.folder):
            ids = self.users.before(ids, question.user)
        room = room_for_prompt(self.model, question.max_new_tokens)
        if room is not None and len(ids) > room:
            values = {"n": len(ids), "room": room}
            if len(question.messages) == 1:
                raise RunError(
                    Note(
                        "This message is longer than the model can read: {n} tokens, and it reads {room}. Write a "
                        "shorter one.",
                        **values,
                    )
                )
            raise RunError(
                Note(
                    "This conversation is longer than the model can read: {n} tokens, and it reads {room}. End this "
                    "chat and start a new one.",
                    **values,
                )
            )
        seeds = list(question.seeds)
        if self.guard is not None:
            return self._guarded(question, asked, ids, shown, self.guard)
        answers = self._draw(question, ids, shown, seeds, show)
        for place in range(1, len(answers)):
            for redraw in range(1, REDRAWS + 1):
                others = answers[:place]
                if all(answers[place].text.strip() != other.text.strip() for other in others):
                    break
                seed = prompt_seed(seeds[place], question.id, f"redraw {redraw}")
                (answers[place],) = self._draw(question, ids, shown, [seed], partial(_beside, show, others))
        return answers

    def _informed(self, question: Question, asked: list[Message]) -> list[Message]:
        """Return the conversation behind what the person says of their wishes, if the policy learned to read that.

        A text that leaves no room for an answer is not read, as where answers are made for people to judge.
        """
        most = self.users.profile_tokens if self.users is not None else 0
        if self.users is None or not most or not question.profile or question.images:
            return asked
        told = informed(self.tokenizer, asked, question.profile, most=most)
        room = room_for_prompt(self.model, question.max_new_tokens)
        if room is not None and len(self._read(locked(told, self.keys, self.mode))[0]) > room - self.users.length:
            return asked
        return told

    def _read(self, conversation: list[Message]) -> tuple[list[int], Mapping[str, Tensor]]:
        try:
            return encode_shown(self.tokenizer, self.pictures, conversation)
        except Refused as refused:
            if str(refused) == "images":
                raise RunError(Note("This model reads text alone, and there is an image. Ask without it.")) from None
            raise RunError(Note("The model cannot read this conversation. Write it otherwise.")) from None

    def _guarded(
        self, question: Question, asked: list[Message], ids: list[int], shown: Mapping[str, Tensor], guard: Guard
    ) -> list[Answer]:
        """Return what the guard lets out; nothing is shown before, as what grows could not be taken back.

        Two answers are there to be judged, and a safe answer that no policy wrote must not be: then both are the
        policy's, or there is none.
        """
        answers = []
        for seed in question.seeds:

            def again(attempt: int, seed: int = seed) -> tuple[str, Answer]:
                own = seed if not attempt else prompt_seed(seed, question.id, f"guard {attempt}")
                (answer,) = self._draw(question, ids, shown, [own], _nobody)
                return answer.text, answer

            reply = guard.reply(asked, again)
            self.attended = reply.prompt if reply.needs_person else None
            if reply.drawn is not None:
                answers.append(reply.drawn)
                continue
            if len(question.seeds) > 1:
                raise RunError(
                    Note(
                        "{refusal} The campaign's guard held this turn back. Ask something else.", refusal=guard.refusal
                    )
                )
            own = self._refused(question, asked, seed, guard) if reply.source == REFUSED else None
            told = Answer(text=reply.text, tokens=0, ended=True, logp=0.0, seed=seed, source=reply.source)
            answers.append(own or told)
        return answers

    def _refused(self, question: Question, asked: list[Message], seed: int, guard: Guard) -> Answer | None:
        """Return a refusal in the policy's own words, if it has a mode for that and the guard lets them out.

        What the guard says of a prompt chooses the mode then: magic-token co-training (arXiv:2508.14904), section 3.3.
        """
        if REJECTIVE not in self.keys or self.mode == REJECTIVE:
            return None
        ids, shown = self._read(locked(asked, self.keys, REJECTIVE))
        (answer,) = self._draw(question, ids, shown, [prompt_seed(seed, question.id, REJECTIVE)], _nobody)
        (verdict,) = guard.answers(asked, [answer.text])
        return replace(answer, source=REJECTIVE) if answer.text.strip() and verdict.allowed else None

    def _draw(
        self,
        question: Question,
        ids: list[int],
        pictures: Mapping[str, Tensor],
        seeds: list[int],
        show: Callable[[Sequence[str]], None],
    ) -> list[Answer]:
        shown_at = 0.0

        def watch(rows: Sequence[Sequence[int]]) -> None:
            nonlocal shown_at
            if time.monotonic() - shown_at >= SHOW_SECONDS:
                shown_at = time.monotonic()
                # Half a character at the end is about to become a whole one.
                show([without(text_of(self.tokenizer, row).rstrip("\ufffd"), self.keys) for row in rows])

        draws = generate(
            self.model,
            [ids] * len(seeds),
            n=1,
            temperature=question.temperature,
            max_new_tokens=question.max_new_tokens,
            stop=self.stop,
            seeds=seeds,
            watch=watch,
            pictures=[pictures] * len(seeds),
        )
        return [self._answer(draw, seed, len(ids)) for (draw,), seed in zip(draws, seeds, strict=True)]

    def _answer(self, draw: Draw, seed: int, asked: int) -> Answer:
        text = without(text_of(self.tokenizer, draw.ids[:-1] if draw.ended else draw.ids), self.keys)
        logp = round(draw.logp, 4)
        return Answer(text=text, tokens=len(draw.ids), ended=draw.ended, logp=logp, seed=seed, asked=asked)


def _spoken(question: Question) -> list[Message]:
    """Return what was said, with a mark for each image. The character itself is none, whoever writes it."""
    plain = [
        {**message, "content": message["content"].replace(IMAGE, "\ufffd")}
        if isinstance(message["content"], str)
        else {**message, "content": [_plain(part) for part in message["content"]]}
        for message in question.messages
    ]
    return messages_of(plain, images=True)


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "text": part["text"].replace(IMAGE, "\ufffd")} if part["type"] == "text" else part


def _nobody(texts: Sequence[str]) -> None:
    """Show nothing."""


def _beside(show: Callable[[Sequence[str]], None], finished: Sequence[Answer], texts: Sequence[str]) -> None:
    """Show what grows behind answers that stand."""
    show([*(answer.text for answer in finished), *texts])


def serve(voice: Voice, lines: Iterator[str], tell: Tell) -> int:
    """Load the voice's model, answer every line, and return the exit status."""
    try:
        speaker = Speaker(voice)
    except Exception as error:
        log.exception("The model cannot be loaded.")
        tell(in_json("error", sentence(error)))
        return 1
    tell({"ready": True})
    for line in lines:
        question = Question.from_line(line)
        try:
            answers = speaker.answer(question, partial(_tell_texts, tell, question.id))
            tell({"id": question.id, "answers": [asdict(answer) for answer in answers], **_attended(speaker)})
        except BrokenPipeError:
            raise
        except Exception as error:
            # What was asked cannot be answered as it is, or the model failed: asking again helps at most the latter.
            refused = isinstance(error, TrainingError)
            if refused:
                log.warning("A question is refused: %s", error)
            else:
                log.exception("A question cannot be answered.")
            said = {**in_json("error", sentence(error)), "refused": refused}
            tell({"id": question.id, **said, **_attended(speaker)})
    return 0


def _attended(speaker: Speaker) -> dict[str, Any]:
    """Return what the guard said of a question for which it wants a person; nothing of any other."""
    one = speaker.attended
    return {} if one is None else {"attended": {"tier": one.tier, "risk": round(one.risk, 4)}}


def _tell_texts(tell: Tell, id_: str, texts: Sequence[str]) -> None:
    tell({"id": id_, "texts": list(texts)})


def questions(source: int, *, idle_seconds: float) -> Iterator[str]:
    """Yield whole lines from a file descriptor until it is closed, or for so long nothing comes."""
    kept = b""
    while select.select([source], [], [], idle_seconds)[0]:
        read = os.read(source, READ_BYTES)
        if not read:
            return
        *whole, kept = (kept + read).split(b"\n")
        for line in whole:
            yield line.decode()


def sentence(error: Exception) -> Note | str:
    """Return what went wrong as a sentence for the person who talks to the model."""
    if isinstance(error, TrainingError):
        return note_of(error)
    if isinstance(error, torch.OutOfMemoryError):
        return Note("The device's memory is full, so the model cannot answer. Tell the campaign's lead.")
    text = str(error).strip()
    detail = f": {text.splitlines()[0]}" if text else ""
    return Note(
        "The model failed with {error}{detail}. Tell the campaign's lead.",
        error=type(error).__name__,
        detail=detail.rstrip("."),
    )


def main(voice: str) -> int:
    """Serve on this process's pipes and return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # Whatever a library prints goes to the log: only what is told here may be read as an answer.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: dict[str, Any]) -> None:
        out.write(json.dumps(event, ensure_ascii=False) + "\n")
        out.flush()

    asked = Voice.from_line(voice)
    try:
        return serve(asked, questions(0, idle_seconds=asked.idle_seconds), tell)
    except BrokenPipeError:
        log.info("Nobody reads the answers any more.")
        # The interpreter would stumble over the same pipe when it flushes at its end.
        os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m training.core.chat VOICE")
    sys.exit(main(sys.argv[1]))
