"""A run's life in the database: created, claimed, kept alive, finished, failed, cancelled, found again.

The row is the job. A worker claims it by a conditional update and holds it under a name that no other attempt has;
every later write of that worker is conditional on the name, so that a worker that was thought dead can do no harm.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from annotation import logs
from annotation.access import Action
from annotation.models import Campaign, User
from annotation.permissions import may
from annotation.services import events
from annotation.told import Told, told
from training import folder, launch, objections, paths, store
from training.errors import Invalid, RunLost, WrongState
from training.models import ModelVersion, Round, Run, Snapshot
from training.recipes import opinions
from training.recipes.assembled import assembled, from_json, has_slots, to_json
from training.recipes.base import RECIPES, Recipe, RecipeError
from training.recipes.documents import VIEW as DOCUMENTS
from training.recipes.engines import Files, compiler
from training.recipes.merging import NEED_BASE
from training.recipes.note import note_of
from training.recipes.scenarios import SUITES
from training.recipes.spec import RunResult
from training.recipes.tasks import tasks_of
from training.services import anchors, documents, messages, safety_suites, safety_tests, snapshots, versions, waiting

# Attempts without a new checkpoint after which a run is not tried again by itself.
MAX_ATTEMPTS = 3


@transaction.atomic
def create(
    *,
    campaign: Campaign,
    recipe: str,
    knobs: dict[str, Any],
    actor: User | None,
    parent: ModelVersion | None = None,
    snapshot: Snapshot | None = None,
    inputs: dict[str, Any] | None = None,
    seed: int = 0,
    round: Round | None = None,
    purpose: str = "",
    parts: dict[str, str] | None = None,
    awaits: dict[str, int] | None = None,
) -> Run:
    """Return a queued run; a worker is woken once the transaction is committed.

    `parts` puts others into the slots of a recipe on the policy's own answers than it has usually. `awaits` names runs
    whose models this one reads, "model" or the name of a scorer → run id: it waits until they are done.

    The model comes from `parent` or ``inputs["model"]``, the data from `snapshot` or ``inputs["data"]``, and those of a
    recipe that puts a suite to a policy or reads texts from the file that ``inputs["suite"]`` or
    ``inputs["documents"]`` names. A run of a round is made once per `purpose`: asked again, the one that is there
    comes back.
    """
    try:
        found = assembled(recipe, parts)
        stored = to_json(recipe, knobs, parts)
    except RecipeError as error:
        raise objections.invalid(error, field="recipe") from None
    if found.guarded:
        _refuse_attack(campaign, actor)
    inputs = dict(inputs or {})
    awaited = waiting.checked(found, campaign, awaits or {})
    if waiting.MODEL in awaited:
        parent = None
        inputs.pop("model", None)
    elif parent is not None:
        inputs.setdefault("model", parent.path)
    elif inputs.get("model"):
        versions.refuse_foreign_folder(campaign=campaign, path=inputs["model"], actor=actor, field="model")
    kinds = [kind for kind in waiting.starts_from(found) if kind]  # a recipe may say nothing of what it starts from
    if parent is not None and kinds and not found.of_models and parent.kind not in kinds:
        message = _("{recipe} does not start from {label} ({kind}).")
        named = {"label": parent.label, "kind": parent.get_kind_display()}
        message = message.format(recipe=translation.gettext(found.title), **named)
        raise Invalid(message, {"model": [message]})
    if parent is not None and waiting.needed_below(found) and not waiting.may_start(found, parent):
        message = waiting.objection_below(found)
        raise Invalid(message, {"model": [message]})
    if snapshot is not None:
        inputs.setdefault("data", snapshot.path)
    if found.of_models and parent is None and waiting.MODEL not in awaited:
        message = _(
            "A guard's line is drawn on what is new to its model, and of a bare folder or name that is not known. "
            "Register it as a version first."
        )
        raise Invalid(message, {"model": [message]})
    if found.of_models and parent is not None:
        if parent.kind not in found.of_models:
            message = _("{label} is no model of safety: choose a cost model or a reward model.")
            message = message.format(label=parent.label)
            raise Invalid(message, {"model": [message]})
        # The line is drawn on what is new to the model.
        inputs["known"], gone = waiting.learned_from(parent, given=inputs.get("known"))
        if gone is not None:
            raise Invalid(str(gone), {"model": [str(gone)]})
    if found.kind == Run.Kind.EVALUATE and parent is not None:
        # What the model learned from tells what is new to it; what it was trained from is its reference.
        files = [one.path for one in snapshots.learned_from(parent)]
        inputs.setdefault("known", [path for path in files if store.exists(path)])
        in_use = versions.current(campaign, parent.kind) if found.compares else None
        before = in_use if in_use not in (None, parent) else parent.parent
        if before is not None:
            inputs.setdefault("reference", before.path)
    title = translation.gettext(found.title)
    if not inputs.get("model") and waiting.MODEL not in awaited:
        reason = _("Choose a version, or enter a folder or hub name.")
        raise Invalid(_("Choose a model to start from."), {"model": [reason]})
    there = {*awaited, *(name for name, path in inputs.get("scorers", {}).items() if path)}
    lacking = [name for name in found.scorers if name not in there]
    if lacking:
        told = _("{recipe} learns from scores: choose the model that gives them ({names}).")
        told = told.format(recipe=title, names=", ".join(lacking))
        raise Invalid(told, {name: [_("Choose a reward model, or train one first.")] for name in lacking})
    _refuse_one_attribute(campaign, found, inputs, awaited)
    for task in tasks_of(stored["knobs"]["tasks"]) if found.part("tasks") else ():
        if unnamed := [name for name in task.scorers if name not in there]:
            told = _("The task {task} asks {names}, and no model was chosen for that.")
            told = told.format(task=task.name, names=", ".join(unnamed))
            raise Invalid(told, {"tasks": [told]})
    alone = [name for name in found.beside if not inputs.get("beside", {}).get(name)]
    if alone:
        told = _("{recipe} needs another policy beside the one it starts from.").format(recipe=title)
        raise Invalid(told, {name: [_("Choose a policy.")] for name in alone})
    merges = "base" in found.may_stand_beside and stored["knobs"].get("method") in NEED_BASE
    if merges and not inputs.get("beside", {}).get("base"):
        told = _("{method} adds up what the two models learned since they were one. Name that model as the base.")
        told = told.format(method=stored["knobs"]["method"])
        raise Invalid(told, {"base": [told]})
    if inputs.get("model", "") in (inputs.get("beside", {}).get(name) for name in found.beside):
        told = _("A policy and itself make the same policy again: choose two.")
        raise Invalid(told, {name: [told] for name in found.beside})
    if found.compares and not inputs.get("reference"):
        message = _(
            "There is no other policy to compare with: none is in use, and this one was trained from none here."
        )
        raise Invalid(message, {"model": [message]})
    if found.view == DOCUMENTS and not inputs.get("data"):
        inputs |= documents.inputs_of(inputs.pop("documents", ""), actor=actor)
    if found.view in SUITES:
        inputs |= safety_suites.inputs_of(
            inputs.pop("suite", ""), campaign=campaign, view=found.view, parent=parent, actor=actor
        )
    if found.view and not inputs.get("data"):
        told = _("{recipe} reads a snapshot of {view}.").format(recipe=title, view=found.view)
        raise Invalid(told, {"snapshot": [_("Choose or freeze one.")]})
    if recipe == safety_tests.RECIPE:
        inputs |= safety_tests.untouched(campaign=campaign, inputs=inputs)
        inputs[safety_tests.COST_IN_USE] = safety_tests.cost_in_use(campaign)
        inputs[safety_tests.TERMS] = safety_tests.terms_of(campaign)
    if snapshot is not None and snapshot.view != found.view:
        message = _("{recipe} reads {view}; snapshot {number} holds {other}.")
        message = message.format(recipe=title, view=found.view, number=snapshot.pk, other=snapshot.view)
        raise Invalid(message, {"snapshot": [message]})
    anchors.require(found, stored["knobs"], snapshot)
    refuse_for_engine(found, stored["knobs"], inputs.get("engine"))
    for belongs in (parent, snapshot):
        if belongs is not None and belongs.campaign_id != campaign.pk:
            raise Invalid(_("{what} belongs to another campaign.").format(what=str(belongs).capitalize()))
    if awaited:
        inputs["awaits"] = {name: run.pk for name, run in awaited.items()}
    values = {
        "campaign": campaign,
        "kind": found.kind,
        "recipe": stored,
        "inputs": inputs,
        "seed": seed,
        "parent": parent,
        "snapshot": snapshot,
        "created_by": actor,
        "request_name": logs.current_request(),
        "heartbeat_at": timezone.now(),
    }
    if round is not None and purpose:
        run, created = Run.objects.get_or_create(round=round, purpose=purpose, defaults=values)
    else:
        run, created = Run.objects.create(round=round, **values), True
    if created:
        action = "tamper.ordered" if found.guarded else "run.created"
        of = {"recipe": recipe} | ({"model": inputs.get("model"), "knobs": stored["knobs"]} if found.guarded else {})
        of |= {"awaits": inputs["awaits"]} if awaited else {}
        events.record(campaign=campaign, actor=actor, action=action, target=f"run {run.pk}", detail=dict(of))
        if awaited:
            waiting.settle(run)
        else:
            messages.wake_run(run.pk)
    return run


def _refuse_one_attribute(
    campaign: Campaign, found: Recipe, inputs: dict[str, Any], awaited: Mapping[str, Run]
) -> None:
    """Raise Invalid where a run would climb the first of a reward model's attributes without a word."""
    if not has_slots(found):
        return
    kind = ModelVersion.Kind.REWARD
    path = inputs.get("scorers", {}).get(kind, "")
    of_path = ModelVersion.objects.filter(campaign=campaign, kind=kind, path=path).order_by("-pk")
    made = awaited.get(kind) or of_path.first()
    made_by = None if made is None else made.recipe.get("name")
    if (why := opinions.against({part.slot: part for part in found.parts}, made_by)) is not None:
        said = objections.in_words(why)
        raise Invalid(said, {"combine": [said]})


