"""The people that a reward model for people has met in training: kept beside it, so that it can score for one of them.

A person is kept as the posterior mean of the latent vector, under the pseudonym that the rows had, in the file in which
a policy has its users. So who takes back consent is taken out of it in the same way (`training.recipes.users_file`).
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.core.batch import People
from training.core.heads import LatentHead, on_sphere
from training.core.job import RunError
from training.core.scorers import RewardScorer, Scorer
from training.recipes.note import Note
from training.recipes.users_file import PREFIX, USERS_FILE

if TYPE_CHECKING:
    from training.core.trainers.learner import Learner


def met(learner: Learner) -> dict[str, Tensor]:
    """Return the posterior mean (L,) of everybody in the rows by the choices in them; empty for any other model."""
    head = getattr(learner.model, "head", None)
    if not isinstance(head, LatentHead):
        return {}
    found: dict[str, Tensor] = {}
    size = learner.progress.micro_batch
    with learner.whole(), torch.no_grad():
        for start in range(0, len(learner.examples), size):
            rows = range(start, min(start + size, len(learner.examples)))
            batch = learner.batch(rows)
            assert isinstance(batch, People)
            tokens = batch.tokens
            (states,) = learner.model.states(tokens.input_ids, tokens.attention_mask)  # type: ignore[operator]
            chosen, rejected = states[: 2 * len(batch.known_of)].chunk(2)
            means, _ = head.posterior(chosen, rejected, batch.known_of, len(batch))
            for row, mean in zip(rows, means.float().cpu(), strict=True):
                found.setdefault(learner.examples[row].annotator, mean)
    return found


def keep(people: dict[str, Tensor], folder: Path) -> None:
    """Write whom a model has met into its folder; nothing where it has met nobody."""
    if people:
        save_file({PREFIX + name: mean.contiguous() for name, mean in people.items()}, folder / USERS_FILE)


def score_for(person: str, scorer: Scorer | None, path: str) -> None:
    """Have the reward model of the folder `path` score as this person would; RunError where it does not know them."""
    if not isinstance(scorer, RewardScorer) or not isinstance(head := scorer.model.head, LatentHead):
        raise RunError(
            Note(
                "{person} is named in person, and this reward model scores for nobody in particular. Take one of the "
                "recipe latent-user, or name nobody.",
                person=person,
            )
        )
    file = Path(path) / USERS_FILE
    there = load_file(file) if file.is_file() else {}
    known = {name.removeprefix(PREFIX): mean for name, mean in there.items()}
    if person not in known:
        near = difflib.get_close_matches(person, known, n=3) or sorted(known)[:3]
        hint = Note("Some that it knows: {names}.", names=", ".join(near)) if near else Note("It knows nobody.")
        said = Note("The reward model has met nobody called {person} in its training.", person=person)
        raise RunError(Note.together([said, hint, Note("Name somebody of its data, or train it anew.")]))
    head.person = on_sphere(known[person].to(scorer.device))
