"""Signs of a run on a policy's own answers that goes wrong, in sentences that say what to try. Of its figures alone.

What they say to change is a knob that the run's recipe has: one finds no `kl` to raise in a recipe that has a
`kl_budget` to lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from training.recipes.note import Note
from training.recipes.tasks import tasks_of

# What holds a policy to its reference, the first that a recipe has: by a larger value, or by a smaller one.
HOLDS_BY_MORE = ("kl", "kl_weight", "prior_weight", "pair_beta", "penalty")
HOLDS_BY_LESS = ("kl_target", "kl_budget", "kl_at_most")  # before those above, as a price may follow its target


def within_reach(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs that somebody can change in a run that has `knobs`: with its tasks' own where it has several."""
    of_tasks = [task.knobs for task in tasks_of(knobs["tasks"])] if "tasks" in knobs else []
    return {name: value for one in (*of_tasks, knobs) for name, value in one.items()}


def alarms(lines: Sequence[dict[str, Any]], knobs: Mapping[str, Any]) -> list[Note]:
    """Return a sentence for each sign of a run that went wrong, with what to try; the thresholds are ours.

    `knobs` are those of the run, with their values; no other is said to be changed. Signs after "Secrets of RLHF",
    arXiv:2307.04964, section 5.2: a policy that collapses is seen in KL, entropy and length long before it is seen in
    the reward.
    """
    knobs = within_reach(knobs)
    tail = lines[-max(1, len(lines) // 5) :]

    def late(name: str) -> float | None:
        values = [line[name] for line in tail if name in line]
        return fmean(values) if values else None

    said = []
    first = lines[0].get("entropy") if lines else None
    entropy, alike, clip = late("entropy"), late("groups_alike"), late("clip_share")
    explained, ended, kl = late("explained_variance"), late("ended_share"), late("kl_per_token")
    if first and entropy is not None and entropy < 0.1 * first:
        fact = Note(
            "The policy has almost stopped varying: {entropy:.2f} nats per token, {first:.2f} at the start.",
            entropy=entropy,
            first=first,
        )
        said.append(Note.together([fact, _closer(knobs)]))
    first_alike, alike_now = lines[0].get("likeness") if lines else None, late("likeness")
    if first_alike is not None and alike_now is not None and alike_now > max(0.3, 1.5 * first_alike):
        fact = Note(
            "Answers to different prompts grow alike: they share {share:.0%} of their tokens, {first:.0%} at the start."
            " The policy may have found one answer that pays for everything.",
            share=alike_now,
            first=first_alike,
        )
        said.append(Note.together([fact, _closer(knobs)]))
    if kl is not None and kl > 1.0:
        fact = Note(
            "The policy is {kl:.1f} nats per token from its reference, where a reward model knows little.", kl=kl
        )
        said.append(Note.together([fact, _closer(knobs)]))
    if alike is not None and alike > 0.8:
        said.append(
            Note(
                "In {alike:.0%} of the groups all rewards were alike, and nothing is learned from those. "
                "Raise samples_per_prompt or temperature, or choose other prompts.",
                alike=alike,
            )
        )
    if clip is not None and clip > 0.3:
        said.append(Note("{clip:.0%} of the tokens were clipped. Lower learning_rate or passes.", clip=clip))
    if explained is not None and explained < 0:
        said.append(Note("The critic was worse than none. Raise critic_warmup or critic_learning_rate."))
    if ended is not None and ended < 0.5:
        said.append(
            Note(
                "Only {ended:.0%} of the answers came to an end. Raise max_new_tokens, or set "
                "missing_end_penalty above 0.",
                ended=ended,
            )
        )
    said += _of_cost(late("cost_above_limit"), late("multiplier"), knobs)
    broken, audited, unused = late("violations"), late("violations_audit"), late("prompts_unused")
    if broken is not None and broken > 0.2:
        said.append(
            Note(
                "{broken:.0%} of the answers break a rule. Give it more iterations or samples_per_prompt; or "
                "the policy knows no answer that keeps all rules: teach it some by supervised fine-tuning "
                "first.",
                broken=broken,
            )
        )
    if broken is not None and audited is not None and audited > broken + 0.05:
        said.append(
            Note(
                "By the audit {audited:.0%} of the answers break a rule, and by the judges {broken:.0%}. The "
                "policy has found what the judges miss: look at such answers, and train the judges on them.",
                audited=audited,
                broken=broken,
            )
        )
    unread, by_place = late("unread_verdicts"), late("position_bias")
    if unread is not None and unread > 0.2:
        said.append(
            Note(
                "{unread:.0%} of the judgements name no answer. Raise max_new_tokens if they are cut off, or "
                "judge_max_new_tokens where the judge is the reward, or teach the form by reasoning-judge first.",
                unread=unread,
            )
        )
    if by_place is not None and by_place > 0.6:
        said.append(
            Note(
                "In {share:.0%} of the comparisons the judge named the same place in both orders. Train it on both "
                "orders of a pair.",
                share=by_place,
            )
        )
    if unused is not None and unused > 0.5:
        said.append(
            Note(
                "{unused:.0%} of the prompts had no answer to learn from. Raise samples_per_prompt, or "
                "loosen the rules.",
                unused=unused,
            )
        )
    unreadable, flat, gradient = late("unreadable"), late("shape_saturated"), late("gradient_norm")
    if unreadable is not None and unreadable > 0.2:
        said.append(
            Note(
                "{unreadable:.0%} of the answers could not be read by what scores them, and got its lowest score. "
                "Lower max_new_tokens, or take a model that reads longer texts.",
                unreadable=unreadable,
            )
        )
    if flat is not None and flat > 0.5 and "reward_scale" in knobs:
        said.append(
            Note(
                "In {flat:.0%} of the comparisons with the reference's answers the reward is flat, so that better "
                "answers earn no more. Lower reward_scale.",
                flat=flat,
            )
        )
    if gradient == 0 and "samples_per_prompt" in knobs:
        said.append(
            Note(
                "No answer says any more which way to learn: the gradient is 0. Raise samples_per_prompt or "
                "temperature, or choose other prompts."
            )
        )
    return said


def _closer(knobs: Mapping[str, Any]) -> Note:
    """Return what holds the policy closer to its reference, by a knob that the recipe has."""
    if lower := next((name for name in HOLDS_BY_LESS if name in knobs), None):
        return Note("Lower {name}, or lower learning_rate.", name=lower)
    if higher := next((name for name in HOLDS_BY_MORE if name in knobs), None):
        return Note("Raise {name}, or lower learning_rate.", name=higher)
    return Note("Lower learning_rate.")


def _of_cost(above: float | None, multiplier: float | None, knobs: Mapping[str, Any]) -> list[Note]:
    """Return what is said of a mean cost above its limit: that λ may still rise, or that it can rise no more."""
    if above is None or above <= 0:
        return []
    fact = Note("The mean cost is {above:.2g} above its limit.", above=above)
    highest = knobs.get("multiplier_limit")
    if multiplier is not None and highest is not None and multiplier >= 0.99 * float(highest):
        infeasible = Note(
            "The weight λ of the cost stands at its highest, {highest:g}: no policy that this one comes to keeps the "
            "limit. Raise cost_limit, or teach it safe answers by supervised fine-tuning first.",
            highest=float(highest),
        )
        return [Note.together([fact, infeasible])]
    faster = next((name for name in ("multiplier_rate", "proportional") if name in knobs), None)
    if faster is None:
        return [Note.together([fact, Note("Give it more iterations.")])]
    return [Note.together([fact, Note("Give it more iterations, or raise {name}.", name=faster)])]
