"""Whether a guard's first detector has enough benign prompts to draw its line on, told before a run is queued."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from annotation.told import Told, share, told
from training.models import GuardedPrompt, GuardWatch
from training.recipes.drift import benign_certain, benign_needed, held_out
from training.services.guard_prompts import HUMAN


@dataclass(frozen=True)
class Calibration:
    """The benign prompts that people labelled in the slices that a detector starts from.

    A line stands on those that the detector does not learn from, `unlearned`, one in ten.
    """

    rate: float
    labelled: int
    unlearned: int

    @property
    def needed(self) -> int:
        return benign_needed(self.rate)

    @property
    def certain(self) -> int:
        return benign_certain(self.rate)

    @property
    def lacks(self) -> Told | None:
        """Return why no detector can start, and what to do; None where one can."""
        if self.unlearned >= self.needed:
            return None
        return told(
            "To flag at most {rate} of benign prompts takes {needed} that people labelled and the detector does not "
            "learn from, which are one in ten: there are {n}, of {labelled} labelled. Have about {more} more labelled "
            "or sent in with labels, or allow a higher rate.",
            rate=share(self.rate, places=1),
            needed=self.needed,
            n=self.unlearned,
            labelled=self.labelled,
            more=10 * (self.needed - self.unlearned),
        )

    @property
    def unsure(self) -> Told | None:
        """Return that the rate would be aimed at and not shown; None where it could be shown."""
        if self.unlearned >= self.certain:
            return None
        return told(
            "The line would stand on {n} benign prompts. That the rate is at most {rate} is shown with 95 per cent "
            "certainty on {certain} at least, none of them flagged.",
            n=self.unlearned,
            rate=share(self.rate, places=1),
            certain=self.certain,
        )


def of_start(watch: GuardWatch, began: datetime) -> Calibration:
    """Return what there is for the first detector; of later ones the run itself knows. One statement."""
    length, startup = timedelta(days=watch.settings["slice_days"]), watch.settings["startup_slices"]
    window = watch.settings["window_slices"] or startup
    benign = GuardedPrompt.objects.filter(
        campaign=watch.campaign_id, labelled_by=HUMAN, jailbreak=False, at__gte=began, at__lt=began + startup * length
    )
    rows = list(benign.values_list("digest", "at"))
    unlearned = sum(held_out(digest) or int((at - began) / length) < startup - window for digest, at in rows)
    return Calibration(watch.settings["target_fpr"], len(rows), unlearned)
