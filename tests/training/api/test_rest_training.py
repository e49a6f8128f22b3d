"""Who may do what in training: seven callers meet every endpoint, and every answer has its documented shape."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from knox.models import AuthToken
from rest_framework.test import APIClient

from annotation.models import Campaign, Task, User
from tests.core.lab_safety import lab_rows
from tests.factories import judge, make_campaign, make_task, make_user
from tests.training.workers import toy
from training.api.urls import urlpatterns
from training.models import Chat, GateReport, Loop, ModelVersion, Round, Run, Snapshot, Suite
from training.recipes.loop import loop_settings
from training.services import chats, execution, rounds, runs, snapshots, versions

pytestmark = pytest.mark.django_db

CALLERS = ("anonymous", "stranger", "annotator", "reviewer", "engineer", "lead", "admin")
EVERYBODY = (401, 200, 200, 200, 200, 200, 200)
READERS = (401, 404, 403, 403, 200, 200, 200)
MAKERS = (401, 404, 403, 403, 201, 201, 201)
LEADS = (401, 404, 403, 403, 403, 200, 200)
MATRIX: list[tuple[str, str, Any, tuple[int, ...]]] = [
    ("api-own-data", "get", None, EVERYBODY),
    ("api-own-uses", "get", None, EVERYBODY),
    ("api-own-profile-text", "get", None, EVERYBODY),
    ("api-own-profile-text", "put", {"text": "Short."}, EVERYBODY),
    ("api-own-erase", "post", {"confirmation": "nobody"}, (401, *[422] * 6)),
    ("api-recipes", "get", None, EVERYBODY),
    ("api-runs", "get", None, READERS),
    ("api-runs", "post", {"recipe": "dpo", "knobs": {"beta": 0.2}, "parent": "@version"}, MAKERS),
    (
        "api-placement",
        "post",
        {"recipe": "grpo", "parent": "@version", "engine": "verl"},
        (401, 404, 403, 403, 422, 422, 422),  # no engine is set up here
    ),
    ("api-versions", "get", None, READERS),
    ("api-versions", "post", {"kind": "policy", "path": "org/model"}, MAKERS),
    ("api-versions", "post", {"kind": "policy", "path": "0" * 400}, (401, 404, 403, 403, 422, 422, 422)),
    ("api-snapshots", "get", None, READERS),
    ("api-snapshots", "post", {"view": "pairs", "filters": {"split": "train"}}, MAKERS),
    ("api-snapshot", "get", None, READERS),
    ("api-snapshot-rows", "get", None, READERS),
    ("api-snapshot-folder", "get", None, READERS),
    ("api-snapshot-diff", "get", {"older": "@snapshot"}, READERS),
    ("api-snapshot-overlaps", "get", {"suite": "no/such/suite"}, (401, 404, 403, 403, 422, 422, 422)),
    ("api-snapshot-push", "post", {"repository": "team/pairs"}, (401, 404, 403, 403, 409, 409, 409)),
    ("api-suites", "get", None, READERS),
    ("api-suites", "post", {"name": "Lab", "rows": lab_rows(2)}, MAKERS),
    ("api-suite-ask", "post", {"campaign": "@campaign"}, (401, 404, 403, 403, 422, 422, 422)),
    ("api-reward-figures", "get", None, READERS),
    ("api-mismatch", "get", None, READERS),
    ("api-knowledge", "get", None, READERS),
    # The lead has written it before the administrator does, for whom nothing differs then.
    (
        "api-knowledge",
        "patch",
        {"documents": [{"name": "a", "text": "Be kind."}]},
        (401, 404, 403, 403, 403, 200, 422),
    ),
    ("api-guard", "get", None, READERS),
    ("api-guard", "patch", {"settings": {"keep": True}}, LEADS),
    ("api-guard-retrain", "post", {}, (401, 404, 403, 403, 403, 409, 409)),
    ("api-guard-prompts", "post", {"prompts": [{"text": "a"}]}, (401, 404, 403, 403, 422, 422, 422)),
    ("api-loop", "get", None, READERS),
    ("api-loop", "patch", {"settings": {"overlap": 3}}, LEADS),
    ("api-loop", "post", {"policy": "org/model", "prompts_path": "x"}, (401, 404, 403, 403, 403, 422, 422)),
    ("api-loop-pause", "post", {}, (401, 404, 403, 403, 403, 200, 409)),
    ("api-loop-asked", "get", None, READERS),
    ("api-rounds", "get", None, READERS),
    ("api-rounds", "post", {}, (401, 404, 403, 403, 403, 409, 409)),
    ("api-run", "get", None, READERS),
    ("api-run-log", "get", None, READERS),
    ("api-run-metrics", "get", None, READERS),
    ("api-run-what-if", "post", {}, (401, 404, 403, 403, 409, 409, 409)),
    ("api-run-answers", "get", None, (401, 404, 403, 403, 409, 409, 409)),
    ("api-run-pairs", "get", None, (401, 404, 403, 403, 409, 409, 409)),
    ("api-run-cancel", "post", {}, (401, 404, 403, 403, 200, 409, 409)),
    ("api-run-ask", "post", {"campaign": "@campaign"}, (401, 404, 403, 403, 422, 422, 422)),
    ("api-run-retry", "post", {}, (401, 404, 403, 403, 409, 409, 409)),
    ("api-explorations", "get", None, READERS),
    ("api-explorations", "post", {"prompt": "Why?", "answers": ["So."]}, (401, 404, 403, 403, 422, 422, 422)),
    ("api-exploration", "get", None, (401, 404, 403, 403, 404, 404, 404)),
    ("api-exploration-correction", "post", {"model": "reward-0"}, (401, 404, 403, 403, 404, 404, 404)),
    ("api-playground", "get", None, (401, 404, 403, 403, 404, 404, 404)),
    ("api-playground", "post", {"policy": "@version", "temperature": 0.5}, MAKERS),
    ("api-playground-say", "post", {"message": "Hi.", "client_key": "k"}, (401, 404, 403, 403, 404, 404, 404)),
    ("api-playground-save", "post", {"turn": 1}, (401, 404, 403, 403, 404, 404, 404)),
    ("api-playground-end", "post", {}, (401, 404, 403, 403, 204, 204, 204)),
    ("api-version", "get", None, READERS),
    ("api-version-guard", "get", None, (401, 404, 403, 403, 404, 404, 404)),
    ("api-version-guard", "post", {}, (401, 404, 403, 403, 403, 404, 404)),
    ("api-version-people", "get", None, (401, 404, 403, 403, 404, 404, 404)),
    ("api-version-gate", "get", None, (401, 404, 403, 403, 404, 404, 404)),
    ("api-version-folder", "get", None, (401, 404, 403, 403, 422, 422, 422)),
    ("api-version-merge", "get", None, READERS),
    ("api-version-merge", "post", {}, (401, 404, 403, 403, 422, 422, 422)),
    ("api-version-gate", "post", {}, (401, 404, 403, 403, 403, 202, 409)),
    ("api-version-gate", "delete", None, (401, 404, 403, 403, 403, 409, 409)),
    ("api-version-promote", "post", {"reason": "It is better."}, LEADS),
    ("api-version-roll-back", "post", {}, (401, 404, 403, 403, 403, 409, 409)),
    ("api-round", "get", None, READERS),
    ("api-round-finish-labelling", "post", {}, (401, 404, 403, 403, 403, 409, 409)),
    ("api-round-resume", "post", {}, (401, 404, 403, 403, 403, 409, 409)),
    ("api-round-cancel", "post", {}, (401, 404, 403, 403, 403, 200, 409)),
    ("api-chats", "get", None, (401, 404, 200, 403, 200, 200, 200)),
    ("api-chats", "post", {}, (401, 404, 201, 403, 403, 201, 201)),
    ("api-chat", "get", None, (401, 404, 200, 404, 200, 200, 200)),
    ("api-chat-say", "post", {"message": "Hello.", "client_key": "k"}, (401, 404, 201, 404, 403, 403, 403)),
    ("api-chat-choose", "post", {"client_key": "k"}, (401, 404, 409, 404, 403, 403, 403)),
    ("api-chat-end", "post", {}, (401, 404, 200, 404, 403, 403, 403)),
]


@pytest.fixture
def clients(lead: User, annotator: User, reviewer: User, engineer: User, stranger: User) -> dict[str, APIClient]:
    people = dict(zip(CALLERS, (None, stranger, annotator, reviewer, engineer, lead), strict=False))
    people["admin"] = make_user("root", is_superuser=True)
    found = {}
    for name, person in people.items():
        found[name] = APIClient()
        if person is not None:
            found[name].credentials(HTTP_AUTHORIZATION=f"Token {AuthToken.objects.create(user=person)[1]}")
    return found


@pytest.fixture
def loop(campaign: Campaign, lead: User, tmp_path: Path) -> Loop:
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": n, "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(80)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rounds.create_loop(
        campaign=campaign, policy="org/base", prompts_path=str(prompts), settings={"chat": True}, actor=lead
    )


@pytest.fixture
def chat(loop: Loop, campaign: Campaign, annotator: User) -> Chat:
    """The annotator's own."""
    return chats.start(campaign=campaign, user=annotator)


