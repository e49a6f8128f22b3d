"""Model versions: registering one from outside, recording one that a run made, and telling where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotation.models import Campaign, User
from annotation.services import events
from training import paths, store
from training.errors import Invalid
from training.models import ModelVersion, Run
from training.recipes.chat import MODES_FILE
from training.recipes.judges import REASONING
from training.recipes.spec import RunResult
from training.recipes.users_file import USERS_FILE, known_users, reads_profiles
from training.services import snapshots
from training.services.descent import forebears, merged_with


@transaction.atomic
def register(
    *,
    campaign: Campaign,
    kind: str,
    path: str,
    actor: User | None,
    state: str = ModelVersion.State.CANDIDATE,
) -> ModelVersion:
    """Return a new version for a model from outside: a folder or a hub name.

    Who registers it (`actor`; None is the operator's own command line) may give a hub name, a model in a shared
    folder, or one that the campaign has already. A folder is looked for now, a hub name only when a run loads it: the
    web process never downloads a model.
    """
    if kind not in ModelVersion.Kind.values:
        told = _("A model is one of {kinds}, not {kind}.")
        message = told.format(kinds=", ".join(ModelVersion.Kind.values), kind=kind)
        raise Invalid(message, {"kind": [message]})
    stored = path_from_outside(campaign=campaign, path=path, actor=actor)
    version = add(campaign=campaign, kind=kind, path=stored, state=state)
    events.record(
        campaign=campaign, actor=actor, action="version.registered", target=version.label, detail={"path": path.strip()}
    )
    return version


def path_from_outside(*, campaign: Campaign, path: str, actor: User | None) -> str:
    """Return the path that is stored of a model from outside; Invalid where `register` would not take it."""
    path = path.strip()
    refuse_foreign_folder(campaign=campaign, path=path, actor=actor, field="path")
    looks_like_folder = path.startswith(("/", ".", "~"))
    if not path or (looks_like_folder and not Path(paths.resolve(path)).is_dir()):
        message = _("There is no folder {path}. Enter a folder on the server or a hub name such as org/model.")
        message = message.format(path=path)
        raise Invalid(message, {"path": [message]})
    return paths.stored(path)


def is_at(version: ModelVersion, path: str) -> bool:
    """Return whether a version is the model at `path`, as somebody gives it."""
    return version.path in (path.strip(), paths.stored(path.strip()))


def refuse_foreign_folder(*, campaign: Campaign, path: str, actor: User | None, field: str) -> None:
    """Raise Invalid when `actor` names a folder that is neither shared nor that of a model of the campaign."""
    message = "" if actor is None else paths.objection(path, _("models"))
    if not message or ModelVersion.objects.filter(campaign=campaign, path=paths.stored(path)).exists():
        return
    raise Invalid(message, {field: [message]})


@transaction.atomic
def add(
    *,
    campaign: Campaign,
    kind: str,
    path: str,
    state: str = ModelVersion.State.CANDIDATE,
    parent: ModelVersion | None = None,
    run: Run | None = None,
    metrics: dict[str, Any] | None = None,
) -> ModelVersion:
    """Return a new version with the next number of its campaign and kind.

    Locks the campaign, so that two runs that finish together get two numbers.
    """
    Campaign.objects.select_for_update().get(pk=campaign.pk)
    of_kind = ModelVersion.objects.filter(campaign=campaign, kind=kind)
    last = of_kind.aggregate(last=Max("number"))["last"]
    return ModelVersion.objects.create(
        campaign=campaign,
        kind=kind,
        number=0 if last is None else last + 1,
        state=state,
        parent=parent,
        snapshot=run.snapshot if run else None,
        path=path,
        recipe=run.recipe if run else {},
        metrics=metrics or {},
    )


def record_output(*, run: Run, result: RunResult, makes: str) -> ModelVersion:
    """Return the candidate version for the model that `run` left in its folder."""
    assert result.model is not None
    parent = run.parent if run.parent is not None and run.parent.kind == makes else None
    return add(
        campaign=run.campaign,
        kind=makes,
        path=paths.stored(paths.run_folder(run.pk) / result.model),
        parent=parent,
        run=run,
        metrics=result.metrics,
    )


def modes(version: ModelVersion) -> list[str]:
    """Return the behaviours that a version's model can be served in (`training.recipes.chat.MODES`), keys left out."""
    path = Path(store.fetch(f"{version.path}/{MODES_FILE}"))
    return list(json.loads(path.read_text())) if path.is_file() else []


def users(version: ModelVersion) -> list[str]:
    """Return the pseudonyms of the people whom a version's model answers each by a soft prompt of their own."""
    return known_users(Path(store.fetch(f"{version.path}/{USERS_FILE}")).parent)


def reads_texts(version: ModelVersion) -> bool:
    """Return whether a version's model learned to read what people say of the answers they like."""
    return reads_profiles(Path(store.fetch(f"{version.path}/{USERS_FILE}")).parent)


def current(campaign: Campaign, kind: str) -> ModelVersion | None:
    """Return the version of `kind` in use for `campaign`, or None."""
    return ModelVersion.objects.filter(campaign=campaign, kind=kind, state=ModelVersion.State.PROMOTED).first()


def lineage(version: ModelVersion) -> dict[str, Any]:
    """Return where a version came from, down to the judgements it was trained on.

    ``{"version", "base", "ancestors", "recipe", "run", "round", "rollouts", "snapshot", "scored_by", "merged_with",
    "judgements", "annotators", "feedback_ids", "all_judgements"}``; the figures are of its own snapshot and of the
    models whose scores it learned from, `all_judgements` counts those of its ancestors too, and of what was merged into
    it. Reads the snapshots' files: about a second for 100,000 rows.
    """
    ancestors = ancestry(version)
    run = version.made_by
    scoring = scored_by(version)
    merged = merged_with(version) if run is not None and run.inputs.get("beside") else []
    own, annotators = _behind(version)
    everything = set(own)
    for ancestor in forebears(version):
        everything |= _behind(ancestor)[0]
    snapshot = version.snapshot
    base = ancestors[-1] if ancestors else version
    return {
        "version": version.label,
        "base": {"label": base.label, "path": base.path if base.parent_id is None else ""},
        "started_from": str(run.inputs.get("model", "")) if run else version.path,
        "ancestors": [{"id": a.pk, "label": a.label, "state": a.state} for a in ancestors],
        "recipe": version.recipe,
        "run": run.pk if run else None,
        "round": run.round.index if run and run.round else None,
        "rollouts": run.inputs.get("rollouts") if run else None,
        "snapshot": None
        if snapshot is None
        else {"id": snapshot.pk, "view": snapshot.view, "rows": snapshot.rows, "sha256": snapshot.sha256},
        "scored_by": [{"id": one.pk, "label": one.label} for one in scoring],
        "merged_with": [{"id": one.pk, "label": one.label} for one in merged],
        "judgements": len(own),
        "annotators": len(annotators),
        "feedback_ids": sorted(own),
        "all_judgements": len(everything),
    }


def ancestry(version: ModelVersion) -> list[ModelVersion]:
    """Return parent, grandparent and so on, nearest first."""
    found: list[ModelVersion] = []
    at = version.parent
    while at is not None:
        found.append(at)
        at = at.parent
    return found


def is_reasoning(version: ModelVersion) -> bool:
    """Return whether a version is known to be a judge that reasons; of one made elsewhere only its folder says so."""
    return version.recipe.get("name") in REASONING


def scored_by(version: ModelVersion) -> list[ModelVersion]:
    """Return the models whose scores or labels a version learned from: people's judgements reach it through them."""
    run = version.made_by
    inputs = run.inputs if run is not None else {}
    paths_of = [*(inputs.get("scorers") or {}).values(), *(inputs.get("labelled_by") or ())]
    if not paths_of:
        return []
    return list(ModelVersion.objects.filter(campaign=version.campaign_id, path__in=paths_of).order_by("pk"))


def taught_by(scoring: list[ModelVersion]) -> list[ModelVersion]:
    """Return the versions that learned from the scores or labels of these models, or have their weights in them."""
    known = {(one.campaign_id, one.path) for one in scoring}
    runs = Run.objects.filter(campaign__in={campaign for campaign, _ in known}, kind=Run.Kind.FIT)
    return [
        run.output
        for run in runs.exclude(output=None).select_related("output__campaign")
        if run.output is not None
        and any(
            (run.campaign_id, path) in known
            for path in (
                *(run.inputs.get("scorers") or {}).values(),
                *(run.inputs.get("beside") or {}).values(),
                *(run.inputs.get("labelled_by") or ()),
            )
        )
    ]


def _behind(version: ModelVersion) -> tuple[set[int], set[str]]:
    """Return ids and pseudonyms of a version's own snapshot and of those of the models whose scores taught it."""
    ids, people = _judgements(version)
    for scoring in scored_by(version):
        more, others = _judgements(scoring)
        ids, people = ids | more, people | others
    return ids, people


def _judgements(version: ModelVersion) -> tuple[set[int], set[str]]:
    """Return the ids of the judgements and the pseudonyms of the people behind a version's own snapshot."""
    if version.snapshot is None:
        return set(), set()
    ids: set[int] = set()
    people: set[str] = set()
    for row in snapshots.lines(version.snapshot):
        # A prompt with an anchor has those who preferred or wrote it.
        for one in (row, *row.get("judgements", ())):
            if one.get("feedback") is not None:
                ids.add(one["feedback"])
            if one.get("annotator"):
                people.add(one["annotator"])
    return ids, people
