"""The loop over the policy's own answers: sample → score → stages in their order → updates → checkpoint.

The stages' order is fixed, a slot may be empty, and what a part needs and gives is checked before the first answer is
drawn. No method has a branch in here: one that does not fit is a stage, a controller or an update of its own.
"""

from __future__ import annotations

import inspect
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from training.core import backbone, distributed, vllm_sampling
from training.core.batch import LossOutput
from training.core.critic import Critic, DoubleCritic
from training.core.experience import Experience
from training.core.heads import AttributesHead, GatedHead
from training.core.job import Job, RunError, Stopped
from training.core.mixture import MixedUpdate, Task, figures_of, joined, shared_out, tasks_in
from training.core.one_body import share_frozen
from training.core.opinions import Opinions
from training.core.pictures import Pictures, album_of
from training.core.prompts import Prompt, prompt_notes, read_prompts
from training.core.reasoning import Thoughts
from training.core.records import Tally, held_out, prompt_hash, read
from training.core.rollout import Models, Rollout
from training.core.sampler import room_for_prompt
from training.core.scorers import PRINCIPLE, RewardScorer, Scorer, is_judge
from training.core.scoring import load_scorers
from training.core.sharding import shards_of
from training.core.stages.kl import terminal
from training.core.stats import mean_t
from training.core.thinking import Reading, opens_thoughts
from training.core.traces import Trace
from training.core.trainers.learner import Learner
from training.core.trainers.offline import called, named, save_model
from training.core.trainers.plan import plan
from training.core.trainers.state import (
    Progress,
    fingerprint,
    finished_numbers,
    rate_at,
    restore,
    tail_means,
)
from training.core.trainers.state import trainable as trainable_of
from training.recipes import opinions
from training.recipes.alarms import alarms
from training.recipes.anchors import ANCHORS
from training.recipes.assembled import from_json
from training.recipes.note import Note
from training.recipes.principles import listed
from training.recipes.slots import AFTER_COMBINING
from training.recipes.spec import RunResult
from training.recipes.tasks import OTHERS

log = logging.getLogger("attune.run")

HELD_OUT_AT_MOST = 256  # prompts that the policy before and after is measured on


@dataclass
class RolloutLearner(Learner):
    """A learner whose rows are those of the newest rollout."""

    rollout: Rollout | None = None

    def batch(self, rows: Sequence[int]) -> Rollout:
        assert self.rollout is not None
        return self.rollout.rows(rows)