@pytest.fixture
def round(loop: Loop, lead: User) -> Round:
    return rounds.start_round(loop=loop, actor=lead)


@pytest.fixture
def candidate(campaign: Campaign, round: Round) -> ModelVersion:
    return versions.register(campaign=campaign, kind="policy", path="org/candidate", actor=None)


@pytest.fixture
def snapshot(campaign: Campaign, annotator: User) -> Snapshot:
    make_task(campaign, number=1)
    judge(annotator, campaign)
    return snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=None)


@pytest.fixture
def run(campaign: Campaign, candidate: ModelVersion, snapshot: Snapshot, lead: User) -> Run:
    return runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=lead, parent=candidate, snapshot=snapshot)


def address(name: str, **ids: int) -> str:
    pattern = next(pattern for pattern in urlpatterns if pattern.name == name)
    path = f"/api/training/{pattern.pattern}"
    for kind, row_id in ids.items():
        path = path.replace(f"<int:{kind}_id>", str(row_id))
    return path


@pytest.mark.parametrize(("name", "method", "body", "expected"), MATRIX, ids=[f"{row[1]} {row[0]}" for row in MATRIX])
def test_everybody_gets_what_is_theirs(
    name: str,
    method: str,
    body: Any,
    expected: tuple[int, ...],
    clients: dict[str, APIClient],
    campaign: Campaign,
    run: Run,
    candidate: ModelVersion,
    round: Round,
    chat: Chat,
) -> None:
    ids = {"campaign": campaign.pk, "run": run.pk, "version": candidate.pk, "round": round.pk, "chat": chat.pk}
    suite = Suite.objects.create(campaign=campaign, name="Lab", path="suites/lab.jsonl", questions=2)
    path = address(name, **ids, snapshot=run.snapshot_id or 0, suite=suite.pk)
    if isinstance(body, dict):
        known = {"@campaign": campaign.pk, "@version": candidate.pk, "@snapshot": run.snapshot_id}
        body = {key: known.get(value, value) if isinstance(value, str) else value for key, value in body.items()}
    more = {} if body is None else {"data": body, **({} if method == "get" else {"format": "json"})}
    for caller, status in zip(CALLERS, expected, strict=True):
        response = getattr(clients[caller], method)(path, **more)
        assert response.status_code == status, (caller, response.content[:500])
        if status >= 400:
            assert set(response.json()) == {"detail", "errors"}
            assert response.json()["detail"].strip()


