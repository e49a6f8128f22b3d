"""Which system prompt for which question, from a log of what worked, without asking the model again.

Prompt-OIRL (arXiv:2309.06553; told in arXiv:2310.06147, section 4): a log of (question, prompt, score) teaches a reward
of (question, prompt), and for a new question the prompt of the highest one is taken. The authors fit gradient-boosted
trees on embeddings; here it is one logistic regression a prompt on TF-IDF of words, or on vectors that are given: a log
has holes, and a prompt that was not tried on a question simply has no row.

``python -m training.core.prompt_choice log.jsonl questions.jsonl``: rows of the log are {"question", "prompt", "score"}
with a score from 0 to 1; the questions have {"question"}, and come back with the prompt and what it promises.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from training.core.job import RunError
from training.recipes.note import Note


class PromptChooser:
    """A reward of (question, prompt), and the best prompt for a question."""

    def __init__(self, *, strength: float = 1.0) -> None:
        """`strength` is the inverse of the ridge penalty; lower for short logs."""
        self.strength = strength
        self.prompts: list[str] = []
        self._fitted: list[LogisticRegression | float] = []

    def fit(self, questions: Any, prompts: Sequence[str], scores: Sequence[float]) -> PromptChooser:
        """Learn from N rows of a log: vectors (N, D), names of prompts, and scores from 0 to 1.

        A score of 0.3 counts as three tenths of a success. Rows of one question have to be on one side of a split that
        is measured on: a prompt is to be judged on questions for which it was never tried.
        """
        given = np.asarray(scores, dtype=float)
        if len(given) == 0 or not ((given >= 0) & (given <= 1)).all():
            raise RunError(Note("A log needs rows, with scores from 0 to 1."))
        names = np.asarray(prompts)
        self.prompts = sorted(set(prompts))
        for prompt in self.prompts:
            rows = np.flatnonzero(names == prompt)
            share = float(given[rows].mean())
            if share in (0.0, 1.0):  # nothing to tell apart
                self._fitted.append(share)
                continue
            some = questions[rows]
            twice = _stacked(some)
            labels = np.repeat([1, 0], len(rows))
            weights = np.concatenate([given[rows], 1 - given[rows]])
            self._fitted.append(LogisticRegression(C=self.strength, max_iter=1000).fit(twice, labels, weights))
        return self

    def promise(self, questions: Any) -> np.ndarray:
        """Return the expected score of each prompt for each question, (N, D) → (N, P), in the order of `prompts`."""
        columns = [
            np.full(questions.shape[0], one) if isinstance(one, float) else one.predict_proba(questions)[:, 1]
            for one in self._fitted
        ]
        return np.stack(columns, 1)

    def choose(self, questions: Any) -> list[str]:
        """Return the prompt that promises most for each question."""
        return [self.prompts[i] for i in self.promise(questions).argmax(1)]


def _stacked(rows: Any) -> Any:
    if isinstance(rows, np.ndarray):
        return np.concatenate([rows, rows])
    from scipy.sparse import vstack  # comes with scikit-learn

    return vstack([rows, rows])


def _lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def main(log: str, questions: str) -> None:
    rows, asked = _lines(log), _lines(questions)
    words = TfidfVectorizer(sublinear_tf=True)
    known = words.fit_transform([row["question"] for row in rows])
    chooser = PromptChooser().fit(known, [row["prompt"] for row in rows], [row["score"] for row in rows])
    promises = chooser.promise(words.transform([row["question"] for row in asked]))
    for row, promise in zip(asked, promises, strict=True):
        best = int(promise.argmax())
        told = {"question": row["question"], "prompt": chooser.prompts[best], "promise": round(float(promise[best]), 4)}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Give two files: the log, and the questions to choose prompts for.")
    main(*sys.argv[1:])
