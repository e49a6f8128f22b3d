"""Principles: how an answer is asked about one, and which judgements several people agree on. Free of torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from training.core.conversation import apart, with_images
from training.core.records import Judged, Message, Tally, prompt_hash

# As in the authors' model card (arXiv:2509.21319).
QUESTION = (
    "Evaluate the response to the previous prompt in terms of whether it satisfies this principle: {principle}. "
    "Only answer Yes or No."
)


def asked(prompt: Sequence[Message], completion: str, principle: str) -> list[Message]:
    """Return the conversation at whose end a model says Yes or No."""
    question = QUESTION.format(principle=principle.strip().rstrip("."))
    spoken, images = apart(prompt)
    said = [*spoken, {"role": "assistant", "content": completion}, {"role": "user", "content": question}]
    return with_images(said, images)


def consensus(records: Sequence[tuple[int, Judged]], tally: Tally, *, min_annotators: int) -> list[tuple[int, Judged]]:
    """Return the judgements on which all who judged the answer agree; with `min_annotators` 0 all that there are.

    arXiv:2509.21319: a principle is kept when every other annotator of the same answer has it too; whether they also
    have to say the same of it is not told there, and here they have to. Two principles are the same by name: the
    library, in which people merge what means the same, is what the paper's embeddings with cosine above 0.8 are for.
    An answer judged by fewer than `min_annotators` people has no consensus. One judgement of the agreeing is kept.
    """
    if not min_annotators:
        return list(records)
    people: dict[object, set[str]] = defaultdict(set)
    said: dict[object, dict[str, float]] = defaultdict(dict)
    for _, record in records:
        answer = (prompt_hash(record.prompt), record.completion)
        people[answer].add(record.annotator)
        said[answer, _key(record.principle)].setdefault(record.annotator, record.label)
    kept, seen = [], set()
    for line, record in records:
        answer = (prompt_hash(record.prompt), record.completion)
        judged = said[answer, _key(record.principle)]
        agreed = (
            len(people[answer]) >= min_annotators and set(judged) == people[answer] and len(set(judged.values())) == 1
        )
        if not agreed:
            tally.refuse("no_consensus", line)
        elif (answer, _key(record.principle)) in seen:
            tally.refuse("repeated", line)
        else:
            seen.add((answer, _key(record.principle)))
            kept.append((line, record))
    return kept


def _key(principle: str) -> str:
    return " ".join(principle.lower().split())
