"""The scorer for a model's folder: which kind it is, is written in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from training.core.acquaintances import score_for
from training.core.backbone import NOTE_FILE
from training.core.critiques import CritiqueScorer
from training.core.guard.folder import is_guard, load_guard
from training.core.guard.scored import GuardScorer
from training.core.heads import CritiqueHead
from training.core.pictures import Album
from training.core.reasoning import ReasoningJudge, Thoughts
from training.core.rewriting import RewriteScorer
from training.core.scorers import PRINCIPLE, RewardScorer, Scorer
from training.core.thinking import COSTS
from training.recipes.judges import REASONING

REWARD = "reward"  # the scorer that is climbed
REWRITES = "seq2seq-reward"  # the recipe whose models are language models


def scorer_of(
    path: str,
    *,
    device: torch.device,
    rows_at_once: int = 32,
    trust_remote_code: bool = False,
    principles: Sequence[str] = (),
    as_cost: bool = False,
    album: Album | None = None,
    thoughts: Thoughts | None = None,
) -> Scorer:
    """Return the scorer that the model in `path` is; a principle model is asked about `principles`.

    `as_cost`: it stands where a cost is asked for, so that a guard tells costs. `album` has the images that prompts may
    show. A judge that reasons does so as `thoughts` say.
    """
    if is_guard(path):
        guard = load_guard(path, device=device, trust_remote_code=trust_remote_code, album=album)
        return GuardScorer(guard, as_cost=as_cost)
    note = Path(path) / NOTE_FILE
    told = json.loads(note.read_text()) if note.exists() else {}
    if told.get("head") == CritiqueHead.kind:
        return CritiqueScorer(path, device=device, rows_at_once=rows_at_once, trust_remote_code=trust_remote_code)
    if told.get("recipe") == REWRITES:
        return RewriteScorer(path, device=device, rows_at_once=rows_at_once, trust_remote_code=trust_remote_code)
    if told.get("recipe") in REASONING:
        return ReasoningJudge(
            path,
            device=device,
            rows_at_once=rows_at_once,
            trust_remote_code=trust_remote_code,
            album=album,
            thoughts=thoughts,
        )
    return RewardScorer(
        path,
        device=device,
        rows_at_once=rows_at_once,
        trust_remote_code=trust_remote_code,
        principles=principles,
        album=album,
    )


def load_scorers(
    paths: Mapping[str, str],
    *,
    device: torch.device,
    trust_remote_code: bool = False,
    principles: Sequence[str] = (),
    judged: Sequence[str] = (),
    album: Album | None = None,
    thoughts: Thoughts | None = None,
    person: str = "",
) -> dict[str, Scorer]:
    """Return the scorers of a spec, by name; those that read images find them in the `album`.

    The one that judges is asked about the principles `judged`, all others about `principles`. With `person`, the reward
    is that of this one person.
    """
    found = {
        name: scorer_of(
            path,
            device=device,
            trust_remote_code=trust_remote_code,
            principles=judged if name == PRINCIPLE else principles,
            as_cost=name in COSTS,
            album=album,
            thoughts=thoughts,
        )
        for name, path in paths.items()
    }
    if person:
        score_for(person, found.get(REWARD), paths.get(REWARD, ""))
    return found