def test_the_matrix_is_complete() -> None:
    assert {pattern.name for pattern in urlpatterns} == {name for name, *_ in MATRIX}


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**30])
def test_ids_that_no_row_can_have_are_not_found(number: int, clients: dict[str, APIClient], run: Run) -> None:
    for pattern in urlpatterns:
        if "<int:" not in str(pattern.pattern):
            continue
        names = ("campaign", "run", "version", "round", "chat", "snapshot")
        path = address(pattern.name, **dict.fromkeys(names, number))
        for method in ("get", "post"):
            response = getattr(clients["lead"], method)(path)
            assert response.status_code in (404, 405), (path, response.content)
            assert set(response.json()) == {"detail", "errors"}


def test_more_prompts_than_a_list_can_have_are_not_left_out(clients: dict[str, APIClient], run: Run) -> None:
    answer = clients["lead"].get(f"/api/training/runs/{run.pk}/answers/", {"offset": 2**63 - 2})
    assert answer.status_code == 400 and "offset" in answer.json()["errors"]


def test_a_stranger_cannot_tell_a_run_from_nothing(clients: dict[str, APIClient], run: Run) -> None:
    there = clients["stranger"].get(address("api-run", run=run.pk))
    nothing = clients["stranger"].get(address("api-run", run=run.pk + 1000))
    assert (there.status_code, there.json()) == (nothing.status_code, nothing.json())


