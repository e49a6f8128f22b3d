"""Answers that are known to be good, against which a pairwise judge may hold a policy's. Standard library only.

arXiv:2504.04950 holds them against a known good answer. The names are values of the setting `judge_against` and, of
rows of prompts, columns: a file of prompts carries the anchors, and only the judge reads them.
"""

from __future__ import annotations

from training.recipes.note import Note

ANCHORS = {
    "chosen": "the answer to the prompt that most judgements preferred, less those that preferred another to it",
    "edit": "the newest answer to the prompt that a person wrote or corrected",
}
# What a run says of prompts without one, by the setting.
MISSING = {
    "chosen": Note("have no answer that people preferred, which the judge would hold theirs against"),
    "edit": Note("have no answer that a person wrote, which the judge would hold theirs against"),
}