def improve(
    job: Job,
    *,
    iterations: int,
    prompts_per_iteration: int,
    samples_per_prompt: int,
    temperature: float,
    max_new_tokens: int,
    passes: int,
    batch_size: int,
    micro_batch: int,
    learning_rate: float,
    critic_learning_rate: float,
    critic_warmup: int,
    critic_heads: str,
    critic_softness: float,
    lora_rank: int,
    missing_end_penalty: float,
    reference_answers: int,
    judge_against: str,
    judge_max_new_tokens: int,
    judge_temperature: float,
    principles: str,
    person: str,
    thinking: str,
    harmful: str,
    eval_share: float,
    warmup: float,
    schedule: str,
    weight_decay: float,
    gradient_clip: float,
    rows_at_once: int,
    bf16: bool,
    checkpoint_every: int,
) -> RunResult:
    """Improve the spec's policy on its own answers to the spec's prompts, scored by the spec's scorers.

    Goes on from the newest checkpoint if there is one; raises `Stopped` after a checkpoint when asked to stop.
    """
    spec = job.spec
    tasks = tasks_in(job, samples_per_prompt=samples_per_prompt)
    needs = frozenset[str]().union(*(task.needs for task in tasks))
    if spec.data is None:
        raise RunError(Note("The recipe {recipe} needs a file of prompts as its data.", recipe=job.recipe.name))
    if not spec.scorers and not job.recipe.supplied:
        raise RunError(
            Note("{recipe} needs something that scores answers. Train a reward model first.", recipe=job.recipe.title)
        )
    mark = fingerprint(spec)
    trust = spec.trust_remote_code
    named_principles = listed(principles)
    if len(named_principles) > 1 and getattr(job.recipe.part("combine"), "name", "") == "first":
        raise RunError(
            Note(
                "{n} principles give as many scores, and this recipe learns from the first. Choose mean or "
                "weighted-sum for how scores are combined, or name one principle.",
                n=len(named_principles),
            )
        )
    album = album_of(spec)
    more: dict[str, Any] = {"device": job.device, "trust_remote_code": trust, "album": album}
    kept = {task.name: listed(getattr(task.parts.get("constrain"), "judged_principles", "")) for task in tasks}
    all_kept = [principle for some in kept.values() for principle in some]
    thoughts = Thoughts(max_new_tokens=judge_max_new_tokens, temperature=judge_temperature, seed=spec.seed)
    more |= {"thoughts": thoughts, "person": person.strip()}
    scorers = load_scorers(spec.scorers, principles=named_principles, judged=all_kept, **more)
    for task in tasks:
        _one_opinion(task, scorers)
    judged = any(map(is_judge, scorers.values()))
    anchor = judge_against if judge_against in ANCHORS else ""
    if anchor and not judged:
        raise RunError(
            Note(
                "judge_against is {anchor}, and only a judge of two answers, of the recipe pairwise-generative or "
                "reasoning-judge, holds one against another. Take one as the reward, or set judge_against to "
                "reference.",
                anchor=anchor,
            )
        )
    if judged and (judge_against == "reference" or (judge_against == "rivals" and eval_share)):
        needs |= {"reference"}
    policy, tokenizer = backbone.start_policy(spec.model, lora_rank=lora_rank, trust_remote_code=trust)
    policy.to(job.device)  # type: ignore[arg-type]
    critic = None
    if "values" in needs:
        critic = _critic(job, lora_rank=lora_rank, heads=critic_heads, softness=critic_softness)
    reference = _reference(job, needs, lora_rank)
    models = Models(policy, critic=critic, reference=reference, temperature=temperature)
    if not job.sharded:  # what is cut up with one model cannot be a part of another
        beside = [value for one in scorers.values() for value in vars(one).values() if isinstance(value, nn.Module)]
        shared = share_frozen(policy, [one for one in (critic, reference, *beside) if one is not None])
        if shared:
            log.info("The models beside the policy stand on its base with %.1f million parameters.", shared / 1e6)
    distributed.share_start(job, trainable_of(models).values())

    tally = Tally()
    pictures = backbone.load_pictures(spec.model, album, trust_remote_code=trust)
    if pictures is not None and (not tokenizer.chat_template or backbone.has_plain_template(tokenizer)):
        tokenizer.chat_template = pictures.processor.chat_template
    longest = room_for_prompt(policy, max_new_tokens)
    prompts, supplied = _asked(job, tokenizer, tally, longest=longest, anchor=anchor, pictures=pictures)
    scorers |= supplied
    apart = [held_out(prompt.about or prompt_hash(prompt.messages), share=eval_share) for prompt in prompts]
    held = [prompt for prompt, out in zip(prompts, apart, strict=True) if out][:HELD_OUT_AT_MOST]
    usable = [prompt for prompt, out in zip(prompts, apart, strict=True) if not out]
    if not usable:
        raise RunError(Note("All prompts are held out to measure on. Give more prompts, or set eval_share to 0."))
    reading = Reading(thinking, opened=opens_thoughts(tokenizer))
    room = max(len(prompt.ids) for prompt in usable) + max_new_tokens
    engine, said = vllm_sampling.for_training(job, spec.model, policy, longest=room)
    named_harmful = frozenset(domain.lower() for domain in listed(harmful))
    asking_harm = named_harmful & {prompt.domain.strip().lower() for prompt in prompts}
    experiences = {
        task.name: Experience(
            job,
            models,
            tokenizer,
            Opinions(
                job,
                tokenizer,
                {name: _asked_of(task, name, scorers[name], kept[task.name]) for name in task.scorers},
                combine=task.parts["combine"],
                needs=task.needs,
                reading=reading,
                harmful=asking_harm,
            ),
            needs=task.needs,
            references=f"references{number or ''}.jsonl",
            n=task.samples,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            rows_at_once=rows_at_once,
            micro_batch=micro_batch,
            missing_end_penalty=missing_end_penalty,
            reference_answers=reference_answers,
            judge_against=judge_against,
            bf16=bf16,
            engine=engine,
        )
        for number, task in enumerate(tasks)
    }
    usable = [prompt for some in shared_out(tasks, usable).values() for prompt in some]
    if not usable:
        raise RunError(
            Note("No prompt is of the domain of a task. Name the prompts' domains, or add a task {task}.", task=OTHERS)
        )
    for task in tasks:
        experiences[task.name].opinions.try_out(usable[0], task.parts.get("advantage"))
    stages = {
        task.name: {slot: made(task.parts[slot]) for slot in AFTER_COMBINING if slot in task.parts} for task in tasks
    }
    remembering = {
        f"{name}/{slot}" if name else slot: stage
        for name, of_task in stages.items()
        for slot, stage in of_task.items()
        if hasattr(stage, "state_dict")
    }
    updates = [called(task.parts["update"]) for task in tasks]
    update: Callable[..., Any] = updates[0] if "" in experiences else MixedUpdate(updates)
    if job.sharded and len(tasks) > 1:
        raise RunError(
            Note(
                "A run of several tasks cannot have its model in shards, as a task's rows are not in every process. "
                "Set TRAIN_SHARDED to false."
            )
        )
    shards = shards_of(job, models)
    groups = [{"params": list(trainable_of(policy).values())}]
    if critic is not None:
        groups.append({"params": list(trainable_of(critic).values())})
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)
    learner = RolloutLearner(
        job=job,
        model=models,
        optimizer=optimizer,
        objective=_updated,
        loss=update,
        examples=[],
        pad_id=backbone.pad_id_of(tokenizer),
        bf16=bf16,
        reference=None,
        progress=Progress(micro_batch=micro_batch),
        notes=([backbone.PLAIN_NOTE] if backbone.has_plain_template(tokenizer) else [])
        + prompt_notes(tally)
        + ([_no_harm(harmful)] if thinking != "whole" and named_harmful and not asking_harm else []),
        shards=shards,
    )
    progress, found = restore(job.folder / "checkpoints", models, optimizer, mark=mark)
    learner.progress = progress or learner.progress
    learner.notes += found
    for name, state in learner.progress.controllers.items():
        remembering[name].load_state_dict(state)  # type: ignore[attr-defined]
    lengths = [len(prompt.ids) for prompt in usable]
    epochs = math.ceil(iterations * prompts_per_iteration / len(usable)) + iterations
    planned = plan(lengths, batch_size=prompts_per_iteration, epochs=epochs, max_steps=iterations, seed=spec.seed)

    job.rewind(learner.progress.iteration)
    for number in range(learner.progress.iteration, iterations):
        started = time.perf_counter()
        share = rate_at(number, total_steps=iterations, highest=1.0, warmup=warmup, schedule=schedule)
        rates = [share * learning_rate if critic is None or number >= critic_warmup else 0.0]
        rates += [share * critic_learning_rate] * (critic is not None)
        asked = shared_out(tasks, [usable[i] for i in planned[number]])
        with learner.whole():
            if engine is not None:
                engine.renewed(policy, job.folder / "sampler")
            written = {
                name: experiences[name].rollout(some, stream=f"iteration {number}")
                for name, some in asked.items()
                if some
            }
        read = {name: staged(rollout, stages[name]) for name, rollout in written.items()}
        learner.rollout = joined(read, tasks, learner.pad_id)
        told, stop = _learn(learner, passes=passes, batch_size=batch_size, rates=rates, clip=gradient_clip)
        learner.progress.iteration = number + 1
        learner.progress.controllers = {
            name: stage.state_dict()  # type: ignore[attr-defined]
            for name, stage in remembering.items()
        }
        told["tokens_per_second"] = told.pop("tokens") / (time.perf_counter() - started)
        job.progress(step=number + 1, total_steps=iterations, **figures_of(written, learner.rollout), **told)
        last = number + 1 == iterations
        if stop or last or (number + 1) % checkpoint_every == 0:
            learner.keep(mark)
        if stop and not last:
            raise Stopped
    with learner.whole():
        metrics = tail_means(job.folder) | _measured(experiences, shared_out(tasks, held), spec.model, trust)
    learner.save(lambda: save_model(job, policy, tokenizer, pictures=pictures))
    shutil.rmtree(job.folder / "sampler", ignore_errors=True)
    return RunResult(
        model="model",
        metrics=metrics,
        counts=dict(tally.counts) | {"prompts": len(usable), "held_out": len(held)},
        notes=[
            *learner.notes,
            *said,
            *dict.fromkeys(note for experience in experiences.values() for note in experience.opinions.notes()),
            *alarms(finished_numbers(job.folder), from_json(spec.recipe)[1]),
        ],
    )