def test_recipes_tell_every_knob(clients: dict[str, APIClient]) -> None:
    found = {recipe["name"]: recipe for recipe in clients["stranger"].get(address("api-recipes")).json()}
    assert {"bradley-terry", "sft", "dpo", "sample", "compare", "reward-accuracy"} <= set(found)
    knobs = {knob["name"]: knob for knob in found["dpo"]["knobs"]}
    assert (knobs["epochs"]["type"], knobs["beta"]["type"]) == ("integer", "number")
    assert knobs["beta"]["help"]


def test_what_does_not_fit_is_said_at_its_field(
    clients: dict[str, APIClient], campaign: Campaign, candidate: ModelVersion, lead: User
) -> None:
    def errors(**body: Any) -> dict[str, Any]:
        response = clients["lead"].post(address("api-runs", campaign=campaign.pk), body, format="json")
        assert response.status_code in (400, 422), response.content
        return response.json()["errors"]

    other = make_campaign("Another", lead=lead)
    foreign = versions.register(campaign=other, kind="policy", path="org/foreign", actor=None)
    assert "recipe" in errors()
    assert "Did you mean dpo" in errors(recipe="dpoo", parent=candidate.pk)["recipe"][0]
    assert "Did you mean beta" in errors(recipe="dpo", parent=candidate.pk, knobs={"betta": 1})["betta"][0]
    assert "parent" in errors(recipe="dpo", parent=foreign.pk)
    assert "parent" in errors(recipe="dpo")
    assert "snapshot" in errors(recipe="dpo", parent=candidate.pk, snapshot=10**6)
    assert "seed" in errors(recipe="dpo", parent=candidate.pk, seed=-1)
    assert "colour" in errors(recipe="dpo", parent=candidate.pk, colour="red")
    assert "needs returns" in errors(recipe="ppo", parent=candidate.pk, parts={"advantage": "group-norm"})["recipe"][0]
    assert "Did you mean best?" in errors(recipe="ppo", parent=candidate.pk, parts={"filter": "besst"})["filter"]
    assert "shape" in errors(recipe="dpo", parent=candidate.pk, parts={"shape": "preference"})
    assert "not both" in errors(recipe="dpo", parent=candidate.pk, model="org/other")["model"][0]
    assert "gives no scores" in errors(recipe="grpo", parent=candidate.pk, reward=candidate.pk)["reward"][0]
    reward = versions.register(campaign=campaign, kind="reward", path="org/reward", actor=None)
    assert "does not start from reward-0 (Reward model)" in errors(recipe="dpo", parent=reward.pk)["model"][0]
    empty = snapshots.freeze(campaign=campaign, view="pairs", filters={"batches": ["none"]}, actor=None)
    assert "no pairs yet" in errors(recipe="dpo", parent=candidate.pk, snapshot=empty.pk)["snapshot"][0]
    assert not Run.objects.filter(campaign=campaign, recipe__name="dpo").exists()


