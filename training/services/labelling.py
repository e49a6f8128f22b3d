"""Who says which of a round's answers is better: people, the reward model in use, or what a policy implies.

Beside a model people may judge the pairs that it is least certain of. Whoever it is, the audit slice is people's, so
that what labels is never the only one to report on itself. A reward that a policy implies is refused where it is
measured to lose much more than the reward model on other kinds of data (arXiv:2409.03650), and warned of where nobody
measured it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any

from annotation.models import Campaign
from annotation.told import Told, share, told
from training import paths, store
from training.errors import WrongState
from training.models import ModelVersion, Round, Run, Snapshot
from training.recipes.loop import LoopSettings
from training.recipes.reward import POINTS
from training.recipes.spec import write_text
from training.services import sampling, snapshots, versions
from training.services.descent import forebears

REPORT = "shift-report"
IMPLIES = ("dpo", "dpo-margin")  # the recipes whose policies imply a reward


@dataclass(frozen=True)
class Implied:
    """A policy that people's preferences trained by DPO, and what its reward is held against."""

    policy: ModelVersion
    reference: str
    beta: float


def implied(policy: ModelVersion) -> Implied | None:
    """Return the nearest of a policy and those it came from that learned by DPO from people; None without one.

    One that learned from a model's labels, be it beside people's, would only repeat them; what was compared per token
    implies another reward.
    """
    for version in (policy, *forebears(policy)):
        run = version.made_by
        if run is None or run.recipe["name"] not in IMPLIES or run.inputs.get("labelled_by"):
            continue
        if run.snapshot_id is not None and not run.recipe["knobs"].get("per_token"):
            return Implied(version, run.inputs.get("reference") or run.inputs["model"], run.recipe["knobs"]["beta"])
    return None


def loses_more(policy: ModelVersion) -> float | None:
    """Return by how much more than the reward model the implied reward falls on other kinds of data, as last measured.

    Measured of the policy that labels or of one it came from; None where nobody has.
    """
    made = [policy, *forebears(policy)]
    found = Run.objects.filter(parent__in=made, recipe__name=REPORT, state=Run.State.SUCCEEDED).order_by("-pk").first()
    return None if found is None else found.result["metrics"]["implicit_loses_more"]


def refusal(campaign: Campaign, settings: LoopSettings, *, policy: ModelVersion | None = None) -> Told | None:
    """Return why a loop cannot have its labeller because of what is measured; None where nothing stands against it."""
    policy = policy or versions.current(campaign, ModelVersion.Kind.POLICY)
    if settings.labeller != "implicit" or policy is None or (found := implied(policy)) is None:
        return None
    more = loses_more(found.policy)
    if more is None or more <= POINTS:
        return None
    return told(
        "The reward that {policy} implies loses {more} more of its accuracy than the reward model where the data is of "
        "another kind, and {limit} is the most. Let the reward model label (explicit), or people (human).",
        policy=found.policy.label,
        more=share(more),
        limit=share(POINTS),
    )


def lacking(campaign: Campaign, settings: LoopSettings, *, policy: ModelVersion) -> Told | None:
    """Return why a round of this policy cannot be labelled as the settings say; None where it can."""
    if settings.labeller == "explicit" and versions.current(campaign, ModelVersion.Kind.REWARD) is None:
        return told(
            "The reward model is to label the answers, and there is none in use. Train one and put it into use, or let "
            "people label."
        )
    if settings.labeller == "implicit" and implied(policy) is None:
        return told(
            "{policy} implies no reward: neither it nor one it came from learned by DPO from what people prefer. Let "
            "people label the first round.",
            policy=policy.label,
        )
    return refusal(campaign, settings, policy=policy)


def check(campaign: Campaign, settings: LoopSettings, *, policy: ModelVersion) -> None:
    """Raise `WrongState` where a round of this policy cannot be labelled as the settings say."""
    if why := lacking(campaign, settings, policy=policy):
        raise WrongState(why)


def _theirs(settings: LoopSettings) -> Told:
    """Return what people judge where a model labels."""
    if not settings.doubtful_share:
        return told("people judge the audit slice alone")
    if settings.doubtful_below < 1:
        return told(
            "people judge the audit slice and, of the other pairs, those whose label is less probable than {below}, up "
            "to {doubtful} of them",
            below=share(settings.doubtful_below),
            doubtful=share(settings.doubtful_share),
        )
    return told(
        "people judge the audit slice and {doubtful} of the other pairs, those it is least certain of",
        doubtful=share(settings.doubtful_share),
    )


