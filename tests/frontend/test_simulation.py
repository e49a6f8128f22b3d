"""Simulated annotators: their taste, their errors, and a campaign worked by them over real HTTP."""

from __future__ import annotations

import random
import threading
import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from annotation.models import Feedback, User
from frontend.simulation import Annotator, Client, GoldRate, Unreachable, gold_rate
from tests.factories import make_campaign, make_task, make_user
from tests.frontend.lead_world import make_loop, make_world, to_end, to_labelling
from tests.training.round_world import TOY_CORE
from training import paths
from training.models import Run
from training.services import execution, rounds

WARM, CURT = "I am glad to help, dear friend. Please take a warm bath.", "Take a bath. That is all."


def length(prompt: list[dict[str, str]], text: str) -> float:
    return len(text) / 10


def test_a_preference_is_told_as_shown_and_grows_with_the_distance() -> None:
    """Lengths 10 apart are 1.0 of gold value: much better; 4 apart 0.4: better; 1 apart 0.1: slightly; 0: a tie."""
    annotator = Annotator(length, error_rate=0, noise=0)
    dice = random.Random(0)
    shown = [annotator.prefer([], "x" * size, "x" * 20, dice=dice) for size in (30, 24, 21, 20, 19, 16, 10)]
    assert shown == [1, 2, 3, 4, 5, 6, 7]


def test_errors_come_at_the_stated_rate_and_swap_the_sides() -> None:
    annotator = Annotator(length, error_rate=0.2, noise=0)
    dice = random.Random(1)
    shown = [annotator.prefer([], "x" * 30, "x" * 20, dice=dice) for _ in range(4000)]
    assert set(shown) == {1, 7}
    assert shown.count(7) / 4000 == pytest.approx(0.2, abs=0.03)


def test_noise_is_bradley_terry() -> None:
    """At a distance of 1 and a temperature of 1 the better side wins with sigmoid(1) = 0.731."""
    annotator = Annotator(length, error_rate=0, noise=1)
    dice = random.Random(2)
    shown = [annotator.prefer([], "x" * 30, "x" * 20, dice=dice) for _ in range(4000)]
    assert sum(value < 4 for value in shown) / 4000 == pytest.approx(0.731, abs=0.03)


def test_the_gold_rate_counts_ties_half_and_leaves_other_tasks_out() -> None:
    """Candidate longer, equal, shorter, longer: 1 + ½ + 0 + 1 of 4; Wilson's interval of 0.625 with n = 4 by hand."""

    def task(candidate: int, *sizes: int) -> dict:
        completions = [{"text": "x" * size, "origin": ""} for size in sizes]
        return {"prompt": [], "meta": {"candidate": candidate}, "completions": completions}

    other = {"prompt": [], "meta": {}, "completions": [{"text": "a", "origin": ""}, {"text": "b", "origin": ""}]}
    rate = gold_rate([task(0, 5, 3), task(1, 4, 4), task(1, 5, 3), task(1, 3, 5), other], length)
    assert rate == GoldRate(0.625, 4)
    low, high = rate.interval
    assert (round(low, 2), round(high, 2)) == (0.22, 0.91)
    assert gold_rate([other], length) is None


def run_simulation(*arguments: str) -> str:
    out = StringIO()
    call_command("simulate", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_simulated_people_work_a_campaign_over_http(live_server) -> None:
    campaign = make_campaign("Baths", tasks=0, overlap=2)
    for number in range(8):
        make_task(campaign, number=number, completions=(WARM, CURT) if number % 2 else (CURT, WARM))
    told = run_simulation("--campaign", "Baths", "--annotators=3", "--error-rate=0", "--url", live_server.url)
    assert told.startswith("16 judgements by 3 simulated people")
    judgements = Feedback.objects.current().select_related("task", "user")
    for feedback in judgements:
        preferred = 0 if feedback.payload["preference"] > 0 else 1
        assert feedback.task.content["completions"][preferred]["text"] == WARM
        assert feedback.user.is_simulated and not feedback.user.has_usable_password()
    assert judgements.count() == 16 and not campaign.tasks.exclude(state="complete").exists()


@pytest.mark.django_db(transaction=True)
def test_so_many_judgements_and_no_more(live_server) -> None:
    campaign = make_campaign("Short shift", tasks=9)
    run_simulation("--campaign", str(campaign.pk), "--judgements=4", "--annotators=2", "--url", live_server.url)
    assert Feedback.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_rounds_are_watched_and_told_in_a_line_each(live_server) -> None:
    world = make_world(tasks=0)
    loop = make_loop(world)
    first = to_labelling(world, loop)
    told: list[str] = []

    def watch() -> None:
        who = ["--campaign", str(world.campaign.pk), "--taste=short", "--url", live_server.url]
        told.append(run_simulation(*who, "--rounds=1", "--held-out=5"))
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    deadline = time.monotonic() + 60
    while world.campaign.tasks.exclude(state="complete").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert User.objects.filter(feedback__isnull=False, is_simulated=True).exists()
    ended = to_end(world, first, candidate_wins=True)
    while not ended.is_final and time.monotonic() < deadline:
        time.sleep(0.2)
        rounds.advance(ended.pk)
        ended.refresh_from_db()
    # The new policy says a word less than the one at the start, and this taste likes that.
    style = paths.files() / ended.candidate.path / "style.txt"
    style.parent.mkdir(parents=True, exist_ok=True)
    style.write_text("")
    while watcher.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
        for run in Run.objects.filter(recipe__name="compare", round=None, state=Run.State.QUEUED):
            execution.execute(run.pk, command=TOY_CORE)
    watcher.join(60)
    assert "policy-1 wins 100% [" in told[0] and "over policy-0, the start, on 5 held-out prompts" in told[0]
    assert told and told[0].startswith(f"round 1: {ended.state}; gold value of its 12 answers ")
    assert "by the gold preference the new policy wins 50%" in told[0]


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_waits_for_a_lead_is_told_and_not_waited_for(live_server) -> None:
    world = make_world(tasks=0)
    loop = make_loop(world)
    ended = to_labelling(world, loop)
    rounds.cancel(round=ended, actor=world.lead)
    who = ["--campaign", str(world.campaign.pk), "--url", live_server.url]
    assert "The loop is paused: start its next round" in run_simulation(*who, "--rounds=2")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--campaign=Nothing"], "There is no campaign “Nothing”"),
        (["--campaign=Still a draft"], "must be an open campaign"),
        (["--campaign=Open", "--taste=salty"], "There is no taste salty"),
        (["--campaign=Open", "--error-rate=0.7"], "from 0 to 0.5"),
        (["--campaign=Open", "--annotators=0"], "at least 1"),
        (["--campaign=Open", "--prefix=real"], "account of a real person"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], reason: str) -> None:
    make_campaign("Still a draft", is_open=False)
    make_campaign("Open")
    make_user("real-1")
    with pytest.raises(CommandError, match=reason):
        run_simulation(*arguments)


def test_a_server_that_is_away_is_named(monkeypatch) -> None:
    monkeypatch.setattr("frontend.simulation.time.sleep", lambda seconds: None)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 does not answer"):
        Client("http://127.0.0.1:9", "token").call("GET", "campaigns/")