@pytest.mark.django_db(transaction=True)
def test_a_run_from_request_to_lineage(
    clients: dict[str, APIClient], campaign: Campaign, candidate: ModelVersion, snapshot: Snapshot
) -> None:
    body = {"recipe": "dpo", "parent": candidate.pk, "knobs": {"beta": 0.4}, "seed": 5}
    made = clients["engineer"].post(address("api-runs", campaign=campaign.pk), body, format="json").json()
    assert (made["state"], made["recipe"]["knobs"]["beta"], made["seed"]) == ("queued", 0.4, 5)
    assert Snapshot.objects.get(pk=made["snapshot"]).rows == 1
    execution.execute(made["id"], command=toy(steps=4))
    read = clients["engineer"].get(address("api-run", run=made["id"])).json()
    assert (read["state"], read["result"]["notes"]) == ("succeeded", ["Made by a toy."])
    assert "toy child" in clients["engineer"].get(address("api-run-log", run=made["id"])).json()["text"]
    lines = clients["engineer"].get(address("api-run-metrics", run=made["id"])).json()["lines"]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    version = clients["engineer"].get(address("api-version", version=read["output"])).json()
    assert version["label"] == "policy-2"
    assert version["gate_report"] is None
    assert version["lineage"]["judgements"] == 1
    assert len(version["lineage"]["feedback_ids"]) == 1


def test_the_gate_over_rest(clients: dict[str, APIClient], campaign: Campaign, candidate: ModelVersion) -> None:
    path = address("api-version-promote", version=candidate.pk)
    closed = clients["lead"].post(path, {}, format="json")
    assert closed.status_code == 409
    assert "no gate report" in closed.json()["detail"]
    serving = versions.current(campaign, "policy")
    assert serving is not None
    GateReport.objects.create(
        candidate=candidate,
        parent=serving,
        verdict="pass",
        figures=[
            {
                "name": "kl",
                "estimate": 3.0,
                "low": 2.0,
                "high": 4.0,
                "n": 40,
                "limit": 60.0,
                "passed": True,
                "explanation": "It moved a little.",
            }
        ],
    )
    promoted = clients["lead"].post(path, {}, format="json").json()
    assert (promoted["state"], promoted["gate_report"]["figures"][0]["n"]) == ("promoted", 40)
    back = clients["lead"].post(address("api-version-roll-back", version=serving.pk)).json()
    assert back["state"] == "promoted"