def refuse_for_engine(found: Recipe, knobs: dict[str, Any], asked: dict[str, Any] | None) -> None:
    """Raise Invalid where the engine that shall do a run is not there, or has no counterpart of what it is to do.

    `asked` is ``{"name", "settings"}``, or None for our own core.
    """
    if asked is None:
        return
    if asked["name"] not in settings.ATTUNE_ENGINES:
        names = ", ".join(settings.ATTUNE_ENGINES)
        none = _("There is no engine {name} here; there is {names}.") if names else _("No engine is set up here.")
        message = none.format(name=asked["name"], names=names)
        raise Invalid(message, {"engine": [message]})
    if not has_slots(found):
        only = _("An engine does only runs on the policy's own answers.")
        raise Invalid(only, {"engine": [only]})
    try:
        compiler(asked["name"])(found, knobs, Files("", "", "", ""), seed=0, own=asked["settings"])
    except RecipeError as error:
        errors: dict[str, list[str]] = {}
        for name, texts in error.errors.items():
            said = [objections.in_words(text) for text in texts]
            if name in knobs or name == "engine":
                errors[name] = said
            else:  # one of its own settings, which are no fields
                errors.setdefault("engine_settings", []).extend(f"{name}: {text}" for text in said)
        message = objections.in_words(note_of(error))
        raise Invalid(message, errors or {"engine": [message]}) from None


