"""A model to carry away: an adapter, and the same merged, with a card that tells all that is known of it."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from annotation.models import Campaign, Event, User
from tests.factories import judge, make_task
from training import paths
from training.core.backbone import load_policy, save, start_policy
from training.core.tiny import save_tiny
from training.models import GateReport, ModelVersion, Run
from training.recipes import recipe
from training.services import model_folders, snapshots, versions

FIGURE = {"name": "win_rate", "estimate": 0.62, "low": 0.53, "high": 0.7, "n": 80, "limit": 0.5, "passed": True}


def adapter_on(base: Path, folder: Path) -> Path:
    """Write an adapter whose weights say something: a new one is the identity."""
    model, tokenizer = start_policy(str(base), lora_rank=2)
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.2)
    save(model, tokenizer, folder, recipe="rloo", base=str(base))
    return folder


@pytest.fixture
def trained(campaign: Campaign, annotator: User, lead: User, attune_files: Path) -> ModelVersion:
    base = save_tiny(attune_files / "base")
    parent = versions.register(campaign=campaign, kind="policy", path=str(base), actor=None, state="promoted")
    make_task(campaign, number=1)
    judge(annotator, campaign)
    return ModelVersion.objects.create(
        campaign=campaign,
        kind="policy",
        number=1,
        parent=parent,
        snapshot=snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=lead),
        path=str(adapter_on(base, attune_files / "adapter")),
        recipe=recipe("dpo").to_json({"beta": 0.2}),
        metrics={"eval_accuracy": {"estimate": 0.75, "low": 0.6, "high": 0.9, "n": 40}},
    )


def exported(*arguments: str) -> str:
    out = io.StringIO()
    call_command("export_model", *arguments, "--campaign", "Shape it", "--actor", "lead", "--unattacked", stdout=out)
    return out.getvalue()


@pytest.mark.one_database
@pytest.mark.django_db
def test_a_policy_is_exported_as_adapter_and_merged_and_answers_the_same(trained: ModelVersion, tmp_path: Path):
    GateReport.objects.create(
        candidate=trained, parent=trained.parent, verdict="pass", figures=[FIGURE | {"explanation": "People liked it."}]
    )
    assert "README.md" in exported("policy-1", "--into", str(tmp_path / "adapter"))
    exported("policy-1", "--into", str(tmp_path / "whole"), "--merged")
    heads = []
    for folder in (tmp_path / "adapter", tmp_path / "whole"):
        text = (folder / "README.md").read_text()
        _, head, body = text.split("---\n", 2)
        heads.append(dict(line.split(": ", 1) for line in head.splitlines()))
        assert "Shape it: policy-1" in body and "Direct preference optimisation (arXiv:2305.18290)" in body
        assert f"sha256 `{trained.snapshot.sha256}`" in body and "1 judgement by 1 person" in body
        assert "| win_rate | 0.62 (0.53 to 0.7) | 80 | 0.5 | yes |" in body and "- People liked it." in body
        assert "eval_accuracy: 0.75 (0.6 to 0.9, n 40)" in body and "| `beta` | `0.2` |" in body
        assert "## Who judged" in (folder / f"data/snapshot-{trained.snapshot_id}.md").read_text()
        assert json.loads((folder / "gate.json").read_text())["compared_with"] == "policy-0"
        assert json.loads((folder / "lineage.json").read_text())["ancestors"][0]["label"] == "policy-0"
    assert [head["library_name"] for head in heads] == ['"peft"', '"transformers"']
    assert not (tmp_path / "whole" / "adapter_config.json").exists()

    ids = torch.arange(5, 25).unsqueeze(0)
    with torch.no_grad():
        ours = load_policy(paths.resolve(trained.path))[0](ids).logits
        base = load_policy(paths.resolve(trained.parent.path))[0](ids).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")(ids).logits
    torch.testing.assert_close(merged, ours, atol=1e-4, rtol=1e-4)
    assert (merged - base).abs().max() > 0.01
    assert AutoTokenizer.from_pretrained(tmp_path / "whole").chat_template
    told = Event.objects.filter(action="version.exported")
    assert [event.detail["merged"] for event in told.order_by("pk")] == [False, True]


@pytest.mark.django_db
def test_what_cannot_be_exported_is_said_and_leaves_nothing(trained: ModelVersion, tmp_path: Path):
    with pytest.raises(CommandError, match="There are policy-0, policy-1"):
        exported("policy-7", "--into", str(tmp_path / "out"))
    with pytest.raises(CommandError, match="exists already"):
        exported("policy-1", "--into", str(tmp_path))
    with pytest.raises(CommandError, match="nothing to merge"):
        exported("policy-0", "--into", str(tmp_path / "out"), "--merged")
    ModelVersion.objects.filter(pk=trained.pk).update(path="org/model")
    with pytest.raises(CommandError, match="org/model, which is no folder"):
        exported("policy-1", "--into", str(tmp_path / "out"))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.one_database
@pytest.mark.django_db
def test_a_model_is_downloaded_as_it_is_and_merged_once_a_worker_has(
    client: Client, trained: ModelVersion, lead: User, annotator: User, tmp_path: Path
):
    (Path(paths.resolve(trained.path)) / "modes.json").write_text('{"positive": "a key"}')
    client.force_login(lead)
    page, folder = reverse("model", args=[trained.pk]), reverse("model-folder", args=[trained.pk])
    names = {}
    for merged in ("0", "1"):
        if merged == "1":
            early = client.get(folder, {"merged": "1", "confirmed": "1"}, follow=True)
            assert "not merged yet" in early.content.decode()
            told = client.post(reverse("model-merge", args=[trained.pk]), follow=True).content.decode()
            assert "A worker merges its weights" in told
            model_folders.merge(trained.pk)
            assert "Download it merged" in client.get(page).content.decode()
        got = client.get(folder, {"merged": merged, "confirmed": "1"})
        with zipfile.ZipFile(io.BytesIO(got.getvalue())) as archive:
            assert archive.testzip() is None
            names[merged] = set(archive.namelist())
            archive.extractall(tmp_path / merged)
    assert {"adapter_config.json", "README.md", "lineage.json"} <= names["0"] and "modes.json" not in names["0"]
    assert "adapter_config.json" not in names["1"] and '"transformers"' in (tmp_path / "1" / "README.md").read_text()
    ids = torch.arange(5, 25).unsqueeze(0)
    with torch.no_grad():
        ours = load_policy(paths.resolve(trained.path))[0](ids).logits
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "1")(ids).logits
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)
    client.force_login(annotator)
    assert client.get(folder).status_code == 403


@pytest.mark.django_db
def test_why_a_merge_failed_is_kept_and_it_may_be_asked_again(trained: ModelVersion):
    shutil.rmtree(paths.resolve(trained.parent.path))
    model_folders.order_merge(version=trained)
    assert model_folders.merging(trained) == ("asked", "")
    model_folders.merge(trained.pk)
    state, why = model_folders.merging(trained)
    assert state == "failed" and why
    model_folders.order_merge(version=trained)
    assert model_folders.merging(trained)[0] == "asked"


@pytest.mark.django_db
def test_a_policy_that_nobody_attacked_is_taken_away_only_by_who_confirms_that(
    client: Client, trained: ModelVersion, lead: User, tmp_path: Path
):
    with pytest.raises(CommandError, match=r"was never attacked.*Here: --unattacked\."):
        call_command("export_model", "policy-1", "--into", str(tmp_path / "out"), "--campaign", "Shape it")
    (tmp_path / "full").touch()
    with pytest.raises(OSError):
        model_folders.export(version=trained, into=tmp_path / "full" / "out", merged=False, actor=lead, confirmed=True)
    assert not Event.objects.filter(action__startswith="version.exported"), "it did not get there"
    client.force_login(lead)
    page, folder = (reverse(name, args=[trained.pk]) for name in ("model", "model-folder"))
    assert 'name="confirmed" value="1" required' in client.get(page).text
    assert "was never attacked" in client.get(folder, follow=True).text
    api = APIClient()
    api.force_authenticate(lead)
    rest = reverse("api-version-folder", args=[trained.pk])
    assert api.get(rest).status_code == 409 and not Event.objects.filter(action__startswith="version.exported")
    assert api.get(rest, {"confirmed": "true"}).status_code == 200
    event = Event.objects.get(action="version.exported_unattacked")
    assert (event.actor, event.target) == (lead, "policy-1")
    run = Run.objects.create(campaign=trained.campaign, kind="fit", recipe={"name": "tamper-test"}, state="succeeded")
    Run.objects.filter(pk=run.pk).update(parent=trained)
    assert 'name="confirmed"' not in client.get(page).text and client.get(folder).status_code == 200
    assert Event.objects.filter(action="version.exported").count() == 2