def _one_opinion(task: Task, scorers: Mapping[str, Scorer]) -> None:
    """RunError where a task would learn from one attribute of several, or from a mixture that there is not.

    See `recipes.opinions`.
    """
    scorer = next((scorers[name] for name in task.scorers if name in scorers), None)
    made_by = None if scorer is None else "another"
    if isinstance(scorer, RewardScorer) and len(scorer.model.head.names) > 1:
        kinds = {GatedHead.kind: opinions.OF_GATES, AttributesHead.kind: opinions.OF_ATTRIBUTES}
        made_by = kinds.get(scorer.model.head.kind, "another")
    if (why := opinions.against(task.parts, made_by)) is not None:
        raise RunError(why)


def _asked_of(task: Task, name: str, scorer: Scorer, principles: Sequence[str]) -> Scorer:
    """Return the scorer as a task asks it: the one that judges, by the principles that this task has kept."""
    if name != PRINCIPLE or not principles:
        return scorer
    if not isinstance(scorer, RewardScorer):
        raise RunError(Note("Only a principle model judges by principles. Train the recipe principle-reward."))
    return scorer.asking(principles)


def _asked(
    job: Job,
    tokenizer: PreTrainedTokenizerBase,
    tally: Tally,
    *,
    longest: int | None,
    anchor: str,
    pictures: Pictures | None,
) -> tuple[list[Prompt], dict[str, Scorer]]:
    """Return the prompts of the spec's data, and the scorers that know what is right of them, if any.

    A recipe that reads another view than prompts has a part that makes both of its rows.
    """
    assert job.spec.data is not None
    made_of = job.recipe.parts_with(job.knobs).get("records")
    if made_of is None:
        asked = read_prompts(job.spec.data, tokenizer, tally, max_length=longest, anchor=anchor, pictures=pictures)
        return asked, {}
    if anchor:
        raise RunError(
            Note(
                "{recipe} asks about pairs, and no answer to that is known to be good. Set judge_against to reference.",
                recipe=job.recipe.title,
            )
        )
    prompts, scorer = called(made_of)(read(job.spec.data, job.recipe.view, tally), tokenizer, tally, longest)
    if not prompts:
        raise RunError(Note.together([Note("There is no pair to judge."), *tally.notes()]))
    return prompts, dict.fromkeys(made_of.supplies, scorer)


