"""The loop in the browser: setting it up, the round's buttons, its history and the policy before and after."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from django.urls import reverse

from tests.frontend.lead_world import (
    World,
    as_sent,
    judge_all,
    make_loop,
    make_world,
    to_end,
    to_labelling,
    write_prompts,
)
from training import paths
from training.models import Loop, Round
from training.services import rounds

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world(tasks=0)


def at(name: str, world: World) -> str:
    return reverse(name, args=[world.campaign.pk])


def act(world: World, action: str) -> str:
    return world.client("lead").post(at("loop-action", world), {"action": action}, follow=True).content.decode()


def settings_of(client: Client, address: str) -> dict[str, str]:
    return as_sent(client.get(address).context["form"])


def row(setting: str, name: str, value: str, *, number: int = 0) -> dict[str, str]:
    place = f"{setting}-{number}"
    return {f"{setting}-rows": str(number + 1), f"{place}-name": name, f"{place}-value": value}


def test_without_a_loop_the_page_explains_one(world: World) -> None:
    assert "Set up a loop" in world.client("lead").get(at("loop", world)).content.decode()
    assert "Set up a loop" not in world.client("engineer").get(at("loop", world)).content.decode()
    assert world.client("lead").get(at("loop-status", world)).status_code == 286
    assert world.client("lead").get(at("loop-edit", world)).url == at("loop-new", world)


def test_setting_up_a_loop(world: World) -> None:
    client = world.client("lead")
    write_prompts(paths.files())
    sent = {**settings_of(client, at("loop-new", world)), "policy": "org/small-model", "prompts_per_round": "12"}
    assert sent["prompts_path"] == "prompts/bread.jsonl"  # offered, because it lies in the prompts folder
    assert client.post(at("loop-new", world), sent).url == at("loop", world)
    loop = Loop.objects.get()
    assert loop.settings["prompts_per_round"] == 12 and loop.settings["refresh_reward"] is True
    assert client.get(at("loop-new", world)).url == at("loop", world)
    html = client.get(at("loop", world)).content.decode()
    assert "No round has run yet" in html and "Start the first round" in html


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"policy": ""}, "policy", "required"),
        ({"policy": "/no/such/folder"}, "policy", "not in a folder that models are taken from"),
        ({"prompts_path": "nowhere.jsonl"}, "prompts_path", "no file of prompts"),
        ({"audit_share": "0.9"}, "audit_share", "Enter at most 0.5."),
        ({"prompts_per_round": "1"}, "prompts_per_round", "Enter at least 2."),
        ({"selection": "prettiest"}, "selection", "Choose one of"),
        (row("policy_settings", "lora_rnk", "4"), "policy_settings-0-name", "Did you mean lora_rank?"),
        (row("policy_settings", "lora_rank", "-1"), "policy_settings-0-value", "Enter at least 0."),
        (row("reward_settings", "learning_rate", "1"), "reward_settings-0-name", "own setting reward_learning_rate"),
        (row("cost_settings", "", "16"), "cost_settings-0-name", "Choose the setting whose value this is."),
        ({"policy_recipe": "rloo", "part-filter": "best"}, "part-filter", "leaves one answer of each prompt"),
        ({"policy_recipe": "rloo", "part-constrain": "audited-judges"}, "part-constrain", "Select a valid choice"),
    ],
)
def test_what_does_not_fit_is_said_beside_the_input(
    world: World, changes: dict[str, str], field: str, says: str
) -> None:
    client = world.client("lead")
    write_prompts(paths.files())
    sent = {**settings_of(client, at("loop-new", world)), "policy": "org/small-model", **changes}
    response = client.post(at("loop-new", world), sent)
    assert response.status_code == 422
    html = response.content.decode()
    block = html[html.index(f'name="{field}"') :]
    assert says in block[: block.index("</ul>")]
    assert not Loop.objects.exists()


def test_settings_can_be_changed_later(world: World) -> None:
    make_loop(world)
    client = world.client("lead")
    sent = {**settings_of(client, at("loop-edit", world)), "temperature": "0.7"}
    sent |= row("policy_settings", "lora_rank", "4") | row("policy_settings", "max_length", "64", number=1)
    assert "prompts_path" not in sent and sent["policy"] == "org/small-model", "which no run has read yet"
    saved = client.post(at("loop-edit", world), sent, follow=True)
    assert saved.redirect_chain == [(at("loop", world), 302)]
    assert "Saved. The next round goes by it." in saved.content.decode()  # no round is under way
    assert Loop.objects.get().settings["temperature"] == 0.7
    assert Loop.objects.get().settings["policy_settings"] == "lora_rank = 4\nmax_length = 64"
    assert client.post(at("loop-edit", world), {**sent, "temperature": "hot"}).status_code == 422


def test_the_tasks_of_a_loop_are_rows_to_fill_in(world: World) -> None:
    """Without a script: rows come and go by buttons that keep what was typed, and Enter still saves."""
    make_loop(world)
    client, page = world.client("lead"), at("loop-edit", world)
    shown = client.get(page)
    html = shown.content.decode()
    posted = html.split('method="post" aria-labelledby="loop-title"')[1]
    pressed = posted[posted.index("<button") :].split(">")[0]
    assert "name=" not in pressed and "disabled" not in pressed, "Enter presses the first button, and saves"
    assert 'value="audited-judges"' not in html and 'name="task-0-reward"' not in html, "a loop has no such models"
    usual = {**as_sent(shown.context["form"]), "tasks-rows": "1", "temperature": "0.9"}
    assert client.post(page, usual).status_code == 302 and Loop.objects.get().settings["tasks"] == ""
    mixed = {**usual, "policy_recipe": "task-mix"}
    unnamed = client.post(page, mixed)
    assert unnamed.status_code == 422 and "at least one task" in unnamed.content.decode()
    row = {"task-0-name": "sums", "task-0-domains": "algebra, proofs", "task-0-recipe": "cgpo-crraft"}
    row |= {"task-0-kl_budget": "50", "task-0-weight": "2"}
    more = client.post(page, {**mixed, **row, "tasks-another": "1", "temperature": "hot"})
    rows = more.context["form"].task_rows
    assert more.status_code == 200 and [one["name"].value() for one in rows] == ["sums", None]
    assert more.content.decode().count("autofocus") == 1 and 'value="hot"' in more.content.decode()
    both = {**mixed, **row, "tasks-rows": "2", "task-1-name": "talk", "task-1-domains": "*"}
    both |= {"task-1-recipe": "cgpo-codpo", "task-1-max_words": "9", "task-1-judges": "rules"}
    fewer = client.post(page, {**both, "tasks-remove": "0"}).context["form"]
    kept = [(one["name"].value(), one["max_words"].value(), one["kl_budget"].value()) for one in fewer.task_rows]
    assert kept == [("talk", "9", None)] and not fewer.errors
    none = client.post(page, {**mixed, **row, "tasks-remove": "0"}).context["form"].task_rows
    assert [one["name"].value() for one in none] == [None], "there is a row to go on with"
    wrong = client.post(page, {**both, "task-1-kl_budget": "9"})
    assert wrong.status_code == 422
    assert "no such setting" in wrong.context["form"].task_rows.rows[1].errors["kl_budget"][0]
    assert client.post(page, both).url == at("loop", world)
    made = json.loads(Loop.objects.get().settings["tasks"])
    assert made["sums"]["domains"] == ["algebra", "proofs"] and made["sums"]["knobs"]["kl_at_most"] == 50.0
    assert made["talk"]["recipe"] == "cgpo-codpo" and made["talk"]["knobs"]["max_words"] == 9
    again = client.get(page).context["form"]
    assert [one["domains"].value() for one in again.task_rows] == ["algebra, proofs", "*"]
    assert [one["weight"].value() for one in again.task_rows] == ["2", "1"] and not again["tasks"].value()
    # What rows cannot say is shown as it is, and counts instead of rows.
    text = '{"*": {"recipe": "grpo"}}'
    assert client.post(page, {**both, "tasks": text}).status_code == 302
    assert client.get(page).context["form"]["tasks"].value() == text == Loop.objects.get().settings["tasks"]


def test_what_a_loop_tells_its_recipes_is_picked_from_what_they_have(world: World) -> None:
    """Without a script: another recipe shows its own knobs and slots, and whoever looks at them loses nothing typed."""
    loop = make_loop(world)
    client, page = world.client("lead"), at("loop-edit", world)
    form = client.get(page).context["form"]
    offered = dict(form.told.rows["policy_settings"].rows[0].fields["name"].choices)
    assert "label_smoothing" in offered and not {"learning_rate", "beta", "iterations"} & set(offered)
    assert "(usually 0)" in offered["lora_rank"] and not form.told.has_slots
    usual = as_sent(form)
    assert client.post(page, usual).status_code == 302, "a form without rows changes nothing of them"
    typed = {**usual, "policy_recipe": "rloo", "temperature": "hot", **row("policy_settings", "label_smoothing", "0.1")}
    answer = client.post(page, {**typed, "loop-show": "policy_settings"})
    shown, html = answer.context["form"], answer.content.decode()
    assert answer.status_code == 200 and not shown.errors and 'value="hot"' in html
    rows = shown.told.rows["policy_settings"]
    assert rows.is_open and rows.rows[0].name_given == "label_smoothing" and rows.rows[0]["value"].value() == "0.1"
    assert "has no such setting" in rows.rows[0].described and "critic_heads" in rows.knobs
    assert 'name="part-filter"' in html and 'value="audited-judges"' not in html, "no loop has two cost models"
    told = {**usual, "policy_recipe": "rloo", "part-kl": "", "part-filter": "best-and-worst"}
    told |= row("policy_settings", "lora_rank", "4") | row("policy_settings", "bf16", "TRUE", number=1)
    more = client.post(page, {**told, "policy_settings-another": "1"}).context["form"].told.rows["policy_settings"]
    assert [one.name_given for one in more] == ["lora_rank", "bf16", ""]
    assert [bool(one.fields["name"].widget.attrs.get("autofocus")) for one in more] == [False, False, True]
    fewer = client.post(page, {**told, "policy_settings-remove": "0"}).context["form"].told.rows["policy_settings"]
    assert [(one.name_given, one["value"].value()) for one in fewer] == [("bf16", "TRUE")]
    twice = client.post(page, told | row("policy_settings", "lora_rank", "8", number=2))
    assert twice.status_code == 422 and "set above already" in twice.content.decode()
    assert client.post(page, told | row("policy_settings", "lora_rank", "4\nbf16 = true")).status_code == 422
    assert client.post(page, told).url == at("loop", world)
    loop.refresh_from_db()
    assert loop.settings["policy_settings"] == "lora_rank = 4\nbf16 = TRUE"
    assert loop.settings["policy_parts"] == "filter = best-and-worst\nkl = "
    again = client.get(page).context["form"].told
    assert again.parts["filter"].value() == "best-and-worst" and again.parts["combine"].value() == "usual"
    assert again.parts.named == {"filter": "best-and-worst", "kl": ""} and again.parts_are_open
    # What was picked for slots waits, hidden, while a recipe without any is looked at; saved, it is gone.
    pairs = client.post(page, {**told, "policy_recipe": "dpo", "loop-show": ""}).content.decode()
    assert '<input type="hidden" name="part-filter" value="best-and-worst">' in pairs
    assert client.post(page, {**told, "policy_recipe": "dpo"}).status_code == 302
    assert Loop.objects.get().settings["policy_parts"] == ""


def test_a_round_by_its_buttons(world: World) -> None:
    make_loop(world)
    assert "The round has begun" in act(world, "start")
    assert "is not finished" in act(world, "start")
    assert "nobody judges now" in act(world, "go-on")
    assert "The loop is paused" in act(world, "pause")
    assert "Resume" in world.client("lead").get(at("loop", world)).content.decode()
    assert "goes on where it stood" in act(world, "resume")
    assert "The round is cancelled" in act(world, "cancel")
    html = world.client("lead").get(at("loop", world)).content.decode()
    assert "was cancelled" in html and "Start round 2" in html
    assert "nothing of that kind" in act(world, "explode")


def test_buttons_without_a_round_say_so(world: World) -> None:
    make_loop(world)
    for action in ("go-on", "resume", "cancel"):
        assert "There is no round yet." in act(world, action)
    assert "not active" in act(world, "pause")


def test_labelling_shows_how_far_people_are_and_train_now(world: World) -> None:
    round = to_labelling(world, make_loop(world))
    client = world.client("lead")
    html = client.get(at("loop", world)).content.decode()
    assert "0 of 6 pairs are judged" in html and "Train now" not in html
    judge_all(world)
    html = client.get(at("loop", world)).content.decode()
    assert "Train now" in html and "6 of 6" in html
    steps = re.findall(r'<li class="is-(done|now)"[^>]*>([^<]+)', html)
    assert steps == [("done", "Choose prompts"), ("done", "Write answers"), ("now", "People judge")]
    act(world, "go-on")
    round.refresh_from_db()
    assert round.state in (Round.State.FREEZING, Round.State.TRAINING)


def test_the_status_asks_again_only_while_something_moves(world: World) -> None:
    loop = make_loop(world)
    round = to_labelling(world, loop)
    client = world.client("lead")
    moving = client.get(at("loop-status", world), {"seen": f"{round.pk}-open"})
    assert moving.status_code == 200 and b"hx-get" in moving.content and "HX-Refresh" not in moving
    rounds.pause(loop=loop, actor=world.lead)
    still = client.get(at("loop-status", world), {"seen": f"{round.pk}-open"})
    assert still.status_code == 286 and b"hx-get" not in still.content
    rounds.cancel(round=round, actor=world.lead)
    ended = client.get(at("loop-status", world), {"seen": f"{round.pk}-open"})
    assert ended["HX-Refresh"] == "true"  # the history below has changed too


def test_history_before_and_after_and_the_next_round(world: World) -> None:
    loop = make_loop(world)
    round = to_end(world, to_labelling(world, loop), candidate_wins=True)
    assert round.state == Round.State.PROMOTED
    html = world.client("lead").get(at("loop", world)).content.decode()
    assert "Before and after round 1" in html
    assert html.index("Old answer") < html.index("New answer")
    assert html.count("people preferred this") == 6
    assert "100%" in html and "Human win rate against the policy before" in html
    assert "policy-0 →" in html and 'href="?format=csv"' in html
    file = world.client("lead").get(at("loop", world), {"format": "csv"}).content.decode()
    header, first, *_next = file.splitlines()
    assert header == "round,state,policy,candidate,win_rate,low,high,n"
    assert first.startswith("1,promoted,policy-0,policy-1,1.0,") and first.endswith(",1.0,6")
    detail = world.client("lead").get(reverse("round", args=[round.pk])).content.decode()
    assert "policy-1 took over from policy-0" in detail and "Gate against policy-0" in detail
    assert "New answer" in detail and "bradley-terry" in detail


def test_a_rejected_round_says_what_to_do(world: World) -> None:
    loop = make_loop(world)
    round = to_end(world, to_labelling(world, loop), candidate_wins=False)
    assert round.state == Round.State.REJECTED
    html = world.client("lead").get(at("loop", world)).content.decode()
    assert "showed no improvement, so the old policy stays" in html and "Start round 2" in html
    assert "Turned down" in html


def test_which_answer_is_whose_stays_hidden_while_people_compare(world: World) -> None:
    """A lead may judge too: the page of a round under way must not tell the candidate's answers from the old ones."""
    loop = make_loop(world, gate_human_pairs=6)
    round = to_labelling(world, loop)
    judged = to_end(world, round, candidate_wins=True)
    Round.objects.filter(loop=loop).exclude(pk=judged.pk).delete()
    Round.objects.filter(pk=judged.pk).update(state=Round.State.GATING)
    html = world.client("lead").get(reverse("round", args=[judged.pk])).content.decode()
    assert "New answer" not in html
    assert "New answer" not in world.client("lead").get(at("loop", world)).content.decode()
