"""Dialogues that a run branched, compared by people as wholes: what they see, and what `refuel` learns from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Assignment, Campaign, Event, Feedback, Task, User
from tests.factories import make_campaign
from training import paths
from training.core.records import Tally, parse_lines
from training.errors import Invalid
from training.models import ModelVersion, Run
from training.recipes.rollouts import NAME
from training.services import rollouts, snapshots

pytestmark = pytest.mark.django_db

Message = dict[str, str]


def say(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def pair(number: int) -> dict[str, Any]:
    """A row as `refuel-rollouts` leaves it: the dialogues part at turn 2 and go on once more."""
    opening = [say("user", f"My bread is flat, loaf {number}."), say("assistant", "How old is the yeast?")]
    sides = {
        side: {
            side: [say("assistant", f"{text} ({number})")],
            f"{side}_rest": [say("user", "And then?"), say("assistant", f"Then {text.lower()} again.")],
        }
        for side, text in (("chosen", "Feed it."), ("rejected", "Throw it away."))
    }
    prompt = [*opening, say("user", "A week.")]
    return {"id": f"q{number}/1", "prompt": prompt, **sides["chosen"], **sides["rejected"], "strength": 0.7, "turn": 2}


@pytest.fixture
def run(campaign: Campaign, policy: ModelVersion) -> Run:
    made = Run.objects.create(
        campaign=campaign,
        recipe={"name": NAME, "knobs": {}},
        inputs={"model": policy.path},
        state=Run.State.SUCCEEDED,
        result={"counts": {"pairs": 2}, "files": {"pairs": "pairs.jsonl"}},
    )
    folder = paths.files() / "runs" / str(made.pk)
    folder.mkdir(parents=True)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair(n)) + "\n" for n in range(2)))
    return made


@pytest.fixture
def whole(lead: User, annotator: User, engineer: User) -> Campaign:
    options = {"scope": "dialogue"}
    return make_campaign("Whole", lead=lead, annotators=[annotator], engineers=[engineer], options=options)


def test_people_compare_them_beside_each_other_and_refuel_learns_the_turn_where_they_part(
    client: Client, run: Run, whole: Campaign, lead: User, annotator: User, policy: ModelVersion
) -> None:
    client.force_login(lead)
    page = reverse("run", args=[run.pk])
    assert "Have people compare these dialogues" in client.get(page).content.decode()
    told = client.post(reverse("run-ask", args=[run.pk]), {"campaign": whole.pk}, follow=True).content.decode()
    assert "2 pairs of dialogues are in the queue of Whole." in told
    again = client.post(reverse("run-ask", args=[run.pk]), {"campaign": whole.pk}, follow=True).content.decode()
    assert "2 were there already." in again and Event.objects.filter(action="rollouts.asked").count() == 1
    assert {task.meta["policy"] for task in Task.objects.filter(campaign=whole)} == {policy.label}

    client.force_login(annotator)
    screen = client.get(f"/work/{whole.pk}/").content.decode()
    assert "Dialogue A" in screen and "Dialogue B" in screen and policy.label not in screen
    assert screen.count("How old is the yeast?") == 2, "rendered and raw, once for both"
    assert screen.count("And then?") == 4, "and what follows the turn where they part in each"
    while (held := Assignment.objects.filter(user=annotator, state="open").first()) is not None:
        texts = [one["text"] for one in held.task.content["completions"]]
        better = next(place for place, text in enumerate(texts) if "Throw" in text)  # not what the reward model says
        shown = "1" if held.shown_order[0] == better else "7"
        sent = {"assignment": held.key, "client_key": held.key, "preference": shown}
        assert client.post(f"/work/{whole.pk}/", sent).status_code == 302
        client.get(f"/work/{whole.pk}/")
    assert Feedback.objects.count() == 2

    frozen = snapshots.freeze(campaign=whole, view="pairs", filters={}, actor=lead)
    lines = [json.dumps(row) for row in snapshots.lines(frozen)]
    assert len(lines) == 2 and all(len(json.loads(line)["chosen"]) == 3 for line in lines)
    learned = [record for _, record in parse_lines(lines, "pairs", Tally(), parted=True)]
    assert sorted((one.chosen, one.rejected, one.strength) for one in learned) == [  # type: ignore[union-attr]
        (f"Throw it away. ({n})", f"Feed it. ({n})", 1.0) for n in range(2)
    ]
    assert all(one.prompt == pair(0)["prompt"] or one.prompt == pair(1)["prompt"] for one in learned)
    assert not parse_lines(lines, "pairs", Tally()), "no other recipe takes a dialogue for an answer"


def test_what_cannot_be_asked_says_why(run: Run, campaign: Campaign, whole: Campaign, engineer: User) -> None:
    with pytest.raises(Invalid, match="does not compare whole dialogues"):
        rollouts.ask(run=run, campaign=campaign, actor=engineer)
    client = APIClient()
    client.force_authenticate(engineer)
    address = reverse("api-run-ask", args=[run.pk])
    refused = client.post(address, {"campaign": campaign.pk}, format="json")
    assert refused.status_code == 422 and "does not compare" in refused.json()["errors"]["campaign"][0]
    made = client.post(address, {"campaign": whole.pk}, format="json")
    assert (made.status_code, made.json()) == (201, {"created": 2, "existing": 0})
    call_command("ask_rollouts", str(run.pk), campaign="Whole")
    with pytest.raises(CommandError, match="There is no run 999"):
        call_command("ask_rollouts", "999", campaign="Whole")
    Run.objects.filter(pk=run.pk).update(state=Run.State.FAILED)
    run.refresh_from_db()
    with pytest.raises(Invalid, match="left no branched dialogues"):
        rollouts.ask(run=run, campaign=whole, actor=engineer)


def test_the_same_beginning_is_on_one_side_of_the_split_wherever_the_dialogues_part(run: Run, whole: Campaign) -> None:
    folder = paths.files() / "runs" / str(run.pk)
    early = pair(0) | {"id": "q0/2", "prompt": pair(0)["prompt"][:1], "turn": 1}
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (pair(0), early)))
    rollouts.ask(run=run, campaign=whole, actor=None)
    one, other = Task.objects.filter(campaign=whole).select_related("prompt")
    assert one.prompt == other.prompt and one.content["messages"] != other.content["messages"]