def _no_harm(domains: str) -> Note:
    return Note(
        "No prompt is of the domain {domains}, so that thoughts about harm are not told apart from others. Give the "
        "prompts their domain, or name another one in the setting harmful.",
        domains=domains,
    )


def staged(rollout: Rollout, stages: dict[str, Callable[[Rollout], Rollout]]) -> Rollout:
    """Return the rollout after every stage there is, in the fixed order. Without `kl` the reward is terminal.

    One of which a filter or judges leave nothing is returned as it is then: there is nothing to weigh.
    """
    for slot in AFTER_COMBINING:
        if not len(rollout):
            break
        if slot in stages:
            rollout = stages[slot](rollout)
        elif slot == "kl":
            rollout = terminal(rollout)
    return rollout


def made(part: Any) -> Callable[[Rollout], Rollout]:
    """Return what a part names, ready to be called: a function with its knobs, or an object that remembers.

    What takes knobs alone makes such an object; what takes a rollout as well is the stage itself.
    """
    parameters = inspect.signature(named(part.target)).parameters.values()
    stage: Callable[..., Any] = called(part)
    return stage() if all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters) else stage


def _updated(models: nn.Module, batch: Rollout, update: Callable[..., Any]) -> LossOutput:
    """Return what an update says of some rows: a part of this slot is lift and loss in one."""
    out: LossOutput = update(models, batch)
    return out


