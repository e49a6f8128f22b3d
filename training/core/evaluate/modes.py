"""How far apart a policy's modes are in what it is about to say first."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import silhouette_samples

from training.core.backbone import load_policy
from training.core.collate import encode_prompt
from training.core.decode import next_logits
from training.core.job import Job, RunError
from training.core.modes import behind, keys_in
from training.core.prompts import read_prompts
from training.core.records import Tally
from training.core.sampler import room_for_prompt
from training.core.stats import mean_t
from training.recipes.note import Note
from training.recipes.spec import RunResult

LEAST = 2  # prompts, below which a mode is no cluster
BOUNDS = (-1.0, 1.0)  # of a silhouette
ROOM = 64  # tokens that a key and its turn take at most


def mode_report(job: Job) -> RunResult:
    """Return the safety alignment margin over the prompts, and each mode's share in it.

    SAM = (1/n) Σ (b - a) / max(a, b), the mean silhouette of first-token logits grouped by mode: a is the mean distance
    of a prompt's logits to the others of its mode, b to those of the nearest other mode. arXiv:2508.14904, section 3.3;
    the distance is 1 - cosine, which the paper does not say plainly. Near 1 the key decides how an answer begins, near
    0 it does not matter. The interval is Student's t over the prompts, as far as a margin goes, -1 to 1.
    """
    spec, knobs, tally = job.spec, job.knobs, Tally()
    keys = keys_in(spec.model)
    if len(keys) < 2:
        raise RunError(Note("This model has no modes to tell apart. Train the recipe magic-modes."))
    if spec.data is None:
        raise RunError(Note("This report needs prompts."))
    model, tokenizer = load_policy(spec.model, trust_remote_code=spec.trust_remote_code)
    model = model.to(job.device)  # type: ignore[arg-type]
    prompts = read_prompts(spec.data, tokenizer, tally, max_length=room_for_prompt(model, ROOM))[
        : knobs["most_prompts"]
    ]
    if len(prompts) < LEAST:
        raise RunError(
            Note("There are {n} prompts to measure on; at least {least} are needed.", n=len(prompts), least=LEAST)
        )
    rows, labels = [], []
    asked = [(mode, encode_prompt(tokenizer, behind(p.messages, key))) for mode, key in keys.items() for p in prompts]
    for start in range(0, len(asked), knobs["rows_at_once"]):
        some = asked[start : start + knobs["rows_at_once"]]
        rows.append(next_logits(model, [ids for _, ids in some]).cpu().numpy())
        labels += [mode for mode, _ in some]
        job.progress(step=start + len(some), total_steps=len(asked))
    each = silhouette_samples(np.concatenate(rows), labels, metric="cosine").reshape(len(keys), len(prompts))
    metrics = {"safety_alignment_margin": mean_t(each.mean(0).tolist(), within=BOUNDS)}
    means = (mean_t(values.tolist(), within=BOUNDS) for values in each)
    metrics |= {f"margin_{mode}": mean for mode, mean in zip(keys, means, strict=True)}
    return RunResult(metrics=metrics, counts={"prompts": len(prompts)}, notes=tally.notes())
