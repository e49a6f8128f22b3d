"""The notes of a run in the reader's language: what the learning core wrote is found again among known sentences.

The core knows no catalogue; its notes are English, and are kept so in files and exports. A sentence that is not listed
here is shown as it was written.
"""

from __future__ import annotations

import re

from django.utils import translation
from django.utils.translation import gettext_noop as _

# Why rows were left out, as `training.core.records.REASONS` says it; each ends the sentence below.
REASONS = (
    _("do not have the columns of their view"),
    _("are about several turns at once; only single answers can be learned from"),
    _("have an empty prompt or completion"),
    _("compare a completion with itself"),
    _("have a completion that does not fit into max_length"),
    _("have the model's end-of-turn token inside a completion"),
    _("have images where this recipe or this model reads text alone"),
    _("have an image whose file is not there or cannot be opened"),
    _("have no label that can be learned from"),
    _("are judgements that not everybody who judged the answer agrees with"),
    _("say what another row says already"),
    _("have no other answer to the same prompt beside them that was given more or fewer points"),
    _("have answers that are no correction of each other, so that there is nothing to rewrite"),
    _("have no answers of the policy beside them that say something else"),
    _("have an answer that the reward model cannot read"),
    _("have no reasoning that comes to what the person said"),
    _("count nothing by the weight of who judged them"),
    _("belong to the audit slice, which is never trained on"),
)
# Why prompts were left out, as `training.core.prompts` says it.
PROMPTS = (
    _("have no prompt that can be read"),
    _("are empty"),
    _("have images, which the policy does not see"),
    _("leave no room for an answer"),
)
SENTENCES = (
    # Translators: {why} is one of the clauses that begin "do not have the columns of their view".
    _("{n} rows were left out because they {why} (lines {lines})."),
    # Translators: {why} is one of the clauses that begin "have no prompt that can be read".
    _("{n} prompts were left out because they {why} (line {lines})."),
    _("{n} prompts were cut on the left so that prompt and completion fit into max_length."),
    _("No rows were held out, so nothing was measured on prompts that training did not see."),
    _("max_length is {longest} instead of {wanted}: the model reads no more."),
    _(
        "Training ended after {step} of {n} steps: in {patience} measurements in a row the loss on held-out rows was "
        "not lower than before."
    ),
    _("The device's memory was full, so micro_batch is {n} from now on."),
    _(
        "The tokenizer has no chat template, so conversations are written as plain text: Human: … Assistant: …. "
        "For a model that was trained on another form, put its chat_template into tokenizer_config.json."
    ),
    _("For {n} prompts all answers were the same, so there is no pair to ask about."),
    _("{n} of {of} answers were cut off at max_new_tokens. Raise it, or check that the model ends its turns."),
    _("For {n} prompts the pair is random, because there were no scores that differ to choose it by {selection}."),
    _("For {n} prompts the reward model could not read an answer; they are not in the win rate."),
    _("The guard held {n} prompts back, and nothing was drawn for them."),
    _(
        "The guard held {n} of {of} answers back; they were drawn anew, so the answers that are shown are the policy's "
        "given that they pass."
    ),
    _("For {n} prompts too few answers passed, so they are not shown."),
    _("{n} times the guard could say nothing, and blocked."),
)


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(sentence)))


_PATTERNS = tuple((sentence, _pattern(sentence)) for sentence in SENTENCES)
_CLAUSES = frozenset((*REASONS, *PROMPTS))


def in_words(note: str) -> str:
    """Return a note in the language that is active."""
    for sentence, pattern in _PATTERNS:
        if found := pattern.fullmatch(note):
            shown = found.groupdict()
            if shown.get("why") in _CLAUSES:
                shown["why"] = translation.gettext(shown["why"])
            return translation.gettext(sentence).format(**shown)
    return note
