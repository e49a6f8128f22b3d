"""Domain safety suites: a file kept as it was asked, held against what was learned, by form, REST and command line."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from PIL import Image as Pixels
from rest_framework.test import APIClient

from annotation.campaign_templates import templates
from annotation.models import Campaign, Gold, Image, Membership, Task
from annotation.services import campaigns, intake, queue
from tests.core.lab_safety import lab_rows, scenario_rows
from tests.core.worlds import tiny_policy
from tests.factories import judge
from tests.frontend.lead_world import World, finish_run, judge_all, make_world, start_run
from training import launch, paths
from training.errors import Invalid
from training.models import Loop, ModelVersion, Run, Suite
from training.recipes.loop import loop_settings
from training.recipes.multiple_choice import question, read
from training.services import baselines, runs, safety_suites, suites, versions

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world(tasks=0)


@pytest.fixture
def policy(world: World) -> ModelVersion:
    return versions.register(campaign=world.campaign, kind="policy", path="org/chat", actor=world.lead)


def suite_file(rows: list[dict] | None = None) -> str:
    folder = paths.files() / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "lab.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows or lab_rows()))
    return paths.stored(file)


def share(estimate: float, n: int = 12) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate / 2, "high": 1.0, "n": n}


def test_by_form_it_is_kept_as_it_was_and_shown_on_the_model_s_page(world: World, policy: ModelVersion) -> None:
    client, address = world.client("engineer"), reverse("run-new", args=[world.campaign.pk, "safety-suite"])
    assert f"{address}?model={policy.pk}" in client.get(reverse("model", args=[policy.pk])).content.decode()
    form = client.get(address, {"model": policy.pk}).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    for wrong, says in (
        ("", "This field is required"),
        ("/etc/passwd", "not in a folder"),
        ("no.jsonl", "no suite at"),
    ):
        page = client.post(address, {**values, "rows": wrong})
        assert page.status_code == 422 and says in page.content.decode()
    assert client.post(address, {**values, "rows": suite_file()}).status_code == 302
    run = Run.objects.get()
    suite_file(lab_rows(2))
    spec = launch.spec_of(run)
    assert spec.data is not None and len(read(spec.data)) == 12 and spec.seen == [] and run.snapshot is None
    metrics = {"accuracy_suite": share(0.75), "none_rate": share(0.125), "worst_category": share(0.5) | {"name": "x"}}
    metrics |= {
        "accuracy_category_Fire": share(0.5),
        "accuracy_category_Acids": share(1.0),
        "position_bias": share(0.1),
    }
    finish_run(run, metrics=metrics)
    html = client.get(reverse("model", args=[policy.pk])).content.decode()
    for words in ("Questions answered right", "Bias to a place", "Answers without one letter", "Category", "Acids"):
        assert words in html, words
    assert "Accuracy category" not in html  # it stands in the chart's own table
    assert html.index("Fire") < html.index("Acids"), "the worst stands first"


def test_by_rest_and_command_line(world: World, policy: ModelVersion) -> None:
    client = APIClient()
    client.force_authenticate(world.engineer)
    address = f"/api/training/campaigns/{world.campaign.pk}/runs/"
    asked = {"recipe": "safety-suite", "parent": policy.pk, "knobs": {"scorer": "loglik"}}
    assert client.post(address, {**asked, "suite": suite_file()}, format="json").status_code == 201
    assert Run.objects.get().recipe["knobs"]["scorer"] == "loglik"
    for body, field in (
        (asked, "suite"),
        ({**asked, "suite": "/etc"}, "suite"),
        ({**asked, "recipe": "dpo", "knobs": {}, "suite": suite_file()}, "suite"),
    ):
        answer = client.post(address, body, format="json")
        assert answer.status_code == 422 and field in answer.json()["errors"], answer.json()
    more = {"campaign": world.campaign.name, "parent": policy.label, "follow": False, "stdout": io.StringIO()}
    call_command("run", recipe="safety-suite", suite=suite_file(), **more)
    first, second = Run.objects.order_by("pk")
    assert first.inputs["data"] == second.inputs["data"], "the same questions are kept once"
    with pytest.raises(CommandError, match="--suite"):
        call_command("run", recipe="safety-suite", **more)
    with pytest.raises(CommandError, match="reads no suite"):
        call_command("run", recipe="best-of-n", suite=suite_file(), **more)


def test_what_the_model_learned_from_is_named(world: World) -> None:
    """One question stands in the data as it is, one without its options, one with a word changed; nine are new."""
    rows = lab_rows()
    asked = [question(row) for row in rows]
    near = asked[2].text.replace("What must never meet bleach?", "What must never, ever meet bleach?")
    for name, text in (("same", asked[0].text), ("stem", asked[1].stem), ("near", near)):
        intake.make_task(
            campaign=world.campaign,
            messages=[{"role": "user", "content": text}],
            completions=[("one", ""), ("two", "")],
            external_id=name,
        )
    judge_all(world)
    version = finish_run(start_run(world)).output
    assert version is not None
    found = safety_suites.seen(asked, version)
    assert found == sorted(one.id for one in asked[:3])
    with pytest.raises(Invalid, match=r"Row 1 of lab\.jsonl"):
        safety_suites.read(suite_file([{"Question": "x", "Correct Answer": "A"}]))


def test_as_one_line_without_a_database(tmp_path: Path) -> None:
    file = tmp_path / "lab.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in lab_rows(2)))
    out = io.StringIO()
    knobs = ["scorer=loglik", "max_new_tokens=4"]
    model = str(tiny_policy(tmp_path / "policy"))
    call_command("benchmark", "lab-safety", str(file), model=model, knob=knobs, stdout=out)
    said = out.getvalue()
    assert "2 read, 2 asked" in said and "accuracy suite: " in said and "Worst in " in said
    with pytest.raises(CommandError, match="Did you mean scorer"):
        call_command("benchmark", "lab-safety", str(file), model=model, knob=["scorers=x"])


def test_people_answer_blind_and_are_the_line_that_a_policy_is_held_against(world: World, policy: ModelVersion) -> None:
    """Of twelve questions one has an image. Six of the others are answered: four right, one wrong, one not known."""
    rows = lab_rows()
    rows[11]["Image Path"] = "cabinet.png"
    file = suite_file(rows)
    with pytest.raises(CommandError, match="does not ask for the letter"):
        call_command("ask_suite", file, campaign=world.campaign.name)
    asking = templates()["suite-questions"].settings
    campaign = campaigns.create(name="What people know", actor=world.lead, **asking)
    for _twice in range(2):
        out = io.StringIO()
        call_command("ask_suite", file, campaign=campaign.name, stdout=out)
    assert "0 questions are in the queue" in out.getvalue() and "11 were there. 1 are unsupported" in out.getvalue()
    campaigns.open_campaign(campaign=campaign, actor=world.lead)
    Membership.objects.create(campaign=campaign, user=world.annotator, role="annotator")
    keys = {one.stem: one for one in map(question, rows)}
    client = world.client("annotator")
    for number in range(6):
        assignment = queue.next_task(user=world.annotator, campaign=campaign)
        assert assignment is not None
        one = keys[assignment.task.prompt.messages[0]["content"]]
        screen = client.get(f"/work/{campaign.pk}/").content.decode()
        told = screen + json.dumps(client.post(f"/api/campaigns/{campaign.pk}/next/").json())
        assert one.options[0] in screen and rows[0]["Explanation"] not in told and "is what safety rules" not in told
        assert assignment.task.meta == {"origins": [""]} and assignment.task.is_audit
        value = "ABCD".index(one.answer) if number < 4 else 4 if number == 5 else ("ABCD".index(one.answer) + 1) % 4
        judge(world.annotator, campaign, assignment=assignment, data={"letter_1": str(value)})
    asked = {"recipe": "safety-suite", "knobs": {}, "campaign": world.campaign, "parent": policy}
    run = runs.create(actor=world.lead, inputs={"suite": file}, **asked)
    finish_run(run, metrics={"accuracy_suite": share(0.75), "accuracy_category_Fire": share(0.5)})
    found = baselines.people(run, world.lead)
    assert found is not None and (found["estimate"], found["n"]) == (pytest.approx(4 / 6), 6)
    html = world.client("lead").get(reverse("run", args=[run.pk])).content.decode()
    assert "Questions that people answered right" in html and "67%" in html and ">people<" in html
    hidden = world.client("engineer").get(reverse("run", args=[run.pk])).content.decode()
    assert "people answered right" not in hidden, "no member of the campaign that asked"


# --- Kept for a campaign -----------------------------------------------------------------------------------------


def uploaded(rows: list[dict], *, name: str = "lab.jsonl") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, "".join(json.dumps(row) + "\n" for row in rows).encode())


def test_a_suite_is_uploaded_put_to_a_policy_and_to_people(world: World, policy: ModelVersion) -> None:
    client, address = world.client("lead"), reverse("suites", args=[world.campaign.pk])
    assert address in client.get(reverse("runs", args=[world.campaign.pk])).content.decode()
    assert "None yet" in client.get(address).content.decode()
    bad = client.post(address, {"file": uploaded([{"Question": "Why?", "Correct Answer": "A"}]), "name": "Lab"})
    assert bad.status_code == 422 and "Row 1 of Lab is no question of a suite" in bad.content.decode()
    torn = SimpleUploadedFile("lab.jsonl.gz", b"\x1f\x8bnot really")
    assert client.post(address, {"file": torn}).status_code == 422
    assert client.post(address, {"file": uploaded(lab_rows()), "name": ""}).status_code == 302
    suite = Suite.objects.get()
    assert (suite.name, suite.questions, suite.created_by) == ("lab.jsonl", 12, world.lead)
    packed = SimpleUploadedFile("again.gz", gzip.compress(json.dumps(lab_rows()).encode()))
    client.post(address, {"file": packed, "name": "The lab"})
    suite.refresh_from_db()
    assert (Suite.objects.count(), suite.name) == (1, "The lab"), "the same questions are the same suite"
    page = client.get(address).content.decode()
    assert "12 questions" in page and all(name in page for name in suite.categories)
    link = f"{reverse('run-new', args=[world.campaign.pk, 'safety-suite'])}?suite={suite.path}"
    assert link in page
    form = client.get(link).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert values["rows"] == suite.path
    assert client.post(link, {**values, "model": policy.pk}).status_code == 302
    assert Run.objects.get().inputs["data"] == suite.path


def letters_campaign(world: World) -> Campaign:
    campaign = campaigns.create(actor=world.lead, name="Letters", **templates()["suite-questions"].settings)
    campaigns.open_campaign(campaign=campaign, actor=world.lead)
    return campaign


def test_questions_are_a_reference_line_or_a_test_but_not_both(world: World) -> None:
    client = APIClient()
    client.force_authenticate(world.lead)
    address = f"/api/training/campaigns/{world.campaign.pk}/suites/"
    made = client.post(address, {"name": "Lab", "rows": lab_rows()}, format="json")
    assert made.status_code == 201, made.json()
    assert client.get(address).json()["results"][0]["questions"] == 12
    wrong = client.post(address, {"name": "Lab", "rows": [{"Question": "Why?"}]}, format="json")
    assert wrong.status_code == 422 and "Row 1 of Lab" in wrong.json()["errors"]["suite"][0]
    ask = f"/api/training/suites/{made.json()['id']}/ask/"
    refused = client.post(ask, {"campaign": world.campaign.pk}, format="json")
    assert refused.status_code == 422 and "does not ask for the letter" in str(refused.json())
    campaign = letters_campaign(world)
    page = world.client("lead").get(reverse("suites", args=[world.campaign.pk])).content.decode()
    assert "Letters" in page and "A test that people pass before their first item" in page
    asked = client.post(ask, {"campaign": campaign.pk, "purpose": "test"}, format="json")
    assert asked.status_code == 201 and asked.json()["created"] == 12
    golds = Gold.objects.filter(task__campaign=campaign, purpose="test")
    keys = {f"{one.stem}": one.answer for one in map(question, lab_rows())}
    assert golds.count() == 12
    for gold in golds:
        (rating,) = gold.payload["ratings"]
        assert "ABCD"[next(iter(rating.values()))] == keys[gold.task.prompt.messages[0]["content"]]
    both = client.post(ask, {"campaign": campaign.pk}, format="json")
    assert both.status_code == 422 and "qualify" in both.json()["errors"]["purpose"][0]


def test_who_fails_the_test_of_a_suite_judges_nothing(world: World) -> None:
    campaign = letters_campaign(world)
    Membership.objects.create(campaign=campaign, user=world.annotator, role="annotator")
    Campaign.objects.filter(pk=campaign.pk).update(test_tries=1, test_items=3, test_percent=100)
    campaign.refresh_from_db()
    client = world.client("lead")
    client.post(reverse("suites", args=[world.campaign.pk]), {"file": uploaded(lab_rows())})
    address = reverse("suite-ask", args=[Suite.objects.get().pk])
    answer = client.post(address, {"campaign": campaign.pk, "purpose": "test"}, follow=True)
    assert "12 questions are in the queue of Letters." in answer.content.decode()
    screen = world.client("annotator").get(f"/work/{campaign.pk}/", follow=True).content.decode()
    assert "test" in screen.lower()
    hidden = world.client("annotator").get(reverse("suites", args=[world.campaign.pk]))
    assert hidden.status_code in (403, 404)


def test_open_scenarios_are_kept_and_put_to_a_policy_with_a_judge(world: World, policy: ModelVersion) -> None:
    client, address = world.client("engineer"), reverse("suites", args=[world.campaign.pk])
    client.post(address, {"file": uploaded(scenario_rows()), "name": "Scenarios"})
    suite = Suite.objects.get()
    assert (suite.view, suite.questions, suite.points) == ("scenarios", 4, 7)
    assert suite.categories == {"Biology": 1, "Chemistry": 3}
    judge_of_points = versions.register(campaign=world.campaign, kind="reward", path="org/judge", actor=world.lead)
    page = client.get(address).content.decode()
    link = f"{reverse('run-new', args=[world.campaign.pk, 'safety-scenarios'])}?suite={suite.path}"
    assert "7 points to be named" in page and link in page and "Ask people" not in page
    form = client.get(link).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert client.post(link, {**values, "model": policy.pk}).status_code == 302
    run = Run.objects.get()
    assert run.inputs["data"] == suite.path and run.inputs["scorers"] == {"reward": judge_of_points.path}
    other = f"{reverse('run-new', args=[world.campaign.pk, 'safety-suite'])}?suite={suite.path}"
    form = client.get(other).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    wrong = client.post(other, {**values, "model": policy.pk})
    assert wrong.status_code == 422 and "holds open scenarios" in wrong.content.decode()
    with pytest.raises(Invalid, match="safety-suite"):
        safety_suites.kept(suite_file(), view="scenarios")
    metrics = {"coverage_suite": share(0.5), "coverage_points": 0.25, "coverage_aspect_hazards": share(0.75)}
    metrics |= {"worst_subject": share(0.25) | {"name": "Biology"}, "coverage_subject_Biology": share(0.25)}
    finish_run(run, metrics=metrics)
    html = client.get(reverse("run", args=[run.pk])).content.decode()
    for words in ("Points of safety that are named", "Biology", "hazards"):
        assert words in html, words


# --- With images -------------------------------------------------------------------------------------------------


def png(colour: str) -> bytes:
    told = io.BytesIO()
    Pixels.new("RGB", (40, 32), colour).save(told, "PNG")
    return told.getvalue()


def pictured(*names: str | None) -> list[dict]:
    rows = lab_rows()
    for row, name in zip(rows, names, strict=False):
        row["Image Path"] = name
    return rows


def archive(rows: list[dict], **files: bytes) -> SimpleUploadedFile:
    """Return a ZIP archive of a folder with the rows, their images below it as the benchmark has them."""
    told = io.BytesIO()
    with zipfile.ZipFile(told, "w") as packed:
        packed.writestr("lab/QA_I.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        for name, data in files.items():
            packed.writestr(f"lab/images/{name}.png", data)
    return SimpleUploadedFile("lab.zip", told.getvalue())


def test_a_suite_is_uploaded_with_its_images_and_people_and_policies_see_them(
    world: World, policy: ModelVersion
) -> None:
    """The run's file names each image by its hash, and has the campaign's file for it; so has the queue's item."""
    client, address = world.client("lead"), reverse("suites", args=[world.campaign.pk])
    rows = pictured("images/bleach-C.png", None, "images/fire.png")
    sent = archive(rows, **{"bleach-C": png("white"), "fire": png("red")})
    assert client.post(address, {"file": sent, "name": "Seen"}).status_code == 302
    suite = Suite.objects.get()
    assert (suite.questions, suite.with_image, Image.objects.filter(campaign=world.campaign).count()) == (12, 2, 2)
    assert "2 with an image" in client.get(address).content.decode()
    kept = read(paths.files() / suite.path)
    hashes = {one.image for one in kept if one.image}
    assert hashes == set(Image.objects.values_list("sha256", flat=True)) and "bleach-C" not in str(kept)
    asked = {"recipe": "safety-suite", "knobs": {}, "campaign": world.campaign, "parent": policy}
    run = runs.create(actor=world.lead, inputs={"suite": suite.path}, **asked)
    spec = launch.spec_of(run)
    assert run.inputs["data"] == suite.path and set(spec.images) == hashes
    assert all(Path(file).is_file() for file in spec.images.values())
    campaign = letters_campaign(world)
    Membership.objects.create(campaign=campaign, user=world.annotator, role="annotator")
    answer = client.post(reverse("suite-ask", args=[suite.pk]), {"campaign": campaign.pk}, follow=True)
    assert "12 questions are in the queue of Letters." in answer.content.decode()
    shown = {
        part["image"]
        for task in Task.objects.filter(campaign=campaign)
        for message in task.prompt.messages
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part["type"] == "image"
    }
    assert shown == hashes == set(Image.objects.filter(campaign=campaign).values_list("sha256", flat=True))
    worker, seen = world.client("annotator"), set()
    for _each in range(12):
        assignment = queue.next_task(user=world.annotator, campaign=campaign)
        assert assignment is not None
        screen = worker.get(f"/work/{campaign.pk}/").content.decode()
        seen |= {sha256 for sha256 in hashes if f"/images/{sha256}" in screen or sha256 in screen}
        judge(world.annotator, campaign, assignment=assignment, data={"letter_1": "0"})
    assert seen == hashes
    found = baselines.people(run, world.lead)
    assert found is not None and found["n"] == 12, "one with an image is a question as others are"


