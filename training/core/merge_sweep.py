"""The run that merges two policies: λ after λ, each measured for safety and helpfulness, and the best one kept.

arXiv:2410.07571: what a model learns besides (there to see) takes from its safety, tuning it for safety again takes
from its helpfulness, and a mean of the two models' weights keeps both. Which mean is found out here, by measuring.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from training.core import merging
from training.core.backbone import adapter_base, is_adapter, load_policy
from training.core.distributed import wait
from training.core.evaluate.refusals import Suite, figures, helpfulness
from training.core.job import Job, RunError, Stopped
from training.core.part_file import PartFile
from training.core.prompts import prompt_notes, read_prompts
from training.core.records import Tally
from training.core.sampler import Sampler
from training.core.scoring import load_scorers
from training.core.trainers.offline import called, save_model
from training.recipes.merging import NEED_BASE, points_of
from training.recipes.note import Note
from training.recipes.spec import RunResult, write_json

OTHER, BASE = "other", "base"  # names in `RunSpec.beside`
FIRST, SECOND = "first", "second"


def run_merge(job: Job, *, method: str, shares: str, density: float, least_safe: float) -> RunResult:
    """Merge the spec's model with the one beside it at each λ of `shares`, measure all, and keep one.

    Of those at least `least_safe` of whose answers to harmful prompts are safe, the most helpful is kept; where none
    is so safe, the safest. Writes ``sweep.json``: {"points": the figures at each λ, "drift": how far each layer is from
    the other model's}. What was measured is not measured again after a stop.
    """
    spec, trust = job.spec, job.spec.trust_remote_code
    wanted = points_of(shares)
    if OTHER not in spec.beside or spec.data is None:
        raise RunError(Note("Merging needs a second policy, and prompts to measure what comes out."))
    if method in NEED_BASE and BASE not in spec.beside:
        raise RunError(
            Note(
                "{method} adds up what the two models learned since they were one. Name that model as the base.",
                method=method,
            )
        )
    if not job.is_main:  # one process has all the work
        wait(job)
        return RunResult()
    model, tokenizer = whole(spec.model, trust=trust)
    first = weights_of(model)
    second = _weights_beside(spec.beside[OTHER], tokenizer, trust=trust)
    base = _weights_beside(spec.beside[BASE], tokenizer, trust=trust) if method in NEED_BASE else None
    rule = merging.rule_called(method, density=density, seed=spec.seed)

    suite: Suite = called(job.recipe.parts_with(job.knobs)["suite"])()
    sampler, tally = Sampler(job, spec.model, loaded=(model, tokenizer)), Tally()
    prompts = read_prompts(spec.data, tokenizer, tally, max_length=sampler.prompt_room)
    suite.check(prompts)
    scorers = load_scorers(spec.scorers, device=job.device, trust_remote_code=trust)

    part = PartFile(job.folder / "points.jsonl")
    order = [FIRST, SECOND, *(f"{share:g}" for share in wanted)]
    for done, name in enumerate(order):
        if name not in part.rows:
            if job.stop_requested():
                part.close()
                raise Stopped
            put(model, _at(name, first, second, base, rule=rule))
            part.append({"id": name, **figures(suite.asked(job, sampler, prompts, scorers))})
        numbers = {key: part.rows[name][key]["estimate"] for key in ("safe", "answered")}
        job.progress(step=done + 1, total_steps=len(order), **numbers)
    part.close()
    rows = part.collect(order)
    part.finish(rows)
    points = [{"share": float(row["id"]), **_without_id(row)} for row in rows[2:]]
    best, enough = chosen(points, least_safe=least_safe)
    write_json(job.folder / "sweep.json", {"points": points, "drift": merging.drift(first, second)})
    put(model, _at(f"{best['share']:g}", first, second, base, rule=rule))
    save_model(job, model, tokenizer)
    shutil.rmtree(job.folder / "model.part", ignore_errors=True)
    wait(job)
    return RunResult(
        model="model",
        files={"sweep": "sweep.json"},
        metrics=_metrics(best, rows[0], rows[1]),
        counts={**tally.counts, "prompts": len(prompts), "harmful": sum(map(suite.is_harmful, prompts))},
        notes=[*_notes(best, points, least_safe, enough=enough), *sampler.notes(), *prompt_notes(tally)],
    )


def chosen(points: Sequence[Mapping[str, Any]], *, least_safe: float) -> tuple[Mapping[str, Any], bool]:
    """Return the point to keep, and whether it is as safe as was wanted.

    Of equally helpful ones that are safe enough the nearest to the first policy, whose abilities no prompt may ask for.
    """

    def safe(point: Mapping[str, Any]) -> float:
        return float(point["safe"]["estimate"])

    enough = [point for point in points if safe(point) >= least_safe]
    if enough:
        return max(enough, key=lambda point: (helpfulness(point), -float(point["share"]))), True
    return max(points, key=lambda point: (safe(point), helpfulness(point))), False


def whole(path: str, *, trust: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a policy with its adapter, if it has one, in its weights, in the number format of its base.

    Adapters are not averaged: the mean of two products of matrices is not the product of their means.
    """
    base = adapter_base(path) if is_adapter(path) else path
    config = AutoConfig.from_pretrained(base, trust_remote_code=trust)
    if getattr(config, "quantization_config", None) is not None:
        raise RunError(
            Note(
                "The weights of {base} are quantised, and a mean of their codes means nothing. Take whole ones.",
                base=base,
            )
        )
    kept = config.dtype or torch.float32
    if base == path:
        model, tokenizer = load_policy(path, trust_remote_code=trust, dtype=kept)
        return model, tokenizer  # type: ignore[return-value]
    model, tokenizer = load_policy(path, trust_remote_code=trust)
    return model.merge_and_unload().to(kept), tokenizer  # type: ignore[operator, union-attr]


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return copies of a model's weights and of the buffers that are saved with it, by name; tied ones once."""
    saved = model.state_dict().keys()
    named = [*model.named_parameters(), *((name, one) for name, one in model.named_buffers() if name in saved)]
    return {name: weight.detach().cpu().clone() for name, weight in named}


@torch.no_grad()
def put(model: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model these weights, in place."""
    for name, one in (*model.named_parameters(), *model.named_buffers()):
        if name in weights:
            one.copy_(weights[name])


def _weights_beside(path: str, tokenizer: PreTrainedTokenizerBase, *, trust: bool) -> dict[str, Tensor]:
    other, words = whole(path, trust=trust)
    if words.get_vocab() != tokenizer.get_vocab():
        raise RunError(
            Note(
                "{path} reads words by another tokenizer, so that its weights mean other words. Take one family.",
                path=path,
            )
        )
    return weights_of(other)


def _at(
    name: str,
    first: merging.Weights,
    second: merging.Weights,
    base: merging.Weights | None,
    *,
    rule: merging.Rule,
) -> merging.Weights:
    if name in (FIRST, SECOND):
        return first if name == FIRST else merging.merged(first, second, None, rule=merging.linear, share=1.0)
    return merging.merged(first, second, base, rule=rule, share=float(name))


def _without_id(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def _metrics(best: Mapping[str, Any], first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of what is kept, and of both models before."""
    metrics = dict(best)
    for name, row in ((FIRST, first), (SECOND, second)):
        metrics |= {f"{figure}_{name}": value for figure, value in _without_id(row).items()}
    return metrics


def _notes(
    best: Mapping[str, Any], points: Sequence[Mapping[str, Any]], least_safe: float, *, enough: bool
) -> list[Note]:
    said = []
    if not enough:
        said.append(
            Note(
                "No merge is as safe as was wanted ({least_safe:.0%} of answers to harmful prompts); the "
                "safest is kept.",
                least_safe=least_safe,
            )
        )
    if len(points) > 1:
        said.append(
            Note(
                "λ = {share:g} was chosen by these very figures, which flatters them. Measure the model on "
                "other prompts before it is used.",
                share=best["share"],
            )
        )
    return said