@pytest.mark.parametrize(
    ("given", "status", "at", "says"),
    [
        ({"temperature": "1"}, 400, "temperature", "must be a number, without quotes"),
        ({"gate_needs_safety": "yes"}, 400, "gate_needs_safety", "must be true or false"),
        ({"guard": 5}, 400, "guard", "must be a text"),
        ({"cost_settings": 5}, 400, "cost_settings", "must be an object of settings and values"),
        ({"policy_settings": {"lora_rank": "4", "bf16": 1}}, 422, "policy_settings", "lora_rank: This must be a whole"),
        ({"policy_settings": {"label_smoothing": True}}, 422, "policy_settings", "label_smoothing: This must be a num"),
        ({"policy_settings": {"lora_rnk": 4}}, 422, "policy_settings", "Did you mean lora_rank?"),
        ({"policy_settings": {"user_name": "a\nlora_rank = 4"}}, 422, "policy_settings", "on one line"),
        (
            {"policy_recipe": "cgpo-crpg", "policy_settings": {"must_match": 7}},
            422,
            "policy_settings",
            "must be a text",
        ),
        ({"policy_recipe": "rloo", "policy_parts": {"filter": 1}}, 422, "policy_parts", "filter: This must be a text"),
        (
            {"engine": "verl", "engine_settings": {"actor_rollout_ref.rollout.gpu_memory_utilization": True}},
            422,
            "engine_settings",
            "utilization: This must be a number",
        ),
        ({"reward_settings": {"lora_rank": None}}, 422, "reward_settings", "lora_rank: This must be a whole number"),
    ],
)
def test_a_setting_of_a_loop_has_its_type_over_rest(
    given: dict[str, Any], status: int, at: str, says: str, clients: dict[str, APIClient], campaign: Campaign
) -> None:
    before = Loop.objects.create(campaign=campaign, settings=asdict(loop_settings()), prompts_path="x").settings
    answer = clients["lead"].patch(address("api-loop", campaign=campaign.pk), {"settings": given}, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (status, [at]), answer.json()
    assert says in " ".join(answer.json()["errors"][at])
    assert Loop.objects.get().settings == before


def test_what_a_loop_tells_its_recipes_is_taken_as_text_or_object_and_given_with_types(
    clients: dict[str, APIClient], campaign: Campaign
) -> None:
    Loop.objects.create(campaign=campaign, settings={"policy_recipe": "rloo"}, prompts_path="x")  # of long ago
    path = address("api-loop", campaign=campaign.pk)
    assert clients["lead"].get(path).json()["settings"]["policy_settings"] == {}
    as_text = {
        "policy_settings": "lora_rank = 4\nbf16 = TRUE\nweight_decay = 0",
        "policy_parts": "advantage = group-norm\nkl =",
    }
    told = clients["lead"].patch(path, {"settings": as_text}, format="json").json()["settings"]
    assert told["policy_settings"] == {"lora_rank": 4, "bf16": True, "weight_decay": 0.0}
    assert type(told["policy_settings"]["weight_decay"]) is float and told["policy_parts"]["kl"] == ""
    again = clients["lead"].patch(path, {"settings": told}, format="json")
    assert again.status_code == 200 and again.json()["settings"] == told


def test_a_knob_of_a_run_has_its_type_over_rest(clients: dict[str, APIClient], campaign: Campaign) -> None:
    path = address("api-runs", campaign=campaign.pk)
    body = {"recipe": "dpo", "model": "org/base", "knobs": {"beta": True, "lora_rank": "8", "bf16": "true"}}
    answer = clients["engineer"].post(path, body, format="json")
    assert answer.status_code == 422 and set(answer.json()["errors"]) == {"beta", "lora_rank", "bf16"}
    body = {"recipe": "grpo", "model": "org/base", "engine": "verl", "engine_settings": {"trainer.nnodes": "2"}}
    answer = clients["engineer"].post(path, body, format="json")
    said = ["trainer.nnodes: This must be a whole number, without quotes."]
    assert answer.status_code == 422 and answer.json()["errors"] == {"engine_settings": said}


def test_a_loop_and_a_round_over_rest(clients: dict[str, APIClient], campaign: Campaign, tmp_path: Path) -> None:
    prompts = tmp_path / "some.jsonl"
    rows = [{"id": n, "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(80)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = address("api-loop", campaign=campaign.pk)
    assert clients["lead"].get(path).status_code == 404
    body = {"policy": "org/base", "prompts_path": str(prompts), "settings": {"prompts_per_round": 5}}
    made = clients["lead"].post(path, body, format="json")
    assert made.status_code == 201, made.content
    assert (made.json()["state"], made.json()["settings"]["prompts_per_round"]) == ("paused", 5)
    wrong = clients["lead"].patch(path, {"settings": {"replai": 1}}, format="json")
    assert wrong.status_code == 422
    assert "Did you mean replay" in wrong.json()["errors"]["replai"][0]
    wrong = clients["lead"].patch(path, {"settings": {"policy_settings": {"lora_rank": -1}}}, format="json")
    assert wrong.json()["errors"] == {"policy_settings": ["lora_rank: Enter at least 0."]}
    told = clients["lead"].patch(path, {"settings": {"policy_settings": {"lora_rank": 4, "bf16": True}}}, format="json")
    assert told.json()["settings"]["policy_settings"] == {"lora_rank": 4, "bf16": True}

    started = clients["lead"].post(address("api-rounds", campaign=campaign.pk)).json()
    rounds.advance_far(started["id"])
    read = clients["lead"].get(address("api-round", round=started["id"])).json()
    assert (read["state"], len(read["prompts"]), read["runs"][0]["purpose"]) == ("sampling", 5, "sample")
    assert read["batches"][0] == {"batch": "round-1", "done": 0, "total": 0, "open": 0}
    ended = clients["lead"].post(address("api-round-cancel", round=started["id"])).json()
    assert (ended["state"], ended["runs"][0]["state"]) == ("cancelled", "cancelled")
    assert clients["lead"].get(address("api-rounds", campaign=campaign.pk)).json()["results"][0]["index"] == 1
    assert not Task.objects.filter(campaign=campaign, state="open").exists()


def test_the_document_describes_every_endpoint_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    with GENERATOR_STATS.silence():
        document = SchemaGenerator().get_schema(request=None, public=True)
    documented = {path for path in document["paths"] if path.startswith("/api/training/")}
    assert len(documented) == len(urlpatterns)
    about_training = [text for text in GENERATOR_STATS._error_cache | GENERATOR_STATS._warn_cache if "training" in text]
    assert about_training == []
