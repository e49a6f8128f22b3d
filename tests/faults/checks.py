"""What must be true at the end, and at any moment: from database and disk, beside what people were told."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.db.models import Count, F, Q

from annotation import sums
from annotation.models import Assignment, Campaign, Feedback, Task
from annotation.services import block_counts
from tests.faults.people import Ledger
from training import paths
from training.models import ModelVersion, Run, Snapshot
from training.services import leftovers

# What is put in place by rename; the rows that a run which failed has made so far are for its next attempt.
BEGUN = re.compile(r"(?<!jsonl\.\d)\.part$|\.new$|^tmp")
HELD = Count("assignments", filter=Q(assignments__state=Assignment.State.OPEN, assignments__is_gold=False))


def over_assigned() -> list[str]:
    """Return the items that more people have judged or hold than are wanted."""
    found = Task.objects.annotate(held=HELD).filter(held__gt=F("wanted") - F("done"))
    return [f"{one} is wanted {one.wanted} times, has {one.done} and {one.held} hold it." for one in found]


def judgements(ledger: Ledger) -> Iterator[str]:
    """Yield what is wrong about the judgements: each acknowledged one must be there once, and no other."""
    stored = list(Feedback.objects.values_list("user__username", "client_key", "pk", "is_current"))
    there = {(person, key): number for person, key, number, _ in stored}
    if len(there) != len(stored):
        yield "A submit was stored twice."
    for who, number in ledger.acknowledged.items():
        if there.get(who) != number:
            yield f"Judgement {number} of {who} was acknowledged; the database has {there.get(who)}."
    for who in there.keys() - ledger.acknowledged.keys():
        yield f"Judgement {there[who]} of {who} is stored and was never acknowledged: {ledger.refused.get(who)}."
    if not all(current for *_, current in stored):
        yield "A judgement does not stand, and nobody corrected one."
    for task, people in Feedback.objects.values_list("task").annotate(n=Count("user", distinct=True)):
        if people != Feedback.objects.filter(task=task).count():
            yield f"Somebody judged task {task} twice."


def queue() -> Iterator[str]:
    """Yield what is wrong about seats: judged, held and free must add up to what is wanted."""
    yield from over_assigned()
    counted = Count("feedback", filter=Q(feedback__is_current=True, feedback__is_review=False), distinct=True)
    held = Count(
        "assignments", filter=Q(assignments__state=Assignment.State.OPEN, assignments__is_gold=False), distinct=True
    )
    for task in Task.objects.annotate(counted=counted, held=held):
        if task.done != task.counted:
            yield f"{task} says that it has {task.done} judgements and has {task.counted}."
        if task.state == Task.State.OPEN and task.seats != task.wanted - task.done - task.held:
            yield f"{task} has {task.seats} free seats of {task.wanted}, {task.done} judged and {task.held} held."
    for campaign in Campaign.objects.all():
        block_counts.count_all()
        standing = sums.standing(sums.of(campaign))
        there = Feedback.objects.filter(campaign=campaign, is_current=True, is_review=False).count()
        if standing != there:
            yield f"The figures of {campaign} know {standing} judgements of {there}."


def training() -> Iterator[str]:
    """Yield what is wrong about runs, data sets and models."""
    for run in Run.objects.exclude(state__in=Run.FINAL):
        yield f"{run} is {run.state}, held by {run.claim!r}: {run.error}."
    for run in Run.objects.filter(state=Run.State.FAILED, error=""):
        yield f"{run} failed without a word."
    for run in Run.objects.exclude(claim="", pid=None):
        yield f"{run} has ended and is held by {run.claim!r}, process {run.pid}."
    doubled = Counter(Run.objects.exclude(purpose="").values_list("round", "purpose"))
    yield from (f"Round {one[0]} has {n} runs for {one[1]}." for one, n in doubled.items() if n > 1)
    for snapshot in Snapshot.objects.all():
        digest = hashlib.sha256((paths.files() / snapshot.path).read_bytes()).hexdigest()
        if digest != snapshot.sha256:
            yield f"The file of {snapshot} has other bytes than the row says."
    for version in ModelVersion.objects.all():
        if not Path(paths.resolve(version.path)).is_dir():
            yield f"There is no folder of {version}."
    made = Run.objects.filter(state=Run.State.SUCCEEDED, kind=Run.Kind.FIT, output=None)
    yield from (f"{run} succeeded, and there is no model of it." for run in made)


def files(home: Path) -> Iterator[str]:
    """Yield the files that nobody knows of, once the daily task has deleted what was begun a day ago."""
    leftovers.delete_leftovers(timedelta(0))
    folder = paths.files()
    runs = {str(number) for number in Run.objects.values_list("pk", flat=True)}
    yield from (f"{one} belongs to no run." for one in _in(folder / "runs") if one.name not in runs)
    known = {Path(path).name for path in Snapshot.objects.values_list("path", flat=True)}
    known |= {Path(str(one)).name for inputs in Run.objects.values_list("inputs", flat=True) for one in inputs.values()}
    yield from (f"{one} belongs to no data set." for one in _in(folder / "snapshots") if one.name not in known)
    for one in home.rglob("*"):
        if BEGUN.search(one.name) and one.is_file():
            yield f"{one.relative_to(home)} was begun and left."
    if (home / "run" / "broker.sock").exists():
        yield "The broker's socket is still there."


def _in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def reconnect() -> None:
    """Begin anew with the database, which may have been away."""
    connection.close()