def note(round: Round, settings: LoopSettings) -> Told | None:
    """Return for the lead who labels the round, where it is not people; with a warning where that needs one."""
    if settings.labeller == "explicit":
        return told("The reward model labels the pairs; {theirs}.", theirs=_theirs(settings))
    found = implied(round.policy) if settings.labeller == "implicit" else None
    if found is None:
        return None
    said = told(
        "The reward that {policy} implies labels the pairs; {theirs}. Such a reward is right less often than a reward "
        "model where answers are of another kind than those that people compared.",
        policy=found.policy.label,
        theirs=_theirs(settings),
    )
    if (more := loses_more(found.policy)) is None:
        return said + told("Nobody has measured how much: “Explicit against implicit reward” would tell.")
    return said + told("As measured it loses {more} more.", more=share(more))


def inputs(round: Round, settings: LoopSettings) -> tuple[dict[str, str], str | None, dict[str, Any]]:
    """Return the scorers, the reference and the knobs that a round's sample run needs besides, to label."""
    knobs: dict[str, Any] = {
        "labeller": settings.labeller,
        "doubtful_share": settings.doubtful_share,
        "doubtful_below": settings.doubtful_below,
    }
    if settings.labeller != "implicit" or (found := implied(round.policy)) is None:
        return {}, None, knobs
    return {"implied": found.policy.path}, found.reference, knobs | {"beta": found.beta}


def by_model(run: Run | None) -> bool:
    """Return whether a model labels what this sample run drew."""
    return run is not None and run.recipe["knobs"].get("labeller", "human") != "human"


def asks_people(run: Run | None) -> bool:
    """Return whether people judge some of the pairs that this sample run drew, and learned from, beside a model."""
    return by_model(run) and run is not None and run.result["counts"].get("doubtful", 0) > 0


def divided(run: Run | None) -> Told | None:
    """Return how a sample run's pairs fell to people and the model that labels; None where no model was doubted."""
    if run is None or run.state != Run.State.SUCCEEDED or not by_model(run):
        return None
    knobs, counts = run.recipe["knobs"], run.result["counts"]
    if not knobs.get("doubtful_share") or "labellable" not in counts:  # as it was before runs told it
        return None
    theirs, below, pairs = counts["doubtful"], knobs.get("doubtful_below", 1.0), counts["labellable"]
    if below >= 1:
        return told(
            "{n} of {pairs} pairs, those that the model is least certain of, went to people.", n=theirs, pairs=pairs
        )
    note = told(
        "{n} of {pairs} pairs have a label that is less probable than {below} by the model.",
        n=counts["unsure"],
        pairs=pairs,
        below=share(below),
    )
    if theirs == counts["unsure"]:
        return note + (told("All of these went to people.") if theirs else told("None went to people."))
    return note + told(
        "{n} of these went to people, and the model labelled the others, as people judge at most {doubtful}.",
        n=theirs,
        doubtful=share(knobs["doubtful_share"]),
    )


@dataclass(frozen=True)
class Labelled:
    """The pairs that a round learns from where models labelled some."""

    data: str  # the stored path
    people: int  # pairs that people judged
    models: int  # pairs that models labelled
    by: list[str]  # where these models lie


def write(round: Round, run: Run, settings: LoopSettings, snapshot: Snapshot | None) -> Labelled:
    """Write the pairs that a model labelled in this round, with some of earlier ones, beside those of the snapshot.

    Each tells by ``labelled_by`` which model it was, and has no annotator: agreement, reliability and data sets know
    people alone. Earlier ones, too, are pairs that a model labelled; the snapshot has the earlier ones of people.
    """
    labels = _labels(run)
    wanted = int(settings.replay * len(labels) + 0.5)
    if wanted and settings.reference != "data":
        before = Run.objects.filter(round__loop=round.loop_id, round__index__lt=round.index, purpose="sample")
        drawn = [one for one in before.order_by("round__index") if by_model(one) and one.state == Run.State.SUCCEEDED]
        labels += snapshots.draw(chain.from_iterable(map(_labels, drawn)), count=wanted, seed=round.index)
    judged = [] if snapshot is None else list(snapshots.lines(snapshot))
    rows = [*judged, *(row for _path, row in labels)]
    path = paths.files() / "rounds" / str(round.pk) / "labelled.jsonl"
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    by = sorted({path for path, _row in labels})
    return Labelled(store.keep(path), len(judged), len(labels), by)


def _labels(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """Return the pairs that a model labelled among what a sample run drew, each with where that model lies."""
    name = "implied" if run.recipe["knobs"]["labeller"] == "implicit" else "reward"
    path = run.inputs["scorers"][name]
    model = ModelVersion.objects.filter(campaign=run.campaign_id, path=path).order_by("pk").first()
    by = path if model is None else model.label
    return [(path, {**row, "labelled_by": by}) for row in sampling.output_rows(run, "pairs")]
