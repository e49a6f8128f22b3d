"""What a lead should do next, in one sentence with one button."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from annotation.feedback import kind
from annotation.models import Campaign
from annotation.progress import Progress
from training.models import Loop, Round


@dataclass(frozen=True)
class NextStep:
    text: str
    label: str = ""
    url: str = ""
    action: str = ""  # given: the button posts it instead of following the link

    @property
    def method(self) -> str:
        return "post" if self.action else "get"


def of_campaign(
    campaign: Campaign, progress: Progress, *, lead: bool, annotators: int, round: Round | None
) -> NextStep:
    """Return the next step of a campaign from its state, its items and its people."""

    def url(name: str) -> str:
        return reverse(name, args=[campaign.pk])

    left = progress.tasks - progress.complete
    if campaign.state == Campaign.State.CLOSED:
        return NextStep(
            "The campaign is closed and keeps everything it has. Export the judgements, or train on them.",
            "Export",
            url("campaign-export"),
        )
    if round is not None and round.state == Round.State.STALLED:
        return NextStep(
            f"Round {round.index} of the loop has stalled and needs a decision.",
            "Look at the loop",
            url("loop"),
        )
    if progress.tasks == 0:
        return NextStep(
            "There is nothing to judge yet. Import prompts with two answers each, or start a loop that writes them."
            if kind(campaign.kind).compares
            else "There is nothing to judge yet. Import prompts with their answers.",
            "Import items",
            url("campaign-import"),
        )
    if annotators == 0 and lead:
        return NextStep(
            f"{progress.tasks} items wait, and nobody but you can judge them. Add the people who will.",
            "Add people",
            url("campaign-people"),
        )
    if campaign.state in (Campaign.State.DRAFT, Campaign.State.PAUSED):
        again = "Open the campaign" if campaign.state == Campaign.State.DRAFT else "Open it again"
        if not lead:
            return NextStep("Nobody is given items until the lead opens the campaign.")
        return NextStep(
            f"{left} items wait, and nobody is given one until the campaign is open.",
            again,
            url("campaign-state"),
            "open",
        )
    if left > 0:
        text = f"People are judging: {left} of {progress.tasks} items are left. Nothing needs you now."
        if progress.judgements:
            text += " You can export or train on what is there at any time."
        return NextStep(text)
    if round is not None:
        return NextStep(
            f"Every item is judged. Round {round.index} of the loop goes on by itself.", "Watch the loop", url("loop")
        )
    if not kind(campaign.kind).compares:
        return NextStep(
            "Every item is judged. Export the judgements, or import more items.", "Export", url("campaign-export")
        )
    return NextStep(
        "Every item is judged. Train a reward model on the judgements, or import more items.",
        "Start a run",
        url("runs"),
    )


def of_round(loop: Loop, round: Round | None, *, judged: int, wanted: int, failed: str) -> str:
    """Return, in a sentence, what happens in a loop now and what the lead can do."""
    if loop.state == Loop.State.PAUSED and round is not None and not round.is_final:
        return f"The loop is paused in round {round.index}. Nothing moves until you resume it."
    if round is None:
        return "No round has run yet. Start the first: the policy answers prompts, and people judge the answers."
    match round.state:
        case Round.State.DRAFTING:
            return "Prompts are being chosen. This takes a moment."
        case Round.State.SAMPLING:
            return "The current policy is writing answers. People get them as soon as all are written."
        case Round.State.LABELLING:
            return (
                f"{judged} of {wanted} pairs are judged. Training starts by itself when all are; you can also start "
                "it now with what is there."
            )
        case Round.State.FREEZING:
            return "The judgements of this round are being frozen into a file that training reads."
        case Round.State.TRAINING:
            return "A new policy is learning from the judgements. You can watch the run; nothing needs you."
        case Round.State.GATING:
            if wanted:
                return (
                    f"The new policy is being tested. {judged} of {wanted} blind comparisons with the current one are "
                    "judged; they are in everybody's queue."
                )
            return "The new policy answers held-out prompts, to be compared with the current one."
        case Round.State.STALLED:
            return f"A step failed twice. {failed or round.note} Resume to try again, or cancel the round."
        case Round.State.PROMOTED:
            return f"Round {round.index} ended with a new policy. Start the next round to go on improving it."
        case Round.State.REJECTED:
            return (
                f"Round {round.index} showed no improvement, so the old policy stays. Look at the figures, collect "
                "more judgements or change a setting, then start another round."
            )
        case _:
            return f"Round {round.index} was cancelled. Start another one when you are ready."
