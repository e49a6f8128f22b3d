"""Why a row is not learned from, and how many rows that befell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from training.recipes.note import Note


class Refused(Exception):
    """One row is not used; the reason is a key of `REASONS`."""


REASONS = {
    "malformed": Note("do not have the columns of their view"),
    "several_turns": Note(
        "are whole dialogues; refuel alone learns from these, by the turn where the two of a pair part"
    ),
    "empty": Note("have an empty prompt or completion"),
    "identical": Note("compare a completion with itself"),
    "too_long": Note("have a completion that does not fit into max_length"),
    "ends_inside": Note("have the model's end-of-turn token inside a completion"),
    "images": Note("have images where this recipe or this model reads text alone"),
    "no_image": Note("have an image whose file is not there or cannot be opened"),
    "unlabelled": Note("have no label that can be learned from"),
    "no_consensus": Note("are judgements that not everybody who judged the answer agrees with"),
    "repeated": Note("say what another row says already"),
    "no_rival": Note("have no other answer to the same prompt beside them that was given more or fewer points"),
    "unlike": Note("have answers that are no correction of each other, so that there is nothing to rewrite"),
    "no_samples": Note("have no answers of the policy beside them that say something else"),
    "unscored": Note("have an answer that the reward model cannot read"),
    "no_trace": Note("have no reasoning that comes to what the person said"),
    "too_many": Note("rank more answers to one prompt than 10"),
    "weightless": Note("count nothing by the weight of who judged them"),
    "audit": Note("belong to the audit slice, which is never trained on"),
}


@dataclass
class Tally:
    """Counts of what became of the rows, and the sentences a person reads about them."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)  # reason → the first few line numbers

    def refuse(self, reason: str, line: int) -> None:
        self.counts[f"refused_{reason}"] += 1
        lines = self.examples.setdefault(reason, [])
        if len(lines) < 5:
            lines.append(line)

    def notes(self) -> list[Note]:
        """Return one sentence for each reason for which rows were refused or shortened."""
        said = []
        for reason, meaning in REASONS.items():
            count = self.counts[f"refused_{reason}"]
            if count:
                where = ", ".join(map(str, self.examples[reason]))
                said.append(
                    # Translators: {why} is one of the clauses that begin "do not have the columns of their view".
                    Note(
                        "{n} rows were left out because they {why} (lines {lines}).",
                        n=count,
                        why=meaning,
                        lines=where + _more(count),
                    )
                )
        if self.counts["truncated"]:
            said.append(
                Note(
                    "{n} prompts were cut on the left so that prompt and completion fit into max_length.",
                    n=self.counts["truncated"],
                )
            )
        if self.counts["profile_cut"]:
            said.append(
                Note(
                    "Of {n} rows what the person says of their wishes was cut to profile_tokens.",
                    n=self.counts["profile_cut"],
                )
            )
        if self.counts["profile_left_out"]:
            said.append(
                Note(
                    "{n} rows were learned from without what the person says of their wishes, which did not fit into "
                    "max_length beside the prompt.",
                    n=self.counts["profile_left_out"],
                )
            )
        return said


def _more(count: int) -> str:
    return ", …" if count > 5 else ""
