"""A lead's campaigns: creating, previewing, changing, opening, importing, people, export and the dashboard."""

from __future__ import annotations

import json
import re
from io import BytesIO

import pytest
from django.urls import reverse

from annotation.models import Campaign, Event, Guideline, Membership, Role, Task, User
from annotation.services import campaigns as services
from tests.factories import make_user
from tests.frontend.lead_world import World, judge_all, make_world

pytestmark = pytest.mark.django_db

FORM = {
    "name": "New one",
    "description": "What for.",
    "overlap": "2",
    "lease_minutes": "15",
    "guideline": "Read **both**.",
    "kind": "pairwise",
    "option-question": "Which is kinder?",
    "option-ties": "on",
    "option-comment": "off",
}


@pytest.fixture
def world() -> World:
    return make_world()


def at(name: str, world: World) -> str:
    return reverse(name, args=[world.campaign.pk])


# --- creating and changing -------------------------------------------------------------------------------------------


def test_a_campaign_is_created_as_a_draft_with_its_options(world: World) -> None:
    response = world.client("lead").post(reverse("campaign-new"), FORM)
    made = Campaign.objects.get(name="New one")
    assert response.url == reverse("campaign-import", args=[made.pk])
    assert (made.state, made.overlap, made.lease_seconds) == ("draft", 2, 900)
    assert made.options["question"] == "Which is kinder?"
    assert made.options["ties"] is True and made.options["both_bad"] is False and made.options["comment"] == "off"
    assert Membership.objects.filter(campaign=made, user=world.lead, role=Role.LEAD).exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "This field is required."),
        ("name", "Bread questions", "already exists"),
        ("name", "x" * 121, "at most 120"),
        ("name", "a\x00b", "ull character"),
        ("overlap", "0", "greater than or equal to 1"),
        ("overlap", "many", "whole number"),
        ("overlap", "99999999999999999999", "less than or equal to 50"),
        ("lease_minutes", "0", "greater than or equal to 1"),
        ("option-question", "   ", "required"),
        ("option-comment", "sometimes", "not one of the available choices"),
    ],
)
def test_what_does_not_fit_is_said_beside_the_input(world: World, field: str, value: str, says: str) -> None:
    response = world.client("lead").post(reverse("campaign-new"), {**FORM, field: value})
    assert response.status_code == 422
    html = response.content.decode()
    block = html[html.index(f'name="{field}"') :]
    assert says in block[: block.index("</ul>")]
    assert not Campaign.objects.filter(name="New one").exists()


def test_the_preview_shows_the_real_inputs_with_the_options_typed_so_far(world: World) -> None:
    client = world.client("lead")
    html = client.post(reverse("campaign-preview"), FORM, HTTP_HX_REQUEST="true").content.decode()
    assert html.lstrip().startswith('<section id="preview"')
    assert "Which is kinder?" in html and "About the same" in html
    assert "Both are bad" not in html and "<textarea" not in html
    assert "<strong>both</strong>" in html  # the guideline, as Markdown
    without = {key: value for key, value in FORM.items() if key != "option-ties"}
    assert "About the same" not in client.post(reverse("campaign-preview"), without).content.decode()
    broken = client.post(reverse("campaign-preview"), {"kind": "nonsense", "option-question": "<script>x</script>"})
    assert broken.status_code == 200 and b"<script>x" not in broken.content
    assert Campaign.objects.count() == 1  # nothing was saved


def test_changing_a_campaign_keeps_what_is_left_alone(world: World) -> None:
    client = world.client("lead")
    html = client.get(at("campaign-edit", world)).content.decode()
    assert "Prefer the answer that helps more." in html
    response = client.post(at("campaign-edit", world), {**FORM, "name": "Bread questions"})
    assert response.url == at("campaign-edit", world)
    world.campaign.refresh_from_db()
    assert (world.campaign.overlap, world.campaign.lease_seconds) == (2, 900)
    assert world.campaign.guideline_version == 2
    assert Guideline.objects.get(campaign=world.campaign, version=2).text == "Read **both**."
    client.post(at("campaign-edit", world), {**FORM, "name": "Bread questions"})
    world.campaign.refresh_from_db()
    assert world.campaign.guideline_version == 2  # the same text is no new version


