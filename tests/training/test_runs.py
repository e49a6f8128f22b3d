"""A run's life in the database, with real child processes, real workers, and real kills."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from annotation.models import Campaign, Event, User
from tests.factories import judge
from tests.training.workers import alive, start_worker, step_of, toy, wait_for
from training import launch, paths
from training.errors import Invalid, RunLost, WrongState
from training.folder import has_new_checkpoint
from training.models import ModelVersion, Run
from training.recipes.spec import RunResult
from training.services import execution, recovery, runs, snapshots, versions

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = launch.Patience(until_term=1.0, until_kill=3.0)


@pytest.fixture
def run(campaign: Campaign, policy: ModelVersion, lead: User) -> Run:
    return make_run(campaign, policy, lead)


def make_run(campaign: Campaign, policy: ModelVersion, actor: User | None, **values: Any) -> Run:
    values.setdefault("inputs", {"data": "snapshots/none.jsonl"})
    return runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=actor, parent=policy, **values)


def chain_of(run: Run) -> str:
    run.refresh_from_db()
    return run.result["metrics"]["chain"]


# --- Creating ----------------------------------------------------------------------------------------------------


def test_create_fills_the_knobs_and_refuses_what_does_not_fit(
    campaign: Campaign, policy: ModelVersion, lead: User
) -> None:
    run = runs.create(
        campaign=campaign, recipe="dpo", knobs={"beta": "0.3"}, actor=lead, parent=policy, inputs={"data": "x.jsonl"}
    )
    assert run.kind == "fit"
    assert run.recipe["knobs"]["beta"] == 0.3
    assert run.recipe["knobs"]["epochs"] == 1
    assert run.inputs["model"] == policy.path
    assert run.state == Run.State.QUEUED
    assert Event.objects.filter(campaign=campaign, action="run.created", actor=lead).exists()

    with pytest.raises(Invalid) as wrong:
        runs.create(campaign=campaign, recipe="dpo", knobs={"betta": 1, "epochs": 0}, actor=lead, parent=policy)
    assert "Did you mean beta?" in wrong.value.errors["betta"][0]
    assert wrong.value.errors["epochs"] == ["Enter at least 1."]
    with pytest.raises(Invalid, match="Did you mean dpo"):
        runs.create(campaign=campaign, recipe="dpoo", knobs={}, actor=lead, parent=policy)
    with pytest.raises(Invalid) as no_data:
        runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=lead, parent=policy)
    assert "snapshot" in no_data.value.errors
    with pytest.raises(Invalid) as no_model:
        runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=lead, inputs={"data": "x.jsonl"})
    assert "model" in no_model.value.errors


def test_create_refuses_what_belongs_to_another_campaign(campaign: Campaign, policy: ModelVersion, lead: User) -> None:
    from tests.factories import make_campaign

    other = make_campaign("Another", lead=lead)
    with pytest.raises(Invalid, match="belongs to another campaign"):
        make_run(other, policy, lead)


# --- One attempt -------------------------------------------------------------------------------------------------


def test_execute_brings_a_run_to_its_end_and_registers_the_model(run: Run, policy: ModelVersion) -> None:
    done = execution.execute(run.pk, command=toy(steps=5, pause=0.3))
    assert done is not None
    assert done.state == Run.State.SUCCEEDED
    assert done.result["notes"] == ["Made by a toy."]
    assert (done.step, done.total_steps) == (5, 5)
    assert done.progress["loss"] == 0.2
    assert done.progress["eta_seconds"] == 0.0
    assert (done.claim, done.pid) == ("", None)
    output = done.output
    assert output is not None
    assert (output.label, output.state, output.parent) == ("policy-1", "candidate", policy)
    assert output.path == f"runs/{run.pk}/model"
    assert Path(paths.resolve(output.path), "weights.txt").exists()
    assert execution.execute(run.pk, command=toy()) is None, "a run that has ended is not there to be had"


def test_a_child_that_explains_itself_fails_the_run_with_its_sentence(run: Run) -> None:
    done = execution.execute(run.pk, command=toy(mode="explains"))
    assert done is not None
    assert (done.state, done.failures) == (Run.State.FAILED, 1)
    assert str(done.error) == "The rows do not fit the model. Choose another snapshot."


def test_a_child_that_crashes_fails_the_run_with_the_end_of_its_log(run: Run) -> None:
    done = execution.execute(run.pk, command=toy(mode="crashes"))
    assert done is not None
    assert done.state == Run.State.FAILED
    assert "ended with code 1" in str(done.error)
    assert "RuntimeError: something broke in the middle" in str(done.error)


def test_a_killed_child_is_queued_again_and_fails_after_three_attempts_without_a_checkpoint(run: Run) -> None:
    for attempt in (1, 2):
        done = execution.execute(run.pk, command=toy(mode="is-killed"))
        assert done is not None
        assert (done.state, done.attempts) == (Run.State.QUEUED, attempt)
        assert "SIGKILL" in str(done.error)
    done = execution.execute(run.pk, command=toy(mode="is-killed"))
    assert done is not None
    assert done.state == Run.State.FAILED
    assert "3 times" in str(done.error)


def test_a_command_that_cannot_be_started_fails_the_run_with_a_sentence(run: Run) -> None:
    done = execution.execute(run.pk, command=["/no/such/program"])
    assert done is not None
    assert done.state == Run.State.FAILED
    assert "could not be started" in str(done.error)


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_by_its_worker(
    run: Run, campaign: Campaign, policy: ModelVersion, lead: User
) -> None:
    assert runs.cancel(run=run, actor=lead).state == Run.State.CANCELLED
    assert execution.execute(run.pk, command=toy()) is None
    with pytest.raises(WrongState):
        runs.cancel(run=run, actor=lead)

    second = make_run(campaign, policy, lead)
    thread = in_thread(lambda: execution.execute(second.pk, command=toy(steps=2000, pause=0.05), patience=QUICK))
    wait_for(lambda: step_of(second) > 0, what="the first step")
    assert runs.cancel(run=second, actor=lead).state == Run.State.RUNNING
    thread.join(timeout=20)
    second.refresh_from_db()
    assert second.state == Run.State.CANCELLED
    assert second.finished_at is not None


def in_thread(work: Any) -> threading.Thread:
    def body() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def test_a_worker_that_is_told_to_stop_hands_the_run_back_with_a_checkpoint(run: Run) -> None:
    thread = in_thread(lambda: execution.execute(run.pk, command=toy(steps=300, pause=0.05)))
    wait_for(lambda: step_of(run) > 0, what="the first step")
    execution.STOPPING.value = True
    thread.join(timeout=20)
    run.refresh_from_db()
    assert (run.state, run.attempts) == (Run.State.QUEUED, 0)
    execution.STOPPING.value = False
    done = execution.execute(run.pk, command=toy(steps=300))
    assert done is not None
    assert done.state == Run.State.SUCCEEDED
    _, second = (paths.run_folder(run.pk) / "starts.txt").read_text().splitlines()
    assert int(second.split()[1]) >= 1, "it went on from the checkpoint"


def test_retry_queues_a_failed_run_again(run: Run, lead: User) -> None:
    execution.execute(run.pk, command=toy(mode="explains"))
    assert runs.retry(run=run, actor=lead).state == Run.State.QUEUED
    with pytest.raises(WrongState):
        runs.retry(run=run, actor=lead)
    done = execution.execute(run.pk, command=toy())
    assert done is not None
    assert (done.state, str(done.error), done.failures) == (Run.State.SUCCEEDED, "", 0)


# --- Two workers, and lost ones ----------------------------------------------------------------------------------


def test_of_many_workers_that_claim_at_once_one_gets_the_run(run: Run) -> None:
    barrier = threading.Barrier(8)
    got: list[Run] = []

    def claim() -> None:
        barrier.wait()
        mine = runs.claim(run.pk, runs.claim_name())
        if mine is not None:
            got.append(mine)

    threads = [in_thread(claim) for _ in range(8)]
    for thread in threads:
        thread.join()
    assert len(got) == 1
    run.refresh_from_db()
    assert (run.claim, run.attempts) == (got[0].claim, 1)


def test_two_messages_for_one_run_start_one_child(run: Run) -> None:
    threads = [in_thread(lambda: execution.execute(run.pk, command=toy(steps=10, pause=0.02))) for _ in range(4)]
    for thread in threads:
        thread.join()
    run.refresh_from_db()
    assert run.state == Run.State.SUCCEEDED
    assert len((paths.run_folder(run.pk) / "starts.txt").read_text().splitlines()) == 1


def test_a_worker_that_lost_its_run_can_write_nothing_more(run: Run) -> None:
    mine = runs.claim(run.pk, "first")
    assert mine is not None
    Run.objects.filter(pk=run.pk).update(claim="second")
    for write in (
        lambda: runs.beat(mine, {"step": 3}),
        lambda: runs.record_child(mine, pid=1, started=1.0),
        lambda: runs.finish(mine, RunResult(model="model")),
        lambda: runs.fail(mine, "no"),
        lambda: runs.requeue(mine, reason="no"),
        lambda: runs.record_cancelled(mine),
    ):
        with pytest.raises(RunLost):
            write()
    run.refresh_from_db()
    assert (run.state, run.claim, run.step, run.output) == (Run.State.RUNNING, "second", 0, None)
    assert not ModelVersion.objects.filter(kind="policy", number=1).exists()


def test_a_worker_killed_with_9_loses_nothing(run: Run, campaign: Campaign, policy: ModelVersion, lead: User) -> None:
    """The orphan is stopped, the run goes on from its checkpoint, and ends as one that nobody disturbed."""
    undisturbed = make_run(campaign, policy, lead)
    execution.execute(undisturbed.pk, command=toy(steps=40))

    worker = start_worker(run.pk, toy(steps=40, pause=0.25))
    wait_for(lambda: step_of(run) >= 5, what="five steps")
    run.refresh_from_db()
    orphan = run.pid
    assert orphan is not None
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert alive(orphan)
    assert recovery.recover_lost() == 1, "no need to wait for the heartbeat: the worker was a process of this machine"
    assert not alive(orphan)
    run.refresh_from_db()
    assert (run.state, run.pid) == (Run.State.QUEUED, None)
    assert recovery.recover_lost() == 0

    done = execution.execute(run.pk, command=toy(steps=40))
    assert done is not None
    assert done.state == Run.State.SUCCEEDED
    assert chain_of(run) == chain_of(undisturbed)
    starts = (paths.run_folder(run.pk) / "starts.txt").read_text().splitlines()
    assert len(starts) == 2
    assert int(starts[1].split()[1]) >= 3
    assert ModelVersion.objects.filter(campaign=campaign, kind="policy").count() == 3


def test_a_silent_worker_of_another_machine_is_given_up_after_a_while(run: Run, settings: Any) -> None:
    claimed = runs.claim(run.pk, "elsewhe1-17-1700000000-abcdef")
    assert claimed is not None
    assert recovery.recover_lost() == 0
    Run.objects.filter(pk=run.pk).update(
        heartbeat_at=timezone.now() - timedelta(seconds=settings.ATTUNE_RUN_LOST_SECONDS + 1),
        # A pid of another machine names nobody here: this test's own process must survive.
        pid=os.getpid(),
        pid_started=1.0,
    )
    assert recovery.recover_lost() == 1
    run.refresh_from_db()
    assert (run.state, str(run.error)) == (Run.State.QUEUED, "Its worker was lost.")


def test_a_worker_killed_between_result_and_row_is_made_up_for(run: Run) -> None:
    claimed = runs.claim(run.pk, "elsewhe1-17-1700000000-abcdef")
    assert claimed is not None
    folder = paths.run_folder(run.pk)
    RunResult(model="model", metrics={"chain": "x"}).write(folder)
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert recovery.recover_lost() == 1
    run.refresh_from_db()
    assert run.state == Run.State.SUCCEEDED
    assert run.output is not None


def test_a_lost_run_that_somebody_cancelled_is_cancelled(run: Run, lead: User) -> None:
    runs.claim(run.pk, "elsewhe1-17-1700000000-abcdef")
    runs.cancel(run=run, actor=lead)
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    recovery.recover_lost()
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED


def test_a_run_that_was_never_picked_up_is_announced_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    monkeypatch.setattr(recovery.messages, "wake_run", woken.append)
    recovery.recover_lost()
    assert woken == []
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    recovery.recover_lost()
    recovery.recover_lost()
    assert woken == [run.pk], "once, not with every beat"


def test_progress_forgives_earlier_attempts(run: Run) -> None:
    """Losing the worker once a day must not end a run of a week: attempts count only without a new checkpoint."""
    for _ in range(4):
        thread = in_thread(lambda: execution.execute(run.pk, command=toy(steps=10_000, pause=0.03)))
        wait_for(lambda: Run.objects.get(pk=run.pk).pid is not None, what="the child")
        folder = paths.run_folder(run.pk)
        wait_for(lambda folder=folder: has_new_checkpoint(folder), what="a checkpoint")
        pid = Run.objects.get(pk=run.pk).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        thread.join(timeout=20)
        run.refresh_from_db()
        assert (run.state, run.attempts) == (Run.State.QUEUED, 0)


def test_two_runs_that_finish_together_get_two_numbers(campaign: Campaign, policy: ModelVersion, lead: User) -> None:
    several = [make_run(campaign, policy, lead) for _ in range(4)]
    threads = [in_thread(lambda pk=one.pk: execution.execute(pk, command=toy(steps=2))) for one in several]
    for thread in threads:
        thread.join()
    numbers = ModelVersion.objects.filter(campaign=campaign, kind="policy").values_list("number", flat=True)
    assert sorted(numbers) == [0, 1, 2, 3, 4]


# --- Snapshots and lineage ---------------------------------------------------------------------------------------


def test_lineage_reaches_the_judgements(campaign: Campaign, policy: ModelVersion, annotator: User, lead: User) -> None:
    from tests.factories import make_task

    for number in range(6):
        make_task(campaign, number=number)
    feedback = [judge(annotator, campaign, preference=2 if number % 2 else -1).pk for number in range(6)]
    snapshot = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=lead)
    assert snapshot.rows == 6
    again = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=lead)
    assert again.pk == snapshot.pk
    assert Path(paths.resolve(snapshot.path)).name == f"{snapshot.sha256}.jsonl"

    run = runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=lead, parent=policy, snapshot=snapshot)
    execution.execute(run.pk, command=toy(steps=1))
    run.refresh_from_db()
    assert run.output is not None
    lineage = versions.lineage(run.output)
    assert lineage["feedback_ids"] == feedback
    assert (lineage["judgements"], lineage["annotators"], lineage["all_judgements"]) == (6, 1, 6)
    assert [ancestor["label"] for ancestor in lineage["ancestors"]] == ["policy-0"]
    assert lineage["recipe"]["name"] == "dpo"
    assert lineage["run"] == run.pk
    assert lineage["snapshot"]["sha256"] == snapshot.sha256


def test_draw_keeps_order_and_number_and_is_the_same_for_one_seed() -> None:
    rows = [{"n": number} for number in range(100)]
    drawn = snapshots.draw(rows, count=10, seed=3)
    numbers = [row["n"] for row in drawn]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 10
    assert snapshots.draw(rows, count=10, seed=3) == drawn
    assert snapshots.draw(rows, count=10, seed=4) != drawn
    assert snapshots.draw(rows[:4], count=10, seed=3) == rows[:4]


def test_register_looks_for_folders_and_takes_hub_names_on_trust(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="There is no folder"):
        versions.register(campaign=campaign, kind="policy", path="/no/such/folder", actor=None)
    assert versions.register(campaign=campaign, kind="policy", path="org/model", actor=None).path == "org/model"
    version = versions.register(campaign=campaign, kind="policy", path=str(tmp_path), actor=None)
    assert paths.resolve(version.path) == str(tmp_path)
    assert version.number == 1
