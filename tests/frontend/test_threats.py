"""What somebody with bad intentions tries, a test each; SECURITY.md tells where the other threats are met."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, reverse
from rest_framework.test import APIClient

from annotation.api.urls import urlpatterns as annotation_rest
from annotation.models import Assignment, Feedback, Membership, Role, Task, User
from annotation.services import intake
from frontend.lead_urls import urlpatterns as lead_pages
from frontend.markdown import render
from frontend.page_urls import urlpatterns as pages
from tests.factories import PASSWORD, make_campaign, make_user
from tests.frontend.lead_world import World, judge_all, keep_suite, make_loop, make_world, start_run, to_labelling
from training.api.urls import urlpatterns as training_rest

pytestmark = pytest.mark.django_db
ROOT = Path(settings.BASE_DIR)
SECRET_WORDS = "my sister's diagnosis"
PATTERNS = [pattern for pattern in (*pages, *lead_pages) if isinstance(pattern, URLPattern)]


@pytest.fixture
def world() -> World:
    return make_world()


def rest(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def addresses(numbers: dict[str, Any]) -> list[str]:
    """Return the address of every page that needs no other numbers than these."""
    fitting = [pattern for pattern in PATTERNS if set(pattern.pattern.converters) <= set(numbers)]
    return [reverse(str(p.name), kwargs={name: numbers[name] for name in p.pattern.converters}) for p in fitting]


def test_csrf_a_form_from_elsewhere_changes_nothing(world: World) -> None:
    """Every page that takes a POST refuses one without the token that only our own pages carry."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.lead)
    numbers = {"campaign_id": world.campaign.pk}
    asked = 0
    for address in addresses(numbers):
        answer = client.post(address, {"name": "mine now"})
        assert answer.status_code in (403, 404, 405, 409), (address, answer.status_code)
        asked += answer.status_code == 403
    assert asked > 20
    world.campaign.refresh_from_db()
    assert world.campaign.name == "Bread questions"


