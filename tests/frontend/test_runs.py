"""Runs from the browser: the catalogue, the form made of knobs, progress that stops by itself, cancel and retry."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils.translation import override

from annotation.feedback import KINDS
from annotation.told import of
from frontend import counted, noted
from tests.frontend.lead_world import (
    World,
    as_sent,
    finish_run,
    judge_all,
    make_world,
    set_running,
    start_run,
    write_curve,
)
from training import folder, paths
from training.core.backbone import PLAIN_NOTE
from training.core.job import RunError
from training.core.prompts import prompt_notes
from training.core.records import REASONS, Tally
from training.core.run import sentence
from training.models import ModelVersion, Run, Snapshot
from training.recipes import RECIPES, from_json
from training.recipes.alarms import alarms
from training.recipes.note import Note, in_json
from training.recipes.spec import RunResult, write_json
from training.services import feeding, versions

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    world = make_world()
    judge_all(world)
    return world


def new(world: World, recipe: str = "bradley-terry") -> str:
    return reverse("run-new", args=[world.campaign.pk, recipe])


def filled(world: World, recipe: str = "bradley-terry", **changes: str) -> dict[str, str]:
    """Return what a browser sends when the form is sent as it comes, with a model from outside."""
    form = world.client("lead").get(new(world, recipe)).context["form"]
    return {**as_sent(form), "model": "other", "model_path": "org/base", **changes}


def test_the_catalogue_has_what_this_feedback_feeds(world: World) -> None:
    html = world.client("lead").get(reverse("runs", args=[world.campaign.pk])).content.decode()
    assert new(world, "bradley-terry") in html and new(world, "dpo") in html
    assert new(world, "sft") in html  # preferred answers are demonstrations
    assert new(world, "sample") not in html
    assert "No run yet" in html


@pytest.mark.parametrize(
    ("kind", "offered"),
    [("ratings", set()), ("rewrite", {"sft", "dpo", "bradley-terry"}), ("dual", {"dpo", "bradley-terry"})],
)
def test_each_kind_is_offered_what_it_feeds(kind: str, offered: set[str]) -> None:
    world = make_world(kind=kind, tasks=0)
    html = world.client("lead").get(reverse("runs", args=[world.campaign.pk])).content.decode()
    assert {recipe for recipe in ("sft", "dpo", "bradley-terry") if new(world, recipe) in html} == offered


def test_a_refusal_says_what_is_missing_and_what_would_give_it(world: World) -> None:
    html = world.client("lead").get(reverse("runs", args=[world.campaign.pk])).content.decode()
    offered, refused = html.split("why they cannot be started here")
    assert "6 judgements so far." in offered and new(world, "multi-objective") not in html
    assert "Attribute model" in refused and "A campaign of one of these kinds feeds it:" in refused
    assert "a round of the loop starts it by itself" in refused  # sampling
    page = world.client("lead").get(new(world, "multi-objective"))
    assert page.status_code == 404 and "It cannot be started here" in page.content.decode()
    assert world.client("lead").get(new(world, "no-such")).status_code == 404


def test_what_the_campaign_s_options_leave_out_feeds_nothing() -> None:
    world = make_world(kind="ranking", tasks=0)
    (plain,) = [one for one in feeding.feedings(world.campaign) if one.recipe.name == "multi-objective"]
    assert not plain.can_start and plain.reason.startswith("The options here leave out what it learns from")
    world.campaign.options = KINDS["ranking"].clean_options({"attributes": ["Helpfulness"]})
    (rated,) = [one for one in feeding.feedings(world.campaign) if one.recipe.name == "multi-objective"]
    assert rated.can_start


def test_before_anybody_has_judged_the_catalogue_says_so() -> None:
    world = make_world(kind="ratings")
    html = world.client("lead").get(reverse("runs", args=[world.campaign.pk])).content.decode()
    assert "Nobody has judged here yet" in html
    # Ratings are no pairs, and a reward model alone does not feed what wants both.
    versions.register(campaign=world.campaign, kind="reward", path="org/reward", actor=world.lead)
    page = world.client("lead").get(new(world, "dpo-margin"))
    assert page.status_code == 404 and "A campaign of one of these kinds feeds it" in page.content.decode()


def test_every_recipe_s_rows_come_from_some_kind_of_feedback() -> None:
    """A recipe that reads what no campaign can give would be refused everywhere, and nobody could say why."""
    unfed = [recipe.name for recipe in RECIPES.values() if not feeding.kinds_that_feed(recipe.view)]
    asked = ["continued-pretraining", "safety-suite", "safety-scenarios", "reward-explorer"]  # for files, and answers
    assert sorted(unfed) == sorted(asked)


def test_the_form_shows_each_knob_with_its_help_and_folds_the_advanced(world: World) -> None:
    html = world.client("lead").get(new(world, "dpo")).content.decode()
    assert "Pull back to the reference" in html and "LoRA rank" in html
    assert html.index("Learning rate") < html.index('<details class="advanced">') < html.index("Weight decay")


def test_an_engine_is_offered_where_the_server_has_one_and_the_recipe_can_run_there(world: World, settings) -> None:
    """What it cannot do is said where it is chosen, and what it cannot be told beside the field it was told in."""
    client = world.client("lead")
    reward = versions.register(campaign=world.campaign, kind="reward", path="rewards/1", actor=None)
    assert "Where it computes" not in client.get(new(world, "grpo")).content.decode()
    settings.ATTUNE_ENGINES = {"verl": "/opt/verl/bin/python"}
    assert "Where it computes" not in client.get(new(world)).content.decode()  # a reward model
    other = client.get(new(world, "macro-ppo")).content.decode()
    assert "verl has no counterpart of segment/ngram." in other and '<option value="verl"' not in other
    knobs = {"samples_per_prompt": "2", "prompts_per_iteration": "4", "batch_size": "8", "reward": str(reward.pk)}
    sent = filled(world, "grpo", engine="verl", **knobs)
    wrong = client.post(new(world, "grpo"), {**sent, "engine_settings": "trainer.nnode=2"})
    assert wrong.status_code == 422
    assert wrong.context["form"].errors["engine_settings"] == ["trainer.nnode: Did you mean trainer.nnodes?"]
    wrong = client.post(new(world, "grpo"), {**sent, "engine_settings": "eight GPUs"})
    assert wrong.context["form"].errors["engine_settings"] == ["Write each line as name=value, not as eight GPUs."]
    wrong = client.post(new(world, "grpo"), {**sent, "engine": "", "engine_settings": "trainer.nnodes=1"})
    assert "engine_settings" in wrong.context["form"].errors
    eight = {**sent, "engine_settings": "trainer.n_gpus_per_node=8"}
    asked = client.post(new(world, "grpo"), {**eight, "plan": "1"})
    assert asked.context["form"].errors["billions"] == [
        "How large org/base is cannot be read here. Enter its billions of parameters."
    ]
    plan = client.post(new(world, "grpo"), {**eight, "plan": "1", "billions": "14"})
    assert plan.status_code == 200 and not Run.objects.exists()
    told = plan.content.decode()
    assert "Planned placement" in told and "on 8 GPUs" in told and "naive placement" in told
    assert "trainer.n_gpus_per_node=8" in told
    small = client.post(new(world, "grpo"), {**eight, "plan": "1", "billions": "14", "gpu_memory": "4"})
    assert "does not fit" in small.context["form"].errors["engine"][0]
    client.post(new(world, "grpo"), eight)
    run = Run.objects.get()
    assert run.inputs["engine"] == {"name": "verl", "settings": {"trainer.n_gpus_per_node": "8"}}
    assert "verl trainer.n_gpus_per_node=8" in client.get(reverse("run", args=[run.pk])).content.decode()


def test_starting_a_run_freezes_the_data_and_keeps_the_settings(world: World) -> None:
    response = world.client("lead").post(new(world), filled(world, epochs="3", learning_rate="2e-5", seed="7"))
    run = Run.objects.get()
    assert response.url == reverse("run", args=[run.pk])
    assert run.recipe["knobs"]["epochs"] == 3 and run.recipe["knobs"]["learning_rate"] == 2e-5
    assert (run.seed, run.inputs["model"], run.created_by) == (7, "org/base", world.lead)
    assert run.snapshot is not None and run.snapshot.rows == 6
    weighted = filled(world, rows=str(run.snapshot.pk), annotator_weights="on")
    again = world.client("engineer").post(new(world), weighted)
    assert again.status_code == 302 and Snapshot.objects.count() == 1
    assert "not used: each pair counts once" in world.client("lead").get(response.url).content.decode()
    assert "used: each pair counts as much as who" in world.client("lead").get(again.url).content.decode()


def test_a_run_may_start_from_a_version(world: World) -> None:
    base = versions.register(campaign=world.campaign, kind="policy", path="org/chat", actor=world.lead)
    world.client("lead").post(new(world, "dpo"), filled(world, "dpo", model=str(base.pk), model_path=""))
    run = Run.objects.get()
    assert run.parent == base and run.inputs["model"] == "org/chat"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": "0"}, "Enter at least 1."),
        ({"epochs": "two"}, "Enter a whole number"),
        ({"learning_rate": "nan"}, "Enter a finite number."),
        ({"learning_rate": ""}, "Enter a value"),
        ({"schedule": "zigzag"}, "Choose one of"),
        ({"model_path": ""}, "Enter a folder on the server or a hub name."),
        ({"model": "12345"}, "Select a valid choice"),
        ({"rows": "12345"}, "Select a valid choice"),
        ({"seed": "-1"}, "greater than or equal to 0"),
        ({"batch_size": "9" * 400}, "Enter"),
    ],
)
def test_a_setting_that_does_not_fit_is_said_beside_it(world: World, changes: dict[str, str], says: str) -> None:
    response = world.client("lead").post(new(world), filled(world, **changes))
    assert response.status_code == 422
    assert says in response.content.decode()
    assert not Run.objects.exists()


def test_an_error_in_a_folded_setting_opens_the_fold(world: World) -> None:
    html = world.client("lead").post(new(world), filled(world, weight_decay="-1")).content.decode()
    assert '<details class="advanced" open>' in html


def test_no_judgements_no_run() -> None:
    world = make_world()
    response = world.client("lead").post(new(world), filled(world))
    assert response.status_code == 422
    assert "Judge some items first" in response.content.decode()


def test_progress_is_live_until_the_end(world: World) -> None:
    run = start_run(world)
    client = world.client("lead")
    progress, log = reverse("run-progress", args=[run.pk]), reverse("run-log", args=[run.pk])
    waiting = client.get(progress)
    assert waiting.status_code == 200 and b"Waiting for a worker" in waiting.content
    set_running(run)
    moving = client.get(progress)
    html = moving.content.decode()
    assert moving.status_code == 200 and 'hx-trigger="every 2s"' in html
    assert "Step 10 of 40" in html and "1,234" in html and "2 min" in html
    assert "<polyline" in html
    assert "&lt;b&gt;not markup&lt;/b&gt;" in client.get(log).content.decode()
    finish_run(run)
    still = client.get(progress)
    assert still.status_code == 286 and b"hx-trigger" not in still.content
    assert b"Open reward-0" in still.content and b"60% to 80%" in still.content
    assert client.get(log).status_code == 286
    steps = client.get(reverse("run", args=[run.pk]), {"format": "csv"}).content.decode().splitlines()
    assert steps[0] == "step,total_steps,time,loss,accuracy,tokens_per_second" and len(steps) == 41
    assert steps[1].startswith("1,40,1001.0,0.686")


def test_every_reason_to_leave_a_row_out_has_words() -> None:
    assert {f"refused_{reason}" for reason in REASONS} <= set(counted.WORDS)
    assert counted.in_words("seen_twice") == "Rows seen twice"


def test_the_notes_of_a_run_are_told_in_the_readers_language() -> None:
    tally = Tally()
    for reason in REASONS:
        for line in range(7):
            tally.refuse(reason, line)
    tally.counts["truncated"] = 3
    for reason in ("malformed", "empty", "images", "too_long"):
        tally.refuse(reason, 8)
    notes = [*tally.notes(), *prompt_notes(tally), PLAIN_NOTE]
    told = noted.notes_of(Run(result=json.loads(json.dumps(asdict(RunResult(notes=notes))))))
    with override("en"):
        assert [str(note) for note in told] == notes
    with override("de"):
        german = [str(note) for note in told]
    assert [one for one, note in zip(german, notes, strict=True) if one == note or "because" in one] == []
    assert german[0] == (
        "Ausgelassene Zeilen: 8, weil sie nicht die Spalten ihrer Sicht haben (in der Datei: 0, 1, 2, 3, 4, …)."
    )
    old = noted.notes_of(Run(result={"notes": ["As an older version wrote it."]}))
    assert [str(note) for note in old] == ["As an older version wrote it."]


def test_why_a_run_failed_is_told_in_the_readers_language(world: World, tmp_path: Path) -> None:
    tally = Tally()
    tally.refuse("empty", 4)
    error = Note("None of the {n} rows can be used. {why}", n=1, why=Note.together(tally.notes()))
    write_json(tmp_path / "error.json", in_json("message", sentence(RunError(error))) | {"traceback": ""})
    run = start_run(world)
    Run.objects.filter(pk=run.pk).update(state=Run.State.FAILED, error=folder.last_words(tmp_path))
    run.refresh_from_db()
    with override("en"):
        assert str(run.error) == str(error)
    with override("de"):
        assert str(run.error) == (
            "Keine der 1 Zeilen ist zu gebrauchen. Ausgelassene Zeilen: 1, weil sie einen leeren Prompt oder eine "
            "leere Antwort haben (in der Datei: 4)."
        )


def test_alarms_are_told_in_the_readers_language_with_its_numbers() -> None:
    begun = {"entropy": 3.0, "kl_per_token": 0.1, "ended_share": 1.0}
    knobs = RECIPES["ppo"].fill({})
    (first, second) = alarms([begun] * 8 + [{**begun, "entropy": 0.125, "ended_share": 0.25}] * 2, knobs)
    assert "0.12 nats" in first and "Only 25% of the answers" in second
    with override("de"):
        assert str(of(first.told)).startswith("Die Policy variiert fast nicht mehr: 0,12 Nat je Token, am Anfang 3,00.")
        assert "Nur 25 % der Antworten" in str(of(second.told)).replace("\xa0", " ")


def test_the_page_of_a_run_tells_what_it_was_given(world: World) -> None:
    run = finish_run(start_run(world))
    html = world.client("lead").get(reverse("run", args=[run.pk])).content.decode()
    assert "org/base" in html and "6 pairs" in html and "Two rows were cut." in html
    assert "The numbers behind the curves" in html and "Rows used" in html


def test_a_failed_run_says_why_and_can_be_tried_again(world: World) -> None:
    run = start_run(world)
    Run.objects.filter(pk=run.pk).update(state=Run.State.FAILED, error="The GPU ran out of memory.")
    client = world.client("lead")
    assert b"The GPU ran out of memory." in client.get(reverse("run", args=[run.pk])).content
    assert client.post(reverse("run-retry", args=[run.pk])).status_code == 302
    run.refresh_from_db()
    assert run.state == Run.State.QUEUED
    html = client.post(reverse("run-retry", args=[run.pk]), follow=True).content.decode()
    assert "cannot be tried again" in html


def test_cancelling(world: World) -> None:
    run, client = start_run(world), world.client("lead")
    assert "The run is cancelled." in client.post(reverse("run-cancel", args=[run.pk]), follow=True).content.decode()
    assert "ended already" in client.post(reverse("run-cancel", args=[run.pk]), follow=True).content.decode()
    other = set_running(start_run(world))
    html = client.post(reverse("run-cancel", args=[other.pk]), follow=True).content.decode()
    assert "stops after its current step" in html and "Stop the run" not in html


def test_a_run_whose_files_are_gone_still_has_a_page(world: World) -> None:
    run = finish_run(start_run(world))
    for path in paths.run_folder(run.pk).iterdir():
        path.unlink()
    Run.objects.filter(pk=run.pk).update(recipe={"name": "of-another-version", "version": 9}, progress={}, result={})
    assert world.client("lead").get(reverse("run", args=[run.pk])).status_code == 200
    assert ModelVersion.objects.count() == 1


def test_a_judge_that_reasons_is_offered_as_the_reward_where_answers_are_held_against_others(world: World) -> None:
    client = world.client("lead")
    add = partial(versions.register, campaign=world.campaign, kind="policy", actor=world.lead)
    judge, plain = add(path="org/judge"), add(path="org/plain")
    assert client.get(new(world, "grpo-pairwise")).status_code == 404
    ModelVersion.objects.filter(pk=judge.pk).update(recipe={"name": "reasoning-judge"})
    field = client.get(new(world, "grpo-pairwise")).context["form"].fields["reward"]
    assert [key for key, _label in field.choices] == [str(judge.pk)] and field.initial == str(judge.pk)
    client.post(new(world, "grpo-pairwise"), filled(world, "grpo-pairwise", model=str(plain.pk)))
    run = Run.objects.get()
    assert run.inputs["scorers"] == {"reward": "org/judge"} and run.parent == plain
    # What scores one answer by itself, or a pair of people's, has no use for it.
    assert client.get(new(world, "dpo-margin")).status_code == 404


def test_a_recipe_that_learns_from_scores_asks_which_model_gives_them(world: World) -> None:
    page = world.client("lead").get(new(world, "safe-rlhf"))
    assert page.status_code == 404 and "train a reward model first" in page.content.decode()
    made = {
        name: versions.register(campaign=world.campaign, kind=name, path=f"org/{name}", actor=world.lead)
        for name in ("reward", "cost")
    }
    form = world.client("lead").get(new(world, "safe-rlhf")).context["form"]
    assert (form["reward"].initial, form["cost"].initial) == (str(made["reward"].pk), str(made["cost"].pk))
    assert "reward" not in world.client("lead").get(new(world, "dpo")).context["form"].fields
    world.client("lead").post(new(world, "safe-rlhf"), filled(world, "safe-rlhf", cost_limit="-0.5"))
    run = Run.objects.get()
    assert run.inputs["scorers"] == {"reward": "org/reward", "cost": "org/cost"}
    assert run.recipe["knobs"]["cost_limit"] == -0.5 and run.snapshot and run.snapshot.view == "prompts"
    # A judge's anchors are frozen with the prompts, and a snapshot without them is refused beside the choice of rows.
    plain = str(run.snapshot.pk)
    world.client("lead").post(new(world, "ppo"), filled(world, "ppo", judge_against="chosen"))
    run = Run.objects.latest("pk")
    assert run.recipe["name"] == "ppo" and run.snapshot and run.snapshot.filters["anchors"] == "chosen"
    page = world.client("lead").post(new(world, "ppo"), filled(world, "ppo", judge_against="chosen", rows=plain))
    assert page.status_code == 422 and "Freeze the prompts anew" in page.context["form"].errors["rows"][0]
    page = world.client("lead").post(new(world, "ppo"), filled(world, "ppo", judge_against="edit"))
    assert page.status_code == 422 and "Nobody has written" in page.context["form"].errors["judge_against"][0]
    # One that reads what people said besides is given both.
    world.client("lead").post(new(world, "dpo-margin"), filled(world, "dpo-margin"))
    run = Run.objects.latest("pk")
    assert run.inputs["scorers"] == {"reward": "org/reward"} and run.snapshot and run.snapshot.view == "pairs"


def test_a_recipe_with_other_parts_in_its_slots(world: World) -> None:
    """One picker a slot; what does not go together is said before anything runs, and what does is kept with the run."""
    reward = versions.register(campaign=world.campaign, kind="reward", path="org/reward", actor=world.lead)
    client, page = world.client("lead"), new(world, "ppo")
    html = client.get(page).content.decode()
    assert all(f'name="part-{slot}"' in html for slot in ("combine", "shape", "filter", "kl", "advantage", "update"))
    assert "preference: The chance of being preferred" in html and "Reward scale" not in html
    chosen = {"part-shape": "preference", "part-filter": "best-and-worst", "part-segment": "ngram"}
    with_parts = client.get(page, chosen)
    assert "Reward scale" in with_parts.content.decode()
    sent = {**as_sent(with_parts.context["form"]), "model": "other", "model_path": "org/base", **chosen}
    refused = client.post(page, {**sent, "part-advantage": "leave-one-out"})
    assert refused.status_code == 422 and "update/ppo needs returns" in refused.content.decode()
    assert client.get(page, {"part-shape": "no-such"}).status_code == 422
    assert not Run.objects.filter(recipe__name="ppo").exists()
    response = client.post(page, {**sent, "reward": str(reward.pk), "reward_scale": "2"})
    assert response.status_code == 302, response.content.decode()
    run = Run.objects.get(recipe__name="ppo")
    assert run.recipe["parts"]["segment"] == "ngram" and run.recipe["parts"]["constrain"] == ""
    assert run.recipe["knobs"]["reward_scale"] == 2.0 and "tokens_each" in run.recipe["knobs"]
    found, knobs = from_json(run.recipe)
    assert [part.name for part in found.parts[:4]] == ["first", "preference", "best-and-worst", "fixed"]
    assert knobs == run.recipe["knobs"]
    assert "best-and-worst" in client.get(reverse("run", args=[run.pk])).content.decode()


def test_the_tasks_of_a_run_are_rows_to_fill_in(world: World) -> None:
    """Without a script: another row is a button that keeps what was typed, and what is wrong stands in its row."""
    for name in ("reward", "cost"):
        versions.register(campaign=world.campaign, kind=name, path=f"org/{name}", actor=world.lead)
    client, page = world.client("lead"), new(world, "task-mix")
    usual = {**filled(world, "task-mix"), "prompts_per_iteration": "9"}
    shown = client.get(page)
    form = shown.context["form"]
    assert all(
        f'name="{name}"' in shown.content.decode() for name in ("task-0-kl_budget", "task-0-must_match", "tasks")
    )
    posted = shown.content.decode().split('method="post" aria-labelledby="recipe-title"')[1]
    pressed = posted[posted.index("<button") :].split(">")[0]
    assert "name=" not in pressed and "disabled" not in pressed, "Enter presses the first button, and starts the run"
    assert "tasks" not in form.knob_names and [row["domains"].value() for row in form.task_rows] == ["*"]
    rows = {"tasks-rows": "1", "task-0-name": "sums", "task-0-domains": "algebra, proofs", "task-0-weight": "2"}
    more = client.post(page, {**usual, **rows, "model_path": "", "tasks-another": "1"})
    assert more.status_code == 200 and not more.context["form"].errors
    assert [row["name"].value() for row in more.context["form"].task_rows] == ["sums", None]
    rows |= {"tasks-rows": "3", "task-0-recipe": "cgpo-crraft", "task-0-kl_budget": "50", "task-0-max_words": "80"}
    rows |= {"task-1-name": "talk", "task-1-domains": "*", "task-1-recipe": "cgpo-codpo", "task-1-judges": "judges"}

    def refused(**changes: str) -> list[dict[str, list[str]]]:
        answer = client.post(page, {**usual, **rows, **{name.replace("__", "-"): v for name, v in changes.items()}})
        assert answer.status_code == 422 and not Run.objects.exists()
        return [dict(row.errors) for row in answer.context["form"].task_rows]

    assert refused()[1] == {"judges": ["Choose the Cost model above, under the models that score."]}
    cost = {"cost": str(ModelVersion.objects.get(kind="cost").pk)}
    assert "no such setting" in refused(**cost, task__1__kl_budget="9")[1]["kl_budget"][0]
    assert "for sums and talk" in refused(**cost, task__1__domains="proofs")[1]["domains"][0]
    assert "Another task" in refused(**cost, task__1__name="sums")[1]["name"][0]
    assert "above 0" in refused(**cost, task__1__weight="0")[1]["weight"][0]
    assert "no regular expression" in refused(**cost, task__0__must_match="(")[0]["must_match"][0]
    assert "at least one task" in refused(**{k: "" for k in rows if k[:5] == "task-" and k[6:7] == "-"})[0]["name"][0]
    assert client.post(page, {**usual, **rows, **cost}).status_code == 302
    run = Run.objects.get()
    kept = {"min_words": 1, "max_words": 80, "refusals": "pass", "kl_at_most": 50.0}
    made = json.loads(run.recipe["knobs"]["tasks"])
    assert made["sums"]["domains"] == ["algebra", "proofs"] and made["sums"]["weight"] == 2.0
    assert made["sums"]["knobs"].items() <= kept.items() and made["sums"]["knobs"]["kl_at_most"] == 50.0
    assert made["talk"]["parts"] == {"constrain": "judges"} and run.inputs["scorers"]["cost"] == "org/cost"
    # Text counts instead, as REST takes it, and asks for its models too.
    text = '{"*": {"recipe": "cgpo-crpg", "parts": {"constrain": "judges"}}}'
    told = client.post(page, {**usual, **rows, "tasks": text}).context["form"].errors["tasks"]
    assert told == ["The task * asks cost, and no model was chosen for that."]


def test_each_score_is_a_line_of_its_own_where_there_are_several(world: World) -> None:
    """A falling one hides in their sum (arXiv:2503.21819)."""
    run = start_run(world)
    lines = [{**line, "score_safe": 1 - line["step"] / 40, "score_useful": 0.5} for line in write_curve(run, 20)]
    file = paths.run_folder(run.pk) / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    html = world.client("engineer").get(reverse("run", args=[run.pk])).content.decode()
    assert "Each score by itself" in html and ">safe<" in html and ">useful<" in html
    file.write_text("".join(json.dumps({**line, "score_safe": None}) + "\n" for line in write_curve(run, 20)))
    assert "Each score by itself" not in world.client("engineer").get(reverse("run", args=[run.pk])).content.decode()
