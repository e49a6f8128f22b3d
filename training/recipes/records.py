"""Parts: what is made of a data set's rows before a model reads them."""

from __future__ import annotations

from typing import ClassVar

from training.recipes.base import knob, part


@part("records", "criticised-pairs", target="training.core.critiques:criticised_pairs")
class CriticisedPairs:
    """Pairs out of single answers with a critique and points each. arXiv:2502.10391."""

    gives: ClassVar[str] = "criticised_pairs"
    one_person: bool = knob(True, "pair answers only by the points of one and the same person")


@part("records", "compared", target="training.core.judging:compared")
class Compared:
    """Pairs read as one text, in both orders or as people saw them. arXiv:2504.04950."""

    gives: ClassVar[str] = "comparisons"
    orders: str = knob(
        "both",
        "learn from a pair in both orders, or only in the one in which it was seen, with people's own leaning",
        choices=("both", "as_seen"),
    )


@part("records", "traced", target="training.core.judging:traced")
class Traced:
    """Reasoning about pairs that comes to what the person said. arXiv:2505.16265."""

    gives: ClassVar[str] = "demonstrations"
    traces: str = knob(
        "longest", "which of a pair's right traces are imitated: the longest, or all", choices=("longest", "all")
    )
    thoughts: bool = knob(True, "imitate the thoughts too; without them the judge only names the better answer")


@part("records", "asked-pairs", target="training.core.verdicts:asked_pairs")
class AskedPairs:
    """Pairs as questions to a judge, with what people said as the right verdict. arXiv:2505.16265."""

    gives: ClassVar[str] = "prompts"
    supplies: ClassVar[tuple[str, ...]] = ("reward",)
    ask_orders: str = knob(
        "both", "ask about a pair in both orders, or only in the one in which it was seen", choices=("both", "as_seen")
    )


@part("records", "against-samples", target="training.core.imitation:against_samples")
class AgainstSamples:
    """Demonstrations, each preferred to what the policy answers now. arXiv:2310.06147, section 3."""

    gives: ClassVar[str] = "pairs"
    samples: int = knob(4, "answers of the policy that each demonstration is held against", low=1, high=64)


@part("records", "rewrites", target="training.core.rewriting:rewrites")
class Rewrites:
    """Rejected answers to be rewritten into chosen ones, and chosen ones to be left alone. arXiv:2409.00162."""

    gives: ClassVar[str] = "demonstrations"
    identity: bool = knob(True, "learn to leave a good answer as it is; without it every answer is changed")
    most_changed: float = knob(
        1.0, "share of words by which the two answers of a pair may differ; 1 takes every pair", low=0.0, high=1.0
    )


@part("records", "modes", target="training.core.modes:switched")
class Modes:
    """Answers in several behaviours, each behind a key of its own, from labels of what is safe. arXiv:2508.14904."""

    gives: ClassVar[str] = "demonstrations"
    keyed: ClassVar[bool] = True
    refusal: str = knob("I cannot help with that.", "what the rejective mode answers")
    fallback: bool = knob(True, "answer safely without a key and behind a wrong one too; else anything may come")
    negative: bool = knob(False, "learn the unsafe answers too, behind a key; for red teams only")


@part("records", "priorities", target="training.core.priorities:hierarchical")
class Priorities:
    """Pairs out of ratings, by the order in which the attributes matter. HERON, arXiv:2309.02632."""

    gives: ClassVar[str] = "pairs"
    priorities: str = knob("", "attributes, the most important first, with a minus where less is better; empty: a to z")
    margins: str = knob("0, 0.5", "gap that is still a tie, in standard deviations, one a level; the last one goes on")


@part("records", "consensus", target="training.core.principles:consensus")
class Consensus:
    """Judgements that everybody who judged the answer agrees with. arXiv:2509.21319."""

    gives: ClassVar[str] = "principles"
    min_annotators: int = knob(
        0, "people who have to have judged an answer and agree; 0 takes every judgement", low=0, high=100
    )
