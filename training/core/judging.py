"""Judging two answers by reading both: what a judge is asked, and how its verdict is read. Free of torch.

A judge that reasons (Think-RM, arXiv:2505.16265) thinks aloud and then names the better answer; a pairwise reward model
(Pairwise-RL, arXiv:2504.04950) names it at once. The authors' code of the former (IlgeeHong/Think-RM) asks by six
criteria and reads the last ``<answer>``; the words here are ours. The latter's equations could not be read, so the
template is ours as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.core.conversation import apart, with_images
from training.core.records import Comparison, Demonstration, Message, Pair, Tally

VERDICTS = ("A", "B")  # first and second answer
CRITERIA = "helpfulness, correctness, coherence, complexity, verbosity and safety"
REASONED = (
    "Compare the two answers by {criteria}. Think about it inside <think> and </think>, then name the better one "
    "inside <answer> and </answer>: A or B."
)
AT_ONCE = "Which answer is better? Only answer A or B."
ANSWER = re.compile(r"<answer>\s*([AB])\s*</answer>")
SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


def question(prompt: Sequence[Message], first: str, second: str, *, reasoned: bool) -> list[Message]:
    """Return the conversation at whose end a judge names the better of two answers, A the first and B the second.

    The conversation that is judged is quoted inside one turn: as turns of its own it would ask the judge to go on.
    """
    spoken, images = apart(prompt)
    told = "\n\n".join(f"{SPEAKERS[message['role']]}: {message['content']}" for message in spoken)
    asked = REASONED.format(criteria=CRITERIA) if reasoned else AT_ONCE
    words = f"{told}\n\nAnswer A: {first}\n\nAnswer B: {second}\n\n{asked}"
    return with_images([{"role": "user", "content": words}], images)


def verdict(text: str) -> str | None:
    """Return A or B as the last ``<answer>`` of a judgement says, or None where it cannot be read.

    What stands inside the thoughts is none, whether they came to an end or not: a judge may weigh an answer there that
    it does not give.
    """
    said = text.rpartition("</think>")[2]
    found = [] if "<think>" in said else ANSWER.findall(said)
    return found[-1] if found else None


def traced(
    records: Sequence[tuple[int, Pair]], tally: Tally, *, traces: str, thoughts: bool
) -> list[tuple[int, Demonstration]]:
    """Return the judgements to imitate: those traces of each pair that come to what the person said.

    arXiv:2505.16265, the warm-up: traces are sampled from a model that reasons, kept when their verdict is the
    person's, and of several the longest one is taken (the authors' data set says "max"). With `traces` "all" each is
    one. Without `thoughts` only the verdict is imitated, which makes a judge that does not reason. A trace names which
    of the two answers it calls A.
    """
    kept = []
    for line, pair in records:
        right = []
        for text, chosen_first in pair.traces:
            if verdict(text) == VERDICTS[not chosen_first]:
                right.append((text, chosen_first))
        if not right:
            tally.refuse("no_trace", line)
            continue
        if traces == "longest":
            right = [max(right, key=lambda trace: len(trace[0]))]
        for text, chosen_first in right:
            both = (pair.chosen, pair.rejected) if chosen_first else (pair.rejected, pair.chosen)
            asked = question(pair.prompt, *both, reasoned=True)
            said = text if thoughts else f"<answer>{VERDICTS[not chosen_first]}</answer>"
            kept.append((line, Demonstration(asked, said, audit=pair.audit, domain=pair.domain)))
    return kept


def compared(records: Sequence[tuple[int, Pair]], tally: Tally, *, orders: str) -> list[tuple[int, Comparison]]:
    """Return what a pairwise model learns from: each pair in both orders, or only in the one in which it was seen."""
    return [(line, Comparison(**vars(pair), both=orders == "both")) for line, pair in records]
