"""Start a run from a terminal and follow it to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from annotation.errors import AnnotationError
from annotation.models import Campaign, User
from training.errors import TrainingError
from training.models import ModelVersion, Run, Snapshot
from training.recipes.assembled import assembled
from training.recipes.base import Recipe, RecipeError
from training.recipes.documents import VIEW as DOCUMENTS
from training.recipes.scenarios import SUITES
from training.services import anchors, execution, rollouts, runs, snapshots, traces, versions, waiting

FOLLOW_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Starts a run and prints its progress. A worker does the work; with --here this process does it itself. "
        "Leave with Ctrl-C: a worker goes on without you, a run --here stops and can be taken up again."
    )

    said = ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--campaign", required=True, help="name or id of the campaign")
        parser.add_argument("--recipe", required=True, help="see manage.py recipes")
        parser.add_argument("--model", help="folder or hub name to start from")
        parser.add_argument(
            "--parent",
            help="instead of --model: a version such as policy-3, or run-12 to wait for the model it makes; the policy "
            "in use if left out",
        )
        parser.add_argument("--snapshot", type=int, help="id of the data; frozen now when left out")
        parser.add_argument("--suite", help="instead of --snapshot: the file of questions that is put to a policy")
        parser.add_argument(
            "--documents", help="instead of --snapshot: the file of texts that continued pre-training reads"
        )
        parser.add_argument(
            "--rollouts", type=int, help="instead of --snapshot, for refuel: the run of refuel-rollouts it learns from"
        )
        parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
        parser.add_argument(
            "--scorer",
            action="append",
            default=[],
            metavar="NAME=VERSION",
            help="such as cost=reward-3, or cost=run-12 to wait for that run; may be repeated",
        )
        parser.add_argument(
            "--beside",
            action="append",
            default=[],
            metavar="NAME=VERSION",
            help="another policy that the recipe reads, such as other=policy-2; may be repeated",
        )
        parser.add_argument("--part", action="append", default=[], metavar="SLOT=PART", help="may be repeated")
        parser.add_argument("--engine", help="another program that does the run, verl or areal; see README.md")
        parser.add_argument(
            "--engine-setting",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="what of it may be set besides, by its own name; may be repeated",
        )
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--actor", help="username that the run is made for")
        parser.add_argument("--here", action="store_true", help="work in this process instead of waiting for a worker")
        parser.add_argument("--no-follow", dest="follow", action="store_false", help="print the id and return")

    def handle(self, *, here: bool, follow: bool, **options: Any) -> None:
        try:
            run = _create(
                campaign=options["campaign"],
                recipe=options["recipe"],
                model=options["model"],
                parent=options["parent"],
                snapshot=options["snapshot"],
                suite=options["suite"],
                documents=options["documents"],
                rolled=options["rollouts"],
                knob=options["knob"],
                part=options["part"],
                scorer=options["scorer"],
                beside=options["beside"],
                engine=options["engine"],
                engine_setting=options["engine_setting"],
                seed=options["seed"],
                actor=options["actor"],
            )
        except (TrainingError, AnnotationError, RecipeError, PermissionDenied) as error:
            raise CommandError(_told(error, options["knob"])) from None
        self.stdout.write(f"run {run.pk} is {run.state}.")
        if here:
            self._work(run)
        elif not follow:
            return
        self._follow(run)

    def _work(self, run: Run) -> None:
        """Execute the run in a thread, so that this one can show progress; Ctrl-C stops it at a checkpoint."""
        worker = threading.Thread(target=_execute, args=[run.pk])
        worker.start()
        try:
            while worker.is_alive():
                self._say(run)
                worker.join(FOLLOW_SECONDS)
        except KeyboardInterrupt:
            self.stdout.write("Stopping at a checkpoint; press Ctrl-C no more.")
            execution.STOPPING.value = True
            worker.join()
            run.refresh_from_db()
            if not run.is_final:
                # Nobody waits for it: a worker that came by would take it up against the wish of who pressed Ctrl-C.
                runs.cancel(run=run, actor=None)
                raise CommandError(f"run {run.pk} was stopped. Retry it to go on from its checkpoint.") from None

    def _follow(self, run: Run) -> None:
        while not self._say(run):
            time.sleep(FOLLOW_SECONDS)
        for note in run.result.get("notes", []):
            self.stdout.write(note)
        if run.output is not None:
            self.stdout.write(f"It made {run.output.label}.")
        if run.state != Run.State.SUCCEEDED:
            raise CommandError(f"run {run.pk} {run.state}. {run.error or traces.log_tail(run, limit=2000)}")

    def _say(self, run: Run) -> bool:
        """Print how far the run is, when that has changed; return whether it has ended."""
        run.refresh_from_db()
        line = _line(run)
        if line != self.said:
            self.stdout.write(line)
            self.said = line
        return run.is_final


def _line(run: Run) -> str:
    parts = [run.get_state_display()]
    if run.total_steps:
        parts.append(f"step {run.step} of {run.total_steps}")
    for name in ("loss", "accuracy"):
        value = run.progress.get(name)
        if isinstance(value, int | float):
            parts.append(f"{name} {value:.4g}")
    left = run.progress.get("eta_seconds")
    if run.state == Run.State.RUNNING and isinstance(left, int | float):
        parts.append(f"{left:.0f} s left")
    return ", ".join(parts)


def _execute(run_id: int) -> None:
    try:
        execution.execute(run_id)
    finally:
        connection.close()


def _create(
    *,
    campaign: str,
    recipe: str,
    model: str | None,
    parent: str | None,
    snapshot: int | None,
    suite: str | None,
    documents: str | None,
    rolled: int | None,
    knob: list[str],
    part: list[str],
    scorer: list[str],
    beside: list[str],
    engine: str | None,
    engine_setting: list[str],
    seed: int,
    actor: str | None,
) -> Run:
    """Return the queued run; CommandError names what does not exist."""
    found, person = campaign_called(campaign), person_called(actor)
    parts = dict(pair(given, "--part SLOT") for given in part)
    chosen = assembled(recipe, parts)
    view = chosen.view
    data: Snapshot | None
    if (suite is not None) != (view in SUITES):
        told = "reads a suite; name its file by --suite" if view in SUITES else "reads no suite; leave out --suite"
        raise CommandError(f"{recipe} {told}.")
    if (documents is not None) != (view == DOCUMENTS):
        told = "reads texts; name their file by --documents" if view == DOCUMENTS else "reads no texts of a file"
        raise CommandError(f"{recipe} {told}.")
    if model and parent:
        raise CommandError("Give --model or --parent, not both.")
    if rolled is not None and snapshot is not None:
        raise CommandError("Give --snapshot or --rollouts, not both.")
    if suite is not None or rolled is not None or documents is not None:
        data = None
    elif snapshot is None:
        filters = {} if view == "prompts" else {"include_audit": False}
        filters |= anchors.filters(chosen, dict(pair(given, "--knob NAME") for given in knob))
        data = snapshots.freeze(campaign=found, view=view, filters=filters, actor=person)
    else:
        data = Snapshot.objects.filter(pk=snapshot, campaign=found).first()
        if data is None:
            raise CommandError(f"There is no snapshot {snapshot} in {found}.")
    scorer, awaits = _awaited(parent, scorer)
    with transaction.atomic():
        run = runs.create(
            campaign=found,
            recipe=recipe,
            knobs=dict(pair(given, "--knob NAME") for given in knob),
            actor=person,
            parent=None if model or waiting.MODEL in awaits else _parent(found, parent),
            snapshot=data,
            inputs=({"model": model} if model else {})
            | ({"suite": suite} if suite else {})
            | ({"documents": documents} if documents else {})
            | ({} if rolled is None else rollouts.inputs_of(campaign=found, recipe=recipe, run_id=rolled))
            | _scorers(found, chosen, scorer, awaited=awaits)
            | _beside(found, beside)
            | _engine(engine, engine_setting),
            seed=seed,
            parts=parts,
            awaits=awaits,
        )
        if data is not None:  # said last: what is wrong with the order itself comes first
            snapshots.refuse_empty(data)
    return run


def _told(error: Exception, knobs: list[str]) -> str:
    """Return an error as a sentence; what is wrong with the value of a knob says of which."""
    named = getattr(error, "errors", {})
    of = [given.partition("=")[0] for given in knobs if given.partition("=")[0] in named]
    return f"{of[0]}: {named[of[0]][0]}" if of and of[0] not in str(error) else str(error)


def _awaited(parent: str | None, scorer: list[str]) -> tuple[list[str], dict[str, int]]:
    """Return the scorers that are versions, and the runs that are waited for by what they make: run-12 is run 12."""
    given = [(waiting.MODEL, parent or ""), *(pair(one, "--scorer NAME") for one in scorer)]
    awaits = {name: int(label[4:]) for name, label in given if label.startswith("run-") and label[4:].isdecimal()}
    return [one for one in scorer if pair(one, "--scorer NAME")[0] not in awaits], awaits


def campaign_called(name: str) -> Campaign:
    """Return the campaign of this name or id; CommandError when there is none."""
    found = Campaign.objects.kept().filter(name=name).first()
    if found is None and name.isdecimal():
        found = Campaign.objects.kept().filter(pk=int(name)).first()
    if found is None:
        raise CommandError(f"There is no campaign {name}.")
    return found


def person_called(name: str | None) -> User | None:
    """Return the person of this name, None without one; CommandError when there is none."""
    found = None if name is None else User.objects.filter(username=name).first()
    if name is not None and found is None:
        raise CommandError(f"There is no person called {name}.")
    return found


def pair(given: str, form: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        raise CommandError(f"Write {form}=VALUE, not {given}.")
    return name.strip(), value.strip()


def _engine(name: str | None, given: list[str]) -> dict[str, Any]:
    if name is None and given:
        raise CommandError("--engine-setting is for an --engine; name it as well.")
    own = dict(pair(one, "--engine-setting NAME") for one in given)
    return {} if name is None else {"engine": {"name": name, "settings": own}}


def _scorers(campaign: Campaign, recipe: Recipe, given: list[str], *, awaited: Collection[str]) -> dict[str, Any]:
    """Return the models that score, as inputs of the run; where none is named or waited for, the one in use."""
    named = {}
    for name, label in (pair(one, "--scorer NAME") for one in given):
        version = _parent(campaign, label)
        if version.kind == ModelVersion.Kind.POLICY:
            raise CommandError(f"{label} is a policy, which gives no scores. Choose a reward model.")
        named[name] = version.path
    for name in set(recipe.scorers) & set(ModelVersion.SCORING) - set(awaited):
        in_use = versions.current(campaign, name)
        if in_use is not None:
            named.setdefault(name, in_use.path)
    return {"scorers": named} if named and (recipe.scorers or recipe.may_score) else {}


def _beside(campaign: Campaign, given: list[str]) -> dict[str, Any]:
    """Return the other policies that the recipe reads, as inputs of the run."""
    named = {name: _parent(campaign, label).path for name, label in (pair(one, "--beside NAME") for one in given)}
    return {"beside": named} if named else {}


def _parent(campaign: Campaign, label: str | None) -> ModelVersion:
    if label is None:
        version = versions.current(campaign, ModelVersion.Kind.POLICY)
        if version is None:
            raise CommandError(f"{campaign} has no policy in use; give --model or --parent.")
        return version
    kind, _, number = label.rpartition("-")
    found = ModelVersion.objects.filter(campaign=campaign, kind=kind, number=int(number) if number.isdecimal() else -1)
    version = found.first()
    if version is None:
        raise CommandError(f"There is no version {label} in {campaign}.")
    return version