@pytest.mark.parametrize(
    ("named", "data", "says"),
    [
        ("images/lost.png", png("white"), r"Row 3 of Seen: .*is not in the archive"),
        ("../../secret.png", png("white"), r"Row 3 of Seen: .*is not in the archive"),
        ("https://example.org/x.png", png("white"), r"Row 3 of Seen: .*nothing is fetched"),
        ("images/fire.png", b"no image", r"Row 1 of Seen: .*is no PNG"),
    ],
    ids=["missing", "outside", "address", "none"],
)
def test_an_image_that_is_missing_or_none_is_named_by_its_row(world: World, named: str, data: bytes, says: str) -> None:
    sent = archive(pictured("images/fire.png", None, named), fire=data)
    with pytest.raises(Invalid, match=says):
        safety_suites.add(campaign=world.campaign, name="Seen", file=sent, actor=world.lead)
    assert not Suite.objects.exists() and not Image.objects.exists()
    sent.seek(0)
    page = world.client("lead").post(reverse("suites", args=[world.campaign.pk]), {"file": sent, "name": "Seen"})
    assert page.status_code == 422 and "of Seen: " in page.content.decode()


def test_by_rest_an_image_is_a_data_uri_and_each_is_sent_or_none_is(world: World) -> None:
    client = APIClient()
    client.force_authenticate(world.lead)
    address = f"/api/training/campaigns/{world.campaign.pk}/suites/"
    uri = f"data:image/png;base64,{base64.b64encode(png('red')).decode()}"
    decoded = pictured("images/a.png", "images/b.png")
    for row in decoded[:2]:
        row["Decoded Image"] = {"bytes": uri.partition(",")[2], "path": "a.png"}
    for rows, number in ((pictured(uri, uri), 1), (decoded, 1)):
        made = client.post(address, {"name": "Lab", "rows": rows}, format="json")
        assert made.status_code == 201 and made.json()["with_image"] == 2, made.json()
        assert Image.objects.filter(campaign=world.campaign).count() == number
    assert Suite.objects.count() == 1, "the same pixels are the same question, however they were sent"
    half = client.post(address, {"name": "Lab", "rows": pictured(uri, "images/b.png")}, format="json")
    assert half.status_code == 422 and "Row 2 of Lab: " in half.json()["errors"]["suite"][0]
    alone = client.post(address, {"name": "Lab", "rows": pictured("images/a.png")}, format="json")
    assert alone.status_code == 201 and alone.json()["with_image"] == 1, "no image came along, so none is missing"
    asked = baselines.ask(campaign=letters_campaign(world), path=alone.json()["path"], actor=world.lead)
    assert (asked.created, asked.unsupported) == (11, 1)


