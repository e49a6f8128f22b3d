"""A reward out of demonstrations: what people wrote against what the policy writes now. Free of torch.

RLHF as online inverse reinforcement learning, arXiv:2310.06147, section 3: a discriminator between demonstrations and
the current policy's own samples is a reward, which the policy is then improved on, in turns. With the pairwise ranking
for its loss it is what SPIN (arXiv:2401.01335) does with an implicit reward; nobody has to compare answers. A reward
that tells every sample from every demonstration has nothing more to teach: draw anew from the improved policy before
its accuracy comes to 1.

``python -m training.core.imitation demonstrations.jsonl samples.jsonl out.jsonl`` puts the answers of a run of the kind
`sample` beside the demonstrations of the same prompts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from training.core.records import Demonstration, Pair, Tally, messages_of, prompt_hash


def against_samples(
    records: Sequence[tuple[int, Demonstration]], tally: Tally, *, samples: int
) -> list[tuple[int, Pair]]:
    """Return each demonstration as preferred to each of the first `samples` answers of the policy beside it.

    An answer of the same words is left out: it is as good as the demonstration.
    """
    kept = []
    for line, record in records:
        others = [text for text in dict.fromkeys(record.samples) if text.strip() != record.completion.strip()]
        if not others:
            tally.refuse("no_samples", line)
        for text in others[:samples]:
            pair = Pair(record.prompt, record.completion, text, audit=record.audit, domain=record.domain)
            kept.append((line, pair))
    return kept


def beside(demonstrations: Iterable[dict[str, Any]], sampled: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of demonstrations with `samples`: the answers that a sample run drew for the same prompt."""
    answers: dict[str, list[str]] = {}
    for row in sampled:
        texts = [answer["text"] for answer in row["completions"]]
        answers.setdefault(prompt_hash(messages_of(row["prompt"])), []).extend(texts)
    return [{**row, "samples": answers.get(prompt_hash(messages_of(row["prompt"])), [])} for row in demonstrations]


def _lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def main(demonstrations: str, sampled: str, out: str) -> None:
    rows = beside(_lines(demonstrations), _lines(sampled))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(out).write_text(text, encoding="utf-8")
    found = sum(bool(row["samples"]) for row in rows)
    sys.stdout.write(f"{found} of {len(rows)} demonstrations have answers beside them: {out}\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("Give three files: demonstrations, the samples.jsonl of a sample run, and the one to write.")
    main(*sys.argv[1:])
