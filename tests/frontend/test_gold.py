"""The pages of items whose answer is known, from a judgement to a retired one."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotation.models import Gold, User
from annotation.services import intake
from tests.factories import judge, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db


def test_a_lead_makes_gold_of_a_judgement_edits_it_and_retires_it(client: Client, lead: User):
    campaign = make_campaign(lead=lead, overlap=5)
    task = make_task(campaign, prompt="Which of the two is right?")
    people = [make_user() for _ in range(3)]
    judged = [
        judge(person, campaign, preference=preference) for person, preference in zip(people, (3, 2, -2), strict=True)
    ]
    client.force_login(lead)
    path = f"/campaigns/{campaign.pk}/gold/"
    assert "There is none yet" in client.get(path).content.decode()
    assert f"{path}{task.pk}/" in client.get(f"/campaigns/{campaign.pk}/reviews/{task.pk}/").content.decode()

    page = client.get(f"{path}{task.pk}/?judgement={judged[0].pk}").content.decode()
    assert people[0].pseudonym in page and 'name="preference"' in page
    refused = client.post(f"{path}{task.pk}/", {"preference": "1", "tolerance-preference": "9", "decision": "save"})
    assert refused.status_code == 422 and "from 0 to 3" in refused.content.decode()
    sent = {"preference": "1", "tolerance-preference": "0,5", "purpose": "check", "decision": "save"}
    sent["tolerance-preference"] = "0.5"
    assert client.post(f"{path}{task.pk}/", sent).status_code == 302
    stored = Gold.objects.get()
    assert (stored.payload["preference"], stored.tolerance, stored.purpose) == (3, {"preference": 0.5}, "check")

    listed = client.get(path).content.decode()
    assert "Which of the two is right?" in listed and "33%" in listed and "Attention check" in listed
    item = client.get(f"{path}{task.pk}/").content.decode()
    assert all(person.pseudonym in item for person in people) and "1 / 1" in item and "0 / 1" in item
    assert "Which of" not in client.get(f"{path}?purpose=test").content.decode()
    assert "Which of" in client.get(f"{path}?search=two+is+right").content.decode()

    line = b"".join(client.get(f"{path}items.jsonl").streaming_content)
    other = make_campaign(lead=lead)
    intake.import_lines(campaign=other, lines=[line.decode()], actor=lead)
    copied = Gold.objects.get(task__campaign=other)
    assert (copied.payload, copied.tolerance, copied.purpose) == (stored.payload, stored.tolerance, "check")
    assert copied.task.content["completions"][0]["text"] == task.content["completions"][0]["text"]

    assert client.post(f"{path}{task.pk}/", {"decision": "retire"}).status_code == 302
    assert "no longer in use" in client.get(path).content.decode()
    assert client.post(f"{path}{task.pk}/", {"decision": "remove"}).status_code == 302
    assert not Gold.objects.filter(task=task).exists()
    client.force_login(people[0])
    assert client.get(path).status_code == 404


def test_rest_lists_narrows_makes_and_retires_gold_as_the_page_does(lead: User):
    campaign = make_campaign(lead=lead, overlap=5)
    tasks = [make_task(campaign) for _ in range(3)]
    person = make_user()
    judged = judge(person, campaign, preference=2)
    api = APIClient()
    api.force_authenticate(lead)
    path = f"/api/campaigns/{campaign.pk}/"
    made = api.post(
        f"{path}tasks/{judged.task_id}/gold/from-judgement/", {"judgement": judged.pk, "purpose": "test"}, format="json"
    )
    assert made.status_code == 200 and made.json()["purpose"] == "test", made.content
    other = next(task for task in tasks if task.pk != judged.task_id)
    assert api.put(f"{path}tasks/{other.pk}/gold/", {"answer": {"preference": "1"}}, format="json").status_code == 200
    wrong = {"judgement": judged.pk}
    assert api.post(f"{path}tasks/{other.pk}/gold/from-judgement/", wrong, format="json").status_code == 404
    first = api.get(f"{path}gold/?page_size=1").json()
    assert [one["task"] for one in first["results"]] == [other.pk] and first["next"]
    (tested,) = api.get(f"{path}gold/?purpose=test").json()["results"]
    assert tested["judgements"] == 1 and tested["right"]["estimate"] == 1.0 and tested["gold"] == made.json()
    assert api.post(f"{path}tasks/{other.pk}/gold/retire/").status_code == 200
    assert [one["task"] for one in api.get(f"{path}gold/?retired=true").json()["results"]] == [other.pk]
    assert set(api.get(f"{path}gold/leaks/").json()) >= {"findings", "twins", "elsewhere", "change"}
    assert api.post(f"{path}tasks/{tasks[2].pk}/gold/retire/").status_code in (200, 404)
    json.dumps(first)