def test_clickjacking_no_page_stands_in_somebody_elses_frame(world: World) -> None:
    for address in (reverse("login"), reverse("home"), reverse("work", args=[world.campaign.pk])):
        answer = world.client("annotator").get(address)
        assert answer["X-Frame-Options"] == "DENY"
        policy = answer["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "object-src 'none'" in policy


@pytest.mark.parametrize("where", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"])
def test_open_redirect_signing_in_leads_nowhere_else(where: str) -> None:
    make_user("vera", password=PASSWORD)
    answer = Client().post(reverse("login"), {"username": "vera", "password": PASSWORD, "next": where})
    assert answer.status_code == 302 and answer["Location"] == reverse("home")


def test_mass_assignment_nobody_gives_themselves_a_role(world: World) -> None:
    """Fields that exist in the tables but not in the forms and shapes are not written."""
    more = {"is_superuser": "on", "is_staff": "on", "role": Role.LEAD, "roles": [Role.LEAD], "user": world.lead.pk}
    client = world.client("annotator")
    for address in addresses({}):
        if address != reverse("logout"):
            client.post(address, more)
    answer = rest(world.annotator).post(f"/api/campaigns/{world.campaign.pk}/next/", {}, format="json")
    assert answer.status_code == 200, answer.content
    key = answer.json()["key"]
    told = {"preference": 1, "user": world.lead.pk, "is_simulated": True, "is_current": False}
    rest(world.annotator).post(f"/api/assignments/{key}/submit/", told, format="json")
    assert Feedback.objects.count() == 1
    for feedback in Feedback.objects.all():
        assert feedback.user == world.annotator and feedback.is_current
    world.annotator.refresh_from_db()
    assert not (world.annotator.is_superuser or world.annotator.is_staff or world.annotator.is_simulated)
    assert [one.role for one in Membership.objects.filter(user=world.annotator)] == [Role.ANNOTATOR]


def test_object_level_access_a_stranger_finds_nothing_by_any_number(world: World) -> None:
    """Numbers in addresses are guessed: whoever is no member gets the answer of what is not there."""
    judge_all(world)
    client = world.client("stranger")
    numbers: dict[str, Any] = {"campaign_id": world.campaign.pk, "task_id": Task.objects.all()[0].pk}
    tried = 0
    for address in set(addresses(numbers)) - set(addresses({})):
        tried += 1
        for method in (client.get, client.post):
            assert method(address).status_code in (404, 405), address
    assert tried > 20


def test_object_level_access_another_campaigns_lead_finds_nothing_by_any_number(world: World) -> None:
    """What belongs to one campaign is not found under the number of another, nor by its own, whoever leads that one."""
    judge_all(world)
    round = to_labelling(world, make_loop(world, chat=True))
    run = start_run(world)
    ours: dict[str, Any] = {
        "task_id": Task.objects.filter(campaign=world.campaign)[0].pk,
        "run_id": run.pk,
        "snapshot_id": run.snapshot_id,
        "suite_id": keep_suite(world).pk,
        "version_id": round.policy_id,
        "round_id": round.pk,
        "key": Assignment.objects.filter(campaign=world.campaign)[0].key,
    }
    other = make_campaign("Other", lead=make_user("olga"))
    browser, program = Client(), rest(other.created_by)
    browser.force_login(other.created_by)
    tried = 0
    for pattern in (*PATTERNS, *annotation_rest, *training_rest):
        names = set(pattern.pattern.converters)
        if not names & set(ours) or not names <= {"campaign_id", *ours}:
            continue
        address = reverse(str(pattern.name), kwargs={n: ours.get(n, other.pk) for n in pattern.pattern.converters})
        caller: Any = program if str(pattern.name).startswith("api-") else browser
        for method in (caller.get, caller.post, caller.put, caller.patch, caller.delete):
            answer = method(address)
            assert answer.status_code in (404, 405), (address, answer.status_code)
            tried += answer.status_code == 404
    assert tried > 50


def test_uploads_lie_where_we_say_and_serve_nobody_else(world: World) -> None:
    """A name is not a place, a page in it is not a page, and its token opens nothing for another person."""
    address = f"/api/campaigns/{world.campaign.pk}/upload/"
    evil = b"<script>alert(1)</script>"
    name = f"?name=../../../evil.html&size={len(evil)}&at=0"
    answer = rest(world.lead).put(address + name, evil, content_type="application/octet-stream")
    assert answer.status_code == 200, answer.content
    (kept,) = (path for path in Path(settings.ATTUNE_FILES).rglob("*") if path.is_file() and path.read_bytes() == evil)
    assert kept.resolve().parent == Path(settings.ATTUNE_FILES).resolve() / "uploads"
    assert Client().get(f"/media/{kept.relative_to(settings.ATTUNE_FILES)}").status_code == 404
    before = Task.objects.count()
    imports = f"/api/campaigns/{world.campaign.pk}/import/?upload={answer.json()['upload']}"
    for person in (world.engineer, world.lead):  # the engineer may import, and did not send it
        told = rest(person).post(imports, b"", content_type="application/x-ndjson")
        assert told.status_code == 422, told.content
        assert ("There is no such upload" in told.content.decode()) == (person == world.engineer)
    assert Task.objects.count() == before


def test_ssrf_an_image_named_by_its_address_is_not_fetched(world: World) -> None:
    """The address is a real one of this machine, whose server would know."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        where = f"http://127.0.0.1:{server.getsockname()[1]}/a.png"
        row = {"id": "out", "prompt": "What?", "image": where, "completions": ["a", "b"]}
        report = intake.import_lines(campaign=world.campaign, lines=[json.dumps(row)], actor=world.lead)
        assert report.failed == 1 and "nothing is fetched" in report.errors[0].reason
        page = render(f"![x]({where}) <img src={where}>")
        assert "<img" not in page
        with pytest.raises(BlockingIOError):
            server.accept()


def test_prompt_text_is_in_no_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what is imported, nor what is refused, nor what somebody types."""
    caplog.set_level(logging.DEBUG)
    rows = [
        {"id": "told", "prompt": SECRET_WORDS, "completions": ["a", "b"]},
        {"id": "refused", "prompt": SECRET_WORDS, "completions": [SECRET_WORDS]},
    ]
    intake.import_lines(campaign=world.campaign, lines=[json.dumps(row) for row in rows], actor=world.lead)
    client = world.client("annotator")
    page = client.get(reverse("work", args=[world.campaign.pk])).content.decode()
    (key,) = set(re.findall(r'name="assignment" value="([^"]+)"', page))
    client.post(reverse("work", args=[world.campaign.pk]), {"assignment": key, "comment": SECRET_WORDS})
    client.post(reverse("work-draft", args=[world.campaign.pk]), {"assignment": key, "comment": SECRET_WORDS})
    rest(world.lead).post(f"/api/campaigns/{world.campaign.pk}/import/", SECRET_WORDS, content_type="text/plain")
    assert SECRET_WORDS not in caplog.text


def test_token_leakage_a_token_and_a_password_are_in_no_log_and_no_table(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    user = make_user("vera", password=PASSWORD)
    sent = {"username": "vera", "password": PASSWORD}
    token = APIClient().post("/api/auth/token/", sent, format="json").json()["token"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.get("/api/campaigns/").status_code == 200
    client.get("/api/campaigns/", {"token": token})
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}x")
    client.get("/api/campaigns/")
    APIClient().post("/api/auth/token/", {**sent, "password": f"{PASSWORD}!"}, format="json")
    assert token not in caplog.text and PASSWORD not in caplog.text
    user.refresh_from_db()
    assert PASSWORD not in user.password


def test_archive_bomb_a_small_file_that_unpacks_to_a_huge_one_is_refused(world: World) -> None:
    """The archive says how much is in it, and a lie about it ends the reading."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", b"0" * 50_000_000)
    client = rest(world.lead)
    address = f"/api/campaigns/{world.campaign.pk}/import/"
    before = Task.objects.count()
    answer = client.post(address, packed.getvalue(), content_type="application/zip")
    assert len(packed.getvalue()) < 60_000 and answer.status_code in (200, 201, 400, 422)
    assert "The line has more than 4,000,000 bytes." in answer.content.decode()
    assert Task.objects.count() == before


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\secret_key", "a/../../../secret_key"])
def test_path_traversal_a_name_in_an_archive_leads_nowhere_else(name: str, world: World) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        row = {"id": "out", "prompt": "What?", "image": name, "completions": ["a", "b"]}
        archive.writestr("rows.jsonl", json.dumps(row))
        archive.writestr(name, b"root:x:0:0")
    address = f"/api/campaigns/{world.campaign.pk}/import/"
    answer = rest(world.lead).post(address, packed.getvalue(), content_type="application/zip")
    assert "root:" not in answer.content.decode()
    assert not Task.objects.filter(external_id="out").exists()
    assert not (Path(settings.ATTUNE_FILES).parent / "etc").exists()


def test_every_threat_of_the_model_names_tests_that_there_are() -> None:
    model = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)`(?: `(test_\w+)`)?", model)
    assert len(named) > 15
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(), test
    here = (ROOT / "tests/frontend/test_threats.py").read_text()
    for test in re.findall(r"^def (test_[a-z]+_\w+)\(", here, re.MULTILINE):
        assert test in model or test.startswith("test_every_threat"), f"SECURITY.md does not tell of {test}"
