"""Records → token ids → batches: the chat template, the end of a turn, truncation.

A prompt is rendered by the tokenizer's chat template with the opening of an assistant turn; a completion is its own
tokens after that and exactly one end token, which is how it stands when it is sampled. Joining the two texts before
tokenizing could merge the last token of the one with the first of the other, and training would see a prompt that
sampling never does.
"""

from training.core.collate.batches import (
    COLLATE,
    Collate,
    collate_demonstrations,
    collate_labelled,
    collate_outcomes,
    collate_pairs,
    collate_people,
    collate_rankings,
    pad,
)
from training.core.collate.examples import (
    Encoded,
    Example,
    encode,
    identity_of,
)
from training.core.collate.profile import informed, quoted
from training.core.collate.turns import (
    PROBE,
    Turn,
    encode_answer,
    encode_completion,
    encode_conversation,
    encode_prompt,
    encode_shown,
    turn_of,
)

__all__ = [
    "COLLATE",
    "PROBE",
    "Collate",
    "Encoded",
    "Example",
    "Turn",
    "collate_demonstrations",
    "collate_labelled",
    "collate_outcomes",
    "collate_pairs",
    "collate_people",
    "collate_rankings",
    "encode",
    "encode_answer",
    "encode_completion",
    "encode_conversation",
    "encode_prompt",
    "encode_shown",
    "identity_of",
    "informed",
    "pad",
    "quoted",
    "turn_of",
]
