"""The recipe that branches dialogues on policy: the data step of REFUEL."""

from __future__ import annotations

from training.recipes.base import Recipe, knob, part
from training.recipes.principles import HELP as PRINCIPLES_HELP

NAME = "refuel-rollouts"
PAIRS = "pairs"  # under which name a run leaves the rows that `refuel` learns from
LAST, SUM = "last", "sum"


@part("sample", "branched-rollouts", target="training.core.branching:run_rollouts")
class BranchedRollouts:
    """Two ways to go on from one turn of a dialogue, each rolled to the end and scored. arXiv:2410.04612."""

    scorers = ("reward",)
    may_stand_beside = ("simulator",)
    turns: int = knob(2, "turns of the assistant in a dialogue, at most; 1 compares single answers", low=1, high=32)
    rows_per_prompt: int = knob(
        1, "dialogues begun from each prompt, each branched at a turn of its own", low=1, high=64
    )
    user_turns: str = knob(
        "", "where no policy plays the user: what it says after the prompt's own turns; several with semicolons"
    )
    outcome: str = knob(
        LAST, "worth of a dialogue: the reward of its last answer, or the sum from the branch on", choices=(LAST, SUM)
    )
    temperature: float = knob(1.0, "sampling temperature of the policy and of who plays the user", low=0.05, high=5.0)
    max_new_tokens: int = knob(256, "longest answer, in tokens", low=1, high=8192)
    user_max_new_tokens: int = knob(
        128, "longest turn of a user whom a policy plays, in tokens", low=1, high=8192, advanced=True
    )
    instruction: str = knob(
        "You play the user of an assistant. Write what the user says next.",
        "what the policy that plays the user is told first; empty where it was trained to",
        advanced=True,
    )
    principles: str = knob("", PRINCIPLES_HELP, advanced=True)
    rows_at_once: int = knob(
        64, "completions decoded side by side; lower it when memory runs out", low=1, advanced=True
    )


ROLLOUTS = Recipe(
    NAME,
    title="Branched rollouts",
    summary="Branches dialogues at a turn, rolls both ways to the end and scores them: the pairs that refuel reads.",
    kind="sample",
    view="prompts",
    parts=(BranchedRollouts(),),
    source="arXiv:2410.04612",
    starts="policy",
)