def _refuse_attack(campaign: Campaign, actor: User | None) -> None:
    """Let only the red team, or an admin, train against safety, and only where whoever runs the server allows it."""
    if not settings.ATTUNE_TAMPER_TESTS:
        raise WrongState(_("Tamper tests are off here. Whoever runs the server allows them by TAMPER_TESTS."))
    if actor is None or not may(actor, campaign, Action.TAMPER):
        raise PermissionDenied(_("Only the campaign's red team may train against a policy's safety."))


# --- What a worker does ------------------------------------------------------------------------------------------


def machine() -> str:
    """Return a short name of this machine since its last boot, in which a pid means one process.

    The pid namespace belongs to it: two containers of one host both have a process 7.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    parts = [platform.node(), boot.read_text().strip() if boot.exists() else ""]
    namespace = Path("/proc/self/ns/pid")
    parts.append(os.readlink(namespace) if namespace.is_symlink() else "")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]


def claim_name() -> str:
    """Return a name for one attempt of this process: machine, pid, start time and some chance."""
    started = int(psutil.Process().create_time())
    return f"{machine()}-{os.getpid()}-{started}-{secrets.token_hex(3)}"


def claim(run_id: int, worker: str) -> Run | None:
    """Return the run, now held under the name `worker`, or None when it is not there to be had.

    The condition stands in the UPDATE itself: of two workers that try at once, one changes a row.
    """
    now = timezone.now()
    changed = Run.objects.filter(pk=run_id, state=Run.State.QUEUED).update(
        state=Run.State.RUNNING,
        claim=worker,
        attempts=F("attempts") + 1,
        heartbeat_at=now,
        started_at=now,
        finished_at=None,
        error="",
    )
    if changed != 1:
        return None
    return Run.objects.select_related("campaign", "parent", "snapshot", "round").get(pk=run_id)


def _held(run: Run) -> Any:
    return Run.objects.filter(pk=run.pk, state=Run.State.RUNNING, claim=run.claim)


def _let_go(run: Run) -> RunLost:
    return RunLost(f"{run} is held by another worker now, or was cancelled; this one lets go of it.")


def record_child(run: Run, *, pid: int, started: float) -> None:
    """Write down the child process, so that a later worker can stop it; RunLost when the run is held elsewhere."""
    if _held(run).update(pid=pid, pid_started=started, heartbeat_at=timezone.now()) != 1:
        raise _let_go(run)


def beat(run: Run, progress: dict[str, Any] | None = None) -> bool:
    """Write a sign of life and, when there is one, the last metrics line; return whether the run shall go on.

    RunLost when the run is held elsewhere.
    """
    values: dict[str, Any] = {"heartbeat_at": timezone.now()}
    if progress:
        values["progress"] = progress
        values["step"] = max(0, int(progress.get("step") or 0))
        values["total_steps"] = max(0, int(progress.get("total_steps") or 0))
    if _held(run).update(**values) != 1:
        raise _let_go(run)
    return not Run.objects.values_list("cancel_requested", flat=True).get(pk=run.pk)


@transaction.atomic
def finish(run: Run, result: RunResult) -> None:
    """Record the result, and the model version the run made; RunLost when the run is held elsewhere."""
    _end(run, Run.State.SUCCEEDED, result=asdict(result), failures=0)
    recipe, _knobs = from_json(run.recipe)
    if recipe.guarded:
        told = {
            name: value for name, value in result.metrics.items() if name in ("safe_before", "safe_after", "passed")
        }
        events.record(campaign=run.campaign, actor=None, action="tamper.measured", target=str(run), detail=told)
    if result.model and recipe.makes:
        version = versions.record_output(run=run, result=result, makes=recipe.makes)
        Run.objects.filter(pk=run.pk).update(output=version)
    if recipe.makes:
        waiting.release(run)


@transaction.atomic
def fail(run: Run, error: Told | str) -> None:
    """End the run with a sentence that says why; RunLost when the run is held elsewhere."""
    _end(run, Run.State.FAILED, error=error, failures=F("failures") + 1)


@transaction.atomic
def record_cancelled(run: Run) -> None:
    """End the run as a person asked; RunLost when the run is held elsewhere."""
    _end(run, Run.State.CANCELLED)


def _end(run: Run, state: Run.State, **values: Any) -> None:
    changed = _held(run).update(state=state, claim="", pid=None, pid_started=None, finished_at=timezone.now(), **values)
    if changed != 1:
        raise _let_go(run)
    if run.round_id is not None:
        messages.wake_round(run.round_id)


def _has_new_checkpoint(run: Run) -> bool:
    """Return whether the attempt that held the run wrote a checkpoint, here or on another machine."""
    if folder.has_new_checkpoint(paths.run_folder(run.pk)):
        return True
    kept = store.changed_at(paths.stored(paths.run_folder(run.pk) / "checkpoints"))
    return kept is not None and run.started_at is not None and kept > run.started_at


@transaction.atomic
def requeue(run: Run, *, reason: Told, counts: bool = True) -> None:
    """Queue a held run again, from its last checkpoint; after `MAX_ATTEMPTS` without a new one it fails with `reason`.

    With `counts` false the attempt is forgotten: the worker was asked to stop, which says nothing about the run.
    RunLost when the run is held elsewhere.
    """
    attempts = 0 if _has_new_checkpoint(run) else run.attempts - (0 if counts else 1)
    if attempts >= MAX_ATTEMPTS:
        fail(
            run, reason + told("It was tried {n} times without reaching a new checkpoint. Look at the log.", n=attempts)
        )
        return
    changed = _held(run).update(
        state=Run.State.QUEUED,
        claim="",
        pid=None,
        pid_started=None,
        attempts=max(0, attempts),
        heartbeat_at=timezone.now(),
        error=reason,
    )
    if changed != 1:
        raise _let_go(run)
    messages.wake_run(run.pk)


# --- What people do ----------------------------------------------------------------------------------------------


@transaction.atomic
def cancel(*, run: Run, actor: User | None) -> Run:
    """Return the run, cancelled at once when no worker has it, else about to be: its worker sees the request."""
    now = timezone.now()
    queued = Run.objects.filter(pk=run.pk, state__in=[Run.State.WAITING, Run.State.QUEUED])
    running = Run.objects.filter(pk=run.pk, state=Run.State.RUNNING)
    if queued.update(state=Run.State.CANCELLED, cancel_requested=True, finished_at=now):
        # A child that lost its worker may still be at it, where nobody could stop it yet.
        launch.ask_to_stop(paths.run_folder(run.pk))
        if run.round_id is not None:
            messages.wake_round(run.round_id)
    elif not running.update(cancel_requested=True):
        told = _("Run {number} has ended already; there is nothing to cancel.")
        raise WrongState(told.format(number=run.pk))
    before = run.state
    run.refresh_from_db()
    changes = {"state": (before, run.state)} if run.state != before else {}
    events.record(campaign=run.campaign, actor=actor, action="run.cancelled", target=str(run), changes=changes)
    return run


@transaction.atomic
def retry(*, run: Run, actor: User | None) -> Run:
    """Return the run, queued again; it goes on from its last checkpoint when it has one."""
    if RECIPES.get(run.recipe.get("name", "")) is not None and from_json(run.recipe)[0].guarded:
        _refuse_attack(run.campaign, actor)
    changed = Run.objects.filter(pk=run.pk, state__in=[Run.State.FAILED, Run.State.CANCELLED]).update(
        state=Run.State.QUEUED,
        cancel_requested=False,
        attempts=0,
        claim="",
        heartbeat_at=timezone.now(),
        finished_at=None,
    )
    if changed != 1:
        told = _("Run {number} has not failed and was not cancelled; it cannot be tried again.")
        raise WrongState(told.format(number=run.pk))
    events.record(
        campaign=run.campaign,
        actor=actor,
        action="run.retried",
        target=str(run),
        changes={"state": (run.state, "queued")},
    )
    run.refresh_from_db()
    if run.inputs.get("awaits"):
        waiting.settle(run)
    else:
        messages.wake_run(run.pk)
    return run
