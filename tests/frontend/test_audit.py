"""The audit trail: old and new values, filters, CSV, and that neither code nor SQL changes what was written."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from annotation.models import Event
from annotation.services import batches, campaigns, events, gold, people
from tests.factories import make_task
from tests.frontend.lead_world import World, make_loop, make_world
from training.services import rounds

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world(tasks=1)


def last(action: str) -> Event:
    return Event.objects.filter(action=action).latest("id")


def test_what_a_lead_changes_is_told_with_what_was_there_before(world: World) -> None:
    campaign, lead = world.campaign, world.lead
    campaigns.update(campaign=campaign, actor=lead, overlap=3)
    assert last("campaign.changed").changes == [("overlap", 1, 3)]
    campaigns.pause_campaign(campaign=campaign, actor=lead)
    assert last("campaign.paused").changes == [("state", "open", "paused")]
    campaigns.write_guideline(campaign=campaign, text="Other words.", actor=lead)
    assert last("guideline.written").changes == [("version", 1, 2)]
    people.set_skills(campaign=campaign, username="amir", skills=["law"], actor=lead)
    assert last("member.skills").changes == [("skills", [], ["law"])]
    task = make_task(campaign, batch="b", priority=2)
    batches.prioritise(campaign=campaign, batch="b", priority=5, actor=lead)
    assert last("batch.prioritised").changes == [("priority", 2, 5)]
    gold.set_gold(task=task, value={"answer": {"preference": "1"}}, actor=lead)
    ((name, before, after),) = last("gold.set").changes
    assert (name, before) == ("gold", None) and after["payload"]["preference"]
    gold.take_away(task=task, actor=lead)
    assert last("gold.removed").changes == [("gold", after, None)]
    loop = make_loop(world)
    rounds.configure(loop=loop, settings={"overlap": 2}, actor=lead)
    assert [change[0] for change in last("loop.configured").changes] == ["overlap"]


def test_neither_code_nor_sql_changes_an_event(world: World) -> None:
    event = events.record(campaign=world.campaign, actor=world.lead, action="demo.done", target="lena")
    for attempt in (event.save, event.delete, Event.objects.all().delete, lambda: Event.objects.update(target="x")):
        with pytest.raises(TypeError):
            attempt()
    for sql in (
        "UPDATE annotation_event SET action = 'other'",
        "UPDATE annotation_event SET detail = '{\"a\": 1}'",
        "UPDATE annotation_event SET target = 'somebody else'",
        f"UPDATE annotation_event SET actor_id = {world.annotator.pk}",
        "DELETE FROM annotation_event",
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE annotation_event SET target = '' WHERE id = %s", [event.pk])  # a person is erased
    world.stranger.delete()
    mine = events.record(campaign=None, actor=world.annotator, action="demo.done")
    world.annotator.delete()
    mine.refresh_from_db()
    assert mine.actor is None


def test_the_page_filters_and_hands_out_csv(world: World) -> None:
    campaigns.update(campaign=world.campaign, actor=world.lead, overlap=4)
    events.record(campaign=world.campaign, actor=world.lead, action="member.added", target="=cmd()")
    where = reverse("audit", args=[world.campaign.pk])
    client = world.client("lead")
    html = client.get(where).content.decode()
    assert "<del>1</del>" in html and "<ins>4</ins>" in html
    html = client.get(where, {"action": "campaign.", "actor": "lena"}).content.decode()
    assert "Settings were changed" in html and "member.added" not in html
    for nonsense in ({"since": "9999-12-31", "until": "9999-12-31"}, {"since": "x"}, {"actor": "\x00"}, {"page": "x"}):
        assert client.get(where, nonsense).status_code == 200
    assert "Settings were changed" not in client.get(where, {"until": "2001-01-01"}).content.decode()
    answer = client.get(where, {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert [row["action"] for row in rows] == list(
        Event.objects.filter(campaign=world.campaign).order_by("id").values_list("action", flat=True)
    )
    assert rows[-1]["target"] == "'=cmd()", "no formula for a spreadsheet"
    everywhere = world.client("admin").get(reverse("server-audit")).content.decode()
    assert world.campaign.name in everywhere
