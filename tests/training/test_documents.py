"""Texts that continued pre-training reads: a file, kept as it was read, by form, REST and command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from tests.frontend.lead_world import World, make_world
from training import launch, paths
from training.models import ModelVersion, Run
from training.services import feeding, versions

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world(tasks=0)


@pytest.fixture
def policy(world: World) -> ModelVersion:
    return versions.register(campaign=world.campaign, kind="policy", path="org/chat", actor=world.lead)


def texts(*, name: str = "clinic.jsonl", content: str = "") -> str:
    file = paths.files() / "prompts" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content or "".join(json.dumps({"text": f"Text {n}."}) + "\n" for n in range(3)))
    return paths.stored(file)


def test_by_form_the_file_is_kept_as_it_was(world: World, policy: ModelVersion) -> None:
    offer = feeding.feeding(world.campaign, "continued-pretraining")
    assert offer is not None and offer.can_start, "nobody need have judged"
    client, address = world.client("engineer"), reverse("run-new", args=[world.campaign.pk, "continued-pretraining"])
    form = client.get(address).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    wrong = {
        "": "This field is required",
        "/etc/passwd": "not in a folder",
        "no.jsonl": "no file at",
        texts(name="b.jsonl", content="[1]\n"): "Line 1 of b.jsonl is no object with a",
        texts(name="c.txt", content="\n\n"): "holds no text",
    }
    for path, says in wrong.items():
        page = client.post(address, {**values, "rows": path})
        assert page.status_code == 422 and says in page.content.decode(), path
    assert client.post(address, {**values, "rows": texts()}).status_code == 302
    run = Run.objects.get()
    texts(content='{"text": "Another."}\n')  # the file changes; what the run reads does not
    data = launch.spec_of(run).data
    assert data is not None and len(Path(data).read_text().splitlines()) == 3
    assert (run.snapshot, run.parent) == (None, policy)


def test_by_rest_and_command_line_and_nowhere_else(world: World, policy: ModelVersion) -> None:
    client, address = world.client("engineer"), reverse("api-runs", args=[world.campaign.pk])
    body = {"recipe": "continued-pretraining", "parent": policy.pk, "documents": texts()}
    assert client.post(address, body, content_type="application/json").status_code == 201
    for wrong in ({**body, "documents": "no.txt"}, {**body, "recipe": "dpo"}):
        answer = client.post(address, wrong, content_type="application/json")
        assert answer.status_code in (400, 422) and "documents" in answer.json()["errors"]
    more = {"campaign": world.campaign.name, "parent": "policy-0", "follow": False}
    call_command("run", recipe="continued-pretraining", documents=texts(), **more)
    assert Run.objects.count() == 2
    with pytest.raises(CommandError, match="by --documents"):
        call_command("run", recipe="continued-pretraining", **more)
    with pytest.raises(CommandError, match="reads no texts"):
        call_command("run", recipe="dpo", documents=texts(), **more)


def test_half_a_character_is_replaced_and_brackets_without_end_are_said(world: World, policy: ModelVersion) -> None:
    client, address = world.client("engineer"), reverse("api-runs", args=[world.campaign.pk])
    body = {"recipe": "continued-pretraining", "parent": policy.pk}
    half = texts(content='{"text": "a\\ud800b"}\n')
    assert client.post(address, {**body, "documents": half}, content_type="application/json").status_code == 201
    deep = texts(name="deep.jsonl", content='{"text": "x", "y": ' + "[" * 100_000 + "\n")
    answer = client.post(address, {**body, "documents": deep}, content_type="application/json")
    assert answer.status_code in (400, 422) and "documents" in answer.json()["errors"]
    assert not list(paths.files().glob("documents/*.part"))