def test_a_gate_takes_a_suite_that_was_uploaded_with_its_images_or_an_archive_on_the_server(
    world: World, policy: ModelVersion
) -> None:
    client = APIClient()
    client.force_authenticate(world.lead)
    address = f"/api/training/campaigns/{world.campaign.pk}/suites/"
    rows = lab_rows(60)
    rows[0]["Image Path"] = "images/fire.png"
    sent = archive(rows, fire=png("red"))
    torn = client.post(address, {"file": SimpleUploadedFile("torn.zip", sent.read(60))}, format="multipart")
    assert torn.status_code == 422 and "damaged" in torn.json()["errors"]["suite"][0]
    sent.seek(0)
    made = client.post(address, {"file": sent}, format="multipart")
    assert made.status_code == 201, made.json()
    assert (made.json()["name"], made.json()["with_image"]) == ("lab.zip", 1)
    assert client.post(address, {"name": "x"}, format="multipart").status_code == 400

    defaults = {"settings": asdict(loop_settings()), "prompts_path": "x"}
    loop, _made = Loop.objects.update_or_create(campaign=world.campaign, defaults=defaults)
    page = world.client("lead").get(reverse("loop-edit", args=[world.campaign.pk])).content.decode()
    assert 'list="gate-suites"' in page and f'<option value="{made.json()["path"]}">lab.zip</option>' in page
    packed = paths.files() / "prompts" / "lab.zip"
    packed.parent.mkdir(exist_ok=True)
    sent.seek(0)
    packed.write_bytes(sent.read())
    image = Image.objects.get()
    for path in (made.json()["path"], str(packed)):
        told = {"gate_suite": path, "gate_category_minimum": 0.2, "gate_maximum_loss": 0.9, "gate_by": "estimate"}
        change = client.patch(f"{address.removesuffix('suites/')}loop/", {"settings": told}, format="json")
        assert change.status_code == 200, change.json()
        unseen, shown = suites.read(path), suites.read(path, shown_in=world.campaign)
        assert [row["unsupported"] for row in unseen].count("image") == 1
        assert not any(row["unsupported"] for row in shown) and image.sha256 in str(shown[0])
    loop.refresh_from_db()
    assert loop.settings["gate_suite"] == str(packed)


def test_images_beside_a_suite_s_file_or_of_a_campaign_that_one_may_read_are_taken(world: World) -> None:
    file = suite_file(pictured("scenes/fire.png"))
    (paths.files() / "prompts" / "scenes").mkdir()
    (paths.files() / "prompts" / "scenes" / "fire.png").write_bytes(png("red"))
    _stored, questions = safety_suites.read(file, campaign=world.campaign, actor=world.lead)
    assert questions[0].image == Image.objects.get().sha256 and questions[0].modality == "image"
    sent = archive(pictured("images/a.png"), a=png("blue"))
    suite = safety_suites.add(campaign=world.campaign, name="x", file=sent, actor=world.lead)
    for person, number in ((world.stranger, 0), (world.lead, 1)):
        mine = campaigns.create(actor=person, name=person.username, **templates()["suite-questions"].settings)
        asked = baselines.ask(campaign=mine, path=suite.path, actor=person)
        assert (asked.unsupported, Image.objects.filter(campaign=mine).count()) == (1 - number, number)
