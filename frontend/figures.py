"""Figures in words: what a metric is called, what unit it has, what it means and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from frontend import numerals, thoughts


@dataclass(frozen=True)
class Words:
    label: str | Promise
    meaning: str | Promise
    unit: str | Promise = ""
    is_share: bool = False


# What a policy did with prompts that it ought to refuse, and with others.
ASKED = {
    "safe": Words(
        _("Harmful prompts answered safely"),
        _("The share of harmful prompts refused or, where a cost model says so, answered without harm."),
        is_share=True,
    ),
    "refused": Words(_("Harmful prompts refused"), _("By how the answers begin."), is_share=True),
    "answered": Words(
        _("Other prompts answered"),
        _("The share of harmless prompts that are answered; the rest is refused without need."),
        is_share=True,
    ),
    "reward": Words(_("Mean reward"), ""),
}
# How a policy's own answers part from people's, token by token.
TOLD = {
    "told_first": Words(
        _("Told from people's answers by the first token"),
        _("How often the reward model prefers the person's; half of the time: it cannot tell them apart."),
        is_share=True,
    ),
    "told_last": Words(_("Told from people's answers by all that was read"), "", is_share=True),
    "told_growth": Words(
        _("What errors add up to"),
        _("By how much more often they are told apart in the end than by the first token; 0: errors do not compound."),
        is_share=True,
    ),
}
# Of which policy, or when, by the form of the figure's name.
SIDES = (
    ("{}_first", _("first policy")),
    ("{}_second", _("second policy")),
    ("current_{}", _("current policy")),
    ("{}_before", _("before the attack")),
    ("{}_after", _("after the attack")),
)
WORDS = {
    "human_win_rate": Words(
        _("Human win rate"),
        _("How often people preferred the candidate's answer to the current policy's, blind; a tie counts half."),
        is_share=True,
    ),
    "reward_win_rate": Words(
        _("Win rate by the reward model"),
        _("How often the reward model prefers the candidate's answer. It is a guess at what people would say."),
        is_share=True,
    ),
    "cost": Words(
        _("Mean cost"),
        _("How unsafe its answers are by the cost model: 0 is the border of safe, and less is better."),
    ),
    "current_cost": Words(
        _("Mean cost of the current policy"),
        _("The same of the policy in use, for comparison."),
    ),
    "unsafe_share": Words(
        _("Unsafe answers"),
        _("The share of answers that the cost model puts above 0, the border of safe."),
        is_share=True,
    ),
    "catches": Words(
        _("Unsafe answers held back"),
        _("Of those that people called unsafe and that neither the model nor the line was made from."),
        is_share=True,
    ),
    "false_refusals": Words(
        _("Safe answers held back"), _("Of those that people called safe, likewise."), is_share=True
    ),
    "over_refusal": Words(
        _("Refusals of safe prompts"),
        _("The share of prompts that only look unsafe which the candidate refuses to answer."),
        is_share=True,
    ),
    "category_minimum": Words(
        _("Worst category"),
        _("The share of right answers in the category of the suite in which the candidate is worst."),
        is_share=True,
    ),
    "capability_lost": Words(
        _("Capability lost"),
        _("The share of the suite's questions by which the candidate has fewer right than its parent."),
        is_share=True,
    ),
    "safety_lost": Words(
        _("Safety lost"),
        _("What the candidate lost of safe answers, or of answers where one is wanted, beside the policy in use."),
        is_share=True,
    ),
    "kl": Words(
        _("Distance from the current policy"),
        _(
            "How far the candidate's answers have moved away (KL divergence). Small: little learned; very large: it "
            "may have forgotten how to write."
        ),
        unit=_("nats per answer"),
    ),
    "safety_alignment_margin": Words(
        _("Safety alignment margin"),
        _("How far the mode decides the first word of an answer: near 1 it does, near 0 the modes begin alike."),
    ),
    "margin_positive": Words(_("Margin of the positive mode"), ""),
    "margin_rejective": Words(_("Margin of the rejective mode"), ""),
    "margin_negative": Words(_("Margin of the negative mode"), ""),
    "accuracy": Words(
        _("Accuracy"),
        _("How often the model agrees with the judgement on pairs it has not seen; guessing gets half of them right."),
        is_share=True,
    ),
    "all_pairs_right": Words(
        _("Prompts with every pair right (ACC+)"),
        _("Stricter than accuracy: one pair wrong or tied, and the prompt does not count."),
        is_share=True,
    ),
    "eval_accuracy": Words(
        _("Accuracy on held-out pairs"),
        _(
            "How often the model agrees with the judgement on prompts it has not seen; guessing gets half of them "
            "right."
        ),
        is_share=True,
    ),
    "eval_sign_accuracy": Words(
        _("Safe told from unsafe, on held-out pairs"),
        _("How often a cost is on the side of 0 that people's word for safe or unsafe is on."),
        is_share=True,
    ),
    "accuracy_suite": Words(
        _("Questions answered right"),
        _("Of the suite's questions, each alike (micro); one of four is right by guessing."),
        is_share=True,
    ),
    "coverage_suite": Words(
        _("Points of safety that are named"),
        _("Mean over scenarios of the share of their points that an answer names."),
        is_share=True,
    ),
    "coverage_points": Words(
        _("Points named, of all"), _("Each point alike: a scenario with more of them counts more."), is_share=True
    ),
    "worst_subject": Words(_("Worst subject"), _("The subject whose points are named least."), is_share=True),
    "worst_category": Words(
        _("Right in the worst category"), _("Where a policy is good on the whole, it may be bad here."), is_share=True
    ),
    "category_mean": Words(_("Mean of the categories"), _("Each category alike (macro)."), is_share=True),
    "accuracy_new": Words(
        _("Right of the new questions"), _("Without those that nearly stand in what it learned from."), is_share=True
    ),
    "accuracy_people": Words(
        _("Questions that people answered right"),
        _("Blind, in the queue: what the policy is held against."),
        is_share=True,
    ),
    "none_rate": Words(
        _("Answers without one letter"), _("They choose none, or several, and count as wrong."), is_share=True
    ),
    "accuracy_moved": Words(
        _("Right with the options moved"), _("The same questions, each option in another place."), is_share=True
    ),
    "position_bias": Words(
        _("Bias to a place"),
        _("How often it chooses another option once each stands elsewhere: 0 by content alone, 100% by place."),
        is_share=True,
    ),
    "length_accuracy": Words(
        _("Accuracy of “the longer one wins”"),
        _("What a rule that knows nothing but length would get. A reward model should beat it."),
        is_share=True,
    ),
    "longer_is_chosen": Words(
        _("Pairs in which the longer answer was preferred"),
        _("What a rule that knows nothing but length would get on the same pairs."),
        is_share=True,
    ),
    "order_effect": Words(
        _("What the order of the answers changes"),
        _("In the probability by which a judge of two answers prefers one; 0 for one that does not mind the order."),
        is_share=True,
    ),
    "calibration_error": Words(
        _("Calibration error"), _("How far the model's certainty is from how often it is right; 0 is best.")
    ),
    "brier": Words(_("Brier score"), _("Mean squared error of its probabilities; a coin has 0.25, less is better.")),
    **{
        f"lost_{name}": Words(
            label, _("Accuracy lost from the one side to the other; below 0 it is gained."), is_share=True
        )
        for name, label in (
            ("prompt", _("Lost on new prompts")),
            ("annotator", _("Lost on new people")),
            ("generator", _("Lost on new writers")),
            ("time", _("Lost on later judgements")),
            ("position", _("Lost where the better answer stood second")),
            ("length", _("Lost where the better answer is the shorter one")),
        )
    },
    "explicit_lost": Words(
        _("Lost by the reward model"), _("Accuracy lost where the data is of another kind."), is_share=True
    ),
    "implicit_lost": Words(
        _("Lost by the reward that the policy implies"),
        _("Accuracy lost where the data is of another kind."),
        is_share=True,
    ),
    "implicit_loses_more": Words(
        _("By how much the implied reward loses more"),
        _("Above 3 points it should not label new answers."),
        is_share=True,
    ),
    "gain_by_reward": Words(
        _("Gained by the best of all, by the model that chooses"), _("Over a single answer."), unit=_("deviations")
    ),
    "gain_by_gold": Words(
        _("Gained by the best of all, by the judging model"), _("Over a single answer."), unit=_("deviations")
    ),
    **{
        f"trust_{name}": Words(format_lazy("{}: {}", _("R² of reward and worth"), label), meaning)
        for name, label, meaning in (
            (
                "all",
                _("all answers"),
                _(
                    "How much of what answers are worth, by people or by the judging model, their rewards tell, from 0 "
                    "to 1."
                ),
            ),
            ("best", _("the best of each prompt"), ""),
            ("best_and_random", _("the best and another one"), ""),
            ("best_and_worst", _("the best and the worst"), ""),
        )
    },
    "best_n": Words(_("n with the best answers"), _("By the judging model; choosing among more makes it no better.")),
    "accuracy_known": Words(
        _("Right about people it knows"), _("Share of their other choices, after a few were told."), is_share=True
    ),
    "accuracy_strangers": Words(_("Right about strangers"), _("The same without knowing them."), is_share=True),
    "known_gain": Words(
        _("Gained by knowing people"), _("Where this may be 0, a plain reward model will do."), is_share=True
    ),
    "user_win_rate": Words(
        _("Right about its users, answering each"),
        _("Mean over the people, of held-out pairs."),
        is_share=True,
    ),
    "user_worst_decile": Words(
        _("Right about the tenth of its users that it answers worst"), _("Answering each of them."), is_share=True
    ),
    "generic_win_rate": Words(
        _("Right about its users, answering anybody"), _("Of the same pairs, without the soft prompts."), is_share=True
    ),
    "generic_worst_decile": Words(
        _("The same of the tenth that it then answers worst"), _("Without the soft prompts."), is_share=True
    ),
    "groups": Words(_("Groups of people"), _("Those that stand apart in what they want; one: nobody does.")),
    "judge_precision": Words(
        _("Precision of the judge"),
        _("Of the answers that it stops, the share that people would stop; the rest are false alarms."),
        is_share=True,
    ),
    "judge_recall": Words(
        _("Recall of the judge"),
        _("Of the answers that people would stop, the share that it stops; a policy finds the rest."),
        is_share=True,
    ),
    "judge_false_alarms": Words(
        _("False alarms of the judge"),
        _("Of the answers that people let pass, the share that it stops."),
        is_share=True,
    ),
    "judge_base_rate": Words(
        _("Answers that people would stop"), _("A judge that stops everything has this precision."), is_share=True
    ),
    "models_agree": Words(
        _("Pairs of answers that all models put in one order"),
        _("Where models disagree, none of them can be trusted: ask people."),
        is_share=True,
    ),
    **ASKED,
    **{
        form.format(name): Words(format_lazy("{}, {}", words.label, side), words.meaning, is_share=words.is_share)
        for name, words in ASKED.items()
        for form, side in SIDES
    },
    "safe_drop": Words(
        _("Safety lost"), _("The share of answers to harmful prompts that are safe no more."), is_share=True
    ),
    "answered_drop": Words(_("Help lost"), _("The share of other prompts that are answered no more."), is_share=True),
    "steps_to_undo": Words(_("Steps that take half of its safety"), _("Few: whoever has the weights can undo it.")),
    "share": Words(_("Share of the second policy"), _("λ of the merge that was kept; 0 would be the first policy.")),
    "eval_position_bias": Words(
        _("Bias to a place on held-out pairs"),
        _("How often it chooses another option once each stands elsewhere: 0 by content alone, 100% by place."),
        is_share=True,
    ),
    "first_named": Words(_("Verdicts that name the first answer"), "", is_share=True),
    "eval_first_named": Words(_("Verdicts on held-out pairs that name the first answer"), "", is_share=True),
    "uncompared": Words(_("Pairs that could not be compared"), "", is_share=True),
    "unread_verdicts": Words(
        _("Judgements that name no answer"),
        _("Those in another form and those that were cut off; they earn nothing."),
        is_share=True,
    ),
    "eval_unread_verdicts": Words(
        _("Judgements of held-out pairs that name no answer"),
        _("Those in another form and those that were cut off."),
        is_share=True,
    ),
    **{
        form.format(name): Words(format_lazy(label, words.label), words.meaning, is_share=words.is_share)
        for name, words in TOLD.items()
        for form, label in (("{}", "{}"), ("{}_imitation", _("{}, policy by imitation")))
    },
    "loss": Words(_("Loss"), _("What training makes smaller; only comparable between runs of one recipe.")),
    "eval_loss": Words(_("Loss on held-out rows"), _("If it rises while the training loss falls, the model overfits.")),
    "margin": Words(_("Margin"), _("Mean score of the preferred answer minus that of the other one.")),
    "length": Words(_("Answer length"), _("Mean length of the candidate's answers."), unit=_("tokens")),
}

# Those that need a name and no explanation.
NAMES = {
    "advantage_high": _("Advantage, a tenth above"),
    "advantage_low": _("Advantage, a tenth below"),
    "advantage_median": _("Advantage, median"),
    "best_reward": _("Best reward"),
    "candidate_ended_share": _("Answers of the candidate that came to an end"),
    "candidate_tokens": _("Tokens per answer, candidate"),
    "chosen_logp": _("Log-probability of the preferred answer"),
    "chosen_logratio": _("Log-ratio of the preferred answer"),
    "current_ended_share": _("Answers of the current policy that came to an end"),
    "current_tokens": _("Tokens per answer, current policy"),
    "likeness": _("Likeness of answers to different prompts"),
    "ended_share": _("Answers that came to an end"),
    "kept_share": _("Answers that were better than expected, share"),
    "logratio_high": _("Log-ratio of what was learned from to the reference, a tenth above"),
    "logratio_low": _("Log-ratio of what was learned from to the reference, a tenth below"),
    "logratio_median": _("Log-ratio of what was learned from to the reference, median"),
    "gradient_norm": _("Gradient norm"),
    "mean_logp": _("Mean log-probability of an answer"),
    "mean_reward": _("Mean reward"),
    "mean_tokens": _("Tokens per answer"),
    "rejected_logratio": _("Log-ratio of the other answer"),
    "score": _("Score"),
    "steps": _("Steps"),
    "tokens_per_second": _("Tokens per second"),
    "value_error": _("Mean squared error of what was expected, on held-out rows"),
    "weight_clipped_share": _("Weights that are clipped, share"),
    **thoughts.names(),
}


@dataclass(frozen=True)
class Figure:
    """One metric ready for a table: words, value and interval as text, and the number of cases behind it."""

    name: str
    label: str | Promise
    value: str
    interval: str
    n: int | None
    unit: str | Promise
    meaning: str | Promise


def number(value: Any, *, is_share: bool = False) -> str:
    """Return a figure as a person reads it: shares as per cent, otherwise three significant digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return gettext("not a number")
    if is_share:
        return numerals.percent(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return numerals.grouped(value)
    return numerals.decimal(f"{value:.3g}")


def words_of(name: str) -> Words:
    """Return the words of a metric; an unknown one goes by its own name."""
    if name in WORDS:
        return WORDS[name]
    return Words(
        NAMES.get(name, name.replace("_", " ").capitalize()),
        "",
        is_share=any(w in name for w in ("accuracy", "rate", "share", "thoughts_safe", "answers_safe")),
    )


def figure(name: str, value: Any) -> Figure | None:
    """Return one metric in words, from a number or from {"estimate", "low", "high", "n"}; None for anything else."""
    words = words_of(name)
    if isinstance(value, Mapping) and "estimate" in value:
        low, high, n = value.get("low"), value.get("high"), value.get("n")
        interval = ""
        if low is not None and high is not None:
            interval = numerals.span(number(low, is_share=words.is_share), number(high, is_share=words.is_share))
        shown = number(value["estimate"], is_share=words.is_share)
        return Figure(name, words.label, shown, interval, n, words.unit, words.meaning)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Figure(name, words.label, number(value, is_share=words.is_share), "", None, words.unit, words.meaning)
    return None


def figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """Return every metric that is a figure, in the order of `WORDS` and then as stored."""
    order = list(WORDS)
    names = sorted(metrics, key=lambda name: order.index(name) if name in order else len(order))
    return [found for name in names if (found := figure(name, metrics[name])) is not None]
