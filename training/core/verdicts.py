"""A judge that learns from its own judgements: what it is asked, and a reward for saying what the person said.

Think-RM's second step, arXiv:2505.16265: rewards by rule, 1 for the right verdict and 0 for another or for none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from transformers import PreTrainedTokenizerBase

from training.core.collate import encode_prompt
from training.core.judging import VERDICTS, question, verdict
from training.core.prompts import Prompt
from training.core.records import Message, Pair, Record, Tally, canonical, prompt_hash
from training.core.scorers import Columns, Scorer


def asked_pairs(
    records: Sequence[tuple[int, Record]],
    tokenizer: PreTrainedTokenizerBase,
    tally: Tally,
    longest: int | None,
    *,
    ask_orders: str,
) -> tuple[list[Prompt], Scorer]:
    """Return what a judge is asked about each pair, and the scorer that knows what people said of it.

    In `both` orders, so that always naming the first answer is right half of the time and teaches nothing; or only in
    the one in which the person saw it. All questions about one prompt are held out together.
    """
    prompts, right, pairs = [], {}, {}
    for line, pair in records:
        assert isinstance(pair, Pair)
        for chosen_first in (True, False) if ask_orders == "both" else (pair.chosen_first,):
            both = (pair.chosen, pair.rejected) if chosen_first else (pair.rejected, pair.chosen)
            messages = question(pair.prompt, *both, reasoned=True)
            ids = encode_prompt(tokenizer, messages)
            if longest is not None and len(ids) > longest:
                tally.refuse("too_long", line)
                break
            right[canonical(messages)], pairs[canonical(messages)] = VERDICTS[not chosen_first], line
            about = prompt_hash(pair.prompt)
            prompts.append(Prompt(f"{line} {chosen_first}", messages, ids, domain=pair.domain, about=about))
    return prompts, Agreement(right, pairs)


class Agreement:
    """1 for the verdict that the person gave, 0 for the other one and for none: thoughts that are cut off earn nothing.

    Where people were of two minds about the same question, the one who was read last is right. `pairs` says which
    questions are about one pair.
    """

    def __init__(self, right: Mapping[str, str], pairs: Mapping[str, int]) -> None:
        self.right = right
        self.pairs = pairs

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        return self.columns(prompts, texts).score

    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return the one column there is."""
        both = zip(prompts, texts, strict=True)
        scores = [float(verdict(text) == self.right[canonical(messages)]) for messages, text in both]
        return Columns(("agreement",), [[score] for score in scores], [None] * len(texts), list(scores))

    def figures(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> dict[str, float]:
        """Return how often judgements name no answer, how often the others name the first one, and the position bias.

        That is how often two judgements of one pair, one in each order, name the same place: 1 for a judge that always
        does, 0 for one that does not mind the order. It is not told where no pair was read in both.
        """
        said = [verdict(text) for text in texts]
        told = {"unread_verdicts": said.count(None) / len(said)}
        if read := len(said) - said.count(None):
            told["first_named"] = said.count(VERDICTS[0]) / read
        orders: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        for messages, named in zip(prompts, said, strict=True):
            if named is not None:
                asked = canonical(messages)
                orders[self.pairs[asked]][self.right[asked]].append(named == VERDICTS[0])
        both = [[fmean(named) for named in of_pair.values()] for of_pair in orders.values() if len(of_pair) == 2]
        if both:
            told["position_bias"] = fmean(p * q + (1 - p) * (1 - q) for p, q in both)
        return told
