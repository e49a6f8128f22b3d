"""What a lead should do next, in one sentence with one button."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

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
            _("The campaign is closed and keeps everything it has. Export the judgements, or train on them."),
            pgettext("button", "Export"),
            url("campaign-export"),
        )
    if round is not None and round.state == Round.State.STALLED:
        return NextStep(
            _("Round {number} of the loop has stalled and needs a decision.").format(number=round.index),
            _("Look at the loop"),
            url("loop"),
        )
    if progress.tasks == 0:
        return NextStep(
            _("There is nothing to judge yet. Import prompts with two answers each, or start a loop that writes them.")
            if kind(campaign.kind).compares
            else _("There is nothing to judge yet. Import prompts with their answers."),
            _("Import items"),
            url("campaign-import"),
        )
    if annotators == 0 and lead:
        return NextStep(
            ngettext(
                "{n} item waits, and nobody but you can judge it. Add the people who will.",
                "{n} items wait, and nobody but you can judge them. Add the people who will.",
                progress.tasks,
            ).format(n=progress.tasks),
            _("Add people"),
            url("campaign-people"),
        )
    if campaign.state in (Campaign.State.DRAFT, Campaign.State.PAUSED):
        again = _("Open the campaign") if campaign.state == Campaign.State.DRAFT else _("Open it again")
        if not lead:
            return NextStep(_("Nobody is given items until the lead opens the campaign."))
        return NextStep(
            ngettext(
                "{n} item waits, and nobody is given it until the campaign is open.",
                "{n} items wait, and nobody is given one until the campaign is open.",
                left,
            ).format(n=left),
            again,
            url("campaign-state"),
            "open",
        )
    if left > 0:
        text = ngettext(
            "People are judging: {left} of {n} item is left. Nothing needs you now.",
            "People are judging: {left} of {n} items are left. Nothing needs you now.",
            progress.tasks,
        ).format(left=left, n=progress.tasks)
        if progress.judgements:
            text += " " + _("You can export or train on what is there at any time.")
        return NextStep(text)
    if round is not None:
        return NextStep(
            _("Every item is judged. Round {number} of the loop goes on by itself.").format(number=round.index),
            _("Watch the loop"),
            url("loop"),
        )
    if not kind(campaign.kind).compares:
        return NextStep(
            _("Every item is judged. Export the judgements, or import more items."),
            pgettext("button", "Export"),
            url("campaign-export"),
        )
    return NextStep(
        _("Every item is judged. Train a reward model on the judgements, or import more items."),
        _("Start a run"),
        url("runs"),
    )


def of_round(loop: Loop, round: Round | None, *, judged: int, wanted: int, failed: str) -> str:
    """Return, in a sentence, what happens in a loop now and what the lead can do."""
    if loop.state == Loop.State.PAUSED and round is not None and not round.is_final:
        return _("The loop is paused in round {number}. Nothing moves until you resume it.").format(number=round.index)
    if round is None:
        return _("No round has run yet. Start the first: the policy answers prompts, and people judge the answers.")
    match round.state:
        case Round.State.TRAINING if round.is_gate_only:
            return _("Held-out prompts are being chosen for the gate. This takes a moment.")
        case Round.State.REJECTED if round.is_gate_only:
            text = _("Round {number} showed no improvement, so the old policy stays. Look at the figures.")
            return text.format(number=round.index)
        case Round.State.DRAFTING:
            return _("Prompts are being chosen. This takes a moment.")
        case Round.State.SAMPLING:
            return _("The current policy is writing answers. People get them as soon as all are written.")
        case Round.State.LABELLING:
            return ngettext(
                "{judged} of {n} pair is judged. Training starts by itself when all are; you can also start it now "
                "with what is there.",
                "{judged} of {n} pairs are judged. Training starts by itself when all are; you can also start it now "
                "with what is there.",
                wanted,
            ).format(judged=judged, n=wanted)
        case Round.State.FREEZING:
            return _("The judgements of this round are being frozen into a file that training reads.")
        case Round.State.TRAINING:
            return _("A new policy is learning from the judgements. You can watch the run; nothing needs you.")
        case Round.State.GATING:
            if wanted:
                return ngettext(
                    "The new policy is being tested. {judged} of {n} blind comparison with the current one is judged; "
                    "it is in everybody's queue.",
                    "The new policy is being tested. {judged} of {n} blind comparisons with the current one are "
                    "judged; they are in everybody's queue.",
                    wanted,
                ).format(judged=judged, n=wanted)
            return _("The new policy answers held-out prompts, to be compared with the current one.")
        case Round.State.STALLED:
            return _("A step failed twice. {why} Resume to try again, or cancel the round.").format(
                why=failed or round.note
            )
        case Round.State.PROMOTED:
            text = _("Round {number} ended with a new policy. Start the next round to go on improving it.")
            return text.format(number=round.index)
        case Round.State.REJECTED:
            text = _(
                "Round {number} showed no improvement, so the old policy stays. Look at the figures, collect more "
                "judgements or change a setting, then start another round."
            )
            return text.format(number=round.index)
        case _:
            text = _("Round {number} was cancelled. Start another one when you are ready.")
            return text.format(number=round.index)