def test_open_pause_close(world: World) -> None:
    client = world.client("lead")
    for action, state in (("pause", "paused"), ("open", "open"), ("close", "closed")):
        response = client.post(at("campaign-state", world), {"action": action})
        assert response.url == at("campaign", world)
        world.campaign.refresh_from_db()
        assert world.campaign.state == state
    html = client.post(at("campaign-state", world), {"action": "open"}, follow=True).content.decode()
    assert "closed for good" in html
    html = client.post(at("campaign-state", world), {"action": "explode"}, follow=True).content.decode()
    assert "can be opened, paused or closed" in html


# --- dashboard -------------------------------------------------------------------------------------------------------


def test_the_dashboard_says_what_to_do_next_at_every_stage(world: World) -> None:
    client = world.client("lead")
    assert "6 of 6 items are left" in client.get(at("campaign", world)).content.decode()
    judge_all(world)
    assert "Every item is judged" in client.get(at("campaign", world)).content.decode()
    services.pause_campaign(campaign=world.campaign, actor=world.lead)
    html = client.get(at("campaign", world)).content.decode()
    assert "Open it again" in html and 'value="open"' in html
    Membership.objects.filter(user=world.annotator).delete()
    assert "Add the people who will" in client.get(at("campaign", world)).content.decode()
    Task.objects.all().delete()
    assert "nothing to judge yet" in client.get(at("campaign", world)).content.decode()
    services.close_campaign(campaign=world.campaign, actor=world.lead)
    assert "is closed and keeps everything" in client.get(at("campaign", world)).content.decode()


def test_the_dashboard_shows_figures_with_their_meaning(world: World) -> None:
    judge_all(world)
    html = world.client("lead").get(at("campaign", world)).content.decode()
    assert "6 of 6 items have all the judgements they want" in html
    assert "Not defined yet. No item has been judged by two people yet." in html
    assert "chose the left answer" in html and "95% interval" in html
    assert "How strongly people prefer" in html
    assert html.count('<rect class="chart__bar"') == 9
    assert "is better" in html and "amir" in html
    assert "The campaign was opened" in html
    verdicts = world.client("lead").get(at("campaign", world), {"format": "csv"}).content.decode().splitlines()
    assert verdicts[0] == "verdict,judgements" and sum(int(row.rpartition(",")[2]) for row in verdicts[1:]) == 6
    sides = world.client("lead").get(at("campaign", world), {"format": "csv", "part": "position"}).content.decode()
    left, right = sides.splitlines()[1].split(",")[:2]
    assert f"{left} left, {right} right" in html
    assert f'<th scope="row">Right</th><td class="number">{right}</td>' in html


def test_the_moving_part_stops_asking_when_nothing_moves(world: World) -> None:
    client = world.client("lead")
    moving = client.get(at("campaign-progress", world))
    assert moving.status_code == 200 and b"hx-trigger" in moving.content
    services.pause_campaign(campaign=world.campaign, actor=world.lead)
    still = client.get(at("campaign-progress", world))
    assert still.status_code == 286 and b"hx-trigger" not in still.content


# --- import ----------------------------------------------------------------------------------------------------------

GOOD = json.dumps({"id": "a", "prompt": "Why?", "completions": ["Because.", "No idea."]})
TRL = json.dumps({"prompt": "How?", "chosen": "Like this.", "rejected": "No idea."})


def test_good_lines_are_kept_and_bad_ones_told_by_number(world: World) -> None:
    client = world.client("lead")
    text = "\n".join([GOOD, "{broken", TRL, '{"prompt": "x"}'])
    response = client.post(at("campaign-import", world), {"text": text})
    assert response.status_code == 302 and "?report=" in response.url
    assert Task.objects.filter(campaign=world.campaign).count() == 8
    html = client.get(response.url).content.decode()
    assert "2 lines could not be taken" in html
    assert "2 new, 0 that were there already" in re.sub(r"\s+", " ", html)
    event = Event.objects.get(action="tasks.lines_refused")
    assert [line for line, _ in event.detail["errors"]] == [2, 4]
    download = client.get(reverse("import-errors", args=[world.campaign.pk, event.pk]))
    lines = [json.loads(line) for line in download.getvalue().decode().splitlines()]
    assert [line["line"] for line in lines] == [2, 4] and all(line["reason"] for line in lines)
    assert (lines[0]["text"], lines[1]["row"]) == ("{broken", {"prompt": "x"})
    assert "attachment" in download["Content-Disposition"]