def _learn(
    learner: RolloutLearner, *, passes: int, batch_size: int, rates: Sequence[float], clip: float
) -> tuple[dict[str, float], bool]:
    """Go through the rollout in mini-batches, and return their mean figures and whether a stop was asked for.

    `rates` are the learning rates of the policy and, where there is one, of the critic. ``tokens`` is a sum.
    """
    assert learner.rollout is not None
    order = torch.arange(len(learner.rollout))
    if not len(order):  # judges let nothing pass; the next answers are other ones
        wanted = distributed.sum_over(learner.job, torch.tensor(float(learner.job.stop_requested())))
        return {"tokens": 0.0}, bool(wanted)
    steps, stop = [], False
    for number in range(passes):
        # Drawn from the global generator, which a checkpoint keeps. The first pass is in order, so that its matrix
        # products are those by which the rollout's log-probabilities were computed.
        shuffled = order if number == 0 else order[torch.randperm(len(order))]
        for some in shuffled.split(batch_size):
            numbers, asked = learner.step(some.tolist(), rate=rates, clip=clip)
            steps.append(numbers)
            stop = stop or asked
    names = dict.fromkeys(name for step in steps for name in step)  # of several tasks not all are in every step
    told = {name: fmean(step[name] for step in steps if name in step) for name in names}
    return told | {"tokens": sum(step["tokens"] for step in steps)}, stop


def _critic(job: Job, *, lora_rank: int, heads: str, softness: float) -> nn.Module:
    """Return a critic that starts as the policy's own body."""
    trust = job.spec.trust_remote_code
    body = backbone.load_body(job.spec.model, trust_remote_code=trust, lora_rank=lora_rank)
    width = backbone.width_of(body)
    made = Critic(body, width) if heads == "single" else DoubleCritic(body, width, softness=softness)
    return made.to(job.device)


def _reference(job: Job, needs: frozenset[str], lora_rank: int) -> nn.Module | None:
    """Return the frozen reference, None where nobody needs one or the policy without its new adapter is it."""
    if not needs & {"reference_logps", "reference_rewards", "reference"}:
        return None
    spec = job.spec
    if lora_rank and spec.reference in (None, spec.model) and not backbone.is_adapter(spec.model):
        return None
    model, _ = backbone.load_policy(spec.reference or spec.model, trust_remote_code=spec.trust_remote_code)
    frozen: nn.Module = model.requires_grad_(False)
    return frozen.to(job.device)


def _measured(
    experiences: Mapping[str, Experience], held: Mapping[str, Sequence[Prompt]], before: str, trust: bool
) -> dict[str, Any]:
    """Return the mean reward on held-out prompts of the policy it began with and of the new one, and the gain.

    Each prompt's reward is that of its task; of several tasks the gain of each is told as well.
    """
    if not any(held.values()):
        return {}
    old = backbone.load_policy(before, trust_remote_code=trust)[0].requires_grad_(False)
    first: list[float] = []
    after: list[float] = []
    told: dict[str, Any] = {}
    traces: tuple[list[Trace], list[Trace]] = ([], [])
    for name, prompts in held.items():
        if not prompts:
            continue
        experience = experiences[name]
        if not experience.job.sharded:
            share_frozen(experience.models.policy, [old])
        old.to(experience.job.device)  # type: ignore[arg-type]
        was, _, traced = experience.measured(old, prompts)
        now, figures, traced_now = experience.measured(experience.models.policy, prompts)
        traces[0].extend(traced)
        traces[1].extend(traced_now)
        first, after = first + was, after + now
        told |= {f"eval_{figure}": value for figure, value in figures.items()}
        if name:
            told[f"eval_reward_gain ({name})"] = mean_t([b - a for a, b in zip(was, now, strict=True)])
    for side, some in zip(("_before", ""), traces, strict=True):
        told |= (
            {f"eval_{figure}{side}": value for figure, value in experience.opinions.told_of(some).items()}
            if some
            else {}
        )
    gains = [b - a for a, b in zip(first, after, strict=True)]
    return told | {
        "eval_reward_before": mean_t(first),
        "eval_reward": mean_t(after),
        "eval_reward_gain": mean_t(gains),
    }
