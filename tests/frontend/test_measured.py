"""Measurements of a model: started from its page, and shown there with splits and best-of-n curves."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from rest_framework.test import APIClient

from tests.frontend.lead_world import World, finish_run, judge_all, make_loop, make_world, start_run
from training import launch, paths
from training.core.evaluate import judge_audit
from training.models import Run
from training.recipes.spec import RunResult
from training.services import versions

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    world = make_world()
    judge_all(world)
    return world


def share(estimate: float) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1, "n": 40}


def test_a_reward_model_is_measured_on_what_is_new_to_it(world: World) -> None:
    version = finish_run(start_run(world)).output
    assert version is not None and version.snapshot is not None
    client, page = world.client("engineer"), reverse("model", args=[version.pk])
    address = reverse("run-new", args=[world.campaign.pk, "reward-accuracy"])
    assert f"{address}?model={version.pk}" in client.get(page).content.decode()
    form = client.get(address, {"model": version.pk}).context["form"]
    assert [name for name, _ in form.fields["model"].choices] == [str(version.pk), "other"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert client.post(address, values).status_code == 302
    run = Run.objects.latest("pk")
    assert (run.kind, run.parent, run.output) == ("evaluate", version, None)
    assert launch.spec_of(run).known == [paths.resolve(version.snapshot.path)]
    metrics = {"accuracy": share(0.8), "accuracy_time_before": share(0.9), "accuracy_time_after": share(0.6)}
    finish_run(run, metrics={**metrics, "all_pairs_right": share(0.45), "lost_time": share(0.3)})
    html = client.get(page).content.decode()
    assert "Prompts with every pair right (ACC+)" in html and "45%" in html and "35% to 55%" in html
    german = client.get(page, HTTP_ACCEPT_LANGUAGE="de").content.decode()
    assert "Prompts, deren Paare alle richtig sind (ACC+)" in german
    told = client.get(reverse("api-run", args=[run.pk])).json()["result"]["metrics"]
    assert told["all_pairs_right"] == share(0.45)
    assert "Lost on later judgements" in html and "60%" in html and "50% to 70%" in html
    assert "Accuracy time after" not in html  # it stands in the chart's own table
    assert "50% to 70%" in client.get(reverse("run", args=[run.pk])).content.decode()
    file = f"{reverse('run', args=[run.pk])}?format=csv&part=measured"
    assert file.replace("&", "&amp;") in html
    rows = client.get(file).content.decode().splitlines()
    assert rows[0] == "figure,at,estimate,low,high,n" and rows[-1] == "lost_time,,0.3,0.19999999999999998,0.4,40"


def test_the_best_of_n_is_a_curve_on_the_policy_s_page(world: World) -> None:
    finish_run(start_run(world))
    loop = make_loop(world)
    policy = loop.campaign.model_versions.get(kind="policy")
    client = world.client("lead")
    address = reverse("run-new", args=[world.campaign.pk, "best-of-n"])
    form = client.get(address).context["form"]
    assert {"reward", "gold"} <= set(form.fields)
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert client.post(address, values).status_code == 302
    run = Run.objects.latest("pk")
    assert run.parent == policy and set(launch.spec_of(run).scorers) == {"reward", "gold"}
    rest = APIClient()
    rest.force_authenticate(world.engineer)
    scorer = loop.campaign.model_versions.get(kind="reward").pk
    body = {"recipe": "best-of-n", "parent": policy.pk, "reward": scorer, "gold": scorer}
    assert rest.post(reverse("api-runs", args=[world.campaign.pk]), body, format="json").status_code == 201
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    points = [
        {"n": 1, "kl": 0.0, "reward": share(0.0), "gold": share(0.0)},
        {"n": 2, "kl": 0.193, "reward": share(0.6), "gold": share(0.3)},
    ]
    (folder / "curve.json").write_text(json.dumps({"points": points}))
    finish_run(run, metrics={"best_n": 2}, files={"curve": "curve.json"})
    html = client.get(reverse("model", args=[policy.pk])).content.decode()
    assert "By the judging model" in html and "0.193" in html and "0.2 to 0.4" in html and "polyline" in html
    rows = client.get(reverse("run", args=[run.pk]), {"format": "csv", "part": "measured"}).content.decode()
    assert "gold,0.193,0.3,0.19999999999999998,0.4,40" in rows.splitlines()


def test_error_by_position_is_drawn_beside_the_imitation_it_began_from(world: World) -> None:
    finish_run(start_run(world))
    policy = make_loop(world).campaign.model_versions.get(kind="policy")
    client = world.client("lead")
    address = reverse("run-new", args=[world.campaign.pk, "error-by-position"])
    form = client.get(address).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert client.post(address, {**values, "imitation": policy.pk}).status_code == 302
    run = Run.objects.latest("pk")
    spec = launch.spec_of(run)
    assert run.parent == policy and set(spec.beside) == {"imitation"} and set(spec.scorers) == {"reward"}
    rest = APIClient()
    rest.force_authenticate(world.engineer)
    scorer = policy.campaign.model_versions.get(kind="reward").pk
    body = {"recipe": "error-by-position", "parent": policy.pk, "reward": scorer, "imitation": policy.pk}
    body["snapshot"] = run.snapshot_id
    assert rest.post(reverse("api-runs", args=[world.campaign.pk]), body, format="json").status_code == 201
    assert set(launch.spec_of(Run.objects.latest("pk")).beside) == {"imitation"}
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    points = [
        {"position": at, "told": share(0.5 + at / 100), "told_imitation": share(0.5 + at / 50), "surprise": share(1.5)}
        for at in (1, 2, 4, 8)
    ]
    (folder / "positions.json").write_text(json.dumps({"points": points}))
    metrics = {"told_growth": share(0.07), "told_growth_imitation": share(0.14)}
    finish_run(run, metrics=metrics, files={"positions": "positions.json"})
    html = client.get(reverse("model", args=[policy.pk])).content.decode()
    assert "Told from people" in html and "Surprise at people" in html and html.count("polyline") >= 3
    assert "What errors add up to, policy by imitation" in html and "14%" in html
    rows = client.get(reverse("run", args=[run.pk]), {"format": "csv", "part": "measured"}).content.decode()
    assert "told_imitation,8,0.66," in rows


def test_what_is_thrown_away_of_the_leftovers_is_drawn_while_the_run_goes_on(world: World) -> None:
    run = start_run(world)
    run.recipe["name"] = "a-lol"
    run.save()
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    told = {"advantages": [{"low": -0.1, "high": 0.0, "n": 3}, {"low": 0.0, "high": 0.1, "n": 1}], "kept": 1, "n": 4}
    (folder / "leftover.json").write_text(json.dumps(told))
    client, page = world.client("engineer"), reverse("run", args=[run.pk])
    html = client.get(page).content.decode()
    assert "25% of the answers were better" in html and "-0.1 to 0, thrown away" in html and "0 to 0.1, kept" in html
    assert html.count("chart__bar--hollow") == 1 and "Weights of what was" not in html
    ends = [{"low": 0.1, "high": 0.1, "n": 1}, {"low": 0.1, "high": 1.9, "n": 3}, {"low": 1.9, "high": 1.9, "n": 0}]
    (folder / "leftover.json").write_text(json.dumps({**told, "weights": ends}))
    finish_run(run, metrics={"logratio_low": -3.0, "logratio_median": 0.5, "logratio_high": 0.6}, files={})
    html = client.get(page).content.decode()
    assert "25% of the weights are clipped" in html and "logarithms are -3, 0.5 and 0.6" in html
    german = client.get(page, HTTP_ACCEPT_LANGUAGE="de").content.decode()
    assert "-0,1 bis 0, verworfen" in german
    rows = client.get(page, {"format": "csv", "part": "measured"}).content.decode().splitlines()
    assert "advantages,,,-0.1,0.0,3" in rows and "weights,,,1.9,1.9,0" in rows


def test_how_safe_thoughts_became_is_told_by_what_prompts_ask_for(world: World) -> None:
    run = start_run(world)
    told = {"reflections": 2.0, "thoughts_entropy": 0.4, "thoughts_entropy_top": 1.25, "unfinished_thoughts": 0.0}
    for name, (before, after) in {"thoughts_safe": (0.2, 0.9), "answers_safe": (0.8, 0.95)}.items():
        for side in ("", "_harmful", "_benign"):
            told |= {f"eval_{name}{side}_before": share(before), f"eval_{name}{side}": share(after)}
    finish_run(run, metrics=told)
    line = {"step": 1, "thoughts_safe_harmful": 0.25, "answers_safe_harmful": 0.75, "thoughts_entropy_top": 1.25}
    folder = paths.run_folder(run.pk)
    (folder / "metrics.jsonl").write_text("".join(json.dumps({**line, "step": n}) + "\n" for n in (1, 2)))
    client, page = world.client("engineer"), reverse("run", args=[run.pk])
    html = client.get(page).content.decode()
    assert html.count("Safe thoughts, prompts that ask for harm") >= 3 and "10% to 30%" in html
    assert "Safe answers, other prompts" in html and "Safe thoughts, all prompts" not in html
    assert "Safe by the cost model" in html and "Thoughts about harm" in html
    assert "Entropy of the fifth of their tokens that is least sure" in html and "1.25" in html
    german = client.get(page, HTTP_ACCEPT_LANGUAGE="de").content.decode()
    assert "Sichere Gedanken, Prompts, die um Schädliches bitten" in german
    rows = client.get(page, {"format": "csv", "part": "measured"}).content.decode().splitlines()
    assert "eval_thoughts_safe_harmful_before,,0.2,0.1,0.30000000000000004,40" in rows
    steps = client.get(page, {"format": "csv"}).content.decode().splitlines()
    assert steps[0] == "step,thoughts_safe_harmful,answers_safe_harmful,thoughts_entropy_top"


def test_an_audit_says_on_the_judge_s_page_whether_it_may_be_trusted() -> None:
    world = make_world(kind="safety")
    task = world.campaign.tasks.order_by("pk")[0]
    version = versions.add(campaign=world.campaign, kind="cost", path="cost", parent=None, run=None, metrics={})
    client, page = world.client("lead"), reverse("model", args=[version.pk])
    assert "Audit of a cost model on single answers" in client.get(page).content.decode()
    audit = {"name": "cost-audit-single", "knobs": {}}
    run = Run.objects.create(campaign=world.campaign, kind="evaluate", recipe=audit, parent=version)
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    seen = {"prompt": "How?", "completion": "<b>So.</b>", "principle": "", "people": 3}
    shown = [{**seen, "task": task.external_id, "stopped": False}, {**seen, "task": "gone", "stopped": True}]
    (folder / "disagreements.json").write_text(json.dumps({"n": 2, "shown": shown}))
    told = {"judge_precision": share(0.85), "judge_recall": share(0.6), "judge_recall_of_kind": share(0.4)}
    finish_run(run, metrics=told, files={"disagreements": "disagreements.json"})
    alarms = judge_audit.alarms(told, least_precision=0.8, least_recall=0.9)
    Run.objects.filter(pk=run.pk).update(
        result={**run.result, "notes": list(map(str, alarms)), "told": RunResult(notes=alarms).told}
    )
    html = client.get(page).content.decode()
    assert "Its recall is 50% to 70%, below the 90% it needs" in html
    assert "Its precision may be below the 80% it needs: 75% to 95%" in html
    assert html.count('class="message message--warning" role="status"') == 2
    assert "Recall of the judge" in html and "Recall by principle" in html and "30% to 50%" in html
    link = reverse("review", args=[world.campaign.pk, task.pk])
    assert (
        f'href="{link}"' in html
        and "against most of 3 people" in html
        and "lets it pass" in html
        and "stops it" in html
    )
    assert "<b>So.</b>" not in html and "&lt;b&gt;So." in html
    assert client.get(link).status_code == 200
    german = client.get(page, HTTP_ACCEPT_LANGUAGE="de").content.decode()
    assert "unter den nötigen 90" in german and "lässt sie durch" in german
    rows = client.get(reverse("run", args=[run.pk]), {"format": "csv", "part": "measured"}).content.decode()
    assert "judge_recall,,0.6,0.5,0.7,40" in rows.splitlines()
    assert world.client("stranger").get(page).status_code == 404

    (folder / "disagreements.json").unlink()
    finish_run(run, metrics={name: {**share(0.97), "low": 0.95} for name in ("judge_precision", "judge_recall")})
    html = client.get(page).content.decode()
    assert "it needs" not in html and "Where it differs from people" not in html


def test_what_cannot_be_measured_here_says_why(world: World) -> None:
    client = world.client("lead")
    refused = client.get(reverse("run-new", args=[world.campaign.pk, "best-of-n"]))
    assert refused.status_code == 404 and "train one first" in refused.content.decode()
    explorer = client.get(reverse("run-new", args=[world.campaign.pk, "reward-explorer"]))
    assert "under Models" in explorer.content.decode()


def test_pairs_of_branched_rollouts_are_what_refuel_learns_from(world: World) -> None:
    """By page, REST and command line; the reference is who wrote them. Who asks for others is told why not."""
    finish_run(start_run(world))
    policy = make_loop(world).campaign.model_versions.get(kind="policy")
    scorer = policy.campaign.model_versions.get(kind="reward").pk
    client, rest = world.client("lead"), APIClient()
    rest.force_authenticate(world.engineer)
    address, api = (
        reverse("run-new", args=[world.campaign.pk, "refuel-rollouts"]),
        reverse("api-runs", args=[world.campaign.pk]),
    )
    form = client.get(address).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert client.post(address, {**values, "simulator": policy.pk, "turns": 3}).status_code == 302
    rolled = Run.objects.latest("pk")
    assert (rolled.kind, rolled.parent, rolled.recipe["knobs"]["turns"]) == ("sample", policy, 3)
    assert set(launch.spec_of(rolled).beside) == {"simulator"} and set(launch.spec_of(rolled).scorers) == {"reward"}
    asked = {"recipe": "refuel", "parent": policy.pk, "rollouts": rolled.pk}
    assert "wait for it to finish" in rest.post(api, asked, format="json").content.decode()
    file = paths.run_folder(rolled.pk) / "pairs.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}\n")
    finish_run(rolled, files={"pairs": "pairs.jsonl"})
    assert "left no pair" in rest.post(api, asked, format="json").content.decode()
    rolled.refresh_from_db()
    rolled.result["counts"] = {"pairs": 1}
    rolled.save(update_fields=["result"])
    assert rest.post(api, asked, format="json").status_code == 201
    given = launch.spec_of(Run.objects.latest("pk"))
    assert given.data == str(file) and given.reference == paths.resolve(policy.path)
    told = {"campaign": str(world.campaign.pk), "recipe": "refuel", "rollouts": rolled.pk, "follow": False}
    call_command("run", parent=policy.label, **told)
    again = launch.spec_of(Run.objects.latest("pk"))
    assert (again.data, again.reference) == (given.data, given.reference)
    with pytest.raises(CommandError, match="not both"):
        call_command("run", parent=policy.label, snapshot=1, **told)
    for more in ({"recipe": "dpo"}, {"rollouts": rolled.pk + 100}, {"snapshot": 1}):
        assert rest.post(api, {**asked, **more}, format="json").status_code == 422
    body = {"recipe": "refuel-rollouts", "parent": policy.pk, "reward": scorer, "simulator": policy.pk}
    assert rest.post(api, body, format="json").status_code == 201
    address = reverse("run-new", args=[world.campaign.pk, "refuel"])
    form = client.get(address).context["form"]
    assert (f"rollouts-{rolled.pk}", f"run {rolled.pk}: 1 pair of branched rollouts") in form.fields["rows"].choices
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert client.post(address, {**values, "rows": f"rollouts-{rolled.pk}"}).status_code == 302
    given = launch.spec_of(Run.objects.latest("pk"))
    assert given.data == str(file) and given.reference == paths.resolve(policy.path)


def test_pairs_that_a_policy_goes_against_lead_to_their_items(world: World) -> None:
    run = finish_run(start_run(world, recipe="dpo"), files={"pair_audit": "pair_audit.jsonl"})
    run.result["counts"] = {"audited": 4, "against": 2}
    run.save()
    task = world.campaign.tasks.first()
    assert task is not None
    pairs = [
        {"line": 3, "margin": -2.5, "feedback": 12, "task": task.external_id},
        {"line": 1, "margin": -0.5, "feedback": 10, "task": "gone"},
        {"line": 2, "margin": 0.137},
        {"line": 4, "margin": 0.9},
    ]
    (paths.run_folder(run.pk) / "pair_audit.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    lead, page, item = (
        world.client("lead"),
        reverse("run", args=[run.pk]),
        reverse("review", args=[run.campaign_id, task.pk]),
    )
    html = lead.get(page).content.decode()
    assert (
        "in 2 of 4 pairs" in html and html.count(item) == 1 and "-2.5" in html and "-0.5" in html and "0.13" not in html
    )
    assert item not in world.client("engineer").get(page).content.decode(), "who may not review has nowhere to go"
    rows = lead.get(page, {"format": "csv", "part": "pairs"}).content.decode().splitlines()
    assert rows[0] == "line,margin,feedback,task" and rows[2] == "1,-0.5,10,gone" and rows[-1] == "4,0.9,,"
    address = reverse("api-run-pairs", args=[run.pk])
    assert lead.get(address, {"offset": 1, "limit": 2}).json() == {"rows": pairs[1:3]}
    (paths.run_folder(run.pk) / "pair_audit.jsonl").unlink()
    assert "pair-audit" not in lead.get(page).content.decode()
    other = lead.get(reverse("api-run-pairs", args=[finish_run(start_run(world)).pk]))
    assert other.status_code == 409 and "against a reference" in other.json()["detail"]