def test_a_file_is_imported_once_however_often_it_is_sent(world: World) -> None:
    client = world.client("lead")
    for already in (False, True):
        file = BytesIO(f"{GOOD}\r\n{TRL}\n\n".encode())
        file.name = "items.jsonl"
        response = client.post(at("campaign-import", world), {"file": file}, follow=True)
        assert f"left as they are: {2 if already else 0}." in response.content.decode()
    assert Task.objects.filter(campaign=world.campaign).count() == 8


@pytest.mark.parametrize("body", [{}, {"text": "   \n "}])
def test_an_import_of_nothing_says_what_is_missing(world: World, body: dict[str, str]) -> None:
    response = world.client("lead").post(at("campaign-import", world), body)
    assert response.status_code == 422
    assert "Choose a file or paste at least one line." in response.content.decode()


def test_binary_rubbish_is_refused_line_by_line(world: World) -> None:
    file = BytesIO(bytes(range(256)) * 4)
    file.name = "photo.jpg"
    response = world.client("lead").post(at("campaign-import", world), {"file": file}, follow=True)
    assert response.status_code == 200 and "could not be taken" in response.content.decode()


def test_a_report_of_another_campaign_is_not_shown(world: World) -> None:
    other = services.create(name="Other", actor=make_user("otto"))
    event = Event.objects.create(
        campaign=other,
        action="tasks.lines_refused",
        detail={"created": 0, "existing": 0, "failed": 1, "errors": [[1, "SECRET"]]},
    )
    client = world.client("lead")
    assert b"SECRET" not in client.get(f"{at('campaign-import', world)}?report={event.pk}").content
    assert client.get(reverse("import-errors", args=[world.campaign.pk, event.pk])).status_code == 404
    for nonsense in ("x", "-1", "9" * 40, "", "²"):
        assert client.get(at("campaign-import", world), {"report": nonsense}).status_code == 200


# --- people ----------------------------------------------------------------------------------------------------------


def test_adding_and_removing_people(world: World) -> None:
    client = world.client("lead")
    response = client.post(at("campaign-people", world), {"action": "add", "username": "mallory", "role": "engineer"})
    assert response.status_code == 302
    assert Membership.objects.filter(user=world.stranger, role=Role.ENGINEER).exists()
    client.post(at("campaign-people", world), {"action": "remove", "username": "mallory", "role": "engineer"})
    assert not Membership.objects.filter(user=world.stranger).exists()
    html = client.post(
        at("campaign-people", world), {"action": "remove", "username": "lena", "role": "lead"}, follow=True
    ).content.decode()
    assert "only lead" in html
    for nobody in ("nobody", "a\x00b", "x" * 200):
        answer = client.post(at("campaign-people", world), {"action": "add", "username": nobody, "role": "lead"})
        assert answer.status_code == 422
        answer = client.post(at("campaign-people", world), {"action": "remove", "username": nobody, "role": "x"})
        assert answer.status_code == 302
    assert (
        client.post(at("campaign-people", world), {"action": "add", "username": "amir", "role": "king"}).status_code
        == 422
    )


def test_a_new_account_shows_its_password_once(world: World) -> None:
    client = world.client("lead")
    response = client.post(at("campaign-people", world), {"action": "create", "new-username": "nia"})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    html = response.content.decode()
    password = re.search(r"once__password\">([^<]+)<", html)
    assert password is not None
    nia = User.objects.get(username="nia")
    assert nia.check_password(password[1])
    assert Membership.objects.filter(user=nia, campaign=world.campaign, role=Role.ANNOTATOR).exists()
    assert password[1] not in client.get(at("campaign-people", world)).content.decode()
    assert not any(password[1] in f"{event.target} {event.detail}" for event in Event.objects.all())
    for taken in ("nia", "", "has space", "a\x00b", "é" * 151):
        assert client.post(at("campaign-people", world), {"action": "create", "new-username": taken}).status_code == 422


# --- export ----------------------------------------------------------------------------------------------------------


def test_the_export_page_gives_address_columns_and_a_row(world: World) -> None:
    client = world.client("lead")
    assert "There is no row yet" in client.get(at("campaign-export", world)).content.decode()
    judge_all(world)
    for view in ("pairs", "judgements", "prompts", "nonsense"):
        html = client.get(at("campaign-export", world), {"view": view}).content.decode()
        shown = view if view != "nonsense" else "pairs"
        assert f"/api/campaigns/{world.campaign.pk}/export/?view={shown}" in html
        assert "The first row" in html and "There is no row yet" not in html
    download = client.get(f"/api/campaigns/{world.campaign.pk}/export/?view=pairs")
    assert len(b"".join(download.streaming_content).splitlines()) == 6
