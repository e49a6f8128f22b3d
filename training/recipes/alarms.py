"""Signs of a run on a policy's own answers that goes wrong, in sentences that say what to try. Of its figures alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from training.recipes.note import Note


def alarms(lines: Sequence[dict[str, Any]]) -> list[Note]:
    """Return a sentence for each sign of a run that went wrong, with what to try; the thresholds are ours.

    Signs after "Secrets of RLHF", arXiv:2307.04964, section 5.2: a policy that collapses is seen in KL, entropy and
    length long before it is seen in the reward.
    """
    tail = lines[-max(1, len(lines) // 5) :]

    def late(name: str) -> float | None:
        values = [line[name] for line in tail if name in line]
        return fmean(values) if values else None

    said = []
    first = lines[0].get("entropy") if lines else None
    entropy, alike, clip = late("entropy"), late("groups_alike"), late("clip_share")
    explained, ended, kl = late("explained_variance"), late("ended_share"), late("kl_per_token")
    if first and entropy is not None and entropy < 0.1 * first:
        said.append(
            Note(
                "The policy has almost stopped varying: {entropy:.2f} nats per token, {first:.2f} at the "
                "start. Raise kl, or lower learning_rate.",
                entropy=entropy,
                first=first,
            )
        )
    if kl is not None and kl > 1.0:
        said.append(
            Note(
                "The policy is {kl:.1f} nats per token from its reference, where a reward model knows "
                "little. Raise kl.",
                kl=kl,
            )
        )
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
    above = late("cost_above_limit")
    if above is not None and above > 0:
        said.append(
            Note(
                "The mean cost is {above:.2g} above its limit. Give it more iterations, or raise "
                "multiplier_rate or proportional; a limit may also be out of this policy's reach.",
                above=above,
            )
        )
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
    return said
